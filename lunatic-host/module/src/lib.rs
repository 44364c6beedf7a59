//! Processes a guest's file before it is compiled.
//!
//! | module | purpose |
//! |---|---|
//! | [`rewrite`] | checks a file, and adds what makes it startable and its instances reusable |
//! | [`facts`] | what the host must know about a module without running it |
//! | [`imports`] | the functions that a module needs from the host |
//! | [`identity`] | the identity of a module's code: hash, name, version |
//! | [`entries`] | names by which an entry is found in another version of a module |
//! | [`signature`] | who vouches for a module |
//! | [`cache`] | stores compiled modules on disk |
//!
//! # What this crate does not know
//!
//! It reads and writes bytes. It does not know an engine: the host compiles the result, and stores it. It knows no
//! process, no runtime, and no host function except `lunatic::process` `next`, which the added loop calls. It does not
//! know which interfaces the host offers: [`imports`] lists what a module needs, and the host decides what provides it.
//!
//! # Invariants
//!
//! - Nothing in a file causes a panic or an endless loop.
//! - Rewriting appends, and replaces some instructions with calls that take the same room. No index moves, and (with the
//!   exception described in `rewrite/bulk.rs`) no instruction does, so that debug information stays right.
//! - The result depends only on the file and on [`rewrite::VERSION`]. Whoever stores it needs no other key.

pub mod cache;
pub mod entries;
pub mod facts;
pub mod identity;
pub mod imports;
pub mod rewrite;
pub mod signature;
#[cfg(test)]
mod testing;

pub use self::entries::{Entries, EntryName};
pub use self::identity::CodeId;
