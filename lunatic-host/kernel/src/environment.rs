//! What the kernel needs of the machine: time, random numbers, threads, and sleep for idle workers.
//!
//! Everything comes through [`Environment`], so that a test can substitute its own clock and order
//! ([`crate::simulation`]). Nothing else in the kernel asks the machine for the time or for a random number.

use std::io;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::sleepers::Sleepers;

/// The machine, as far as the kernel sees it.
pub trait Environment: Send + Sync + 'static {
    /// Returns the current time, which never goes back.
    fn now(&self) -> Instant;

    /// Returns the CPU time of the calling thread.
    fn time_on_core(&self) -> Duration;

    /// Returns a random number that nobody can guess.
    fn random(&self) -> u64;

    /// Starts a thread.
    ///
    /// # Errors
    ///
    /// If the machine has no more threads.
    fn spawn(&self, name: String, run: Box<dyn FnOnce() + Send>) -> io::Result<Thread>;

    /// Returns a place where this many idle workers can sleep.
    fn parking(&self, workers: usize) -> Box<dyn Parking>;
}

/// A place where idle workers sleep.
pub trait Parking: Send + Sync {
    /// Puts the calling worker to sleep until it is woken, unless `found_work` reports that there is work by now. Calls
    /// `last` if all workers are now asleep.
    fn park(&self, worker: usize, found_work: &dyn Fn() -> bool, last: &dyn Fn());

    /// Wakes one worker, if any is asleep. Must be called after work has been made visible.
    fn wake_one(&self);

    /// Wakes all workers.
    fn wake_all(&self);

    /// Returns whether no worker is awake.
    fn all_asleep(&self) -> bool;
}

/// A started thread.
#[derive(Debug)]
pub struct Thread(Option<JoinHandle<()>>);

impl Thread {
    /// A thread that had ended before `spawn` returned.
    pub fn ended() -> Self {
        Self(None)
    }

    /// Waits for the thread to end. A panic of the thread is ignored.
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
    /// `time_on_core` returns the CPU time of the calling thread, which the standard library cannot provide.
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

/// A random number from the machine.
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
