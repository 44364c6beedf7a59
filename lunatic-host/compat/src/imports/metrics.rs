//! `lunatic::metrics`: numbers that guests keep about themselves.

use lunatic_host::Ctx;
use lunatic_host::rights::May;
use wasmtime::{Caller, Linker};

use super::text;
use crate::metrics::{Change, Metrics};

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    let namespace = "lunatic::metrics";
    linker.func_wrap(
        namespace,
        "counter",
        |caller: Caller<'_, Ctx>, name: u32, len: u32, by: u64| change(caller, name, len, Change::Count(by)),
    )?;
    linker.func_wrap(
        namespace,
        "increment_counter",
        |caller: Caller<'_, Ctx>, name: u32, len: u32| change(caller, name, len, Change::Count(1)),
    )?;
    type New = fn(f64) -> Change;
    let changes: [(&str, New); 4] = [
        ("gauge", Change::Set),
        ("increment_gauge", Change::Add),
        ("decrement_gauge", |by| Change::Add(-by)),
        ("histogram", Change::Record),
    ];
    for (function, new) in changes {
        linker.func_wrap(
            namespace,
            function,
            move |caller: Caller<'_, Ctx>, name: u32, len: u32, value: f64| change(caller, name, len, new(value)),
        )?;
    }
    Ok(())
}

fn change(mut caller: Caller<'_, Ctx>, name: u32, len: u32, change: Change) -> wasmtime::Result<()> {
    let name = text(&mut caller, name, len)?;
    // A parent of the other interface may have taken the right away. This one has no result that could say so.
    if !caller.data().process().local.rights().may.contains(May::METRICS) {
        return Ok(());
    }
    caller.data().system_state(Metrics::default).change(&name, change);
    Ok(())
}
