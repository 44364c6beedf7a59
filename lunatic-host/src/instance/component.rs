//! The coroutine of a runner for components: makes an instance for one process, and runs the program in it, or what a
//! process of the component has spawned.
//!
//! An instance of a component is never used for a second process. What else the process is made of is the same as for a
//! core module: its context, its limits, its time slices, and how it ends.

use std::sync::Arc;

use lunatic_module::rewrite::component::ENGINE_HANDLES_MAX;
use wasmtime::Store;
use wasmtime::component::{Instance, TypedFunc};
use wasmtime_wasi::I32Exit;
use wasmtime_wasi::p2::bindings::Command;

use super::drive::{Called, Lack, finish, new_store, not_made};
use super::dump::{self, Parts};
use super::seat::{Seat, Seated};
use super::{Ctx, Driven};
use crate::engine::Layout;
use crate::module::Module;
use crate::wasm::{Kernel, Named};

/// The most bytes that a process passes to one call. The engine copies them before the call begins, without a pause, which
/// takes about a millisecond.
const PASSED_MAX: usize = 4 << 20;

/// The interface that a component exports to be spawned by its own processes, and its function.
const ENTRY: (&str, &str) = ("lunatic:process/entry@0.1.0", "run");

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
    let named = match called {
        Some(Called::Export(_)) => Ok(None),
        Some(Called::Named(named)) => Ok(Some(named)),
        _ => Err(wasmtime::Error::msg(
            "a process of a component begins with its program, or with its `lunatic:process/entry`",
        )),
    };
    let result = match (charged, named) {
        (Ok(()), Ok(named)) => Box::pin(run(&kernel, &mut store, &module, &mut layout, (fuel, named))).await,
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

/// Makes the instance, and runs the program, or what was spawned by name.
async fn run(
    kernel: &Arc<Kernel>,
    store: &mut Store<Ctx>,
    module: &Arc<Module>,
    layout: &mut Layout,
    (fuel, named): (Option<u64>, Option<Box<Named>>),
) -> wasmtime::Result<()> {
    let is_named = named.is_some();
    let mut made = make(kernel, store, module, *layout, (fuel, is_named)).await;
    if *layout == Layout::Fast && matches!(made, Err((_, Some(Lack::Machine(_))))) {
        kernel.host.engines.fast_is_refused();
        *layout = Layout::Dense;
        let ctx = store.data();
        let empty = Ctx::new(ctx.kernel.clone(), ctx.module.clone(), ctx.seat.clone());
        let mut ctx = std::mem::replace(store.data_mut(), empty);
        ctx.limits.forget_instance();
        *store = new_component_store(kernel, *layout, ctx);
        made = make(kernel, store, module, *layout, (fuel, is_named)).await;
    }
    let made = made.map_err(|(error, lack)| not_made(store.data_mut(), error, lack))?;
    store.data_mut().started = true;
    let ended = match (made, named) {
        (Made::Program(program), _) => program.wasi_cli_run().call_run(&mut *store).await?,
        (Made::Spawned(instance), Some(named)) => {
            let Named { name, argument } = *named;
            let run = entry(&mut *store, &instance)?;
            run.call_async(&mut *store, (name, argument)).await?.0
        }
        (Made::Spawned(_), None) => unreachable!("it is made so only for a process with a name"),
    };
    ended.map_err(|()| I32Exit(1).into())
}

/// An instance, and what is called in it.
enum Made {
    Program(Command),
    Spawned(Instance),
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

async fn make(
    kernel: &Arc<Kernel>,
    store: &mut Store<Ctx>,
    module: &Arc<Module>,
    layout: Layout,
    (fuel, is_named): (Option<u64>, bool),
) -> Result<Made, (wasmtime::Error, Option<Lack>)> {
    let made = async {
        if layout == Layout::Metered {
            store.set_fuel(fuel.unwrap_or(u64::MAX))?;
        }
        let process = store.data().process.clone();
        let pre = module.pre_for(kernel, process.as_ref(), layout).await?.component()?;
        Ok(match is_named {
            false => Made::Program(pre.instantiate_async(&mut *store).await?),
            true => Made::Spawned(pre.instance_pre().instantiate_async(&mut *store).await?),
        })
    };
    made.await.map_err(|error| {
        let lack = Lack::of(&error);
        (error, lack)
    })
}
