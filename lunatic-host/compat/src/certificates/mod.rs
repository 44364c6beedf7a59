//! The certificates that a control server hands out: a root for tests, and certificates that a root signs.

mod x509;

use std::fmt;
use std::sync::OnceLock;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

/// A certificate and its key, in PEM.
pub(crate) type Identity = (String, String);

/// The maximum length of a text in PEM, in bytes: many times that of a usual certificate.
pub(crate) const PEM_LEN_MAX: u32 = 64 << 10;

/// How many bytes are kept meanwhile for each byte of a text: a request can consist of very short names.
pub(crate) const BYTES_PER_BYTE: usize = 32;

/// Why there is no certificate.
#[derive(Debug, Clone)]
pub(crate) enum CertificateError {
    /// The root is not a certificate in PEM, or its name has an unsupported form.
    Root,
    Failed(rcgen::Error),
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => write!(f, "the root that should sign is not a certificate in PEM"),
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

fn named(names: &[&str], name: &str) -> Result<CertificateParams, CertificateError> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::OrganizationName, "Lunatic");
    params.distinguished_name.push(DnType::CommonName, name);
    Ok(params)
}

/// The permitted uses in a root's certificate.
fn root_usages() -> Vec<KeyUsagePurpose> {
    vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign]
}

/// The root for tests, which is new in each run of the host.
pub(crate) fn test_root() -> Result<Identity, CertificateError> {
    static ROOT: OnceLock<Result<Identity, CertificateError>> = OnceLock::new();
    let make = || {
        let mut params = named(&[], "Root for tests")?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = root_usages();
        let root = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        Ok((root.pem(), root.key().serialize_pem()))
    };
    ROOT.get_or_init(make).clone()
}

fn issuer(certificate: &str, key: &str) -> Result<Issuer<'static, KeyPair>, CertificateError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = x509::subject(certificate).ok_or(CertificateError::Root)?;
    params.key_usages = root_usages();
    Ok(Issuer::new(params, KeyPair::from_pem(key)?))
}

/// A certificate for a control server on this machine, signed by a root.
pub(crate) fn server(root: &str, root_key: &str) -> Result<Identity, CertificateError> {
    let issuer = issuer(root, root_key)?;
    let key = KeyPair::generate()?;
    let params = named(&["localhost", "127.0.0.1"], "Control server")?;
    Ok((params.signed_by(&key, &issuer)?.pem(), key.serialize_pem()))
}

/// The certificate that a node requests, signed by a root; `None` if the request is not valid.
pub(crate) fn sign(root: &str, root_key: &str, request: &str) -> Result<Option<String>, CertificateError> {
    let issuer = issuer(root, root_key)?;
    let Some(request) = x509::request(request) else {
        return Ok(None);
    };
    let mut params = CertificateParams::default();
    params.distinguished_name = request.name;
    params.subject_alt_names = request.other_names;
    Ok(Some(params.signed_by(&request.key, &issuer)?.pem()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier as _;
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, ServerName, UnixTime};

    use super::*;

    /// Whether a client that trusts the root takes the certificate for this name.
    fn is_trusted(root: &str, certificate: &str, name: &str) -> bool {
        let der = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(der(root)).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        verifier
            .verify_server_cert(&der(certificate), &[], &name, &[], UnixTime::now())
            .is_ok()
    }

    #[test]
    fn what_is_signed_is_trusted_by_who_trusts_the_root() {
        let (root, key) = test_root().unwrap();
        let (certificate, _) = server(&root, &key).unwrap();
        assert!(is_trusted(&root, &certificate, "localhost") && is_trusted(&root, &certificate, "127.0.0.1"));
        let own = KeyPair::generate().unwrap();
        let request = named(&["node.example", "10.0.0.1"], "A node")
            .unwrap()
            .serialize_request(&own)
            .unwrap();
        let signed = sign(&root, &key, &request.pem().unwrap()).unwrap().unwrap();
        assert!(is_trusted(&root, &signed, "node.example") && is_trusted(&root, &signed, "10.0.0.1"));
        assert!(!is_trusted(&root, &signed, "localhost"));
        let other = CertifiedIssuer::self_signed(named(&[], "Another").unwrap(), KeyPair::generate().unwrap()).unwrap();
        assert!(!is_trusted(&other.pem(), &signed, "node.example"));
    }

    #[test]
    fn what_is_no_request_or_not_signed_with_its_key_is_not_signed() {
        let (root, key) = test_root().unwrap();
        assert_eq!(sign(&root, &key, "nonsense").unwrap(), None);
        assert!(sign("nonsense", &key, "nonsense").is_err() && server(&root, "nonsense").is_err());
        let own = KeyPair::generate().unwrap();
        let request = named(&["node"], "A node").unwrap().serialize_request(&own).unwrap();
        for at in 0..request.der().len() {
            let mut der = request.der().to_vec();
            der[at] ^= 1;
            let pem = encode(&der);
            assert_eq!(sign(&root, &key, &pem).unwrap(), None, "byte {at}");
        }
    }

    /// DER as PEM.
    fn encode(der: &[u8]) -> String {
        const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::from("-----BEGIN CERTIFICATE REQUEST-----\n");
        for chunk in der.chunks(3) {
            let bits = (0..3).fold(0_u32, |bits, at| bits << 8 | u32::from(*chunk.get(at).unwrap_or(&0)));
            let letters = (0..4).map(|at| char::from(LETTERS[(bits >> (18 - 6 * at)) as usize & 63]));
            text.extend(letters.take(chunk.len() + 1));
            text.push_str(&"="[..usize::from(chunk.len() < 3)]);
            text.push_str(&"="[..usize::from(chunk.len() < 2)]);
        }
        text + "\n-----END CERTIFICATE REQUEST-----\n"
    }
}
