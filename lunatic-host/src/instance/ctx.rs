//! What the host keeps for the process that runs in an instance: the data of its store.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use smallvec::SmallVec;
use wasmtime::{Global, Memory, UpdateDeadline};

use super::Seat;
use super::drive::Called;
use super::image::Reset;
use super::limits::Limits;
use crate::compat::State;
use crate::imports::signal::UsedConfig;
use crate::imports::wasi::ProcessWasi;
use crate::process::exit::ExitReason;
use crate::process::id::{Checked, Id};
use crate::process::{Captured, Entry, Process};
use crate::shared::Shared;
use crate::wasi::Wasi;

/// What host functions know of the process that calls them: the data of its store.
pub(crate) struct Ctx {
    pub(crate) shared: Arc<Shared>,
    pub(crate) memory: Option<Memory>,
    /// The values that the process was spawned with.
    pub(crate) captured: Captured,
    /// See `lunatic_sys::buffer`.
    pub(crate) buffer: Vec<u8>,
    /// Channels and processes that the process has handles of.
    pub(super) checked: [Checked; 2],
    /// The channels that close with the process.
    pub(crate) channels: SmallVec<[Id; 2]>,
    /// The children whose output the process may ask for, with what they see of the world.
    pub(crate) outputs: Vec<(Id, Arc<Wasi>)>,
    /// The modules that the process compiled.
    pub(crate) modules: Vec<Id>,
    /// The configurations of TLS that go with the process.
    pub(crate) tls_configs: Vec<Id>,
    /// The configuration that the process used last to spawn another.
    pub(crate) config: Option<Box<UsedConfig>>,
    /// What a process of the interface of Lunatic 0.13 has.
    pub(crate) compat: Option<Box<State>>,
    /// The start function of the instance has run, if it has one.
    pub(crate) started: bool,
    pub(super) process: Option<Arc<Process>>,
    pub(super) seat: Arc<Seat>,
    /// The entry of the process that begins, for `lunatic:run`.
    pub(super) entry: Option<u32>,
    /// Set while `lunatic:run` itself, and not the guest, calls `next`.
    pub(super) gate: Option<Global>,
    pub(super) reset: Option<Reset>,
    pub(crate) limits: Limits,
    pub(super) wasi: Option<Box<ProcessWasi>>,
}

impl Ctx {
    pub(super) fn new(shared: Arc<Shared>, seat: Arc<Seat>) -> Self {
        Self {
            shared,
            memory: None,
            captured: Captured::new(),
            buffer: Vec::new(),
            checked: Default::default(),
            channels: SmallVec::new(),
            outputs: Vec::new(),
            modules: Vec::new(),
            tls_configs: Vec::new(),
            config: None,
            compat: None,
            started: false,
            process: None,
            seat,
            entry: None,
            gate: None,
            reset: None,
            limits: Limits::default(),
            wasi: None,
        }
    }

    /// The process that runs in this instance now.
    pub(crate) fn process(&self) -> &Arc<Process> {
        self.process.as_ref().expect("host functions are called by a process")
    }

    /// The channel of a handle, if it is one.
    pub(crate) fn channel(&mut self, id: u64, key: u64) -> Option<Id> {
        self.checked[0].check(&self.shared.channel_keys, id, key)
    }

    /// The process of a handle, if it is one.
    pub(crate) fn process_of(&mut self, id: u64, key: u64) -> Option<Id> {
        self.checked[1].check(&self.shared.process_keys, id, key)
    }

    /// The WASI context of the process, made when it is first needed.
    pub(crate) fn wasi(&mut self) -> &mut ProcessWasi {
        let process = self.process.as_ref().expect("host functions are called by a process");
        self.wasi.get_or_insert_with(|| Box::new(ProcessWasi::new(process)))
    }

    /// Prints what was held back of the text of a panic, because the process has caught the panic.
    pub(crate) fn print_held_panic(&mut self) {
        let Some(wasi) = &self.wasi else { return };
        let text = wasi.panic.release();
        if !text.is_empty() {
            let text = String::from_utf8_lossy(&text);
            self.process().rights.wasi.stderr().report(&text);
        }
    }

    /// The process is done with its time slice: when it stops now, it runs again after all that are ready.
    pub(crate) fn give_way(&self) {
        self.seat.preempted.store(true, Ordering::Relaxed);
    }

    /// The engine's epoch has advanced: the process gives way, unless it began to run only after that.
    pub(super) fn slice_over(&self) -> UpdateDeadline {
        if !self.has_used_slice() {
            return UpdateDeadline::Continue(1);
        }
        self.give_way();
        UpdateDeadline::Yield(1)
    }

    pub(super) fn has_used_slice(&self) -> bool {
        self.seat.slice.load(Ordering::Relaxed) != self.shared.clock.slices()
    }

    pub(super) fn begin(&mut self, process: Arc<Process>, entry: Entry) -> Option<Called> {
        self.limits.begin(&process.rights);
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
            self.shared.end(&process, reason);
        }
    }

    /// Lets go of everything the process owned.
    pub(super) fn release(&mut self) {
        let worker = if self.channels.is_empty() {
            0
        } else {
            self.shared.scheduler.worker()
        };
        for channel in self.channels.drain(..) {
            self.shared
                .channels
                .close(worker, channel)
                .for_each(|waiter| self.shared.scheduler.wake(&waiter));
        }
        for module in std::mem::take(&mut self.modules) {
            drop(self.shared.modules.remove(self.shared.scheduler.worker(), module));
        }
        for config in std::mem::take(&mut self.tls_configs) {
            drop(
                self.shared
                    .net
                    .tls_configs
                    .remove(self.shared.scheduler.worker(), config),
            );
        }
        self.outputs = Vec::new();
        self.limits.release();
        self.config = None;
        self.captured.clear();
        if self.buffer.capacity() > 0 {
            self.buffer = Vec::new();
        }
        self.compat = None;
        self.wasi = None;
        self.entry = None;
    }
}

impl Drop for Ctx {
    fn drop(&mut self) {
        self.release();
    }
}
