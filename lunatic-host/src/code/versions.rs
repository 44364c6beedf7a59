//! The versions of a system's code, by number: those that have been current since the system began.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use lunatic_module::identity::CodeId;
use parking_lot::Mutex;

use super::Module;

/// The versions of one system.
pub(crate) struct Versions<M>(Mutex<State<M>>);

struct State<M> {
    /// The versions that processes may still run; modules that no process uses any more are gone.
    known: Vec<(u32, Weak<M>)>,
    current: (u32, Arc<M>),
    /// The number that was assigned last.
    last: u32,
}

/// A version of the code of a system.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct VersionInfo {
    /// Its number in the system; the system began with number 1.
    pub number: u32,
    /// The name and version that the file states, and its hash.
    pub code: CodeId,
    /// Whether the system was upgraded to it last.
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

    /// The number of a version; a module with the same bytes as a known one has the same number. A module that was
    /// never a version, because a guest brought it along, has 0.
    pub(crate) fn number_of(&self, module: &Arc<M>) -> u32 {
        let mut state = self.0.lock();
        state.find(module).unwrap_or(0)
    }

    /// Whether the module at this address is a version.
    pub(crate) fn has(&self, identity: usize) -> bool {
        let known = &self.0.lock().known;
        known.iter().any(|(_, module)| module.as_ptr().addr() == identity)
    }

    /// The current version and its number.
    pub(crate) fn current(&self) -> (u32, Arc<M>) {
        self.0.lock().current.clone()
    }

    /// The module of a version, with its number: `module` itself, or a known one with the same code.
    pub(crate) fn add(&self, module: &Arc<M>) -> (u32, Arc<M>) {
        let mut state = self.0.lock();
        if let Some(number) = state.find(module) {
            let known = state.known.iter().find(|(other, _)| *other == number);
            if let Some(known) = known.and_then(|(_, known)| known.upgrade()) {
                return (number, known);
            }
        }
        // Each upgrade adds one, and the list may never be asked for.
        state.known.retain(|(_, module)| module.strong_count() > 0);
        state.last += 1;
        let number = state.last;
        state.known.push((number, Arc::downgrade(module)));
        (number, module.clone())
    }

    /// Makes this version the current one.
    pub(crate) fn set_current(&self, number: u32, module: Arc<M>) {
        self.0.lock().current = (number, module);
    }

    /// The versions that processes run, and the current one, by number. `counts` holds the number of processes per
    /// address of a module.
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
