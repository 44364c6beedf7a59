//! One node: its lines to others, the names of the cluster and its modules, without threads, sockets or clocks.
//!
//! Whoever drives it calls [`Node::handle`] with what the transport brings and [`Node::poll`] when time has passed, both with
//! the time since some beginning; then takes [frames](Node::take_frames) and [events](Node::next_event).
//!
//! Events of one node keep an order: [`Up`](Event::Up), then what it sends, then [`Down`](Event::Down), then perhaps `Up` again.

mod own;
mod receive;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use lunatic_kernel::exit::Loss;

use crate::fabric::FabricEvent;
use crate::frame::{Hello, VERSIONS};
use crate::identity::{Identity, NodeId};
use crate::line::Line;
use crate::names::{Conflict, Names};
use crate::record::{Hash, Record};
use crate::store::{FetchRefusal, Store};
use crate::traffic::{Outgoing, Timing};
use crate::trust::Trust;

/// So many nodes may one node know at a time.
pub const LINES_MAX: usize = 4096;

/// What a node is made of.
#[derive(Clone)]
pub struct Settings {
    /// The cluster: nodes of others are not talked to.
    pub cluster: Box<str>,
    /// Who this node is.
    pub identity: Identity,
    /// The keys of its processes' addresses, which each node that it talks to gets.
    pub keys: [u8; 20],
    /// Sessions count from here: a random number, below 2⁶³.
    pub first_session: u64,
    /// When it acts by itself.
    pub timing: Timing,
    /// The oldest and newest version of the wire format that it speaks: [`VERSIONS`], or fewer.
    pub versions: (u16, u16),
}

impl Settings {
    /// With the usual times and versions.
    pub fn new(cluster: &str, identity: Identity, keys: [u8; 20], random: u64) -> Self {
        Self {
            cluster: cluster.into(),
            identity,
            keys,
            // Large enough that no other start of the node has the same, and never 0.
            first_session: (random >> 1).max(1),
            timing: Timing::default(),
            versions: VERSIONS,
        }
    }
}

/// What has happened that the side above must know.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// An epoch with a node has begun: both know each other.
    Up {
        /// Which node.
        node: NodeId,
        /// Who it is.
        identity: Identity,
        /// The keys of its processes' addresses.
        keys: [u8; 20],
    },
    /// A node sent this: a signal, or something about a spawn. The bytes can be [read](Record::read).
    Record {
        /// Which node.
        node: NodeId,
        /// The record.
        bytes: Vec<u8>,
    },
    /// Messages for this node, which were refused, would be taken again.
    Room {
        /// Which node.
        node: NodeId,
    },
    /// The epoch with a node has ended.
    Down {
        /// Which node.
        node: NodeId,
        /// Who it was.
        identity: Identity,
        /// Why.
        loss: Loss,
    },
    /// A process of this node has lost its name.
    Conflict(Conflict),
    /// A module was fetched, or cannot be.
    Fetched {
        /// Which one.
        hash: Hash,
        /// Its bytes.
        result: Result<Arc<[u8]>, FetchRefusal>,
    },
    /// A node that greets is not talked to.
    Refused {
        /// Who it says it is.
        identity: Identity,
        /// Why.
        why: Refusal,
    },
}

/// Why a node is not talked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// It is of another cluster.
    Cluster,
    /// It speaks no version of the wire format that this node speaks.
    Version,
    /// Its proof is wrong, or it is not welcome.
    Untrusted,
    /// A later start of the same node is connected.
    Outdated,
}

/// Why a record was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendRefusal {
    /// Too much waits for this node: an [`Event::Room`] tells when there is room.
    Full,
    /// The node is not connected.
    Gone,
}

/// What is known of a node that this one talks to, or tries to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Which node.
    pub node: NodeId,
    /// Who it is.
    pub identity: Identity,
    /// Whether it is connected.
    pub is_up: bool,
    /// The sessions of both, which are one epoch.
    pub epoch: (u64, u64),
    /// Bytes that wait for being sent there.
    pub queued: usize,
    /// Frames that were sent and not acknowledged.
    pub unacked: u64,
}

/// How much a node keeps because of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Nodes that it talks to, or tries to.
    pub lines: usize,
    /// Names and memberships of other nodes' processes.
    pub foreign_rows: usize,
    /// Modules that are being fetched.
    pub fetches: usize,
    /// Bytes that wait for being sent.
    pub queued: usize,
}

/// A line, and whether its epoch was told of.
struct Known {
    line: Line,
    /// The peer's keys have come: [`Event::Up`] was given.
    is_up: bool,
    /// What was told last about a hello that was refused.
    refused: Option<Refusal>,
}

/// One node.
pub struct Node {
    settings: Settings,
    id: NodeId,
    trust: Box<dyn Trust>,
    lines: BTreeMap<NodeId, Known>,
    session: u64,
    pub(crate) names: Names,
    store: Store,
    frames: Vec<(Identity, Vec<u8>)>,
    events: VecDeque<Event>,
}

impl Node {
    /// A node that knows no other.
    pub fn new(settings: Settings, trust: Box<dyn Trust>) -> Self {
        let id = settings.identity.id(&settings.cluster);
        Self {
            session: settings.first_session,
            id,
            trust,
            lines: BTreeMap::new(),
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

    /// Who this node is.
    pub fn identity(&self) -> &Identity {
        &self.settings.identity
    }

    /// All nodes that this one talks to or tries to, in the order of their numbers.
    pub fn members(&self) -> impl Iterator<Item = Member> + '_ {
        self.lines.iter().map(|(node, known)| Member {
            node: *node,
            identity: known.line.identity.clone(),
            is_up: known.is_up,
            epoch: known.line.epoch(),
            queued: known.line.traffic.as_ref().map_or(0, |traffic| traffic.queued()),
            unacked: known.line.traffic.as_ref().map_or(0, |traffic| traffic.unacked()),
        })
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

    /// Takes what the transport brings.
    pub fn handle(&mut self, now: Duration, event: FabricEvent<'_>) {
        match event {
            FabricEvent::Seen(identity) => {
                let node = identity.id(&self.settings.cluster);
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

    /// The line to a node, made if there is none; `None` if it is this node, or there are too many.
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
                refused: None,
            }
        }))
    }

    /// An epoch with a node ends.
    fn lose(&mut self, now: Duration, node: NodeId, loss: Loss) {
        let Some(known) = self.lines.get_mut(&node) else {
            return;
        };
        self.session += 1;
        known.line.lose(now, self.session);
        self.lost(now, node, loss);
    }

    /// The side above cannot talk to a node.
    pub(crate) fn drop_node(&mut self, now: Duration, node: NodeId) {
        if let Some(known) = self.lines.get_mut(&node) {
            known.is_up = false;
        }
        self.lose(now, node, Loss::Violation);
        self.lines.remove(&node);
    }

    /// What follows from the end of an epoch.
    fn lost(&mut self, now: Duration, node: NodeId, loss: Loss) {
        self.names.node_lost(node);
        if let Some(known) = self.lines.get_mut(&node)
            && std::mem::take(&mut known.is_up)
        {
            let identity = known.line.identity.clone();
            self.events.push_back(Event::Down { node, identity, loss });
        }
        for (hash, progress) in self.store.give_up(now, Some(node)) {
            self.go_on_fetching(now, hash, progress);
        }
    }

    /// An epoch has begun on the line: what each node is told first.
    fn introduce(&mut self, node: NodeId) {
        let mut records = vec![Record::Keys(self.settings.keys).write()];
        records.extend(self.names.own_rows());
        if let Some(traffic) = self.lines.get_mut(&node).and_then(|known| known.line.traffic.as_mut()) {
            for record in records {
                traffic.push((0, 0), record, false);
            }
        }
    }

    /// Time has passed, or something was handled or sent: makes the frames that are due.
    pub fn poll(&mut self, now: Duration) {
        for (hash, progress) in self.store.give_up(now, None) {
            self.go_on_fetching(now, hash, progress);
        }
        self.tell_news();
        let nodes: Vec<_> = self.lines.keys().copied().collect();
        for node in nodes {
            self.poll_line(now, node);
        }
    }

    /// Sends what has changed of this node's names to all nodes.
    fn tell_news(&mut self) {
        let news = self.names.take_news();
        let lines = self.lines.values_mut().filter_map(|known| known.line.traffic.as_mut());
        for traffic in lines {
            for record in &news {
                traffic.push((0, 0), record.clone(), false);
            }
        }
    }

    fn poll_line(&mut self, now: Duration, node: NodeId) {
        let Some(known) = self.lines.get_mut(&node) else {
            return;
        };
        let line = &mut known.line;
        if line.is_forlorn(now) {
            self.lines.remove(&node);
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
            self.frames.push((line.identity.clone(), frame));
        }
        let identity = line.identity.clone();
        loop {
            let route = line.route();
            let frame = match line.poll(now) {
                Ok(None) => break,
                Ok(Some(Outgoing::Data { seq, state, pieces })) => route.data(seq, state, &pieces),
                Ok(Some(Outgoing::Beat { seq, state, asks })) => route.beat(seq, state, asks),
                Err(loss) => return self.lose(now, node, loss),
            };
            self.frames.push((identity.clone(), frame));
        }
        if line.traffic.as_mut().is_some_and(|traffic| traffic.take_room()) {
            self.events.push_back(Event::Room { node });
        }
    }

    /// When to [poll](Self::poll) next, though nothing happens meanwhile.
    pub fn next_due(&self) -> Option<Duration> {
        let lines = self.lines.values().map(|known| known.line.next_due());
        lines.chain(self.store.next_due()).min()
    }

    /// The frames to hand to the transport, in this order.
    pub fn take_frames(&mut self) -> Vec<(Identity, Vec<u8>)> {
        std::mem::take(&mut self.frames)
    }

    /// What has happened, the oldest first.
    pub fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }
}
