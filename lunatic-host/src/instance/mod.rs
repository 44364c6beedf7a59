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
use smallvec::SmallVec;
use wasmtime::{AsContext, AsContextMut, Caller, Global, Instance, Memory, Store, TypedFunc, UpdateDeadline};

use self::arena::ArenaError;
use self::frozen::Frozen;
use self::image::Reset;
use self::limits::Limits;
use self::memory::MemoryError;
use self::stack::Stacks;
use crate::compat::State;
use crate::ending::Ending;
use crate::engine::Layout;
use crate::imports::signal::UsedConfig;
use crate::imports::wasi::ProcessWasi;
use crate::module::Module;
use crate::module::facts::{GATE_EXPORT, RUN_EXPORT, STARTUP_EXPORT};
use crate::process::exit::ExitReason;
use crate::process::id::{Checked, Id};
use crate::process::{Call, Captured, Entry, Process};
use crate::rights::Rights;
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
    checked: [Checked; 2],
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
    process: Option<Arc<Process>>,
    seat: Arc<Seat>,
    /// The entry of the process that begins, for `lunatic:run`.
    entry: Option<u32>,
    /// Set while `lunatic:run` itself, and not the guest, calls `next`.
    gate: Option<Global>,
    reset: Option<Reset>,
    pub(crate) limits: Limits,
    wasi: Option<Box<ProcessWasi>>,
}

impl Ctx {
    fn new(shared: Arc<Shared>, seat: Arc<Seat>) -> Self {
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

    /// The engine's epoch has advanced: the process gives way, unless it began to run only after that.
    fn slice_over(&self) -> UpdateDeadline {
        if !self.has_used_slice() {
            return UpdateDeadline::Continue(1);
        }
        self.seat.preempted.store(true, Ordering::Relaxed);
        UpdateDeadline::Yield(1)
    }

    fn has_used_slice(&self) -> bool {
        self.seat.slice.load(Ordering::Relaxed) != self.shared.clock.slices()
    }

    fn begin(&mut self, process: Arc<Process>, entry: Entry) -> Option<Called> {
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
    fn end(&mut self, reason: ExitReason) {
        self.release();
        self.seat.seat(None);
        if let Some(process) = self.process.take() {
            self.shared.end(&process, reason);
        }
    }

    /// Lets go of everything the process owned.
    fn release(&mut self) {
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
        let drive = Box::pin(drive(shared.clone(), module.clone(), layout, seat.clone()));
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

/// Runs one process after another in one instance, for as long as it can be used again.
async fn drive(shared: Arc<Shared>, module: Arc<Module>, mut layout: Layout, seat: Arc<Seat>) {
    let mut store = new_store(&shared, layout, Ctx::new(shared.clone(), seat.clone()));
    let mut running: Option<Running> = None;
    let mut made = Ok(());
    if seat.ahead.load(Ordering::Relaxed) {
        store.data_mut().limits.begin_ahead();
        let Ok(instance) = Box::pin(make(&shared, &mut store, &module, &mut layout)).await else {
            return;
        };
        running = Some(instance);
    }
    loop {
        let (process, entry) = Seated(&seat).await;
        let fuel = process.rights.fuel;
        let called = store.data_mut().begin(process, entry);
        if layout == Layout::Metered {
            let filled = store.set_fuel(fuel.unwrap_or(u64::MAX));
            filled.expect("code of this layout counts its instructions");
        }
        // A fresh instance is charged for when its memory is made.
        let memory = store.data().memory.map_or(0, |memory| memory.data_size(&store));
        let charged = store.data_mut().limits.admit(memory);
        if charged.is_ok() && running.is_none() {
            // Boxed: what a waiting process holds would else have room for what making an instance takes.
            made = Box::pin(make(&shared, &mut store, &module, &mut layout))
                .await
                .map(|instance| running = Some(instance));
        }
        let result = match &running {
            _ if charged.is_err() => charged.map_err(wasmtime::Error::msg),
            Some(instance) => instance.call(&mut store, called.as_ref()).await,
            None => std::mem::replace(&mut made, Ok(())),
        };
        let is_export = matches!(called, Some(Called::Export(_)));
        let used_up = result.is_err() || is_export || layout == Layout::Metered || !can_be_fresh(&store);
        let ctx = store.data_mut();
        if let Some(process) = ctx.process.clone() {
            let panic = ctx.wasi.as_ref().map(|wasi| wasi.panic.clone());
            let ending = Ending::of(&process, &module, result, panic, ctx.limits.out_of_memory);
            // What the process wrote comes before what is said about it.
            process.system.process_ends(process.id);
            ctx.release();
            ctx.end(ending.publish(&process));
        }
        if used_up {
            return;
        }
    }
}

/// Makes an instance in the store, in another layout if the machine has no room for this one.
async fn make(
    shared: &Shared,
    store: &mut Store<Ctx>,
    module: &Arc<Module>,
    layout: &mut Layout,
) -> wasmtime::Result<Running> {
    let mut made = Running::make(store, module, *layout).await;
    if *layout == Layout::Fast && matches!(made, Err((_, Some(Lack::Machine(_))))) {
        shared.engines.fast_is_refused();
        *layout = Layout::Dense;
        let ctx = Ctx::new(store.data().shared.clone(), store.data().seat.clone());
        let ctx = std::mem::replace(store.data_mut(), ctx);
        *store = new_store(shared, *layout, ctx);
        made = Running::make(store, module, *layout).await;
    }
    made.map_err(|(error, lack)| not_made(store.data_mut(), error, lack))
}

/// What is called in an instance, unless it is closures.
enum Called {
    Export(Box<str>),
    With(Box<Call>),
}

fn new_store(shared: &Shared, layout: Layout, ctx: Ctx) -> Store<Ctx> {
    let mut store = Store::new(shared.engines.engine(layout), ctx);
    store.limiter(|ctx| &mut ctx.limits);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|ctx| Ok(ctx.data().slice_over()));
    store
}

/// What was lacking when an instance could not be made.
#[derive(Debug, PartialEq, Eq)]
enum Lack {
    /// Address space, kernel maps or memory of the machine; in words.
    Machine(String),
    /// What all memories together may have.
    Budget,
}

impl Lack {
    /// `None` if it failed for another reason. To be asked by the thread that tried, once.
    fn of(error: &wasmtime::Error) -> Option<Self> {
        match memory::take_refusal() {
            Some(MemoryError::Arena(error)) => Some(Self::Machine(error.to_string())),
            Some(MemoryError::Budget { .. }) => Some(Self::Budget),
            _ => error
                .downcast_ref::<ArenaError>()
                .map(|error| Self::Machine(error.to_string())),
        }
    }
}

/// An instance could not be made. If that was for lack of memory, the process is out of it, and if the machine has no more,
/// who spawns is told.
fn not_made(ctx: &mut Ctx, error: wasmtime::Error, lack: Option<Lack>) -> wasmtime::Error {
    ctx.limits.out_of_memory |= lack.is_some();
    if let Some(Lack::Machine(what)) = lack {
        ctx.shared.shortage.note(&what, ctx.shared.clock.slices());
    }
    error.context("could not make the instance")
}

/// An instance and what of it is called.
struct Running {
    instance: Instance,
    run: Option<TypedFunc<(), ()>>,
    /// What a libc does before `main`; `_start` and `run` see to it by themselves.
    startup: Option<TypedFunc<(), ()>>,
}

impl Running {
    /// [`new`](Self::new), with what was lacking if it fails for that.
    async fn make(
        store: &mut Store<Ctx>,
        module: &Arc<Module>,
        layout: Layout,
    ) -> Result<Self, (wasmtime::Error, Option<Lack>)> {
        Self::new(store, module, layout).await.map_err(|error| {
            let lack = Lack::of(&error);
            (error, lack)
        })
    }

    async fn new(store: &mut Store<Ctx>, module: &Arc<Module>, layout: Layout) -> wasmtime::Result<Self> {
        if let Some(image) = module.image.get() {
            memory::expect_data(image.span());
        }
        let instance = module
            .pre(&store.data().shared, layout)?
            .instantiate_async(&mut *store)
            .await?;
        let memory = instance.get_memory(&mut *store, "memory");
        let gate = instance.get_global(&mut *store, GATE_EXPORT);
        store.data_mut().memory = memory;
        note_memory(&mut *store);
        store.data_mut().gate = gate;
        store.data_mut().started = true;
        if let (Some(memory), Ok(())) = (memory, &module.facts.recyclable) {
            let reset = Reset::new(&mut *store, &instance, memory, module)?;
            store.data_mut().reset = Some(reset);
        }
        let run = instance.get_typed_func(&mut *store, RUN_EXPORT).ok();
        let startup = instance.get_typed_func(&mut *store, STARTUP_EXPORT).ok();
        Ok(Self { instance, run, startup })
    }

    async fn call_export(&self, store: &mut Store<Ctx>, called: &Called) -> wasmtime::Result<()> {
        // Another process may have ended in it: the main process of a system can get a used instance, too.
        make_fresh(&mut *store)?;
        match called {
            Called::With(call) => {
                self.start_up(store, &call.name).await?;
                arguments::call(store, &self.instance, call).await
            }
            Called::Export(name) => {
                self.start_up(store, name).await?;
                let function = self.instance.get_typed_func::<(), ()>(&mut *store, name)?;
                function.call_async(store, ()).await
            }
        }
    }

    async fn start_up(&self, store: &mut Store<Ctx>, name: &str) -> wasmtime::Result<()> {
        match self.startup.as_ref().filter(|_| name != "_start") {
            Some(startup) => startup.call_async(store, ()).await,
            None => Ok(()),
        }
    }

    /// Runs the seated process, and those that follow it without leaving the instance.
    async fn call(&self, store: &mut Store<Ctx>, called: Option<&Called>) -> wasmtime::Result<()> {
        match (called, &self.run) {
            // Boxed, as above: most processes are closures.
            (Some(called), _) => Box::pin(self.call_export(store, called)).await,
            (None, Some(run)) => {
                make_fresh(&mut *store)?;
                run.call_async(store, ()).await
            }
            (None, None) => Err(wasmtime::Error::msg(
                "the module cannot spawn closures: it does not import lunatic::process::next",
            )),
        }
    }
}

/// Writes down where the memory is, for when the process is frozen.
fn note_memory(mut store: impl AsContextMut<Data = Ctx>) {
    let mut store = store.as_context_mut();
    let Some(memory) = store.data().memory else { return };
    let (base, len) = (memory.data_ptr(&store).addr(), memory.data_size(&store));
    store.data_mut().limits.grown = false;
    *store.data().seat.memory.lock() = base..base + len;
}

/// To be called on the process's stack before it blocks: writes down where that is.
pub(crate) fn note_place(mut store: impl AsContextMut<Data = Ctx>) {
    let mut store = store.as_context_mut();
    if store.data().limits.grown {
        note_memory(&mut store);
    }
    let here = 0_u8;
    let here = std::ptr::from_ref(&here).addr();
    store.data().seat.stack.store(here, Ordering::Relaxed);
}

/// True if [`make_fresh`] can make the instance what it was at first.
fn can_be_fresh(store: impl AsContext<Data = Ctx>) -> bool {
    let store = store.as_context();
    store.data().reset.as_ref().is_some_and(|reset| reset.still_fits(store))
}

/// Makes a used instance fresh again.
fn make_fresh(mut store: impl AsContextMut<Data = Ctx>) -> wasmtime::Result<()> {
    let Some(mut reset) = store.as_context_mut().data_mut().reset.take() else {
        return Ok(());
    };
    let moved = store.as_context().data().seat.moved.swap(false, Ordering::Relaxed);
    let result = reset.make_fresh(&mut store, moved);
    store.as_context_mut().data_mut().reset = Some(reset);
    result
}

/// The import `lunatic::process::next`: the table index of the next entry to call, or -1 to leave `lunatic:run`.
pub(crate) fn next(mut caller: Caller<'_, Ctx>) -> wasmtime::Result<i32> {
    let Some(gate) = caller.data().gate else { return Ok(-1) };
    if gate.get(&mut caller).i32() != Some(1) {
        return Ok(-1);
    }
    if let Some(entry) = caller.data_mut().entry.take() {
        return table_index(entry);
    }
    let ctx = caller.data_mut();
    let module = ctx.process().module.clone();
    let has_budget = is_limited(&ctx.process().rights);
    ctx.end(ExitReason::Normal);
    // What a budget is charged for time is measured around all that an instance runs without being left.
    if has_budget || ctx.has_used_slice() || !can_be_fresh(&caller) {
        return Ok(-1);
    }
    let Some(process) = caller.data().shared.scheduler.next_fresh(&module) else {
        return Ok(-1);
    };
    let entry = if is_limited(&process.rights) {
        None
    } else {
        process.take_fresh_closure()
    };
    let Some(Entry::Closure(index, captured)) = entry else {
        // It begins otherwise: a worker will see to it.
        caller.data().shared.scheduler.requeue(process);
        return Ok(-1);
    };
    process.set_running(caller.data().shared.clock.slices());
    let ctx = caller.data_mut();
    ctx.seat.seat(Some(process.clone()));
    ctx.begin(process, Entry::Closure(index, captured));
    ctx.entry = None;
    make_fresh(&mut caller)?;
    table_index(index)
}

/// Whether what the process computes is limited: then it has an instance of its own.
fn is_limited(rights: &Rights) -> bool {
    rights.budget.is_some() || rights.fuel.is_some()
}

/// What `lunatic:run` is to call. -1 would end it, and is the index of no function in any table.
fn table_index(entry: u32) -> wasmtime::Result<i32> {
    if entry == u32::MAX {
        Err(wasmtime::Trap::TableOutOfBounds.into())
    } else {
        Ok(entry as i32)
    }
}
