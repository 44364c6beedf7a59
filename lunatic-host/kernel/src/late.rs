//! Entries that are due and could not be handled yet, because there were too many: groups of them take turns.
//!
//! In the order of their times alone, whoever has thousands of entries at the same time would delay all others until the
//! last of them is done.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

/// Entries of groups, which are numbers.
pub(crate) struct Late<T> {
    /// The entries of each group in the order of their times. No queue is empty.
    queues: HashMap<usize, VecDeque<(Instant, T)>>,
    /// The groups; the first one has the next turn.
    turns: VecDeque<usize>,
}

impl<T> Default for Late<T> {
    fn default() -> Self {
        Self {
            queues: HashMap::new(),
            turns: VecDeque::new(),
        }
    }
}

impl<T> Late<T> {
    pub(crate) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// When the earliest entry was due.
    pub(crate) fn first_due(&self) -> Option<Instant> {
        let firsts = self.queues.values().filter_map(|queue| queue.front());
        firsts.map(|(due, _)| *due).min()
    }

    /// Adds an entry after the others of its group.
    pub(crate) fn push(&mut self, group: usize, due: Instant, entry: T) {
        let queue = self.queues.entry(group).or_default();
        if queue.is_empty() {
            self.turns.push_back(group);
        }
        queue.push_back((due, entry));
    }

    /// Takes the first entry of the group whose turn it is, and the time when it was due.
    pub(crate) fn take(&mut self) -> Option<(Instant, T)> {
        let group = self.turns.pop_front()?;
        let queue = self.queues.get_mut(&group)?;
        let entry = queue.pop_front();
        if queue.is_empty() {
            self.queues.remove(&group);
        } else {
            self.turns.push_back(group);
        }
        if self.turns.is_empty() {
            // The room of many entries.
            *self = Self::default();
        }
        entry
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::now;

    #[test]
    fn groups_take_turns_and_keep_their_order() {
        let (mut late, due) = (Late::default(), now());
        for (group, entry) in [(1, "a"), (1, "b"), (1, "c"), (2, "d"), (3, "e"), (2, "f")] {
            late.push(group, due, entry);
        }
        assert_eq!(late.first_due(), Some(due));
        let order: Vec<_> = std::iter::from_fn(|| late.take().map(|(_, entry)| entry)).collect();
        assert_eq!(order, ["a", "d", "e", "b", "f", "c"]);
        assert!(late.is_empty() && late.queues.is_empty() && late.first_due().is_none());
    }
}
