//! How long a thread computes for a guest: whether it may go on, and when it must pause.
//!
//! Its CPU time is charged to a [`Meter`]. If more queries compute than there are cores, each pauses between two
//! [slices](SLICE), for as long as the others need for theirs. So all of them together use no more than the cores, a
//! worker or a short query need not wait for them, and short queries never pause.

use std::cell::{Cell, RefCell};
use std::num::NonZeroU32;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use lunatic_host::extension::Meter;

/// How long a query computes before it pauses, if others compute, too.
const SLICE: Duration = Duration::from_millis(10);
/// How long a thread sleeps before it checks whether its work was stopped.
const PAUSE_MAX: Duration = Duration::from_millis(10);

/// The number of threads that work for a guest.
static RUNNING: AtomicU32 = AtomicU32::new(0);

static CORES: LazyLock<NonZeroU32> = LazyLock::new(|| {
    let cores = std::thread::available_parallelism();
    cores
        .ok()
        .and_then(|cores| cores.try_into().ok())
        .unwrap_or(NonZeroU32::MIN)
});

thread_local!(
    static WORK: RefCell<Option<Work>> = const { RefCell::new(None) }
);

/// The work of a thread for a guest.
struct Work {
    meter: Meter,
    /// The CPU time at its last pause.
    paused: Cell<Duration>,
    /// When [`is_due`] last said that a check is due.
    looked: Cell<Instant>,
}

/// The interval between two checks of a thread's CPU time.
const LOOK: Duration = Duration::from_millis(1);

/// Whether it is time to call [`may_go_on`], which costs a system call: a millisecond after the last time.
pub(super) fn is_due() -> bool {
    WORK.with_borrow(|work| {
        let Some(work) = work else { return true };
        let now = Instant::now();
        let is_due = now.saturating_duration_since(work.looked.get()) >= LOOK;
        if is_due {
            work.looked.set(now);
        }
        is_due
    })
}

/// Whether the budget of this thread's work is used up; false if the thread works for nobody.
pub(super) fn is_spent() -> bool {
    let is_spent = |work: &RefCell<Option<Work>>| {
        let work = work.try_borrow();
        work.is_ok_and(|work| work.as_ref().is_some_and(|work| !work.meter.may_go_on()))
    };
    WORK.try_with(is_spent).unwrap_or(false)
}

/// Runs work that is charged to a meter.
pub(super) fn metered<T>(meter: Meter, work: impl FnOnce() -> T) -> T {
    /// Ends the work even if it panics.
    struct Done;
    impl Drop for Done {
        fn drop(&mut self) {
            RUNNING.fetch_sub(1, Ordering::Relaxed);
            WORK.take();
        }
    }
    RUNNING.fetch_add(1, Ordering::Relaxed);
    WORK.set(Some(Work {
        meter,
        paused: Cell::default(),
        looked: Cell::new(Instant::now()),
    }));
    let _done = Done;
    work()
}

/// Whether the work of this thread may go on. Pauses first if it must. Must be called often.
pub(super) fn may_go_on(stopped: &AtomicBool) -> bool {
    let is_stopped = || stopped.load(Ordering::Relaxed);
    WORK.with_borrow(|work| {
        let Some(work) = work else { return !is_stopped() };
        let mut others = work.pause();
        loop {
            if is_stopped() || !work.meter.may_go_on() {
                return false;
            }
            let share = work.meter.must_wait().unwrap_or_default();
            let pause = share.max(others).min(PAUSE_MAX);
            if pause.is_zero() {
                return true;
            }
            std::thread::sleep(pause);
            others = others.saturating_sub(pause);
        }
    })
}

impl Work {
    /// How long this work must pause to let others compute.
    fn pause(&self) -> Duration {
        let computed = self.meter.computed();
        if computed.saturating_sub(self.paused.get()) < SLICE {
            return Duration::ZERO;
        }
        self.paused.set(computed);
        pause(RUNNING.load(Ordering::Relaxed), *CORES)
    }
}

/// How long each of `running` queries pauses after a slice.
fn pause(running: u32, cores: NonZeroU32) -> Duration {
    (SLICE * running / cores.get()).saturating_sub(SLICE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_together_compute_on_as_many_cores_as_there_are() {
        for cores in [1, 2, 3, 16] {
            let cores = NonZeroU32::new(cores).unwrap();
            assert_eq!(pause(cores.get(), cores), Duration::ZERO, "nobody has to wait");
            for running in [cores.get() + 1, 40, 64] {
                let part = SLICE.as_secs_f64() / (SLICE + pause(running, cores)).as_secs_f64();
                let busy = part * f64::from(running) / f64::from(cores.get());
                assert!((0.99..=1.01).contains(&busy), "{running} on {cores}: {busy}");
            }
        }
    }
}
