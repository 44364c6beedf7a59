//! The Lunatic runtime as a library: runs WebAssembly instances as isolated, preemptively scheduled processes inside
//! another program.
//!
//! # A tour
//!
//! A [`Runtime`] owns the worker threads and the limits that all programs share. It [loads](Runtime::load) a [`Module`]
//! and [starts](Runtime::start) *systems*: a system is a main process and its descendants, with the rights that a
//! [`SystemConfig`] grants. A [`RunningSystem`] waits for the system to end, sends messages to its processes and lists
//! them; dropping it ends all of them. An [`Extension`] adds your own host functions.
//!
//! ```
//! use std::sync::mpsc;
//!
//! use lunatic_host::wasmtime::{Caller, Linker, Result};
//! use lunatic_host::{Ctx, ExitReason, Extension, Runtime, SystemConfig, guest_memory};
//!
//! /// `say(text: *const u8, len: usize)`: the guest's way to talk to this program.
//! struct Desk(mpsc::Sender<String>);
//!
//! impl Extension for Desk {
//!     fn name(&self) -> &str {
//!         "desk"
//!     }
//!
//!     fn link(&self, linker: &mut Linker<Ctx>) -> Result<()> {
//!         let Self(heard) = self;
//!         let heard = heard.clone();
//!         linker.func_wrap("desk", "say", move |mut caller: Caller<'_, Ctx>, text: u32, len: u32| {
//!             let text = guest_memory::read_string(&mut caller, text, len)?;
//!             // An error here would end the process, which is not to blame if nobody listens any more.
//!             let _ = heard.send(text);
//!             Ok(())
//!         })?;
//!         Ok(())
//!     }
//! }
//!
//! # fn main() -> anyhow::Result<()> {
//! let (heard, hears) = mpsc::channel();
//! let runtime = Runtime::builder().workers(1).cache(None).extension(Desk(heard)).build()?;
//! // Usually a file that was compiled for wasm32-wasip1.
//! let module = runtime.load(
//!     br#"(module
//!         (import "desk" "say" (func $say (param i32 i32)))
//!         (memory (export "memory") 1)
//!         (data (i32.const 0) "hello")
//!         (func (export "_start") (call $say (i32.const 0) (i32.const 5))))"#,
//! )?;
//! let system = runtime.start(&module, SystemConfig::default())?;
//! assert_eq!(system.wait(), ExitReason::Normal);
//! assert_eq!(hears.recv()?, "hello");
//! # Ok(())
//! # }
//! ```
//!
//! | to | use |
//! |---|---|
//! | limit all processes together | [`RuntimeBuilder`] |
//! | grant a program folders, arguments, network, memory | [`SystemConfig`], [`wasi::WasiConfig`] |
//! | read its output | [`wasi::Output`] |
//! | add functions that compute, wait or block, that keep state, or that are subject to rights | [`extension`] |
//! | read and write a guest's memory in such functions | [`guest_memory`] |
//! | send messages from native threads | [`RunningSystem::send`], [`extension::ProcessRef`] |
//! | wait for the end, in a thread or in async code | [`RunningSystem::wait`], [`RunningSystem::ended`] |
//! | inspect a running system | [`RunningSystem::processes`], [`RunningSystem::usage`], [`Runtime::figures`] |
//! | answer HTTP requests with a process for each | [`serve`] |
//! | stop a system | [`RunningSystem::shut_down`], [`RunningSystem::stop`], [`RunningSystem::kill`] |
//!
//! `examples/embed` is a program that does all of this. `docs/semantics.md` says what guests can rely on, and
//! `docs/abi.md` describes their imports.
//!
//! # Stability
//!
//! Types of wasmtime are part of this interface, so embedders use the version that is exported as [`wasmtime`]. The
//! modules [`wasm`], [`imports`], [`spawning`] and [`report`] are public for other crates of Lunatic, and may change in
//! any version.
//!
//! # What this crate may not know
//!
//! Extensions (the interface of Lunatic 0.13 is one, in a crate above), flags, and the command line.

mod ahead;
pub mod alarms;
#[doc(hidden)]
pub mod bench;
pub mod code;
mod compile;
mod deadlock;
mod descriptors;
pub mod dumps;
mod ending;
mod engine;
mod entry;
pub mod extension;
pub mod guest_memory;
mod hibernation;
mod host;
pub mod imports;
pub mod inspect;
mod instance;
mod io;
pub mod log;
pub mod measures;
pub mod metrics;
mod module;
pub mod nodes;
mod outgoing;
mod patience;
mod pool;
pub mod profile;
mod pulse;
mod request;
pub mod rights;
mod running;
mod runtime;
pub mod serve;
mod shortage;
pub mod spawning;
mod stack;
mod states;
mod system;
mod title;
pub mod trace;
pub mod wasi;
pub mod wasm;

pub use lunatic_kernel::address::Id;
pub use lunatic_kernel::budget;
pub use lunatic_kernel::channel::SendRefusal;
pub use lunatic_kernel::events::{Event, Interest, Kind, Observer};
pub use lunatic_kernel::exit::ExitReason;
pub use lunatic_kernel::process::state::Phase;
pub use lunatic_kernel::relations::Intake;
pub use lunatic_kernel::scheduler::Queues;
pub use lunatic_kernel::snapshot::Snapshot;
pub use lunatic_kernel::{WaitFor, exit};
pub use lunatic_memory::{KernelFeatures, forbid_huge_pages, kernel_features};
pub use lunatic_module::cache::user_folder as cache_folder;
pub use lunatic_module::imports::Imports;
pub use lunatic_module::{CodeId, Entries, EntryName, signature};
pub use lunatic_report as report;
pub use lunatic_rights::parse_size;
pub use wasmtime;

pub use self::compile::{CompileHelper, CompileLimits};
pub use self::extension::Extension;
pub use self::inspect::ProcessInfo;
pub use self::instance::Ctx;
pub use self::module::{LoadError, Module};
pub use self::running::RunningSystem;
pub use self::runtime::{Figures, Runtime, RuntimeBuilder};
pub use self::stack::{Stack, Unseen};
pub use self::states::Inherited;
pub use self::system::{StartError, SystemConfig, SystemSetup};
pub use self::wasm::Process;
