//! Many kernels as one system: what stands between a transport and the links, monitors and messages of processes.
//!
//! A transport ([`fabric::Fabric`]) brings frames from one node to another, and promises little. A [`Node`] makes of that what
//! processes rely on: with each other node it has *epochs*, within which all that is sent arrives in order, up to the end of the
//! epoch and without a hole. Whatever goes wrong ends the epoch, once, with a reason ([`Loss`](lunatic_kernel::exit::Loss)).
//!
//! A [`Cluster`] joins a node to a kernel: signals of processes go out as records and come in again.
//!
//! # What it may not know
//!
//! No WebAssembly, no tokio, no sockets, no clock. Nodes are told the time, so a test runs many of them in one thread with
//! virtual time and faults that a seed decides ([`memory`]). Only [`driver`] has a thread.
//!
//! # Floors
//!
//! | floor | modules |
//! |---|---|
//! | what connects kernels | [`cluster`], [`driver`] |
//! | one node | [`node`], [`memory`] |
//! | its parts | `line`, [`names`], [`store`] |
//! | one epoch | [`traffic`], [`inbox`], [`outbox`] |
//! | bytes | [`record`], [`frame`], `codec` |
//! | small things | [`identity`], [`trust`], [`fabric`], [`random`] |
//!
//! # Invariants
//!
//! - **Nothing that a peer sends panics, blocks or exhausts a node.** All lengths are checked before anything is kept, all tables
//!   have bounds, and what breaks a rule ends the epoch.
//! - **An epoch ends once**, by `Node::lose`, and no hint of the transport ends it alone.
//! - **A node writes only its own rows** of names and groups.

pub mod cluster;
mod codec;
pub mod driver;
pub mod fabric;
pub mod frame;
pub mod identity;
pub mod inbox;
mod line;
pub mod memory;
pub mod names;
pub mod node;
pub mod outbox;
pub mod random;
pub mod record;
pub mod store;
pub mod traffic;
pub mod trust;

pub use self::cluster::Cluster;
pub use self::identity::{Identity, NodeId};
pub use self::node::{Event, Node, Settings};
