//! What a side of TLS is configured with: certificates, keys, roots, protocols.
//!
//! A configuration is text, as that of a spawn is: entries `KEY=VALUE`, a zero byte behind each, certificates and keys in
//! PEM. Reading one takes milliseconds, so the result is kept, with a handle; and one with a handle can be replaced by
//! another while connections are being made with it.

use std::fmt;
use std::sync::{Arc, OnceLock};

use parking_lot::RwLock;
use rustls::client::verify_server_name;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection};

/// Why a configuration is of no use; or a connection with it.
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

fn bad(what: &str, error: impl fmt::Display) -> Bad {
    Bad(format!("{what}: {error}"))
}

/// A configuration with a handle.
pub struct Config {
    current: RwLock<Side>,
}

#[derive(Clone)]
enum Side {
    Client(Arc<ClientConfig>),
    Server(Arc<ServerConfig>),
}

impl Config {
    pub fn read(text: &[u8]) -> Result<Self, Bad> {
        Ok(Self {
            current: RwLock::new(Side::read(text)?),
        })
    }

    /// From now on connections are made with this one.
    pub fn replace(&self, text: &[u8]) -> Result<(), Bad> {
        let side = Side::read(text)?;
        *self.current.write() = side;
        Ok(())
    }

    /// A connection; a client's is to the server of this name.
    pub fn connection(&self, name: Option<&str>) -> Result<Connection, Bad> {
        let side = self.current.read().clone();
        match (side, name) {
            (Side::Client(config), Some(name)) => {
                let name = ServerName::try_from(name.to_owned())
                    .map_err(|_| Bad(format!("{name:?} is no name of a server")))?;
                let connection = ClientConnection::new(config, name).map_err(|error| bad("TLS", error))?;
                Ok(connection.into())
            }
            (Side::Server(config), None) => {
                let connection = ServerConnection::new(config).map_err(|error| bad("TLS", error))?;
                Ok(connection.into())
            }
            (Side::Client(_), None) => Err(Bad("a client must say to which server it connects".into())),
            (Side::Server(_), Some(_)) => Err(Bad("this is the configuration of a server, not of a client".into())),
        }
    }
}

/// The entries, as they were written.
struct Entries {
    is_server: bool,
    alpn: Vec<Vec<u8>>,
    chain: Option<Vec<CertificateDer<'static>>>,
    identities: Vec<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    system_roots: bool,
    roots: RootCertStore,
    client_optional: bool,
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, Bad> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let all = all.map_err(|error| bad("a certificate is not in PEM", error))?;
    if all.is_empty() {
        return Err(Bad("there is no certificate in a text that should be one in PEM".into()));
    }
    Ok(all)
}

impl Entries {
    fn read(text: &[u8]) -> Result<Self, Bad> {
        let text = std::str::from_utf8(text).map_err(|_| Bad("a configuration of TLS is not UTF-8".into()))?;
        let mut own = Self {
            is_server: false,
            alpn: Vec::new(),
            chain: None,
            identities: Vec::new(),
            system_roots: false,
            roots: RootCertStore::empty(),
            client_optional: false,
        };
        for entry in text.split_terminator('\0') {
            let (key, value) = entry.split_once('=').unwrap_or((entry, ""));
            match key {
                "server" => own.is_server = true,
                "client" => own.is_server = false,
                "alpn" => own.alpn.push(value.as_bytes().to_vec()),
                "certificate" => own.chain = Some(certificates(value)?),
                "key" => {
                    let chain = own
                        .chain
                        .take()
                        .ok_or_else(|| Bad("a `key` comes without its `certificate`".into()))?;
                    let key = PrivateKeyDer::from_pem_slice(value.as_bytes())
                        .map_err(|error| bad("a key is not in PEM", error))?;
                    own.identities.push((chain, key));
                }
                "system-roots" => own.system_roots = true,
                "root" => {
                    for root in certificates(value)? {
                        own.roots.add(root).map_err(|error| bad("a root certificate", error))?;
                    }
                }
                "client-optional" => own.client_optional = true,
                _ => return Err(Bad(format!("a configuration of TLS has no entry `{key}`"))),
            }
        }
        match own.chain {
            Some(_) => Err(Bad("a `certificate` comes without its `key`".into())),
            None => Ok(own),
        }
    }
}

fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(ring::default_provider())).clone()
}

/// The roots that the system trusts, read once.
fn system_roots() -> Result<&'static RootCertStore, Bad> {
    static ROOTS: OnceLock<Result<RootCertStore, Bad>> = OnceLock::new();
    let read = || {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        match (roots.is_empty(), found.errors.first()) {
            (false, _) => Ok(roots),
            (true, Some(error)) => Err(bad("the roots of the system cannot be read", error)),
            (true, None) => Err(Bad(
                "the system has no root certificates: install them (in Debian, `ca-certificates`), or give your own"
                    .into(),
            )),
        }
    };
    ROOTS.get_or_init(read).as_ref().map_err(Clone::clone)
}

impl Side {
    fn read(text: &[u8]) -> Result<Self, Bad> {
        let entries = Entries::read(text)?;
        if entries.is_server {
            Ok(Self::Server(Arc::new(server(entries)?)))
        } else {
            Ok(Self::Client(Arc::new(client(entries)?)))
        }
    }
}

fn client(mut entries: Entries) -> Result<ClientConfig, Bad> {
    if entries.system_roots {
        entries.roots.extend(system_roots()?.roots.iter().cloned());
    }
    if entries.roots.is_empty() {
        return Err(Bad("a client trusts nobody: give it `root` or `system-roots`".into()));
    }
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| bad("TLS", error))?
        .with_root_certificates(entries.roots);
    let mut config = match entries.identities.pop() {
        Some((chain, key)) => builder
            .with_client_auth_cert(chain, key)
            .map_err(|error| bad("the client's certificate", error))?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = entries.alpn;
    Ok(config)
}

fn server(entries: Entries) -> Result<ServerConfig, Bad> {
    if entries.identities.is_empty() {
        return Err(Bad("a server needs a `certificate` and its `key`".into()));
    }
    let mut keys = Vec::new();
    for (chain, key) in entries.identities {
        let key = CertifiedKey::from_der(chain, key, &provider());
        keys.push(Arc::new(key.map_err(|error| bad("a certificate and its key", error))?));
    }
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| bad("TLS", error))?;
    let builder = if entries.roots.is_empty() {
        builder.with_no_client_auth()
    } else {
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(entries.roots), provider());
        let verifier = if entries.client_optional {
            verifier.allow_unauthenticated()
        } else {
            verifier
        };
        let verifier = verifier.build().map_err(|error| bad("the roots of clients", error))?;
        builder.with_client_cert_verifier(verifier)
    };
    let mut config = builder.with_cert_resolver(Arc::new(ByName(keys)));
    config.alpn_protocols = entries.alpn;
    Ok(config)
}

/// Gives a client the first certificate that is good for the name it asks for; else the first.
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
    use super::*;

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
            ("client\0".to_owned(), "trusts nobody"),
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
        ] {
            let error = Config::read(text.as_bytes()).err().unwrap().to_string();
            assert!(error.contains(part), "{error}");
        }
        assert!(Config::read(b"\xff").is_err());
    }

    #[test]
    fn a_configuration_is_of_one_side() {
        let (certificate, key) = identity("localhost");
        let server = Config::read(format!("server\0certificate={certificate}\0key={key}\0").as_bytes()).unwrap();
        assert!(server.connection(None).is_ok() && server.connection(Some("localhost")).is_err());
        let client = Config::read(format!("client\0root={certificate}\0").as_bytes()).unwrap();
        assert!(client.connection(Some("localhost")).is_ok() && client.connection(None).is_err());
        assert!(client.connection(Some("not a name")).is_err());
    }
}
