//! The dashboard's port for other machines: who has a certificate of the right authority, and who has not.

mod opened;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lunatic_admin::view::SystemView;
use lunatic_admin::{Certificates, Dashboard, Program};
use opened::Opened;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tempfile::TempDir;

/// Sleeps for an hour.
const PROGRAM: &str = r#"(module
    (import "lunatic::process" "sleep_ns" (func $sleep (param i64)))
    (memory (export "memory") 1)
    (func (export "_start") (call $sleep (i64.const 3600000000000))))"#;

/// Signs certificates.
struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key, in PEM.
struct Identity {
    certificate: String,
    key: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn sign(&self, name: &str) -> Identity {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        Identity {
            certificate: params.signed_by(&key, &self.0).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }
}

struct Shown {
    opened: Opened,
    _folder: TempDir,
    address: SocketAddr,
    servers: Authority,
    clients: Authority,
}

fn write(folder: &TempDir, name: &str, text: &str) -> PathBuf {
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    path
}

fn show() -> Shown {
    let (servers, clients, folder) = (Authority::new(), Authority::new(), tempfile::tempdir().unwrap());
    let server = servers.sign("localhost");
    let certificates = Certificates {
        certificate: write(&folder, "certificate.pem", &server.certificate),
        key: write(&folder, "key.pem", &server.key),
        client_ca: write(&folder, "clients.pem", &clients.0.pem()),
    };
    let opened = opened::open(PROGRAM);
    let dashboard = Dashboard::open_tls("0.0.0.0:0".parse().unwrap(), &certificates).unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], dashboard.address().port()));
    let program = Program {
        runtime: opened.runtime.clone(),
        system: opened.system.clone(),
        name: "test.wasm".into(),
        start: Instant::now(),
    };
    dashboard.serve(program).unwrap();
    Shown {
        opened,
        _folder: folder,
        address,
        servers,
        clients,
    }
}

impl Shown {
    /// What comes back for a request of a client with this certificate, or none.
    fn ask(&self, identity: Option<&Identity>, request: &str) -> Result<String, std::io::Error> {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(self.servers.0.pem().as_bytes()).unwrap();
        roots.add(root).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.unwrap().with_root_certificates(roots);
        let config = match identity {
            Some(Identity { certificate, key }) => {
                let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                config.with_client_auth_cert(vec![certificate], key).unwrap()
            }
            None => config.with_no_client_auth(),
        };
        let connection = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
        let stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let mut stream = StreamOwned::new(connection, stream);
        write!(
            stream,
            "{request}\r\nhost: shop.example:4041\r\nconnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    fn still_answers(&self) {
        let answer = self
            .ask(Some(&self.clients.sign("ops")), "GET /v1/system HTTP/1.1")
            .unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        let view: SystemView = serde_json::from_str(body).unwrap();
        assert_eq!(view.program, "test.wasm");
    }
}

#[test]
fn who_has_a_certificate_sees_the_program_and_steers_it() {
    let shown = show();
    shown.still_answers();
    let client = shown.clients.sign("ops");
    let page = shown.ask(Some(&client), "GET / HTTP/1.1").unwrap();
    assert!(
        page.contains("<title>Lunatic</title>") && page.contains("content-security-policy"),
        "{page}"
    );
    shown.ask(Some(&client), "POST /v1/processes/1/kill HTTP/1.1").unwrap();
    assert_eq!(shown.opened.system.wait(), lunatic_host::ExitReason::Killed);
}

#[test]
fn who_has_none_or_one_of_somebody_else_gets_nothing() {
    let shown = show();
    let stranger = Authority::new().sign("ops");
    // That of a server is none of a client: another authority signs those.
    let server = shown.servers.sign("localhost");
    for identity in [None, Some(&stranger), Some(&server)] {
        for request in [
            "GET / HTTP/1.1",
            "GET /v1/system HTTP/1.1",
            "POST /v1/shutdown HTTP/1.1",
        ] {
            let answer = shown.ask(identity, request);
            assert!(answer.is_err(), "{request}: {answer:?}");
        }
    }
    let mut plain = TcpStream::connect(shown.address).unwrap();
    plain
        .write_all(b"GET /v1/system HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
    shown.still_answers();
    assert!(shown.opened.system.main().is_some());
}

/// A browser shows the user's certificate also when a stranger's page asks.
#[test]
fn pages_of_strangers_are_not_answered_whoever_looks_at_them() {
    let shown = show();
    let client = shown.clients.sign("ops");
    for origin in ["https://evil.example", "http://shop.example:4041", "null"] {
        let request = format!("POST /v1/shutdown HTTP/1.1\r\norigin: {origin}");
        let answer = shown.ask(Some(&client), &request).unwrap();
        assert!(answer.starts_with("HTTP/1.1 403"), "{origin}: {answer}");
    }
    // Without an origin: a picture, a script, a link.
    for site in [
        "cross-site",
        "same-site",
        "same-origin\r\nsec-fetch-site: cross-site",
        "",
    ] {
        let request = format!("GET /v1/system HTTP/1.1\r\nsec-fetch-site: {site}");
        let answer = shown.ask(Some(&client), &request).unwrap();
        assert!(answer.starts_with("HTTP/1.1 403"), "{site}: {answer}");
    }
    for site in ["same-origin", "none"] {
        let request = format!("GET /v1/system HTTP/1.1\r\nsec-fetch-site: {site}");
        let answer = shown.ask(Some(&client), &request).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{site}: {answer}");
    }
    let own = "GET /v1/system HTTP/1.1\r\norigin: https://shop.example:4041";
    assert!(shown.ask(Some(&client), own).unwrap().starts_with("HTTP/1.1 200"));
    assert!(shown.opened.system.main().is_some());
}

#[test]
fn clients_that_never_finish_a_handshake_keep_others_waiting_for_some_seconds_at_most() {
    let shown = show();
    let silent: Vec<_> = (0..100).map(|_| TcpStream::connect(shown.address).unwrap()).collect();
    shown.still_answers();
    drop(silent);
}

#[test]
fn files_of_no_use_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new();
    let (identity, other) = (authority.sign("localhost"), authority.sign("localhost"));
    let good = Certificates {
        certificate: write(&folder, "certificate.pem", &identity.certificate),
        key: write(&folder, "key.pem", &identity.key),
        client_ca: write(&folder, "clients.pem", &authority.0.pem()),
    };
    let address: SocketAddr = "127.0.0.1:0".parse().unwrap();
    Dashboard::open_tls(address, &good).unwrap();
    let none = write(&folder, "none.pem", "no certificate");
    let key = write(&folder, "other-key.pem", &other.key);
    let missing = folder.path().join("missing.pem");
    for (bad, name) in [
        (
            Certificates {
                certificate: none.clone(),
                ..good.clone()
            },
            "none.pem",
        ),
        (
            Certificates {
                key: none.clone(),
                ..good.clone()
            },
            "none.pem",
        ),
        (
            Certificates {
                client_ca: none,
                ..good.clone()
            },
            "none.pem",
        ),
        (Certificates { key, ..good.clone() }, "certificate.pem"),
        (Certificates { key: missing, ..good }, "missing.pem"),
    ] {
        let error = Dashboard::open_tls(address, &bad).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
}
