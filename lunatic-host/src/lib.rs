//! The Lunatic runtime: runs WebAssembly instances as isolated, preemptively scheduled processes.

mod channel;
pub mod cli;
mod clock;
mod ending;
mod engine;
mod guest_memory;
mod imports;
mod instance;
mod module;
mod process;
mod runtime;
mod scheduler;
mod worker;

pub use module::{LoadError, Module};
pub use process::exit::ExitReason;
pub use runtime::{RunningSystem, Runtime, RuntimeBuilder, System, SystemConfig};
