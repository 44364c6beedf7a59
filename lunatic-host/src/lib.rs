//! The Lunatic runtime.
pub mod cli;
