//! Modules that are compiled at run time.

use std::error::Error;
use std::fmt;

use lunatic_sys::layout::RawHandle;
use serde::{Deserialize, Serialize};

use crate::host::{self, Refused};

/// A handle of a WebAssembly module that a process has compiled: a plugin, a translated script, an upload.
///
/// Processes of the module are as isolated as any others. The handle can be captured and sent. Whoever has it can spawn
/// processes of the module, until the process that compiled it exits.
///
/// # Examples
///
/// ```no_run
/// use lunatic::{ExitReason, Module, Process, ProcessConfig};
///
/// let plugin = Module::compile(br#"(module (func (export "run")))"#).unwrap();
/// let process = Process::builder().config(&ProcessConfig::new()).spawn_export(plugin, "run").unwrap();
/// assert_eq!(process.join(), ExitReason::Normal);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Module {
    id: u64,
    key: u64,
}

impl Module {
    /// Compiles a module, in the binary or the text format. This takes some milliseconds or more, during which other
    /// processes run. The processor time is charged to the budget of the calling process.
    ///
    /// # Errors
    ///
    /// [`CompileError`].
    pub fn compile(wasm: &[u8]) -> Result<Self, CompileError> {
        match host::compile(wasm) {
            Ok(RawHandle { id, key }) => Ok(Self { id, key }),
            Err(Refused::BadModule) => Err(CompileError::Invalid(host::text())),
            Err(Refused::Denied) => Err(CompileError::Denied(host::text())),
            Err(Refused::Limit) => Err(CompileError::Limit(host::text())),
            Err(other) => panic!("the host refused to compile a module: {other:?}"),
        }
    }

    pub(crate) fn raw(self) -> RawHandle {
        let Self { id, key } = self;
        RawHandle { id, key }
    }
}

/// Why a module could not be compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CompileError {
    /// The bytes are not a module that the host can run, or take too much time or memory to compile; the text gives the
    /// reason.
    Invalid(String),
    /// The process does not have the right to compile modules; the text explains it.
    Denied(String),
    /// The host has no room for another module; the text names the limit.
    Limit(String),
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Invalid(why) | Self::Denied(why) | Self::Limit(why)) = self;
        f.write_str(why)
    }
}

impl Error for CompileError {}
