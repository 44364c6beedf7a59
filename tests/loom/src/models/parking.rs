//! Workers park and are woken.

use std::sync::Arc;

use loom::thread;

use super::{check, check_within};
use crate::sleepers::Sleepers;
use crate::sync::atomic::{AtomicUsize, Ordering};

/// Work that is put where all workers look, as the run queues are: without an order of its own.
struct Work {
    left: AtomicUsize,
    done: AtomicUsize,
    all: usize,
    sleepers: Sleepers,
}

impl Work {
    fn new(workers: usize, all: usize) -> Arc<Self> {
        Arc::new(Self {
            left: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            all,
            sleepers: Sleepers::new(workers),
        })
    }

    fn bring(&self) {
        self.left.fetch_add(1, Ordering::Relaxed);
        self.sleepers.wake_one();
    }

    fn take(&self) -> bool {
        let one_less = |left: usize| left.checked_sub(1);
        let taken = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less);
        taken.is_ok()
    }

    fn is_done(&self) -> bool {
        self.done.load(Ordering::Relaxed) == self.all
    }

    /// A worker's loop, until all pieces are done.
    fn work(&self, worker: usize, last: &dyn Fn()) {
        while !self.is_done() {
            if self.take() {
                if self.done.fetch_add(1, Ordering::Relaxed) + 1 == self.all {
                    self.sleepers.wake_all();
                }
            } else {
                let found = || self.left.load(Ordering::Relaxed) > 0 || self.is_done();
                self.sleepers.park(worker, found, last);
            }
        }
    }
}

pub fn a_worker_that_parks_sees_work_or_is_woken() {
    check(|| {
        let work = Work::new(1, 1);
        let worker = {
            let work = work.clone();
            thread::spawn(move || work.work(0, &|| {}))
        };
        work.bring();
        worker.join().unwrap();
        assert!(!work.sleepers.all_asleep());
    });
}

/// A clock sleeps while all workers do, and is called by a worker that was asleep, or said so and then found work after all: as
/// in `Clock::run` and `Clock::call`, where a lock keeps the call from coming before the sleep.
pub fn no_clock_sleeps_while_a_worker_is_awake() {
    check(|| {
        let sleepers = Arc::new(Sleepers::new(1));
        let [dormant, called] = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
        let worker = {
            let (sleepers, dormant, called) = (sleepers.clone(), dormant.clone(), called.clone());
            thread::spawn(move || {
                sleepers.park(0, || true, &|| {});
                if dormant.load(Ordering::SeqCst) == 1 {
                    called.store(1, Ordering::SeqCst);
                }
            })
        };
        dormant.store(1, Ordering::SeqCst);
        let sleeps = sleepers.all_asleep();
        worker.join().unwrap();
        assert!(!sleeps || called.load(Ordering::SeqCst) == 1);
    });
}

pub fn two_workers_do_all_that_is_brought() {
    check_within(2, || {
        let work = Work::new(2, 2);
        let workers = [0, 1].map(|number| {
            let work = work.clone();
            thread::spawn(move || work.work(number, &|| {}))
        });
        work.bring();
        work.bring();
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
}

/// The last worker that parks looks after timers and the like, which may bring work. Somebody wakes it for nothing meanwhile.
pub fn what_the_last_worker_brings_before_it_sleeps_is_done() {
    check(|| {
        let work = Work::new(1, 1);
        let worker = {
            let work = work.clone();
            thread::spawn(move || {
                let brought = std::cell::Cell::new(false);
                let last = || {
                    if !brought.replace(true) {
                        work.bring();
                    }
                };
                work.work(0, &last);
            })
        };
        work.sleepers.wake_one();
        worker.join().unwrap();
    });
}
