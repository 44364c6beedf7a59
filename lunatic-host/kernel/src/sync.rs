//! The atomics and locks of what `tests/loom` models. There, a module of this name has loom's in their place, and the
//! host's files are compiled with it, so they name these things by `crate::sync` and nothing else.

pub(crate) use std::sync::atomic;

pub(crate) use parking_lot::{Condvar, Mutex};
