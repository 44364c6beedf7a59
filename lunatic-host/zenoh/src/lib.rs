//! Carries frames between Lunatic's nodes over [Eclipse Zenoh](https://zenoh.io).
//!
//! Zenoh finds nodes starting from a few known ones, connects each with each, and delivers frames in order while
//! nothing fails. Its further promises are not relied on: `lunatic-nodes` detects losses.
//!
//! Everything is behind the feature `zenoh`, which is off by default, because it adds some 180 crates. Without
//! [`ZenohFabric::open`] there is no session, no socket and no thread.
//!
//! # What it uses of Zenoh
//!
//! - a publisher for each node to which frames are sent, on `lunatic/CLUSTER/in/TO`. It blocks when Zenoh's queue is
//!   full, so each has a thread of its own, and a node that hangs delays no other;
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
