//! What time it is in a system: that of the machine, or, for tests, a time that stands still until it must move.
//!
//! The main process of a system can *pause* its time, for good. From then on its clock stands, and the timers of its
//! processes are kept apart. When every process of the system waits, the clock jumps to the next of these timers, which
//! fires. So a program that waits for hours is done at once, in the same order, and nothing depends on how fast the
//! machine is. What waits for something outside, such as input, keeps the time from moving.
//!
//! Timers that were set before the pause stay with the machine's time.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use parking_lot::Mutex;
use wasmtime_wasi::HostMonotonicClock;

use crate::clock::{Clock, Timekeeper};

#[derive(Clone)]
pub(crate) struct Time(Arc<Inner>);

struct Inner {
    start: Instant,
    paused: OnceLock<Paused>,
}

/// A time that stands still.
pub(crate) struct Paused {
    now: Mutex<Instant>,
    clock: Clock,
}

impl Time {
    /// The machine's.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Inner {
            start: Instant::now(),
            paused: OnceLock::new(),
        }))
    }

    /// Stops the clock; nothing happens if it stands already.
    pub(crate) fn pause(&self) {
        self.0.paused.get_or_init(|| Paused {
            now: Mutex::new(Instant::now()),
            clock: Clock::default(),
        });
    }

    pub(crate) fn paused(&self) -> Option<&Paused> {
        self.0.paused.get()
    }

    pub(crate) fn now(&self) -> Instant {
        match self.paused() {
            None => Instant::now(),
            Some(paused) => *paused.now.lock(),
        }
    }

    /// The clock that new timers are set on; `clock` is the machine's.
    pub(crate) fn clock<'a>(&'a self, clock: &'a Clock) -> &'a Clock {
        self.paused().map_or(clock, |paused| &paused.clock)
    }
}

impl Paused {
    /// All processes of the system wait: goes on to the next timer, which fires; false if there is none.
    pub(crate) fn advance(&self, keeper: &impl Timekeeper) -> bool {
        let Some(due) = self.clock.next_due() else { return false };
        *self.now.lock() = due;
        self.clock.fire_due(keeper, due);
        true
    }
}

/// The monotonic clock that guests read: it begins with the system, and is one for all its processes.
impl HostMonotonicClock for Time {
    fn resolution(&self) -> u64 {
        1
    }

    fn now(&self) -> u64 {
        let since = Time::now(self).duration_since(self.0.start);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }
}
