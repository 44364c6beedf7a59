//! Models of the host's queues and state machines. Loom runs each in all interleavings of its threads, with all that the
//! memory model allows, and fails if one of them breaks an assertion, races for data or leaves threads waiting for ever:
//!
//! `RUSTFLAGS="--cfg loom" cargo test --release -p lunatic-loom --target-dir target/loom`
//!
//! What is modelled are the kernel's own files, compiled here with loom's atomics and locks (`sync`). What they use of the
//! rest of the kernel is reduced to what matters: `process` is a process with a worker of its own, `table` holds one
//! channel. Without `--cfg loom` the crate is empty.
#![cfg(loom)]
#![expect(dead_code, reason = "the models do not use all of the host's files")]
#![allow(unreachable_pub, reason = "what the host's files make public is public nowhere here")]

mod address;
#[path = "../../../lunatic-host/kernel/src/arrivals.rs"]
mod arrivals;
#[path = "../../../lunatic-host/kernel/src/budget/mod.rs"]
mod budget;
#[path = "../../../lunatic-host/kernel/src/channel/mod.rs"]
mod channel;
mod exit;
#[path = "../../../lunatic-host/kernel/src/latch.rs"]
mod latch;
pub mod models;
#[path = "../../../lunatic-host/kernel/src/pieced_queue.rs"]
mod pieced_queue;
mod process;
mod relations;
#[path = "../../../lunatic-host/kernel/src/room.rs"]
mod room;
#[path = "../../../lunatic-host/kernel/src/sleepers.rs"]
mod sleepers;
mod sync;
mod table;
#[path = "../../../lunatic-host/kernel/src/trace.rs"]
mod trace;
#[path = "../../../lunatic-host/kernel/src/waiters.rs"]
mod waiters;
