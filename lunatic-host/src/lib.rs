//! The Lunatic runtime.
pub mod cli;
pub mod report;
pub mod wasi;
