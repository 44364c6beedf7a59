//! Names of processes, and groups of them, within a scope.
//!
//! A scope begins at a spawn that asks for one, or with the main process, and is inherited: processes of different
//! scopes do not see each other's names. A process knows its names and groups, so they fall when it ends.
//!
//! A scope's lock is taken before a process's, never after it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use parking_lot::Mutex;

use super::Process;
use super::id::Id;

/// The name of a process or of a group: bytes, as guests write them.
pub(crate) type Name = Box<[u8]>;

#[derive(Default)]
pub(crate) struct Scope {
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

/// The names and groups of one process.
#[derive(Default)]
pub(super) struct Membership {
    names: Vec<(Arc<Scope>, Name)>,
    groups: Vec<(Arc<Scope>, Name)>,
}

/// Why a name was not given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameRefusal {
    Taken(Id),
    Ended,
}

impl Scope {
    /// Gives a name to a process, which `make` makes only if the name is free.
    pub(crate) fn register<E: From<NameRefusal>>(
        self: &Arc<Self>,
        name: &[u8],
        make: impl FnOnce() -> Result<Arc<Process>, E>,
    ) -> Result<Arc<Process>, E> {
        let mut names = self.names.lock();
        if let Some(holder) = names.get(name) {
            return Err(NameRefusal::Taken(*holder).into());
        }
        let process = make()?;
        let kept = process.relate(|relations| relations.membership.names.push((self.clone(), name.into())));
        kept.map_err(|_| NameRefusal::Ended)?;
        names.insert(name.into(), process.id);
        Ok(process)
    }

    /// Takes a name away; false if nobody has it. `find` gives the process of an id, if it is alive.
    pub(crate) fn unregister(&self, name: &[u8], find: impl FnOnce(Id) -> Option<Arc<Process>>) -> bool {
        let mut names = self.names.lock();
        let Some(id) = names.remove(name) else { return false };
        if let Some(holder) = find(id) {
            let _ = holder.relate(|relations| Membership::forget(&mut relations.membership.names, self, name));
        }
        true
    }

    pub(crate) fn lookup(&self, name: &[u8]) -> Option<Id> {
        self.names.lock().get(name).copied()
    }

    /// Adds a process to a group, unless it is in it; false if it has ended.
    pub(crate) fn join(self: &Arc<Self>, name: &[u8], process: &Process) -> bool {
        let mut groups = self.groups.lock();
        if groups
            .get(name)
            .is_some_and(|group| group.places.contains_key(&process.id))
        {
            return true;
        }
        let kept = process.relate(|relations| relations.membership.groups.push((self.clone(), name.into())));
        if kept.is_ok() {
            let group = groups.entry(name.into()).or_default();
            group.joined += 1;
            group.members.insert(group.joined, process.id);
            group.places.insert(process.id, group.joined);
        }
        kept.is_ok()
    }

    /// Takes a process out of a group; false if it was not in it. `process` is none if it has ended.
    pub(crate) fn leave(&self, name: &[u8], id: Id, process: Option<&Process>) -> bool {
        let mut groups = self.groups.lock();
        if let Some(process) = process {
            let _ = process.relate(|relations| Membership::forget(&mut relations.membership.groups, self, name));
        }
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
    pub(crate) fn members(&self, name: &[u8]) -> Vec<Id> {
        let groups = self.groups.lock();
        groups
            .get(name)
            .map_or_else(Vec::new, |group| group.members.values().copied().collect())
    }
}

impl Membership {
    fn forget(names: &mut Vec<(Arc<Scope>, Name)>, scope: &Scope, name: &[u8]) {
        names.retain(|(in_scope, mine)| !std::ptr::eq(&**in_scope, scope) || **mine != *name);
    }

    /// For people.
    pub(super) fn first_name(&self) -> Option<String> {
        self.names
            .first()
            .map(|(_, name)| String::from_utf8_lossy(name).into_owned())
    }

    /// The process has ended: all its names fall.
    pub(super) fn fall(self, id: Id) {
        for (scope, name) in self.names {
            let mut names = scope.names.lock();
            // It may have been taken away and given to another meanwhile.
            if names.get(&name) == Some(&id) {
                names.remove(&name);
            }
        }
        for (scope, name) in self.groups {
            scope.leave(&name, id, None);
        }
    }
}
