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
use rustls::client::ClientConnection;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ServerConnection;
use rustls::{CommonState, StreamOwned};

use crate::files::{self, Watched};
use crate::identity::Identity;
use crate::keys::{self, Keys, List, PROTOCOL};
use crate::trust::Policies;
use crate::{name, shared};

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
    /// `None` without files.
    files: Mutex<Option<Files>>,
    is_of_this_machine: bool,
    policies: Arc<Policies>,
    report: Box<dyn Fn(&str) + Send + Sync>,
    has_warned: Mutex<bool>,
}

/// The files of [`Certified`], and what was usable of them last.
struct Files {
    identity: Watched,
    revoked: Option<Watched>,
    own: Identity,
    /// A moment at which the certificate of `own` was valid.
    valid_at: UnixTime,
    list: Option<List>,
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
        let list = paths.revoked.as_deref().map(keys::list).transpose()?;
        let valid_at = UnixTime::now();
        let keys = Keys::of_valid(&own, list.as_ref(), &paths.identity, valid_at)?;
        Ok(Self {
            cluster: own.cluster.clone(),
            name: own.name.clone(),
            now: RwLock::new(keys),
            files: Mutex::new(Some(Files {
                identity,
                revoked,
                own,
                valid_at,
                list,
            })),
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
        let keys = Keys::of_valid(&own, None, Path::new("the secret of the cluster"), UnixTime::now())?;
        Ok(Self {
            cluster: own.cluster.clone(),
            name: own.name.clone(),
            now: RwLock::new(keys),
            files: Mutex::new(None),
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

    /// Reads the files again, and takes what is usable of them: a node must not miss a revocation because something is
    /// wrong with its own file, nor a new certificate because something is wrong with the list. True if this node has
    /// another certificate.
    fn read_again(&self, files: &mut Files) -> bool {
        let now = UnixTime::now();
        let own = self.read_own(files.identity.path());
        let list = files
            .revoked
            .as_ref()
            .map(|revoked| keys::list(revoked.path()))
            .transpose();
        // First both together: they may be of another authority than before.
        if let (Ok(own), Ok(list)) = (&own, &list)
            && let Ok(keys) = Keys::of_valid(own, list.as_ref(), files.identity.path(), now)
        {
            let is_new = self.take(keys);
            (self.report)(match is_new {
                true => "this node now uses a new certificate",
                false => "certificates and their revocations were read again",
            });
            (files.own, files.valid_at, files.list) = (own.clone(), now, list.clone());
            return is_new;
        }
        if let Some(revoked) = &files.revoked {
            let listed = list.and_then(|list| {
                let keys = Keys::of_listed(&files.own, list.as_ref(), revoked.path(), files.valid_at)?;
                Ok((keys, list))
            });
            match listed {
                Ok((keys, list)) => {
                    self.take(keys);
                    files.list = list;
                    (self.report)("the list of revoked certificates was read again");
                }
                Err(error) => {
                    (self.report)(&format!(
                        "the previous list of revoked certificates stays in force: {error}"
                    ));
                }
            }
        }
        let owned = own.and_then(|own| {
            let keys = Keys::of_valid(&own, files.list.as_ref(), files.identity.path(), now)?;
            Ok((keys, own))
        });
        match owned {
            Ok((keys, own)) => {
                let is_new = self.take(keys);
                (files.own, files.valid_at) = (own, now);
                if is_new {
                    (self.report)("this node now uses a new certificate");
                }
                is_new
            }
            Err(error) => {
                (self.report)(&format!(
                    "the previous certificate of this node stays in force: {error}"
                ));
                false
            }
        }
    }

    /// Reads the identity, which must be one of this node.
    fn read_own(&self, path: &Path) -> io::Result<Identity> {
        let own = Identity::read(path)?;
        if (&own.cluster, &own.name) != (&self.cluster, &self.name) {
            let text = format!("it is the identity of node {} in cluster {}", own.name, own.cluster);
            return Err(files::of(path, text));
        }
        Ok(own)
    }

    /// Puts the keys in the place of the former ones. True if the certificate is another one.
    fn take(&self, keys: Keys) -> bool {
        let mut now = self.now.write();
        let is_new = keys.certificate != now.certificate;
        *now = keys;
        drop(now);
        if is_new {
            *self.has_warned.lock() = false;
        }
        is_new
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
        let mut files = self.files.lock();
        let Some(files_now) = &mut *files else {
            return false;
        };
        // Both are asked, so that both take note.
        let changed = [
            files_now.identity.has_changed(),
            files_now.revoked.as_mut().is_some_and(Watched::has_changed),
        ];
        let is_new = changed.contains(&true) && self.read_again(files_now);
        drop(files);
        match self.policies.refresh() {
            None => {}
            Some(Ok(())) => (self.report)("the policy was read again"),
            Some(Err(error)) => (self.report)(&format!("the previous policy stays in force: {error}")),
        }
        self.warn();
        is_new
    }
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}
