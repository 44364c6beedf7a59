//! Spawns on other nodes, from both sides.

use lunatic_kernel::Process;
use lunatic_kernel::address::{Id, Peer};
use lunatic_kernel::adoption::Ties;
use lunatic_kernel::exit::{ExitReason, Loss};
use lunatic_kernel::host::Host;
use lunatic_sys::layout::RawHandle;

use super::Cluster;
use crate::identity::NodeId;
use crate::node::SendRefusal;
use crate::record::{REQUEST_LEN_MAX, Record};

/// A spawn that another node requests.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The node.
    pub node: NodeId,
    /// The parent, on that node.
    pub parent: Id,
    /// What to spawn, encoded by the hosts.
    pub what: &'a [u8],
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
        let request = self.kernel.open_reference(parent);
        let record = Record::Spawn {
            parent: parent.id.raw(),
            request,
            link: ties.link,
            monitor: ties.monitor,
            what,
        };
        let pending = Pending {
            parent: parent.id,
            ties,
        };
        // Before it is sent, so that neither the answer nor the loss of the node is missed.
        self.state.lock().pending.insert((node, request), pending);
        let sent = self.shared.node.lock().send(node, &record);
        if let Err(refusal) = sent {
            self.state.lock().pending.remove(&(node, request));
            self.kernel.close_reference(parent, request);
            return Err(match refusal {
                SendRefusal::Full => SpawnRefusal::Full,
                SendRefusal::Gone => SpawnRefusal::Gone,
            });
        }
        self.shared.wake();
        Ok(request)
    }

    pub(super) fn on_spawn(&self, node: NodeId, peer: Peer, record: Record<'_>) {
        match record {
            Record::Spawn {
                parent,
                request,
                link,
                monitor,
                what,
            } => {
                let ties = Ties { link, monitor, tag: 0 };
                self.spawn_for(node, Id::from_raw(parent).on(peer), request, ties, what);
            }
            Record::Spawned { request, process, .. } => {
                let pending = self.state.lock().pending.remove(&(node, request));
                if let Some(Pending { parent, ties }) = pending {
                    let child = Id::from_raw(process).on(peer);
                    self.kernel.adopt(parent, child, ties);
                    let address = self.kernel.process_address(child);
                    self.answer(parent, request, &Answer::Spawned(address));
                }
            }
            Record::NotSpawned { request, why, .. } => {
                let pending = self.state.lock().pending.remove(&(node, request));
                if let Some(Pending { parent, .. }) = pending {
                    self.answer(parent, request, &Answer::Refused(why.into()));
                }
            }
            _ => {}
        }
    }

    fn spawn_for(&self, node: NodeId, parent: Id, request: u64, ties: Ties, what: &[u8]) {
        let to = parent.on(Peer::HERE).raw();
        match self.above.spawn(&self.kernel, Request { node, parent, what }) {
            Ok(child) => {
                self.kernel.tie(&child, parent, ties);
                let process = child.id.raw();
                let record = Record::Spawned { to, request, process };
                // If the node is lost by now, a linked child is notified of that.
                _ = self.shared.node.lock().send(node, &record);
                self.kernel.begin(child);
            }
            Err(why) => {
                let why = &why;
                _ = self
                    .shared
                    .node
                    .lock()
                    .send(node, &Record::NotSpawned { to, request, why });
            }
        }
    }

    fn answer(&self, parent: Id, request: u64, answer: &Answer) {
        self.kernel.answer(parent, request, answer.to_bytes());
    }

    /// Answers all open requests to a node that was lost.
    pub(super) fn fail_pending(&self, node: NodeId, loss: Loss) {
        let mut state = self.state.lock();
        let lost = state.pending.range((node, 0)..=(node, u64::MAX));
        let lost: Vec<_> = lost.map(|((_, request), pending)| (*request, pending.parent)).collect();
        state.pending.retain(|(of, _), _| *of != node);
        drop(state);
        for (request, parent) in lost {
            self.answer(parent, request, &Answer::Lost(loss));
        }
    }
}
