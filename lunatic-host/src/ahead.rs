//! Instances that idle workers make in advance.
//!
//! If one process spawns many others and waits for each, one worker does all the work, and most of that is making
//! instances. Therefore each instance that is needed is a sign that another will be, and another worker makes it
//! meanwhile. Programs with few processes never get that far, and at most [`READY_MAX`] instances are left over after
//! the last one.

use std::sync::Arc;

use parking_lot::Mutex;

/// The most instances that wait to be used.
const READY_MAX: usize = 16;
/// How many instances of a module must be made before any is made in advance.
const FEW: usize = 64;

/// Runners `R` of modules `M`.
pub(crate) struct Ahead<M, R>(Mutex<State<M, R>>);

struct State<M, R> {
    /// The module of the last instance that was needed, and how many of it were.
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
    /// Takes an instance that is ready.
    pub(crate) fn take(&self, module: &Arc<M>) -> Option<R> {
        let mut state = self.0.lock();
        if state.is_about(module) {
            state.ready.pop()
        } else {
            None
        }
    }

    /// Records that an instance of the module is needed, so that another will be. True if a worker should be woken for
    /// it.
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

    /// The module of which an instance should be made now, if any.
    pub(crate) fn next(&self) -> Option<Arc<M>> {
        let mut state = self.0.lock();
        state.wanted = state.wanted.checked_sub(1)?;
        state.module.as_ref().map(|(module, _)| module.clone())
    }

    /// Keeps an instance of the module if it is still wanted.
    pub(crate) fn put(&self, module: &Arc<M>, runner: R) {
        let mut state = self.0.lock();
        if state.is_about(module) && state.ready.len() < READY_MAX {
            state.ready.push(runner);
        }
    }

    /// Drops everything. Runners hold a reference to the runtime, which would otherwise never end.
    pub(crate) fn clear(&self) {
        let state = std::mem::take(&mut *self.0.lock());
        drop(state);
    }
}
