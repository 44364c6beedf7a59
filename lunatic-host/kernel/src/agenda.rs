//! A list of entries with times, ordered by time.

use std::collections::BTreeMap;
use std::time::Instant;

/// Identifies an entry, in order to remove it. Entries of the same instant are distinguished by a number, and keep
/// their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimerId {
    due: Instant,
    number: u64,
}

/// Entries, ordered by time.
pub(crate) struct Agenda<T> {
    entries: BTreeMap<TimerId, T>,
    number: u64,
}

impl<T> Default for Agenda<T> {
    fn default() -> Self {
        Self {
            entries: BTreeMap::new(),
            number: 0,
        }
    }
}

impl<T> Agenda<T> {
    /// Adds an entry; returns true if it is the first to be due.
    pub(crate) fn insert(&mut self, due: Instant, entry: T) -> (TimerId, bool) {
        self.number += 1;
        let id = TimerId {
            due,
            number: self.number,
        };
        let is_first = self.entries.first_key_value().is_none_or(|(first, _)| id < *first);
        self.entries.insert(id, entry);
        (id, is_first)
    }

    /// Removes an entry, if it is still there.
    pub(crate) fn remove(&mut self, id: TimerId) -> Option<T> {
        self.entries.remove(&id)
    }

    /// When the first entry is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.entries.first_key_value().map(|(first, _)| first.due)
    }

    /// Takes the first entry that is due at `now`, and the time when it was due.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<(Instant, T)> {
        let first = self.entries.first_entry().filter(|first| first.key().due <= now)?;
        let (id, entry) = first.remove_entry();
        Some((id.due, entry))
    }
}
