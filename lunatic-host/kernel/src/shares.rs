//! Shares: how groups divide a fixed amount that cannot be reclaimed from them.
//!
//! Examples are threads that look up names, and the memory of a library. If the first group could take everything, a
//! single sandbox that never gives anything back would stop all others. So each group may hold as much as it leaves
//! free for others: a single greedy group gets a half, two get a third each and leave a third, and so on. Something is
//! left for a newcomer until there are as many greedy groups as units. If a half is too little for a program that is
//! alone, a group may hold a multiple of what it leaves free: with a multiple of three, it gets three quarters, and a
//! second group still finds something.
//!
//! Groups are nested like sandboxes. The rule applies among the children of a group as among the outermost groups: what
//! children hold counts for their parents, so no group gains by dividing itself.

use std::collections::HashMap;
use std::sync::Arc;

/// Deeper groups count as part of the group at this depth.
const DEPTH_MAX: usize = 16;

/// Holders whose use counts together. Identified by its address.
#[derive(Debug, Default)]
pub struct Group {
    /// The groups around it, the outermost first. Not a chain of parents, because dropping a long one would overflow
    /// the stack.
    around: Vec<Arc<Group>>,
}

impl Group {
    /// Returns a group that is part of no other.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Returns whether it is `other` or part of it.
    pub fn is_within(&self, other: &Self) -> bool {
        let is_other = |group: &Self| std::ptr::eq(group, other);
        is_other(self) || self.around.iter().any(|group| is_other(group))
    }

    /// Returns a new group that is part of `parent`; or `parent` itself, if that is nested too deeply.
    pub fn within(parent: &Arc<Self>) -> Arc<Self> {
        if parent.around.len() + 1 >= DEPTH_MAX {
            return parent.clone();
        }
        let around = parent.around.iter().chain([parent]).cloned().collect();
        Arc::new(Self { around })
    }

    /// The keys of the groups around it and its own, the outermost first.
    pub(crate) fn path(&self) -> impl Iterator<Item = Key> {
        let around = self.around.iter().map(|group| Key::of(group));
        around.chain([Key::of(self)])
    }
}

/// The address of a group: no other group has it while this one holds something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key(usize);

impl Key {
    pub(crate) fn of(group: &Group) -> Self {
        Self(std::ptr::from_ref(group).addr())
    }
}

/// An amount and its holders. The user defines the unit.
#[derive(Debug)]
pub struct Shares {
    max: u64,
    /// A group may hold this many times what it leaves free.
    multiple: u64,
    total: u64,
    /// What a group and all groups in it hold. Groups that hold nothing are not listed.
    held: HashMap<Key, u64>,
}

impl Shares {
    /// Returns `max` free units.
    pub fn new(max: u64) -> Self {
        Self::of_multiple(max, 1)
    }

    /// Returns `max` free units, of which a group may hold `multiple` times what it leaves free.
    pub fn of_multiple(max: u64, multiple: u64) -> Self {
        Self {
            max,
            multiple,
            total: 0,
            held: HashMap::new(),
        }
    }

    /// Returns what all groups hold together.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// What each group on the path to `group` holds, the outermost first.
    pub(crate) fn held(&self, group: &Group) -> impl Iterator<Item = u64> {
        group.path().map(|key| self.held.get(&key).copied().unwrap_or(0))
    }

    /// What is free after this much has been taken, times the multiple; `None` if less is free.
    pub(crate) fn left_after(&self, amount: u64) -> Option<u64> {
        let left = (self.max - self.total).checked_sub(amount)?;
        Some(left.saturating_mul(self.multiple))
    }

    /// Whether the group may have this much more: neither it nor a group around it then holds more than it leaves free,
    /// times the multiple. An outermost group may have a first unit even if nothing is left afterwards.
    pub(crate) fn fits(&self, group: &Group, amount: u64) -> bool {
        let Some(mut left) = self.left_after(amount) else {
            return false;
        };
        let mut least = 1;
        self.held(group).all(|held| {
            let then = held + amount;
            let fits = then <= left.max(least);
            // A group precedes the groups in it: whatever they take, something is left for the group itself.
            (left, least) = (left.saturating_sub(then), 0);
            fits
        })
    }

    /// Takes this much for the group; returns false, and takes nothing, if the group may not have it.
    pub fn take(&mut self, group: &Group, amount: u64) -> bool {
        let fits = self.fits(group, amount);
        if fits && amount > 0 {
            self.total += amount;
            for key in group.path() {
                *self.held.entry(key).or_default() += amount;
            }
        }
        fits
    }

    /// Gives back what was taken for the group.
    ///
    /// # Panics
    ///
    /// If the group does not hold this much.
    pub fn give_back(&mut self, group: &Group, amount: u64) {
        if amount == 0 {
            return;
        }
        self.total -= amount;
        for key in group.path() {
            let held = self.held.get_mut(&key).expect("only what was taken is given back");
            *held -= amount;
            if *held == 0 {
                self.held.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Takes one unit after the other, until there is no more.
    fn take_all(shares: &mut Shares, group: &Group) -> u64 {
        (0..).find(|_| !shares.take(group, 1)).unwrap()
    }

    #[test]
    fn who_takes_all_he_can_leaves_something_for_the_next() {
        let mut shares = Shares::new(64);
        let groups: Vec<_> = (0..7).map(|_| Group::new()).collect();
        let taken: Vec<_> = groups.iter().map(|group| take_all(&mut shares, group)).collect();
        assert_eq!(taken, [32, 16, 8, 4, 2, 1, 1]);
        // Those that come late and those that came early have the same once it is given back.
        for (group, taken) in groups.iter().zip(taken) {
            shares.give_back(group, taken);
        }
        let mut all = [0; 7];
        while (0..7).fold(false, |any, at| {
            let more = shares.take(&groups[at], 1);
            all[at] += u64::from(more);
            any | more
        }) {}
        assert_eq!(all, [8; 7]);
    }

    #[test]
    fn nobody_gets_more_by_dividing_himself() {
        let mut shares = Shares::new(64);
        let program = Group::new();
        let (greedy, modest) = (Group::within(&program), Group::within(&program));
        let parts: Vec<_> = (0..100).map(|_| Group::within(&greedy)).collect();
        let taken: u64 = parts.iter().map(|part| take_all(&mut shares, part)).sum();
        assert_eq!(
            taken, 21,
            "a third: it leaves as much for its sisters, and their parent for others"
        );
        assert!(shares.take(&modest, 1) && shares.take(&program, 1) && shares.take(&Group::new(), 1));
        assert!(parts.iter().all(|part| !shares.fits(part, 1)));
    }

    #[test]
    fn what_is_left_for_a_group_its_parts_cannot_take() {
        let mut shares = Shares::new(64);
        let program = Group::new();
        let parts: Vec<_> = (0..100).map(|_| Group::within(&program)).collect();
        let taken = parts.iter().filter(|part| shares.take(part, 1)).count();
        assert_eq!(taken, 31);
        assert!(shares.take(&program, 1) && !shares.fits(&program, 1));
    }

    #[test]
    fn of_a_multiple_everybody_finds_something_too() {
        let mut shares = Shares::of_multiple(1024, 3);
        let program = Group::new();
        let part = Group::within(&program);
        assert_eq!(take_all(&mut shares, &part), 614, "three fifths");
        assert_eq!(take_all(&mut shares, &program), 154, "up to three quarters");
        let newcomers = [Group::new(), Group::new(), Group::new()];
        assert_eq!(
            newcomers.each_ref().map(|group| take_all(&mut shares, group)),
            [192, 48, 12]
        );
    }

    #[test]
    fn a_group_in_very_many_others_has_a_share_too() {
        let mut deep = Group::new();
        for _ in 0..1_000_000 {
            deep = Group::within(&deep);
        }
        assert_eq!(deep.path().count(), DEPTH_MAX);
        let mut shares = Shares::new(64);
        assert_eq!(take_all(&mut shares, &deep), 64 / (DEPTH_MAX as u64 + 1));
    }

    proptest! {
        /// Takes and returns over a random tree of groups, against sums over the tree.
        #[test]
        fn all_that_is_held_is_counted_and_something_is_left(
            parents in prop::collection::vec(any::<prop::sample::Index>(), 1..10),
            takes in prop::collection::vec((any::<prop::sample::Index>(), 1_u64..5, any::<bool>()), 1..100),
        ) {
            let mut groups: Vec<Arc<Group>> = vec![Group::new()];
            for (at, parent) in parents.iter().enumerate() {
                let parent = parent.index(groups.len());
                groups.push(if at % 3 == 0 { Group::new() } else { Group::within(&groups[parent]) });
            }
            let mut shares = Shares::new(40);
            let mut taken: Vec<Vec<u64>> = vec![Vec::new(); groups.len()];
            for (at, amount, gives_back) in takes {
                let at = at.index(groups.len());
                if gives_back {
                    if let Some(amount) = taken[at].pop() {
                        shares.give_back(&groups[at], amount);
                    }
                } else if shares.take(&groups[at], amount) {
                    taken[at].push(amount);
                }
                let own = |at: usize| taken[at].iter().sum::<u64>();
                prop_assert_eq!(shares.total(), (0..groups.len()).map(own).sum::<u64>());
                for (at, group) in groups.iter().enumerate() {
                    let of_it = |other: &usize| groups[*other].path().any(|key| key == Key::of(group));
                    let sum = (0..groups.len()).filter(of_it).map(own).sum::<u64>();
                    prop_assert_eq!(shares.held(group).last(), Some(sum), "{}", at);
                    prop_assert!(sum <= 20, "no group has more than a half");
                }
            }
            for (group, taken) in groups.iter().zip(taken) {
                taken.into_iter().for_each(|amount| shares.give_back(group, amount));
            }
            prop_assert!(shares.held.is_empty() && shares.total() == 0);
        }
    }
}
