//! Nodes on loopback with certificates of authorities in temporary folders.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use lunatic_cluster::{Authority, Certified, Paths};
use lunatic_nodes::Identity;
use lunatic_nodes::driver::Inlet;
use lunatic_nodes::fabric::{Brought, Fabric as _};
use lunatic_nodes::frame::{Route, State};
use lunatic_nodes::identity::NodeId;
use lunatic_nodes::tcp::{TcpFabric, TcpSettings};
use parking_lot::{Condvar, Mutex};

pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// After this time, a frame is sent again.
const AGAIN: Duration = Duration::from_millis(500);
pub(crate) const DAY: Duration = Duration::from_secs(24 * 60 * 60);
pub(crate) const CLUSTER: &str = "demo";

/// An authority, and the files of its nodes.
pub(crate) struct World {
    folder: tempfile::TempDir,
    pub(crate) authority: Authority,
}

impl World {
    pub(crate) fn new(cluster: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::create(&folder.path().join("authority"), cluster).unwrap();
        Self { folder, authority }
    }

    pub(crate) fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    /// The identity of a node that is valid for a day.
    pub(crate) fn invite(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        self.authority.invite(name, DAY, &path, true).unwrap();
        path
    }

    /// The identity of a node that is valid for a while.
    pub(crate) fn invite_for(&self, name: &str, time: Duration) -> PathBuf {
        let path = self.path(name);
        let now = SystemTime::now();
        let text = self.authority.identity(name, now - DAY, now + time).unwrap();
        write_private(&path, &text);
        path
    }

    /// A node that revokes nothing.
    pub(crate) fn node_without_list(&self, name: &str, join: &Place) -> Place {
        Place::open(name, &self.invite(name), None, Some(join.address()))
    }

    /// A node with the name in its certificate.
    pub(crate) fn node(&self, name: &str, join: Option<SocketAddr>) -> Place {
        Place::open(name, &self.invite(name), Some(&self.authority.revoked_list()), join)
    }
}

pub(crate) fn write_private(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// What a node has reported.
#[derive(Debug, Default)]
pub(crate) struct Said {
    texts: Mutex<Vec<String>>,
    more: Condvar,
}

impl Said {
    fn push(&self, text: &str) {
        self.texts.lock().push(text.to_owned());
        self.more.notify_all();
    }

    /// Whether a text with this part is reported in time.
    fn has_until(&self, part: &str, until: Instant) -> bool {
        let mut texts = self.texts.lock();
        loop {
            if texts.iter().any(|text| text.contains(part)) {
                return true;
            }
            if self.more.wait_until(&mut texts, until).timed_out() {
                return texts.iter().any(|text| text.contains(part));
            }
        }
    }
}

/// A node without processes: it shows what its transport brings.
pub(crate) struct Place {
    pub(crate) identity: Identity,
    inlet: Inlet,
    pub(crate) fabric: Arc<TcpFabric>,
    /// What has come and is not examined yet.
    came: Mutex<VecDeque<Brought>>,
    said: Arc<Said>,
}

impl Place {
    /// A node that claims a name, with an identity.
    pub(crate) fn open(name: &str, identity: &Path, revoked: Option<&Path>, join: Option<SocketAddr>) -> Self {
        let said = Arc::<Said>::default();
        let says = said.clone();
        let paths = Paths {
            identity: identity.to_owned(),
            revoked: revoked.map(Path::to_owned),
            policy: None,
        };
        let certified = Certified::read(&paths, move |text| says.push(text)).unwrap();
        Self::with(name, certified, said, join)
    }

    /// A node that claims a name, with a guard.
    pub(crate) fn with(name: &str, certified: Certified, said: Arc<Said>, join: Option<SocketAddr>) -> Self {
        let reports = said.clone();
        let (identity, inlet) = (Identity::new(name, 1).unwrap(), Inlet::new());
        let settings = TcpSettings {
            cluster: certified.cluster().into(),
            identity: identity.clone(),
            listen: "127.0.0.1:0".parse().unwrap(),
            join: join.into_iter().map(|join| join.to_string().into()).collect(),
            guard: Some(Arc::new(certified)),
            report: Arc::new(move |text| reports.push(text)),
        };
        let fabric = TcpFabric::open(settings, inlet.clone()).unwrap();
        Self {
            identity,
            inlet,
            fabric,
            came: Mutex::default(),
            said,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.fabric.address()
    }

    /// What comes next; waits for it.
    pub(crate) fn next(&self) -> Brought {
        let next = self.next_until(Instant::now() + PATIENCE);
        next.unwrap_or_else(|| panic!("nothing comes to {}, which has said {:?}", self.identity, self.said))
    }

    /// What comes next, if it comes in time.
    fn next_until(&self, until: Instant) -> Option<Brought> {
        loop {
            if let Some(brought) = self.came.lock().pop_front() {
                return Some(brought);
            }
            if Instant::now() >= until {
                return None;
            }
            self.came.lock().extend(self.inlet.take(Some(until)).unwrap().0);
        }
    }

    /// Waits until this comes. What comes before it is returned.
    pub(crate) fn hears(&self, expected: &Brought) -> Vec<Brought> {
        let mut before = Vec::new();
        loop {
            let next = self.next();
            if next == *expected {
                return before;
            }
            before.push(next);
        }
    }

    /// Waits until the node reports a text with this part.
    pub(crate) fn says(&self, part: &str) {
        let until = Instant::now() + PATIENCE;
        assert!(self.said.has_until(part, until), "{part}: {:?}", self.said);
    }

    pub(crate) fn seen(&self) -> Brought {
        Brought::Seen(self.identity.clone())
    }

    pub(crate) fn lost(&self) -> Brought {
        Brought::Lost(self.identity.clone())
    }

    /// A frame of this node.
    pub(crate) fn frame(&self, number: u64) -> Vec<u8> {
        let route = Route {
            from: self.identity.id(CLUSTER),
            to: NodeId(1),
            mine: 1,
            theirs: 1,
        };
        route.data(number, State::default(), &[7; 100])
    }

    /// Sends frames, as a node does every second, until the other one reports that it has refused a connection.
    pub(crate) fn tries_in_vain(&self, other: &Place) {
        let start = Instant::now();
        loop {
            self.fabric.send(&other.identity, self.frame(0));
            if other
                .said
                .has_until("was refused", Instant::now() + Duration::from_millis(5))
            {
                return;
            }
            assert!(start.elapsed() < PATIENCE, "{:?}", other.said);
        }
    }

    /// Sends a frame until it has arrived: a node drops frames for one that it does not know yet.
    pub(crate) fn reaches(&self, other: &Place, number: u64) {
        let (start, expected) = (Instant::now(), Brought::Frame(self.frame(number)));
        loop {
            self.fabric.send(&other.identity, self.frame(number));
            let again = Instant::now() + AGAIN;
            while let Some(next) = other.next_until(again) {
                if next == expected {
                    return;
                }
            }
            assert!(start.elapsed() < PATIENCE, "{:?}, {:?}", self.said, other.said);
        }
    }
}
