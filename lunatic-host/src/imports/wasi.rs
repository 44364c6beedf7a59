//! `wasi_snapshot_preview1`, by wasmtime-wasi. A process that never calls it pays nothing for it.

use wasmtime::Linker;
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::p1::{WasiP1Ctx, add_to_linker_async};

use crate::instance::Ctx;
use crate::process::Process;

/// The WASI side of one process.
pub(crate) struct Wasi {
    pub(crate) context: WasiP1Ctx,
}

impl Wasi {
    pub(crate) fn new(process: &Process) -> Self {
        let _ = process;
        Self { context: WasiCtxBuilder::new().inherit_stdio().args(&process.system.config.args).build_p1() }
    }

    pub(crate) fn take_panic(&mut self) -> Option<String> {
        None
    }
}

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    add_to_linker_async(linker, |ctx: &mut Ctx| &mut ctx.wasi().context)
}
