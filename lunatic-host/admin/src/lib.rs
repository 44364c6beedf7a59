//! The admin door of Lunatic: looks into a running system, and steers it.
//!
//! A [`Door`] is a Unix socket that speaks HTTP/1.1 with JSON, so that `curl --unix-socket` is a client. The commands
//! `lunatic ps`, `tree`, `inspect`, `trace`, `kill` and `exit` are others, by [`Client`].
//!
//! # What it may not know
//!
//! No kernel and no WebAssembly: what can be seen and done here, an embedding program can see and do with
//! [`RunningSystem`](lunatic_host::RunningSystem).
//!
//! # Invariants
//!
//! - Only the user who runs the program, and the machine's administrator, are answered.
//! - What a client sends neither stops the host nor makes it grow: heads are short, bodies are a few kilobytes, clients are few, and
//!   each has a time for its request. Of events a client
//!   holds 4,096 at most, and four clients hear them.
//! - Nothing here waits for a process, and no process waits for a client.

mod answer;
mod client;
mod door;
mod events;
mod follow;
pub mod list;
mod metrics;
mod observer;
mod place;
mod request;
pub mod stack;
pub mod view;

pub use self::client::{Client, Trouble};
pub use self::door::{Door, Program};
pub use self::place::{find, folder, path_of};
