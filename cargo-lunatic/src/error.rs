//! Everything that can go wrong before a guest runs.

use std::io;
use std::path::PathBuf;

use crate::{select, toolchain};

/// Why a command of `cargo lunatic` could not build or run a guest.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// Cargo failed and has reported why on stderr. Holds cargo's exit code.
    Cargo(i32),
    /// Cargo could not be started.
    StartCargo {
        /// The program that could not be started.
        program: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// Cargo's messages could not be read.
    CargoOutput(io::Error),
    /// There is no way to compile for the target.
    Toolchain(toolchain::Missing),
    /// The guest contains C code, and there is no compiler for it.
    NoCCompiler(toolchain::Attempt),
    /// `lunatic.toml` is not valid.
    RightsFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// It is unclear which program to run.
    Select(select::SelectError),
    /// A file or folder could not be read or written.
    File {
        /// The operation, such as `read`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// Cargo cannot run in the folder that the caller of the library has named.
    NoManifest(PathBuf),
}

impl Error {
    /// The exit code for the shell: cargo's own, or 101, which cargo also uses for its own errors.
    pub fn exit_code(&self) -> i32 {
        match self {
            Error::Cargo(code) => *code,
            _ => 101,
        }
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Error::Cargo(code) => write!(f, "cargo ended with exit code {code}"),
            Error::StartCargo { program, .. } => {
                write!(
                    f,
                    "cannot start `{}`; install Rust from https://rustup.rs, or set CARGO",
                    program.display()
                )
            }
            Error::CargoOutput(_) => write!(f, "cannot read cargo's messages"),
            Error::Toolchain(missing) => missing.fmt(f),
            Error::NoCCompiler(toolchain::Attempt { way, why, help, .. }) => {
                write!(
                    f,
                    "the program has C code, and there is no C compiler for {}: {way}: {why}",
                    crate::TARGET
                )?;
                match help {
                    Some(help) => write!(f, "\n  try: {help}"),
                    None => Ok(()),
                }
            }
            Error::RightsFile { path, why } => write!(f, "in `{}`: {}", path.display(), why.trim_end()),
            Error::Select(error) => error.fmt(f),
            Error::File { action, path, .. } => write!(f, "cannot {action} `{}`", path.display()),
            Error::NoManifest(folder) => write!(f, "there is no Cargo.toml in `{}`", folder.display()),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::StartCargo { source, .. } | Error::CargoOutput(source) | Error::File { source, .. } => Some(source),
            Error::Cargo(_)
            | Error::Toolchain(_)
            | Error::NoCCompiler(_)
            | Error::RightsFile { .. }
            | Error::Select(_)
            | Error::NoManifest(_) => None,
        }
    }
}

impl From<toolchain::Missing> for Error {
    fn from(missing: toolchain::Missing) -> Error {
        Error::Toolchain(missing)
    }
}

impl From<select::SelectError> for Error {
    fn from(error: select::SelectError) -> Error {
        Error::Select(error)
    }
}
