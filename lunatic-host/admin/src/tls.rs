//! Certificates, which admit clients on other machines.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

/// The files for a port that other machines can reach, in PEM.
#[derive(Debug, Clone)]
pub struct Certificates {
    /// The certificate of this machine, followed by the intermediate certificates that lead to a root.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authorities for clients: only clients with a certificate that one of these has signed are admitted.
    pub client_ca: PathBuf,
}

impl Certificates {
    /// Reads the files.
    ///
    /// # Errors
    ///
    /// If a file cannot be read, is invalid, or does not match the others.
    pub(crate) fn read(&self) -> io::Result<TlsAcceptor> {
        let mut roots = RootCertStore::empty();
        for root in certificates(&self.client_ca)? {
            roots.add(root).map_err(|error| of(&self.client_ca, error))?;
        }
        let provider = Arc::new(ring::default_provider());
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build();
        let clients = clients.map_err(|error| of(&self.client_ca, error))?;
        let key = read(&self.key)?;
        let key = PrivateKeyDer::from_pem_slice(&key).map_err(|error| of(&self.key, error))?;
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.map_err(io::Error::other)?.with_client_cert_verifier(clients);
        let config = config.with_single_cert(certificates(&self.certificate)?, key);
        let mut config = config.map_err(|error| of(&self.certificate, error))?;
        // A session stores the client's certificate, whose length the client chooses. Full handshakes are no problem
        // here.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    let text = read(path)?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let all = all.map_err(|error| of(path, error))?;
    match all.is_empty() {
        true => Err(of(path, "there is no certificate in it")),
        false => Ok(all),
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    fs::read(path).map_err(|error| of(path, error))
}

fn of(path: &Path, error: impl std::fmt::Display) -> io::Error {
    io::Error::other(format!("{}: {error}", path.display()))
}
