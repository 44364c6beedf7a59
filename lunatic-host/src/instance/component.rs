//! The coroutine of a runner for components: makes an instance for one process, and runs the program in it.
//!
//! An instance of a component is never used for a second process. What else the process is made of is the same as for a
//! core module: its context, its limits, its time slices, and how it ends.

use std::sync::Arc;

use lunatic_module::rewrite::component::ENGINE_HANDLES_MAX;
use wasmtime::Store;
use wasmtime_wasi::I32Exit;
use wasmtime_wasi::p2::bindings::Command;

use super::drive::{Called, Lack, finish, new_store, not_made};
use super::dump::{self, Parts};
use super::seat::{Seat, Seated};
use super::{Ctx, Driven};
use crate::engine::Layout;
use crate::module::Module;
use crate::wasm::Kernel;

/// The most bytes that a process passes to one call. The engine copies them before the call begins, without a pause, which
/// takes about a millisecond.
const PASSED_MAX: usize = 4 << 20;

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
    let result = match (charged, called) {
        (Ok(()), Some(Called::Export(_))) => Box::pin(run(&kernel, &mut store, &module, &mut layout, fuel)).await,
        (Ok(()), _) => Err(wasmtime::Error::msg("a process of a component begins with its program")),
        (Err(error), _) => Err(wasmtime::Error::msg(error)),
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

/// Makes the instance, and runs the program.
async fn run(
    kernel: &Arc<Kernel>,
    store: &mut Store<Ctx>,
    module: &Arc<Module>,
    layout: &mut Layout,
    fuel: Option<u64>,
) -> wasmtime::Result<()> {
    let mut made = make(kernel, store, module, *layout, fuel).await;
    if *layout == Layout::Fast && matches!(made, Err((_, Some(Lack::Machine(_))))) {
        kernel.host.engines.fast_is_refused();
        *layout = Layout::Dense;
        let ctx = store.data();
        let empty = Ctx::new(ctx.kernel.clone(), ctx.module.clone(), ctx.seat.clone());
        let ctx = std::mem::replace(store.data_mut(), empty);
        *store = new_component_store(kernel, *layout, ctx);
        made = make(kernel, store, module, *layout, fuel).await;
    }
    let command = made.map_err(|(error, lack)| not_made(store.data_mut(), error, lack))?;
    store.data_mut().started = true;
    match command.wasi_cli_run().call_run(&mut *store).await? {
        Ok(()) => Ok(()),
        Err(()) => Err(I32Exit(1).into()),
    }
}

async fn make(
    kernel: &Arc<Kernel>,
    store: &mut Store<Ctx>,
    module: &Arc<Module>,
    layout: Layout,
    fuel: Option<u64>,
) -> Result<Command, (wasmtime::Error, Option<Lack>)> {
    let made = async {
        if layout == Layout::Metered {
            store.set_fuel(fuel.unwrap_or(u64::MAX))?;
        }
        let process = store.data().process.clone();
        let pre = module.pre_for(kernel, process.as_ref(), layout).await?.component()?;
        pre.instantiate_async(&mut *store).await
    };
    made.await.map_err(|error| {
        let lack = Lack::of(&error);
        (error, lack)
    })
}
