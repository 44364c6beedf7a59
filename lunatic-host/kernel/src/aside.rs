//! Work that takes longer than a time slice and that belongs to no running process. It is done on threads, so that it
//! does not occupy a worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::budget::Budget;
use crate::environment::Environment;

/// A worker does this many steps by itself, in some ten to a hundred microseconds.
pub(crate) const STEPS_MAX: usize = 1000;

/// Freeing this many bytes counts as a step: the allocator may return them to the operating system, which takes 35 µs
/// per megabyte.
const STEP_BYTES: usize = 64 << 10;

/// Approximate number of steps for dropping messages with this many bytes, in addition to one step per message.
pub(crate) fn steps_to_drop(bytes: usize) -> usize {
    bytes / STEP_BYTES
}

/// The most threads that work at a time.
const THREADS_MAX: usize = 64;

/// The place of a thread among [`THREADS_MAX`]. It becomes free when the thread ends, even by a panic.
struct Place<'a>(&'a Aside);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.threads.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Passes work to threads.
pub(crate) struct Aside {
    machine: Arc<dyn Environment>,
    threads: AtomicUsize,
}

impl Aside {
    pub(crate) fn new(machine: Arc<dyn Environment>) -> Arc<Self> {
        Arc::new(Self {
            machine,
            threads: AtomicUsize::new(0),
        })
    }

    /// Starts `work` on a thread immediately, and charges its CPU time to `budget`. If the limit of threads is reached,
    /// or no thread can be started, the work is done here, and its time is charged to the running process.
    pub(crate) fn work(self: &Arc<Self>, budget: Option<Arc<Budget>>, work: impl FnOnce() + Send + 'static) {
        let more = |threads: usize| (threads < THREADS_MAX).then_some(threads + 1);
        if self
            .threads
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .is_err()
        {
            return work();
        }
        // Whoever takes it does it: the thread, or the caller if there is no thread.
        let work = Arc::new(Mutex::new(Some(work)));
        let (aside, taken) = (self.clone(), work.clone());
        let run = move || {
            let Some(work) = taken.lock().take() else { return };
            let _place = Place(&aside);
            let start = aside.machine.time_on_core();
            work();
            if let Some(budget) = budget {
                budget.spend(aside.machine.time_on_core().saturating_sub(start));
            }
        };
        if self.machine.spawn("lunatic-aside".into(), Box::new(run)).is_err() {
            self.threads.fetch_sub(1, Ordering::Relaxed);
            let work = work.lock().take();
            if let Some(work) = work {
                work();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::mpsc::channel;
    use std::thread::ThreadId;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::budget::Caps;
    use crate::environment::{Machine, Parking, Thread};

    /// A machine on which each thread has computed for a second whenever it is asked, twice as long the next time.
    fn machine() -> Machine {
        use std::cell::Cell;
        thread_local!(static TIME: Cell<u32> = const { Cell::new(0) });
        Machine::new(|| {
            TIME.set(TIME.get() + 1);
            Duration::from_secs(1) * TIME.get()
        })
    }

    struct NoThreads(Machine);

    impl Environment for NoThreads {
        fn now(&self) -> Instant {
            self.0.now()
        }

        fn time_on_core(&self) -> Duration {
            self.0.time_on_core()
        }

        fn random(&self) -> u64 {
            self.0.random()
        }

        fn spawn(&self, _: String, _: Box<dyn FnOnce() + Send>) -> io::Result<Thread> {
            Err(io::ErrorKind::OutOfMemory.into())
        }

        fn parking(&self, workers: usize) -> Box<dyn Parking> {
            self.0.parking(workers)
        }
    }

    fn who_works(aside: &Arc<Aside>, budget: Option<Arc<Budget>>) -> ThreadId {
        let (tell, told) = channel();
        aside.work(budget, move || tell.send(std::thread::current().id()).unwrap());
        told.recv().unwrap()
    }

    #[test]
    fn a_thread_works_and_its_time_is_charged() {
        let aside = Aside::new(Arc::new(machine()));
        let budget = Budget::outermost(Caps::default(), aside.machine.now());
        assert_ne!(who_works(&aside, Some(budget.clone())), std::thread::current().id());
        while aside.threads.load(Ordering::Relaxed) > 0 {
            std::thread::yield_now();
        }
        assert_eq!(budget.usage().cpu, Duration::from_secs(1));
    }

    #[test]
    fn work_that_panics_leaves_its_place_to_others() {
        let aside = Aside::new(Arc::new(machine()));
        aside.work(None, || panic!("as it was told"));
        while aside.threads.load(Ordering::Relaxed) > 0 {
            std::thread::yield_now();
        }
        assert_ne!(who_works(&aside, None), std::thread::current().id());
    }

    #[test]
    fn without_a_thread_the_caller_works() {
        let here = std::thread::current().id();
        let aside = Aside::new(Arc::new(NoThreads(machine())));
        assert_eq!(who_works(&aside, None), here);
        assert_eq!(aside.threads.load(Ordering::Relaxed), 0);
        let aside = Aside::new(Arc::new(machine()));
        aside.threads.store(THREADS_MAX, Ordering::Relaxed);
        assert_eq!(who_works(&aside, None), here);
        assert_eq!(aside.threads.load(Ordering::Relaxed), THREADS_MAX);
    }
}
