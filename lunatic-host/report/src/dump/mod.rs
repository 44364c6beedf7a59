//! Core dumps: a process as it was when it failed, in a file for tools and people.
//!
//! The file is a module of WebAssembly in the format of the [tool conventions], which debuggers of WebAssembly read: the
//! functions that were active (`corestack`), globals, and the memory as data segments. A custom section, [`SECTION`], says
//! in JSON what those do not know: [`About`].
//!
//! | module | what it is about |
//! |---|---|
//! | `memory` | which pieces of a memory are written |
//! | [`mod@write`] | the file, in one pass |
//! | [`mod@read`] | reads a file of which nothing is trusted |
//! | `show` | the text for people |
//!
//! Functions and offsets are those of the module *as the user built it*, not of the one that the host has made of it: tools
//! are given the user's file. Locals and operands are not in the dump, as the compiler keeps them in registers; what a program in
//! Rust or C has on its own stack is in the memory.
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

/// The name of the custom section that holds an [`About`] as JSON.
pub const SECTION: &str = "lunatic";

/// The value of a global.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Value {
    /// 32 bits.
    I32(i32),
    /// 64 bits.
    I64(i64),
    /// The bits of a float.
    F32(u32),
    /// The bits of a long float.
    F64(u64),
}

/// What is known of a process in a dump, beside what the format has a place for. All texts may be a guest's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct About {
    /// The host that wrote it.
    pub host: String,
    /// When, in milliseconds since 1970.
    pub time_ms: u64,
    /// The process, such as `#17`.
    pub process: String,
    /// Whether its end was the end of the program.
    pub is_main: bool,
    /// Its registered names.
    pub names: Vec<String>,
    /// The function that it began with.
    pub entry: Option<String>,
    /// The code that it ran.
    pub code: String,
    /// Who spawned it.
    pub parent: Option<String>,
    /// Why it ended; empty if it goes on.
    pub reason: String,
    /// The crash report; empty if it goes on.
    pub report: String,
    /// What it waits for; empty if it ended.
    pub waits_for: String,
    /// Whether exit signals became mail.
    pub traps_exits: bool,
    /// The timers that sent to it.
    pub timers: usize,
    /// How long it has computed, in milliseconds.
    pub cpu_ms: u64,
    /// How often a worker has begun to run it.
    pub runs: u32,
    /// The processes that it was linked to, as many of them as a look shows.
    pub links: Vec<String>,
    /// How many there were.
    pub links_len: usize,
    /// The processes that it monitored.
    pub monitors: Vec<String>,
    /// The processes that monitored it.
    pub monitored_by: Vec<String>,
    /// The oldest entries of its mailbox.
    pub mailbox: Vec<Entry>,
    /// How many entries there were.
    pub mailbox_len: usize,
    /// The bytes of all of them.
    pub mailbox_bytes: usize,
    /// What it might do and use.
    pub rights: Rights,
    /// The bytes of its memory.
    pub memory_bytes: u64,
    /// How many bytes of it hold data that there was no room for: what lies highest.
    pub memory_missing: u64,
    /// What was left out because the user said so: `memory`, `messages`.
    pub without: Vec<String>,
    /// Crashes since the dump before this one that were not dumped.
    pub crashes_left_out: u64,
}

/// An entry of a mailbox.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Entry {
    /// `message`, `exit` or `down`.
    pub kind: String,
    /// Of a signal, whose it is. Messages do not say who sent them.
    pub from: Option<String>,
    /// What it is about, in hexadecimal digits.
    pub tag: String,
    /// Its bytes.
    pub len: usize,
    /// The first of them, in hexadecimal digits.
    pub start: String,
}

/// What a process might do and use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rights {
    /// `spawn`, `configure`, `names`, `compile`.
    pub may: Vec<String>,
    /// Its folders, by the names that it knew.
    pub dirs: Vec<String>,
    /// The variables that it saw, without their values.
    pub env: Vec<String>,
    /// The rules for its network, each set within the one before.
    pub net: Vec<String>,
    /// The largest memory, in bytes.
    pub max_memory: usize,
    /// The most open files, and sockets.
    pub max_files: u32,
    /// The most messages in its mailbox, if there is a limit.
    pub max_mailbox: Option<usize>,
    /// Whether it had a budget.
    pub has_budget: bool,
}
