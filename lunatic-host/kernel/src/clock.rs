//! The clock: a thread that ends time slices and wakes sleepers.
//!
//! It does not know processes: what is woken is a `W`. While any worker is awake, it ticks every [`TIME_SLICE`], which
//! makes processes yield that have run that long. Sleepers are ordered by time; the thread sleeps until the first is
//! due. If no worker is awake and no process has to be woken, it sleeps until it is called: an idle system costs nothing.
//!
//! Every step of the thread is short: it wakes at most 256 sleepers between two checks of the time slice, and holds its
//! lock neither while it wakes nor while it ticks. The mail of timers, which may be long, is sent by another thread
//! ([`crate::post`]), so no timer delays a time slice or a sleeper.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::agenda::Agenda;
pub use crate::agenda::TimerId;
use crate::environment::Environment;

/// How long a process may run while others wait.
pub const TIME_SLICE: Duration = Duration::from_millis(1);

/// The most sleepers that are woken before the clock checks the time slice again.
const BATCH: usize = 256;

/// The callbacks of the clock's thread.
pub trait Timekeeper<W> {
    /// Returns whether any worker is awake.
    fn is_busy(&self) -> bool;
    /// Called at the end of each time slice, which was the `slice`th.
    fn tick(&self, slice: u64);
    /// Called at the time for which `waiter` waits.
    fn wake(&self, waiter: &W);
    /// Called when the last sleeper has been woken, which may have ended meanwhile.
    fn ran_out(&self);
    /// Called with the time, at least once per time slice; with `None` before the clock sleeps for any time.
    fn passes(&self, _now: Option<Instant>) {}
}

/// Sleepers, and the count of time slices.
pub struct Clock<W> {
    sleepers: Mutex<Sleepers<W>>,
    changed: Condvar,
    /// The thread sleeps without ticking, and must be called when a worker wakes.
    dormant: AtomicBool,
    slices: AtomicU64,
}

struct Sleepers<W> {
    agenda: Agenda<W>,
    /// The number of due sleepers that are being woken.
    waking: usize,
    /// The end of the thread's current wait; `None` if it waits to be called.
    waits_until: Option<Instant>,
    stopped: bool,
}

impl<W> Default for Clock<W> {
    fn default() -> Self {
        Self {
            sleepers: Mutex::new(Sleepers {
                agenda: Agenda::default(),
                waking: 0,
                waits_until: None,
                stopped: false,
            }),
            changed: Condvar::new(),
            dormant: AtomicBool::new(false),
            slices: AtomicU64::new(0),
        }
    }
}

impl<W> Clock<W> {
    /// Sets a timer that wakes `waiter` at `due`.
    pub fn set(&self, due: Instant, waiter: W) -> TimerId {
        let mut sleepers = self.sleepers.lock();
        let (id, is_first) = sleepers.agenda.insert(due, waiter);
        // While workers are busy, the thread wakes in each time slice. Waking it for each timeout would cost more than
        // most waits take.
        let is_late = sleepers.waits_until.is_none_or(|until| due < until);
        drop(sleepers);
        if is_first && is_late {
            self.changed.notify_one();
        }
        id
    }

    /// Cancels a timer.
    pub fn cancel(&self, id: TimerId) {
        // The waiter is dropped without the lock.
        let waiter = self.sleepers.lock().agenda.remove(id);
        drop(waiter);
    }

    /// Returns when the first waiter is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.sleepers.lock().agenda.next_due()
    }

    /// Wakes all sleepers that are due at `now`: for a clock without a thread.
    pub fn wake_due(&self, keeper: &impl Timekeeper<W>, now: Instant) {
        let mut sleepers = self.sleepers.lock();
        while wake_batch(&mut sleepers, keeper, now) {}
    }

    /// Returns whether it will still wake anybody.
    pub fn has_timers(&self) -> bool {
        let sleepers = self.sleepers.lock();
        sleepers.waking > 0 || sleepers.agenda.next_due().is_some()
    }

    /// Returns the number of time slices so far: a process that sees it change has used up its slice.
    pub fn slices(&self) -> u64 {
        self.slices.load(Ordering::Relaxed)
    }

    /// Begins a time slice early: whatever runs from now on runs in this slice or a later one.
    pub fn begin_slice(&self) -> u64 {
        self.slices.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Must be called when a worker has woken up: time slices must be ended again.
    pub fn call(&self) {
        if self.dormant.load(Ordering::SeqCst) {
            // Under the lock, so that the call cannot come between the thread's last check and its sleep.
            let _sleepers = self.sleepers.lock();
            self.changed.notify_one();
        }
    }

    /// Makes [`run`](Self::run) return.
    pub fn stop(&self) {
        self.sleepers.lock().stopped = true;
        self.changed.notify_one();
    }

    /// The loop of the thread.
    pub fn run(&self, keeper: &impl Timekeeper<W>, machine: &dyn Environment) {
        let mut next_tick = machine.now() + TIME_SLICE;
        let mut sleepers = self.sleepers.lock();
        while !sleepers.stopped {
            let now = machine.now();
            keeper.passes(Some(now));
            // Time slices end on time, however many sleepers are due.
            if now >= next_tick {
                let slice = self.slices.fetch_add(1, Ordering::Relaxed) + 1;
                MutexGuard::unlocked(&mut sleepers, || keeper.tick(slice));
                next_tick = now + TIME_SLICE;
            }
            if wake_batch(&mut sleepers, keeper, now) {
                if sleepers.agenda.next_due().is_none() {
                    MutexGuard::unlocked(&mut sleepers, || keeper.ran_out());
                }
                continue;
            }
            if sleepers.stopped {
                continue;
            }
            let first = sleepers.agenda.next_due();
            if keeper.is_busy() {
                let until = first.map_or(next_tick, |first| first.min(next_tick));
                sleepers.waits_until = Some(until);
                self.changed.wait_until(&mut sleepers, until);
                continue;
            }
            // Announce that this thread goes dormant, then check again: a worker that wakes after the check sees the
            // announcement.
            self.dormant.store(true, Ordering::SeqCst);
            if !keeper.is_busy() {
                keeper.passes(None);
                sleepers.waits_until = first;
                match first {
                    Some(first) => drop(self.changed.wait_until(&mut sleepers, first)),
                    None => self.changed.wait(&mut sleepers),
                }
            }
            self.dormant.store(false, Ordering::SeqCst);
        }
    }
}

/// Wakes due sleepers, at most [`BATCH`], without the lock; false if there are none.
fn wake_batch<W>(sleepers: &mut MutexGuard<'_, Sleepers<W>>, keeper: &impl Timekeeper<W>, now: Instant) -> bool {
    let due = std::iter::from_fn(|| sleepers.agenda.take_due(now));
    let due: Vec<W> = due.take(BATCH).map(|(_, waiter)| waiter).collect();
    let count = due.len();
    if count > 0 {
        sleepers.waking += count;
        MutexGuard::unlocked(sleepers, || due.iter().for_each(|waiter| keeper.wake(waiter)));
        sleepers.waking -= count;
    }
    count > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::{Machine, now};

    /// A timer that is the first is not late, whatever the thread waits for.
    #[test]
    fn each_first_sleeper_is_woken_in_time() {
        struct Quiet<'a>(&'a AtomicBool, std::sync::mpsc::Sender<u32>);
        impl Timekeeper<u32> for Quiet<'_> {
            fn is_busy(&self) -> bool {
                self.0.load(Ordering::Relaxed)
            }

            fn tick(&self, _slice: u64) {}

            fn wake(&self, waiter: &u32) {
                self.1.send(*waiter).expect("the test waits for it");
            }

            fn ran_out(&self) {}
        }
        let (clock, busy) = (Clock::<u32>::default(), AtomicBool::new(false));
        let (told, woken) = std::sync::mpsc::channel();
        let keeper = Quiet(&busy, told);
        let machine = Machine::new(|| Duration::ZERO);
        std::thread::scope(|scope| {
            scope.spawn(|| clock.run(&keeper, &machine));
            let hour = Duration::from_secs(3600);
            for round in 0..200_u32 {
                busy.store(round % 3 == 0, Ordering::Relaxed);
                clock.call();
                // One that is far, and goes again, before one that is near.
                let far = clock.set(now() + hour, 1);
                if round % 2 == 0 {
                    clock.cancel(far);
                }
                clock.set(now() + Duration::from_micros(u64::from(round) * 10), 2);
                assert_eq!(woken.recv_timeout(hour / 60), Ok(2));
            }
            clock.stop();
        });
    }

    /// Many sleepers, each of whom is set again at a time that has passed: the clock has somebody to wake for ever.
    #[test]
    fn time_slices_end_though_sleepers_are_always_due() {
        #[derive(Default)]
        struct Busy {
            clock: Clock<u32>,
            is_enough: AtomicBool,
        }
        impl Timekeeper<u32> for Busy {
            fn is_busy(&self) -> bool {
                true
            }

            fn tick(&self, slice: u64) {
                self.is_enough.store(slice >= 3, Ordering::Relaxed);
            }

            fn wake(&self, waiter: &u32) {
                if self.is_enough.load(Ordering::Relaxed) {
                    self.clock.stop();
                } else {
                    self.clock.set(now(), *waiter);
                }
            }

            fn ran_out(&self) {}
        }
        let busy = Busy::default();
        (0..10).for_each(|waiter| _ = busy.clock.set(now(), waiter));
        busy.clock.run(&busy, &Machine::new(|| Duration::ZERO));
        assert!(busy.clock.slices() >= 3);
    }
}
