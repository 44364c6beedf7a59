//! The scheduler: which process runs next, on which worker.
//!
//! # Queues
//!
//! Each worker has a slot and three queues, all first in, first out:
//!
//! - The *hand-off slot* holds the process that the running one woke last. It runs as soon as that one blocks, while
//!   their shared data is still in the cache. It is not stolen.
//! - *woken*: processes that waited and can continue.
//! - *fresh*: processes that have not run yet.
//! - *burners*: processes that used up their time slice, or yielded (`yield_now`).
//!
//! A time slice ends with a tick of the clock, which may come in the middle of a run of some microseconds. A process
//! that computes little and in short runs returns to the woken queue. Others become burners even if their runs are
//! short: otherwise, processes that wake each other endlessly would leave the burners only an occasional turn.
//!
//! A woken process precedes a fresh one, and a fresh one precedes a burner. So that none starves, each queue comes
//! first from time to time (`Local::next`). Processes that were not woken by a worker (timers, input) arrive through
//! the *injector*, which each worker checks once per time slice, and from time to time. An idle worker steals half of
//! another's queue, then parks (`sleepers`).
//!
//! The scheduler knows only that a process can be woken ([`Runnable`]).

mod local;

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread::LocalKey;

use crossbeam_deque::{Injector, Steal, Stealer};

use self::local::Local;
use crate::environment::{Environment, Parking};

/// What is scheduled.
pub trait Runnable: Sized + Send + Sync + 'static {
    /// Makes a blocked process ready to run; returns true if the caller must queue it now.
    fn set_woken(&self) -> bool;

    /// Called when a worker has woken it and will soon run it; the worker has taken `picks` processes from its queues
    /// so far.
    fn expect_run(&self, _picks: u32) {}

    /// Called when a worker has taken it from its queues to run it, as the last of this many.
    fn set_picked(&self, _picks: u32) {}

    /// Returns what a thread keeps as a worker.
    fn place() -> &'static LocalKey<Place<Self>>;
}

/// What a thread keeps as a worker: nothing, or its queues, which also identify the scheduler.
///
/// It is accessed on each wake-up, so it must be found without a search. Rust has no generic thread-locals, so the
/// embedder of the kernel declares it.
pub struct Place<P>(RefCell<Option<Local<P>>>);

impl<P> Place<P> {
    /// Returns the place of a thread that is not a worker.
    #[expect(clippy::new_without_default, reason = "a thread-local is made by a constant")]
    pub const fn new() -> Self {
        Self(RefCell::new(None))
    }
}

type Unit<P> = Arc<P>;

/// How often a worker searches for work before it parks: some microseconds, as long as a wake-up would take.
const SPINS_BEFORE_PARKING: u32 = 100;

/// The queues of all workers.
pub struct Scheduler<P> {
    number: u64,
    injector: Injector<Unit<P>>,
    remotes: Box<[Remote<P>]>,
    parking: Box<dyn Parking>,
    stopped: AtomicBool,
    /// The number of the time slice.
    slice: AtomicU32,
    on_idle: Box<dyn Fn() + Send + Sync>,
    on_busy: Box<dyn Fn() + Send + Sync>,
}

/// What others may take from a worker, and what it has taken from others.
struct Remote<P> {
    woken: Stealer<Unit<P>>,
    fresh: Stealer<Unit<P>>,
    burners: Stealer<Unit<P>>,
    /// How often the worker has stolen. Only the worker adds to it.
    steals: AtomicU64,
}

/// How many processes wait for a worker, per queue: see the documentation of the module. Hand-off slots are not
/// counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Queues {
    /// Processes that were woken.
    pub woken: usize,
    /// Processes that have not run yet.
    pub fresh: usize,
    /// Processes that used up their time slice.
    pub burners: usize,
    /// Processes that no worker has woken.
    pub injected: usize,
}

impl Queues {
    /// How many processes wait in all queues together.
    pub fn len(&self) -> usize {
        self.woken + self.fresh + self.burners + self.injected
    }

    /// Whether no process waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A worker's seat in the scheduler, for one thread.
pub struct Seat<P>(Local<P>);

impl<P> Seat<P> {
    /// Returns the number of the worker, from 0 on.
    pub fn number(&self) -> usize {
        self.0.index
    }
}

impl<P: Runnable> Scheduler<P> {
    /// Returns a scheduler for `workers` threads, and their seats. `on_idle` is called by the last worker that finds
    /// nothing to do, before it parks; `on_busy` by a worker that was asleep, or had announced that it would be.
    pub fn new(
        workers: usize,
        machine: &Arc<dyn Environment>,
        on_idle: impl Fn() + Send + Sync + 'static,
        on_busy: impl Fn() + Send + Sync + 'static,
    ) -> (Self, Vec<Seat<P>>) {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let locals: Vec<_> = (0..workers)
            .map(|index| Local::new(number, index, machine.clone()))
            .collect();
        let scheduler = Self {
            number,
            injector: Injector::new(),
            remotes: locals.iter().map(Local::remote).collect(),
            parking: machine.parking(workers),
            stopped: AtomicBool::new(false),
            slice: AtomicU32::new(0),
            on_idle: Box::new(on_idle),
            on_busy: Box::new(on_busy),
        };
        (scheduler, locals.into_iter().map(Seat).collect())
    }

    /// Begins the `slice`th time slice: processes that timers and input have woken meanwhile come first.
    pub fn tick(&self, slice: u64) {
        self.slice.store(slice as u32, Ordering::Relaxed);
    }

    /// Queues a process that has never run.
    ///
    /// A single one wakes no other worker: usually its parent soon waits for it, and it begins on this worker, with a
    /// warm cache, before another worker would be awake. If the parent continues, its time slice ends.
    pub fn spawn(&self, process: Unit<P>) {
        self.push(process, |local, process| {
            local.fresh.push(process);
            local.fresh.len() > 1
        });
    }

    /// Queues a process if it is blocked.
    pub fn wake(&self, process: &Unit<P>) {
        if process.set_woken() {
            self.push(process.clone(), Local::hand_off);
        }
    }

    /// [`wake`](Self::wake) for a caller that does not need the process any more.
    pub fn wake_owned(&self, process: Unit<P>) {
        if process.set_woken() {
            self.push(process, Local::hand_off);
        }
    }

    /// Queues a process that was woken while it ran, or that lets others go first.
    pub fn requeue(&self, process: Unit<P>) {
        self.push(process, |local, process| {
            local.woken.push(process);
            true
        });
    }

    /// Queues a process that used up its time slice, or yielded.
    pub fn preempted(&self, process: Unit<P>) {
        self.push(process, |local, process| {
            let has_more = local.has_queued();
            local.burners.push(process);
            has_more
        });
    }

    /// Queues a process that was in the middle of a short run when a time slice ended.
    pub fn interrupted(&self, process: Unit<P>) {
        self.push(process, |local, process| {
            let has_more = local.has_queued();
            local.woken.push(process);
            has_more
        });
    }

    /// Returns a fresh process that may run immediately on this worker in place of one that has just ended; `None` if
    /// others should go first, or if it does not fit.
    pub fn next_fresh(&self, fits: impl FnOnce(&P) -> bool) -> Option<Unit<P>> {
        if !self.injector.is_empty() {
            return None;
        }
        self.with_local(|local| local.next_fresh(fits)).flatten()
    }

    /// Wakes a sleeping worker, if there is one, even though there is nothing to run.
    pub fn wake_spare(&self) {
        self.parking.wake_one();
    }

    /// Returns the number of the calling worker; 0 for other threads.
    pub fn worker(&self) -> usize {
        self.with_local(|local| local.index).unwrap_or(0)
    }

    /// Returns how many processes wait for a worker. Stops no process.
    pub fn queues(&self) -> Queues {
        let injected = self.injector.len();
        let all = Queues {
            injected,
            ..Queues::default()
        };
        self.queues_of_workers().into_iter().fold(all, |all, of| Queues {
            woken: all.woken + of.woken,
            fresh: all.fresh + of.fresh,
            burners: all.burners + of.burners,
            injected,
        })
    }

    /// Returns how many processes wait in the queues of each worker. Stops no process.
    pub fn queues_of_workers(&self) -> Vec<Queues> {
        let of = |remote: &Remote<P>| Queues {
            woken: remote.woken.len(),
            fresh: remote.fresh.len(),
            burners: remote.burners.len(),
            injected: 0,
        };
        self.remotes.iter().map(of).collect()
    }

    /// Returns how often each worker has taken processes from the queues of another.
    pub fn steals(&self) -> Vec<u64> {
        let steals = |remote: &Remote<P>| remote.steals.load(Ordering::Relaxed);
        self.remotes.iter().map(steals).collect()
    }

    /// Returns whether any worker is awake.
    pub fn is_busy(&self) -> bool {
        !self.parking.all_asleep()
    }

    /// Makes all workers return from [`run`](Self::run).
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.parking.wake_all();
    }

    /// The loop of a worker: passes each due process to `run`, until the scheduler is stopped.
    ///
    /// If there is nothing to run, `spare` may do something else for a while; it returns whether it did.
    pub fn run(&self, seat: Seat<P>, spare: impl Fn() -> bool, mut run: impl FnMut(Unit<P>)) {
        self.enter(seat);
        while !self.stopped.load(Ordering::Relaxed) {
            match self.next() {
                Some(process) => run(process),
                None if spare() => {}
                None => self.park(),
            }
        }
        // What is still queued is dropped with the worker. Dropping a process may wake others, so the worker must not
        // be borrowed.
        drop(self.leave());
    }

    /// Makes the calling thread a worker.
    pub fn enter(&self, seat: Seat<P>) {
        let former = P::place().with(|place| place.0.replace(Some(seat.0)));
        drop(former);
    }

    /// Ends the calling thread's role as a worker; returns its seat, if it had one.
    pub fn leave(&self) -> Option<Seat<P>> {
        P::place().with(|place| place.0.take()).map(Seat)
    }

    /// Returns the process for the calling worker to run now; `None` if no worker has any.
    pub fn next(&self) -> Option<Unit<P>> {
        let slice = self.slice.load(Ordering::Relaxed);
        let own = self.with_local(|local| local.next(&self.injector, slice)).flatten();
        // Its own burners come last, so that they do not keep this worker from waiting processes elsewhere.
        own.or_else(|| self.steal())
            .or_else(|| self.with_local(Local::next_burner).flatten())
    }

    fn steal(&self) -> Option<Unit<P>> {
        let me = self.worker();
        let others = (1..self.remotes.len()).map(|step| &self.remotes[(me + step) % self.remotes.len()]);
        for other in others {
            // In the order in which their own worker would take them.
            for (theirs, kind) in [(&other.woken, 0), (&other.fresh, 1), (&other.burners, 2)] {
                loop {
                    let stolen = self.with_local(|local| {
                        let own = [&local.woken, &local.fresh, &local.burners][kind];
                        theirs.steal_batch_and_pop(own)
                    });
                    match stolen {
                        Some(Steal::Success(process)) => {
                            self.remotes[me].steals.fetch_add(1, Ordering::Relaxed);
                            return Some(process);
                        }
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
        self.parking.park(self.worker(), &found, &*self.on_idle);
        // Even if it found work before it slept: it had announced its sleep, and the clock may have gone to sleep for
        // that reason.
        (self.on_busy)();
    }

    /// Puts a process into the calling worker's queues, or into the injector from any other thread. `put` returns
    /// whether a sleeping worker could take it.
    fn push(&self, process: Unit<P>, put: impl FnOnce(&mut Local<P>, Unit<P>) -> bool) {
        // On a thread that is not a worker, `put` is not called, and the process is left for the injector.
        let mut process = Some(process);
        let local = self.with_local(|local| put(local, process.take().expect("put is called once")));
        if let Some(process) = process {
            self.injector.push(process);
        }
        if local.unwrap_or(true) {
            self.parking.wake_one();
        }
    }

    fn with_local<R>(&self, f: impl FnOnce(&mut Local<P>) -> R) -> Option<R> {
        P::place().with(|place| {
            let mut local = place.0.borrow_mut();
            local.as_mut().filter(|local| local.scheduler == self.number).map(f)
        })
    }
}

impl<P> Remote<P> {
    fn has_work(&self) -> bool {
        !(self.woken.is_empty() && self.fresh.is_empty() && self.burners.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::environment::Machine;

    struct Thing(&'static str);

    thread_local! {
        static PLACE: Place<Thing> = const { Place::new() };
    }

    impl Runnable for Thing {
        fn set_woken(&self) -> bool {
            true
        }

        fn place() -> &'static LocalKey<Place<Self>> {
            &PLACE
        }
    }

    /// They are not put off by a long queue of others, none of which runs until its time slice is over.
    #[test]
    fn those_that_no_worker_has_woken_go_first_in_each_time_slice() {
        let machine: Arc<dyn Environment> = Arc::new(Machine::new(|| Duration::ZERO));
        let (scheduler, seats) = Scheduler::new(1, &machine, || {}, || {});
        let wake_elsewhere = |name| {
            std::thread::scope(|scope| {
                scope.spawn(|| scheduler.wake(&Arc::new(Thing(name))));
            });
        };
        let next = || scheduler.next().map(|thing| thing.0);
        scheduler.enter(seats.into_iter().next().expect("there is one worker"));
        for _ in 0..10 {
            scheduler.requeue(Arc::new(Thing("woken here")));
        }
        wake_elsewhere("a sleeper");
        assert_eq!(next(), Some("woken here"), "the time slice is the same");
        scheduler.tick(1);
        assert_eq!(next(), Some("a sleeper"));
        wake_elsewhere("another sleeper");
        assert_eq!(next(), Some("woken here"));
        scheduler.tick(2);
        assert_eq!(next(), Some("another sleeper"));
        scheduler.leave();
    }

    #[test]
    fn steals_are_counted_for_the_worker_that_steals() {
        let machine: Arc<dyn Environment> = Arc::new(Machine::new(|| Duration::ZERO));
        let (scheduler, seats) = Scheduler::new(2, &machine, || {}, || {});
        let mut seats = seats.into_iter();
        scheduler.enter(seats.next().expect("there are two workers"));
        for _ in 0..10 {
            scheduler.requeue(Arc::new(Thing("of the first")));
        }
        assert!(scheduler.next().is_some());
        assert_eq!(scheduler.steals(), [0, 0], "its own are not stolen");
        let first = scheduler.leave().expect("it has a seat");
        scheduler.enter(seats.next().expect("there are two workers"));
        assert!(scheduler.next().is_some());
        assert_eq!(scheduler.steals(), [0, 1]);
        assert!(scheduler.next().is_some());
        assert_eq!(scheduler.steals(), [0, 1], "several were taken at a time");
        scheduler.leave();
        drop(first);
    }
}
