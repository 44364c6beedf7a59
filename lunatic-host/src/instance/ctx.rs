//! What the host keeps for the process that runs in an instance: the data of its store.

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
use super::limits::Limits;
use super::seat::Seat;
use super::window::Window;
use crate::module::Module;
use crate::states::States;
use crate::trace::Current;
use crate::wasm::{Captured, Entry, Kernel, Process};

/// An instance on trial gives way after so many ends of time slices.
const TRIAL_SLICES: u64 = 2;

/// What host functions know of the process that calls them: the data of its store, `caller.data()` and `caller.data_mut()`.
pub struct Ctx {
    pub(crate) kernel: Arc<Kernel>,
    /// The module of the instance.
    pub(crate) module: Arc<Module>,
    pub(crate) memory: Option<Memory>,
    /// Where that is.
    pub(crate) window: Window,
    /// The values that the process was spawned with.
    pub(crate) captured: Captured,
    buffer: Buffer,
    /// Channels and processes that the process has handles of.
    checked: [Checked; 2],
    /// What parts of the host and extensions keep with the process.
    pub(super) states: States,
    /// The trace that the process works for, and the spans that it has open.
    pub(crate) current: Current,
    /// The start function of the instance has run, if it has one.
    pub(super) started: bool,
    /// The instance has not accepted yet what one of another version has left to it.
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

    /// The kernel of the runtime.
    pub fn kernel(&self) -> &Arc<Kernel> {
        &self.kernel
    }

    /// The process that runs in this instance now.
    ///
    /// # Panics
    ///
    /// If none does: host functions are always called by a process.
    pub fn process(&self) -> &Arc<Process> {
        self.process.as_ref().expect("host functions are called by a process")
    }

    /// The process that runs, if the instance is anybody's yet.
    pub(crate) fn running(&self) -> Option<&Arc<Process>> {
        self.process.as_ref()
    }

    /// What a part of the host or an extension keeps with the process, made by `make` when it is first asked for; one value of
    /// each type, so use one of your own. It is dropped at the end of the process, however it ends, before anybody hears of the
    /// end. Children do not inherit it.
    pub fn state<T: Any + Send>(&mut self, make: impl FnOnce() -> T) -> &mut T {
        self.states.get_or_insert_with(make)
    }

    /// What is kept with the process, if anything of the type is.
    pub fn find_state<T: Any + Send>(&self) -> Option<&T> {
        self.states.get()
    }

    /// Leaves bytes for the process, which it takes with `lunatic::buffer`. It pays for them; if it cannot, it ends.
    pub fn set_buffer(&mut self, bytes: impl Into<Vec<u8>>) {
        let Some(process) = &self.process else { return };
        if let Err(exhausted) = self.buffer.set(bytes.into(), process.purse()) {
            self.kernel.out_of_memory(process, exhausted);
        }
    }

    /// Takes out what [`set_buffer`](Self::set_buffer) has left.
    pub(crate) fn take_buffer(&mut self) -> Vec<u8> {
        let process = self.process.as_ref();
        process.map_or_else(Vec::new, |process| self.buffer.take(process.purse()))
    }

    /// What [`set_buffer`](Self::set_buffer) has left.
    pub(crate) fn buffer(&self) -> &[u8] {
        self.buffer.bytes()
    }

    /// Empties the buffer, and makes room for `len` bytes, which the process pays for.
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

    /// The kernel, and the buffer to be taken out of while the kernel is at work.
    pub(crate) fn kernel_and_buffer(&mut self) -> (&Kernel, impl FnOnce() -> Vec<u8>) {
        let (process, buffer) = (self.process.as_ref(), &mut self.buffer);
        let take = move || process.map_or_else(Vec::new, |process| buffer.take(process.purse()));
        (&self.kernel, take)
    }

    /// Whether the instance has been made: false while its start function runs.
    pub fn has_started(&self) -> bool {
        self.started
    }

    /// The channel of a handle, if it is one.
    pub(crate) fn channel(&mut self, id: u64, key: u64) -> Option<Id> {
        let kernel = &self.kernel;
        self.checked[0].check(RawHandle { id, key }, |address| {
            kernel.channel_keys().check(address.id, address.key)
        })
    }

    /// The process of a handle, if it is one.
    pub(crate) fn process_of(&mut self, id: u64, key: u64) -> Option<Id> {
        let kernel = &self.kernel;
        self.checked[1].check(RawHandle { id, key }, |address| kernel.process_named(address))
    }

    /// The process is done with its time slice: when it stops now, it runs again after all that are ready.
    pub(crate) fn give_way(&self) {
        self.seat.preempt();
    }

    /// The engine's epoch has advanced: the process gives way, unless it began to run only after that.
    pub(super) fn slice_over(&self) -> UpdateDeadline {
        // Whoever reads a state stands still meanwhile: mostly for less than a time slice, if that does not end just now.
        let slices = self.kernel.slices().wrapping_sub(self.seat.slice());
        if slices == 0 || (self.on_trial && slices <= TRIAL_SLICES) {
            return UpdateDeadline::Continue(1);
        }
        self.give_way();
        UpdateDeadline::Yield(1)
    }

    /// Whether the time slice is over in which the process began to run.
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
        }
    }

    /// The process has ended: gives back what it owned, then tells the others.
    pub(super) fn end(&mut self, reason: ExitReason) {
        self.release();
        self.seat.seat(None);
        if let Some(process) = self.process.take() {
            self.kernel.end(&process, reason);
        }
    }

    /// Lets go of everything the process owned.
    pub(super) fn release(&mut self) {
        // Before the limits: what is kept may have been charged to them.
        self.states.clear();
        self.current.clear();
        self.limits.release();
        self.captured.clear();
        drop(self.take_buffer());
        self.entry = None;
    }
}

impl Drop for Ctx {
    fn drop(&mut self) {
        self.release();
    }
}

/// For wasmtime, and for nobody else to call.
#[doc(hidden)]
impl ResourceLimiter for Ctx {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let total = self.limits.grow(current, desired);
        self.window = Window::default();
        // An instance that is made ahead is nobody's yet.
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
