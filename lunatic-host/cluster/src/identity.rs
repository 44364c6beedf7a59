//! The identity of a node: its certificate, its private key and the certificate of the authority, in one file.

use std::io;
use std::path::Path;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::{files, name};

/// The identity of a node.
pub struct Identity {
    /// The cluster of the node.
    pub cluster: String,
    /// The name of the node.
    pub name: String,
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) key: PrivateKeyDer<'static>,
    pub(crate) authority: CertificateDer<'static>,
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self {
            cluster: self.cluster.clone(),
            name: self.name.clone(),
            certificate: self.certificate.clone(),
            key: self.key.clone_key(),
            authority: self.authority.clone(),
        }
    }
}

impl Identity {
    /// Reads the file of an identity. Whether its certificate is valid is checked when it is used.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, can be read by others than its owner, or has another content.
    pub fn read(path: &Path) -> io::Result<Self> {
        Self::parse(&files::read_private(path)?).map_err(|error| files::of(path, error))
    }

    fn parse(text: &str) -> io::Result<Self> {
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
        let certificates = certificates.map_err(io::Error::other)?;
        let Ok([certificate, authority]) = <[CertificateDer<'static>; 2]>::try_from(certificates) else {
            return Err(io::Error::other(
                "it is not the identity of a node, which contains two certificates: make one with `lunatic cluster invite`",
            ));
        };
        let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(io::Error::other)?;
        let (cluster, name) = name::of(&certificate)?;
        Ok(Self {
            cluster,
            name,
            certificate,
            key,
            authority,
        })
    }
}
