//! The configuration of one side of TLS: certificates, keys, roots, protocols.
//!
//! A configuration is text, like that of a spawn: entries `KEY=VALUE`, each followed by a zero byte, with certificates
//! and keys in PEM. Reading one takes milliseconds, so this is done one entry at a time ([`Draft`]), and the result is
//! kept, with a handle. A configuration with a handle can be replaced by another while connections are made with it.
//!
//! # What one holds
//!
//! [`cost`] computes this from the text. It is paid for as long as the configuration or a connection that was made with
//! it lives. Anything that would exceed it is left out: clients keep no sessions to resume, because a server can make
//! each of them 128 KiB long (a full handshake takes no additional round trip); nor do servers that ask for
//! certificates, whose length the client chooses.

use std::fmt;
use std::sync::{Arc, OnceLock};

use lunatic_kernel::budget::Receipt;
use parking_lot::RwLock;
use rustls::client::Resumption;
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    ClientHello, NoServerSessionStorage, ParsedCertificate, ResolvesServerCert, ServerSessionMemoryCache,
    WebPkiClientVerifier,
};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection};

/// Why a configuration, or a connection with it, is invalid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bad(String);

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<String> for Bad {
    fn from(text: String) -> Self {
        Self(text)
    }
}

pub(super) fn bad(what: &str, error: impl fmt::Display) -> Bad {
    Bad(format!("{what}: {error}"))
}

/// The most sessions that a server keeps for resumption, each of less than 1 KiB.
const SESSIONS_MAX: usize = 128;
/// The size of a configuration in addition to the contents of its text.
const BASE: usize = 16 << 10;
/// The roots of the operating system, if others are trusted as well, so that they cannot be shared.
const SYSTEM_ROOTS: usize = 512 << 10;
/// The longest chain of certificates in bytes: no peer accepts more.
const CHAIN_LEN_MAX: usize = 64 << 10;
/// The longest list of client roots in bytes; a server sends their names to its clients.
const ROOT_NAMES_LEN_MAX: usize = 60 << 10;
/// The most protocols, and the longest name of one.
const PROTOCOLS_MAX: usize = 64;
const PROTOCOL_LEN_MAX: usize = 255;

/// Returns the most bytes that the configuration with this text holds: keys and certificates are kept in forms of up to
/// four times their length in PEM.
pub fn cost(text: &[u8]) -> usize {
    BASE + SESSIONS_MAX * 1024 + SYSTEM_ROOTS * usize::from(mixes_roots(text)) + 4 * text.len()
}

/// Whether the operating system's roots are trusted in addition to others.
fn mixes_roots(text: &[u8]) -> bool {
    let has = |key: &[u8]| text.split(|byte| *byte == 0).any(|entry| entry.starts_with(key));
    has(b"system-roots") && has(b"root=")
}

/// A configuration with a handle.
pub struct Config {
    current: RwLock<Paid>,
}

/// The payment for the configuration, for as long as it or something that was made with it lives.
#[derive(Clone)]
struct Paid {
    side: Side,
    receipt: Arc<Receipt>,
}

#[derive(Clone)]
enum Side {
    Client(Arc<ClientConfig>),
    Server(Arc<ServerConfig>),
}

/// A connection that has not begun, and the payment for its configuration.
pub struct Prepared {
    pub(super) connection: Connection,
    pub(super) receipt: Arc<Receipt>,
}

impl Config {
    /// Reads a complete configuration. `receipt` pays for its [`cost`].
    ///
    /// # Errors
    ///
    /// [`Bad`] says what is wrong with it.
    pub fn read(text: &[u8], receipt: Receipt) -> Result<Self, Bad> {
        let mut draft = Draft::new(text)?;
        while draft.step()? {}
        draft.finish(receipt)
    }

    /// Replaces the configuration for later connections.
    pub fn replace(&self, other: Self) {
        let former = std::mem::replace(&mut *self.current.write(), other.current.into_inner());
        drop(former);
    }

    /// Prepares a connection; that of a client is to the server with this name.
    ///
    /// # Errors
    ///
    /// [`Bad`] if the configuration is for the other side, or the name is invalid.
    pub fn connection(&self, name: Option<&str>) -> Result<Prepared, Bad> {
        let Paid { side, receipt } = self.current.read().clone();
        let connection = match (side, name) {
            (Side::Client(config), Some(name)) => {
                let name = ServerName::try_from(name.to_owned())
                    .map_err(|_| Bad(format!("{name:?} is not the name of a server")))?;
                ClientConnection::new(config, name).map(Connection::from)
            }
            (Side::Server(config), None) => ServerConnection::new(config).map(Connection::from),
            (Side::Client(_), None) => {
                return Err(Bad(
                    "a TLS client needs the name of the server: pass the name that the certificate must have".into(),
                ));
            }
            (Side::Server(_), Some(_)) => {
                return Err(Bad("this is the configuration of a server, not of a client".into()));
            }
        };
        let connection = connection.map_err(|error| bad("TLS", error))?;
        Ok(Prepared { connection, receipt })
    }
}

/// A configuration that is being read.
pub struct Draft<'a> {
    rest: std::str::SplitTerminator<'a, char>,
    is_server: bool,
    alpn: Vec<Vec<u8>>,
    chain: Option<Vec<CertificateDer<'static>>>,
    identities: Vec<CertifiedKey>,
    system_roots: bool,
    roots: RootCertStore,
    client_optional: bool,
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, Bad> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let all = all.map_err(|error| bad("a certificate is not in PEM", error))?;
    if all.is_empty() {
        return Err(Bad(
            "there is no certificate in a text that should be a PEM certificate".into(),
        ));
    }
    Ok(all)
}

impl<'a> Draft<'a> {
    /// Begins to read.
    ///
    /// # Errors
    ///
    /// [`Bad`] if it is not text.
    pub fn new(text: &'a [u8]) -> Result<Self, Bad> {
        let text = std::str::from_utf8(text).map_err(|_| Bad("a TLS configuration is not UTF-8".into()))?;
        Ok(Self {
            rest: text.split_terminator('\0'),
            is_server: false,
            alpn: Vec::new(),
            chain: None,
            identities: Vec::new(),
            system_roots: false,
            roots: RootCertStore::empty(),
            client_optional: false,
        })
    }

    /// Reads one entry, which takes at most some milliseconds; returns false if there is none left.
    ///
    /// # Errors
    ///
    /// [`Bad`] says what is wrong with it.
    pub fn step(&mut self) -> Result<bool, Bad> {
        let Some(entry) = self.rest.next() else {
            return Ok(false);
        };
        let (key, value) = entry.split_once('=').unwrap_or((entry, ""));
        match key {
            "server" => self.is_server = true,
            "client" => self.is_server = false,
            "alpn" => self.alpn.push(protocol(value, self.alpn.len())?),
            "certificate" => self.chain = Some(chain(value)?),
            "key" => self.identities.push(identity(self.chain.take(), value)?),
            "system-roots" => self.system_roots = true,
            "root" => {
                for root in certificates(value)? {
                    self.roots.add(root).map_err(|error| bad("a root certificate", error))?;
                }
            }
            "client-optional" => self.client_optional = true,
            _ => return Err(Bad(format!("a TLS configuration has no entry `{key}`"))),
        }
        Ok(true)
    }

    /// Finishes reading. `receipt` pays for the [`cost`].
    ///
    /// # Errors
    ///
    /// [`Bad`] if something is missing.
    pub fn finish(self, receipt: Receipt) -> Result<Config, Bad> {
        if self.chain.is_some() {
            return Err(Bad("a `certificate` comes without its `key`".into()));
        }
        let side = match self.is_server {
            true => Side::Server(Arc::new(server(self)?)),
            false => Side::Client(Arc::new(client(self)?)),
        };
        let receipt = Arc::new(receipt);
        Ok(Config {
            current: RwLock::new(Paid { side, receipt }),
        })
    }
}

/// Parses the name of a protocol, after `before` others.
fn protocol(name: &str, before: usize) -> Result<Vec<u8>, Bad> {
    if name.is_empty() || name.len() > PROTOCOL_LEN_MAX || before >= PROTOCOLS_MAX {
        return Err(Bad(format!(
            "there are at most {PROTOCOLS_MAX} protocols, whose names have 1 to {PROTOCOL_LEN_MAX} bytes"
        )));
    }
    Ok(name.as_bytes().to_vec())
}

/// A certificate with the intermediate certificates that lead to its root.
fn chain(pem: &str) -> Result<Vec<CertificateDer<'static>>, Bad> {
    let chain = certificates(pem)?;
    if chain.iter().map(|certificate| certificate.len()).sum::<usize>() > CHAIN_LEN_MAX {
        return Err(Bad(format!(
            "a chain of certificates has at most {CHAIN_LEN_MAX} bytes"
        )));
    }
    Ok(chain)
}

/// A certificate with its key.
fn identity(chain: Option<Vec<CertificateDer<'static>>>, key: &str) -> Result<CertifiedKey, Bad> {
    let chain = chain.ok_or_else(|| Bad("a `key` comes without its `certificate`".into()))?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| bad("a key is not in PEM", error))?;
    CertifiedKey::from_der(chain, key, &provider()).map_err(|error| bad("a certificate and its key", error))
}

pub(super) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(ring::default_provider())).clone()
}

/// The roots that the operating system trusts, once they are read.
static ROOTS: OnceLock<Result<Arc<RootCertStore>, Bad>> = OnceLock::new();

/// Returns whether a configuration needs the operating system's roots and these have not been read: they are files of
/// some hundred certificates, which take 20 ms. If they are needed anyway, they are read on demand.
pub fn must_read_roots(text: &[u8]) -> bool {
    ROOTS.get().is_none() && text.split(|byte| *byte == 0).any(|entry| entry == b"system-roots")
}

/// Reads the roots that the operating system trusts, on a thread that may block.
pub fn read_roots() {
    // Whoever needs them gets the error.
    let _ = system_roots();
}

/// The roots that the operating system trusts, read once.
pub(super) fn system_roots() -> Result<Arc<RootCertStore>, Bad> {
    let read = || {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        match (roots.is_empty(), found.errors.first()) {
            (false, _) => Ok(Arc::new(roots)),
            (true, Some(error)) => Err(bad("the root certificates of the system cannot be read", error)),
            (true, None) => Err(Bad(
                "the system has no root certificates: install them (in Debian, `ca-certificates`), or give your own"
                    .into(),
            )),
        }
    };
    ROOTS.get_or_init(read).clone()
}

/// The roots that a client trusts. All clients that trust only the operating system's roots share them.
fn trusted(mut own: RootCertStore, system: bool) -> Result<Arc<RootCertStore>, Bad> {
    if !system {
        return match own.is_empty() {
            true => Err(Bad(
                "a client trusts no certificates: give it `root` or `system-roots`".into()
            )),
            false => Ok(Arc::new(own)),
        };
    }
    let roots = system_roots()?;
    if own.is_empty() {
        return Ok(roots);
    }
    own.extend(roots.roots.iter().cloned());
    Ok(Arc::new(own))
}

fn client(mut draft: Draft<'_>) -> Result<ClientConfig, Bad> {
    let roots = trusted(draft.roots, draft.system_roots)?;
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| bad("TLS", error))?
        .with_root_certificates(roots);
    let mut config = match draft.identities.pop() {
        Some(identity) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity))),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = draft.alpn;
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn server(draft: Draft<'_>) -> Result<ServerConfig, Bad> {
    if draft.identities.is_empty() {
        return Err(Bad("a server needs a `certificate` and its `key`".into()));
    }
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| bad("TLS", error))?;
    let knows_clients = !draft.roots.is_empty();
    let builder = match knows_clients {
        true => builder.with_client_cert_verifier(client_verifier(draft.roots, draft.client_optional)?),
        false => builder.with_no_client_auth(),
    };
    let identities = draft.identities.into_iter().map(Arc::new).collect();
    let mut config = builder.with_cert_resolver(Arc::new(ByName(identities)));
    config.alpn_protocols = draft.alpn;
    if knows_clients {
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
    } else {
        config.session_storage = ServerSessionMemoryCache::new(SESSIONS_MAX);
    }
    Ok(config)
}

fn client_verifier(roots: RootCertStore, optional: bool) -> Result<Arc<dyn ClientCertVerifier>, Bad> {
    // Each is preceded by a length of two bytes.
    let names: usize = roots.roots.iter().map(|root| root.subject.len() + 2).sum();
    if names > ROOT_NAMES_LEN_MAX {
        return Err(Bad(format!(
            "the names of the roots of clients have at most {ROOT_NAMES_LEN_MAX} bytes together"
        )));
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    let verifier = match optional {
        true => verifier.allow_unauthenticated(),
        false => verifier,
    };
    verifier.build().map_err(|error| bad("the roots of clients", error))
}

/// Gives a client the first certificate that is valid for the requested name; otherwise the first one.
#[derive(Debug)]
struct ByName(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().and_then(|name| ServerName::try_from(name).ok());
        let fits = |key: &&Arc<CertifiedKey>| {
            let parsed = key
                .end_entity_cert()
                .ok()
                .and_then(|own| ParsedCertificate::try_from(own).ok());
            matches!((&parsed, &name), (Some(own), Some(name)) if verify_server_name(own, name).is_ok())
        };
        self.0.iter().find(fits).or(self.0.first()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use lunatic_kernel::budget::{Budget, Caps, Purse, Resource};

    use super::*;

    fn read(text: &[u8]) -> Result<Config, Bad> {
        let host = Budget::outermost(Caps::default(), std::time::Instant::now());
        let mut receipt = Receipt::new(Purse::new(None, &host).to_account(), Resource::Network);
        receipt.grow(cost(text)).unwrap();
        Config::read(text, receipt)
    }

    fn identity(name: &str) -> (String, String) {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn what_is_no_configuration_is_refused_with_a_reason() {
        let (certificate, key) = identity("localhost");
        let (_, other_key) = identity("localhost");
        for (text, part) in [
            ("what\0".to_owned(), "no entry `what`"),
            ("client\0".to_owned(), "trusts no certificates"),
            ("server\0".to_owned(), "needs a `certificate`"),
            (format!("server\0key={key}\0"), "without its `certificate`"),
            (format!("server\0certificate={certificate}\0"), "without its `key`"),
            ("client\0root=nonsense\0".to_owned(), "no certificate in a text"),
            (
                format!("server\0certificate={certificate}\0key=nonsense\0"),
                "a key is not in PEM",
            ),
            (
                format!("server\0certificate={certificate}\0key={other_key}\0"),
                "a certificate and its key",
            ),
            (
                format!("client\0root={certificate}\0alpn={}\0", "x".repeat(256)),
                "protocols",
            ),
            (format!("client\0root={certificate}\0alpn=\0"), "protocols"),
            ("alpn=x\0".repeat(65), "protocols"),
            (format!("server\0certificate={}\0", certificate.repeat(200)), "a chain"),
            (
                format!(
                    "server\0certificate={certificate}\0key={key}\0root={}\0",
                    certificate.repeat(2000)
                ),
                "names of the roots",
            ),
        ] {
            let error = read(text.as_bytes()).err().unwrap().to_string();
            assert!(error.contains(part), "{error}");
        }
        assert!(read(b"\xff").is_err());
    }

    #[test]
    fn a_configuration_is_of_one_side() {
        let (certificate, key) = identity("localhost");
        let server = read(format!("server\0certificate={certificate}\0key={key}\0").as_bytes()).unwrap();
        assert!(server.connection(None).is_ok() && server.connection(Some("localhost")).is_err());
        let client = read(format!("client\0root={certificate}\0").as_bytes()).unwrap();
        assert!(client.connection(Some("localhost")).is_ok() && client.connection(None).is_err());
        assert!(client.connection(Some("not a name")).is_err());
    }
}
