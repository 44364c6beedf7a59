//! The errands of other nodes that wait on channels of this node.
//!
//! Nobody of this node pays for them, so each node can have [`ERRANDS_MAX`]. They are removed when they are answered,
//! when they are withdrawn, and when their node is lost.

use std::collections::{BTreeMap, BTreeSet};

use crate::address::{Id, Peer};
use crate::channel::Ticket;

/// The most errands of one other node that wait on channels of this node.
/// A channel searches its list of waiters for one that goes away, so this also bounds how long that takes.
pub(crate) const ERRANDS_MAX: usize = 1 << 14;

/// What an errand waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To send.
    Send,
    /// To receive; whether it waits for a message.
    Receive { waits: bool },
    /// To learn of a message.
    Watch,
}

/// An errand of a process of another node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waiting {
    /// The process.
    pub(crate) from: Id,
    /// Its number for the errand.
    pub(crate) number: u64,
    pub(crate) channel: Id,
    pub(crate) purpose: Purpose,
    /// Its place in the list of the channel; or the last one, if it is not there now.
    pub(crate) ticket: Option<Ticket>,
    /// Whether another sender has taken the room that it was offered.
    pub(crate) came_late: bool,
}

/// All errands that wait, by the key under which channels know them.
#[derive(Default)]
pub(crate) struct Desk {
    waiting: BTreeMap<u64, Waiting>,
    peers: BTreeMap<Peer, OfPeer>,
    next: u64,
}

/// The errands of one node.
#[derive(Default)]
struct OfPeer {
    keys: BTreeMap<(Id, u64), u64>,
    /// Those for which there may be a message, but no room on the way to their node.
    stalled: BTreeSet<u64>,
}

impl Desk {
    /// Adds an errand; `None` if its node has too many.
    pub(crate) fn add(&mut self, errand: Waiting) -> Option<u64> {
        let of_peer = self.peers.entry(errand.from.peer()).or_default();
        if of_peer.keys.len() >= ERRANDS_MAX {
            return None;
        }
        let key = self.next;
        self.next += 1;
        of_peer.keys.insert((errand.from, errand.number), key);
        self.waiting.insert(key, errand);
        Some(key)
    }

    pub(crate) fn find(&self, from: Id, number: u64) -> Option<u64> {
        self.peers.get(&from.peer())?.keys.get(&(from, number)).copied()
    }

    pub(crate) fn get(&self, key: u64) -> Option<Waiting> {
        self.waiting.get(&key).copied()
    }

    /// Notes the place of an errand in the list of its channel; one that has one already came too late.
    pub(crate) fn waits_at(&mut self, key: u64, ticket: Ticket) {
        if let Some(errand) = self.waiting.get_mut(&key) {
            errand.came_late = errand.ticket.is_some();
            errand.ticket = Some(ticket);
        }
    }

    pub(crate) fn remove(&mut self, key: u64) -> Option<Waiting> {
        let errand = self.waiting.remove(&key)?;
        let peer = errand.from.peer();
        if let Some(of_peer) = self.peers.get_mut(&peer) {
            of_peer.keys.remove(&(errand.from, errand.number));
            of_peer.stalled.remove(&key);
            if of_peer.keys.is_empty() {
                self.peers.remove(&peer);
            }
        }
        Some(errand)
    }

    /// Removes all errands of a node.
    pub(crate) fn remove_peer(&mut self, peer: Peer) -> Vec<Waiting> {
        let of_peer = self.peers.remove(&peer).unwrap_or_default();
        // In the order in which they came, which is about that of the lists in which they wait.
        let mut keys: Vec<u64> = of_peer.keys.into_values().collect();
        keys.sort_unstable();
        let keys = keys.into_iter();
        keys.filter_map(|key| self.waiting.remove(&key)).collect()
    }

    /// Notes that an errand waits for room on the way to its node.
    pub(crate) fn stall(&mut self, key: u64) {
        if let Some(of_peer) = self
            .waiting
            .get(&key)
            .and_then(|errand| self.peers.get_mut(&errand.from.peer()))
        {
            of_peer.stalled.insert(key);
        }
    }

    /// Takes the oldest errand that waits for room on the way to this node.
    pub(crate) fn take_stalled(&mut self, peer: Peer) -> Option<u64> {
        self.peers.get_mut(&peer)?.stalled.pop_first()
    }

    /// How many errands of a node wait.
    pub(crate) fn count(&self, peer: Peer) -> usize {
        self.peers.get(&peer).map_or(0, |of_peer| of_peer.keys.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errand(peer: u16, number: u64) -> Waiting {
        Waiting {
            from: Id::new(1, 0).on(Peer::new(peer).unwrap()),
            number,
            channel: Id::new(2, 0),
            purpose: Purpose::Watch,
            ticket: None,
            came_late: false,
        }
    }

    #[test]
    fn each_node_has_so_many_errands_and_takes_them_along() {
        let mut desk = Desk::default();
        let keys: Vec<u64> = (0..ERRANDS_MAX as u64)
            .map(|number| desk.add(errand(1, number)).unwrap())
            .collect();
        assert_eq!(desk.add(errand(1, u64::MAX)), None);
        let other = desk.add(errand(2, 7)).unwrap();
        desk.remove(keys[5]).unwrap();
        assert_eq!(desk.remove(keys[5]), None);
        assert!(desk.add(errand(1, u64::MAX)).is_some());
        let peers = [1, 2].map(|peer| Peer::new(peer).unwrap());
        assert_eq!(peers.map(|peer| desk.count(peer)), [ERRANDS_MAX, 1]);
        assert_eq!(desk.remove_peer(peers[0]).len(), ERRANDS_MAX);
        assert_eq!(desk.find(errand(2, 7).from, 7), Some(other));
        desk.remove(other).unwrap();
        assert!(desk.waiting.is_empty() && desk.peers.is_empty());
    }

    #[test]
    fn errands_that_wait_for_room_are_taken_in_their_order_and_once() {
        let mut desk = Desk::default();
        let keys = [1, 2, 3].map(|number| desk.add(errand(1, number)).unwrap());
        for key in [keys[2], keys[0], keys[1], keys[0]] {
            desk.stall(key);
        }
        desk.remove(keys[1]).unwrap();
        let peer = Peer::new(1).unwrap();
        let taken = [(); 3].map(|()| desk.take_stalled(peer));
        assert_eq!(taken, [Some(keys[0]), Some(keys[2]), None]);
    }
}
