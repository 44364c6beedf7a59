//! Modules: what a guest's file is turned into before a process can run it.
//!
//! [`rewrite`] makes a module startable and its instances reusable, and finds out what the host has to know about it
//! ([`facts`]). [`cache`] keeps compiled modules on disk.
#![allow(dead_code, reason = "the loader that uses these comes with the engine")]

pub(crate) mod cache;
pub(crate) mod facts;
pub(crate) mod rewrite;
#[cfg(test)]
pub(crate) mod testing;
