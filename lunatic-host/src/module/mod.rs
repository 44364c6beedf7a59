//! Modules: what a guest's file is turned into before a process can run it.
//!
//! [`rewrite`] makes a module startable and its instances reusable, and finds out what the host has to know about it
//! ([`facts`]). [`loader`] compiles it, [`cache`] keeps what was compiled on disk.

pub(crate) mod cache;
pub(crate) mod facts;
mod loader;
pub(crate) mod rewrite;
#[cfg(test)]
pub(crate) mod testing;

pub use self::loader::{LoadError, Module};
