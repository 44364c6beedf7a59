//! `lunatic::trap`: calls a function of the guest so that a trap ends only that call, not the process.

use lunatic_host::Ctx;
use lunatic_host::imports::wasi::print_held_panic;
use wasmtime::{Caller, Linker};

use super::{fault, state};

/// How deep these calls can be nested. Each has a stack of its own.
const DEPTH_MAX: u32 = 64;

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    linker.func_wrap_async("lunatic::trap", "catch", |caller, (function, pointer)| {
        Box::new(catch(caller, function, pointer))
    })?;
    Ok(())
}

async fn catch(mut caller: Caller<'_, Ctx>, function: i32, pointer: i32) -> wasmtime::Result<i32> {
    let export = caller
        .get_export("_lunatic_catch_trap")
        .and_then(wasmtime::Extern::into_func);
    let called = export.ok_or_else(|| fault("the module exports no function `_lunatic_catch_trap`"))?;
    let called = called.typed::<(i32, i32), i32>(&caller)?;
    let state = state(&mut caller);
    if state.catches >= DEPTH_MAX {
        return Err(fault(format!(
            "calls that catch traps can be nested at most {DEPTH_MAX} deep"
        )));
    }
    state.catches += 1;
    let result = called.call_async(&mut caller, (function, pointer)).await;
    super::state(&mut caller).catches -= 1;
    // For every trap. A killed process does not return here.
    Ok(match result {
        Ok(result) => result,
        Err(_) => {
            print_held_panic(&mut caller).await;
            0
        }
    })
}
