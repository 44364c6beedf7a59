//! What the processes of one program share: names, and access to each other.
//!
//! A program of this interface names processes by plain numbers. To give it no more access than handles would, numbers
//! reach only processes of the same environment. An environment begins with the first process of this interface, and
//! all its descendants belong to it.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use lunatic_host::Module;
use lunatic_host::wasm::{Kernel, Process};
use lunatic_kernel::address::Id;
use lunatic_kernel::budget::{Payer as _, Receipt, Resource};
use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::numbered::Numbered;

/// The number of this node, which is the only one.
pub(crate) const NODE: u64 = 1;
/// The number of every environment, as its processes see it.
pub(crate) const NUMBER: i64 = 1;

/// The maximum number of names in an environment.
const NAMES_MAX: usize = 1 << 16;
/// How many maps share the names: a map that doubles hashes all its names again, and blocks a worker meanwhile.
const PARTS: usize = 64;
/// How many names a worker drops itself; more are dropped on another thread.
const DROPPED_MAX: usize = 1000;
/// What a name costs in memory besides its bytes: twice its slot in a map, as maps double.
const NAME_SIZE: usize = 2 * size_of::<(Box<str>, Named)>();

/// The nodes that a query found.
pub(crate) type Nodes = Vec<u64>;

/// A node and a process on it, which need not exist.
pub(crate) type Place = (u64, u64);

#[derive(Default)]
pub(crate) struct Environment {
    pub(crate) names: Mutex<Names>,
    /// The modules whose number a process has requested, until nothing else uses them any more.
    modules: Mutex<Numbered<Module>>,
}

/// The names and their processes. A name stays until it is removed, and the process that has given it pays for it until
/// then.
pub(crate) struct Names {
    parts: Vec<HashMap<Box<str>, Named>>,
    /// Chooses the part for a name.
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

    /// Charges `process` for a name. The error says why the name cannot be given.
    pub(crate) fn pay(&self, process: &Process, name: &str) -> Result<Receipt, String> {
        if self.len >= NAMES_MAX && self.get(name).is_none() {
            return Err(format!("there are {NAMES_MAX} names already: remove some"));
        }
        let mut paid = Receipt::new(process.purse().to_account(), Resource::Relations);
        let more = paid.grow(NAME_SIZE + name.len());
        more.map_err(|exhausted| format!("out of memory: the process cannot pay for the name: {exhausted}"))?;
        Ok(paid)
    }

    /// Gives a name that was paid for, and takes it from its previous process.
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
        self.modules.lock().number_of(module)
    }

    /// The module with a number, if it is still in use.
    pub(crate) fn module(&self, number: u64) -> Option<Arc<Module>> {
        self.modules.lock().get(number)
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

/// The process with this number, if it is alive and `process` may access it.
pub(crate) fn neighbour(kernel: &Kernel, process: &Process, number: u64) -> Option<Arc<Process>> {
    let own = of(process)?;
    kernel.find(Id::from_raw(number)).filter(|other| {
        let environment = of(other);
        environment.is_some_and(|environment| Arc::ptr_eq(&environment, &own))
    })
}
