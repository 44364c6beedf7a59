//! What the processes of one program share: names, and that they see each other.
//!
//! A program of this interface names processes by plain numbers. So that this opens nothing to it that a handle would not,
//! numbers reach processes of the same environment only: it begins with the first process of this interface, and all that
//! descends from that one belongs to it.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use lunatic_host::Module;
use lunatic_host::wasm::{Kernel, Process};
use lunatic_kernel::address::Id;
use lunatic_kernel::budget::{Payer as _, Receipt, Resource};
use parking_lot::Mutex;
use tokio::runtime::Handle;

/// The number of this node: there is no other.
pub(crate) const NODE: u64 = 1;
/// The number of every environment, as its processes see it.
pub(crate) const NUMBER: i64 = 1;

/// The most names of an environment.
const NAMES_MAX: usize = 1 << 16;
/// They lie in so many maps: one that doubles hashes all its names once more, and whoever asks for one keeps a worker as long.
const PARTS: usize = 64;
/// So many names at most are dropped by a worker.
const DROPPED_MAX: usize = 1000;
/// What a name takes up beside its bytes: twice its place in a map, which doubles.
const NAME_SIZE: usize = 2 * size_of::<(Box<str>, Named)>();

/// Nodes that a query found.
pub(crate) type Nodes = Vec<u64>;

/// A node and a process of it. Nobody has checked that there is such a process.
pub(crate) type Place = (u64, u64);

#[derive(Default)]
pub(crate) struct Environment {
    pub(crate) names: Mutex<Names>,
    /// Modules that processes run and have asked the number of: the numbers count from 1.
    modules: Mutex<Vec<Arc<Module>>>,
}

/// Who has which name. A name stays until it is removed, and so long the process pays that has given it.
pub(crate) struct Names {
    parts: Vec<HashMap<Box<str>, Named>>,
    /// Tells which part a name is in.
    hasher: RandomState,
    len: usize,
}

impl Default for Names {
    fn default() -> Self {
        Self {
            parts: (0..PARTS).map(|_| HashMap::new()).collect(),
            hasher: RandomState::new(),
            len: 0,
        }
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        if self.len <= DROPPED_MAX {
            return;
        }
        if let Ok(threads) = Handle::try_current() {
            let parts = std::mem::take(&mut self.parts);
            threads.spawn_blocking(move || drop(parts));
        }
    }
}

struct Named {
    place: Place,
    _paid: Receipt,
}

impl Names {
    fn part(&self, name: &str) -> usize {
        self.hasher.hash_one(name) as usize % PARTS
    }

    pub(crate) fn get(&self, name: &str) -> Option<Place> {
        self.parts[self.part(name)].get(name).map(|named| named.place)
    }

    /// What `process` pays for a name; or why it cannot be given.
    pub(crate) fn pay(&self, process: &Process, name: &str) -> Result<Receipt, String> {
        if self.len >= NAMES_MAX && self.get(name).is_none() {
            return Err(format!("there are {NAMES_MAX} names already: remove some"));
        }
        let mut paid = Receipt::new(process.purse().to_account(), Resource::Relations);
        let more = paid.grow(NAME_SIZE + name.len());
        more.map_err(|exhausted| format!("out of memory: the process cannot pay for the name: {exhausted}"))?;
        Ok(paid)
    }

    /// Gives a name that was paid for, in place of whoever had it.
    pub(crate) fn put(&mut self, name: &str, place: Place, paid: Receipt) {
        let named = Named { place, _paid: paid };
        let part = self.part(name);
        let former = self.parts[part].insert(name.into(), named);
        self.len += usize::from(former.is_none());
    }

    pub(crate) fn remove(&mut self, name: &str) {
        let part = self.part(name);
        let former = self.parts[part].remove(name);
        self.len -= usize::from(former.is_some());
    }
}

impl Environment {
    /// The number of a module, by which a process can be spawned on a node.
    pub(crate) fn number_of(&self, module: &Arc<Module>) -> u64 {
        let mut modules = self.modules.lock();
        let place = modules.iter().position(|known| Arc::ptr_eq(known, module));
        let place = place.unwrap_or_else(|| {
            modules.push(module.clone());
            modules.len() - 1
        });
        place as u64 + 1
    }

    /// The module of a number.
    pub(crate) fn module(&self, number: u64) -> Option<Arc<Module>> {
        let place = usize::try_from(number.checked_sub(1)?).ok()?;
        self.modules.lock().get(place).cloned()
    }

    /// A name of the process.
    pub(crate) fn name_of(&self, id: Id) -> Option<String> {
        let names = self.names.lock();
        let own = names
            .parts
            .iter()
            .flatten()
            .find(|(_, named)| named.place == (NODE, id.raw()));
        own.map(|(name, _)| name.to_string())
    }
}

/// The environment of a process, if it has one.
pub(crate) fn of(process: &Process) -> Option<Arc<Environment>> {
    process.local.rights().inherited.get()
}

/// The process of this number, if it is alive and `process` may know of it.
pub(crate) fn neighbour(kernel: &Kernel, process: &Process, number: u64) -> Option<Arc<Process>> {
    let own = of(process)?;
    kernel.find(Id::from_raw(number)).filter(|other| {
        let environment = of(other);
        environment.is_some_and(|environment| Arc::ptr_eq(&environment, &own))
    })
}
