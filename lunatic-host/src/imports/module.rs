//! `lunatic::module`: modules that guests bring along.

use std::sync::Arc;
use std::time::Instant;

use lunatic_sys::codes::{BAD_MODULE, CLOSED, DENIED, INVALID, LIMIT, OK};
use wasmtime::{Caller, Linker};

use super::process::{check_handle, write_handle};
use crate::guest_memory;
use crate::instance::Ctx;
use crate::module::{LoadError, Module};
use crate::process::table::Full;
use crate::rights::{May, denial};

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    let namespace = "lunatic::module";
    linker.func_wrap_async(namespace, "compile", |caller, (wasm, len, out)| {
        Box::new(compile(caller, wasm, len, out))
    })?;
    linker.func_wrap(namespace, "drop", drop_module)?;
    Ok(())
}

async fn compile(mut caller: Caller<'_, Ctx>, wasm: u32, len: u32, out: u32) -> wasmtime::Result<i32> {
    check_handle(&mut caller, out)?;
    let wasm = guest_memory::slice(&mut caller, wasm, len)?.0.to_vec();
    let ctx = caller.data_mut();
    let process = ctx.process().clone();
    if !process.rights.may.contains(May::COMPILE) {
        denial::log(&process, "may not compile modules", "", "");
        ctx.buffer =
            b"the process may not compile modules: its parent's configuration did not say `allow=compile`".to_vec();
        return Ok(DENIED);
    }
    let shared = ctx.shared.clone();
    let start = Instant::now();
    let compiling = {
        let shared = shared.clone();
        shared.io.spawn_blocking({
            let shared = shared.clone();
            move || Module::load(&shared, &wasm)
        })
    };
    let loaded = compiling
        .await
        .unwrap_or_else(|_| Err(LoadError::Compile("the compiler failed".into())));
    // Compiling is computing, too.
    if let Some(budget) = &process.rights.budget {
        budget.spend(start.elapsed());
    }
    let module: Arc<Module> = match loaded {
        Ok(module) => module,
        Err(error) => {
            caller.data_mut().buffer = error.to_string().into_bytes();
            return Ok(BAD_MODULE);
        }
    };
    let Ok(id) = shared.modules.insert(shared.scheduler.worker(), |_| module) as Result<_, Full> else {
        caller.data_mut().buffer = b"the largest number of modules is loaded".to_vec();
        return Ok(LIMIT);
    };
    caller.data_mut().modules.push(id);
    write_handle(&mut caller, out, shared.module_keys.handle(id))?;
    Ok(OK)
}

fn drop_module(mut caller: Caller<'_, Ctx>, id: u64, key: u64) -> i32 {
    let ctx = caller.data_mut();
    let Some(id) = ctx.shared.module_keys.check(id, key) else {
        return INVALID;
    };
    // Only who compiled it lets it go; those that run in it go on.
    let Some(at) = ctx.modules.iter().position(|own| *own == id) else {
        return CLOSED;
    };
    ctx.modules.swap_remove(at);
    drop(ctx.shared.modules.remove(ctx.shared.scheduler.worker(), id));
    OK
}
