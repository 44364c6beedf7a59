//! What a look into a system shows of each process.

use lunatic_kernel::snapshot::Snapshot;
use lunatic_module::entries::EntryName;
use lunatic_module::identity::CodeId;

use crate::wasm::Process;

/// A process, as it was at one moment: what the kernel knows of it, and what WebAssembly adds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcessInfo {
    /// Names, state, what it waits for, its mailbox, links and monitors.
    pub snapshot: Snapshot,
    /// The function that it began with, by a name that other versions of the module know too. `None` for a function of a table
    /// that has more places than are named.
    pub entry: Option<EntryName>,
    /// The code that it runs.
    pub code: CodeId,
    /// The bytes of its linear memory, in use or not; 0 until it has run.
    pub memory: usize,
}

impl ProcessInfo {
    pub(crate) fn of(process: &Process, snapshot: Snapshot) -> Self {
        let local = &process.local;
        Self {
            snapshot,
            entry: local.entry(),
            code: local.module.identity().clone(),
            memory: local.memory(),
        }
    }
}
