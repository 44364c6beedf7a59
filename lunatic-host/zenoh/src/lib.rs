//! [Eclipse Zenoh](https://zenoh.io) as what carries frames between Lunatic's nodes.
//!
//! Zenoh finds nodes from a few that are known, connects each with each, and brings frames in order for as long as all is well. What it
//! promises beyond that is not relied on: `lunatic-nodes` notices what is lost.
//!
//! Everything is behind the feature `zenoh`, which is off by default: it brings some 180 crates. Without [`ZenohFabric::open`] there
//! is no session, no socket and no thread.
//!
//! # What it uses of Zenoh
//!
//! - a publisher for each node that frames go to, on `lunatic/CLUSTER/in/TO`, which blocks when Zenoh's queue is full: so each has a
//!   thread of its own, and a node that stands still holds up nobody else;
//! - a subscriber to the key of this node, which only puts frames into a queue;
//! - a liveliness token for this start of this node, as a hint for others.

#[cfg(feature = "zenoh")]
mod config;
#[cfg(feature = "zenoh")]
mod fabric;
#[cfg(feature = "zenoh")]
mod keys;
#[cfg(feature = "zenoh")]
mod senders;

#[cfg(feature = "zenoh")]
pub use self::config::{OpenError, Settings, Tls};
#[cfg(feature = "zenoh")]
pub use self::fabric::ZenohFabric;
