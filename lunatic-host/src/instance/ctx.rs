//! The data of a store: what the host keeps for the process in an instance.

use std::any::Any;
use std::sync::Arc;

use lunatic_kernel::address::{Checked, Id};
use lunatic_kernel::budget::Payer;
use lunatic_kernel::exit::ExitReason;
use lunatic_sys::layout::RawHandle;
use wasmtime::{Global, Memory, ResourceLimiter, UpdateDeadline};

use super::buffer::{Buffer, NoRoom};
use super::drive::Called;
use super::image::Reset;
use super::limits::{Limits, Payment};
use super::seat::Seat;
use super::window::Window;
use crate::module::Module;
use crate::states::{Merge, States};
use crate::trace::Current;
use crate::wasm::{Captured, Entry, Kernel, Process};

/// An instance on trial yields after this many ends of time slices.
const TRIAL_SLICES: u64 = 2;

/// The data of the process that calls a host function: the data of its store, `caller.data()` and `caller.data_mut()`.
pub struct Ctx {
    pub(crate) kernel: Arc<Kernel>,
    /// The module of the instance.
    pub(crate) module: Arc<Module>,
    pub(crate) memory: Option<Memory>,
    /// The address of the memory.
    pub(crate) window: Window,
    /// The values with which the process was spawned.
    pub(crate) captured: Captured,
    buffer: Buffer,
    /// The channels and processes whose handles were checked last.
    checked: [Checked; 2],
    /// Values that parts of the host and extensions keep for the process.
    pub(super) states: States,
    /// The trace that the process works for, and its open spans.
    pub(crate) current: Current,
    /// Whether the start function of the instance, if there is one, has run.
    pub(super) started: bool,
    /// Whether the instance has not yet accepted what an instance of another version has left to it.
    pub(crate) on_trial: bool,
    pub(super) process: Option<Arc<Process>>,
    pub(super) seat: Arc<Seat>,
    /// The entry of the process that begins, for `lunatic:run`.
    pub(super) entry: Option<u32>,
    /// Set while `lunatic:run` itself, and not the guest, calls `next`.
    pub(super) gate: Option<Global>,
    pub(super) reset: Option<Reset>,
    pub(crate) limits: Limits,
}

impl Ctx {
    pub(super) fn new(kernel: Arc<Kernel>, module: Arc<Module>, seat: Arc<Seat>) -> Self {
        Self {
            kernel,
            module,
            memory: None,
            window: Window::default(),
            captured: Captured::new(),
            buffer: Buffer::default(),
            checked: Default::default(),
            states: States::default(),
            current: Current::default(),
            started: false,
            on_trial: false,
            process: None,
            seat,
            entry: None,
            gate: None,
            reset: None,
            limits: Limits::default(),
        }
    }

    /// Returns the kernel of the runtime.
    pub fn kernel(&self) -> &Arc<Kernel> {
        &self.kernel
    }

    /// Returns the process that runs in this instance.
    ///
    /// # Panics
    ///
    /// If there is none: host functions are always called by a process.
    pub fn process(&self) -> &Arc<Process> {
        self.process.as_ref().expect("host functions are called by a process")
    }

    /// The process that runs, if the instance has been assigned to one.
    pub(crate) fn running(&self) -> Option<&Arc<Process>> {
        self.process.as_ref()
    }

    /// Returns the value that a part of the host or an extension keeps for the process; `make` makes it on first use.
    /// There is one value of each type, so use a type of your own. It is dropped when the process ends, in any way,
    /// before anyone is notified of the end. Children do not inherit it.
    ///
    /// If the process changes to another version of its code, its value replaces one that the instance of that version
    /// has got before it accepted the state.
    pub fn state<T: Any + Send>(&mut self, make: impl FnOnce() -> T) -> &mut T {
        self.states.get_or_insert_with(make)
    }

    /// [`state`](Self::state), for a value that takes over the one of the process's former instance.
    pub(crate) fn merging_state<T: Merge>(&mut self, make: impl FnOnce() -> T) -> &mut T {
        self.states.get_or_insert_merging(make)
    }

    /// Returns the value of this type that is kept for the process, if there is one.
    pub fn find_state<T: Any + Send>(&self) -> Option<&T> {
        self.states.get()
    }

    /// Leaves bytes for the process, which takes them with `lunatic::buffer`. The process pays for them, and ends if it
    /// cannot.
    pub fn set_buffer(&mut self, bytes: impl Into<Vec<u8>>) {
        let Some(process) = &self.process else { return };
        if let Err(exhausted) = self.buffer.set(bytes.into(), process.purse()) {
            self.kernel.out_of_memory(process, exhausted);
        }
    }

    /// Takes what [`set_buffer`](Self::set_buffer) has left.
    pub(crate) fn take_buffer(&mut self) -> Vec<u8> {
        let process = self.process.as_ref();
        process.map_or_else(Vec::new, |process| self.buffer.take(process.purse()))
    }

    /// What [`set_buffer`](Self::set_buffer) has left.
    pub(crate) fn buffer(&self) -> &[u8] {
        self.buffer.bytes()
    }

    /// Empties the buffer and makes room for `len` bytes, which the process pays for.
    pub(crate) fn make_room_in_buffer(&mut self, len: usize) -> Result<(), NoRoom> {
        let Some(process) = &self.process else {
            return Err(NoRoom);
        };
        self.buffer.make_room(len, process.purse())
    }

    /// Appends bytes to the buffer, for which room has been made.
    pub(crate) fn append_to_buffer(&mut self, bytes: &[u8]) {
        self.buffer.append(bytes);
    }

    /// The kernel, and a function that takes the buffer while the kernel is in use.
    pub(crate) fn kernel_and_buffer(&mut self) -> (&Kernel, impl FnOnce() -> Vec<u8>) {
        let (process, buffer) = (self.process.as_ref(), &mut self.buffer);
        let take = move || process.map_or_else(Vec::new, |process| buffer.take(process.purse()));
        (&self.kernel, take)
    }

    /// Returns whether the instance has been made; false while its start function runs.
    pub fn has_started(&self) -> bool {
        self.started
    }

    /// The channel of a handle, if the handle is valid.
    pub(crate) fn channel(&mut self, id: u64, key: u64) -> Option<Id> {
        let kernel = &self.kernel;
        self.checked[0].check(RawHandle { id, key }, |address| kernel.channel_named(address))
    }

    /// The process of a handle, if the handle is valid.
    pub(crate) fn process_of(&mut self, id: u64, key: u64) -> Option<Id> {
        let kernel = &self.kernel;
        self.checked[1].check(RawHandle { id, key }, |address| kernel.process_named(address))
    }

    /// Ends the time slice of the process: when it stops now, it runs again after all processes that are ready.
    pub(crate) fn give_way(&self) {
        self.seat.preempt();
    }

    /// Called when the engine's epoch has advanced: the process yields, unless it began to run only after that.
    pub(super) fn slice_over(&self) -> UpdateDeadline {
        // A process must not be paused while an instance reads its state, which usually takes less than a time slice.
        let slices = self.kernel.slices().wrapping_sub(self.seat.slice());
        if slices == 0 || (self.on_trial && slices <= TRIAL_SLICES) {
            return UpdateDeadline::Continue(1);
        }
        self.give_way();
        UpdateDeadline::Yield(1)
    }

    /// Whether somebody looks at the stack of the process, which waits.
    pub(crate) fn is_looked_at(&self) -> bool {
        self.seat.is_looked_at()
    }

    /// Whether the time slice in which the process began to run is over.
    pub(crate) fn has_used_slice(&self) -> bool {
        self.seat.slice() != self.kernel.slices()
    }

    pub(super) fn begin(&mut self, process: Arc<Process>, entry: Entry) -> Option<Called> {
        let rights = &process.local.rights;
        self.limits.begin(rights.max_memory, rights.budget.clone());
        self.current.give(process.local.trace.clone());
        self.process = Some(process);
        match entry {
            Entry::Closure(index, captured) => {
                (self.entry, self.captured) = (Some(index), captured);
                None
            }
            Entry::Export(name) => Some(Called::Export(name)),
            Entry::Call(call) => Some(Called::With(call)),
            Entry::Named(named) => Some(Called::Named(named)),
            Entry::Request(request) => Some(Called::Request(request)),
        }
    }

    /// Ends the process: gives back what it owned, then notifies the others.
    pub(super) fn end(&mut self, reason: ExitReason) {
        let process = self.process.clone();
        drop(self.leave());
        if let Some(process) = process {
            self.kernel.end(&process, reason);
        }
    }

    /// Takes the process out of the instance, and releases everything that it owned except the memory. Returns its payment
    /// for the memory.
    pub(super) fn leave(&mut self) -> Payment {
        self.clear();
        self.seat.seat(None);
        self.process = None;
        self.limits.take_payment()
    }

    fn clear(&mut self) {
        self.states.clear();
        self.current.clear();
        self.captured.clear();
        drop(self.take_buffer());
        self.entry = None;
    }
}

impl Drop for Ctx {
    fn drop(&mut self) {
        self.clear();
        let paid = self.limits.take_payment();
        if paid.is_large() {
            // The pages are still there.
            self.seat.pay_until_dropped(paid);
        }
    }
}

/// Only for wasmtime to call.
#[doc(hidden)]
impl ResourceLimiter for Ctx {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.limits.grow(current, desired);
        self.window = Window::default();
        // An instance that is made ahead belongs to no process yet.
        if let (Some(total), Some(process)) = (total, &self.process) {
            process.local.set_memory(total);
        }
        Ok(total.is_some())
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        let bytes = self.limits.grow_failed();
        if let Some(process) = &self.process {
            process.local.set_memory(bytes);
        }
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.limits.grow_table(current, desired))
    }

    fn table_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.limits.grow_table_failed();
        Ok(())
    }
}
