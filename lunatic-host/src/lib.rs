//! The Lunatic runtime: runs WebAssembly instances as isolated, preemptively scheduled processes.

#[doc(hidden)]
pub mod bench;
mod channel;
pub mod cli;
mod clock;
mod compat;
mod ending;
mod engine;
mod guest_memory;
mod hibernation;
mod imports;
mod instance;
mod module;
mod net;
mod process;
mod quota;
pub mod report;
pub mod rights;
mod runtime;
mod scheduler;
mod shared;
mod shortage;
mod sync;
mod system;
mod test_runner;
mod time;
pub mod wasi;
mod worker;

pub use instance::kernel::{KernelFeatures, features as kernel_features};
pub use module::{LoadError, Module};
pub use process::exit::ExitReason;
pub use runtime::{Runtime, RuntimeBuilder};
pub use system::{RunningSystem, StartError, SystemConfig};
