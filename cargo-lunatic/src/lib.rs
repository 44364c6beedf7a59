//! `cargo lunatic`: builds WebAssembly guests with cargo and runs them on the bundled host.
//!
//! The binary of this crate is the cargo subcommand; [`main`] is all of it. The library is for programs that build
//! guests themselves, such as tests: [`guests::build`] calls cargo as the subcommand does, with the same toolchain and
//! the same flags, and says what came out.
//!
//! | module | what it is about |
//! |---|---|
//! | `commands` | one file per subcommand |
//! | `args`, `passed` | cargo's flags, as we take them and pass them on |
//! | [`toolchain`] | finds or makes what is needed to compile for [`TARGET`] |
//! | `cargo` | calls cargo and reads its messages |
//! | `config`, [`rustflags`] | adds our link argument without pushing the user's flags out of force |
//! | `select` | which program `run` means |
//! | `scratch` | folders for temporary files |

#![forbid(unsafe_code)]

mod args;
mod artifact;
mod cargo;
mod commands;
mod config;
mod environment;
mod error;
pub mod guests;
mod passed;
mod rights_file;
pub mod rustflags;
mod scratch;
mod select;
mod shell;
pub mod toolchain;
#[cfg(unix)]
mod watch;

pub use artifact::{Artifact, Kind};
pub use commands::main;
pub use error::Error;

/// The target that guests are compiled for.
pub const TARGET: &str = "wasm32-wasip1";

/// The name that [`TARGET`] had until Rust 1.84; taken as an alias on the command line.
pub const TARGET_OLD_NAME: &str = "wasm32-wasi";
