//! WASI preview 1 for processes: arguments, environment, folders, clocks, random numbers and standard streams.
//!
//! wasmtime-wasi does the work; this module decides what a process sees, and ensures that no call occupies a scheduler
//! worker for long. [`WasiConfig`] is the user's configuration. [`Wasi`] is its checked and opened form, which all
//! processes of a system share. [`Wasi::context`] makes the context of one process, when the process first calls WASI.
//!
//! | module | purpose |
//! |---|---|
//! | `clocks` | a clock for reproducible runs |
//! | [`context`] | the configuration of a system, and the contexts of its processes |
//! | [`stdio`] | standard streams that many processes write to without tearing lines |

pub(crate) mod clocks;
pub mod context;
pub mod stdio;
#[cfg(test)]
mod tests;

pub use context::{Wasi, WasiConfig, WasiError};
pub use lunatic_rights::{Dir, flags};
pub use stdio::{Capture, Output, Stdin};
