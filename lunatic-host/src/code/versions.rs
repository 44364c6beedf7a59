//! The versions of a system's code: those that were current since the system began, by number.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use lunatic_module::identity::CodeId;
use parking_lot::Mutex;

use super::Module;

/// The versions of one system.
pub(crate) struct Versions<M>(Mutex<State<M>>);

struct State<M> {
    /// Those that somebody may run still; modules that no process has any more are gone, and forgotten.
    known: Vec<(u32, Weak<M>)>,
    current: (u32, Arc<M>),
    /// The number that was given last.
    last: u32,
}

/// A version of the code of a system.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct VersionInfo {
    /// Its number in the system: 1 for the one that the system began with.
    pub number: u32,
    /// What the file says that it is, and its hash.
    pub code: CodeId,
    /// Whether it is the one that the system was brought to last.
    pub is_current: bool,
    /// How many processes run it.
    pub processes: usize,
}

impl<M: Module> Versions<M> {
    pub(crate) fn new(first: &Arc<M>) -> Self {
        Self(Mutex::new(State {
            known: vec![(1, Arc::downgrade(first))],
            current: (1, first.clone()),
            last: 1,
        }))
    }

    /// The number of a version; a module with the same bytes as a known one has that one's. A module that was never a version,
    /// because a guest brought it along, has 0.
    pub(crate) fn number_of(&self, module: &Arc<M>) -> u32 {
        let mut state = self.0.lock();
        state.find(module).unwrap_or(0)
    }

    /// Whether the module at this address is a version.
    pub(crate) fn has(&self, identity: usize) -> bool {
        let known = &self.0.lock().known;
        known.iter().any(|(_, module)| module.as_ptr().addr() == identity)
    }

    /// The version that is current, and its number.
    pub(crate) fn current(&self) -> (u32, Arc<M>) {
        self.0.lock().current.clone()
    }

    /// The module of a version: `module` itself, or the one with the same code that is known already; with its number.
    pub(crate) fn add(&self, module: &Arc<M>) -> (u32, Arc<M>) {
        let mut state = self.0.lock();
        if let Some(number) = state.find(module) {
            let known = state.known.iter().find(|(other, _)| *other == number);
            if let Some(known) = known.and_then(|(_, known)| known.upgrade()) {
                return (number, known);
            }
        }
        state.last += 1;
        let number = state.last;
        state.known.push((number, Arc::downgrade(module)));
        (number, module.clone())
    }

    /// The system has been brought to this version.
    pub(crate) fn set_current(&self, number: u32, module: Arc<M>) {
        self.0.lock().current = (number, module);
    }

    /// All that somebody runs, and the current one, by number. `counts` has how many processes run the module at each address.
    pub(crate) fn list(&self, counts: &HashMap<usize, usize>) -> Vec<VersionInfo> {
        let mut state = self.0.lock();
        let current = state.current.0;
        state.known.retain(|(_, module)| module.strong_count() > 0);
        let known = state.known.iter();
        let known: Vec<_> = known
            .filter_map(|(number, module)| Some((*number, module.upgrade()?)))
            .collect();
        drop(state);
        let info = |(number, module): (u32, Arc<M>)| VersionInfo {
            number,
            code: module.identity().clone(),
            is_current: number == current,
            processes: counts.get(&Arc::as_ptr(&module).addr()).copied().unwrap_or(0),
        };
        let infos = known.into_iter().map(info);
        infos.filter(|info| info.is_current || info.processes > 0).collect()
    }
}

impl<M: Module> State<M> {
    fn find(&mut self, module: &Arc<M>) -> Option<u32> {
        let is_same = |known: &Arc<M>| Arc::ptr_eq(known, module) || known.identity().hash == module.identity().hash;
        let known = self.known.iter();
        let found = known.filter_map(|(number, known)| Some((*number, known.upgrade()?)));
        found
            .into_iter()
            .find(|(_, known)| is_same(known))
            .map(|(number, _)| number)
    }
}
