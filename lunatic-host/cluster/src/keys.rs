//! What follows from the files of a node for its connections: how it proves its name, and whom it believes.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};

use crate::files;
use crate::identity::Identity;
use crate::verified::Verified;

/// What is spoken on the connections: a port that speaks something else with a certificate of the authority, such as a
/// proxy, is not taken for a node.
pub(crate) const PROTOCOL: &[u8] = b"lunatic-nodes/1";

/// A list of revoked certificates, signed by an authority.
pub(crate) type List = CertificateRevocationListDer<'static>;

/// The certificate of a node, and what it needs to check those of others.
pub(crate) struct Keys {
    pub(crate) certificate: CertificateDer<'static>,
    verifier: Arc<dyn ClientCertVerifier>,
    verified: Verified,
    pub(crate) client: Arc<ClientConfig>,
    pub(crate) server: Arc<ServerConfig>,
}

impl Keys {
    /// `file` is where the identity comes from.
    fn new(own: &Identity, list: Option<&List>, file: &Path) -> io::Result<Self> {
        let of = |error: rustls::Error| files::of(file, error);
        let provider = Arc::new(ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(own.authority.clone()).map_err(of)?;
        let mut verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        if let Some(list) = list {
            verifier = verifier.with_crls([list.clone()]);
        }
        let verifier = verifier.build().map_err(io::Error::other)?;

        let server = ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(&[&TLS13]);
        let server = server.map_err(of)?.with_client_cert_verifier(verifier.clone());
        let server = server.with_single_cert(vec![own.certificate.clone()], own.key.clone_key());
        let mut server = server.map_err(of)?;
        // A resumed session would not show its certificate again.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        server.alpn_protocols = vec![PROTOCOL.to_vec()];

        let client = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13]);
        let client = client.map_err(of)?.dangerous();
        let client = client.with_custom_certificate_verifier(Arc::new(OfNodes(verifier.clone())));
        let client = client.with_client_auth_cert(vec![own.certificate.clone()], own.key.clone_key());
        let mut client = client.map_err(of)?;
        client.resumption = Resumption::disabled();
        client.enable_sni = false;
        client.alpn_protocols = vec![PROTOCOL.to_vec()];
        Ok(Self {
            certificate: own.certificate.clone(),
            verifier,
            verified: Verified::default(),
            client: Arc::new(client),
            server: Arc::new(server),
        })
    }

    /// The keys of an identity in `file` with a certificate that is valid now. A list that is wrong, or of another
    /// authority, makes every certificate invalid.
    pub(crate) fn of_valid(own: &Identity, list: Option<&List>, file: &Path, now: UnixTime) -> io::Result<Self> {
        let keys = Self::new(own, list, file)?;
        match keys.verify(&keys.certificate, now) {
            Ok(()) => Ok(keys),
            Err(error) => Err(files::of(file, format!("its certificate is not valid here: {error}"))),
        }
    }

    /// The keys of an identity that was valid then, with a list in `file`. That list counts even if it revokes the
    /// certificate of this node, or if that certificate has expired: it may revoke others, too.
    pub(crate) fn of_listed(own: &Identity, list: Option<&List>, file: &Path, then: UnixTime) -> io::Result<Self> {
        let keys = Self::new(own, list, file)?;
        match keys.verify(&keys.certificate, then) {
            Ok(()) | Err(rustls::Error::InvalidCertificate(CertificateError::Revoked)) => Ok(keys),
            Err(error) => {
                let text = format!("with it, the certificate of this node is not valid: {error}");
                Err(files::of(file, text))
            }
        }
    }

    fn verify(&self, certificate: &CertificateDer<'_>, at: UnixTime) -> Result<(), rustls::Error> {
        self.verifier.verify_client_cert(certificate, &[], at).map(drop)
    }

    /// Whether a certificate will be valid after this time.
    pub(crate) fn admits(&self, certificate: &CertificateDer<'_>, ahead: Duration) -> bool {
        let at = UnixTime::now().as_secs() + ahead.as_secs();
        self.verified.is_valid(certificate, at, |at| {
            let at = UnixTime::since_unix_epoch(Duration::from_secs(at));
            self.verify(certificate, at).is_ok()
        })
    }
}

/// The list of revoked certificates in a file.
pub(crate) fn list(path: &Path) -> io::Result<List> {
    let text = files::read(path)?;
    let lists: Result<Vec<_>, _> = List::pem_slice_iter(text.as_bytes()).collect();
    let lists = lists.map_err(|error| files::of(path, error))?;
    // Of several lists of one authority, only one would count.
    <[List; 1]>::try_from(lists).map(|[list]| list).map_err(|lists| {
        let count = lists.len();
        files::of(
            path,
            format!("it has {count} lists of revoked certificates instead of one"),
        )
    })
}

/// Checks the certificate of the node that was dialled like that of one that dials.
#[derive(Debug)]
struct OfNodes(Arc<dyn ClientCertVerifier>);

impl ServerCertVerifier for OfNodes {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.0.verify_client_cert(end_entity, intermediates, now)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
