//! One node: its lines to others, and the cluster's names and modules, without threads, sockets or clocks.
//!
//! The caller passes each event of the transport to [`Node::handle`] and calls [`Node::poll`] as time passes, both with
//! the time since a fixed start. After either it takes the [frames](Node::take_frames) and the
//! [events](Node::next_event).
//!
//! Events of one node come in this order: [`Up`](Event::Up), the records that it sends, [`Down`](Event::Down), then
//! perhaps `Up` again.

mod own;
mod receive;

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lunatic_kernel::exit::Loss;

use crate::attributes::Attributes;
use crate::fabric::FabricEvent;
use crate::frame::{Hello, VERSIONS};
use crate::identity::{Identity, NodeId};
use crate::line::Line;
use crate::names::{Conflict, Names};
use crate::news::Progress;
use crate::outbox::NAMES;
use crate::record::{Hash, Record};
use crate::store::{FetchRefusal, Store};
use crate::traffic::{Outgoing, Pressure, Timing};
use crate::trust::Trust;

/// How many nodes one node may know at a time.
pub const LINES_MAX: usize = 4096;
/// After how many bytes of frames a poll goes on with the next line: frames wait in memory until the transport has them,
/// and a peer decides how much may be on its way to it.
const POLL_MAX: usize = 4 << 20;

/// The settings of a node.
#[derive(Clone)]
pub struct Settings {
    /// The cluster: nodes of other clusters are refused.
    pub cluster: Box<str>,
    /// The identity of this node.
    pub identity: Identity,
    /// The keys of its processes' addresses, which each connected node gets.
    pub keys: [u8; 20],
    /// Its attributes, which each connected node gets.
    pub attributes: Attributes,
    /// The first session number: random, below 2⁶³.
    pub first_session: u64,
    /// Its timeouts and its window.
    pub timing: Timing,
    /// The oldest and the newest version of the wire format that it speaks: within [`VERSIONS`].
    pub versions: (u16, u16),
}

impl Settings {
    /// Settings with the default times and versions. `random` must be a random number.
    pub fn new(cluster: &str, identity: Identity, keys: [u8; 20], random: u64) -> Self {
        Self {
            cluster: cluster.into(),
            identity,
            keys,
            attributes: Attributes::default(),
            // Large enough that no other start of the node has the same number, and never 0.
            first_session: (random >> 1).max(1),
            timing: Timing::default(),
            versions: VERSIONS,
        }
    }
}

/// An event that the embedder must handle.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// An epoch with a node has begun: both know each other.
    Up {
        /// The node.
        node: NodeId,
        /// Its identity.
        identity: Identity,
        /// Stands for the epoch: no other epoch of this node has the same number.
        epoch: u64,
        /// The version of the wire format that both speak.
        version: u16,
        /// The keys of its processes' addresses.
        keys: [u8; 20],
    },
    /// A node has sent a signal, or a record about a spawn. [`Record::read`] decodes the bytes.
    Record {
        /// The node.
        node: NodeId,
        /// The bytes of the record.
        bytes: Vec<u8>,
    },
    /// There is room again for messages to this node, after one was refused.
    Room {
        /// The node.
        node: NodeId,
    },
    /// The epoch with a node has ended.
    Down {
        /// The node.
        node: NodeId,
        /// Its identity.
        identity: Identity,
        /// The reason.
        loss: Loss,
    },
    /// A process of this node has lost its name.
    Conflict(Conflict),
    /// A module has been fetched. It is not kept yet: that is up to the embedder ([`Node::keep_module`]).
    Arrived {
        /// The hash of the module.
        hash: Hash,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// A module that was to be fetched is here, or cannot be fetched.
    Fetched {
        /// The hash of the module.
        hash: Hash,
        /// Its bytes, or why they cannot be fetched.
        result: Result<Arc<[u8]>, FetchRefusal>,
    },
    /// A node has greeted this one, and was refused.
    Refused {
        /// The identity that it claims.
        identity: Identity,
        /// The reason.
        why: Refusal,
    },
}

/// Why a node is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// It belongs to another cluster.
    Cluster,
    /// It speaks no version of the wire format that this node speaks.
    Version,
    /// Its proof is wrong, or it is not welcome.
    Untrusted,
    /// A later start of the same node has proved its identity.
    Outdated,
    /// Another node has proved its identity with the same key.
    Key,
    /// The keys of its addresses are those of another node, or not those that it had before.
    Keys,
    /// Too many nodes have been connected, of its name or in all.
    Full,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cluster => "it belongs to another cluster",
            Self::Version => "it speaks no version of the wire format that this node speaks",
            Self::Untrusted => "it could not prove its identity, or is not welcome",
            Self::Outdated => "a later start of it is known",
            Self::Key => "another node has the same key",
            Self::Keys => "its addresses are not its own",
            Self::Full => "too many nodes have been connected since this one was started",
        })
    }
}

/// Why a record was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendRefusal {
    /// Too much is waiting to be sent to this node. An [`Event::Room`] comes when there is room.
    Full,
    /// The node is not connected.
    Gone,
}

/// What this node knows of one that it is connected to or tries to reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The number of the node.
    pub node: NodeId,
    /// Its identity.
    pub identity: Identity,
    /// Whether it is connected.
    pub is_up: bool,
    /// Its attributes, while it is connected.
    pub attributes: Attributes,
    /// The epoch: the sessions of both.
    pub epoch: (u64, u64),
    /// The version of the wire format that both speak; 0 as long as it is not known.
    pub version: u16,
    /// How many bytes wait to be sent there.
    pub queued: usize,
    /// How many frames have been sent but not acknowledged.
    pub unacked: u64,
    /// The connections so far.
    pub history: History,
    /// How long the node has been connected; `None` if it is not.
    pub up_for: Option<Duration>,
}

/// What has happened between this node and another one since the first of them started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct History {
    /// Bytes of frames that were sent to the node.
    pub sent: u64,
    /// Bytes of frames that came from it and belonged to an epoch.
    pub received: u64,
    /// How many epochs have ended.
    pub losses: u64,
    /// Why the last of them ended.
    pub last_loss: Option<Loss>,
}

impl History {
    /// Both together. The last loss is that of `other`, if it has one.
    fn with(self, other: Self) -> Self {
        Self {
            sent: self.sent + other.sent,
            received: self.received + other.received,
            losses: self.losses + other.losses,
            last_loss: other.last_loss.or(self.last_loss),
        }
    }
}

/// How much a node keeps because of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// The nodes that it is connected to or tries to reach.
    pub lines: usize,
    /// The names and memberships of other nodes' processes.
    pub foreign_rows: usize,
    /// The modules that are being fetched.
    pub fetches: usize,
    /// The bytes that wait to be sent.
    pub queued: usize,
}

/// A line, and what has been reported about it.
struct Known {
    line: Line,
    /// The peer's keys have come, and [`Event::Up`] was reported.
    is_up: bool,
    /// The reasons for refused hellos that have been reported since the last good one, a bit each.
    refused: u8,
    /// What it has said of itself in this epoch.
    attributes: Attributes,
    /// The node has proved its identity.
    is_proven: bool,
    /// The newest version of the wire format that both speak, by its last hello.
    version: u16,
    /// The key of that proof, if there was one.
    key: Option<[u8; 32]>,
    /// With all starts of the node.
    history: History,
    /// When the epoch began.
    up_since: Duration,
    /// Which names and groups of this node it has been told of.
    told: Progress,
}

/// One node.
pub struct Node {
    settings: Settings,
    id: NodeId,
    trust: Box<dyn Trust>,
    lines: BTreeMap<NodeId, Known>,
    /// What has happened with nodes that are no longer known.
    past: History,
    /// Nodes whose hellos are ignored until then.
    barred: BTreeMap<NodeId, Duration>,
    session: u64,
    /// The last time that it was given.
    now: Duration,
    /// The node has left.
    is_over: bool,
    pub(crate) names: Names,
    store: Store,
    frames: Vec<(Identity, Vec<u8>)>,
    events: VecDeque<Event>,
}

impl Node {
    /// A node that knows no others.
    pub fn new(settings: Settings, trust: Box<dyn Trust>) -> Self {
        let id = settings.identity.id(&settings.cluster);
        Self {
            session: settings.first_session,
            now: Duration::ZERO,
            is_over: false,
            id,
            trust,
            lines: BTreeMap::new(),
            past: History::default(),
            barred: BTreeMap::new(),
            names: Names::new(id),
            store: Store::default(),
            frames: Vec::new(),
            events: VecDeque::new(),
            settings,
        }
    }

    /// The number of this node.
    pub fn id(&self) -> NodeId {
        self.id
    }

    /// The identity of this node.
    pub fn identity(&self) -> &Identity {
        &self.settings.identity
    }

    /// All nodes that this one is connected to or tries to reach, in the order of their numbers.
    pub fn members(&self) -> impl Iterator<Item = Member> + '_ {
        self.lines.iter().map(|(node, known)| Member {
            node: *node,
            identity: known.line.identity.clone(),
            is_up: known.is_up,
            attributes: known.attributes.clone(),
            epoch: known.line.epoch(),
            version: known.version,
            queued: known.line.traffic.as_ref().map_or(0, |traffic| traffic.queued()),
            unacked: known.line.traffic.as_ref().map_or(0, |traffic| traffic.unacked()),
            history: known.history,
            up_for: known.is_up.then(|| self.now.saturating_sub(known.up_since)),
        })
    }

    /// What has happened with all other nodes together, including those that are no longer known.
    pub fn totals(&self) -> History {
        let lines = self.lines.values();
        lines.fold(self.past, |all, known| all.with(known.history))
    }

    /// Removes a node, and keeps what has happened with it for the totals.
    fn forget(&mut self, node: NodeId) {
        if let Some(known) = self.lines.remove(&node) {
            self.past = self.past.with(known.history);
        }
    }

    /// The identity of a node that this one is connected to or tries to reach.
    pub fn identity_of(&self, node: NodeId) -> Option<&Identity> {
        self.lines.get(&node).map(|known| &known.line.identity)
    }

    /// How much this node keeps because of others.
    pub fn figures(&self) -> Figures {
        Figures {
            lines: self.lines.len(),
            foreign_rows: self.names.foreign_rows(),
            fetches: self.store.fetches(),
            queued: self.members().map(|member| member.queued).sum(),
        }
    }

    /// Takes an event of the transport.
    pub fn handle(&mut self, now: Duration, event: FabricEvent<'_>) {
        self.now = now;
        if self.is_over {
            return;
        }
        match event {
            FabricEvent::Seen(identity) => {
                let node = identity.id(&self.settings.cluster);
                // The transport may be late: an earlier start of a node that has proved a later one is over.
                if self.is_outdated(&identity) {
                    return;
                }
                if let Some(known) = self.line(now, node, &identity) {
                    known.line.seen(now);
                }
            }
            FabricEvent::Lost(identity) => {
                let node = identity.id(&self.settings.cluster);
                if let Some(known) = self.lines.get_mut(&node) {
                    known.line.is_seen = false;
                    if let Some(traffic) = &mut known.line.traffic {
                        traffic.doubt(now);
                    }
                }
            }
            FabricEvent::Frame(bytes) => self.on_frame(now, bytes),
        }
    }

    /// Whether a later start of the same node has proved its identity.
    fn is_outdated(&self, identity: &Identity) -> bool {
        self.lines.values().any(|known| {
            let other = &known.line.identity;
            known.is_proven && other.name == identity.name && other.incarnation > identity.incarnation
        })
    }

    /// Makes room for the line to a node that has proved its identity: one that has not, and is not connected, must go.
    fn make_room(&mut self) {
        if self.lines.len() < LINES_MAX {
            return;
        }
        let mut unproved = self
            .lines
            .iter()
            .filter(|(_, known)| !known.is_proven && known.line.traffic.is_none());
        if let Some(node) = unproved.next().map(|(node, _)| *node) {
            self.forget(node);
        }
    }

    /// The line to a node; makes it if there is none. `None` if it is this node, or if there are too many lines.
    fn line(&mut self, now: Duration, node: NodeId, identity: &Identity) -> Option<&mut Known> {
        if node == self.id || (!self.lines.contains_key(&node) && self.lines.len() >= LINES_MAX) {
            return None;
        }
        let (timing, ids, session) = (self.settings.timing, (self.id, node), &mut self.session);
        Some(self.lines.entry(node).or_insert_with(|| {
            *session += 1;
            Known {
                line: Line::new(now, timing, identity.clone(), ids, *session),
                is_up: false,
                refused: 0,
                attributes: Attributes::default(),
                is_proven: false,
                version: 0,
                key: None,
                history: History::default(),
                up_since: now,
                told: Progress::default(),
            }
        }))
    }

    /// Ends an epoch with a node.
    fn lose(&mut self, now: Duration, node: NodeId, loss: Loss) {
        let Some(known) = self.lines.get_mut(&node) else {
            return;
        };
        self.session += 1;
        known.line.lose(now, self.session);
        self.lost(now, node, loss);
    }

    /// Forgets a node that the embedder cannot talk to, and tells it so: otherwise it would wait for answers. Its hellos
    /// are ignored for a while.
    pub(crate) fn drop_node(&mut self, now: Duration, node: NodeId) {
        if let Some(known) = self.lines.get_mut(&node) {
            known.is_up = false;
            let (identity, bye) = (known.line.identity.clone(), known.line.route().bye());
            self.frames.push((identity, bye));
        }
        self.lose(now, node, Loss::Violation);
        self.forget(node);
        self.barred.retain(|_, until| *until > now);
        if self.barred.len() < LINES_MAX {
            self.barred.insert(node, now + self.settings.timing.patience);
        }
    }

    /// Does what follows from the end of an epoch.
    fn lost(&mut self, now: Duration, node: NodeId, loss: Loss) {
        self.names.node_lost(node);
        if let Some(known) = self.lines.get_mut(&node)
            && std::mem::take(&mut known.is_up)
        {
            known.history.losses += 1;
            known.history.last_loss = Some(loss);
            let identity = known.line.identity.clone();
            known.attributes = Attributes::default();
            self.events.push_back(Event::Down { node, identity, loss });
        }
        for (hash, progress) in self.store.give_up(now, Some(node)) {
            self.go_on_fetching(now, hash, progress);
        }
    }

    /// Sends the first record of an epoch. Names and groups follow as there is room for them.
    fn introduce(&mut self, node: NodeId) {
        let mut records = vec![Record::Keys(self.settings.keys).write()];
        // In the same frame, so whoever is notified of the node knows them.
        if !self.settings.attributes.is_empty() {
            records.push(Record::Attributes(self.settings.attributes.clone()).write());
        }
        if let Some(known) = self.lines.get_mut(&node)
            && let Some(traffic) = &mut known.line.traffic
        {
            for record in records {
                traffic.push(NAMES, record, Pressure::Passes);
            }
            known.told = self.names.news.begin();
        }
    }

    /// Makes the frames that are due, after time has passed or something was handled or sent.
    pub fn poll(&mut self, now: Duration) {
        self.poll_behind(now, now);
    }

    /// [`poll`](Self::poll) by a caller that has not handled everything that came after `heard` yet: no node counts as
    /// silent because its frames wait.
    pub fn poll_behind(&mut self, now: Duration, heard: Duration) {
        self.now = now;
        for (hash, progress) in self.store.give_up(now, None) {
            self.go_on_fetching(now, hash, progress);
        }
        self.forget_news(now);
        let nodes: Vec<_> = self.lines.keys().copied().collect();
        for node in nodes {
            self.poll_line(now, heard, node);
        }
    }

    /// Forgets which names of this node are gone, as soon as all nodes have been told.
    fn forget_news(&mut self, now: Duration) {
        while self.names.news.is_long() {
            let up = self.lines.iter().filter(|(_, known)| known.line.traffic.is_some());
            let told: Vec<_> = up.map(|(node, known)| (known.told, *node)).collect();
            let progress: Vec<_> = told.iter().map(|(told, _)| *told).collect();
            if !self.names.news.forget(&progress) {
                return;
            }
            if let Some((_, slowest)) = told.iter().min() {
                self.lose(now, *slowest, Loss::Overflow);
            }
        }
    }

    fn poll_line(&mut self, now: Duration, heard: Duration, node: NodeId) {
        let Some(known) = self.lines.get_mut(&node) else {
            return;
        };
        let line = &mut known.line;
        if line.is_forlorn(heard) {
            self.forget(node);
            return;
        }
        if let Some(asks) = line.poll_hello(now) {
            let hello = Hello {
                versions: self.settings.versions,
                asks,
                window: self.settings.timing.window,
                cluster: self.settings.cluster.clone(),
                identity: self.settings.identity.clone(),
                proof: Vec::new(),
            };
            let frame = line.route().hello(&hello, |statement| self.trust.prove(statement));
            known.history.sent += frame.len() as u64;
            self.frames.push((line.identity.clone(), frame));
        }
        let identity = line.identity.clone();
        let mut polled = 0;
        loop {
            if polled > POLL_MAX {
                line.polls_again();
                break;
            }
            if let Some(traffic) = &mut line.traffic {
                while traffic.takes_names()
                    && let Some(record) = self.names.next_news(&mut known.told)
                {
                    traffic.push(NAMES, record, Pressure::Passes);
                }
            }
            let route = line.route();
            let frame = match line.poll(now, heard) {
                Ok(None) => break,
                Ok(Some(Outgoing::Data { seq, state, pieces })) => route.data(seq, state, &pieces),
                Ok(Some(Outgoing::Beat { seq, state, asks })) => route.beat(seq, state, asks),
                Err(loss) => return self.lose(now, node, loss),
            };
            polled += frame.len();
            known.history.sent += frame.len() as u64;
            self.frames.push((identity.clone(), frame));
        }
        if line.traffic.as_mut().is_some_and(|traffic| traffic.take_room()) {
            self.events.push_back(Event::Room { node });
        }
    }

    /// When to [poll](Self::poll) next if nothing happens before: now, if there are events, as somebody may wait for what
    /// they say.
    pub fn next_due(&self) -> Option<Duration> {
        if !self.events.is_empty() {
            return Some(Duration::ZERO);
        }
        let lines = self.lines.values().map(|known| known.line.next_due());
        lines.chain(self.store.next_due()).min()
    }

    /// Takes the frames to hand to the transport, in this order.
    pub fn take_frames(&mut self) -> Vec<(Identity, Vec<u8>)> {
        std::mem::take(&mut self.frames)
    }

    /// Takes the oldest event.
    pub fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust::Everybody;

    /// Lets two nodes exchange frames for so long.
    fn exchange(nodes: &mut [Node; 2], from: Duration, time: Duration) {
        let mut now = from;
        while now < from + time {
            for place in [0, 1] {
                nodes[place].poll(now);
                for (_, frame) in nodes[place].take_frames() {
                    nodes[1 - place].handle(now, FabricEvent::Frame(&frame));
                }
            }
            now += Duration::from_millis(100);
        }
    }

    #[test]
    fn a_node_that_is_dropped_is_told_and_greets_in_vain_for_a_while() {
        let second = Duration::from_secs(1);
        let mut nodes = ["one", "other"].map(|name| {
            let identity = Identity::new(name, 1).unwrap();
            Node::new(Settings::new("test", identity, [7; 20], 9), Box::new(Everybody))
        });
        let (one, other) = (nodes[0].id(), nodes[1].id());
        let seen = nodes[1].identity().clone();
        nodes[0].handle(Duration::ZERO, FabricEvent::Seen(seen));
        exchange(&mut nodes, Duration::ZERO, second);
        assert!(nodes[0].is_up(other) && nodes[1].is_up(one));
        nodes[0].drop_node(second, other);
        exchange(&mut nodes, second, second);
        let told = std::iter::from_fn(|| nodes[1].next_event());
        let losses = told.filter_map(|event| match event {
            Event::Down { loss, .. } => Some(loss),
            _ => None,
        });
        assert_eq!(losses.collect::<Vec<_>>(), [Loss::Closed]);
        exchange(&mut nodes, 2 * second, 50 * second);
        assert!(!nodes[0].is_up(other) && !nodes[1].is_up(one));
        assert_eq!(nodes[0].figures().lines, 0);
        let totals = nodes[0].totals();
        assert!(totals.sent > 0 && totals.received > 0, "{totals:?}");
        // Then it may try again.
        let seen = nodes[1].identity().clone();
        nodes[0].handle(70 * second, FabricEvent::Seen(seen));
        exchange(&mut nodes, 70 * second, 20 * second);
        assert!(nodes[0].is_up(other) && nodes[1].is_up(one));
    }
}
