//! The scheduler: which process runs next, on which worker.
//!
//! # Queues
//!
//! Each worker has a slot and three queues, all first in, first out:
//!
//! - the *hand-off slot*: the process that the running one woke last. It runs as soon as that one blocks, while what
//!   they share is still in the cache. It is not stolen.
//! - *woken*: processes that waited and can go on.
//! - *fresh*: processes that have not run yet.
//! - *burners*: processes that used up their time slice, or gave it up (`yield_now`).
//!
//! A process that waited goes before a fresh one, a fresh one before a burner; so that none starves, each queue has its
//! turn first now and then ([`Local::next`]). Processes woken by no worker (timers, input) come through the *injector*. A
//! worker with nothing to do steals half of another's queue, then parks ([`sleepers`]).

mod local;
pub(crate) mod sleepers;

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crossbeam_deque::{Injector, Steal, Stealer};

use self::local::Local;
use self::sleepers::Sleepers;
use crate::module::Module;
use crate::process::Process;

type Unit = Arc<Process>;

/// A worker looks so many times for work before it parks: some microseconds, as long as a wake-up would take.
const SPINS_BEFORE_PARKING: u32 = 100;

pub(crate) struct Scheduler {
    number: u64,
    injector: Injector<Unit>,
    remotes: Box<[Remote]>,
    sleepers: Sleepers,
    stopped: AtomicBool,
    on_idle: Box<dyn Fn() + Send + Sync>,
    on_busy: Box<dyn Fn() + Send + Sync>,
}

/// What other workers may take from a worker.
struct Remote {
    woken: Stealer<Unit>,
    fresh: Stealer<Unit>,
    burners: Stealer<Unit>,
}

thread_local! {
    static LOCAL: RefCell<Option<Local>> = const { RefCell::new(None) };
}

/// A worker's seat in the scheduler, to be taken by one thread.
pub(crate) struct Seat(Local);

impl Scheduler {
    /// A scheduler for `workers` threads and their seats. `on_idle` is called by the last worker that finds nothing to
    /// do, before it parks; `on_busy` when a worker is woken from its sleep.
    pub(crate) fn new(
        workers: usize,
        on_idle: impl Fn() + Send + Sync + 'static,
        on_busy: impl Fn() + Send + Sync + 'static,
    ) -> (Self, Vec<Seat>) {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let locals: Vec<_> = (0..workers).map(|index| Local::new(number, index)).collect();
        let scheduler = Self {
            number,
            injector: Injector::new(),
            remotes: locals.iter().map(Local::remote).collect(),
            sleepers: Sleepers::new(workers),
            stopped: AtomicBool::new(false),
            on_idle: Box::new(on_idle),
            on_busy: Box::new(on_busy),
        };
        (scheduler, locals.into_iter().map(Seat).collect())
    }

    /// Queues a process that has never run.
    ///
    /// A single one wakes nobody: mostly its parent soon waits for it, and it begins on this worker, whose caches know
    /// what it needs, sooner than another worker is awake. If the parent goes on, its time slice ends.
    pub(crate) fn spawn(&self, process: Unit) {
        self.push(process, |local, process| {
            local.fresh.push(process);
            local.fresh.len() > 1
        });
    }

    /// Queues a process if it is blocked.
    pub(crate) fn wake(&self, process: &Unit) {
        if process.set_woken() {
            self.push(process.clone(), Local::hand_off);
        }
    }

    /// [`wake`](Self::wake) for who has no further use for the process.
    pub(crate) fn wake_owned(&self, process: Unit) {
        if process.set_woken() {
            self.push(process, Local::hand_off);
        }
    }

    /// Queues a process that was woken while it ran, or lets others go first.
    pub(crate) fn requeue(&self, process: Unit) {
        self.push(process, |local, process| {
            local.woken.push(process);
            true
        });
    }

    /// Queues a process that used up its time slice, or gave it up.
    pub(crate) fn preempted(&self, process: Unit) {
        self.push(process, |local, process| {
            local.burners.push(process);
            local.has_more()
        });
    }

    /// A fresh process of `module` that may run at once on this worker in place of one that has just ended; `None` if
    /// others should go first.
    pub(crate) fn next_fresh(&self, module: &Arc<Module>) -> Option<Unit> {
        if !self.injector.is_empty() {
            return None;
        }
        self.with_local(|local| local.next_fresh(module)).flatten()
    }

    /// Wakes a worker, though there is nothing to run, if any sleeps.
    pub(crate) fn wake_spare(&self) {
        self.sleepers.wake_one();
    }

    /// The number of the calling worker, 0 for other threads.
    pub(crate) fn worker(&self) -> usize {
        self.with_local(|local| local.index).unwrap_or(0)
    }

    /// True while any worker is awake.
    pub(crate) fn is_busy(&self) -> bool {
        !self.sleepers.all_asleep()
    }

    /// Makes all workers return from [`run`](Self::run).
    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.sleepers.wake_all();
    }

    /// The loop of one worker: hands each process that is due to `run`, until the scheduler is stopped.
    ///
    /// With nothing to run, `spare` may do something else for a while, and says whether it did.
    pub(crate) fn run(&self, seat: Seat, spare: impl Fn() -> bool, mut run: impl FnMut(Unit)) {
        LOCAL.set(Some(seat.0));
        while !self.stopped.load(Ordering::Relaxed) {
            match self.next() {
                Some(process) => run(process),
                None if spare() => {}
                None => self.park(),
            }
        }
        // What is still queued goes with the worker. Dropping a process may wake others, so not while it is borrowed.
        let local = LOCAL.take();
        drop(local);
    }

    fn next(&self) -> Option<Unit> {
        let own = self.with_local(|local| local.next(&self.injector)).flatten();
        own.or_else(|| self.steal())
            .or_else(|| self.with_local(Local::next_burner).flatten())
    }

    fn steal(&self) -> Option<Unit> {
        let me = self.worker();
        let others = (1..self.remotes.len()).map(|step| &self.remotes[(me + step) % self.remotes.len()]);
        for other in others {
            for (theirs, kind) in [(&other.woken, 0), (&other.fresh, 1), (&other.burners, 2)] {
                loop {
                    let stolen = self.with_local(|local| {
                        let own = [&local.woken, &local.fresh, &local.burners][kind];
                        theirs.steal_batch_and_pop(own)
                    });
                    match stolen {
                        Some(Steal::Success(process)) => return Some(process),
                        Some(Steal::Retry) => {}
                        Some(Steal::Empty) | None => break,
                    }
                }
            }
        }
        None
    }

    fn park(&self) {
        let found = || {
            self.stopped.load(Ordering::SeqCst)
                || !self.injector.is_empty()
                || self.remotes.iter().any(Remote::has_work)
                || self.with_local(|local| local.has_handed_off()).unwrap_or(false)
        };
        for _ in 0..SPINS_BEFORE_PARKING {
            if found() {
                return;
            }
            std::hint::spin_loop();
        }
        if self.sleepers.park(self.worker(), found, &*self.on_idle) {
            (self.on_busy)();
        }
    }

    /// Puts a process into the calling worker's queues, or into the injector from any other thread. `put` tells whether
    /// a sleeping worker could take it.
    fn push(&self, process: Unit, put: impl FnOnce(&mut Local, Unit) -> bool) {
        let mut process = Some(process);
        let local = self.with_local(|local| put(local, process.take().expect("put is called once")));
        if let Some(process) = process {
            self.injector.push(process);
        }
        if local.unwrap_or(true) {
            self.sleepers.wake_one();
        }
    }

    fn with_local<R>(&self, f: impl FnOnce(&mut Local) -> R) -> Option<R> {
        LOCAL.with_borrow_mut(|local| local.as_mut().filter(|local| local.scheduler == self.number).map(f))
    }
}

impl Remote {
    fn has_work(&self) -> bool {
        !(self.woken.is_empty() && self.fresh.is_empty() && self.burners.is_empty())
    }
}
