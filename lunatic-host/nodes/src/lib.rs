//! Many kernels as one system: the layer between a transport and the links, monitors and messages of processes.
//!
//! A transport ([`fabric::Fabric`]) carries frames from one node to another, and promises little. A [`Node`] turns that
//! into what processes rely on. It has *epochs* with each other node: within an epoch, everything that is sent arrives
//! in order and without a gap, up to the end of the epoch. Any fault ends the epoch, once, with a reason
//! ([`Loss`](lunatic_kernel::exit::Loss)).
//!
//! A [`Cluster`] connects a node to a kernel: signals of processes go out as records, and come in as signals again.
//!
//! # What it may not know
//!
//! WebAssembly, tokio, the clock. Nodes are given the time, so a test can run many of them in one thread, with virtual
//! time and with faults that a seed decides ([`memory`]). Only [`driver`] and [`tcp`] start threads, and only [`tcp`] has
//! sockets.
//!
//! # Floors
//!
//! | floor | modules |
//! |---|---|
//! | what connects kernels | [`cluster`], [`driver`], [`tcp`] |
//! | one node | [`node`], [`memory`] |
//! | its parts | `line`, [`names`], `news`, [`store`] |
//! | one epoch | [`traffic`], [`inbox`], [`outbox`] |
//! | bytes | [`record`], `errands`, [`frame`], `codec` |
//! | small things | [`attributes`], [`identity`], [`trust`], [`fabric`], [`random`] |
//!
//! # Invariants
//!
//! - **Nothing that a peer sends makes a node panic, block or run out of memory.** All lengths are checked before
//!   anything is kept, all tables have bounds, and a broken rule ends the epoch.
//! - **An epoch ends once**, in `Node::lost`, and a hint of the transport alone does not end it.
//! - **A node writes only its own rows** of names and groups.

pub mod attributes;
pub mod cluster;
mod codec;
pub mod driver;
mod errands;
pub mod fabric;
pub mod frame;
pub mod identity;
pub mod inbox;
mod line;
pub mod memory;
pub mod names;
mod news;
pub mod node;
pub mod outbox;
pub mod random;
pub mod record;
pub mod store;
pub mod tcp;
pub mod traffic;
pub mod trust;

pub use self::attributes::Attributes;
pub use self::cluster::Cluster;
pub use self::identity::{Identity, NodeId};
pub use self::node::{Event, Node, Settings};
