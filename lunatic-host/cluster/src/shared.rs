//! An authority for nodes of one user on one machine: whoever knows their secret has its key.
//!
//! Other users of the machine can connect to the ports of the nodes, and can listen where a node has listened. So these
//! nodes secure their connections as nodes with certificates do, but nobody has to make any: each node derives the key of
//! the authority from the secret, and signs a certificate for itself.

use std::io;

use rcgen::{CertificateParams, Issuer, KeyPair, PKCS_ED25519, date_time_ymd};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::authority::{node_params, params};
use crate::identity::Identity;

/// For what the key of the authority is derived.
const CONTEXT: &str = "lunatic cluster 2026: the authority of nodes that share a secret";
/// What precedes the 32 bytes of a key of Ed25519 in PKCS#8 (RFC 8410).
const PKCS8: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// The identity of a node that knows the secret of its cluster. It is valid for ever, and kept in no file.
pub(crate) fn identity(secret: &[u8], cluster: &str, name: &str) -> io::Result<Identity> {
    let key = [&PKCS8[..], &blake3::derive_key(CONTEXT, secret)].concat();
    let key = KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(key), &PKCS_ED25519);
    let key = key.map_err(io::Error::other)?;
    let mut own = params(cluster);
    limit(&mut own);
    let authority = own.self_signed(&key).map_err(io::Error::other)?.der().clone();
    let node_key = KeyPair::generate().map_err(io::Error::other)?;
    let mut node = node_params(cluster, name, &node_key)?;
    limit(&mut node);
    let certificate = node
        .signed_by(&node_key, &Issuer::new(own, key))
        .map_err(io::Error::other)?;
    let node_key = node_key.serialize_pem();
    Ok(Identity {
        cluster: cluster.into(),
        name: name.into(),
        certificate: CertificateDer::from(certificate.der().to_vec()),
        key: PrivateKeyDer::from_pem_slice(node_key.as_bytes()).map_err(io::Error::other)?,
        authority,
    })
}

/// The clock of the machine does not matter.
fn limit(params: &mut CertificateParams) {
    (params.not_before, params.not_after) = (date_time_ymd(1975, 1, 1), date_time_ymd(4096, 1, 1));
}
