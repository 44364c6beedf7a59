//! What processes see of the world, configured once for a system.

use super::stdio::stream::ProcessOutput;
use super::{Output, Stdin};
use crate::report::panic::PanicCapture;
use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use wasmtime_wasi::filesystem::WasiFilesystemCtx;
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::{FsPerms, HostMonotonicClock, WasiCtxBuilder, WasiView};

/// A folder of the host that a program may use, with everything in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dir {
    /// Where it is.
    pub host: PathBuf,
    /// What it is called inside.
    pub guest: String,
    /// Nothing in it may be changed.
    pub read_only: bool,
}

/// What the processes of a system see. The same for all, except that standard input belongs to the main process.
#[derive(Clone)]
pub struct WasiConfig {
    /// Arguments, the program's name first.
    pub args: Vec<String>,
    /// Environment variables.
    pub env: Vec<(String, String)>,
    /// Folders. Without one a program can open no file.
    pub dirs: Vec<Dir>,
    /// Standard input of the main process.
    pub stdin: Stdin,
    /// Standard output of all processes.
    pub stdout: Output,
    /// Standard error of all processes, and of the host's reports.
    pub stderr: Output,
}

impl Default for WasiConfig {
    /// No arguments, no environment, no folders, nothing to read, and output to nowhere.
    fn default() -> Self {
        Self {
            args: Vec::new(),
            env: Vec::new(),
            dirs: Vec::new(),
            stdin: Stdin::Empty,
            stdout: Output::discard(),
            stderr: Output::discard(),
        }
    }
}

/// Why a system cannot start with a configuration.
#[derive(Debug)]
#[non_exhaustive]
pub enum WasiError {
    /// A folder that cannot be opened.
    Dir {
        /// The folder.
        host: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// Two folders with one name inside.
    SameName(String),
    /// An argument or a variable that has a zero byte in it, which ends a string in WASI.
    ZeroByte(String),
    /// A variable without a name, or with `=` in its name.
    EnvName(String),
}

impl std::fmt::Display for WasiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dir { host, error } => {
                let host = host.display();
                let why = match error.kind() {
                    io::ErrorKind::NotFound => "there is no such folder",
                    io::ErrorKind::NotADirectory => "it is not a folder",
                    io::ErrorKind::PermissionDenied => "it may not be read",
                    _ => return write!(f, "cannot give the program the folder {host}: {error}"),
                };
                write!(f, "cannot give the program the folder {host}: {why}")
            }
            Self::SameName(guest) => {
                write!(
                    f,
                    "two folders would be called {guest} inside: name one differently with HOST::GUEST"
                )
            }
            Self::ZeroByte(text) => write!(f, "{text:?} has a zero byte, which no program can receive: remove it"),
            Self::EnvName(name) => write!(f, "{name:?} cannot be the name of an environment variable"),
        }
    }
}

impl std::error::Error for WasiError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Dir { error, .. } => Some(error),
            _ => None,
        }
    }
}

impl WasiConfig {
    /// Checks the configuration and opens the folders, once for all processes.
    ///
    /// # Errors
    ///
    /// [`WasiError`]: something that the user has to change.
    pub fn open(self) -> Result<Wasi, WasiError> {
        self.check_strings()?;
        let mut names = HashSet::new();
        let mut builder = WasiCtxBuilder::new();
        for Dir { host, guest, read_only } in &self.dirs {
            if !names.insert(guest) {
                return Err(WasiError::SameName(guest.clone()));
            }
            let failed = |error| WasiError::Dir {
                host: host.clone(),
                error,
            };
            if !std::fs::metadata(host).map_err(failed)?.is_dir() {
                return Err(failed(io::ErrorKind::NotADirectory.into()));
            }
            let perms = if *read_only {
                FsPerms::ReadOnly
            } else {
                FsPerms::ReadWrite
            };
            builder.preopened_dir(host, guest, perms).map_err(|error| {
                failed(
                    error
                        .downcast()
                        .unwrap_or_else(|error| io::Error::other(error.to_string())),
                )
            })?;
        }
        let filesystem = builder.build().filesystem().clone();
        Ok(Wasi {
            config: self,
            filesystem,
        })
    }

    fn check_strings(&self) -> Result<(), WasiError> {
        let values = self.env.iter().map(|(_, value)| value);
        if let Some(text) = self.args.iter().chain(values).find(|text| text.contains('\0')) {
            return Err(WasiError::ZeroByte(text.clone()));
        }
        match self
            .env
            .iter()
            .find(|(name, _)| name.is_empty() || name.contains(['=', '\0']))
        {
            Some((name, _)) => Err(WasiError::EnvName(name.clone())),
            None => Ok(()),
        }
    }
}

/// A configuration that has been checked, and whose folders are open. Shared by all processes of a system.
pub struct Wasi {
    config: WasiConfig,
    /// Open folders; a clone shares the descriptors.
    filesystem: WasiFilesystemCtx,
}

impl Wasi {
    /// Makes the context of a process: 5 µs and a few KB, so only when the process first calls WASI.
    ///
    /// `clock` is the monotonic clock. `panic` is the process's own; the standard error of the context puts into it what [`crate::report`] asks for.
    /// Dropping the context prints whatever text of the process has not come out yet: ask [`crate::report::panic_of`]
    /// before.
    ///
    /// No call through the context blocks a thread for long: files are read and written on tokio's pool for blocking work
    /// (of the runtime the caller is in, else of one that wasmtime-wasi starts), output as [`super::stdio`] says.
    pub fn context(&self, is_main: bool, panic: &PanicCapture, clock: impl HostMonotonicClock + 'static) -> WasiP1Ctx {
        let WasiConfig {
            args,
            env,
            stdin,
            stdout,
            stderr,
            ..
        } = &self.config;
        let mut builder = WasiCtxBuilder::new();
        builder.args(args).envs(env).monotonic_clock(clock);
        if is_main {
            stdin.give(&mut builder);
        }
        builder
            .stdout(ProcessOutput {
                output: stdout.clone(),
                panic: None,
            })
            .stderr(ProcessOutput {
                output: stderr.clone(),
                panic: Some(panic.clone()),
            });
        let mut context = builder.build_p1();
        *context.ctx().ctx.filesystem() = self.filesystem.clone();
        context
    }

    /// Standard output of the system.
    pub fn stdout(&self) -> &Output {
        &self.config.stdout
    }

    /// Standard error of the system, where the host's reports go too.
    pub fn stderr(&self) -> &Output {
        &self.config.stderr
    }
}
