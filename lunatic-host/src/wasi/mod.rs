//! WASI preview 1 for processes: arguments, environment, folders, clocks, random numbers and standard streams.
//!
//! wasmtime-wasi does the work; this module decides what a process sees and makes sure that no call of one process
//! keeps a scheduler worker busy for long. [`WasiConfig`] is what the user asked for, [`Wasi`] is the checked and opened
//! form that all processes of a system share, and [`Wasi::context`] makes the context of one process, which happens when
//! the process first calls WASI.
//!
//! | module | what it is about |
//! |---|---|
//! | `clocks` | a clock for runs that are to be the same each time |
//! | [`context`] | the configuration of a system, and contexts of processes made from it |
//! | [`stdio`] | standard streams that many processes write to without mixing inside a line |

pub(crate) mod clocks;
pub mod context;
pub mod stdio;
#[cfg(test)]
mod tests;

pub use context::{Wasi, WasiConfig, WasiError};
pub use lunatic_rights::{Dir, flags};
pub use stdio::{Capture, Output, Stdin};
