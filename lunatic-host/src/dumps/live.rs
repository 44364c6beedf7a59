//! Core dumps of waiting processes, which then continue to wait.
//!
//! While its memory is written, a process cannot be woken, as during a freeze; wake-ups that come meanwhile are
//! delivered afterwards. So the dump delays this process by at most that time, and no other.

use std::fmt;

use lunatic_kernel::address::Id;

use super::{DumpConfig, about};
use crate::ending::wait_in_words;
use crate::instance::Runner;
use crate::report::dump::{self, Memory, Written};
use crate::running::RunningSystem;
use crate::wasm::Process;

/// Why a process cannot be dumped now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum DumpRefusal {
    /// There is no such process, or it has ended.
    Gone,
    /// It is running, or about to run.
    Runs,
    /// It waits for input or output, or for its share of a core: its memory may be in use.
    Busy,
}

impl fmt::Display for DumpRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gone => "there is no such process",
            Self::Runs => "the process is running: only a waiting process can be dumped",
            Self::Busy => "the process waits for input or output: try again when it waits for something else",
        })
    }
}

impl std::error::Error for DumpRefusal {}

impl RunningSystem {
    /// Returns a core dump of a waiting process of this system: a description and its memory, as far as
    /// [`bytes_max`](DumpConfig::bytes_max) permits. It has no backtrace. The process is not woken before the dump is
    /// written.
    ///
    /// # Errors
    ///
    /// [`DumpRefusal`] if the process cannot be dumped now.
    pub fn dump(&self, id: Id, config: &DumpConfig) -> Result<Vec<u8>, DumpRefusal> {
        let (kernel, system) = self.parts();
        let process = kernel.find(id).ok_or(DumpRefusal::Gone)?;
        if !std::sync::Arc::ptr_eq(&process.system, system) {
            return Err(DumpRefusal::Gone);
        }
        if !process.set_freezing() {
            return Err(DumpRefusal::Runs);
        }
        let mut about = about(kernel, &process, String::new(), config);
        about.waits_for = wait_in_words(process.wait().0).to_owned();
        let dumped = write(&process, about, config);
        // It was woken meanwhile, and is in no queue yet.
        if !process.set_blocked_again() {
            kernel.requeue(process);
        }
        dumped
    }
}

/// Writes the dump of a process that cannot be woken.
fn write(process: &Process, mut about: dump::About, config: &DumpConfig) -> Result<Vec<u8>, DumpRefusal> {
    about.time_ms = super::in_ms(super::now());
    let args = &process.system.data.config.wasi.args;
    let module = args.first().map_or("", String::as_str);
    let mut file = Vec::new();
    let mut write = |memory: Option<Memory<'_>>| {
        about.memory_bytes = memory.as_ref().map_or(0, |memory| memory.bytes.len() as u64);
        let core = Written {
            module,
            memory: memory.filter(|_| !config.without_memory),
            ..Written::default()
        };
        dump::write(&core, &mut about, config.bytes_max, &mut file).expect("memory takes all that is written to it");
    };
    let is_safe = process.is_at_rest();
    let write_body = |body: &mut Runner| match is_safe {
        true => {
            body.with_memory(&mut write);
            true
        }
        false => false,
    };
    // SAFETY: the caller has ensured that the process cannot be woken.
    let written = unsafe { process.with_suspended(write_body) };
    match written {
        Some(true) => {}
        Some(false) => return Err(DumpRefusal::Busy),
        // It has not run yet.
        None => write(None),
    }
    Ok(file)
}
