//! Frames over TCP: on loopback without certificates, and between machines with a [`Guard`].
//!
//! Each node listens on a port, and dials each other node that it learns of. It sends on the connections that it has
//! dialled and receives on those that it has accepted, so both directions are independent, and it does not matter who
//! dials first. At the start of a connection both sides introduce themselves (`greeting.rs`); the one that accepts also
//! says which nodes it knows. So a node that knows the address of one other node learns of all.
//!
//! Without a guard, nothing here is trusted by the nodes: an introduction is only a hint, and the
//! [hello](crate::frame::Hello) proves who a peer is. A guard proves the name of the other end before anything else is
//! read. Then a connection is closed if its introduction, a hello or another frame on it names another node.
//!
//! # Threads
//!
//! One accepts, and there is one for each connection; with a guard, one more looks after the connections. All end with
//! the [`TcpFabric`].
//!
//! # Limits
//!
//! A node knows at most [`PEERS_MAX`] others and accepts at most [`ACCEPTED_MAX`] connections, [`PER_PEER_MAX`] of a
//! peer that has proved its name. [`GREETING_MAX`] connections may be about to introduce themselves, each for
//! `GREETING_TIMEOUT`. At most [`QUEUED_MAX`] bytes wait for one peer; frames beyond that are dropped, which ends the
//! epoch.

mod accept;
mod accepted;
mod dial;
mod greeting;
pub mod guard;
mod sender;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream, ToSocketAddrs as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use self::accepted::Accepted;
use self::dial::{Line, Target};
use self::greeting::Greeting;
use self::guard::Guard;
use crate::driver::Inlet;
use crate::fabric::{Brought, Fabric};
use crate::identity::Identity;

/// The most other nodes that one node knows. With a guard, half of them may be nodes that others have told it of.
pub const PEERS_MAX: usize = 256;
/// The most connections that a node accepts at a time.
pub const ACCEPTED_MAX: usize = 1024;
/// The most accepted connections of one peer that has proved its name: one, and some that were lost unnoticed.
pub const PER_PEER_MAX: usize = 4;
/// The most accepted connections that have not introduced themselves yet.
pub const GREETING_MAX: usize = 64;
/// The most bytes of frames that wait for one peer.
pub const QUEUED_MAX: usize = 16 << 20;
/// How long both sides of a connection may take to introduce themselves, with everything that a guard requires.
const GREETING_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the last frames may take when a node ends.
const LAST_FRAMES: Duration = Duration::from_secs(2);
/// How much time lies between two reports about connections that others can cause.
const REPORTED_EVERY: Duration = Duration::from_secs(1);

/// The place of a node in a network.
#[derive(Clone)]
pub struct TcpSettings {
    /// The cluster: connections of nodes of other clusters are closed.
    pub cluster: Box<str>,
    /// This node.
    pub identity: Identity,
    /// The address to listen on; port 0 stands for any free port.
    pub listen: SocketAddr,
    /// Where nodes are to be joined, each as `HOST:PORT`. They are tried until they answer.
    pub join: Vec<Box<str>>,
    /// Secures the connections. Without it, they stay on loopback, and every user of the machine can read and change what
    /// nodes send each other.
    pub guard: Option<Arc<dyn Guard>>,
    /// Is called with a text about connections that fail; at most once a second, except for those in `join`.
    pub report: Arc<dyn Fn(&str) + Send + Sync>,
}

impl TcpSettings {
    fn stays_on_loopback(&self) -> bool {
        self.guard.as_ref().is_none_or(|guard| guard.is_of_this_machine())
    }
}

/// Carries the frames of one node over TCP.
pub struct TcpFabric {
    shared: Arc<Shared>,
    address: SocketAddr,
    acceptor: Option<JoinHandle<()>>,
    watcher: Option<JoinHandle<()>>,
}

/// What the threads of a fabric share.
struct Shared {
    settings: TcpSettings,
    /// The address that others dial.
    address: SocketAddr,
    inlet: Inlet,
    peers: Mutex<HashMap<Identity, Known>>,
    /// The lines to addresses whose nodes are not known yet.
    joining: Mutex<Vec<Arc<Line>>>,
    accepted: Mutex<Accepted>,
    /// When something that others can cause was reported last.
    reported: Mutex<Option<Instant>>,
    is_over: AtomicBool,
    /// With this, threads wait for the end.
    end: (Mutex<()>, Condvar),
}

/// A node that is dialled.
struct Known {
    line: Arc<Line>,
    /// The node has proved its name to the guard; otherwise another node has told of it.
    is_proven: bool,
}

impl TcpFabric {
    /// Listens and begins to dial. From now on, `inlet` receives what other nodes send.
    ///
    /// # Errors
    ///
    /// If there is no guard, or one of this machine, and an address is not on loopback; if the address cannot be listened on, or no thread can be started.
    pub fn open(settings: TcpSettings, inlet: Inlet) -> io::Result<Arc<Self>> {
        if settings.stays_on_loopback() {
            let mut others = vec![settings.listen];
            for place in &settings.join {
                let addresses = place.to_socket_addrs();
                others.extend(addresses.map_err(|error| io::Error::new(error.kind(), format!("{place}: {error}")))?);
            }
            others.into_iter().try_for_each(on_loopback)?;
        }
        let listener = TcpListener::bind(settings.listen)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            address,
            inlet,
            peers: Mutex::default(),
            joining: Mutex::default(),
            accepted: Mutex::default(),
            reported: Mutex::default(),
            is_over: AtomicBool::new(false),
            end: Default::default(),
            settings,
        });
        let thread = |name: &str| std::thread::Builder::new().name(name.into());
        let accepting = shared.clone();
        let mut fabric = Self {
            shared: shared.clone(),
            address,
            acceptor: Some(thread("lunatic-accept").spawn(move || accept::run(&accepting, &listener))?),
            watcher: None,
        };
        if shared.settings.guard.is_some() {
            let watching = shared.clone();
            fabric.watcher = Some(thread("lunatic-guard").spawn(move || watch::run(&watching))?);
        }
        for place in &shared.settings.join {
            let line = Line::start(&shared, None, Target::Place(place.clone()))?;
            shared.joining.lock().push(line);
        }
        Ok(Arc::new(fabric))
    }

    /// The address that other nodes can join.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Fabric for TcpFabric {
    fn send(&self, to: &Identity, frame: Vec<u8>) {
        let line = self.shared.peers.lock().get(to).map(|known| known.line.clone());
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
        let end = shared.end.0.lock();
        shared.end.1.notify_all();
        drop(end);
        // What is queued is still sent, such as the news that this node leaves.
        let lines = shared.lines();
        shared.peers.lock().clear();
        shared.joining.lock().clear();
        // A line that is dialling would take seconds, and has nobody to send to.
        let live: Vec<_> = lines.into_iter().filter(|line| line.end()).collect();
        let until = Instant::now() + LAST_FRAMES;
        for line in &live {
            line.join(until);
        }
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
        for thread in [self.acceptor.take(), self.watcher.take()].into_iter().flatten() {
            _ = thread.join();
        }
        shared.accepted.lock().close_all();
    }
}

impl Shared {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// Waits until the fabric ends, at most for this time. True if it has ended.
    fn wait_for_end(&self, time: Duration) -> bool {
        let mut end = self.end.0.lock();
        if !self.is_over() {
            self.end.1.wait_for(&mut end, time);
        }
        self.is_over()
    }

    /// All lines.
    fn lines(&self) -> Vec<Arc<Line>> {
        let known: Vec<_> = self.peers.lock().values().map(|known| known.line.clone()).collect();
        known.into_iter().chain(self.joining.lock().iter().cloned()).collect()
    }

    /// Reports a connection that fails, if connections are guarded.
    fn report(&self, text: &str) {
        if self.settings.guard.is_some() && !self.is_over() {
            (self.settings.report)(text);
        }
    }

    /// Reports what others can cause, at most once a second.
    fn report_seldom(&self, text: &str) {
        let now = Instant::now();
        let mut reported = self.reported.lock();
        if reported.is_none_or(|last| now - last >= REPORTED_EVERY) {
            *reported = Some(now);
            drop(reported);
            self.report(text);
        }
    }

    /// Whether this address may be dialled.
    fn check(&self, address: SocketAddr) -> io::Result<()> {
        match self.settings.stays_on_loopback() {
            true => on_loopback(address),
            false => Ok(()),
        }
    }

    /// How this node introduces itself: with the nodes that it knows, if the other side has dialled.
    fn greeting(&self, knows: bool) -> Greeting {
        let mut known = Vec::new();
        if knows {
            let peers = self.peers.lock();
            let addresses = peers
                .iter()
                .map(|(node, known)| Some((node.clone(), known.line.address()?)));
            known.extend(addresses.flatten());
        }
        Greeting {
            cluster: self.settings.cluster.clone(),
            identity: self.settings.identity.clone(),
            address: self.address,
            known,
        }
    }

    /// Takes note of a node, and dials it if it is new. `is_proven` says whether it has proved its name on a connection.
    /// False if the node is this one or of no use.
    fn learn(self: &Arc<Self>, node: &Identity, address: SocketAddr, is_proven: bool) -> bool {
        let is_wrong = *node == self.settings.identity || address.ip().is_unspecified();
        if is_wrong || self.check(address).is_err() {
            return false;
        }
        let mut peers = self.peers.lock();
        // Looked at under the lock: the end takes all lines under it, and a line that is made later would never end.
        if self.is_over() {
            return false;
        }
        if is_proven {
            // Whoever has proved a name can have one start of a node, not many.
            let same_name = |(other, known): (&Identity, &Known)| known.is_proven && other.name == node.name;
            if peers
                .iter()
                .any(|peer| same_name(peer) && peer.0.incarnation > node.incarnation)
            {
                return false;
            }
            peers.retain(|other, known| {
                let stays = !same_name((other, known)) || other == node;
                if !stays {
                    known.line.end();
                    self.inlet.bring(Brought::Lost(other.clone()));
                }
                stays
            });
        }
        if let Some(known) = peers.get_mut(node) {
            // Another node may have told of a wrong address.
            if !is_proven || known.is_proven || known.line.address() == Some(address) {
                known.is_proven |= is_proven;
                return true;
            }
            known.line.end();
            peers.remove(node);
        }
        // What others tell of must leave room for nodes that come themselves.
        let max = match self.settings.guard.is_some() && !is_proven {
            true => PEERS_MAX / 2,
            false => PEERS_MAX,
        };
        if peers.len() >= max {
            return false;
        }
        match Line::start(self, Some(node.clone()), Target::Address(address)) {
            Ok(line) => {
                peers.insert(node.clone(), Known { line, is_proven });
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

fn on_loopback(address: SocketAddr) -> io::Result<()> {
    if address.ip().is_loopback() {
        return Ok(());
    }
    let text = format!(
        "{address} is not on loopback: without certificates, nodes connect only within one machine, so use 127.0.0.1, or \
         make certificates with `lunatic cluster`"
    );
    Err(io::Error::new(io::ErrorKind::InvalidInput, text))
}
