//! A kernel in a cluster: signals from its processes to other nodes go out as records, and records from other nodes
//! become signals for its processes.
//!
//! The end of an epoch reaches processes in this order: first all links, monitors and calls to that node; then the
//! spawns that were not answered; then the processes that [monitor nodes](Cluster::monitor_nodes).
//!
//! # Locks
//!
//! Whoever sends takes the lock of the [`Node`], and takes no other lock under it. Only one thread at a time handles
//! events (`turn`), so the end of an epoch does not overtake what came before it.

mod names;
mod spawn;
mod way;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use lunatic_kernel::address::{Id, Keys, Peer};
use lunatic_kernel::exit::Loss;
use lunatic_kernel::host::Host;
use lunatic_kernel::{Kernel, Process};

use self::spawn::Pending;
use self::way::{Registrar, Way};
use crate::fabric::FabricEvent;
use crate::identity::{Identity, NodeId};
use crate::names::Conflict;
use crate::node::{Event, Member, Node, Refusal, Settings};
use crate::record::{Hash, Read, Record};
use crate::store::FetchRefusal;
use crate::trust::Trust;

pub use self::spawn::{Answer, Request, SpawnRefusal};

/// The embedder of a kernel that is in a cluster.
pub trait Above<H: Host>: Send + Sync {
    /// Makes the process that another node has requested, [without letting it run](Kernel::new_process). Must not wait.
    ///
    /// # Errors
    ///
    /// If there is no process: why, as text for people.
    fn spawn(&self, kernel: &Arc<Kernel<H>>, request: Request<'_>) -> Result<Arc<Process<H>>, String>;

    /// Is called for each event in the cluster. Must not wait.
    fn told(&self, _: &Told) {}
}

/// An event in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Told {
    /// A node is connected.
    Up(NodeId, Identity),
    /// A node is no longer connected; all processes have been notified.
    Down(NodeId, Identity, Loss),
    /// A node has greeted this one, and was refused.
    Refused(Identity, Refusal),
    /// A process of this node has lost its name.
    Conflict(Conflict),
    /// A module has been fetched, or cannot be fetched.
    Fetched(Hash, Result<Arc<[u8]>, FetchRefusal>),
}

/// What senders share with the thread that handles events.
struct Shared {
    node: Mutex<Node>,
    /// The processes with names, whose ends are reported to the [`Registrar`].
    watched: Mutex<BTreeSet<u64>>,
    /// Whether the driver has been woken since it last polled.
    is_woken: AtomicBool,
    wake: Mutex<Option<Arc<dyn Fn() + Send + Sync>>>,
}

impl Shared {
    /// Wakes the driver, as there is something to send.
    fn wake(&self) {
        if !self.is_woken.swap(true, Ordering::AcqRel) {
            let wake = self.wake.lock().clone();
            if let Some(wake) = wake {
                wake();
            }
        }
    }
}

#[derive(Default)]
struct State {
    peers: BTreeMap<NodeId, Peer>,
    /// The spawns that have not been answered, by node and request.
    pending: BTreeMap<(NodeId, u64), Pending>,
    /// The processes that monitor nodes, each with its tag.
    monitors: BTreeSet<(Id, u64)>,
}

/// A kernel in a cluster.
pub struct Cluster<H: Host> {
    kernel: Arc<Kernel<H>>,
    above: Box<dyn Above<H>>,
    shared: Arc<Shared>,
    state: Mutex<State>,
    /// Held by the thread that handles events.
    turn: Mutex<()>,
    registrar: Peer,
}

impl<H: Host> Cluster<H> {
    /// Puts a kernel into a cluster. The keys in `settings` are replaced by those of the kernel. `None` if the kernel
    /// has already been connected to as many nodes as it can be.
    pub fn new(
        kernel: Arc<Kernel<H>>,
        settings: Settings,
        trust: Box<dyn Trust>,
        above: Box<dyn Above<H>>,
    ) -> Option<Self> {
        let keys = kernel.process_keys().to_bytes();
        let shared = Arc::new(Shared {
            node: Mutex::new(Node::new(Settings { keys, ..settings }, trust)),
            watched: Mutex::default(),
            is_woken: AtomicBool::new(false),
            wake: Mutex::new(None),
        });
        let registrar = Arc::new(Registrar(shared.clone()));
        let registrar = kernel.connect(kernel.new_keys(), registrar)?;
        Some(Self {
            kernel,
            above,
            shared,
            state: Mutex::default(),
            turn: Mutex::new(()),
            registrar,
        })
    }

    /// The kernel.
    pub fn kernel(&self) -> &Arc<Kernel<H>> {
        &self.kernel
    }

    /// The number of this node.
    pub fn id(&self) -> NodeId {
        self.shared.node.lock().id()
    }

    /// All nodes that this one is connected to or tries to reach.
    pub fn members(&self) -> Vec<Member> {
        self.shared.node.lock().members().collect()
    }

    /// The node of a process; `None` if that node is not connected.
    pub fn node_of(&self, id: Id) -> Option<NodeId> {
        if id.is_here() {
            return Some(self.id());
        }
        let state = self.state.lock();
        let mut peers = state.peers.iter();
        peers.find_map(|(node, peer)| (*peer == id.peer()).then_some(*node))
    }

    /// Sets the function that is called when there is something to send: the caller should [`poll`](Self::poll) soon
    /// after. `wake` must not wait.
    pub fn on_wake(&self, wake: impl Fn() + Send + Sync + 'static) {
        *self.shared.wake.lock() = Some(Arc::new(wake));
    }

    /// Takes an event of the transport; `now` is as in [`Node::handle`].
    pub fn handle(&self, now: Duration, event: FabricEvent<'_>) {
        let _turn = self.turn.lock();
        self.shared.node.lock().handle(now, event);
        self.work(now);
    }

    /// Does what is due after time has passed or something was sent. Returns the frames to hand to the transport, in
    /// this order.
    pub fn poll(&self, now: Duration) -> Vec<(Identity, Vec<u8>)> {
        self.shared.is_woken.store(false, Ordering::Release);
        let _turn = self.turn.lock();
        self.shared.node.lock().poll(now);
        self.work(now);
        let mut node = self.shared.node.lock();
        // Includes what the work has sent.
        node.poll(now);
        node.take_frames()
    }

    /// When to [poll](Self::poll) next if nothing happens before.
    pub fn next_due(&self) -> Option<Duration> {
        self.shared.node.lock().next_due()
    }

    /// Leaves the cluster. Returns the frames that notify all nodes, to be handed to the transport.
    pub fn leave(&self, now: Duration) -> Vec<(Identity, Vec<u8>)> {
        let mut node = self.shared.node.lock();
        node.leave(now);
        node.take_frames()
    }

    /// Sends the process a message with this tag from now on whenever a node is connected or lost. The message holds
    /// one byte (1 for connected, 0 for lost), the number of the node (8 bytes), how it was lost (4 bytes, as in
    /// `codes::loss`), and its name. False if the process has ended.
    pub fn monitor_nodes(&self, process: Id, tag: u64) -> bool {
        let is_alive = self.kernel.is_alive(process);
        if is_alive {
            self.state.lock().monitors.insert((process, tag));
        }
        is_alive
    }

    /// Sends the process no more messages about nodes under this tag.
    pub fn demonitor_nodes(&self, process: Id, tag: u64) {
        self.state.lock().monitors.remove(&(process, tag));
    }

    /// Handles all events.
    fn work(&self, now: Duration) {
        loop {
            // Not in the condition of the loop: its body would hold the lock.
            let event = self.shared.node.lock().next_event();
            let Some(event) = event else { return };
            match event {
                Event::Up { node, identity, keys } => self.up(now, node, identity, &keys),
                Event::Record { node, bytes } => self.on_record(node, &bytes),
                Event::Room { node } => {
                    if let Some(peer) = self.peer(node) {
                        self.kernel.has_room(peer);
                    }
                }
                Event::Down { node, identity, loss } => self.down(node, identity, loss),
                Event::Conflict(conflict) => self.above.told(&Told::Conflict(conflict)),
                Event::Fetched { hash, result } => self.above.told(&Told::Fetched(hash, result)),
                Event::Refused { identity, why } => self.above.told(&Told::Refused(identity, why)),
            }
        }
    }

    fn peer(&self, node: NodeId) -> Option<Peer> {
        self.state.lock().peers.get(&node).copied()
    }

    fn up(&self, now: Duration, node: NodeId, identity: Identity, keys: &[u8; 20]) {
        let way = Arc::new(Way {
            shared: self.shared.clone(),
            to: node,
        });
        let peer = Keys::from_bytes(keys).and_then(|keys| self.kernel.connect(keys, way));
        let Some(peer) = peer else {
            // These are the keys of another connected node, or no keys at all: drop the node.
            return self.shared.node.lock().drop_node(now, node);
        };
        self.state.lock().peers.insert(node, peer);
        self.tell_monitors(node, &identity, None);
        self.above.told(&Told::Up(node, identity));
    }

    fn down(&self, node: NodeId, identity: Identity, loss: Loss) {
        let Some(peer) = self.state.lock().peers.remove(&node) else {
            return;
        };
        self.kernel.disconnect(peer, loss);
        self.fail_pending(node, loss);
        self.tell_monitors(node, &identity, Some(loss));
        self.above.told(&Told::Down(node, identity, loss));
    }

    fn tell_monitors(&self, node: NodeId, identity: &Identity, loss: Option<Loss>) {
        let mut body = vec![u8::from(loss.is_none())];
        body.extend(node.0.to_le_bytes());
        body.extend((loss.unwrap_or(Loss::Unconnected) as i32).to_le_bytes());
        body.extend(identity.name.as_bytes());
        let monitors: Vec<_> = self.state.lock().monitors.iter().copied().collect();
        for (process, tag) in monitors {
            match self.kernel.find(process) {
                // If the mailbox is full, this message is lost, as any other would be.
                Some(process) => _ = self.kernel.put_mail(process, tag, &body),
                None => self.demonitor_nodes(process, tag),
            }
        }
    }

    fn on_record(&self, node: NodeId, bytes: &[u8]) {
        let (Some(peer), Read::Known(record)) = (self.peer(node), Record::read(bytes)) else {
            return;
        };
        match record {
            Record::Signal { from, to, signal } => {
                self.kernel
                    .receive(Id::from_raw(from).on(peer), Id::from_raw(to), signal);
            }
            record => self.on_spawn(node, peer, record),
        }
    }
}
