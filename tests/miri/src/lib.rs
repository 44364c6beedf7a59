//! The unsafe bookkeeping of `lunatic-memory`: arenas, slots, pages and runs, compiled here with an `os` that makes no
//! system call, so that Miri can run it:
//!
//! `cargo +nightly miri test -p lunatic-miri`
//!
//! Miri comes with `rustup component add --toolchain nightly miri rust-src`. It finds what breaks the rules of pointers and
//! races for data; that pages are mapped, guarded and zeroed as they should be is for the crate's own tests to show. Without
//! Miri these are property tests as others are, with more steps.
//!
//! As its own unit test, which `--all-targets` asks for, the crate is empty: the unit tests of `lunatic-memory` are not for this `os`.
#![cfg(not(test))]
#![expect(dead_code, reason = "the checks do not use all of these files")]
#![allow(unreachable_pub, reason = "what these files make public is public nowhere here")]

pub mod checks;

#[path = "../../../lunatic-host/memory/src/arena/mod.rs"]
mod arena;
mod os;
#[path = "../../../lunatic-host/memory/src/residency.rs"]
mod residency;
#[path = "../../../lunatic-host/memory/src/runs.rs"]
mod runs;
