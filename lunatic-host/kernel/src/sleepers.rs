//! Parks idle workers, and wakes them when there is work.
//!
//! No wake-up is lost: a worker first announces that it will sleep, and then checks once more; whoever brings work
//! first makes it visible, and then checks for sleepers. At least one of the two checks sees the other's word, because
//! both words and both checks are ordered by sequentially consistent fences.
//!
//! Not every piece of work wakes a worker: while one is awake and searching, it will find the piece; and when it has
//! found one, it wakes the next worker if there is more.

use crate::sync::atomic::{AtomicUsize, Ordering, fence};
use crate::sync::{Condvar, Mutex};

pub(crate) struct Sleepers {
    workers: usize,
    /// The number of workers that are parked or about to be.
    asleep: AtomicUsize,
    state: Mutex<State>,
    beds: Box<[Condvar]>,
}

struct State {
    /// The parked workers; the last one to park is the first to be woken.
    parked: Vec<usize>,
    woken: Box<[bool]>,
}

impl Sleepers {
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            workers,
            asleep: AtomicUsize::new(0),
            state: Mutex::new(State {
                parked: Vec::with_capacity(workers),
                woken: vec![false; workers].into(),
            }),
            beds: (0..workers).map(|_| Condvar::new()).collect(),
        }
    }

    /// Parks the calling worker until it is woken, unless there is work by now. Calls `last` if all workers are now
    /// asleep. Whoever saw that all are asleep must be notified when this returns, whether or not the worker slept.
    pub(crate) fn park(&self, worker: usize, found_work: impl Fn() -> bool, last: &dyn Fn()) {
        let asleep = {
            let mut state = self.state.lock();
            state.woken[worker] = false;
            state.parked.push(worker);
            self.asleep.fetch_add(1, Ordering::SeqCst) + 1
        };
        fence(Ordering::SeqCst);
        if found_work() {
            self.leave(worker);
            return;
        }
        // Another one may have left meanwhile.
        if asleep == self.workers && self.all_asleep() {
            self.wake_last(worker);
            last();
            // It may have brought work, even to this worker's own queues.
            if found_work() {
                self.leave(worker);
                return;
            }
        }
        let mut state = self.state.lock();
        while !state.woken[worker] {
            self.beds[worker].wait(&mut state);
        }
    }

    /// Lets all others that are asleep be woken before this worker, which is busy with something that nobody waits for.
    fn wake_last(&self, worker: usize) {
        let mut state = self.state.lock();
        if let Some(place) = state.parked.iter().position(|parked| *parked == worker) {
            state.parked[..=place].rotate_right(1);
        }
    }

    /// Wakes one worker, if any is asleep. Must be called after the work has been made visible.
    pub(crate) fn wake_one(&self) {
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst) == 0 {
            return;
        }
        let mut state = self.state.lock();
        if let Some(worker) = state.parked.pop() {
            self.rouse(&mut state, worker);
        }
    }

    pub(crate) fn wake_all(&self) {
        fence(Ordering::SeqCst);
        let mut state = self.state.lock();
        while let Some(worker) = state.parked.pop() {
            self.rouse(&mut state, worker);
        }
    }

    /// Whether no worker is awake.
    pub(crate) fn all_asleep(&self) -> bool {
        self.asleep.load(Ordering::SeqCst) == self.workers
    }

    fn rouse(&self, state: &mut State, worker: usize) {
        self.asleep.fetch_sub(1, Ordering::SeqCst);
        state.woken[worker] = true;
        self.beds[worker].notify_one();
    }

    /// Called by a worker that found work after it had announced its sleep. It may have been woken meanwhile, which
    /// makes no difference.
    fn leave(&self, worker: usize) {
        let mut state = self.state.lock();
        if let Some(place) = state.parked.iter().position(|other| *other == worker) {
            state.parked.remove(place);
            self.asleep.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Producers hand over numbered pieces of work; each worker parks when there is none. All pieces are done, whatever
    /// the interleaving: a lost wake-up would hang this test.
    #[test]
    fn no_wake_up_is_lost() {
        const WORK: usize = 50_000;
        let sleepers = Arc::new(Sleepers::new(3));
        let (work, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let take = |work: &AtomicUsize| {
            work.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
                .is_ok()
        };
        std::thread::scope(|scope| {
            for worker in 0..3 {
                let (sleepers, work, done) = (sleepers.clone(), work.clone(), done.clone());
                scope.spawn(move || {
                    while done.load(Ordering::SeqCst) < WORK {
                        if take(&work) {
                            if done.fetch_add(1, Ordering::SeqCst) + 1 == WORK {
                                sleepers.wake_all();
                            }
                        } else {
                            let found = || work.load(Ordering::SeqCst) > 0 || done.load(Ordering::SeqCst) >= WORK;
                            sleepers.park(worker, found, &|| {});
                        }
                    }
                });
            }
            for _ in 0..WORK {
                work.fetch_add(1, Ordering::SeqCst);
                sleepers.wake_one();
            }
        });
        assert_eq!(done.load(Ordering::SeqCst), WORK);
    }
}
