//! Spawns on other nodes, from both sides.

use std::sync::Arc;

use lunatic_kernel::Process;
use lunatic_kernel::address::{Id, Peer};
use lunatic_kernel::adoption::Ties;
use lunatic_kernel::exit::{ExitReason, Loss};
use lunatic_kernel::host::Host;
use lunatic_sys::layout::RawHandle;

use super::{Cluster, Connected};
use crate::identity::NodeId;
use crate::node::SendRefusal;
use crate::record::{REQUEST_LEN_MAX, Record};

/// A spawn that another node requests.
#[derive(Debug)]
pub struct Request<'a> {
    /// The node.
    pub node: NodeId,
    /// The parent, on that node.
    pub parent: Id,
    /// What to spawn, encoded by the hosts.
    pub what: &'a [u8],
    /// With this, the request can be answered later.
    pub ticket: Ticket,
}

/// A request for a spawn that will be answered, once.
#[derive(Debug)]
pub struct Ticket {
    node: NodeId,
    epoch: u64,
    parent: Id,
    request: u64,
    ties: Ties,
}

impl Ticket {
    /// The node that has requested the spawn.
    pub fn node(&self) -> NodeId {
        self.node
    }
}

/// What has become of a request for a spawn.
pub enum Made<H: Host> {
    /// There is a process, [which does not run yet](lunatic_kernel::Kernel::new_process).
    Process(Ticket, Arc<Process<H>>),
    /// There is no process: why, as text for people.
    Refused(Ticket, String),
    /// The request is [answered](Cluster::answer_spawn) later.
    Later,
}

/// Why no request was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpawnRefusal {
    /// The node is not connected.
    Gone,
    /// Too much is waiting to be sent to the node: try again when there is
    /// [room](lunatic_kernel::Kernel::wait_for_room).
    Full,
    /// The request is longer than [`REQUEST_LEN_MAX`] bytes.
    Limit,
}

/// A spawn that has not been answered.
pub(super) struct Pending {
    epoch: u64,
    parent: Id,
    ties: Ties,
}

/// The answer to a spawn. The parent gets it as a message under the number of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// The child exists and has this address. Encoded as byte 0 and 16 bytes.
    Spawned(RawHandle),
    /// There is no child. Encoded as byte 1 and the reason, as text.
    Refused(String),
    /// The node was lost, and it is unknown whether there was a child. Encoded as byte 2 and the bytes of the exit
    /// reason.
    Lost(Loss),
}

impl Answer {
    /// Encodes the answer as the bytes of the message.
    pub fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Spawned(child) => [&[0][..], &child.id.to_le_bytes(), &child.key.to_le_bytes()].concat(),
            Self::Refused(why) => [&[1], why.as_bytes()].concat(),
            Self::Lost(loss) => [&[2][..], &ExitReason::NodeGone(*loss).to_bytes().1].concat(),
        }
    }

    /// Decodes an answer.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        match kind {
            0 => {
                let (id, key) = rest.split_first_chunk()?;
                let (id, key) = (u64::from_le_bytes(*id), u64::from_le_bytes(key.try_into().ok()?));
                Some(Self::Spawned(RawHandle { id, key }))
            }
            1 => Some(Self::Refused(String::from_utf8(rest.into()).ok()?)),
            2 => match ExitReason::from_bytes(rest)? {
                ExitReason::NodeGone(loss) => Some(Self::Lost(loss)),
                _ => None,
            },
            _ => None,
        }
    }
}

impl<H: Host> Cluster<H> {
    /// Requests a child on another node for the process that is running. Its [`Answer`] comes under the reference that
    /// this returns. The ties exist from the start; [`monitor_reference`](lunatic_kernel::Kernel::monitor_reference)
    /// makes the reference for a monitor.
    ///
    /// # Errors
    ///
    /// [`SpawnRefusal`] says why no request was sent.
    pub fn spawn(&self, parent: &Process<H>, node: NodeId, ties: Ties, what: &[u8]) -> Result<u64, SpawnRefusal> {
        if what.len() > REQUEST_LEN_MAX {
            return Err(SpawnRefusal::Limit);
        }
        let epoch = self.connected(node).ok_or(SpawnRefusal::Gone)?.epoch;
        let request = self.kernel.open_reference(parent);
        let record = Record::Spawn {
            parent: parent.id.raw(),
            request,
            link: ties.link,
            monitor: ties.monitor,
            what,
        };
        let pending = Pending {
            epoch,
            parent: parent.id,
            ties,
        };
        // Before it is sent, so that neither the answer nor the loss of the node is missed.
        self.state.lock().pending.insert((node, request), pending);
        let sent = self.shared.send(node, epoch, &record);
        if let Err(refusal) = sent {
            self.state.lock().pending.remove(&(node, request));
            self.kernel.close_reference(parent, request);
            return Err(match refusal {
                SendRefusal::Full => SpawnRefusal::Full,
                SendRefusal::Gone => SpawnRefusal::Gone,
            });
        }
        Ok(request)
    }

    pub(super) fn on_spawn(&self, node: NodeId, connected: Connected, record: Record<'_>) {
        let Connected { peer, epoch } = connected;
        match record {
            Record::Spawn {
                parent,
                request,
                link,
                monitor,
                what,
            } => {
                let ties = Ties { link, monitor, tag: 0 };
                let ticket = Ticket {
                    node,
                    epoch,
                    parent: Id::from_raw(parent).on(peer),
                    request,
                    ties,
                };
                self.spawn_for(ticket, what);
            }
            Record::Spawned { to, request, process } => {
                if let Some((parent, ties)) = self.take_pending(node, request, to) {
                    let child = Id::from_raw(process).on(peer);
                    self.kernel.adopt(parent, child, ties);
                    let address = self.kernel.process_address(child);
                    self.answer(parent, request, &Answer::Spawned(address));
                }
            }
            Record::NotSpawned { to, request, why } => {
                if let Some((parent, _)) = self.take_pending(node, request, to) {
                    self.answer(parent, request, &Answer::Refused(why.into()));
                }
            }
            _ => {}
        }
    }

    /// Takes the request that a node answers; `None` if this node has sent it no such request for this process.
    fn take_pending(&self, node: NodeId, request: u64, parent: u64) -> Option<(Id, Ties)> {
        let pending = &mut self.state.lock().pending;
        let is_right = pending.get(&(node, request))?.parent.raw() == parent;
        let Pending { parent, ties, .. } = is_right.then(|| pending.remove(&(node, request)))??;
        Some((parent, ties))
    }

    fn spawn_for(&self, ticket: Ticket, what: &[u8]) {
        let request = Request {
            node: ticket.node,
            parent: ticket.parent,
            what,
            ticket,
        };
        match self.above.spawn(&self.kernel, request) {
            Made::Process(ticket, child) => self.let_begin(&ticket, child),
            Made::Refused(ticket, why) => self.refuse_spawn(&ticket, &why),
            Made::Later => {}
        }
    }

    /// Answers a request that the embedder has taken as [`Made::Later`]. `make` makes the process, or says why there is
    /// none; it is not called if the node that has requested it was lost meanwhile. Waits while another thread handles
    /// events, so [`Above::spawn`](super::Above::spawn) must not call this.
    pub fn answer_spawn(&self, ticket: Ticket, make: impl FnOnce() -> Result<Arc<Process<H>>, String>) {
        // The node cannot be lost under this lock: a link to the parent is found when it is.
        let _turn = self.turn.lock();
        let is_connected = self.connected(ticket.node).is_some_and(|now| now.epoch == ticket.epoch);
        if !is_connected {
            return;
        }
        match make() {
            Ok(child) => self.let_begin(&ticket, child),
            Err(why) => self.refuse_spawn(&ticket, &why),
        }
    }

    fn let_begin(&self, ticket: &Ticket, child: Arc<Process<H>>) {
        self.kernel.tie(&child, ticket.parent, ticket.ties);
        let record = Record::Spawned {
            to: ticket.parent.on(Peer::HERE).raw(),
            request: ticket.request,
            process: child.id.raw(),
        };
        // If the epoch has ended by now, a linked child is notified of that.
        _ = self.shared.send(ticket.node, ticket.epoch, &record);
        self.kernel.begin(child);
    }

    fn refuse_spawn(&self, ticket: &Ticket, why: &str) {
        let record = Record::NotSpawned {
            to: ticket.parent.on(Peer::HERE).raw(),
            request: ticket.request,
            why,
        };
        _ = self.shared.send(ticket.node, ticket.epoch, &record);
    }

    fn answer(&self, parent: Id, request: u64, answer: &Answer) {
        self.kernel.answer(parent, request, answer.to_bytes());
    }

    /// Answers all requests that were sent to a node in an epoch that has ended.
    pub(super) fn fail_pending(&self, node: NodeId, epoch: u64, loss: Loss) {
        let mut state = self.state.lock();
        let lost = state.pending.range((node, 0)..=(node, u64::MAX));
        let lost = lost.filter(|(_, pending)| pending.epoch == epoch);
        let lost: Vec<_> = lost.map(|((_, request), pending)| (*request, pending.parent)).collect();
        for (request, _) in &lost {
            state.pending.remove(&(node, *request));
        }
        drop(state);
        for (request, parent) in lost {
            self.answer(parent, request, &Answer::Lost(loss));
        }
    }
}
