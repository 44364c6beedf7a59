//! The host's unsafe bookkeeping of memory: arenas, slots, pages and runs, compiled here with a `kernel`
//! that makes no system call, so that Miri can run it:
//!
//! `cargo +nightly miri test -p lunatic-miri`
//!
//! Miri comes with `rustup component add --toolchain nightly miri rust-src`. It finds what breaks the rules of pointers and
//! races for data; that pages are mapped, guarded and zeroed as the host asks is for the kernel's own tests to show. Without
//! Miri these are property tests as others are, with more steps.
//!
//! As its own unit test, which `--all-targets` asks for, the crate is empty: the host's unit tests are not for this kernel.
#![cfg(not(test))]
#![expect(dead_code, reason = "the checks do not use all of the host's files")]
#![allow(unreachable_pub, reason = "what the host's files make public is public nowhere here")]

pub mod checks;

mod instance {
    #[path = "../../../../lunatic-host/src/instance/arena.rs"]
    pub(crate) mod arena;
    pub(crate) mod kernel;
    #[path = "../../../../lunatic-host/src/instance/residency.rs"]
    pub(crate) mod residency;
    #[path = "../../../../lunatic-host/src/instance/runs.rs"]
    pub(crate) mod runs;
}
