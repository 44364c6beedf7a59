//! Secures the connections of a node with its certificate: TLS 1.3, in which both ends prove their names.
//!
//! The same verifier checks both directions: the certificate must be signed by the authority, be valid now, and not be
//! revoked. The name of a host plays no part: a node is reached under any address, and its certificate says who it is.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lunatic_nodes::tcp::guard::{Guard, Peer, Stream, Timed};
use parking_lot::{Mutex, RwLock};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConnection, Resumption};
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ServerConnection, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{
    ClientConfig, CommonState, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme, StreamOwned,
};

use crate::files::{self, Watched};
use crate::identity::Identity;
use crate::trust::Policies;
use crate::{name, shared};

/// What is spoken on the connections: a port that speaks something else with a certificate of the authority, such as a
/// proxy, is not taken for a node.
const PROTOCOL: &[u8] = b"lunatic-nodes/1";
/// A node warns this long before its own certificate ends.
const WARNED_AHEAD: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The files of [`Certified`].
#[derive(Debug, Clone)]
pub struct Paths {
    /// The identity of the node.
    pub identity: PathBuf,
    /// The list of revoked certificates, if there is one.
    pub revoked: Option<PathBuf>,
    /// The policy, if there is one.
    pub policy: Option<PathBuf>,
}

/// Secures the connections of a node. Reads its files again when they change.
pub struct Certified {
    cluster: String,
    name: String,
    now: RwLock<Keys>,
    /// The files that are read again: the identity, and the list of revoked certificates.
    watched: Mutex<Option<(Watched, Option<Watched>)>>,
    is_of_this_machine: bool,
    policies: Arc<Policies>,
    report: Box<dyn Fn(&str) + Send + Sync>,
    has_warned: Mutex<bool>,
}

/// What follows from the files.
struct Keys {
    certificate: CertificateDer<'static>,
    verifier: Arc<dyn ClientCertVerifier>,
    client: Arc<ClientConfig>,
    server: Arc<ServerConfig>,
}

impl Certified {
    /// Reads the files. `report` is called with a text when a file that is read again is invalid or changes something,
    /// and when the certificate is about to end.
    ///
    /// # Errors
    ///
    /// If a file is invalid or does not match the others, or the certificate of the node itself is not valid now.
    pub fn read(paths: &Paths, report: impl Fn(&str) + Send + Sync + 'static) -> io::Result<Self> {
        let mut identity = Watched::new(&paths.identity);
        let mut revoked = paths.revoked.as_deref().map(Watched::new);
        // From here on, a change is noticed.
        identity.has_changed();
        revoked.as_mut().map(Watched::has_changed);
        let own = Identity::read(&paths.identity)?;
        Ok(Self {
            cluster: own.cluster.clone(),
            name: own.name.clone(),
            now: RwLock::new(Keys::new(&own, &paths.identity, paths.revoked.as_deref())?),
            watched: Mutex::new(Some((identity, revoked))),
            is_of_this_machine: false,
            policies: Arc::new(Policies::read(paths.policy.as_deref())?),
            report: Box::new(report),
            has_warned: Mutex::new(false),
        })
    }

    /// The same for nodes of one user on one machine, without files: whoever knows the secret can be any of them. Their
    /// connections stay on this machine. The secret must have at least 16 random bytes.
    ///
    /// # Errors
    ///
    /// If a name is invalid.
    pub fn with_secret(secret: &[u8], cluster: &str, name: &str) -> io::Result<Self> {
        let own = shared::identity(secret, cluster, name)?;
        Ok(Self {
            cluster: own.cluster.clone(),
            name: own.name.clone(),
            now: RwLock::new(Keys::new(&own, Path::new("the secret of the cluster"), None)?),
            watched: Mutex::new(None),
            is_of_this_machine: true,
            policies: Arc::new(Policies::read(None)?),
            report: Box::new(|_| ()),
            has_warned: Mutex::new(true),
        })
    }

    /// The cluster of the certificate.
    #[must_use]
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// The name of the node in the certificate.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The policy of the node.
    #[must_use]
    pub fn policies(&self) -> Arc<Policies> {
        self.policies.clone()
    }

    /// The node at the other end, after the handshake.
    fn peer(&self, common: &CommonState) -> io::Result<Peer> {
        if common.alpn_protocol() != Some(PROTOCOL) {
            return Err(invalid("the other side uses another protocol"));
        }
        let certificates = common.peer_certificates().unwrap_or_default();
        let certificate = certificates
            .first()
            .ok_or_else(|| invalid("the other side has sent no certificate"))?;
        let (cluster, name) = name::of(certificate)?;
        if cluster != self.cluster {
            return Err(invalid("the other side belongs to another cluster"));
        }
        Ok(Peer {
            name: name.into(),
            certificate: certificate.as_ref().into(),
        })
    }

    /// Reads the files again. True if this node has another certificate.
    fn read_again(&self, identity: &Path, revoked: Option<&Path>) -> io::Result<bool> {
        let own = Identity::read(identity)?;
        if (&own.cluster, &own.name) != (&self.cluster, &self.name) {
            let text = format!("it is the identity of node {} in cluster {}", own.name, own.cluster);
            return Err(files::of(identity, text));
        }
        let keys = Keys::new(&own, identity, revoked)?;
        let mut now = self.now.write();
        let is_new = keys.certificate != now.certificate;
        *now = keys;
        drop(now);
        if is_new {
            *self.has_warned.lock() = false;
        }
        Ok(is_new)
    }

    /// Warns once before the certificate of this node ends.
    fn warn(&self) {
        let mut has_warned = self.has_warned.lock();
        let now = self.now.read();
        if !*has_warned && !now.admits(&now.certificate, WARNED_AHEAD) {
            *has_warned = true;
            drop(now);
            (self.report)(
                "the certificate of this node ends within seven days: make another one with `lunatic cluster invite`, \
                 and put it in the place of the file",
            );
        }
    }
}

impl Guard for Certified {
    fn accept(&self, stream: Timed) -> io::Result<(Box<dyn Stream>, Peer)> {
        let config = self.now.read().server.clone();
        let connection = ServerConnection::new(config).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(connection, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        let peer = self.peer(&stream.conn)?;
        Ok((Box::new(stream), peer))
    }

    fn dial(&self, stream: Timed) -> io::Result<(Box<dyn Stream>, Peer)> {
        let config = self.now.read().client.clone();
        // Not sent, and not compared with anything.
        let host = ServerName::IpAddress(std::net::Ipv4Addr::UNSPECIFIED.into());
        let connection = ClientConnection::new(config, host).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(connection, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        let peer = self.peer(&stream.conn)?;
        Ok((Box::new(stream), peer))
    }

    fn admits(&self, peer: &Peer, ahead: Duration) -> bool {
        let certificate = CertificateDer::from(&*peer.certificate);
        self.now.read().admits(&certificate, ahead)
    }

    fn is_of_this_machine(&self) -> bool {
        self.is_of_this_machine
    }

    fn refresh(&self) -> bool {
        let mut watched = self.watched.lock();
        let Some((identity, revoked)) = &mut *watched else {
            return false;
        };
        // Both are asked, so that both take note.
        let changed = [
            identity.has_changed(),
            revoked.as_mut().is_some_and(Watched::has_changed),
        ];
        let mut is_new = false;
        if changed.contains(&true) {
            match self.read_again(identity.path(), revoked.as_ref().map(Watched::path)) {
                Ok(is_other) => {
                    is_new = is_other;
                    let text = match is_new {
                        true => "this node now uses a new certificate",
                        false => "certificates and their revocations were read again",
                    };
                    (self.report)(text);
                }
                Err(error) => (self.report)(&format!(
                    "the previous certificates and revocations stay in force: {error}"
                )),
            }
        }
        drop(watched);
        match self.policies.refresh() {
            None => {}
            Some(Ok(())) => (self.report)("the policy was read again"),
            Some(Err(error)) => (self.report)(&format!("the previous policy stays in force: {error}")),
        }
        self.warn();
        is_new
    }
}

impl Keys {
    fn new(own: &Identity, identity: &Path, revoked: Option<&Path>) -> io::Result<Self> {
        let of = |error: rustls::Error| files::of(identity, error);
        let provider = Arc::new(ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(own.authority.clone()).map_err(of)?;
        let mut verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        if let Some(revoked) = revoked {
            verifier = verifier.with_crls([list(revoked)?]);
        }
        let verifier = verifier.build().map_err(io::Error::other)?;
        // A wrong list, or one of another authority, would make every certificate invalid.
        verifier
            .verify_client_cert(&own.certificate, &[], UnixTime::now())
            .map_err(|error| files::of(identity, format!("its certificate is not valid here: {error}")))?;

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
            client: Arc::new(client),
            server: Arc::new(server),
        })
    }

    fn admits(&self, certificate: &CertificateDer<'_>, ahead: Duration) -> bool {
        let then = UnixTime::since_unix_epoch(Duration::from_secs(UnixTime::now().as_secs()) + ahead);
        self.verifier.verify_client_cert(certificate, &[], then).is_ok()
    }
}

/// The list of revoked certificates in a file.
fn list(path: &Path) -> io::Result<CertificateRevocationListDer<'static>> {
    let text = files::read(path)?;
    CertificateRevocationListDer::from_pem_slice(text.as_bytes()).map_err(|error| files::of(path, error))
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
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
