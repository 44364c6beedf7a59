//! A kernel in a cluster: signals from its processes to other nodes go out as records, and records from other nodes
//! become signals for its processes.
//!
//! The end of an epoch reaches processes in this order: first all links, monitors and calls to that node; then the
//! spawns that were not answered; then the processes that [monitor nodes](Cluster::monitor_nodes).
//!
//! # Locks
//!
//! Whoever sends takes the lock of the [`Node`], and takes no other lock under it. Whoever changes a name or membership
//! takes the lock `changes` first. Nothing that takes long happens under
//! that lock: long messages are encoded, and modules hashed, outside it. Only one thread at a time handles events or
//! answers spawns (`turn`), so the end of an epoch does not overtake what came before it.
//!
//! Whatever is sent to a node belongs to the epoch in which the kernel was connected to it. If that epoch has ended, it
//! is refused, even if the node is up again and the kernel does not know yet.

mod names;
mod owners;
mod spawn;
mod way;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use lunatic_kernel::Kernel;
use lunatic_kernel::address::{Id, Keys, Peer};
use lunatic_kernel::exit::Loss;
use lunatic_kernel::host::Host;

use self::owners::Owners;
use self::spawn::Pending;
use self::way::{Registrar, Way};
use crate::attributes::Attributes;
use crate::fabric::FabricEvent;
use crate::identity::{Identity, NodeId};
use crate::names::Conflict;
use crate::node::{Event, History, Member, Node, Refusal, SendRefusal, Settings};
use crate::record::{Hash, Read, Record};
use crate::store::FetchRefusal;
use crate::traffic::Pressure;
use crate::trust::Trust;

pub use self::names::{GroupMembers, MONITORS_MAX};
pub use self::spawn::{Answer, Made, Request, SpawnRefusal, Ticket};
pub use crate::outbox::Paid;

/// The embedder of a kernel that is in a cluster.
pub trait Above<H: Host>: Send + Sync {
    /// Makes the process that another node has requested, [without letting it run](Kernel::new_process); or takes the
    /// request, and [answers](Cluster::answer_spawn) it later from another thread. Must not wait.
    fn spawn(&self, kernel: &Arc<Kernel<H>>, request: Request<'_>) -> Made<H>;

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
    /// What the cluster keeps for processes of this node, until they end: their names and groups, and that they monitor
    /// nodes. Their ends are reported to the [`Registrar`].
    kept: Mutex<BTreeMap<u64, BTreeMap<Key, Kept>>>,
    /// Held while a name or membership changes here and in the node, so that both agree. Taken before either's lock.
    changes: Mutex<()>,
    /// Modules to fetch, each with its holders.
    wanted: Mutex<Vec<(Hash, Vec<NodeId>)>>,
    /// Whether the driver has been woken since it last polled.
    is_woken: AtomicBool,
    wake: Mutex<Option<Arc<dyn Fn() + Send + Sync>>>,
}

impl Shared {
    /// Sends a record to a node, within this epoch.
    fn send(&self, to: NodeId, epoch: u64, record: &Record<'_>) -> Result<(), SendRefusal> {
        self.send_paid(to, epoch, record, None)
    }

    /// [`send`](Self::send), with what the sender pays until all of it has been sent.
    fn send_paid(&self, to: NodeId, epoch: u64, record: &Record<'_>, paid: Option<Paid>) -> Result<(), SendRefusal> {
        let can_wait = record.can_wait();
        if can_wait {
            // Before the bytes of a long message are copied.
            let asked = (record.pair().0, record.waiting_len());
            self.node.lock().asks_for_room(to, epoch, asked)?;
        }
        let pressure = match can_wait {
            true => Pressure::Waits,
            false if record.was_admitted() => Pressure::Admitted,
            false => Pressure::Passes,
        };
        let encoded = (record.pair(), record.write());
        let sent = self.node.lock().send_encoded(to, epoch, encoded, pressure, paid);
        self.wake();
        sent
    }

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

/// What the cluster keeps for a process under this key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    /// A name.
    Name(Vec<u8>),
    /// The membership of a group.
    Group(Vec<u8>),
    /// It gets messages about nodes under this tag.
    Monitor(u64),
}

/// What else is kept with that.
struct Kept {
    /// The tag of the message to the process if it loses a name; 0 for none.
    tag: u64,
    /// The embedder's charge, which is dropped when the process has this no more.
    _paid: Paid,
}

#[derive(Default)]
struct State {
    peers: BTreeMap<NodeId, Connected>,
    owners: Owners,
    /// The spawns that have not been answered, by node and request.
    pending: BTreeMap<(NodeId, u64), Pending>,
}

/// A node that the kernel is connected to.
#[derive(Clone, Copy)]
struct Connected {
    peer: Peer,
    epoch: u64,
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
    is_closed: AtomicBool,
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
            kept: Mutex::default(),
            changes: Mutex::new(()),
            wanted: Mutex::default(),
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
            is_closed: AtomicBool::new(false),
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

    /// What has happened with all other nodes together, including those that are no longer known.
    pub fn totals(&self) -> History {
        self.shared.node.lock().totals()
    }

    /// The identity of a node that this one is connected to or tries to reach.
    pub fn identity_of(&self, node: NodeId) -> Option<Identity> {
        self.shared.node.lock().identity_of(node).cloned()
    }

    /// The node of a process; `None` if that node is not connected.
    pub fn node_of(&self, id: Id) -> Option<NodeId> {
        if id.is_here() {
            return Some(self.id());
        }
        let state = self.state.lock();
        let mut peers = state.peers.iter();
        peers.find_map(|(node, connected)| (connected.peer == id.peer()).then_some(*node))
    }

    /// The attributes of a node that is connected.
    pub fn attributes(&self, node: NodeId) -> Option<Attributes> {
        self.shared.node.lock().attributes(node)
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
        self.poll_behind(now, now)
    }

    /// [`poll`](Self::poll), as in [`Node::poll_behind`].
    pub fn poll_behind(&self, now: Duration, heard: Duration) -> Vec<(Identity, Vec<u8>)> {
        self.shared.is_woken.store(false, Ordering::Release);
        let _turn = self.turn.lock();
        let wanted = std::mem::take(&mut *self.shared.wanted.lock());
        let mut node = self.shared.node.lock();
        for (hash, holders) in wanted {
            node.fetch(now, hash, &holders);
        }
        node.poll_behind(now, heard);
        drop(node);
        self.work(now);
        let mut node = self.shared.node.lock();
        // Includes what the work has sent.
        node.poll_behind(now, heard);
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

    /// Ends all connections, after the last frames have been sent: all processes are notified as when nodes are lost, and
    /// nothing is handled or sent any more.
    pub fn close(&self, now: Duration) {
        if self.is_closed.swap(true, Ordering::AcqRel) {
            return;
        }
        let _turn = self.turn.lock();
        self.shared.node.lock().close(now);
        self.work(now);
        self.kernel.disconnect(self.registrar, Loss::Closed);
        // Not under the lock: charges are given back.
        let kept = std::mem::take(&mut *self.shared.kept.lock());
        drop(kept);
    }

    /// Handles all events.
    fn work(&self, now: Duration) {
        loop {
            // Not in the condition of the loop: its body would hold the lock.
            let event = self.shared.node.lock().next_event();
            let Some(event) = event else { return };
            match event {
                Event::Up {
                    node,
                    identity,
                    epoch,
                    version,
                    keys,
                } => self.up(now, (node, epoch), (identity, version), keys),
                Event::Record { node, bytes } => self.on_record(node, &bytes),
                Event::Room { node } => {
                    if let Some(peer) = self.peer(node) {
                        self.kernel.has_room(peer);
                    }
                }
                Event::Down { node, identity, loss } => self.down(node, identity, loss),
                Event::Conflict(conflict) => self.lost_name(conflict),
                Event::Arrived { hash, bytes } => {
                    let bytes: Arc<[u8]> = bytes.into();
                    self.shared.node.lock().keep_module(hash, bytes.clone());
                    self.above.told(&Told::Fetched(hash, Ok(bytes)));
                }
                Event::Fetched { hash, result } => self.above.told(&Told::Fetched(hash, result)),
                Event::Refused { identity, why } => self.above.told(&Told::Refused(identity, why)),
            }
        }
    }

    /// The kernel's number for a node; `None` if it is not connected.
    pub fn peer(&self, node: NodeId) -> Option<Peer> {
        self.connected(node).map(|connected| connected.peer)
    }

    fn connected(&self, node: NodeId) -> Option<Connected> {
        self.state.lock().peers.get(&node).copied()
    }

    fn up(&self, now: Duration, (node, epoch): (NodeId, u64), (identity, version): (Identity, u16), keys: [u8; 20]) {
        let way = Arc::new(Way {
            shared: self.shared.clone(),
            to: node,
            epoch,
            version,
        });
        let peer = match self.admit(node, &identity, keys, way) {
            Ok(peer) => peer,
            Err(why) => {
                self.shared.node.lock().drop_node(now, node);
                return self.above.told(&Told::Refused(identity, why));
            }
        };
        self.state.lock().peers.insert(node, Connected { peer, epoch });
        self.tell_monitors(node, &identity, None);
        self.above.told(&Told::Up(node, identity));
    }

    /// Connects the kernel to a node, unless its keys are those of another node, or no keys at all, or there are too many
    /// nodes.
    fn admit(&self, node: NodeId, identity: &Identity, keys: [u8; 20], way: Arc<Way>) -> Result<Peer, Refusal> {
        self.state.lock().owners.admit(node, &identity.name, keys)?;
        let is_own = keys == self.kernel.process_keys().to_bytes();
        let used = Keys::from_bytes(&keys).filter(|_| !is_own).ok_or(Refusal::Keys);
        let peer = used.and_then(|keys| self.kernel.connect(keys, way).ok_or(Refusal::Full));
        if peer.is_err() && !self.kernel.knows_keys(&keys) {
            // Only as many owners are remembered as the kernel knows nodes.
            self.state.lock().owners.forget(node, &identity.name, &keys);
        }
        peer
    }

    fn down(&self, node: NodeId, identity: Identity, loss: Loss) {
        let Some(Connected { peer, epoch }) = self.state.lock().peers.remove(&node) else {
            return;
        };
        self.kernel.disconnect(peer, loss);
        self.fail_pending(node, epoch, loss);
        self.tell_monitors(node, &identity, Some(loss));
        // If this node leaves, the others are not lost for its embedder.
        if !self.is_closed.load(Ordering::Acquire) {
            self.above.told(&Told::Down(node, identity, loss));
        }
    }

    fn tell_monitors(&self, node: NodeId, identity: &Identity, loss: Option<Loss>) {
        let mut body = vec![u8::from(loss.is_none())];
        body.extend(node.0.to_le_bytes());
        body.extend((loss.unwrap_or(Loss::Unconnected) as i32).to_le_bytes());
        body.extend(identity.name.as_bytes());
        for (process, tag) in self.monitors() {
            if let Some(process) = self.kernel.find(process) {
                // If the mailbox is full, this message is lost, as any other would be.
                _ = self.kernel.put_mail(process, tag, &body);
            }
        }
    }

    fn on_record(&self, node: NodeId, bytes: &[u8]) {
        let (Some(connected), Read::Known(record)) = (self.connected(node), Record::read(bytes)) else {
            return;
        };
        match record {
            Record::Signal { from, to, signal } => {
                self.kernel
                    .receive(Id::from_raw(from).on(connected.peer), Id::from_raw(to), signal);
            }
            record => self.on_spawn(node, connected, record),
        }
    }
}

impl<H: Host> Drop for Cluster<H> {
    /// Otherwise the kernel would believe that other nodes can still wake its processes.
    fn drop(&mut self) {
        self.close(Duration::ZERO);
    }
}
