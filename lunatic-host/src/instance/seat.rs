//! The state that a worker shares with the coroutine on its stack.

use std::any::Any;
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake};

use parking_lot::Mutex;
use wasmtime::WasmBacktrace;

use super::image::this_thread;
use super::limits::Payment;
use crate::wasm::{Entry, Kernel, Process};

/// The place of a process in a runner.
///
/// Everything but the locks is written by the thread that runs the coroutine. A queue hands the coroutine from thread
/// to thread, which orders these writes.
pub(crate) struct Seat {
    /// The process to run next, and its entry.
    assigned: Mutex<Option<(Arc<Process>, Entry)>>,
    /// The process that runs.
    current: Mutex<Option<Arc<Process>>>,
    /// Whether the current process is not the one with which the worker began.
    changed: AtomicBool,
    /// Whether the current process has used up its time slice.
    preempted: AtomicBool,
    /// Whether an instance must be made before there is a process.
    ahead: AtomicBool,
    /// The time slice in which the worker began to run this instance.
    slice: AtomicU64,
    /// The thread that ran it last.
    thread: AtomicUsize,
    /// Whether more than one thread has run it since it was reset.
    moved: AtomicBool,
    /// The address range of the instance's memory.
    memory: Mutex<Range<usize>>,
    /// The position on its stack where it is blocked; 0 if unknown.
    stack: AtomicUsize,
    /// Whether it is blocked in a wait that shows the stack.
    visible: AtomicBool,
    /// Whether someone is inspecting it: the wait must only show the stack.
    looked_at: AtomicBool,
    /// The stack that the wait has shown.
    shown: Mutex<Option<Box<WasmBacktrace>>>,
    /// Whether the process requests another instance, to which it leaves `leaves`.
    asks: AtomicBool,
    leaves: Mutex<Option<Box<dyn Left>>>,
    /// What another instance left to this one: its predecessor while this one is on trial, or a successor that did not accept the state.
    left: Mutex<Option<Box<dyn Left>>>,
    /// The payment for the memory of an instance that is being dropped.
    paid: Mutex<Option<Payment>>,
    kernel: Weak<Kernel>,
}

impl Seat {
    pub(super) fn new(kernel: &Arc<Kernel>) -> Arc<Self> {
        Arc::new(Self {
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
            visible: AtomicBool::new(false),
            looked_at: AtomicBool::new(false),
            shown: Mutex::default(),
            asks: AtomicBool::new(false),
            leaves: Mutex::default(),
            left: Mutex::default(),
            paid: Mutex::default(),
            kernel: Arc::downgrade(kernel),
        })
    }

    pub(super) fn assign(&self, process: Arc<Process>, entry: Entry) {
        *self.assigned.lock() = Some((process, entry));
    }

    /// Makes a process the current one, or none.
    pub(super) fn seat(&self, process: Option<Arc<Process>>) {
        *self.current.lock() = process;
        self.changed.store(true, Ordering::Relaxed);
    }

    pub(super) fn current_or_assigned(&self) -> Option<Arc<Process>> {
        let current = self.current.lock().clone();
        current.or_else(|| self.assigned.lock().as_ref().map(|(process, _)| process.clone()))
    }

    /// The process requests another instance, and leaves this to it.
    pub(super) fn ask_for_another(&self, leaves: Box<dyn Left>) {
        *self.leaves.lock() = Some(leaves);
        self.asks.store(true, Ordering::Relaxed);
    }

    /// Whether the process requests another instance.
    pub(super) fn asks(&self) -> bool {
        self.asks.load(Ordering::Relaxed)
    }

    /// What the process leaves to another instance, if it requests one; clears the request.
    pub(super) fn take_leaves(&self) -> Option<Box<dyn Left>> {
        self.asks.store(false, Ordering::Relaxed);
        self.leaves.lock().take()
    }

    /// Puts what another instance leaves to this one into its seat.
    pub(super) fn put_left(&self, left: Box<dyn Left>) {
        *self.left.lock() = Some(left);
    }

    pub(super) fn take_left(&self) -> Option<Box<dyn Left>> {
        self.left.lock().take()
    }

    /// Calls `f` with what was left to the instance.
    pub(super) fn with_left<T>(&self, f: impl FnOnce(&mut dyn Left) -> T) -> Option<T> {
        self.left.lock().as_deref_mut().map(f)
    }

    /// The instance is being dropped, and this pays for its memory until that is done.
    pub(super) fn pay_until_dropped(&self, paid: Payment) {
        *self.paid.lock() = Some(paid);
    }

    /// The instance is gone.
    pub(super) fn pay_back(&self) {
        *self.paid.lock() = None;
    }

    /// The current process; `process` was current when the worker began.
    pub(super) fn current_after(&self, process: Arc<Process>) -> Option<Arc<Process>> {
        if self.changed.load(Ordering::Relaxed) {
            self.current.lock().clone()
        } else {
            Some(process)
        }
    }

    /// Called before this thread runs the seated process.
    pub(super) fn begin(&self, slice: u64) {
        self.slice.store(slice, Ordering::Relaxed);
        self.changed.store(false, Ordering::Relaxed);
        let here = this_thread();
        if self.thread.load(Ordering::Relaxed) != here {
            self.thread.store(here, Ordering::Relaxed);
            self.moved.store(true, Ordering::Relaxed);
        }
    }

    /// The number of the time slice in which a worker began to run it.
    pub(super) fn slice(&self) -> u64 {
        self.slice.load(Ordering::Relaxed)
    }

    /// Ends the time slice of the current process.
    pub(super) fn preempt(&self) {
        self.preempted.store(true, Ordering::Relaxed);
    }

    pub(super) fn take_preempted(&self) -> bool {
        let preempted = self.preempted.load(Ordering::Relaxed);
        if preempted {
            self.preempted.store(false, Ordering::Relaxed);
        }
        preempted
    }

    pub(super) fn make_ahead(&self) {
        self.ahead.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_made_ahead(&self) -> bool {
        self.ahead.load(Ordering::Relaxed)
    }

    /// Whether more than one thread has run it since the last call.
    pub(super) fn take_moved(&self) -> bool {
        self.moved.swap(false, Ordering::Relaxed)
    }

    pub(super) fn set_memory(&self, memory: Range<usize>) {
        *self.memory.lock() = memory;
    }

    pub(super) fn memory(&self) -> Range<usize> {
        self.memory.lock().clone()
    }

    pub(super) fn set_stack(&self, place: usize) {
        self.stack.store(place, Ordering::Relaxed);
    }

    pub(super) fn stack(&self) -> usize {
        self.stack.load(Ordering::Relaxed)
    }

    pub(super) fn set_visible(&self, visible: bool) {
        self.visible.store(visible, Ordering::Relaxed);
    }

    pub(super) fn is_visible(&self) -> bool {
        self.visible.load(Ordering::Relaxed)
    }

    pub(super) fn is_looked_at(&self) -> bool {
        self.looked_at.load(Ordering::Relaxed)
    }

    pub(super) fn show(&self, stack: WasmBacktrace) {
        *self.shown.lock() = Some(Box::new(stack));
    }

    /// Makes the wait show the stack when `poll` polls it.
    pub(super) fn look(&self, poll: impl FnOnce()) -> Option<Box<WasmBacktrace>> {
        self.looked_at.store(true, Ordering::Relaxed);
        poll();
        self.looked_at.store(false, Ordering::Relaxed);
        self.shown.lock().take()
    }

    /// Records that a thread other than the worker's has run it.
    pub(super) fn note_thread(&self) {
        self.moved.store(true, Ordering::Relaxed);
    }
}

/// What an instance leaves to its successor.
pub(super) trait Left: Any + Send {
    /// The instructions that are left, if they are counted.
    fn fuel(&self) -> Option<u64>;
    /// Records how many instructions are left.
    fn note_fuel(&mut self, left: u64);
    /// The instance rejects it for this reason, unless another reason was given before.
    fn refuse(&mut self, why: String);
}

/// Wakes the seated process: files and terminals call it when they are ready.
impl Wake for Seat {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let current = self.current.lock().clone();
        if let (Some(process), Some(kernel)) = (current, self.kernel.upgrade()) {
            kernel.wake(&process);
        }
    }
}

/// Waits until a process is seated.
pub(super) struct Seated<'a>(pub(super) &'a Seat);

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
