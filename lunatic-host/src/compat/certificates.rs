//! Certificates that a control server hands out: a root for tests, and what is signed with it.
//!
//! There is no other root whose certificates can be signed here: to read somebody's takes a parser of X.509, which nothing
//! else in the host needs. The node of this host needs no certificate.

use std::fmt;
use std::sync::OnceLock;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};

/// A certificate and its key, in PEM.
pub(crate) type Identity = (String, String);

/// The longest text in PEM that is read.
pub(crate) const PEM_LEN_MAX: u32 = 1 << 20;

/// Why there is no certificate.
#[derive(Debug, Clone)]
pub(crate) enum CertificateError {
    /// The root is not that of [`test_root`].
    OtherRoot,
    /// Requests of nodes are not signed.
    Request,
    Failed(rcgen::Error),
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherRoot => write!(f, "this host signs certificates with its own root for tests only"),
            Self::Request => write!(
                f,
                "this host signs no requests of nodes: it is the only node of its system"
            ),
            Self::Failed(error) => write!(f, "a certificate could not be made: {error}"),
        }
    }
}

impl std::error::Error for CertificateError {}

impl From<rcgen::Error> for CertificateError {
    fn from(error: rcgen::Error) -> Self {
        Self::Failed(error)
    }
}

type Root = CertifiedIssuer<'static, KeyPair>;

fn named(names: &[&str], name: &str) -> Result<CertificateParams, CertificateError> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::OrganizationName, "Lunatic");
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

/// Another one each time that the host is started.
fn root() -> Result<&'static Root, CertificateError> {
    static ROOT: OnceLock<Result<Root, CertificateError>> = OnceLock::new();
    let make = || {
        let mut params = named(&[], "Root for tests")?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Ok(Root::self_signed(params, KeyPair::generate()?)?)
    };
    ROOT.get_or_init(make).as_ref().map_err(Clone::clone)
}

/// The root for tests.
pub(crate) fn test_root() -> Result<Identity, CertificateError> {
    let root = root()?;
    Ok((root.pem(), root.key().serialize_pem()))
}

/// Whether this is the root for tests, with its key.
fn check_root(certificate: &str, key: &str) -> Result<(), CertificateError> {
    let (own, own_key) = test_root()?;
    match (certificate.trim(), key.trim()) == (own.trim(), own_key.trim()) {
        true => Ok(()),
        false => Err(CertificateError::OtherRoot),
    }
}

/// A certificate for a control server on this machine, signed with the root for tests.
pub(crate) fn server(certificate: &str, key: &str) -> Result<Identity, CertificateError> {
    check_root(certificate, key)?;
    let key = KeyPair::generate()?;
    let params = named(&["localhost", "127.0.0.1"], "Control server")?;
    Ok((params.signed_by(&key, root()?)?.pem(), key.serialize_pem()))
}

/// The certificate that a node asks for.
pub(crate) fn sign(certificate: &str, key: &str, _request: &str) -> Result<String, CertificateError> {
    check_root(certificate, key)?;
    Err(CertificateError::Request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_for_tests_signs_and_no_other_does() {
        let (root, key) = test_root().unwrap();
        assert_eq!(test_root().unwrap().0, root);
        let (certificate, server_key) = server(&root, &key).unwrap();
        assert!(certificate.starts_with("-----BEGIN CERTIFICATE-----") && server_key.contains("PRIVATE KEY"));
        assert!(matches!(
            server(&certificate, &server_key),
            Err(CertificateError::OtherRoot)
        ));
        assert!(matches!(server("nonsense", &key), Err(CertificateError::OtherRoot)));
        assert!(matches!(sign(&root, &key, "nonsense"), Err(CertificateError::Request)));
    }
}
