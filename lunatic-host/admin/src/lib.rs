//! The admin door of Lunatic: looks into a running system, and steers it.
//!
//! A [`Door`] is a Unix socket that speaks HTTP/1.1 with JSON, so that `curl --unix-socket` is a client. The commands
//! `lunatic ps`, `tree`, `inspect`, `trace`, `kill` and `exit` are others, by [`Client`]. A [`Dashboard`] is a port of this machine
//! that speaks the same to those who know a [`Token`], and has pages for a browser.
//!
//! # What it may not know
//!
//! No kernel and no WebAssembly: what can be seen and done here, an embedding program can see and do with
//! [`RunningSystem`](lunatic_host::RunningSystem).
//!
//! # Invariants
//!
//! - Only the user who runs the program, the machine's administrator, and clients with the token or a certificate are answered.
//! - What a client sends neither stops the host nor makes it grow: heads are short, bodies are a few kilobytes (but for one module at a time), clients are few, and
//!   each has a time for its request. Of events a client
//!   holds 4,096 at most, and four clients hear them.
//! - Nothing here waits for a process, and no process waits for a client.

mod answer;
mod beside;
mod client;
mod dashboard;
mod door;
mod events;
mod follow;
mod guard;
mod here;
pub mod list;
mod metrics;
mod observer;
mod pages;
mod place;
mod request;
mod serving;
pub mod stack;
mod tls;
mod token;
pub mod upgrade;
pub mod view;

pub use self::client::{Client, Trouble};
pub use self::dashboard::Dashboard;
pub use self::door::{Door, Program};
pub use self::place::{find, folder, path_of};
pub use self::tls::Certificates;
pub use self::token::Token;
