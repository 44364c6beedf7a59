//! Checks that the code is built as ARCHITECTURE.md says, without building it.
//!
//! Each rule is a file with one function `check`: it takes a [`Tree`] and returns a sentence for each violation, which
//! says where it is, which arrow is wrong, and what to do. `tests/layers.rs` runs the rules on this checkout; the tests
//! beside each rule run it on a small tree that someone made up, with an arrow against the rule.
//!
//! | rule | what it holds |
//! |---|---|
//! | [`tower`] | the crates form a tower, and some may not use certain other crates |
//! | [`cycles`] | no large cycle of files inside a crate |
//! | [`wasmtime_types`] | only listed modules name wasmtime |
//! | [`unsafety`] | only listed files have `unsafe` in them |
//! | [`sources`] | the kernel gets time and random numbers in one place |
//! | [`contract`] | each sentence of `docs/semantics.md` names tests that exist |
//! | [`limits`] | each limit in `docs/security.md` names tests that exist |
//! | [`documents`] | the files that documents name exist |
//! | [`prose`] | documents are written in plain English |
//! | [`excerpts`] | the programs that the README and the book show are compiled |
//!
//! The rules see what is written, not what the compiler infers: a method call on a value whose type is never named is no
//! arrow. Code that is compiled only for tests does not count.

pub mod contract;
pub mod cycles;
pub mod documents;
pub mod excerpts;
mod graph;
pub mod limits;
mod listing;
mod modules;
pub mod prose;
mod source;
pub mod sources;
pub mod tower;
mod tree;
pub mod unsafety;
pub mod wasmtime_types;

pub use tree::{Crate, Tree};
