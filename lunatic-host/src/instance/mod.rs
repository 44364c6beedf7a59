//! Instances: what runs the code of processes.
//!
//! A [`Runner`] is one wasm instance with its store, its stack and a coroutine that drives it. It is made when a process
//! first runs, belongs to that process until it ends, and is then used again for another process of the same module, if
//! it can be made byte for byte what a fresh one is ([`image`]). A process that ends while others wait to run for the
//! first time makes room for the next one without leaving the instance: the exported function `lunatic:run` asks
//! [`next`] for it in a loop.

pub(crate) mod ahead;
pub(crate) mod arena;
mod arguments;
mod ctx;
mod drive;
pub(crate) mod frozen;
pub(crate) mod image;
pub(crate) mod kernel;
mod limits;
pub(crate) mod memory;
mod packed;
pub(crate) mod pool;
pub(crate) mod residency;
pub(crate) mod runs;
pub(crate) mod stack;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};

use parking_lot::Mutex;

pub(crate) use self::ctx::Ctx;
pub(crate) use self::drive::{next, note_place};
use self::frozen::Frozen;
use self::stack::Stacks;
use crate::engine::Layout;
use crate::module::Module;
use crate::process::{Entry, Process};
use crate::shared::Shared;

/// What a worker and the coroutine on its stack tell each other.
///
/// All but the locks is written by the thread that runs the coroutine, which a queue handed from one to the next: the order
/// between them comes from there.
pub(crate) struct Seat {
    /// The process to run next, and how it begins.
    assigned: Mutex<Option<(Arc<Process>, Entry)>>,
    /// The process that runs.
    current: Mutex<Option<Arc<Process>>>,
    /// Another process than the one that the worker began with is current, or none.
    changed: AtomicBool,
    /// The current process has used up its time slice.
    preempted: AtomicBool,
    /// An instance is to be made before there is a process.
    ahead: AtomicBool,
    /// The time slice in which the worker began to run this instance.
    slice: AtomicU64,
    /// The thread that ran it last.
    thread: AtomicUsize,
    /// More than one thread has run it since it was made fresh.
    moved: AtomicBool,
    /// Where the memory of the instance is.
    memory: Mutex<Range<usize>>,
    /// Where on its stack it is blocked; 0 if that is not known.
    stack: AtomicUsize,
    shared: Weak<Shared>,
}

impl Seat {
    fn seat(&self, process: Option<Arc<Process>>) {
        *self.current.lock() = process;
        self.changed.store(true, Ordering::Relaxed);
    }
}

/// Wakes the process that sits in the seat: what files and terminals call when they are ready.
impl Wake for Seat {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let current = self.current.lock().clone();
        if let (Some(process), Some(shared)) = (current, self.shared.upgrade()) {
            shared.scheduler.wake(&process);
        }
    }
}

/// How it stands with a runner after it has run for a while.
pub(crate) enum Progress {
    /// The process waits for something.
    Blocked(Arc<Process>),
    /// The process used up its time slice.
    Preempted(Arc<Process>),
    /// The process has ended, the runner can take another.
    Idle,
    /// The process has ended, and the runner with it.
    Over,
}

/// One instance and what drives it.
pub(crate) struct Runner {
    pub(crate) module: Arc<Module>,
    seat: Arc<Seat>,
    waker: Waker,
    frozen: Option<Box<Frozen>>,
    stacks: Arc<Stacks>,
    drive: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Runner {
    pub(crate) fn new(shared: &Arc<Shared>, module: &Arc<Module>, layout: Layout) -> Self {
        let seat = Arc::new(Seat {
            assigned: Mutex::default(),
            current: Mutex::default(),
            changed: AtomicBool::new(false),
            preempted: AtomicBool::new(false),
            ahead: AtomicBool::new(false),
            slice: AtomicU64::new(0),
            thread: AtomicUsize::new(0),
            moved: AtomicBool::new(false),
            memory: Mutex::default(),
            stack: AtomicUsize::new(0),
            shared: Arc::downgrade(shared),
        });
        let drive = Box::pin(drive::drive(shared.clone(), module.clone(), layout, seat.clone()));
        Self {
            module: module.clone(),
            waker: seat.clone().into(),
            seat,
            frozen: None,
            stacks: shared.engines.stacks.clone(),
            drive,
        }
    }

    /// Seats a process that has not run yet.
    pub(crate) fn assign(&mut self, process: Arc<Process>, entry: Entry) {
        *self.seat.assigned.lock() = Some((process, entry));
    }

    /// The process in the seat.
    pub(crate) fn current(&self) -> Option<Arc<Process>> {
        let current = self.seat.current.lock().clone();
        current.or_else(|| self.seat.assigned.lock().as_ref().map(|(process, _)| process.clone()))
    }

    /// Makes the instance before there is a process for it; false if that fails: the runner is of no use then.
    pub(crate) fn prepare(&mut self, slice: u64) -> bool {
        self.seat.ahead.store(true, Ordering::Relaxed);
        self.begin(slice);
        self.poll().is_pending()
    }

    /// Runs `process`, which is in the seat, and those that follow it, until one blocks, is preempted or ends.
    pub(crate) fn run(&mut self, process: Arc<Process>, slice: u64) -> Progress {
        self.begin(slice);
        self.thaw();
        let ready = self.poll().is_ready();
        let seat = &*self.seat;
        let preempted = seat.preempted.load(Ordering::Relaxed);
        if preempted {
            seat.preempted.store(false, Ordering::Relaxed);
        }
        let current = if seat.changed.load(Ordering::Relaxed) {
            seat.current.lock().clone()
        } else {
            Some(process)
        };
        match current {
            _ if ready => Progress::Over,
            None => Progress::Idle,
            Some(process) if preempted => Progress::Preempted(process),
            Some(process) => Progress::Blocked(process),
        }
    }

    /// Tells the seat that this thread is about to run what is in it.
    fn begin(&self, slice: u64) {
        let seat = &*self.seat;
        seat.slice.store(slice, Ordering::Relaxed);
        seat.changed.store(false, Ordering::Relaxed);
        let here = image::this_thread();
        if seat.thread.load(Ordering::Relaxed) != here {
            seat.thread.store(here, Ordering::Relaxed);
            seat.moved.store(true, Ordering::Relaxed);
        }
    }

    fn poll(&mut self) -> Poll<()> {
        self.drive.as_mut().poll(&mut Context::from_waker(&self.waker))
    }
}

/// Waits until a process is seated.
struct Seated<'a>(&'a Seat);

impl Future for Seated<'_> {
    type Output = (Arc<Process>, Entry);

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        let Some((process, entry)) = self.0.assigned.lock().take() else {
            return Poll::Pending;
        };
        self.0.seat(Some(process.clone()));
        Poll::Ready((process, entry))
    }
}
