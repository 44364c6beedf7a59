//! Core dumps: the state of a process when it failed, in a file for tools and people.
//!
//! The file is a WebAssembly module in the format of the [tool conventions], which WebAssembly debuggers read: the
//! functions that were active (`corestack`), globals, and the memory as data segments. A custom section, [`SECTION`],
//! contains what the format has no place for, as JSON: [`About`].
//!
//! | module | purpose |
//! |---|---|
//! | `memory` | selects the pieces of a memory that are written |
//! | [`mod@write`] | writes the file, in one pass |
//! | [`mod@read`] | reads a file without trusting it |
//! | `show` | formats a dump for people |
//!
//! Functions and offsets refer to the module *as the user built it*, not to what the host has made of it: tools are
//! given the user's file. Locals and operands are not in the dump, because the compiler keeps them in registers; what a
//! program in Rust or C has on its own stack is in the memory.
//!
//! [tool conventions]: https://github.com/WebAssembly/tool-conventions/blob/main/Coredump.md

mod memory;
pub mod read;
mod show;
#[cfg(test)]
mod tests;
pub mod write;

pub use memory::Memory;
pub use read::{Core, ReadError};
pub use write::{Written, write};

use serde::{Deserialize, Serialize};

pub use crate::symbols::CodePlace;

/// The name of the custom section that contains an [`About`] as JSON.
pub const SECTION: &str = "lunatic";

/// The value of a global.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Value {
    /// 32 bits.
    I32(i32),
    /// 64 bits.
    I64(i64),
    /// The bits of an `f32`.
    F32(u32),
    /// The bits of an `f64`.
    F64(u64),
}

/// What a dump says about a process, in addition to what the format has a place for. All texts may be from a guest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct About {
    /// The host that wrote the dump.
    pub host: String,
    /// When it was written, in milliseconds since 1970.
    pub time_ms: u64,
    /// The process, such as `#17`.
    pub process: String,
    /// Whether the program ended with it.
    pub is_main: bool,
    /// Its registered names.
    pub names: Vec<String>,
    /// The function with which it began.
    pub entry: Option<String>,
    /// The code that it ran.
    pub code: String,
    /// The process that spawned it.
    pub parent: Option<String>,
    /// Its exit reason; empty if it continues.
    pub reason: String,
    /// The crash report; empty if it continues.
    pub report: String,
    /// What it waits for; empty if it has ended.
    pub waits_for: String,
    /// Whether exit signals became mail.
    pub traps_exits: bool,
    /// The number of timers that sent to it.
    pub timers: usize,
    /// Its CPU time in milliseconds.
    pub cpu_ms: u64,
    /// How often a worker has started to run it.
    pub runs: u32,
    /// The processes that it was linked to, up to a limit.
    pub links: Vec<String>,
    /// The number of its links.
    pub links_len: usize,
    /// The processes that it monitored.
    pub monitors: Vec<String>,
    /// The processes that monitored it.
    pub monitored_by: Vec<String>,
    /// The oldest entries of its mailbox.
    pub mailbox: Vec<Entry>,
    /// The number of entries.
    pub mailbox_len: usize,
    /// The bytes of all entries.
    pub mailbox_bytes: usize,
    /// Its rights and limits.
    pub rights: Rights,
    /// The size of its memory in bytes.
    pub memory_bytes: u64,
    /// How many bytes of data in it did not fit: those with the highest addresses.
    pub memory_missing: u64,
    /// What was left out at the user's request: `memory`, `messages`.
    pub without: Vec<String>,
    /// The number of crashes since the previous dump that have none.
    pub crashes_left_out: u64,
}

/// An entry of a mailbox.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Entry {
    /// `message`, `exit` or `down`.
    pub kind: String,
    /// For a signal, its sender. Messages do not contain their sender.
    pub from: Option<String>,
    /// Its tag, in hexadecimal digits.
    pub tag: String,
    /// Its length in bytes.
    pub len: usize,
    /// Its first bytes, in hexadecimal digits.
    pub start: String,
}

/// The rights and limits of a process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rights {
    /// The rights that are granted by a word, such as `spawn`, `configure`, `names` or `compile`.
    pub may: Vec<String>,
    /// Its folders, by their names inside.
    pub dirs: Vec<String>,
    /// The names of its environment variables.
    pub env: Vec<String>,
    /// Its network rules, each set within the one before.
    pub net: Vec<String>,
    /// The largest memory in bytes.
    pub max_memory: usize,
    /// The most open files, and the most sockets.
    pub max_files: u32,
    /// The most messages in its mailbox, if there is a limit.
    pub max_mailbox: Option<usize>,
    /// Whether it had a budget.
    pub has_budget: bool,
}
