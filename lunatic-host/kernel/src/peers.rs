//! The nodes that a kernel is or was connected to.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use lunatic_sys::layout::RawHandle;

use crate::address::{Id, Keys, Node, Peer};
use crate::remote::Remote;

/// The nodes that this one is connected to, by their [`Peer`] numbers.
#[derive(Default)]
pub(crate) struct Peers {
    known: RwLock<Vec<Known>>,
    /// Processes that wait until a node accepts messages again.
    pub(crate) waiting: Mutex<Waiting>,
}

/// Processes that wait until nodes accept messages again, by the numbers of the nodes.
#[derive(Default)]
pub(crate) struct Waiting(BTreeMap<u16, Line>);

/// Processes that wait for one node, in the order in which they came.
#[derive(Default)]
struct Line {
    last: u64,
    order: BTreeMap<u64, Id>,
    places: HashMap<Id, u64>,
}

impl Waiting {
    pub(crate) fn enter(&mut self, peer: Peer, process: Id) {
        let line = self.0.entry(peer.number()).or_default();
        line.last += 1;
        line.order.insert(line.last, process);
        if let Some(former) = line.places.insert(process, line.last) {
            line.order.remove(&former);
        }
    }

    pub(crate) fn leave(&mut self, peer: Peer, process: Id) {
        let Some(line) = self.0.get_mut(&peer.number()) else {
            return;
        };
        if let Some(place) = line.places.remove(&process) {
            line.order.remove(&place);
        }
        if line.order.is_empty() {
            self.0.remove(&peer.number());
        }
    }

    /// Takes all that wait for this node, in the order in which they came.
    pub(crate) fn take(&mut self, peer: Peer) -> impl Iterator<Item = Id> + use<> {
        let line = self.0.remove(&peer.number()).unwrap_or_default();
        line.order.into_values()
    }
}

/// A node that is or was connected.
struct Known {
    keys: Keys,
    /// Those of its channels.
    channel_keys: Keys,
    remote: Option<Arc<dyn Remote>>,
}

impl Peers {
    /// Adds a node; the addresses of its processes have these keys. `None` if there are too many nodes, or if it is
    /// connected.
    pub(crate) fn add(&self, keys: Keys, remote: Arc<dyn Remote>) -> Option<Peer> {
        let mut known = self.known.write();
        // The same incarnation of a node keeps its number: no relations to it remain from before.
        if let Some(place) = known.iter().position(|known| known.keys == keys) {
            if known[place].remote.is_some() {
                return None;
            }
            known[place].remote = Some(remote);
            return Peer::new(u16::try_from(place + 1).ok()?);
        }
        // Peer 0 is this node.
        let peer = Peer::new(u16::try_from(known.len() + 1).ok()?)?;
        known.push(Known {
            channel_keys: keys.of_channels(),
            keys,
            remote: Some(remote),
        });
        Some(peer)
    }

    pub(crate) fn knows(&self, keys: &Keys) -> bool {
        self.known.read().iter().any(|known| known.keys == *keys)
    }

    pub(crate) fn remove(&self, peer: Peer) {
        let mut known = self.known.write();
        if let Some(known) = usize::from(peer.number())
            .checked_sub(1)
            .and_then(|place| known.get_mut(place))
        {
            known.remote = None;
        }
    }

    /// Whether anything may still arrive from another node.
    pub(crate) fn is_any_connected(&self) -> bool {
        self.known.read().iter().any(|known| known.remote.is_some())
    }

    pub(crate) fn remote(&self, peer: Peer) -> Option<Arc<dyn Remote>> {
        let place = usize::from(peer.number()).checked_sub(1)?;
        self.known.read().get(place)?.remote.clone()
    }

    /// The id of a process of one of the nodes, also of one that was lost: its processes are gone, but their addresses are
    /// not forged.
    pub(crate) fn check(&self, address: RawHandle) -> Option<Id> {
        self.check_by(address, |known| &known.keys)
    }

    /// The id of a channel of one of the nodes, as for processes.
    pub(crate) fn check_channel(&self, address: RawHandle) -> Option<Id> {
        self.check_by(address, |known| &known.channel_keys)
    }

    fn check_by(&self, address: RawHandle, keys: impl Fn(&Known) -> &Keys) -> Option<Id> {
        let (node, known) = (Node::of(address), self.known.read());
        let mut found = known.iter().zip(1..).filter(|(known, _)| known.keys.node() == node);
        found.find_map(|(known, number)| Some(keys(known).check(address.id, address.key)?.on(Peer::new(number)?)))
    }

    pub(crate) fn address(&self, id: Id) -> Option<RawHandle> {
        let place = usize::from(id.peer().number()).checked_sub(1)?;
        let known = self.known.read();
        Some(known.get(place)?.keys.handle(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_wait_for_one_node_in_their_order() {
        let peer = |number| Peer::new(number).expect("a small number");
        let process = |slot| Id::new(slot, 0);
        let mut waiting = Waiting::default();
        for slot in 1..10 {
            waiting.enter(peer(1 + slot as u16 % 2), process(slot));
        }
        waiting.enter(peer(2), process(3));
        waiting.leave(peer(2), process(5));
        waiting.leave(peer(3), process(5));
        let taken: Vec<_> = waiting.take(peer(2)).collect();
        assert_eq!(taken, [1, 7, 9, 3].map(process));
        for slot in [2, 4, 6, 8] {
            waiting.leave(peer(1), process(slot));
        }
        assert!(waiting.0.is_empty());
    }
}
