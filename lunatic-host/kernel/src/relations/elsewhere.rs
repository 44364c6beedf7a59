//! Relations to processes of other nodes: how many each node may add, and links that are being removed.
//!
//! A link between two nodes has two sides, which change one after the other. If one side removes it while the other makes
//! it again, the signals cross. So the side that removes a link ignores new ones until the other confirms the removal: the
//! other had made them before, and removes them, too.

use super::Relations;
use crate::address::{Id, Peer};

/// The most links and monitors of a process that one other node can add. The process pays for the links, as it does for
/// those that processes of its own node make; nobody pays for the monitors.
const RELATIONS_MAX: u32 = 1 << 16;

impl Relations {
    /// Counts a relation that another node adds; false if it has added as many as it may.
    fn count_elsewhere(&mut self, peer: Peer) -> bool {
        let count = self.elsewhere.get_or_insert(peer, 0);
        let has_room = *count < RELATIONS_MAX;
        *count += u32::from(has_room);
        has_room
    }

    /// A relation to a process of another node is gone. One that this process had made itself is not counted.
    fn count_no_more(&mut self, peer: Peer) {
        if let Some(count) = self.elsewhere.get_mut(peer) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.elsewhere.remove(peer);
            }
        }
    }

    /// A process of another node links to this one; false if that node has added too many relations.
    pub(crate) fn be_linked_elsewhere(&mut self, from: Id) -> bool {
        if self.unlinking.contains_key(from) || self.links.contains_key(from) {
            return true;
        }
        let has_room = self.count_elsewhere(from.peer());
        if has_room {
            self.links.insert(from);
        }
        has_room
    }

    /// A process of another node monitors this one; false if that node has added too many relations.
    pub(crate) fn be_watched_elsewhere(&mut self, from: Id, reference: u64) -> bool {
        if self.watchers.get(reference).is_some() {
            return true;
        }
        let has_room = self.count_elsewhere(from.peer());
        if has_room {
            self.watchers.get_or_insert(reference, from);
        }
        has_room
    }

    /// Removes a watcher of another node.
    pub(crate) fn be_watched_no_more(&mut self, from: Id, reference: u64) {
        if self.watchers.get(reference) == Some(&from) {
            self.watchers.remove(reference);
            self.count_no_more(from.peer());
        }
    }

    /// Removes a link; true if there was one.
    pub(crate) fn unlink(&mut self, other: Id) -> bool {
        let was_linked = self.links.remove(other).is_some();
        if was_linked && !other.is_here() {
            self.count_no_more(other.peer());
        }
        was_linked
    }

    /// Removes the link to a process of another node, which will confirm that; false if there was none.
    pub(crate) fn unlink_elsewhere(&mut self, other: Id) -> bool {
        let was_linked = self.unlink(other);
        if was_linked {
            *self.unlinking.get_or_insert(other, 0) += 1;
        }
        was_linked
    }

    /// A process of another node confirms that it has removed its link.
    pub(crate) fn unlinked(&mut self, other: Id) {
        if let Some(count) = self.unlinking.get_mut(other) {
            *count -= 1;
            if *count == 0 {
                self.unlinking.remove(other);
            }
        }
    }

    /// Another node is lost: it confirms nothing any more, and what it has added is gone.
    pub(crate) fn forget_peer(&mut self, peer: Peer) {
        let lost: Vec<_> = self
            .watchers
            .iter()
            .filter(|(_, watcher)| watcher.peer() == peer)
            .collect();
        let lost: Vec<_> = lost.into_iter().map(|(reference, _)| reference).collect();
        for reference in lost {
            self.watchers.remove(reference);
        }
        let lost: Vec<_> = self.unlinking.keys().filter(|other| other.peer() == peer).collect();
        for other in lost {
            self.unlinking.remove(other);
        }
        self.elsewhere.remove(peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(peer: u16, slot: u32) -> Id {
        Id::new(slot, 0).on(Peer::new(peer).expect("a small number"))
    }

    #[test]
    fn a_node_that_adds_too_much_leaves_room_for_others() {
        let mut relations = Relations::default();
        for slot in 1..=RELATIONS_MAX {
            assert!(relations.be_linked_elsewhere(id(1, slot)));
        }
        assert!(!relations.be_linked_elsewhere(id(1, RELATIONS_MAX + 1)));
        assert!(!relations.be_watched_elsewhere(id(1, 1), 7));
        assert!(relations.be_linked_elsewhere(id(1, 1)), "it is linked");
        assert!(relations.be_linked_elsewhere(id(2, 1)) && relations.be_watched_elsewhere(id(2, 1), 8));
        assert!(relations.unlink(id(1, 5)));
        assert!(relations.be_watched_elsewhere(id(1, 1), 7));
        assert!(!relations.be_linked_elsewhere(id(1, 5)));
        relations.forget_peer(Peer::new(1).expect("a small number"));
        assert!(relations.watchers.get(7).is_none() && relations.watchers.get(8).is_some());
        assert_eq!(relations.elsewhere.len(), 1);
    }

    #[test]
    fn a_link_that_crosses_its_removal_is_ignored_until_the_removal_is_confirmed() {
        let (mut relations, other) = (Relations::default(), id(1, 1));
        assert!(!relations.unlink_elsewhere(other), "it is not linked");
        relations.links.insert(other);
        assert!(relations.unlink_elsewhere(other));
        assert!(relations.be_linked_elsewhere(other) && !relations.links.contains_key(other));
        // It links again, and removes that, too.
        relations.links.insert(other);
        assert!(relations.unlink_elsewhere(other));
        relations.unlinked(other);
        assert!(relations.be_linked_elsewhere(other) && !relations.links.contains_key(other));
        relations.unlinked(other);
        relations.unlinked(other);
        assert!(relations.be_linked_elsewhere(other) && relations.links.contains_key(other));
    }
}
