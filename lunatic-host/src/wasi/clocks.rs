//! A clock for reproducible runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use wasmtime_wasi::{HostMonotonicClock, HostWallClock};

/// How far each reading advances the clock, in nanoseconds.
const STEP: u64 = 1_000;

/// Starts at a given time after 1970, and advances by a microsecond with each reading, so that a program that polls the
/// clock until a certain time does not run forever.
#[derive(Clone)]
pub(crate) struct FixedClock {
    start: u64,
    looks: Arc<AtomicU64>,
}

impl FixedClock {
    pub(crate) fn new(start: u64) -> Self {
        Self {
            start,
            looks: Arc::default(),
        }
    }

    fn passed(&self) -> u64 {
        self.looks.fetch_add(1, Ordering::Relaxed).wrapping_mul(STEP)
    }
}

impl HostWallClock for FixedClock {
    fn resolution(&self) -> Duration {
        Duration::from_nanos(STEP)
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(self.start.saturating_add(self.passed()))
    }
}

impl HostMonotonicClock for FixedClock {
    fn resolution(&self) -> u64 {
        STEP
    }

    fn now(&self) -> u64 {
        self.passed()
    }
}
