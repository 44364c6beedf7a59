//! Frames over TCP on loopback: for several nodes on one machine, without certificates.
//!
//! Each node listens on a port, and dials each other node that it learns of. It sends on the connections that it has
//! dialled and receives on those that it has accepted, so both directions are independent, and it does not matter who
//! dials first. At the start of a connection both sides introduce themselves (`greeting.rs`); the one that accepts also
//! says which nodes it knows. So a node that knows the address of one other node learns of all.
//!
//! Nothing here is trusted by the nodes: an introduction is only a hint, and the [hello](crate::frame::Hello) proves who
//! a peer is.
//!
//! # Threads
//!
//! One accepts, and there is one for each connection. All end with the [`TcpFabric`].
//!
//! # Limits
//!
//! A node knows at most [`PEERS_MAX`] others and accepts at most [`ACCEPTED_MAX`] connections. At most
//! [`QUEUED_MAX`] bytes wait for one peer; frames beyond that are dropped, which ends the epoch.

mod accept;
mod dial;
mod greeting;

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use parking_lot::Mutex;

use self::dial::Line;
use self::greeting::Greeting;
use crate::driver::Inlet;
use crate::fabric::{Brought, Fabric};
use crate::identity::Identity;

/// The most other nodes that one node knows.
pub const PEERS_MAX: usize = 256;
/// The most connections that a node accepts at a time.
pub const ACCEPTED_MAX: usize = 1024;
/// The most bytes of frames that wait for one peer.
pub const QUEUED_MAX: usize = 16 << 20;

/// The place of a node on loopback.
#[derive(Debug, Clone)]
pub struct TcpSettings {
    /// The cluster: connections of nodes of other clusters are closed.
    pub cluster: Box<str>,
    /// This node.
    pub identity: Identity,
    /// The address to listen on; port 0 stands for any free port.
    pub listen: SocketAddr,
    /// Addresses of nodes to join. They are tried until they answer.
    pub join: Vec<SocketAddr>,
}

/// Carries the frames of one node over TCP on loopback.
pub struct TcpFabric {
    shared: Arc<Shared>,
    address: SocketAddr,
    acceptor: Option<JoinHandle<()>>,
}

/// What the threads of a fabric share.
struct Shared {
    settings: TcpSettings,
    /// The address that others dial.
    address: SocketAddr,
    inlet: Inlet,
    peers: Mutex<HashMap<Identity, Arc<Line>>>,
    /// The lines to addresses whose nodes are not known yet.
    joining: Mutex<Vec<Arc<Line>>>,
    /// The accepted connections by number.
    accepted: Mutex<HashMap<u64, TcpStream>>,
    is_over: AtomicBool,
}

impl TcpFabric {
    /// Listens and begins to dial. From now on, `inlet` receives what other nodes send.
    ///
    /// # Errors
    ///
    /// If an address is not on loopback, where nobody else can read or change what nodes send each other; if the
    /// address cannot be listened on, or no thread can be started.
    pub fn open(settings: TcpSettings, inlet: Inlet) -> io::Result<Arc<Self>> {
        let others = settings.join.iter().chain([&settings.listen]);
        if let Some(address) = others.into_iter().find(|address| !address.ip().is_loopback()) {
            let text = format!(
                "{address} is not on loopback: without certificates, nodes connect only within one machine, so use \
                 127.0.0.1"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let listener = TcpListener::bind(settings.listen)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            address,
            inlet,
            peers: Mutex::default(),
            joining: Mutex::default(),
            accepted: Mutex::default(),
            is_over: AtomicBool::new(false),
            settings,
        });
        let accepting = shared.clone();
        let acceptor = std::thread::Builder::new().name("lunatic-accept".into());
        let acceptor = acceptor.spawn(move || accept::run(&accepting, &listener))?;
        let fabric = Arc::new(Self {
            shared: shared.clone(),
            address,
            acceptor: Some(acceptor),
        });
        for join in &shared.settings.join {
            let line = Line::start(&shared, None, *join)?;
            shared.joining.lock().push(line);
        }
        Ok(fabric)
    }

    /// The address that other nodes can join.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Fabric for TcpFabric {
    fn send(&self, to: &Identity, frame: Vec<u8>) {
        let line = self.shared.peers.lock().get(to).cloned();
        // A node that is not known here is not there, or will introduce itself.
        if let Some(line) = line {
            line.push(frame);
        }
    }
}

impl Drop for TcpFabric {
    fn drop(&mut self) {
        let shared = &self.shared;
        shared.is_over.store(true, Ordering::Release);
        // What is queued is still sent, such as the news that this node leaves.
        let lines: Vec<_> = shared.peers.lock().drain().map(|(_, line)| line).collect();
        let joining: Vec<_> = shared.joining.lock().drain(..).collect();
        for line in lines.iter().chain(&joining) {
            line.end();
        }
        for line in lines.iter().chain(&joining) {
            line.join();
        }
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
        if let Some(acceptor) = self.acceptor.take() {
            _ = acceptor.join();
        }
        for (_, stream) in shared.accepted.lock().drain() {
            _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }
}

impl Shared {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// How this node introduces itself: with the nodes that it knows, if the other side has dialled.
    fn greeting(&self, knows: bool) -> Greeting {
        let known = match knows {
            true => self
                .peers
                .lock()
                .iter()
                .map(|(node, line)| (node.clone(), line.address()))
                .collect(),
            false => Vec::new(),
        };
        Greeting {
            cluster: self.settings.cluster.clone(),
            identity: self.settings.identity.clone(),
            address: self.address,
            known,
        }
    }

    /// Takes note of a node, and dials it if it is new. False if it is this node or of no use.
    fn learn(self: &Arc<Self>, node: &Identity, address: SocketAddr) -> bool {
        let is_wrong = *node == self.settings.identity || !address.ip().is_loopback() || self.is_over();
        if is_wrong {
            return false;
        }
        let mut peers = self.peers.lock();
        if peers.contains_key(node) {
            return true;
        }
        if peers.len() >= PEERS_MAX {
            return false;
        }
        match Line::start(self, Some(node.clone()), address) {
            Ok(line) => {
                peers.insert(node.clone(), line);
                true
            }
            // Without a thread, the node is not reached; it introduces itself again when it dials again.
            Err(_) => false,
        }
    }

    /// Forgets a node that no longer answers under its address.
    fn forget(&self, node: &Identity) {
        self.peers.lock().remove(node);
        self.inlet.bring(Brought::Lost(node.clone()));
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    struct Place {
        identity: Identity,
        inlet: Inlet,
        fabric: Arc<TcpFabric>,
        /// What has come and is not examined yet.
        came: Mutex<std::collections::VecDeque<Brought>>,
    }

    impl Place {
        fn open(name: &str, join: Option<SocketAddr>) -> Self {
            let (identity, inlet) = (Identity::new(name, 1).unwrap(), Inlet::new());
            let settings = TcpSettings {
                cluster: "test".into(),
                identity: identity.clone(),
                listen: "127.0.0.1:0".parse().unwrap(),
                join: join.into_iter().collect(),
            };
            let fabric = TcpFabric::open(settings, inlet.clone()).unwrap();
            Self {
                identity,
                inlet,
                fabric,
                came: Mutex::default(),
            }
        }

        /// Waits until this comes, and passes over everything else.
        fn hears(&self, expected: &Brought) {
            let until = Instant::now() + PATIENCE;
            while Instant::now() < until {
                while let Some(brought) = self.came.lock().pop_front() {
                    if brought == *expected {
                        return;
                    }
                }
                self.came.lock().extend(self.inlet.take(Some(until)).unwrap().0);
            }
            panic!("{} never hears what it should", self.identity);
        }
    }

    fn seen(place: &Place) -> Brought {
        Brought::Seen(place.identity.clone())
    }

    #[test]
    fn nodes_find_each_other_through_one_of_them_and_frames_arrive() {
        let a = Place::open("a", None);
        let b = Place::open("b", Some(a.fabric.address()));
        a.hears(&seen(&b));
        b.hears(&seen(&a));
        let c = Place::open("c", Some(b.fabric.address()));
        a.hears(&seen(&c));
        c.hears(&seen(&a));
        for number in 0..100 {
            a.fabric.send(&c.identity, vec![number; 60_000]);
        }
        for number in 0..100 {
            c.hears(&Brought::Frame(vec![number; 60_000]));
        }
        // What is queued arrives before the connection closes.
        let (gone, lost) = (c.identity.clone(), Brought::Lost(c.identity.clone()));
        c.fabric.send(&a.identity, vec![7; 50]);
        drop(c);
        a.hears(&Brought::Frame(vec![7; 50]));
        b.hears(&lost);
        // Nobody is there any more.
        b.fabric.send(&gone, b"nothing".to_vec());
    }

    #[test]
    fn only_loopback_is_accepted() {
        for address in ["0.0.0.0:0", "192.0.2.1:7", "[::]:0"] {
            let settings = TcpSettings {
                cluster: "test".into(),
                identity: Identity::new("a", 1).unwrap(),
                listen: address.parse().unwrap(),
                join: Vec::new(),
            };
            let refused = TcpFabric::open(settings, Inlet::new()).map(drop);
            assert!(refused.unwrap_err().to_string().contains("is not on loopback"));
        }
    }
}
