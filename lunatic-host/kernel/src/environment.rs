//! What the kernel has of the machine: time, random numbers, threads, and the sleep of workers that have nothing to do.
//!
//! All of it comes through [`Environment`], so that a test can put a clock and an order of its own in its place
//! ([`crate::simulation`]). Nothing else in the kernel asks the machine for the time or for a random number.

use std::io;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::sleepers::Sleepers;

/// The machine, as far as the kernel sees it.
pub trait Environment: Send + Sync + 'static {
    /// The time now. Never before what it was.
    fn now(&self) -> Instant;

    /// How long the calling thread has computed: the time on a core, not the time that passes.
    fn time_on_core(&self) -> Duration;

    /// A random number that nobody can guess.
    fn random(&self) -> u64;

    /// Starts a thread.
    ///
    /// # Errors
    ///
    /// When the machine has no more.
    fn spawn(&self, name: String, run: Box<dyn FnOnce() + Send>) -> io::Result<Thread>;

    /// Where so many workers sleep that have nothing to do.
    fn parking(&self, workers: usize) -> Box<dyn Parking>;
}

/// Where workers sleep that have nothing to do.
pub trait Parking: Send + Sync {
    /// Lets the calling worker sleep until it is woken, unless `found_work` says that there is work by now. `last` is called
    /// if all workers are asleep with this one.
    fn park(&self, worker: usize, found_work: &dyn Fn() -> bool, last: &dyn Fn());

    /// Wakes one worker, if any sleeps. To be called after work has been made visible.
    fn wake_one(&self);

    /// Wakes all workers.
    fn wake_all(&self);

    /// Whether no worker is awake.
    fn all_asleep(&self) -> bool;
}

/// A thread that was started.
#[derive(Debug)]
pub struct Thread(Option<JoinHandle<()>>);

impl Thread {
    /// A thread that had ended before `spawn` returned.
    pub fn ended() -> Self {
        Self(None)
    }

    /// Waits for the end of the thread. If it panicked, there is nobody left to tell.
    pub fn join(self) {
        if let Some(handle) = self.0 {
            drop(handle.join());
        }
    }
}

/// The machine itself.
#[derive(Debug, Clone, Copy)]
pub struct Machine {
    time_on_core: fn() -> Duration,
}

impl Machine {
    /// `time_on_core` tells how long the calling thread has computed; the standard library cannot.
    pub fn new(time_on_core: fn() -> Duration) -> Self {
        Self { time_on_core }
    }
}

impl Environment for Machine {
    fn now(&self) -> Instant {
        now()
    }

    fn time_on_core(&self) -> Duration {
        (self.time_on_core)()
    }

    fn random(&self) -> u64 {
        entropy()
    }

    fn spawn(&self, name: String, run: Box<dyn FnOnce() + Send>) -> io::Result<Thread> {
        let handle = std::thread::Builder::new().name(name).spawn(run)?;
        Ok(Thread(Some(handle)))
    }

    fn parking(&self, workers: usize) -> Box<dyn Parking> {
        Box::new(Sleepers::new(workers))
    }
}

/// The machine's time.
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// A random number of the machine's.
pub(crate) fn entropy() -> u64 {
    rand::random()
}

impl Parking for Sleepers {
    fn park(&self, worker: usize, found_work: &dyn Fn() -> bool, last: &dyn Fn()) {
        Self::park(self, worker, found_work, last);
    }

    fn wake_one(&self) {
        Self::wake_one(self);
    }

    fn wake_all(&self) {
        Self::wake_all(self);
    }

    fn all_asleep(&self) -> bool {
        Self::all_asleep(self)
    }
}
