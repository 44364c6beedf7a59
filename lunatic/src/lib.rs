//! The Rust SDK of Lunatic: actor systems whose processes are WebAssembly instances.
//!
//! A Lunatic program consists of many small *processes*. Each process is a WebAssembly instance with its own memory, so
//! a crash, an endless loop or exhausted memory in one process does not affect any other. Processes are cheap: one
//! program can have hundreds of thousands of them. They communicate by sending messages, through *channels* or to each
//! other's *mailboxes*.
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
//! Run such a program with `cargo lunatic run`.
//!
//! # Tour
//!
//! Processes and messages:
//!
//! - [`Process::spawn`] starts a process that runs a closure. The closure is copied into the memory of the new process,
//!   so it can only capture values that can be copied byte for byte; anything else is a compile error
//!   ([`process::Capture`]).
//! - [`Process`] is a handle: [`join`](Process::join) waits until the process has exited and returns its
//!   [`ExitReason`], and [`kill`](Process::kill) terminates the process. [`this_process`] returns the handle of the
//!   calling process.
//! - [`Channel`] is a handle of a queue. Besides [`send`](Channel::send) and [`receive`](Channel::receive), which block
//!   and panic, it has variants that never wait, that wait with a timeout, and that return each failure as an error.
//!   Handles can be captured by closures and sent in messages.
//! - [`Mailbox`] receives the messages that are sent to one process, and notifications about the exits of other
//!   processes.
//! - [`Task`] runs a computation in its own process and returns the result.
//! - [`sleep`] blocks the calling process and no other; [`yield_now`] lets other processes run first.
//!
//! Fault tolerance, modelled on Erlang/OTP:
//!
//! - [`Process::link`] makes processes fail together; [`Process::monitor`] notifies a process when another exits.
//! - [`actor`] is OTP's `gen_server`, and [`supervisor`] restarts actors that fail.
//! - [`registry`] gives names to processes and collects them in groups; [`timer`] sends messages later.
//! - [`code`] moves running processes to another version of the program.
//!
//! The world outside:
//!
//! - [`node`] spreads a program over several hosts: spawning on other nodes, and names that all nodes know.
//! - [`net`] has TCP, UDP, Unix and TLS sockets, with an interface modelled on [`std::net`].
//! - [`ProcessConfig`] limits what a child may do and use: files, network, memory, time. A child never has more than
//!   its parent.
//! - [`metrics`] and [`trace`] let the operators of a program count events and follow a request through its processes.
//! - [`codec`] defines how messages are written as bytes.
//! - [`#[lunatic::main]`](macro@main) lets `main` return an error; [`#[lunatic::test]`](macro@test) runs each test in a
//!   process of its own.
//!
//! # Differences from threads
//!
//! Processes share nothing. Each process has its own copy of every `static`, so a counter in a `static` counts only the
//! events of one process. The same holds for thread-locals, `OnceLock`s and the heap. A panic terminates its process
//! and cannot be caught; [join](Process::join), link or monitor the process to be notified. When the main process
//! exits, the whole program ends.
//!
//! # Features
//!
//! - `bincode` (default), `json`, `msgpack`: one [codec] each.
//! - `log`, `tracing`: the host writes the records of the crate of the same name (module `log`).

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
pub mod node;
pub mod process;
pub mod registry;
mod report;
pub mod rights;
pub mod supervisor;
pub mod task;
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
