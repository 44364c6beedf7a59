//! Names of processes, and groups of them, within a scope.
//!
//! A scope begins at a spawn that asks for one, or with the main process, and is inherited: processes of different
//! scopes do not see each other's names. A process knows its names and groups, so they fall when it ends.
//!
//! A scope's lock is taken before a process's, never after it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::address::Id;
use crate::budget::{Payer, Purse, Resource};
use crate::host::Host;
use crate::process::Process;

/// The name of a process or of a group: bytes, as guests write them.
pub type Name = Box<[u8]>;

/// Names and groups that processes share.
#[derive(Default)]
pub struct Scope {
    names: Mutex<HashMap<Name, Id>>,
    groups: Mutex<HashMap<Name, Group>>,
}

#[derive(Default)]
struct Group {
    /// By the order in which they joined.
    members: BTreeMap<u64, Id>,
    places: HashMap<Id, u64>,
    joined: u64,
}

/// A process has at most so many names, and is in at most so many groups. Taking one away looks through all of them.
pub const MEMBERSHIPS_MAX: usize = 1 << 16;

/// What a name or group takes up beside its bytes: its places in the scope and here.
const MEMBERSHIP_SIZE: usize = 192;

/// The names and groups of one process.
#[derive(Default)]
pub(crate) struct Membership {
    names: Vec<(Arc<Scope>, Name)>,
    groups: Vec<(Arc<Scope>, Name)>,
    /// The bytes of all names.
    text_len: usize,
}

/// Why a name was not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameRefusal {
    /// This process has it.
    Taken(Id),
    /// The process has ended.
    Ended,
    /// It has [`MEMBERSHIPS_MAX`] of them, or no memory left for another.
    TooMany,
}

impl Scope {
    /// Gives a name to a process, which `make` makes only if the name is free.
    pub fn register<H: Host, E: From<NameRefusal>>(
        self: &Arc<Self>,
        name: &[u8],
        make: impl FnOnce() -> Result<Arc<Process<H>>, E>,
    ) -> Result<Arc<Process<H>>, E> {
        let mut names = self.names.lock();
        if let Some(holder) = names.get(name) {
            return Err(NameRefusal::Taken(*holder).into());
        }
        // Under the lock of the names: the name is still free when the process is there.
        let process = make()?;
        let kept = process.relate(|relations| relations.membership.add(false, self, name, process.purse()));
        match kept {
            Ok(true) => {}
            Ok(false) => return Err(NameRefusal::TooMany.into()),
            Err(_) => return Err(NameRefusal::Ended.into()),
        }
        names.insert(name.into(), process.id);
        Ok(process)
    }

    /// Takes a name away; false if nobody has it. `find` gives the process of an id, if it is alive.
    pub fn unregister<H: Host>(&self, name: &[u8], find: impl FnOnce(Id) -> Option<Arc<Process<H>>>) -> bool {
        let mut names = self.names.lock();
        let Some(id) = names.remove(name) else { return false };
        if let Some(holder) = find(id) {
            let _ = holder.relate(|relations| relations.membership.forget(false, self, name));
        }
        true
    }

    /// The process that has a name.
    pub fn lookup(&self, name: &[u8]) -> Option<Id> {
        self.names.lock().get(name).copied()
    }

    /// Adds a process to a group, unless it is in it.
    ///
    /// # Errors
    ///
    /// [`NameRefusal::Ended`] or [`NameRefusal::TooMany`].
    pub fn join<H: Host>(self: &Arc<Self>, name: &[u8], process: &Process<H>) -> Result<(), NameRefusal> {
        let mut groups = self.groups.lock();
        if groups
            .get(name)
            .is_some_and(|group| group.places.contains_key(&process.id))
        {
            return Ok(());
        }
        let kept = process.relate(|relations| relations.membership.add(true, self, name, process.purse()));
        match kept {
            Ok(true) => {}
            Ok(false) => return Err(NameRefusal::TooMany),
            Err(_) => return Err(NameRefusal::Ended),
        }
        let group = groups.entry(name.into()).or_default();
        group.joined += 1;
        group.members.insert(group.joined, process.id);
        group.places.insert(process.id, group.joined);
        Ok(())
    }

    /// Takes a process out of a group; false if it was not in it. `process` is none if it has ended.
    pub fn leave<H: Host>(&self, name: &[u8], id: Id, process: Option<&Process<H>>) -> bool {
        let mut groups = self.groups.lock();
        if let Some(process) = process {
            let _ = process.relate(|relations| relations.membership.forget(true, self, name));
        }
        Self::take_out(&mut groups, name, id)
    }

    fn take_out(groups: &mut HashMap<Name, Group>, name: &[u8], id: Id) -> bool {
        let Some(group) = groups.get_mut(name) else {
            return false;
        };
        let Some(place) = group.places.remove(&id) else {
            return false;
        };
        group.members.remove(&place);
        if group.members.is_empty() {
            groups.remove(name);
        }
        true
    }

    /// Who is in a group, in the order in which they joined.
    pub fn members(&self, name: &[u8]) -> Vec<Id> {
        let groups = self.groups.lock();
        groups
            .get(name)
            .map_or_else(Vec::new, |group| group.members.values().copied().collect())
    }
}

impl Membership {
    fn list(&mut self, are_groups: bool) -> &mut Vec<(Arc<Scope>, Name)> {
        if are_groups { &mut self.groups } else { &mut self.names }
    }

    /// False if there are as many as there may be, or the process cannot pay for another.
    fn add(&mut self, is_group: bool, scope: &Arc<Scope>, name: &[u8], purse: Purse<'_>) -> bool {
        let cost = MEMBERSHIP_SIZE + 2 * name.len();
        let list = self.list(is_group);
        if list.len() == MEMBERSHIPS_MAX || purse.check(Resource::Relations, cost).is_err() {
            return false;
        }
        list.push((scope.clone(), name.into()));
        self.text_len += name.len();
        true
    }

    fn forget(&mut self, is_group: bool, scope: &Scope, name: &[u8]) {
        let list = self.list(is_group);
        let is_it = |(in_scope, mine): &(Arc<Scope>, Name)| std::ptr::eq(&**in_scope, scope) && **mine == *name;
        if let Some(place) = list.iter().position(is_it) {
            list.remove(place);
            self.text_len -= name.len();
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.names.len() + self.groups.len()
    }

    /// The bytes that all of them take up, in scopes too.
    pub(crate) fn size(&self) -> usize {
        (self.names.len() + self.groups.len()) * MEMBERSHIP_SIZE + 2 * self.text_len
    }

    fn leave(scope: &Scope, name: &[u8], id: Id) {
        Scope::take_out(&mut scope.groups.lock(), name, id);
    }

    /// All names, for people.
    pub(crate) fn names(&self) -> Vec<String> {
        let names = self.names.iter();
        names
            .map(|(_, name)| String::from_utf8_lossy(name).into_owned())
            .collect()
    }

    /// For people.
    pub(crate) fn first_name(&self) -> Option<String> {
        self.names
            .first()
            .map(|(_, name)| String::from_utf8_lossy(name).into_owned())
    }

    /// The process has ended: all its names fall.
    pub(crate) fn fall(self, id: Id) {
        for (scope, name) in self.names {
            let mut names = scope.names.lock();
            // It may have been taken away and given to another meanwhile.
            if names.get(&name) == Some(&id) {
                names.remove(&name);
            }
        }
        for (scope, name) in self.groups {
            Self::leave(&scope, &name, id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// While a process ends, another takes its name away and gives it to a third.
    #[test]
    fn a_name_that_another_has_by_now_does_not_fall() {
        let scope = Arc::new(Scope::default());
        let (ended, other) = (Id::new(1, 0), Id::new(2, 0));
        for holder in [ended, other] {
            scope.names.lock().insert(b"name"[..].into(), holder);
            let membership = Membership {
                names: vec![(scope.clone(), b"name"[..].into())],
                ..Membership::default()
            };
            membership.fall(ended);
            assert_eq!(scope.lookup(b"name"), (holder == other).then_some(other));
        }
    }
}
