//! The clock: one thread that ends time slices and wakes sleepers.
//!
//! While any worker is awake it advances the engines' epoch every [`TIME_SLICE`], which makes processes that have run
//! that long give way. Timers are kept in order of their time; the thread sleeps until the first is due. With no
//! worker awake and no timer set it sleeps until it is called: an idle system costs nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::process::Process;

/// How long a process may run while others wait.
pub(crate) const TIME_SLICE: Duration = Duration::from_millis(1);

/// Names a timer, to cancel it. Timers of one instant are told apart by a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TimerId {
    due: Instant,
    number: u64,
}

#[derive(Default)]
pub(crate) struct Clock {
    timers: Mutex<Timers>,
    changed: Condvar,
    /// The thread sleeps without ticking, and must be called when a worker wakes.
    dormant: AtomicBool,
    slices: AtomicU64,
}

#[derive(Default)]
struct Timers {
    due: BTreeMap<TimerId, Arc<Process>>,
    /// Timers that are due and whose processes are being woken.
    firing: usize,
    number: u64,
    stopped: bool,
}

impl Clock {
    /// Wakes `process` at `due`.
    pub(crate) fn set(&self, due: Instant, process: Arc<Process>) -> TimerId {
        let mut timers = self.timers.lock();
        timers.number += 1;
        let id = TimerId {
            due,
            number: timers.number,
        };
        let first = timers.due.first_key_value().is_none_or(|(first, _)| id < *first);
        timers.due.insert(id, process);
        if first {
            self.changed.notify_one();
        }
        id
    }

    pub(crate) fn cancel(&self, id: TimerId) {
        self.timers.lock().due.remove(&id);
    }

    /// True if some timer will still wake a process.
    pub(crate) fn has_timers(&self) -> bool {
        let timers = self.timers.lock();
        timers.firing > 0 || !timers.due.is_empty()
    }

    /// The number of time slices so far: a process that sees it change has used up its slice.
    pub(crate) fn slices(&self) -> u64 {
        self.slices.load(Ordering::Relaxed)
    }

    /// A worker has woken up: time slices must be ended again.
    pub(crate) fn call(&self) {
        if self.dormant.load(Ordering::SeqCst) {
            let _timers = self.timers.lock();
            self.changed.notify_one();
        }
    }

    pub(crate) fn stop(&self) {
        self.timers.lock().stopped = true;
        self.changed.notify_one();
    }

    /// The thread: `busy` tells whether any worker is awake, `tick` ends the time slices, `wake` wakes a process.
    pub(crate) fn run(&self, busy: impl Fn() -> bool, tick: impl Fn(u64), wake: impl Fn(&Arc<Process>)) {
        let mut next_tick = Instant::now() + TIME_SLICE;
        let mut timers = self.timers.lock();
        while !timers.stopped {
            let now = Instant::now();
            let due = timers.take_due(now);
            if !due.is_empty() {
                parking_lot::MutexGuard::unlocked(&mut timers, || due.iter().for_each(&wake));
                timers.firing = 0;
                continue;
            }
            if now >= next_tick {
                let slice = self.slices.fetch_add(1, Ordering::Relaxed) + 1;
                tick(slice);
                next_tick = now + TIME_SLICE;
            }
            let first = timers.due.first_key_value().map(|(first, _)| first.due);
            if busy() {
                let until = first.map_or(next_tick, |first| first.min(next_tick));
                self.changed.wait_until(&mut timers, until);
                continue;
            }
            // Say that this thread goes dormant, then look again: a worker that wakes after the look sees the word.
            self.dormant.store(true, Ordering::SeqCst);
            if !busy() {
                match first {
                    Some(first) => drop(self.changed.wait_until(&mut timers, first)),
                    None => self.changed.wait(&mut timers),
                }
            }
            self.dormant.store(false, Ordering::SeqCst);
        }
    }
}

impl Timers {
    fn take_due(&mut self, now: Instant) -> Vec<Arc<Process>> {
        let mut due = Vec::new();
        while let Some(entry) = self.due.first_entry()
            && entry.key().due <= now
        {
            due.push(entry.remove());
        }
        self.firing = due.len();
        due
    }
}
