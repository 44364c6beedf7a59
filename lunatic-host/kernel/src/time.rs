//! The time in a system: that of the machine, or, for tests, a time that stands still until it must advance.
//!
//! The main process of a system can *pause* its time, permanently. From then on its clock stands still, and the timers
//! of its processes are kept separately. When every process of the system waits, the clock jumps to the next of these
//! timers, which fires. So a program that waits for hours finishes immediately, in the same order, and nothing depends
//! on the speed of the machine. A wait for something outside, such as input, prevents the time from advancing.
//!
//! Timers that were set before the pause keep following the machine's time.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::clock::{Clock, Timekeeper};
use crate::environment::Environment;
use crate::post::{Post, Postman};

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
    post: Post,
}

impl<W> Clone for Time<W> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<W> Time<W> {
    /// Returns the machine's time.
    pub fn new(machine: Arc<dyn Environment>) -> Self {
        Self(Arc::new(Inner {
            start: machine.now(),
            machine,
            paused: OnceLock::new(),
        }))
    }

    /// Stops the clock; does nothing if it is already stopped.
    pub fn pause(&self) {
        self.0.paused.get_or_init(|| Paused {
            now: Mutex::new(self.0.machine.now()),
            clock: Clock::default(),
            post: Post::paused(),
        });
    }

    /// Returns the paused time, if it is paused.
    pub fn paused(&self) -> Option<&Paused<W>> {
        self.0.paused.get()
    }

    /// Returns the current time.
    pub fn now(&self) -> Instant {
        match self.paused() {
            None => self.0.machine.now(),
            Some(paused) => paused.now(),
        }
    }

    /// Returns how much time has passed since the system began.
    pub fn since_start(&self) -> Duration {
        self.now().saturating_duration_since(self.0.start)
    }

    /// Returns the clock for new sleepers; `clock` is the machine's.
    pub fn clock<'a>(&'a self, clock: &'a Clock<W>) -> &'a Clock<W> {
        self.paused().map_or(clock, |paused| &paused.clock)
    }

    /// Returns the post for new timers; `post` is the machine's.
    pub fn post<'a>(&'a self, post: &'a Post) -> &'a Post {
        self.paused().map_or(post, |paused| &paused.post)
    }
}

impl<W> Paused<W> {
    /// Returns the current time.
    pub(crate) fn now(&self) -> Instant {
        *self.now.lock()
    }

    /// Whether the clock can move: whether a sleeper or a timer is due at any time.
    pub(crate) fn has_timers(&self) -> bool {
        self.clock.next_due().is_some() || self.post.next_due().is_some()
    }

    /// Returns its clock for new sleepers.
    pub(crate) fn clock(&self) -> &Clock<W> {
        &self.clock
    }

    /// Called when all processes of the system wait: advances to the next time at which a sleeper is woken or a timer
    /// fires; false if there is none.
    pub fn advance(&self, keeper: &(impl Timekeeper<W> + Postman), machine: &dyn Environment) -> bool {
        let next = [self.clock.next_due(), self.post.next_due()]
            .into_iter()
            .flatten()
            .min();
        let Some(due) = next else { return false };
        {
            let mut now = self.now.lock();
            *now = due.max(*now);
        }
        self.clock.wake_due(keeper, due);
        self.post.fire_due(keeper, machine, due);
        true
    }
}
