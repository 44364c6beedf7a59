//! The admin door of Lunatic: inspects and controls a running system.
//!
//! A [`Door`] is a Unix socket that speaks HTTP/1.1 with JSON, so `curl --unix-socket` can be its client. Commands such
//! as `lunatic ps`, `tree`, `inspect`, `trace`, `kill` and `exit` are clients, too; they use [`Client`]. A
//! [`Dashboard`] is a port of this machine with the same interface for clients that present a [`Token`], and with pages
//! for a browser.
//!
//! # What it may not know
//!
//! The kernel and WebAssembly: an embedding program can see and do everything with
//! [`RunningSystem`](lunatic_host::RunningSystem) that can be seen and done here.
//!
//! # Invariants
//!
//! - Only the user who runs the program, the machine's administrator, and clients with the token or a certificate get
//!   answers.
//! - Clients can neither stop the host nor make it grow: heads are short, bodies have a few kilobytes (except for one
//!   module at a time), the number of clients is limited, and so is the time for each request. At most four clients
//!   receive events, and each holds at most 4,096 of them.
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
mod nodes;
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
