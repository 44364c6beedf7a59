//! What a guest's file is turned into before it is compiled.
//!
//! | module | what it is about |
//! |---|---|
//! | [`rewrite`] | checks a file, and adds what makes it startable and its instances reusable |
//! | [`facts`] | what the host has to know about a module without running it |
//! | [`imports`] | which functions a module wants from the host |
//! | [`identity`] | which code a module is: hash, name, version |
//! | [`entries`] | names by which an entry is found in another version of a module |
//! | [`signature`] | who vouches for a module |
//! | [`cache`] | keeps what was made of a file on disk |
//!
//! # What this crate does not know
//!
//! It reads and writes bytes. It knows no engine: compiling the result, and keeping it, are the host's part. It knows no
//! process, no runtime and no host function but `lunatic::process` `next`, which the loop that it adds has to call. It
//! does not know which interfaces the host offers: [`imports`] lists what a module wants, and the host decides who
//! provides it.
//!
//! # Invariants
//!
//! - Nothing in a file causes a panic or an endless loop.
//! - Rewriting only appends. No index moves and no body changes, so that debug information stays right.
//! - The result depends on the file and on [`rewrite::VERSION`] only. Whoever keeps it needs no other key.

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
