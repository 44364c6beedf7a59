//! Actors as WebAssembly instances.
//!
//! A Lunatic program is many small *processes*. Each is a WebAssembly instance with a memory of its own; a crash, an
//! endless loop or exhausted memory in one never touches another. Processes are cheap: a program can have hundreds of
//! thousands. They talk by sending messages through *channels*.
//!
//! ```no_run
//! use lunatic::{Channel, Process};
//!
//! fn main() {
//!     let results = Channel::new(0);
//!     for i in 0..1_000_u64 {
//!         // Each closure runs in a process of its own.
//!         Process::spawn(move || results.send((i, i * i))).unwrap();
//!     }
//!     for _ in 0..1_000 {
//!         let (i, square) = results.receive();
//!         println!("{i} * {i} = {square}");
//!     }
//! }
//! ```
//!
//! Start such a program with `cargo lunatic run`.
//!
//! # Tour
//!
//! - [`Process::spawn`] starts a process with a closure. The closure is copied into the new memory, so it may only
//!   capture what can be copied; the compiler says so otherwise ([`process::Capture`]).
//! - [`Process`] is a handle: [`join`](Process::join) waits for the end and tells the [`ExitReason`],
//!   [`kill`](Process::kill) brings it about. [`this_process`] is the caller's own.
//! - [`Channel`] is a handle of a queue: [`send`](Channel::send), [`receive`](Channel::receive), and variants of both
//!   that do not wait, wait for a while, or return every failure as an error. Handles can be captured and sent.
//! - [`sleep`] and [`yield_now`] wait. Waiting blocks one process and nothing else.
//! - [`#[lunatic::main]`](macro@main) lets `main` return an error, [`#[lunatic::test]`](macro@test) makes each test a
//!   process of its own.
//! - [`ProcessConfig`] says what a child may do and use: files, network, memory, time. Never more than its parent.
//! - [`code`] brings processes that run to another version of the program.
//! - [`metrics`] counts, and [`trace`] shows which way a request goes, for the people who run the program.
//! - [`net`] is the network, shaped like std's.
//! - [`codec`] is about how messages become bytes.
//!
//! # What is different from threads
//!
//! Nothing is shared. A `static` exists once in each process, so a counter in one counts there only; the same holds for
//! thread-locals, for `OnceLock` and for the heap. Panics end the process, they are not caught by anyone; [join
//! it](Process::join) to learn of them. The program ends when its main process ends.
//!
//! # Features
//!
//! - `bincode` (default), `json`, `msgpack`: one [codec] each.
//! - `log`, `tracing`: what the crates of these names record is written by the host, in the module `log`.

#![warn(missing_docs)]

pub mod actor;
pub mod channel;
pub mod code;
pub mod codec;
mod exit;
mod host;
pub mod inspect;
#[cfg(any(feature = "log", feature = "tracing"))]
pub mod log;
pub mod mailbox;
pub mod metrics;
mod module;
pub mod net;
pub mod process;
pub mod registry;
mod report;
pub mod rights;
pub mod supervisor;
mod task;
pub mod time;
pub mod timer;
pub mod trace;

#[doc(hidden)]
pub mod __private;

pub use channel::Channel;
pub use exit::{ExitReason, TrapCode};
pub use lunatic_macros::{main, test};
pub use mailbox::{Address, Mailbox};
pub use module::{CompileError, Module};
pub use process::{Process, SpawnError, this_process};
use report::chain;
pub use rights::ProcessConfig;
pub use task::Task;
pub use time::{sleep, yield_now};
