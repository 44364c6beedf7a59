//! The groups that wait for something that is [shared](crate::shares), and which of them is next.
//!
//! The groups that wait, and the groups around them, are a tree, as groups are nested. At each level, the order is: the
//! group that holds the fewest units first, and among equals the one whose last turn was longest ago. Finding the next one
//! descends the tree once, and does not examine all groups that wait: groups that hold as much, and need as much, are
//! kept together.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::task::Waker;

use smallvec::SmallVec;

use crate::shares::{Group, Key, Shares};

/// The waiters of all groups.
#[derive(Debug, Default)]
pub(crate) struct WaitingGroups {
    nodes: HashMap<Key, Node>,
    outermost: Level,
    /// Counts the turns.
    turn: u64,
}

/// A group that waits, or that contains groups that wait.
#[derive(Debug)]
struct Node {
    /// Where it is in its level; `None` until it is put there.
    place: Option<Place>,
    /// The number of its last turn, or of the last one before it began to wait.
    turn: u64,
    /// The group, if it waits itself.
    group: Option<Arc<Group>>,
    /// Its own waiters, by their tickets.
    waiters: BTreeMap<u64, Waker>,
    /// The groups in it.
    parts: Level,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    class: Class,
    turn: u64,
}

/// Groups of one level that are equal except for their turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Class {
    /// What each holds.
    held: u64,
    /// How much must be left beyond that, so that a group in it can have a unit; 0 if it waits itself.
    inner: u64,
}

impl Class {
    /// How much must be left so that one of its groups, or a group in it, can have a unit.
    fn needs(self) -> u64 {
        self.held + 1 + self.inner
    }
}

/// The waiting groups that are directly within the same group.
#[derive(Debug, Default)]
struct Level(BTreeMap<Class, BTreeSet<(u64, Key)>>);

impl Level {
    fn insert(&mut self, key: Key, place: Place) {
        self.0.entry(place.class).or_default().insert((place.turn, key));
    }

    fn remove(&mut self, key: Key, place: Place) {
        if let Some(groups) = self.0.get_mut(&place.class) {
            groups.remove(&(place.turn, key));
            if groups.is_empty() {
                self.0.remove(&place.class);
            }
        }
    }

    /// The group for the next unit, if so much is left. There are few classes, because what all groups hold together is
    /// limited, and groups that hold nothing differ only in depth.
    fn first(&self, left: u64, is_outermost: bool) -> Option<(Class, Key)> {
        let first_unit = Class { held: 0, inner: 0 };
        let fits = |class: Class| class.needs() <= left || (is_outermost && class == first_unit);
        let mut first: Option<(Class, u64, Key)> = None;
        for (class, groups) in &self.0 {
            if first.is_some_and(|(other, ..)| other.held < class.held) {
                break;
            }
            if let Some((turn, key)) = groups.first().filter(|_| fits(*class))
                && first.is_none_or(|(_, other, _)| turn < &other)
            {
                first = Some((*class, *turn, *key));
            }
        }
        first.map(|(class, _, key)| (class, key))
    }

    /// The least that must be left for one of its groups; `None` if there are none.
    fn needs(&self) -> Option<u64> {
        self.0.keys().map(|class| class.needs()).min()
    }
}

impl Node {
    fn new(turn: u64) -> Self {
        Self {
            place: None,
            turn,
            group: None,
            waiters: BTreeMap::new(),
            parts: Level::default(),
        }
    }

    /// Where it belongs if it holds this much; `None` if nobody waits in it.
    fn place(&self, held: u64) -> Option<Place> {
        let inner = match self.waiters.is_empty() {
            true => self.parts.needs()?,
            false => 0,
        };
        let class = Class { held, inner };
        Some(Place { class, turn: self.turn })
    }
}

impl WaitingGroups {
    pub(crate) fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Whether the group itself waits, and not only groups in it.
    pub(crate) fn contains(&self, group: &Group) -> bool {
        let node = self.nodes.get(&Key::of(group));
        node.is_some_and(|node| !node.waiters.is_empty())
    }

    /// Adds a waiter of a group; returns the waker that it had.
    pub(crate) fn enter(&mut self, group: &Arc<Group>, ticket: u64, waker: Waker, shares: &Shares) -> Option<Waker> {
        let turn = self.turn;
        for key in group.path() {
            self.nodes.entry(key).or_insert_with(|| Node::new(turn));
        }
        let node = self.nodes.get_mut(&Key::of(group)).expect("it has been added");
        node.group.get_or_insert_with(|| group.clone());
        let former = node.waiters.insert(ticket, waker);
        if former.is_none() {
            self.update(group, shares);
        }
        former
    }

    /// Removes a waiter of a group.
    pub(crate) fn leave(&mut self, group: &Group, ticket: u64, shares: &Shares) -> Option<Waker> {
        let waker = self.nodes.get_mut(&Key::of(group))?.waiters.remove(&ticket);
        self.update(group, shares);
        waker
    }

    /// Removes the oldest waiter of the group that may have the next unit, and takes that unit for it.
    pub(crate) fn grant(&mut self, shares: &mut Shares) -> Option<(u64, Waker)> {
        let node = self.nodes.get_mut(&self.next(shares)?)?;
        let (group, (ticket, waker)) = (node.group.clone()?, node.waiters.pop_first()?);
        let taken = shares.take(&group, 1);
        debug_assert!(taken, "only a group that may have a unit is next");
        self.turn += 1;
        for key in group.path() {
            if let Some(node) = self.nodes.get_mut(&key) {
                node.turn = self.turn;
            }
        }
        self.update(&group, shares);
        Some((ticket, waker))
    }

    /// The group for the next unit, if any waiting group may have one.
    fn next(&self, shares: &Shares) -> Option<Key> {
        let mut left = shares.left_after(1)?;
        let (mut level, mut is_outermost) = (&self.outermost, true);
        loop {
            let (class, key) = level.first(left, is_outermost)?;
            let node = self.nodes.get(&key)?;
            if !node.waiters.is_empty() {
                return Some(key);
            }
            left = left.saturating_sub(class.held + 1);
            (level, is_outermost) = (&node.parts, false);
        }
    }

    /// Must be called when the group has other waiters than before, or it holds more or less.
    pub(crate) fn update(&mut self, group: &Group, shares: &Shares) {
        let path: SmallVec<[(Key, u64); 4]> = group.path().zip(shares.held(group)).collect();
        let mut outer = path.len();
        for (key, held) in path.iter().rev() {
            outer -= 1;
            let Some(node) = self.nodes.get_mut(key) else { continue };
            let place = node.place(*held);
            let before = std::mem::replace(&mut node.place, place);
            if node.waiters.is_empty() {
                node.group = None;
            }
            if place.is_none() {
                self.nodes.remove(key);
            }
            if before == place {
                continue;
            }
            let around = outer.checked_sub(1).map(|outer| path[outer].0);
            let level = match around {
                None => &mut self.outermost,
                Some(around) => &mut self.nodes.get_mut(&around).expect("its parts wait").parts,
            };
            before.into_iter().for_each(|place| level.remove(*key, place));
            place.into_iter().for_each(|place| level.insert(*key, place));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever waits, holds and gives back: the next group is one that may have a unit and has the fewest, and there is
        /// one if any group may.
        #[test]
        fn the_next_group_may_have_a_unit_and_has_the_fewest(
            parents in prop::collection::vec(any::<prop::sample::Index>(), 1..12),
            steps in prop::collection::vec((any::<prop::sample::Index>(), 0..4_u8), 1..200),
            max in 1..20_u64,
        ) {
            let mut groups: Vec<Arc<Group>> = vec![Group::new()];
            for (at, parent) in parents.iter().enumerate() {
                let parent = parent.index(groups.len());
                groups.push(if at % 4 == 0 { Group::new() } else { Group::within(&groups[parent]) });
            }
            let (mut shares, mut waiting) = (Shares::new(max), WaitingGroups::default());
            let mut held: Vec<Arc<Group>> = Vec::new();
            let mut tickets: Vec<(Arc<Group>, u64)> = Vec::new();
            for (ticket, (at, step)) in (0..).zip(steps) {
                let group = &groups[at.index(groups.len())];
                match step {
                    0 if shares.take(group, 1) => {
                        held.push(group.clone());
                        waiting.update(group, &shares);
                    }
                    1 if !held.is_empty() => {
                        let group = held.swap_remove(at.index(held.len()));
                        shares.give_back(&group, 1);
                        waiting.update(&group, &shares);
                    }
                    2 if !tickets.is_empty() => {
                        let (group, ticket) = tickets.swap_remove(at.index(tickets.len()));
                        prop_assert!(waiting.leave(&group, ticket, &shares).is_some());
                    }
                    _ => {
                        prop_assert!(waiting.enter(group, ticket, Waker::noop().clone(), &shares).is_none());
                        tickets.push((group.clone(), ticket));
                    }
                }
                let may = || tickets.iter().filter(|(group, _)| shares.fits(group, 1));
                let outermost = |group: &Group| shares.held(group).next();
                let fewest = may().map(|(group, _)| outermost(group)).min();
                let next = waiting.next(&shares);
                let of_next = tickets.iter().find(|(group, _)| Some(Key::of(group)) == next);
                prop_assert_eq!(of_next.map(|(group, _)| shares.fits(group, 1)), fewest.map(|_| true));
                prop_assert_eq!(of_next.map(|(group, _)| outermost(group)), fewest);
            }
            for (group, ticket) in tickets {
                prop_assert!(waiting.contains(&group));
                waiting.leave(&group, ticket, &shares);
            }
            prop_assert!(waiting.is_empty() && waiting.outermost.0.is_empty());
        }
    }

    /// A thousand groups wait within one sandbox, each as deep as groups are told apart.
    #[test]
    fn very_many_deep_groups_are_one_class() {
        let (mut shares, mut waiting) = (Shares::new(4), WaitingGroups::default());
        let sandbox = Group::new();
        // It must live: other groups could get the address of one that is gone.
        let other = Group::new();
        assert!(shares.take(&other, 2));
        for ticket in 0..1000 {
            let mut group = Group::within(&sandbox);
            for _ in 0..20 {
                group = Group::within(&group);
            }
            waiting.enter(&group, ticket, Waker::noop().clone(), &shares);
        }
        let node = &waiting.nodes[&Key::of(&sandbox)];
        assert_eq!((waiting.outermost.0.len(), node.parts.0.len()), (1, 1));
        assert_eq!(waiting.next(&shares), None, "less is left than they are deep");
        waiting.enter(&sandbox, 1000, Waker::noop().clone(), &shares);
        assert_eq!(waiting.next(&shares), Some(Key::of(&sandbox)));
        assert_eq!(waiting.grant(&mut shares).map(|(ticket, _)| ticket), Some(1000));
    }
}
