//! Where a message or a signal goes: the one place that decides it.
//!
//! A process is named by an [`Id`], which says where it lives. Whoever sends something asks [`Kernel::reach`] and gets the
//! process itself, the news that it is gone, or the [`Remote`] of the node that it lives on. What such a node sends comes in
//! through [`Kernel::receive`]. So links, monitors, exits and messages work the same between nodes, whatever connects
//! them; the kernel knows no network.

use std::sync::Arc;

use lunatic_sys::layout::RawHandle;
use parking_lot::RwLock;

use crate::address::{Id, Keys, Node, Peer};
use crate::channel::SendRefusal;
use crate::exit::ExitReason;
use crate::host::Host;
use crate::kernel::Kernel;
use crate::process::Process;

/// Where a process is.
pub enum Destination<H: Host> {
    /// Alive, here.
    Here(Arc<Process<H>>),
    /// Nowhere: it has ended, or its node is not connected.
    Gone,
    /// On another node.
    Elsewhere(Arc<dyn Remote>),
}

/// What one process sends to another.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signal<'a> {
    /// A message for its mailbox.
    Message {
        /// What it is about.
        tag: u64,
        /// Its bytes.
        body: &'a [u8],
    },
    /// An exit signal, of a link or sent as such; [`ExitReason::Killed`] cannot be trapped if `sent`.
    Exit {
        /// The reason.
        reason: ExitReason,
        /// Sent as such, and not because a linked process has ended.
        sent: bool,
    },
    /// Link both.
    Link,
    /// Take the link away.
    Unlink,
    /// Tell the sender of the end, under this reference.
    Monitor {
        /// The reference.
        reference: u64,
    },
    /// Do not tell.
    Demonitor {
        /// The reference.
        reference: u64,
    },
    /// The sender has ended, which was monitored under this reference.
    Down {
        /// The reference.
        reference: u64,
        /// How it ended.
        reason: ExitReason,
    },
}

/// The way to another node. Everything that is sent through one keeps its order, until the connection ends.
pub trait Remote: Send + Sync {
    /// Takes a signal for `to`, a process of that node, from the process `from` of this one. Does not wait.
    ///
    /// # Errors
    ///
    /// [`SendRefusal::Full`] if a message must wait, which only messages may.
    fn send(&self, from: Id, to: Id, signal: Signal<'_>) -> Result<(), SendRefusal>;
}

/// The nodes that this one is connected to, by their [`Peer`] numbers.
#[derive(Default)]
pub(crate) struct Peers(RwLock<Vec<Option<Connection>>>);

struct Connection {
    keys: Keys,
    remote: Arc<dyn Remote>,
}

impl Peers {
    /// Adds a node whose processes' addresses have these keys; `None` if there are too many.
    fn add(&self, keys: Keys, remote: Arc<dyn Remote>) -> Option<Peer> {
        let mut peers = self.0.write();
        // Peer 0 is this node; a number is not given out again while processes may still have links under it.
        let peer = Peer::new(u16::try_from(peers.len() + 1).ok()?)?;
        peers.push(Some(Connection { keys, remote }));
        Some(peer)
    }

    fn remove(&self, peer: Peer) {
        let mut peers = self.0.write();
        if let Some(place) = usize::from(peer.number())
            .checked_sub(1)
            .and_then(|at| peers.get_mut(at))
        {
            *place = None;
        }
    }

    /// Whether something may still come from another node.
    pub(crate) fn is_any_connected(&self) -> bool {
        self.0.read().iter().any(Option::is_some)
    }

    fn remote(&self, peer: Peer) -> Option<Arc<dyn Remote>> {
        let place = usize::from(peer.number()).checked_sub(1)?;
        let peers = self.0.read();
        Some(peers.get(place)?.as_ref()?.remote.clone())
    }

    /// The id of a process of one of the nodes.
    fn check(&self, address: RawHandle) -> Option<Id> {
        let (node, peers) = (Node::of(address), self.0.read());
        let known = peers
            .iter()
            .zip(1..)
            .filter_map(|(peer, number)| Some((peer.as_ref()?, number)));
        let mut found = known.filter(|(peer, _)| peer.keys.node() == node);
        found.find_map(|(peer, number)| Some(peer.keys.check(address.id, address.key)?.on(Peer::new(number)?)))
    }

    fn address(&self, id: Id) -> Option<RawHandle> {
        let place = usize::from(id.peer().number()).checked_sub(1)?;
        let peers = self.0.read();
        Some(peers.get(place)?.as_ref()?.keys.handle(id))
    }
}

impl<H: Host> Kernel<H> {
    /// Where the process is.
    pub fn reach(&self, id: Id) -> Destination<H> {
        if id.is_here() {
            return self.find(id).map_or(Destination::Gone, Destination::Here);
        }
        let remote = self.peers.remote(id.peer());
        remote.map_or(Destination::Gone, Destination::Elsewhere)
    }

    /// The id of the process that an address names; `None` for an address that neither this node nor one that it is
    /// connected to has given out.
    pub fn process_named(&self, address: RawHandle) -> Option<Id> {
        let own = self.process_keys.check(address.id, address.key);
        own.or_else(|| self.peers.check(address))
    }

    /// The address of a process. That of a process whose node is not connected any more names nothing.
    pub fn process_address(&self, id: Id) -> RawHandle {
        if id.is_here() {
            return self.process_keys.handle(id);
        }
        self.peers.address(id).unwrap_or_default()
    }

    /// Connects another node: `keys` are those of its processes' addresses. `None` if 4,095 nodes have been connected.
    pub fn connect(&self, keys: Keys, remote: Arc<dyn Remote>) -> Option<Peer> {
        self.peers.add(keys, remote)
    }

    /// The connection to a node has ended: all that were linked to its processes or monitored them are told so.
    pub fn disconnect(&self, peer: Peer) {
        // First, so that nobody links to a process of that node after this has passed it by.
        self.peers.remove(peer);
        let mut all = Vec::new();
        self.for_each_process(|process| all.push(process.clone()));
        for process in all {
            self.lose_peer(&process, peer);
        }
    }

    /// Takes in what another node sent: `from` is on the peer that it came from, `to` is here.
    pub fn receive(&self, from: Id, to: Id, signal: Signal<'_>) {
        let to = match self.find(to) {
            Some(process) => process,
            None => return self.answer_for_ended(from, to, &signal),
        };
        match signal {
            Signal::Message { tag, body } => {
                // Whoever sent it learns of a full mailbox only as it would learn of a lost connection.
                let _ = self.put_mail(to, tag, body);
            }
            Signal::Exit { reason, sent: true } => self.exit_by_signal(&to, from, &reason),
            Signal::Exit { reason, sent: false } => self.exit_by_link(&to, from, &reason),
            Signal::Link if !to.is_doomed() && to.relate(|relations| relations.links.insert(from)).is_ok() => {
                self.wake_doomed(&to);
                // If the node was lost meanwhile, whoever looked for links to it may have missed this one.
                if self.peers.remote(from.peer()).is_none() {
                    self.exit_by_link(&to, from, &ExitReason::NodeGone);
                }
            }
            Signal::Link => self.answer_for_ended(from, to.id, &signal),
            Signal::Unlink => _ = to.relate(|relations| relations.links.remove(from)),
            Signal::Monitor { reference } => {
                if let Err(reason) = to.be_watched(from, reference) {
                    self.forward(to.id, from, Signal::Down { reference, reason });
                }
            }
            Signal::Demonitor { reference } => _ = to.relate_paid(|relations| relations.watchers.remove(reference)),
            Signal::Down { reference, reason } => self.tell_down(&to, from, reference, &reason),
        }
    }

    /// What came was for a process that has ended.
    fn answer_for_ended(&self, from: Id, ended: Id, signal: &Signal<'_>) {
        match signal {
            Signal::Link => {
                let reason = ExitReason::NoProcess;
                self.forward(ended, from, Signal::Exit { reason, sent: false });
            }
            Signal::Monitor { reference } => {
                let (reference, reason) = (*reference, self.exits.of(ended));
                self.forward(ended, from, Signal::Down { reference, reason });
            }
            _ => {}
        }
    }

    /// Sends a signal to a process of another node, if that is connected.
    pub(crate) fn forward(&self, from: Id, to: Id, signal: Signal<'_>) {
        if let Some(remote) = self.peers.remote(to.peer()) {
            // Only messages can be refused.
            let _ = remote.send(from, to, signal);
        }
    }
}
