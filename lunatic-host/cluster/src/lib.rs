//! Certificates and policies of a cluster: who may be a node of it, and what the others let a node do.
//!
//! An [`Authority`] is a folder with the key that signs the certificates of all nodes of a cluster. It is used offline,
//! by `lunatic cluster`. Each node has an *identity*, which is one file with its certificate, its private key and the
//! certificate of the authority. [`Certified`] secures the connections of a node with them: TLS 1.3, in which both ends
//! show a certificate of the authority. Nodes of one user on one machine need no files: they share a secret, from which they
//! derive the authority ([`Certified::with_secret`]). [`Policy`] says what each node may do here.
//!
//! # What it may not know
//!
//! Processes and WebAssembly. It implements the interfaces of [`lunatic_nodes`] for connections and for trust.
//!
//! # Invariants
//!
//! - The name of a node is in its certificate, as `lunatic://CLUSTER/NAME`. Whoever cannot show such a certificate of the
//!   same authority, valid now and not revoked, gets no further than the handshake.
//! - Private keys are in files that only their owner can read; other files are refused.
//! - If a file that is read again is invalid, its previous content stays in force, and the other files count.

mod authority;
mod certified;
mod files;
mod identity;
mod keys;
mod name;
mod policy;
mod shared;
mod trust;
mod verified;

pub use self::authority::{Authority, DAYS};
pub use self::certified::{Certified, Paths};
pub use self::identity::Identity;
pub use self::policy::{Policy, PolicyError, Visit};
pub use self::trust::{Policed, Policies};
