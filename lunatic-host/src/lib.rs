//! The Lunatic runtime.
pub mod cli;
mod module;
