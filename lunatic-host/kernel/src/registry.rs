//! Names of processes, and groups of them, within a scope.
//!
//! A scope begins at a spawn that asks for one, or with the main process, and is inherited: processes of different
//! scopes do not see each other's names. A process knows its names and groups, so they are removed when it ends.
//!
//! The lock of a scope is taken before that of a process, never after it.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::address::Id;
use crate::budget::{Exhausted, Payer, Receipt, Resource};
use crate::hash;
use crate::host::Host;
use crate::large_map::LargeMap;
use crate::process::Process;
use crate::room;
use crate::small_map::SmallMap;

/// The name of a process or of a group: bytes, as guests write them.
pub type Name = Box<[u8]>;

/// Names and groups that processes share. They are stored by a keyed hash of the name, so that a process can be removed
/// from 65,536 groups without comparing names.
#[derive(Default)]
pub struct Scope {
    names: Mutex<LargeMap<u128, Id>>,
    groups: Mutex<LargeMap<u128, Group>>,
    /// Stands for the scope on other nodes; made when it is first needed.
    number: OnceLock<u128>,
}

#[derive(Default)]
struct Group {
    /// In the order in which they joined.
    members: BTreeMap<u64, Id>,
    places: SmallMap<Id, u64>,
    joined: u64,
}

/// The most names of a process, and the most groups that it is in. Removing one searches all of them.
pub const MEMBERSHIPS_MAX: usize = 1 << 16;

/// The most names, or groups, that a process can have while others add more: so others leave it as many.
pub const MEMBERSHIPS_MAX_BY_OTHERS: usize = MEMBERSHIPS_MAX / 2;

/// Approximate size of a name, in addition to its bytes: its places in the scope and here.
const NAME_SIZE: usize = 240;

/// Approximate size of a membership, and of the group itself.
const GROUP_SIZE: usize = 640;

/// How a process is known by a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// It is registered under the name.
    Alone,
    /// It is in the group with that name.
    InGroup,
}

/// The names and groups of one process.
#[derive(Default)]
pub(crate) struct Membership {
    names: Vec<Entry>,
    groups: Vec<Entry>,
}

struct Entry {
    scope: Arc<Scope>,
    name: Name,
    /// The name's [`hash::of_name`].
    number: u128,
    /// The payment of the process that gave the name, which may not be the one that has it.
    _paid: Receipt,
}

/// Why a name was not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameRefusal {
    /// This process has it.
    Taken(Id),
    /// The process has ended.
    Ended,
    /// The process has reached [`MEMBERSHIPS_MAX`], or [`MEMBERSHIPS_MAX_BY_OTHERS`] if another process gives the name;
    /// or the giver has no memory left for it.
    TooMany,
}

impl Scope {
    /// A scope with this number.
    pub fn numbered(number: u128) -> Self {
        Self {
            number: number.into(),
            ..Self::default()
        }
    }

    /// The number that stands for the scope on other nodes. `random` makes it when it is first needed.
    pub fn number(&self, random: impl FnOnce() -> u128) -> u128 {
        *self.number.get_or_init(random)
    }

    /// Registers a name for a process, which `make` makes only if the name is free. The process `by` does this and pays
    /// for it.
    pub fn register<H: Host, E: From<NameRefusal>>(
        self: &Arc<Self>,
        name: &[u8],
        by: &Process<H>,
        make: impl FnOnce() -> Result<Arc<Process<H>>, E>,
    ) -> Result<Arc<Process<H>>, E> {
        let number = hash::of_name(name);
        let mut names = self.names.lock();
        if let Some(holder) = names.get(number) {
            return Err(NameRefusal::Taken(*holder).into());
        }
        // Before the process is made, which could not be undone unnoticed.
        let entry = self.entry(name, number, NAME_SIZE, by)?;
        // Under the lock of the names, so that the name is still free when the process exists.
        let process = make()?;
        let max = memberships_max(&process, by);
        let kept = process.relate_paid(|relations| relations.membership.add(false, entry, max));
        match kept {
            Ok(true) => {}
            Ok(false) => return Err(NameRefusal::TooMany.into()),
            Err(_) => return Err(NameRefusal::Ended.into()),
        }
        names.get_or_insert_with(number, || process.id);
        Ok(process)
    }

    /// Removes a name, of `only` this process if there is one; false if it does not have it, or nobody has. `find` returns the
    /// process with an id, if it is alive.
    pub fn unregister<H: Host>(
        &self,
        name: &[u8],
        only: Option<Id>,
        find: impl FnOnce(Id) -> Option<Arc<Process<H>>>,
    ) -> bool {
        let number = hash::of_name(name);
        let mut names = self.names.lock();
        if only.is_some_and(|only| names.get(number) != Some(&only)) {
            return false;
        }
        let Some(id) = names.remove(number) else { return false };
        if let Some(holder) = find(id) {
            let _ = holder.relate_paid(|relations| relations.membership.forget(false, self, number));
        }
        true
    }

    /// Returns the process with this name.
    pub fn lookup(&self, name: &[u8]) -> Option<Id> {
        let number = hash::of_name(name);
        self.names.lock().get(number).copied()
    }

    /// Adds a process to a group, unless it is a member. The process `by` does this and pays for it.
    ///
    /// # Errors
    ///
    /// [`NameRefusal::Ended`] or [`NameRefusal::TooMany`].
    pub fn join<H: Host>(
        self: &Arc<Self>,
        name: &[u8],
        process: &Process<H>,
        by: &Process<H>,
    ) -> Result<(), NameRefusal> {
        let number = hash::of_name(name);
        let mut groups = self.groups.lock();
        if groups
            .get(number)
            .is_some_and(|group| group.places.contains_key(process.id))
        {
            return Ok(());
        }
        let (entry, max) = (self.entry(name, number, GROUP_SIZE, by)?, memberships_max(process, by));
        let kept = process.relate_paid(|relations| relations.membership.add(true, entry, max));
        match kept {
            Ok(true) => {}
            Ok(false) => return Err(NameRefusal::TooMany),
            Err(_) => return Err(NameRefusal::Ended),
        }
        groups.get_or_insert_with(number, Group::default).add(process.id);
        Ok(())
    }

    /// Removes a process from a group; false if it was not a member. `process` is `None` if it has ended.
    pub fn leave<H: Host>(&self, name: &[u8], id: Id, process: Option<&Process<H>>) -> bool {
        let number = hash::of_name(name);
        let mut groups = self.groups.lock();
        if let Some(process) = process {
            let _ = process.relate_paid(|relations| relations.membership.forget(true, self, number));
        }
        Self::take_out(&mut groups, number, id)
    }

    fn take_out(groups: &mut LargeMap<u128, Group>, number: u128, id: Id) -> bool {
        let Some(group) = groups.get_mut(number) else {
            return false;
        };
        let Some(place) = group.places.remove(id) else {
            return false;
        };
        group.members.remove(&place);
        if group.members.is_empty() {
            groups.remove(number);
        }
        true
    }

    /// The entry for a name, of `size` and its bytes, paid for by a process.
    fn entry<H: Host>(
        self: &Arc<Self>,
        name: &[u8],
        number: u128,
        size: usize,
        by: &Process<H>,
    ) -> Result<Entry, NameRefusal> {
        let mut paid = Receipt::new(by.purse().to_account(), Resource::Relations);
        paid.grow(size + name.len())
            .map_err(|_: Exhausted| NameRefusal::TooMany)?;
        Ok(Entry {
            scope: self.clone(),
            name: name.into(),
            number,
            _paid: paid,
        })
    }

    /// Returns the members of a group, in the order in which they joined.
    pub fn members(self: &Arc<Self>, name: &[u8]) -> Members {
        let number = hash::of_name(name);
        let joined = self.groups.lock().get(number).map(|group| group.joined);
        Members {
            scope: self.clone(),
            number,
            first: 1,
            last: joined.unwrap_or(0),
            copied: SmallVec::new().into_iter(),
        }
    }
}

/// How many members are copied at a time: those that a broadcast holds while it waits, and for which others wait.
const MEMBERS_AT_ONCE: usize = 256;

/// The members that a group had at some time, without those that have left since. If all have left, those that join after
/// that may be among them.
pub struct Members {
    scope: Arc<Scope>,
    number: u128,
    /// The numbers of the members that have not been copied yet.
    first: u64,
    last: u64,
    copied: smallvec::IntoIter<[Id; 8]>,
}

impl Members {
    /// Copies the next members.
    fn copy(&mut self) {
        if self.first > self.last {
            return;
        }
        let mut copied = SmallVec::new();
        let groups = self.scope.groups.lock();
        if let Some(group) = groups.get(self.number) {
            for (number, id) in group.members.range(self.first..=self.last).take(MEMBERS_AT_ONCE) {
                self.first = number + 1;
                copied.push(*id);
            }
        }
        self.copied = copied.into_iter();
    }
}

impl Iterator for Members {
    type Item = Id;

    fn next(&mut self) -> Option<Id> {
        if self.copied.len() == 0 {
            self.copy();
        }
        self.copied.next()
    }
}

/// How many names, or groups, `process` may have when `by` gives it another.
fn memberships_max<H: Host>(process: &Process<H>, by: &Process<H>) -> usize {
    if process.id == by.id {
        MEMBERSHIPS_MAX
    } else {
        MEMBERSHIPS_MAX_BY_OTHERS
    }
}

impl Group {
    fn add(&mut self, id: Id) {
        self.joined += 1;
        self.members.insert(self.joined, id);
        self.places.get_or_insert(id, self.joined);
    }
}

impl Membership {
    fn list(&mut self, are_groups: bool) -> &mut Vec<Entry> {
        if are_groups { &mut self.groups } else { &mut self.names }
    }

    /// False if the limit is reached.
    fn add(&mut self, is_group: bool, entry: Entry, max: usize) -> bool {
        let list = self.list(is_group);
        let has_room = list.len() < max;
        if has_room {
            list.push(entry);
        }
        has_room
    }

    fn forget(&mut self, is_group: bool, scope: &Scope, number: u128) {
        let list = self.list(is_group);
        let is_it = |entry: &Entry| std::ptr::eq(&*entry.scope, scope) && entry.number == number;
        if let Some(place) = list.iter().position(is_it) {
            list.remove(place);
            if room::is_roomy(list.len(), list.capacity()) {
                list.shrink_to(2 * list.len());
            }
        }
    }

    /// The number of names and groups.
    pub(crate) fn len(&self) -> usize {
        self.names.len() + self.groups.len()
    }

    /// The number of names.
    pub(crate) fn names_len(&self) -> usize {
        self.names.len()
    }

    /// The first names as text.
    pub(crate) fn names(&self, most: usize) -> Vec<String> {
        let names = self.names.iter().take(most);
        names
            .map(|entry| String::from_utf8_lossy(&entry.name).into_owned())
            .collect()
    }

    /// At most `most` names, or groups, from an index on.
    pub(crate) fn part(&self, kind: Named, from: usize, most: usize) -> Vec<Name> {
        let list = match kind {
            Named::Alone => &self.names,
            Named::InGroup => &self.groups,
        };
        let part = list.iter().skip(from).take(most);
        part.map(|entry| entry.name.clone()).collect()
    }

    /// The first name as text.
    pub(crate) fn first_name(&self) -> Option<String> {
        self.names
            .first()
            .map(|entry| String::from_utf8_lossy(&entry.name).into_owned())
    }

    /// Removes all names of a process that has ended.
    pub(crate) fn fall(self, id: Id) {
        for Entry { scope, number, .. } in self.names {
            let mut names = scope.names.lock();
            // It may have been removed and given to another process meanwhile.
            if names.get(number) == Some(&id) {
                names.remove(number);
            }
        }
        for Entry { scope, number, .. } in self.groups {
            Scope::take_out(&mut scope.groups.lock(), number, id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::{Budget, Caps, Purse};
    use crate::environment::now;

    /// A scope and its groups live on when most of what was in them has gone.
    #[test]
    fn a_scope_and_its_groups_give_room_back() {
        let scope = Scope::default();
        let mut groups = scope.groups.lock();
        for number in 0..10_000 {
            for group in [u128::from(number), 0] {
                let group = groups.get_or_insert_with(group, Group::default);
                if group.places.get(Id::new(number, 0)).is_none() {
                    group.add(Id::new(number, 0));
                }
            }
        }
        for number in 1..10_000 {
            for group in [u128::from(number), 0] {
                assert!(Scope::take_out(&mut groups, group, Id::new(number, 0)));
            }
        }
        let places = &groups.get(0).unwrap().places;
        assert_eq!((groups.len(), places.len()), (1, 1));
        let room = (
            groups.size() / size_of::<Group>(),
            places.size() / size_of::<(Id, u64)>(),
        );
        assert!(room.0 < 100 && room.1 < 100, "{room:?}");
    }

    #[test]
    fn members_come_in_parts_without_those_that_leave_or_join_meanwhile() {
        let scope = Arc::new(Scope::default());
        let (number, id) = (hash::of_name(b"group"), |slot: u32| Id::new(slot, 0));
        let change = |change: &dyn Fn(&mut Group)| {
            change(scope.groups.lock().get_or_insert_with(number, Group::default));
        };
        assert_eq!(scope.members(b"group").next(), None);
        (0..1000).for_each(|slot| change(&|group| group.add(id(slot))));
        let mut members = scope.members(b"group");
        let mut all: Vec<Id> = members.by_ref().take(MEMBERS_AT_ONCE).collect();
        for left in [10, 900] {
            assert!(Scope::take_out(&mut scope.groups.lock(), number, id(left)));
        }
        for joins in [900, 1000] {
            change(&|group| group.add(id(joins)));
        }
        all.extend(members.by_ref());
        assert_eq!(members.next(), None);
        let expected: Vec<Id> = (0..1000).filter(|slot| *slot != 900).map(id).collect();
        assert_eq!(all, expected);
    }

    /// While a process ends, another takes its name away and gives it to a third.
    #[test]
    fn a_name_that_another_has_by_now_does_not_fall() {
        let scope = Arc::new(Scope::default());
        let (ended, other) = (Id::new(1, 0), Id::new(2, 0));
        let number = hash::of_name(b"name");
        for holder in [ended, other] {
            *scope.names.lock().get_or_insert_with(number, || holder) = holder;
            let host = Budget::outermost(Caps::default(), now());
            let paid = Receipt::new(Purse::new(None, &host).to_account(), Resource::Relations);
            let entry = Entry {
                scope: scope.clone(),
                name: b"name"[..].into(),
                number,
                _paid: paid,
            };
            let membership = Membership {
                names: vec![entry],
                ..Membership::default()
            };
            membership.fall(ended);
            assert_eq!(scope.lookup(b"name"), (holder == other).then_some(other));
        }
    }
}
