//! Lunatic's process kernel: processes without WebAssembly.
//!
//! The kernel gives processes ids, states, mailboxes, channels, links, monitors, names, timers and budgets. It decides
//! which process runs next, on which worker, and what happens when one ends. What *runs* a process is a [`Body`]: an
//! instance of WebAssembly in production, a Rust closure in the kernel's own tests. The embedder of the kernel is its
//! [`Host`].
//!
//! # What it may not know
//!
//! WebAssembly, wasmtime, tokio, files, sockets and rights. Time, random numbers, threads and the sleep of idle workers
//! come from an [`Environment`](environment::Environment), so a test can run the same kernel in one thread, with its
//! own clock, and in an order that a seed decides ([`simulation`]).
//!
//! # Floors
//!
//! Each floor uses those below it, and none above.
//!
//! | floor | modules |
//! |---|---|
//! | running everything | `worker`, [`simulation`] |
//! | interactions of processes | [`kernel`], `spawn`, `signals`, `calls`, `mail`, [`timers`], `remains`, `shutdown`, [`wait`], [`delivery`], `served`, [`elsewhere`], [`connections`], [`adoption`], [`snapshot`], [`contents`] |
//! | one process | [`process`], [`relations`], [`registry`], [`system`], [`host`] |
//! | mechanisms that know no processes | [`channel`], [`clock`], `coarse`, [`post`], [`time`], [`permits`], [`stock`], `desk`, `outstanding`, `aside`, `stop`, [`counts`], [`scheduler`], `state`, `life`, `mailbox`, `outgoing`, [`events`] |
//! | numbers and lists | [`address`], [`table`], `peers`, `remote`, [`errand`], [`exit`], `exits`, [`first`], [`budget`], [`shares`], [`hash`], `latch`, `room`, `pieced_queue`, `waiters`, `waiting_groups`, `late`, [`arrivals`], [`trace`], `large_map`, `small_map`, `agenda`, [`environment`], `sync` |
//!
//! # Invariants
//!
//! - **A worker never waits** for a process, or for a lock that is held while a body runs.
//! - **A process is in at most one queue and on at most one worker** ([`process::state`]).
//! - **No wake-up is lost**: try, leave a waiter, block, withdraw the waiter, try again ([`wait`]).
//! - **An id always names the same process**: a slot of a table whose numbers are used up is retired ([`table`]).
//! - **Signals from one process to another arrive in the order in which they were sent**, including exits and links
//!   (`signals`).

#[cfg(not(unix))]
compile_error!(
    "the host of Lunatic needs Linux or macOS; on Windows, build and run it in WSL 2 (`wsl --install`). Guest programs can \
     be built anywhere: cargo build --target wasm32-wasip1"
);

pub mod address;
pub mod adoption;
mod agenda;
pub mod arrivals;
mod aside;
pub mod budget;
pub mod calls;
pub mod channel;
pub mod clock;
mod coarse;
pub mod connections;
pub mod contents;
pub mod counts;
pub mod delivery;
mod desk;
pub mod elsewhere;
pub mod environment;
pub mod errand;
pub mod events;
pub mod exit;
mod exits;
pub mod first;
pub mod hash;
pub mod host;
mod idle;
pub mod kernel;
mod large_map;
mod latch;
mod late;
pub mod mail;
mod outstanding;
mod peers;
pub mod permits;
mod pieced_queue;
pub mod post;
pub mod process;
pub mod registry;
pub mod relations;
mod remains;
mod remote;
mod room;
pub mod scheduler;
mod served;
pub mod shares;
mod shutdown;
mod signals;
pub mod simulation;
mod sleepers;
pub mod small_map;
pub mod snapshot;
mod spawn;
pub mod stock;
mod stop;
mod sync;
pub mod system;
pub mod table;
pub mod time;
pub mod timers;
pub mod trace;
pub mod wait;
mod waiters;
mod waiting_groups;
pub mod worker;

pub use self::host::{Body, Host, Local, Progress};
pub use self::kernel::{Kernel, Settings};
pub use self::process::{Process, Seed, WaitFor};
pub use self::served::Woken;
pub use self::signals::Fate;
pub use self::spawn::{RECORD_SIZE, SpawnLimit};
pub use self::system::System;
