//! The name of a node in its certificate: `lunatic://CLUSTER/NAME`, an alternative name of the subject.

use std::io;

use lunatic_nodes::identity::is_name;
use rustls::pki_types::CertificateDer;
use webpki::EndEntityCert;

const SCHEME: &str = "lunatic://";

/// The alternative name for a node of a cluster.
pub(crate) fn uri(cluster: &str, name: &str) -> String {
    format!("{SCHEME}{cluster}/{name}")
}

/// The cluster and the node that a certificate names. The caller checks who has signed it.
pub(crate) fn of(certificate: &CertificateDer<'_>) -> io::Result<(String, String)> {
    let invalid = |text: &str| io::Error::new(io::ErrorKind::InvalidData, text);
    let parsed = EndEntityCert::try_from(certificate).map_err(|_| invalid("the certificate cannot be read"))?;
    let mut names = parsed.valid_uri_names().filter_map(|uri| uri.strip_prefix(SCHEME));
    let (Some(name), None) = (names.next(), names.next()) else {
        return Err(invalid("the certificate does not name one node"));
    };
    match name.split_once('/') {
        Some((cluster, name)) if is_name(cluster) && is_name(name) => Ok((cluster.into(), name.into())),
        _ => Err(invalid("the certificate does not contain a valid name of a node")),
    }
}
