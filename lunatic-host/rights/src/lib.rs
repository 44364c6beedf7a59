//! Rights: what a process may do and use.
//!
//! The main process has the rights that the command line grants. A child has its parent's rights, or fewer: a spawn can
//! pass a [`Config`], and the child gets what the configuration asks for *and* its parent has. This is decided when the
//! configuration is used.
//!
//! | module | purpose |
//! |---|---|
//! | [`table`] | all rights, each spelled once: key, flag, `lunatic.toml`, calls of the SDK, how it narrows |
//! | [`config`] | the request of a spawn, and how it is written |
//! | [`narrow`] | the part of it that the child gets |
//! | [`flags`] | folders and variables, as flags of the command line and entries of configurations |
//! | [`size`] | numbers of bytes |
//! | [`files`] | open folders, and folders inside folders |
//! | [`net`] | rules for hosts and ports |
//!
//! This crate consists of data, parsers and comparisons. It may not know processes, budgets, WebAssembly, WASI or the
//! flags of a running program: the host holds the rights of each process, asks this crate what a child gets, and
//! enforces the answer in each call.
//!
//! Invariants:
//!
//! - **A child never has more than its parent.** Each function of [`narrow`] takes the parent's part and returns no
//!   more.
//! - **Nothing that a guest writes into a configuration panics**, takes more than linear time, or is ignored: an
//!   invalid entry is an error that says what to write.
//! - **A folder is an open directory.** A child's folder is opened through its parent's, so that no link, and no
//!   renaming meanwhile, leads outside.

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod config;
pub mod files;
pub mod flags;
mod may;
pub mod narrow;
pub mod net;
pub mod size;
pub mod table;

pub use config::{Config, ConfigError, Limits};
pub use flags::Dir;
pub use may::{MAY_ALL, May};
pub use narrow::Denied;
pub use size::parse_size;
