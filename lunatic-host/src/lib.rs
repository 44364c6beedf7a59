//! The Lunatic runtime.
pub mod cli;
pub mod instance;
