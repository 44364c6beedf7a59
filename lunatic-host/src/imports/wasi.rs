//! `wasi_snapshot_preview1`, by wasmtime-wasi. A process that never calls it pays nothing for it.

use wasmtime::Linker;
use wasmtime_wasi::I32Exit;
use wasmtime_wasi::p1::{WasiP1Ctx, add_to_linker_async};

use crate::instance::Ctx;
use crate::process::Process;
use crate::report::PanicCapture;

/// The WASI side of one process.
pub(crate) struct ProcessWasi {
    context: WasiP1Ctx,
    /// The panic that the process may be writing to standard error.
    pub(crate) panic: PanicCapture,
}

impl ProcessWasi {
    pub(crate) fn new(process: &Process) -> Self {
        let panic = PanicCapture::default();
        let is_main = process.system.is_main(process.id);
        Self {
            context: process
                .system
                .wasi
                .context(is_main, &panic, process.system.time.clone()),
            panic,
        }
    }
}

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    add_to_linker_async(linker, |ctx: &mut Ctx| &mut ctx.wasi().context)?;
    // wasmtime-wasi traps on codes above 125; a program may use all that its system has.
    linker.allow_shadowing(true);
    linker.func_wrap(
        "wasi_snapshot_preview1",
        "proc_exit",
        |code: i32| -> wasmtime::Result<()> { Err(I32Exit(code).into()) },
    )?;
    linker.allow_shadowing(false);
    Ok(())
}
