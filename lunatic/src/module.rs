//! Modules that are compiled at run time.

use std::error::Error;
use std::fmt;

use lunatic_sys::layout::RawHandle;
use serde::{Deserialize, Serialize};

use crate::host::{self, Refused};

/// A handle of a WebAssembly module that a process compiled: a plugin, a script's translation, an upload.
///
/// Processes that run in it are as isolated as any. The handle can be captured and sent; whoever has it may spawn in the
/// module, until the process that compiled it ends.
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
    /// Compiles a module, in the binary or the text format. Takes some milliseconds and more; other processes go on. What it takes
    /// of a core is charged to the budget.
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

/// Why there is no module.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CompileError {
    /// The bytes are no module that the host runs, or one that takes too long or too much memory to compile; the text says what
    /// is wrong.
    Invalid(String),
    /// The process may not compile modules.
    Denied(String),
    /// The host has no room for another module.
    Limit(String),
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Invalid(why) | Self::Denied(why) | Self::Limit(why)) = self;
        f.write_str(why)
    }
}

impl Error for CompileError {}
