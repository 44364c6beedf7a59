//! What the host knows about a module without running it.
//!
//! Facts are determined while a module is rewritten, and are stored with the compiled module, so that a module from the
//! cache is not read again.

use std::fmt;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::imports::Imports;

/// Names with this prefix belong to the host: no module may export such a name itself.
pub const RESERVED_PREFIX: &str = "lunatic:";
/// The name of the exported loop that fetches entries from the host and calls them, of type `() -> ()`.
pub const RUN_EXPORT: &str = "lunatic:run";
/// The name of the exported global that is 1 while [`RUN_EXPORT`] itself calls `next`, of type `mut i32`. No code of
/// the guest can reach it, because it did not exist when that code was validated.
pub const GATE_EXPORT: &str = "lunatic:gate";
/// The name of the exported function that contains the start-up code of a libc, of type `() -> ()`.
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
    /// The function index of [`RUN_EXPORT`]; `None` if the module cannot fetch entries because it does not import
    /// `lunatic::process` `next`, or has no table of functions.
    ///
    /// The loop itself runs the start-up code before each entry.
    pub run: Option<u32>,
    /// The function index of [`STARTUP_EXPORT`], which must be called in a fresh instance before an export other than
    /// `_start`; `None` if nothing must run before, or if exports call it themselves.
    pub startup: Option<u32>,
    /// Whether restoring the memory and the [`globals`](Self::globals) resets a used instance.
    pub recyclable: Result<(), NotRecyclable>,
    /// The imported functions, from which the embedder determines for which of its interfaces the module was built.
    pub imports: Imports,
    /// The first memory, if there is one.
    pub memory: Option<Memory>,
    /// The approximate size of an instance in bytes, without its memory and the elements of its tables; not less than
    /// the real size.
    pub instance_size: usize,
    /// The most pages of 4 KiB of a fresh instance's memory that its data segments can have written to.
    pub data_pages: u64,
    /// Whether `_start` is exported as a function of type `() -> ()`.
    pub start: bool,
    /// The names of the exported tests, in the module's order, with their prefix.
    pub tests: Vec<String>,
    /// Whether the module contains DWARF, so that backtraces can name files and lines.
    pub debug_info: bool,
    /// Whether the file is a component. Its [`start`](Self::start) is the function `run` of `wasi:cli/run`.
    pub component: bool,
    /// The places of the core modules of a component: in the file, and in what is compiled of it.
    pub modules: Vec<(Range<usize>, Range<usize>)>,
}

/// The memory of a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Its initial size in pages of 64 KiB.
    pub pages_min: u64,
    /// Its largest size in pages, as the module declares it.
    pub pages_max: Option<u64>,
    /// Whether it is exported as `memory`, where host functions look for it.
    pub exported: bool,
    /// Whether any code of the module can grow it.
    pub grows: bool,
}

/// Why an instance of a module cannot be reused for a second process: the first reason that was found.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NotRecyclable {
    /// There is no memory, or more than one.
    Memories {
        /// The number of memories.
        count: u32,
    },
    /// A memory, table or global is imported, and may be shared with others.
    ImportedState,
    /// A start function runs on instantiation, and its effects would have to be repeated.
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
    /// Code throws or catches exceptions, which are stored in a heap of the engine.
    Exceptions {
        /// The first function with such an instruction.
        function: u32,
    },
    /// Code both drops data segments (`data.drop`) and reads them (`memory.init`): a dropped segment stays dropped.
    DropsData,
    /// It is a component: its instances also consist of handles and of state of the engine.
    Component,
    /// Data segments write to so many pages that an image of a fresh instance would take too much memory.
    MuchData {
        /// The number of pages of 4 KiB, counted as if no two segments shared a page.
        pages: u64,
    },
}

impl fmt::Display for NotRecyclable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memories { count: 0 } => write!(f, "it has no memory"),
            Self::Memories { count } => write!(f, "it has {count} memories"),
            Self::ImportedState => write!(f, "it imports a memory, a table or a global"),
            Self::StartFunction => write!(f, "it has a start function"),
            Self::ReferenceGlobal { index } => write!(f, "its mutable global {index} contains a reference"),
            Self::ChangesTable { function } => write!(f, "its function {function} changes a table"),
            Self::Exceptions { function } => write!(f, "its function {function} throws or catches exceptions"),
            Self::DropsData => write!(f, "it drops data segments that it also reads"),
            Self::Component => write!(f, "it is a component"),
            Self::MuchData { pages } => write!(f, "its data segments write to up to {pages} pages of 4 KiB"),
        }
    }
}
