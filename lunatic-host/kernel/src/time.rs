//! What time it is in a system: that of the machine, or, for tests, a time that stands still until it must move.
//!
//! The main process of a system can *pause* its time, for good. From then on its clock stands, and the timers of its
//! processes are kept apart. When every process of the system waits, the clock jumps to the next of these timers, which
//! fires. So a program that waits for hours is done at once, in the same order, and nothing depends on how fast the
//! machine is. What waits for something outside, such as input, keeps the time from moving.
//!
//! Timers that were set before the pause stay with the machine's time.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::clock::{Clock, Timekeeper};
use crate::environment::Environment;

/// The time of one system.
pub struct Time<W>(Arc<Inner<W>>);

struct Inner<W> {
    machine: Arc<dyn Environment>,
    start: Instant,
    paused: OnceLock<Paused<W>>,
}

/// A time that stands still.
pub struct Paused<W> {
    now: Mutex<Instant>,
    clock: Clock<W>,
}

impl<W> Clone for Time<W> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<W> Time<W> {
    /// The machine's.
    pub fn new(machine: Arc<dyn Environment>) -> Self {
        Self(Arc::new(Inner {
            start: machine.now(),
            machine,
            paused: OnceLock::new(),
        }))
    }

    /// Stops the clock; nothing happens if it stands already.
    pub fn pause(&self) {
        self.0.paused.get_or_init(|| Paused {
            now: Mutex::new(self.0.machine.now()),
            clock: Clock::default(),
        });
    }

    /// The time that stands still, if it does.
    pub fn paused(&self) -> Option<&Paused<W>> {
        self.0.paused.get()
    }

    /// The time now.
    pub fn now(&self) -> Instant {
        match self.paused() {
            None => self.0.machine.now(),
            Some(paused) => *paused.now.lock(),
        }
    }

    /// How much time has passed since the system began.
    pub fn since_start(&self) -> Duration {
        self.now().saturating_duration_since(self.0.start)
    }

    /// The clock that new timers are set on; `clock` is the machine's.
    pub fn clock<'a>(&'a self, clock: &'a Clock<W>) -> &'a Clock<W> {
        self.paused().map_or(clock, |paused| &paused.clock)
    }
}

impl<W> Paused<W> {
    /// All processes of the system wait: goes on to the next timer, which fires; false if there is none.
    pub fn advance(&self, keeper: &impl Timekeeper<W>) -> bool {
        let Some(due) = self.clock.next_due() else { return false };
        *self.now.lock() = due;
        self.clock.fire_due(keeper, due);
        true
    }
}
