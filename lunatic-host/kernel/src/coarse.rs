//! A clock that costs a load: for the times of messages.
//!
//! Reading the machine's clock for each message would be measurable. The thread of the [clock](crate::clock) reads it
//! anyway, at the end of each time slice, and leaves the time here. While it sleeps because no worker is awake, nobody
//! does that; whoever asks then reads the machine's clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::arrivals::Moment;
use crate::environment::Environment;

/// The time since it was made, up to a time slice late.
pub(crate) struct Coarse {
    machine: Arc<dyn Environment>,
    start: Instant,
    /// The time in milliseconds, from 1; 0 if nobody keeps it up to date.
    ms: AtomicU64,
}

impl Coarse {
    pub(crate) fn new(machine: Arc<dyn Environment>) -> Self {
        Self {
            start: machine.now(),
            machine,
            ms: AtomicU64::new(0),
        }
    }

    /// The time, which is as late as the end of the last time slice.
    #[inline]
    pub(crate) fn read(&self) -> Moment {
        match self.ms.load(Ordering::Relaxed) {
            0 => self.at(self.machine.now()),
            ms => Moment(ms),
        }
    }

    /// Records the time; `None` if nobody will record it for some time.
    pub(crate) fn set(&self, now: Option<Instant>) {
        self.ms.store(now.map_or(0, |now| self.at(now).0), Ordering::Relaxed);
    }

    /// The time of the machine's clock as a moment.
    fn at(&self, now: Instant) -> Moment {
        let passed = now.saturating_duration_since(self.start).as_millis();
        Moment(1 + u64::try_from(passed).unwrap_or(u64::MAX >> 20))
    }
}
