//! How the end of a call into a guest becomes the end of a process.

use std::fmt;
use std::sync::Arc;

use crate::process::Process;
use crate::process::exit::ExitReason;
use crate::runtime::{Shared, System};

/// The process killed itself.
#[derive(Debug)]
pub(crate) struct Killed;

impl fmt::Display for Killed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "killed")
    }
}

impl std::error::Error for Killed {}

/// Why the process ended; prints a report if it crashed.
pub(crate) fn end(
    _shared: &Arc<Shared>,
    process: &Process,
    result: wasmtime::Result<()>,
    _panic: Option<String>,
) -> ExitReason {
    let Err(error) = result else { return ExitReason::Normal };
    if error.is::<Killed>() {
        return ExitReason::Killed;
    }
    match error.downcast_ref::<wasmtime_wasi::I32Exit>() {
        Some(wasmtime_wasi::I32Exit(0)) => ExitReason::Normal,
        Some(wasmtime_wasi::I32Exit(code)) => ExitReason::Exit(*code),
        None => {
            eprintln!("process {} trapped: {error:?}", process.id);
            ExitReason::Trap(format!("{error:#}"))
        }
    }
}

/// Who waits for what, in a system in which no process can run again.
pub(crate) fn deadlock(shared: &Shared, system: &Arc<System>) -> String {
    let mut lines = Vec::new();
    shared.processes.for_each(|id, process| {
        if Arc::ptr_eq(&process.system, system) {
            lines.push(format!("{id} waits: {:?}", process.wait()));
        }
    });
    lines.join("\n")
}
