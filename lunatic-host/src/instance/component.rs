//! The coroutine of a runner for components: makes an instance for one process, and runs the program in it, what a process
//! of the component has spawned, or the handler of an HTTP request.
//!
//! An instance of a component is never used for a second process. What else the process is made of is the same as for a
//! core module: its context, its limits, its time slices, and how it ends.

use std::sync::Arc;

use lunatic_module::rewrite::component::ENGINE_HANDLES_MAX;
use wasmtime::Store;
use wasmtime::component::{Instance, TypedFunc};
use wasmtime_wasi::I32Exit;
use wasmtime_wasi::p2::bindings::Command;
use wasmtime_wasi_http::p2::bindings::Proxy;

use super::drive::{Called, Lack, finish, new_store, not_made};
use super::dump::{self, Parts};
use super::seat::{Seat, Seated};
use super::{Ctx, Driven};
use crate::engine::Layout;
use crate::module::Module;
use crate::request::Request;
use crate::wasm::{Kernel, Named};

/// The most bytes that a process passes to one call. The engine copies them before the call begins, without a pause, which
/// takes about a millisecond.
const PASSED_MAX: usize = 4 << 20;

/// The interface that a component exports to be spawned by its own processes, and its function.
const ENTRY: (&str, &str) = ("lunatic:process/entry@0.1.0", "run");

/// What a process of a component runs.
enum Begins {
    Program,
    Named(Box<Named>),
    Request(Box<Request>),
}

/// Which instance that takes.
#[derive(Clone, Copy)]
enum Kind {
    Program,
    Spawned,
    Handler,
}

impl Begins {
    fn of(called: Option<Called>) -> wasmtime::Result<Self> {
        match called {
            Some(Called::Export(_)) => Ok(Self::Program),
            Some(Called::Named(named)) => Ok(Self::Named(named)),
            Some(Called::Request(request)) => Ok(Self::Request(request)),
            Some(Called::With(_)) | None => Err(wasmtime::Error::msg(
                "a process of a component begins with its program, or with its `lunatic:process/entry`",
            )),
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Program => Kind::Program,
            Self::Named(_) => Kind::Spawned,
            Self::Request(_) => Kind::Handler,
        }
    }
}

/// The coroutine, which runs one process.
pub(crate) fn driven(kernel: Arc<Kernel>, module: Arc<Module>, layout: Layout, seat: Arc<Seat>) -> Driven {
    Box::pin(drive(kernel, module, layout, seat))
}

async fn drive(kernel: Arc<Kernel>, module: Arc<Module>, mut layout: Layout, seat: Arc<Seat>) {
    let mut store = new_component_store(&kernel, layout, Ctx::new(kernel.clone(), module.clone(), seat.clone()));
    let (process, entry) = Seated(&seat).await;
    let fuel = process.local.rights.fuel;
    let called = store.data_mut().begin(process, entry);
    let charged = store.data_mut().limits.admit(0, module.facts().instance_size);
    let result = match (charged, Begins::of(called)) {
        (Ok(()), Ok(begins)) => Box::pin(run(&kernel, &mut store, &module, &mut layout, (fuel, begins))).await,
        (Err(error), _) => Err(wasmtime::Error::msg(error)),
        (_, Err(error)) => Err(error),
    };
    let Some(mut ended) = finish(store.data_mut(), &kernel, &module, result) else {
        return;
    };
    let Some(obituary) = ended.obituary.take() else {
        return ended.tell_after(&kernel, store);
    };
    ended.tell(&kernel);
    dump::write_later(kernel.machine(), store, Parts::default(), move |globals, memory| {
        obituary.write(globals, memory)
    });
}

fn new_component_store(kernel: &Kernel, layout: Layout, ctx: Ctx) -> Store<Ctx> {
    let mut store = new_store(kernel, layout, ctx);
    store.set_max_component_handles(ENGINE_HANDLES_MAX);
    store.set_hostcall_fuel(PASSED_MAX);
    store
}

/// Makes the instance, and runs the program, what was spawned by name, or the handler.
async fn run(
    kernel: &Arc<Kernel>,
    store: &mut Store<Ctx>,
    module: &Arc<Module>,
    layout: &mut Layout,
    (fuel, begins): (Option<u64>, Begins),
) -> wasmtime::Result<()> {
    let kind = begins.kind();
    let mut made = make(kernel, store, module, *layout, (fuel, kind)).await;
    if *layout == Layout::Fast && matches!(made, Err((_, Some(Lack::Machine(_))))) {
        kernel.host.engines.fast_is_refused();
        *layout = Layout::Dense;
        let ctx = store.data();
        let empty = Ctx::new(ctx.kernel.clone(), ctx.module.clone(), ctx.seat.clone());
        let mut ctx = std::mem::replace(store.data_mut(), empty);
        ctx.limits.forget_instance();
        *store = new_component_store(kernel, *layout, ctx);
        made = make(kernel, store, module, *layout, (fuel, kind)).await;
    }
    let made = made.map_err(|(error, lack)| not_made(store.data_mut(), error, lack))?;
    store.data_mut().started = true;
    let ended = match (made, begins) {
        (Made::Program(program), _) => program.wasi_cli_run().call_run(&mut *store).await?,
        (Made::Spawned(instance), Begins::Named(named)) => {
            let Named { name, argument } = *named;
            let run = entry(&mut *store, &instance)?;
            run.call_async(&mut *store, (name, argument)).await?.0
        }
        (Made::Handler(handler), Begins::Request(request)) => return answer(kernel, store, &handler, *request).await,
        (Made::Spawned(_) | Made::Handler(_), _) => unreachable!("it was made for what the process begins with"),
    };
    ended.map_err(|()| I32Exit(1).into())
}

/// An instance, and what is called in it.
enum Made {
    Program(Command),
    Spawned(Instance),
    Handler(Proxy),
}

/// The function for processes that a process of the component has spawned.
type SpawnedRun = TypedFunc<(Box<str>, Vec<u8>), (Result<(), ()>,)>;

/// Finds the exported function for spawned processes.
fn entry(store: &mut Store<Ctx>, instance: &Instance) -> wasmtime::Result<SpawnedRun> {
    let (interface, function) = ENTRY;
    let exported = instance.get_export_index(&mut *store, None, interface);
    let index = exported.and_then(|interface| instance.get_export_index(&mut *store, Some(&interface), function));
    match index {
        Some(index) => instance.get_typed_func(&mut *store, index),
        None => Err(wasmtime::Error::msg(format!(
            "the component exports no `{interface}`, which its spawned processes begin with"
        ))),
    }
}

/// Calls the handler, which must answer the request.
async fn answer(kernel: &Kernel, store: &mut Store<Ctx>, handler: &Proxy, request: Request) -> wasmtime::Result<()> {
    let requests = kernel.host.requests;
    let (request, place) = (requests.begin)(store.data_mut(), request)?;
    let handler = handler.wasi_http_incoming_handler();
    handler.call_handle(&mut *store, request, place).await?;
    match (requests.is_answered)(store.data_mut()) {
        true => Ok(()),
        false => Err(wasmtime::Error::msg("the handler returned without an answer")),
    }
}

async fn make(
    kernel: &Arc<Kernel>,
    store: &mut Store<Ctx>,
    module: &Arc<Module>,
    layout: Layout,
    (fuel, kind): (Option<u64>, Kind),
) -> Result<Made, (wasmtime::Error, Option<Lack>)> {
    let made = async {
        if layout == Layout::Metered {
            store.set_fuel(fuel.unwrap_or(u64::MAX))?;
        }
        let process = store.data().process.clone();
        let pre = module.pre_for(kernel, process.as_ref(), layout).await?;
        Ok(match kind {
            Kind::Program => Made::Program(pre.component()?.instantiate_async(&mut *store).await?),
            Kind::Spawned => Made::Spawned(pre.instance()?.instantiate_async(&mut *store).await?),
            Kind::Handler => Made::Handler(pre.handler()?.instantiate_async(&mut *store).await?),
        })
    };
    made.await.map_err(|error| {
        let lack = Lack::of(&error);
        (error, lack)
    })
}
