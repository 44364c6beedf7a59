//! The coroutine of a runner: makes the instance, runs one process after another in it, and resets it in between.

use std::sync::Arc;

use lunatic_kernel::exit::ExitReason;
use lunatic_memory::{ArenaError, MemoryError, Pages};
use lunatic_module::facts::{GATE_EXPORT, RUN_EXPORT, STARTUP_EXPORT};
use wasmtime::{AsContext, AsContextMut, Caller, Instance, Store, StoreContextMut, TypedFunc};

use super::dump::{self, Parts};
use super::image::Reset;
use super::limits::{KEPT_MEMORY_MAX, Payment};
use super::seat::{Seat, Seated};
use super::window::Window;
use super::{Ctx, KEPT_PAGES_MAX, arguments};
use crate::ending::{Ending, Obituary};
use crate::engine::Layout;
use crate::module::Module;
use crate::report::PanicCapture;
use crate::request::Request;
use crate::rights::Rights;
use crate::wasm::{Call, Entry, Kernel, Named, Process};

/// Runs one process after another in one instance, for as long as it can be reused.
pub(super) async fn drive(kernel: Arc<Kernel>, module: Arc<Module>, mut layout: Layout, seat: Arc<Seat>) {
    let mut store = new_store(&kernel, layout, Ctx::new(kernel.clone(), module.clone(), seat.clone()));
    let mut running: Option<Running> = None;
    let mut made = Ok(());
    if seat.is_made_ahead() {
        // It belongs to no process yet: the first process that gets the instance is charged for it.
        store.data_mut().limits.begin_ahead();
        let Ok(instance) = Box::pin(make(&kernel, &mut store, &module, &mut layout)).await else {
            return;
        };
        running = Some(instance);
    }
    loop {
        let (process, entry) = Seated(&seat).await;
        let left = seat.with_left(|left| left.fuel());
        let fuel = left.flatten().or(process.local.rights.fuel);
        let called = store.data_mut().begin(process, entry);
        store.data_mut().on_trial = left.is_some();
        if layout == Layout::Metered {
            let filled = store.set_fuel(fuel.unwrap_or(u64::MAX));
            filled.expect("code of this layout counts its instructions");
        }
        // A fresh instance is charged for when its memory is made.
        let memory = store.data().memory.map_or(0, |memory| memory.data_size(&store));
        let charged = store.data_mut().limits.admit(memory, module.facts().instance_size);
        store.data().process().local.set_memory(memory);
        if charged.is_ok() && running.is_none() {
            // Boxed: otherwise, every waiting process would hold the space that making an instance takes.
            made = Box::pin(make(&kernel, &mut store, &module, &mut layout))
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
        note_fuel(&store);
        let ctx = store.data_mut();
        if ctx.on_trial {
            // The process continues in its former instance.
            let panic = ctx.find_state::<PanicCapture>().cloned();
            let why = Ending::of(&module, result, panic, ctx.limits.out_of_memory).before_accepting();
            ctx.seat.with_left(|left| left.refuse(why));
            return;
        }
        // There is none if `next` has ended it and has found no other to continue with.
        let ended = finish(ctx, &kernel, &module, result);
        if !used_up {
            ended.into_iter().for_each(|ended| ended.tell(&kernel));
            continue;
        }
        let Some(mut ended) = ended else { return };
        let Some(obituary) = ended.obituary.take() else {
            return ended.tell_after(&kernel, store);
        };
        ended.tell(&kernel);
        let parts = running.map(|running| running.parts(&mut store, &module));
        return dump::write_later(
            kernel.machine(),
            store,
            parts.unwrap_or_default(),
            move |globals, memory| obituary.write(globals, memory),
        );
    }
}

/// A process that has left its instance, and of whose end nobody knows yet.
pub(super) struct Ended {
    process: Arc<Process>,
    reason: ExitReason,
    paid: Payment,
    /// What a dump needs, if there must be one.
    pub(super) obituary: Option<Obituary>,
}

impl Ended {
    /// Pays the process back for its memory, and notifies the others.
    pub(super) fn tell(self, kernel: &Arc<Kernel>) {
        drop(self.paid);
        kernel.end(&self.process, self.reason);
    }

    /// The same, and drops the store; if its memory is large, before that: otherwise others would fill the same room while
    /// the pages are still there.
    pub(super) fn tell_after(self, kernel: &Arc<Kernel>, store: Store<Ctx>) {
        let _small = (!self.paid.is_large()).then_some(store);
        self.tell(kernel);
    }
}

/// Takes the process whose call returned `result` out of its instance.
pub(super) fn finish(
    ctx: &mut Ctx,
    kernel: &Kernel,
    module: &Arc<Module>,
    result: wasmtime::Result<()>,
) -> Option<Ended> {
    let process = ctx.process.clone()?;
    // Taken first: leaving drops it.
    let panic = ctx.find_state::<PanicCapture>().cloned();
    let ending = Ending::of(module, result, panic, ctx.limits.out_of_memory);
    // The output of the process comes before reports about it.
    process.system.process_ends(process.id);
    let paid = ctx.leave();
    let (reason, obituary) = ending.publish(kernel, &process);
    Some(Ended {
        process,
        reason,
        paid,
        obituary,
    })
}

/// Makes an instance in the store, in another layout if the machine has no room for this one.
async fn make(
    kernel: &Kernel,
    store: &mut Store<Ctx>,
    module: &Arc<Module>,
    layout: &mut Layout,
) -> wasmtime::Result<Running> {
    let mut made = Running::make(store, module, *layout).await;
    if *layout == Layout::Fast && matches!(made, Err((_, Some(Lack::Machine(_))))) {
        kernel.host.engines.fast_is_refused();
        *layout = Layout::Dense;
        let ctx = store.data();
        let ctx = Ctx::new(ctx.kernel.clone(), ctx.module.clone(), ctx.seat.clone());
        let mut ctx = std::mem::replace(store.data_mut(), ctx);
        // They belong to the former store.
        (ctx.memory, ctx.window) = (None, Window::default());
        ctx.limits.forget_instance();
        *store = new_store(kernel, *layout, ctx);
        made = Running::make(store, module, *layout).await;
    }
    made.map_err(|(error, lack)| not_made(store.data_mut(), error, lack))
}

/// What is called in an instance, other than closures.
pub(super) enum Called {
    Export(Box<str>),
    With(Box<Call>),
    Named(Box<Named>),
    Request(Box<Request>),
}

/// Called when the time slice of a process is over, on the stack of the computing code, which it can inspect.
pub(crate) type AtSliceEnd = fn(&StoreContextMut<'_, Ctx>);

pub(super) fn new_store(kernel: &Kernel, layout: Layout, ctx: Ctx) -> Store<Ctx> {
    let mut store = Store::new(kernel.host.engines.engine(layout), ctx);
    store.limiter(|ctx| ctx);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(|ctx| {
        for call in ctx.data().kernel.host.at_slice_end {
            call(&ctx);
        }
        note_fuel(&ctx);
        Ok(ctx.data().slice_over())
    });
    store
}

/// What was lacking when an instance could not be made.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Lack {
    /// Address space, kernel maps or memory of the machine; in words.
    Machine(String),
    /// The limit of all memories together.
    Budget,
}

impl Lack {
    /// `None` if it failed for another reason. Call this once, on the thread that tried.
    pub(super) fn of(error: &wasmtime::Error) -> Option<Self> {
        match lunatic_memory::take_refusal() {
            Some(MemoryError::Arena(error)) => Some(Self::Machine(error.to_string())),
            Some(MemoryError::Budget { .. }) => Some(Self::Budget),
            _ => error
                .downcast_ref::<ArenaError>()
                .map(|error| Self::Machine(error.to_string())),
        }
    }
}

/// Handles an instance that could not be made. If memory was lacking, the process is out of memory; if the machine has
/// no more, spawners are notified.
pub(super) fn not_made(ctx: &mut Ctx, error: wasmtime::Error, lack: Option<Lack>) -> wasmtime::Error {
    ctx.limits.out_of_memory |= lack.is_some();
    if let Some(Lack::Machine(what)) = lack {
        ctx.kernel.host.shortage.note(&what, ctx.kernel.slices());
    }
    error.context("could not make the instance")
}

/// An instance and its functions that are called.
struct Running {
    instance: Instance,
    run: Option<TypedFunc<(), ()>>,
    /// The start-up code of a libc; `_start` and `run` call it by themselves.
    startup: Option<TypedFunc<(), ()>>,
}

impl Running {
    /// [`new`](Self::new), with what was lacking if it fails for that reason.
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
        let (kernel, process) = (store.data().kernel.clone(), store.data().process.clone());
        let pre = module.pre_for(&kernel, process.as_ref(), layout).await?.module()?;
        if let Some(image) = module.image() {
            // These pages are written immediately, and each would otherwise cause a page fault.
            lunatic_memory::expect_data(image.span());
        }
        let instance = pre.instantiate_async(&mut *store).await?;
        let memory = instance.get_memory(&mut *store, "memory");
        let gate = instance.get_global(&mut *store, GATE_EXPORT);
        store.data_mut().memory = memory;
        note_memory(&mut *store);
        store.data_mut().gate = gate;
        store.data_mut().started = true;
        if let (Some(memory), Ok(())) = (memory, &module.facts().recyclable) {
            let reset = Reset::new(
                &mut *store,
                &instance,
                memory,
                &module.facts().globals,
                module.image_cell(),
            )?;
            store.data_mut().reset = Some(reset);
        }
        let run = instance.get_typed_func(&mut *store, RUN_EXPORT).ok();
        let startup = instance.get_typed_func(&mut *store, STARTUP_EXPORT).ok();
        Ok(Self { instance, run, startup })
    }

    /// The parts that a dump contains.
    fn parts(&self, mut store: impl AsContextMut<Data = Ctx>, module: &Module) -> Parts {
        let names = module.facts().globals.iter();
        let globals = names.filter_map(|name| self.instance.get_global(&mut store, name));
        Parts {
            globals: globals.collect(),
            memory: store.as_context().data().memory,
        }
    }

    async fn call_export(&self, store: &mut Store<Ctx>, called: &Called) -> wasmtime::Result<()> {
        // Another process may have ended in it: even the main process of a system can get a used instance.
        make_fresh(&mut *store)?;
        match called {
            Called::With(call) => {
                self.start_up(store, &call.name).await?;
                arguments::call(store, &self.instance, call).await
            }
            Called::Named(_) => Err(wasmtime::Error::msg(
                "a process of a core module begins with a function",
            )),
            Called::Request(_) => Err(wasmtime::Error::msg("a core module has no handler of requests")),
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
                "the module cannot spawn closures: it does not import lunatic::process::next, or has no table of functions; \
                 linkers and optimizers drop both where no code uses them",
            )),
        }
    }
}

/// Records where the memory is, for host functions and for freezing the process.
pub(crate) fn note_memory(mut store: impl AsContextMut<Data = Ctx>) {
    let mut store = store.as_context_mut();
    let Some(memory) = store.data().memory else { return };
    let (base, len) = (memory.data_ptr(&store), memory.data_size(&store));
    let ctx = store.data_mut();
    ctx.limits.grown = false;
    ctx.window = Window::new(base, len);
    ctx.seat.set_memory(base.addr()..base.addr() + len);
}

/// Records how many instructions an instance on trial has left: if it does not accept, the process has used the others.
fn note_fuel(store: impl AsContext<Data = Ctx>) {
    let store = store.as_context();
    if store.data().on_trial
        && let Ok(left) = store.get_fuel()
    {
        store.data().seat.with_left(|change| change.note_fuel(left));
    }
}

/// Records the position on the stack. Must be called on the process's stack before it blocks.
pub(crate) fn note_place(mut store: impl AsContextMut<Data = Ctx>) {
    let mut store = store.as_context_mut();
    if store.data().limits.grown {
        note_memory(&mut store);
    }
    let here = 0_u8;
    let here = std::ptr::from_ref(&here).addr();
    store.data().seat.set_stack(here);
    note_fuel(&store);
    if let Some(process) = &store.data().process {
        process.local.places.set_stack(here);
    }
}

/// Whether [`make_fresh`] can reset the instance.
fn can_be_fresh(store: impl AsContext<Data = Ctx>) -> bool {
    let store = store.as_context();
    store.data().reset.as_ref().is_some_and(|reset| reset.still_fits(store))
}

/// Resets a used instance.
fn make_fresh(mut store: impl AsContextMut<Data = Ctx>) -> wasmtime::Result<()> {
    let Some(mut reset) = store.as_context_mut().data_mut().reset.take() else {
        return Ok(());
    };
    let moved = store.as_context().data().seat.take_moved();
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
    if ctx.on_trial {
        return Ok(-1);
    }
    let module = ctx.module.clone();
    let has_budget = is_limited(&ctx.process().local.rights);
    if has_budget {
        empty(&mut caller);
    }
    let ctx = caller.data_mut();
    ctx.end(ExitReason::Normal);
    // The time that a budget is charged for is measured around everything that an instance runs until it is left.
    if has_budget || ctx.has_used_slice() || !can_be_fresh(&caller) {
        return Ok(-1);
    }
    let Some(process) = caller.data().kernel.next_fresh(|next| next.local.code.is_of(&module)) else {
        return Ok(-1);
    };
    let entry = if is_limited(&process.local.rights) {
        None
    } else {
        // SAFETY: `next_fresh` has claimed the process.
        unsafe { process.take_fresh(|entry| matches!(entry, Entry::Closure(..))) }
    };
    let Some(Entry::Closure(index, captured)) = entry else {
        // It has another kind of entry: a worker will take care of it.
        caller.data().kernel.leave_fresh(process);
        return Ok(-1);
    };
    caller.data().kernel.runs(&process);
    let ctx = caller.data_mut();
    ctx.seat.seat(Some(process.clone()));
    ctx.begin(process, Entry::Closure(index, captured));
    ctx.entry = None;
    make_fresh(&mut caller)?;
    table_index(index)
}

/// Gives the pages of a large memory back to the operating system: whoever has paid for them is paid back next.
fn empty(mut store: impl AsContextMut<Data = Ctx>) {
    let mut store = store.as_context_mut();
    let Some(memory) = store.data().memory else { return };
    if memory.data_size(&store) <= KEPT_MEMORY_MAX {
        return;
    }
    // Up to a number of pages, the next process costs less if they stay.
    let pages = Pages::of(memory.data_mut(&mut store));
    if let Some(mut pages) = pages.filter(|pages| pages.resident().count() > KEPT_PAGES_MAX) {
        pages.release();
    }
}

/// Whether the computation of the process is limited: then it has an instance of its own.
fn is_limited(rights: &Rights) -> bool {
    rights.budget.is_some() || rights.fuel.is_some()
}

/// The index for `lunatic:run` to call. -1 would end the loop; it is never the index of a function.
fn table_index(entry: u32) -> wasmtime::Result<i32> {
    if entry == u32::MAX {
        Err(wasmtime::Trap::TableOutOfBounds.into())
    } else {
        Ok(entry as i32)
    }
}
