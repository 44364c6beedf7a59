//! Instances, which run the code of processes.
//!
//! A [`Runner`] is a wasm instance with its store, its stack and a coroutine that drives it. It is made when a process
//! first runs, and belongs to that process until it ends. If it can be reset to a fresh instance, byte for byte
//! ([`image`]), it is then reused for another process of the same module. If a process ends while others wait to run
//! for the first time, the next one starts without leaving the instance: the exported function `lunatic:run` requests
//! it from [`next`] in a loop.

mod arguments;
mod buffer;
mod change;
pub(crate) mod component;
mod ctx;
mod drive;
mod dump;
pub(crate) mod frozen;
pub(crate) mod image;
mod limits;
mod places;
mod seat;
mod visible;
mod window;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use lunatic_kernel::Progress;
use lunatic_memory::{Pages, Stacks};
use wasmtime::WasmBacktrace;
use wasmtime::component::Resource;
use wasmtime_wasi_http::p2::types::{HostIncomingRequest, HostResponseOutparam};

pub(crate) use self::change::{Change, Opened, accept, change, opens, refuse};
pub use self::ctx::Ctx;
pub(crate) use self::drive::{AtSliceEnd, next, note_memory, note_place};
use self::frozen::Frozen;
pub(crate) use self::places::Places;
pub(crate) use self::seat::Seat;
pub(crate) use self::visible::Here;
use crate::engine::Layout;
use crate::module::Module;
use crate::report::dump::Memory;
use crate::request::Request;
use crate::wasm::{Entry, Kernel, Process, Wasm};

/// The largest memory in bytes of an instance that belongs to no process.
pub(crate) const IDLE_MEMORY_MAX: usize = 16 << 20;
/// The most pages in use of a larger one, or of a module that a guest brought along.
const KEPT_PAGES_MAX: usize = 64;

/// A request and the place for its answer, as a handler gets them.
pub(crate) type Given = (Resource<HostIncomingRequest>, Resource<HostResponseOutparam>);

/// The coroutine of a runner.
pub(crate) type Driven = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Makes the coroutine of a runner for components. The runtime has it, so that nothing else here knows of components.
pub(crate) type DriveComponent = fn(Arc<Kernel>, Arc<Module>, Layout, Arc<Seat>) -> Driven;

/// How a process of a component gets the request that it answers. The runtime has these functions, too.
#[derive(Clone, Copy)]
pub(crate) struct Requests {
    /// Gives the process the request, and the place for the answer.
    pub(crate) begin: fn(&mut Ctx, Request) -> wasmtime::Result<Given>,
    /// Whether the process has answered.
    pub(crate) is_answered: fn(&mut Ctx) -> bool,
}

/// An instance and what drives it.
pub struct Runner {
    module: Arc<Module>,
    seat: Arc<Seat>,
    waker: Waker,
    frozen: Option<Box<Frozen>>,
    stacks: Arc<Stacks>,
    drive: Driven,
    /// The instance of the version that the process comes from, while this one is on trial.
    former: Option<Box<Runner>>,
}

impl Runner {
    fn new(kernel: &Arc<Kernel>, module: &Arc<Module>, layout: Layout) -> Self {
        let seat = Seat::new(kernel);
        let drive: Driven = match module.is_component() {
            true => (kernel.host.drive_component)(kernel.clone(), module.clone(), layout, seat.clone()),
            false => Box::pin(drive::drive(kernel.clone(), module.clone(), layout, seat.clone())),
        };
        Self {
            module: module.clone(),
            waker: seat.clone().into(),
            seat,
            frozen: None,
            stacks: kernel.host.engines.stacks.clone(),
            drive,
            former: None,
        }
    }

    /// A runner for processes whose instructions are counted.
    pub(crate) fn metered(kernel: &Arc<Kernel>, module: &Arc<Module>) -> Self {
        kernel.host.hibernation.makes_instance(kernel);
        Self::new(kernel, module, Layout::Metered)
    }

    /// A runner for all other processes.
    pub(crate) fn unmetered(kernel: &Arc<Kernel>, module: &Arc<Module>) -> Self {
        let host = &kernel.host;
        host.hibernation.makes_instance(kernel);
        if host.engines.dense_is_near() {
            prepare(kernel, module, Layout::Dense);
        }
        Self::new(kernel, module, host.engines.choose())
    }

    /// The module whose code it runs.
    pub(crate) fn module(&self) -> &Arc<Module> {
        &self.module
    }

    /// Seats a process that has not run yet.
    pub(crate) fn seat_process(&mut self, process: Arc<Process>, entry: Entry) {
        self.seat.assign(process, entry);
    }

    /// The process in the seat.
    pub(crate) fn seated(&self) -> Option<Arc<Process>> {
        self.seat.current_or_assigned()
    }

    /// Makes the instance before there is a process for it. If this fails, it returns false and the runner is useless.
    pub(crate) fn prepare(&mut self, slice: u64) -> bool {
        self.seat.make_ahead();
        self.seat.begin(slice);
        self.poll().is_pending()
    }

    /// Runs `process`, which is seated, and those that follow it, until one blocks, is preempted or ends.
    pub(crate) fn run_seated(&mut self, kernel: &Arc<Kernel>, mut process: Arc<Process>, slice: u64) -> Progress<Wasm> {
        let mut ready = self.run_once(slice);
        while self.former.is_some() || self.seat.asks() {
            // The process may have ended, and the instance continued with another, which now requests the change.
            process = self.seat.current_after(process.clone()).unwrap_or(process);
            if !self.switch(kernel, &process) {
                break;
            }
            ready = self.run_once(slice);
        }
        let preempted = self.seat.take_preempted();
        match self.seat.current_after(process) {
            _ if ready => Progress::Over,
            None => Progress::Idle,
            Some(process) if preempted => Progress::Preempted(process),
            Some(process) => Progress::Blocked(process),
        }
    }

    fn run_once(&mut self, slice: u64) -> bool {
        self.seat.begin(slice);
        self.thaw();
        self.poll().is_ready()
    }

    /// The stack of the process, which is blocked; `None` if its wait does not show it. The process is not affected,
    /// and stays frozen if it was.
    pub(crate) fn look(&mut self) -> Option<Box<WasmBacktrace>> {
        if !self.seat.is_visible() {
            return None;
        }
        let was_frozen = self.frozen.is_some();
        self.thaw();
        self.seat.note_thread();
        let seat = self.seat.clone();
        let shown = seat.look(|| {
            let polled = self.poll();
            debug_assert!(polled.is_pending(), "a wait that is looked at goes on");
        });
        if was_frozen {
            self.freeze();
        }
        shown
    }

    fn poll(&mut self) -> Poll<()> {
        self.drive.as_mut().poll(&mut Context::from_waker(&self.waker))
    }

    /// Returns the pages of the suspended instance to the operating system; false if this is not possible or has been
    /// done.
    pub(crate) fn freeze(&mut self) -> bool {
        let mut pages = Vec::new();
        // SAFETY: the pages are released before anybody can run or drop the runner.
        let frozen = unsafe { self.freeze_into(&mut pages) };
        Pages::release_all(pages);
        frozen
    }

    /// Like [`freeze`](Self::freeze), but the pages are added to `released`, and must still be released.
    ///
    /// # Safety
    ///
    /// The runner is neither run nor dropped before the added pages have been given to [`Pages::release_all`].
    pub(crate) unsafe fn freeze_into(&mut self, released: &mut Vec<Pages<'static>>) -> bool {
        if self.frozen.is_some() {
            return false;
        }
        let Some(stack) = self.stacks.stack_at(self.seat.stack()) else {
            return false;
        };
        let image = self.module.image().map(|image| &**image);
        // SAFETY: the seat knows where the memory and the stack of this instance are. It is suspended, and only this
        // thread uses it; the caller promises the rest.
        self.frozen = unsafe { Frozen::take(self.seat.memory(), stack, image, self.module.models(), released) };
        self.frozen.is_some()
    }

    /// The number of pages of the suspended instance's memory that hold data; 0 if it is frozen.
    pub(crate) fn resident_pages(&mut self) -> usize {
        if self.frozen.is_some() {
            return 0;
        }
        // SAFETY: as in `freeze_into`; the pages are dropped before this returns.
        let pages = unsafe { frozen::pages(&self.seat.memory()) };
        pages.map_or(0, |pages| pages.resident().count())
    }

    /// Whether the instance may be kept while it belongs to no process and nobody is charged for it. It still has the pages of
    /// the process that has ended.
    pub(crate) fn may_be_kept(&mut self) -> bool {
        let (len, is_brought) = (self.seat.memory().len(), self.module.is_brought());
        let len_max = if is_brought {
            limits::KEPT_MEMORY_MAX
        } else {
            IDLE_MEMORY_MAX
        };
        let is_known_to_be_small = len <= limits::KEPT_MEMORY_MAX && !is_brought;
        is_known_to_be_small || (len <= len_max && self.resident_pages() <= KEPT_PAGES_MAX)
    }

    /// Calls `f` with the memory of the suspended instance, if it has one.
    pub(crate) fn with_memory(&mut self, f: impl FnOnce(Option<Memory<'_>>)) {
        let was_frozen = self.frozen.is_some();
        self.thaw();
        // SAFETY: as in `freeze_into`; the pages are dropped before anybody can run the instance.
        match unsafe { frozen::pages(&self.seat.memory()) } {
            Some(pages) => f(Some(Memory {
                touched: pages.resident().bytes().collect(),
                bytes: pages.bytes(),
            })),
            None => f(None),
        }
        if was_frozen {
            self.freeze();
        }
    }

    /// Restores everything as it was.
    pub(crate) fn thaw(&mut self) {
        if let Some(frozen) = self.frozen.take() {
            let image = self.module.image().map(|image| &**image);
            // SAFETY: it was taken from this instance, which has not run since.
            unsafe { frozen.put_back(image, self.module.models()) };
        }
    }
}

/// A frozen instance must be restored before it is dropped, because its fiber is then resumed once more, to unwind.
impl Drop for Runner {
    fn drop(&mut self) {
        self.thaw();
        // Only memory that is gone is paid back: others fill that room at once.
        self.drive = Box::pin(std::future::ready(()));
        self.seat.pay_back();
    }
}

/// Compiles a module for a layout on another thread, before it is needed, unless this has already been arranged.
pub(crate) fn prepare(kernel: &Arc<Kernel>, module: &Arc<Module>, layout: Layout) {
    if !module.claim_preparation() {
        return;
    }
    // If this fails, it fails again where it is needed, and is reported there. That also happens if there is no thread:
    // asked for one, tokio would panic.
    let (shared, module) = (kernel.clone(), module.clone());
    let compile = Box::new(move || drop(module.pre(&shared.host, layout).map(drop)));
    drop(kernel.machine().spawn("lunatic-prepare".into(), compile));
}
