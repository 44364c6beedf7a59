//! Remembers how processes ended.
//!
//! The memory for this is the host's, of a fixed size, and outlives processes. A tree of processes that end repeatedly
//! must not make the host forget the ends of others. Therefore each budget has a part: when there is no room, the
//! largest part loses its oldest entry.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::address::Id;
use crate::budget::Budget;
use crate::exit::ExitReason;

/// The exit reasons of the last [`LEN_MAX`](Self::LEN_MAX) processes that ended abnormally, in at most
/// [`SIZE_MAX`](Self::SIZE_MAX) bytes.
///
/// Normal ends are not recorded: a process that is neither here nor alive has ended normally.
#[derive(Default)]
pub(crate) struct Exits(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    ends: HashMap<Id, End>,
    owners: HashMap<Owner, Owned>,
    /// The bytes of each owner.
    by_size: BTreeSet<(usize, Owner)>,
    size: usize,
    /// For each slot, the number after the last one whose reason was dropped to make room.
    forgotten: Vec<u32>,
}

struct End {
    reason: ExitReason,
    size: usize,
}

/// Identifies the budget of a process: its address, or 0 for none. If a new budget has the address of a former one,
/// they share a part.
type Owner = usize;

#[derive(Default)]
struct Owned {
    size: usize,
    /// The oldest first.
    ends: VecDeque<Id>,
}

impl Exits {
    pub(crate) const LEN_MAX: usize = 65_536;
    pub(crate) const SIZE_MAX: usize = 32 << 20;

    /// Approximate size of an entry, in addition to its text.
    const END_SIZE: usize = 128;

    pub(crate) fn remember(&self, id: Id, budget: Option<&Arc<Budget>>, reason: &ExitReason) {
        if *reason == ExitReason::Normal {
            return;
        }
        let owner = budget.map_or(0, |budget| Arc::as_ptr(budget).addr());
        let end = End {
            size: Self::END_SIZE + reason.text().len(),
            reason: reason.clone(),
        };
        let mut inner = self.0.lock();
        while inner.ends.len() >= Self::LEN_MAX || inner.size + end.size > Self::SIZE_MAX {
            inner.forget_one();
        }
        inner.change(owner, |owned| {
            owned.size += end.size;
            owned.ends.push_back(id);
        });
        inner.size += end.size;
        inner.ends.insert(id, end);
    }

    /// How a process ended that is not alive any more.
    pub(crate) fn of(&self, id: Id) -> ExitReason {
        let inner = self.0.lock();
        match inner.ends.get(&id) {
            Some(end) => end.reason.clone(),
            None if inner.is_forgotten(id) => ExitReason::Forgotten,
            None => ExitReason::Normal,
        }
    }
}

impl Inner {
    /// Changes the entries of an owner.
    fn change(&mut self, owner: Owner, change: impl FnOnce(&mut Owned)) {
        let owned = self.owners.entry(owner).or_default();
        let before = owned.size;
        change(owned);
        let now = owned.size;
        self.by_size.remove(&(before, owner));
        if now > 0 {
            self.by_size.insert((now, owner));
        } else {
            self.owners.remove(&owner);
        }
    }

    /// Drops the oldest entry of the owner with the largest part.
    fn forget_one(&mut self) {
        let Some(&(_, owner)) = self.by_size.last() else { return };
        let oldest = self.owners.get(&owner).and_then(|owned| owned.ends.front().copied());
        let Some((oldest, end)) = oldest.and_then(|oldest| Some((oldest, self.ends.remove(&oldest)?))) else {
            return;
        };
        self.change(owner, |owned| {
            owned.ends.pop_front();
            owned.size -= end.size;
        });
        self.size -= end.size;
        let slot = oldest.slot() as usize;
        if self.forgotten.len() <= slot {
            self.forgotten.resize(slot + 1, 0);
        }
        self.forgotten[slot] = self.forgotten[slot].max(oldest.number() + 1);
    }

    fn is_forgotten(&self, id: Id) -> bool {
        let end = self.forgotten.get(id.slot() as usize);
        end.is_some_and(|end| id.number() < *end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Caps;
    use crate::environment::now;

    #[test]
    fn abnormal_ends_are_remembered_and_then_known_to_be_forgotten() {
        let exits = Exits::default();
        exits.remember(Id::new(1, 0), None, &ExitReason::Killed);
        exits.remember(Id::new(2, 0), None, &ExitReason::Normal);
        assert_eq!(exits.of(Id::new(1, 0)), ExitReason::Killed);
        assert_eq!(exits.of(Id::new(2, 0)), ExitReason::Normal);
        for number in 1..=Exits::LEN_MAX as u32 {
            exits.remember(Id::new(1, number), None, &ExitReason::Exit(3));
        }
        assert_eq!(exits.of(Id::new(1, 0)), ExitReason::Forgotten);
        assert_eq!(exits.of(Id::new(1, 1)), ExitReason::Exit(3));
        assert_eq!(exits.of(Id::new(2, 0)), ExitReason::Normal);
    }

    #[test]
    fn who_ends_most_often_is_forgotten_first() {
        let exits = Exits::default();
        let budgets = [(); 2].map(|()| Budget::outermost(Caps::default(), now()));
        exits.remember(Id::new(1, 0), None, &ExitReason::Killed);
        exits.remember(Id::new(2, 0), Some(&budgets[0]), &ExitReason::Killed);
        for number in 0..2 * Exits::LEN_MAX as u32 {
            exits.remember(Id::new(3, number), Some(&budgets[1]), &ExitReason::Killed);
        }
        assert_eq!(exits.of(Id::new(1, 0)), ExitReason::Killed);
        assert_eq!(exits.of(Id::new(2, 0)), ExitReason::Killed);
        assert_eq!(exits.of(Id::new(3, 0)), ExitReason::Forgotten);
        let inner = exits.0.lock();
        assert_eq!((inner.ends.len(), inner.owners.len()), (Exits::LEN_MAX, 3));
    }

    #[test]
    fn long_reasons_take_no_more_room_than_there_is() {
        let exits = Exits::default();
        let text = "x".repeat(64 << 10);
        exits.remember(Id::new(1, 0), None, &ExitReason::Killed);
        let budget = Budget::outermost(Caps::default(), now());
        for number in 0..10_000 {
            exits.remember(Id::new(2, number), Some(&budget), &ExitReason::Error(text.clone()));
            assert!(exits.0.lock().size <= Exits::SIZE_MAX);
        }
        assert_eq!(exits.of(Id::new(1, 0)), ExitReason::Killed);
        assert_eq!(exits.of(Id::new(2, 9_999)), ExitReason::Error(text));
        let inner = exits.0.lock();
        let sizes: usize = inner.ends.values().map(|end| end.size).sum();
        assert_eq!(
            (inner.size, inner.by_size.iter().map(|(size, _)| size).sum::<usize>()),
            (sizes, sizes)
        );
    }
}
