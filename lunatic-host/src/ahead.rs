//! Instances that workers make ahead, when they have nothing else to do.
//!
//! Where one process starts many others and waits for each, one worker does all the work, and most of it is making
//! instances. So each instance that is needed is a sign that one more will be: another worker makes it meanwhile. Programs
//! of few processes never get that far, and after the last one no more than [`READY_MAX`] are left over.

use std::sync::Arc;

use parking_lot::Mutex;

/// So many instances at most wait to be used.
const READY_MAX: usize = 16;
/// So many instances of a module are made before any is made ahead.
const FEW: usize = 64;

/// Runners `R` of modules `M`.
pub(crate) struct Ahead<M, R>(Mutex<State<M, R>>);

struct State<M, R> {
    /// The module that instances were needed of last, and how many.
    module: Option<(Arc<M>, usize)>,
    wanted: usize,
    ready: Vec<R>,
}

impl<M, R> Default for State<M, R> {
    fn default() -> Self {
        Self {
            module: None,
            wanted: 0,
            ready: Vec::new(),
        }
    }
}

impl<M, R> Default for Ahead<M, R> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<M, R> State<M, R> {
    fn is_about(&self, module: &Arc<M>) -> bool {
        let known = self.module.as_ref();
        known.is_some_and(|(known, _)| Arc::ptr_eq(known, module))
    }
}

impl<M, R> Ahead<M, R> {
    /// An instance that is ready.
    pub(crate) fn take(&self, module: &Arc<M>) -> Option<R> {
        let mut state = self.0.lock();
        if state.is_about(module) {
            state.ready.pop()
        } else {
            None
        }
    }

    /// An instance of the module is needed, and one more will be. True if it is time to wake a worker for that.
    pub(crate) fn want(&self, module: &Arc<M>) -> bool {
        // Declared first, so that they are dropped after the lock.
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
    pub(crate) fn next(&self) -> Option<Arc<M>> {
        let mut state = self.0.lock();
        state.wanted = state.wanted.checked_sub(1)?;
        state.module.as_ref().map(|(module, _)| module.clone())
    }

    /// Keeps an instance of the module, if it is still wanted.
    pub(crate) fn put(&self, module: &Arc<M>, runner: R) {
        let mut state = self.0.lock();
        if state.is_about(module) && state.ready.len() < READY_MAX {
            state.ready.push(runner);
        }
    }

    /// Lets go of everything. Runners know the runtime, which would else never end.
    pub(crate) fn clear(&self) {
        let state = std::mem::take(&mut *self.0.lock());
        drop(state);
    }
}
