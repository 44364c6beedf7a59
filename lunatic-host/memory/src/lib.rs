//! The memory of processes: linear memories and fiber stacks for wasmtime, and operations on them while nothing runs on
//! them. All mapping of memory in the host happens here.
//!
//! wasmtime would give each memory and each stack kernel maps of its own, of which Linux gives a program 65,530. Here
//! they are *slots* of *arenas*: a million fit in a few maps. The pages of a slot can also be taken from a waiting
//! process, and given back to it unchanged.
//!
//! | module | contents |
//! |---|---|
//! | `os` | system calls, and what newer kernels offer; figures of this process and of the machine |
//! | `arena` | address space cut into equal slots |
//! | `linear` | linear memories in two layouts, [`FastMemories`] and [`DenseMemories`], which share a [`MemoryBudget`] |
//! | `stack` | fiber stacks: [`Stacks`] |
//! | `residency` | [`Pages`]: which of them hold data, and how to give them back |
//! | `runs` | [`Runs`]: the differences between some pages and their image |
//! | `packed` | [`Model`]: runs compressed by what others of the same kind have in common |
//!
//! # What it may not know
//!
//! Processes, modules, instances, or any other crate of Lunatic. Of wasmtime, it knows the traits that provide memories
//! and stacks to an engine, and the matching configuration, but no store and no instance; only its tests use those.
//!
//! # Invariants
//!
//! - A free slot holds zeros, or it is *warm*, and its next user knows. No guest sees what another guest left in a
//!   memory.
//! - Only the holder of a slot uses its bytes. Whoever makes [`Pages`] of memory that a guest uses promises that the
//!   guest does not run meanwhile.
//! - What the machine does not provide is an [`ArenaError`] or a [`MemoryError`] that names what was lacking; never an
//!   abort.
//! - No page is huge, so that the page faults of a thread reveal each page that it touches for the first time
//!   ([`thread_faults`]).
//! - The lock of an arena is taken last, and is never held while memory is zeroed or opened.
//!
//! `docs/internals/memory.md` and `docs/internals/hibernation.md` explain the design of each part. Files of this crate
//! that make no system call by themselves (`arena`, `residency`, `runs`) are also compiled in `tests/miri`, with
//! another `os`.

#![warn(missing_docs)]

mod arena;
mod linear;
mod os;
mod packed;
mod residency;
mod runs;
mod stack;
#[cfg(test)]
mod testing;

pub use arena::ArenaError;
pub use linear::{DenseMemories, FastMemories, MemoryBudget, MemoryError, expect_data, take_refusal};
pub use os::{
    KernelFeatures, Room, ThreadClock, address_space, data_memory, forbid_huge_pages, kernel_features, machine_memory,
    page_size, physical_memory, process_memory, process_time, resident_memory, thread_time,
};
pub use packed::{Model, Packed};
pub use residency::{PageSet, Pages, thread_faults};
pub use runs::Runs;
pub use stack::Stacks;
