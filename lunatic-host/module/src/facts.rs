//! What the host knows about a module without running it.
//!
//! Facts are found while a module is rewritten and are kept beside the compiled module, so that a module that comes
//! out of the cache is not read again.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::imports::Imports;

/// Everything that starts with this belongs to the host: no module may export such a name itself.
pub const RESERVED_PREFIX: &str = "lunatic:";
/// The name of the exported loop that fetches entries from the host and calls them, of type `() -> ()`.
pub const RUN_EXPORT: &str = "lunatic:run";
/// The name of the exported global that is 1 while [`RUN_EXPORT`] itself calls `next`, of type `mut i32`. No code of the
/// guest can reach it: it did not exist when that was validated.
pub const GATE_EXPORT: &str = "lunatic:gate";
/// The name of the exported function that does what a libc does before `main`, of type `() -> ()`.
pub const STARTUP_EXPORT: &str = "lunatic:startup";
/// The prefix of exported tests, of type `() -> ()`.
pub const TEST_PREFIX: &str = "#lunatic_test_";

/// The name under which the mutable global `index` (of the module's index space) is exported.
pub(crate) fn global_export(index: u32) -> String {
    format!("{RESERVED_PREFIX}global:{index}")
}

/// What was found in a module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// The names under which all mutable globals of numeric type are exported, in the order of their indexes.
    ///
    /// If the module is [`recyclable`](Self::recyclable), these are all mutable globals it has.
    pub globals: Vec<String>,
    /// The function index of [`RUN_EXPORT`]; `None` if the module cannot fetch entries: it does not import
    /// `lunatic::process` `next`, or has no table of functions.
    ///
    /// The loop runs the start-up code before each entry by itself.
    pub run: Option<u32>,
    /// The function index of [`STARTUP_EXPORT`], which has to be called in a fresh instance before an export other
    /// than `_start`; `None` if nothing has to run before, or exports see to it by themselves.
    pub startup: Option<u32>,
    /// Whether putting the memory and [`globals`](Self::globals) back makes a used instance a fresh one.
    pub recyclable: Result<(), NotRecyclable>,
    /// The functions that it imports, by which the embedder tells for which of its interfaces the module was built.
    pub imports: Imports,
    /// The first memory, if there is one.
    pub memory: Option<Memory>,
    /// About how many bytes an instance takes up beside its memory and the elements of its tables, and not less than that.
    pub instance_size: usize,
    /// Whether `_start` is exported as a function of type `() -> ()`.
    pub start: bool,
    /// The names of the exported tests, in the module's order, with their prefix.
    pub tests: Vec<String>,
    /// Whether the module carries DWARF, so that backtraces can name files and lines.
    pub debug_info: bool,
}

/// The memory of a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Its size at the start, in pages of 64 KiB.
    pub pages_min: u64,
    /// The size the module allows it to reach, in pages.
    pub pages_max: Option<u64>,
    /// Whether it is exported as `memory`, where host functions look for it.
    pub exported: bool,
    /// Whether any code of the module can make it larger.
    pub grows: bool,
}

/// Why an instance of a module cannot be used for a second process: the first thing that was found.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NotRecyclable {
    /// There is no memory, or more than one.
    Memories {
        /// How many.
        count: u32,
    },
    /// A memory, table or global is imported: it may be shared with others.
    ImportedState,
    /// A start function runs on instantiation, and what it did would have to be done again.
    StartFunction,
    /// A mutable global holds a reference, which the host cannot save as bytes.
    ReferenceGlobal {
        /// Its index.
        index: u32,
    },
    /// Code writes to a table (`table.set`, `table.grow`, `table.fill`, `table.copy` or `table.init`).
    ChangesTable {
        /// The function with such an instruction.
        function: u32,
    },
    /// Code throws or catches exceptions, which live in a heap of the engine's.
    Exceptions {
        /// The first function with such an instruction.
        function: u32,
    },
    /// Code both drops data segments (`data.drop`) and reads them (`memory.init`): a dropped segment stays dropped.
    DropsData,
}

impl fmt::Display for NotRecyclable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memories { count: 0 } => write!(f, "it has no memory"),
            Self::Memories { count } => write!(f, "it has {count} memories"),
            Self::ImportedState => write!(f, "it imports a memory, a table or a global"),
            Self::StartFunction => write!(f, "it has a start function"),
            Self::ReferenceGlobal { index } => write!(f, "its mutable global {index} holds a reference"),
            Self::ChangesTable { function } => write!(f, "its function {function} changes a table"),
            Self::Exceptions { function } => write!(f, "its function {function} throws or catches exceptions"),
            Self::DropsData => write!(f, "it drops data segments that it also reads"),
        }
    }
}
