//! Instances that workers make ahead, when they have nothing else to do.
//!
//! Where one process starts many others and waits for each, one worker does all the work, and most of it is making
//! instances. So each instance that is needed is a sign that one more will be: another worker makes it meanwhile. Programs
//! of few processes never get that far, and after the last one no more than [`READY_MAX`] are left over.

use std::sync::Arc;

use parking_lot::Mutex;

use super::Runner;
use crate::module::Module;

/// So many instances at most wait to be used.
const READY_MAX: usize = 16;
/// So many instances of a module are made before any is made ahead.
const FEW: usize = 64;

#[derive(Default)]
pub(crate) struct Ahead(Mutex<State>);

#[derive(Default)]
struct State {
    /// The module that instances were needed of last, and how many.
    module: Option<(Arc<Module>, usize)>,
    wanted: usize,
    ready: Vec<Runner>,
}

impl Ahead {
    /// An instance that is ready.
    pub(crate) fn take(&self, module: &Arc<Module>) -> Option<Runner> {
        let mut state = self.0.lock();
        let is_same = state
            .module
            .as_ref()
            .is_some_and(|(known, _)| Arc::ptr_eq(known, module));
        if is_same { state.ready.pop() } else { None }
    }

    /// An instance of the module is needed, and one more will be. True if it is time to wake a worker for that.
    pub(crate) fn want(&self, module: &Arc<Module>) -> bool {
        if module.facts.recyclable.is_err() {
            return false;
        }
        let mut others = Vec::new();
        let mut state = self.0.lock();
        let state = &mut *state;
        match &mut state.module {
            Some((known, count)) if Arc::ptr_eq(known, module) => *count += 1,
            _ => {
                others.append(&mut state.ready);
                (state.module, state.wanted) = (Some((module.clone(), 1)), 0);
            }
        }
        if !matches!(state.module, Some((_, count)) if count > FEW) {
            return false;
        }
        state.wanted = (state.wanted + 1).min(READY_MAX - state.ready.len().min(READY_MAX));
        state.wanted == READY_MAX / 2
    }

    /// The module that an instance is to be made of now, if any.
    pub(crate) fn next(&self) -> Option<Arc<Module>> {
        let mut state = self.0.lock();
        state.wanted = state.wanted.checked_sub(1)?;
        state.module.as_ref().map(|(module, _)| module.clone())
    }

    pub(crate) fn put(&self, runner: Runner) {
        let mut state = self.0.lock();
        let is_wanted = state
            .module
            .as_ref()
            .is_some_and(|(known, _)| Arc::ptr_eq(known, &runner.module));
        if is_wanted && state.ready.len() < READY_MAX {
            state.ready.push(runner);
        }
    }

    /// Lets go of everything. Runners know the runtime, which would else never end.
    pub(crate) fn clear(&self) {
        let state = std::mem::take(&mut *self.0.lock());
        drop(state);
    }
}
