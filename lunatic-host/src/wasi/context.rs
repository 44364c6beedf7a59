//! What processes see of the world, configured once for a system.

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use lunatic_kernel::shares::Group;
use lunatic_kernel::stock::{EXHAUSTED, Portion, Stock};
use lunatic_rights::config::{ClockRight, Config, RandomRight, Stream};
use lunatic_rights::files::{Folder, Place};
use lunatic_rights::{Denied, Dir};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use wasmtime_wasi::filesystem::WasiFilesystemCtx;
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::{FsPerms, HostMonotonicClock, WasiCtxBuilder, WasiView};

use super::clocks::FixedClock;
use super::stdio::stdin::OpenStdin;
use super::stdio::stream::ProcessOutput;
use super::{Capture, Output, Stdin};
use crate::report::panic::PanicCapture;

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
        let mut folders = Vec::new();
        for Dir { host, guest, read_only } in &self.dirs {
            if !names.insert(guest) {
                return Err(WasiError::SameName(guest.clone()));
            }
            let failed = |error| WasiError::Dir {
                host: host.clone(),
                error,
            };
            folders.push(Folder::open(host, guest.clone(), *read_only).map_err(failed)?);
        }
        let filesystem = filesystem(&folders).map_err(|(at, error)| WasiError::Dir {
            host: self.dirs[at].host.clone(),
            error,
        })?;
        Ok(Wasi {
            args: self.args,
            env: self.env,
            folders,
            filesystem,
            paid: None,
            stdin: OpenStdin::new(&self.stdin),
            stdin_given: false,
            stdout: self.stdout,
            stderr: self.stderr,
            captured: [None, None],
            clock: ClockRight::Real,
            random: RandomRight::Real,
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

/// So many bytes of a stream are kept for a parent that does not ask for them.
pub(crate) const CAPTURED_MAX: usize = 256 << 10;

/// How many descriptors so many folders have: one that narrows them for children, one that wasmtime-wasi uses.
fn descriptors_of(folders: usize) -> u64 {
    2 * folders as u64
}

/// Folders as wasmtime-wasi wants them; or which of them it could not open, and why.
fn filesystem(folders: &[Folder]) -> Result<WasiFilesystemCtx, (usize, io::Error)> {
    let mut builder = WasiCtxBuilder::new();
    // Whoever calls sees to it that the thread may block.
    builder.allow_blocking_current_thread(true);
    for (at, folder) in folders.iter().enumerate() {
        let perms = if folder.read_only {
            FsPerms::ReadOnly
        } else {
            FsPerms::ReadWrite
        };
        let opened = builder.preopened_dir(folder.path(), &folder.guest, perms);
        opened.map_err(|error| {
            let error = error
                .downcast()
                .unwrap_or_else(|error| io::Error::other(error.to_string()));
            (at, error)
        })?;
    }
    Ok(builder.build().filesystem().clone())
}

/// A configuration that has been checked, and whose folders are open. Shared by all processes of a system that have the
/// same rights.
pub struct Wasi {
    args: Vec<String>,
    env: Vec<(String, String)>,
    folders: Vec<Folder>,
    /// The same folders; a clone shares the descriptors.
    filesystem: WasiFilesystemCtx,
    /// What is paid for them: those who have the same folders pay together.
    paid: Option<Arc<Portion>>,
    stdin: OpenStdin,
    /// Not only the main process reads it.
    stdin_given: bool,
    stdout: Output,
    stderr: Output,
    /// Standard output and error, if they are kept for the parent.
    captured: [Option<Capture>; 2],
    clock: ClockRight,
    random: RandomRight,
}

impl Wasi {
    /// Takes the descriptors of the folders, which are open already, from those of a group; false if it may not have so many.
    pub(crate) fn pay(&mut self, descriptors: &Arc<Stock>, group: &Arc<Group>) -> bool {
        let paid = Portion::take(descriptors, group, descriptors_of(self.folders.len()));
        self.paid = paid.map(Arc::new);
        self.paid.is_some()
    }

    /// What a child sees of it for which `config` asks. `has_stdin`: the parent reads the standard input. The folders of its own
    /// take descriptors from those of the child's group.
    pub(crate) fn narrowed(
        &self,
        config: &Config,
        has_stdin: bool,
        descriptors: &Arc<Stock>,
        group: &Arc<Group>,
    ) -> Result<Self, Denied> {
        // Before they are opened.
        let asked = descriptors_of(config.dirs.as_ref().map_or(0, Vec::len));
        let paid = Portion::take(descriptors, group, asked).ok_or_else(|| Denied(EXHAUSTED.into()))?;
        let (folders, filesystem, paid) = match config.folders_of_child(&self.folders)? {
            None => (self.folders.clone(), self.filesystem.clone(), self.paid.clone()),
            Some(folders) => {
                let filesystem = filesystem(&folders)
                    .map_err(|(at, error)| Denied(format!("the folder {}: {error}", folders[at].guest)))?;
                (folders, filesystem, Some(Arc::new(paid)))
            }
        };
        let output = |stream: Option<Stream>, own: &Output| match stream {
            Some(Stream::Discard) => (Output::discard(), None),
            Some(Stream::Capture) => {
                let (output, capture) = Output::captured_up_to(CAPTURED_MAX);
                (output, Some(capture))
            }
            Some(Stream::Inherit) | None => (own.clone(), None),
        };
        let (stdout, captured_stdout) = output(config.stdout, &self.stdout);
        let (stderr, captured_stderr) = output(config.stderr, &self.stderr);
        Ok(Self {
            args: config.args_of_child(&self.args),
            env: config.env_of_child(&self.env),
            folders,
            filesystem,
            paid,
            stdin: self.stdin.clone(),
            stdin_given: config.stdin == Some(Stream::Inherit) && has_stdin,
            stdout,
            stderr,
            captured: [captured_stdout, captured_stderr],
            clock: self.clock.narrowed(config.clock),
            random: self.random.narrowed(config.random),
        })
    }

    /// About how many bytes it takes up, with the table that holds its folders. A [`context`](Self::context) has as many.
    pub(crate) fn size(&self) -> usize {
        /// A string, with what the allocator adds.
        const TEXT: usize = 64;
        /// What wasmtime-wasi keeps of an open folder.
        const FOLDER: usize = 256;
        let variables = self.env.iter().flat_map(|(name, value)| [name, value]);
        let folders = self.folders.iter().map(|folder| &folder.guest);
        let texts = self.args.iter().chain(variables).chain(folders);
        size_of::<Self>() + self.folders.len() * FOLDER + texts.map(|text| TEXT + text.len()).sum::<usize>()
    }

    /// All processes read the standard input, not only the main process.
    pub(crate) fn share_stdin(&mut self) {
        self.stdin_given = true;
    }

    /// Sets the environment to just these variables, in this order.
    pub fn set_env(&mut self, env: Vec<(String, String)>) {
        self.env = env;
    }

    /// Whether clocks and random numbers are the same in each run.
    #[cfg(test)]
    pub(crate) fn is_fixed(&self) -> bool {
        matches!((self.clock, self.random), (ClockRight::Fixed(_), RandomRight::Seed(_)))
    }

    /// What is kept of standard output (0) or error (1) for the parent.
    pub fn captured(&self, stream: usize) -> Option<&Capture> {
        self.captured.get(stream)?.as_ref()
    }

    /// Where a process with this calls something `path`, in a folder that it may change.
    pub(crate) fn place(&self, path: &str) -> io::Result<Place> {
        Folder::place(&self.folders, path)
    }

    /// The folder that a path lies in, and the path from there; nothing if it lies in none.
    pub fn place_of(&self, path: &str) -> Option<(Folder, String)> {
        let (folder, rest) = Folder::nearest(&self.folders, path).ok()?;
        Some((folder.clone(), rest.join("/")))
    }

    /// What the folders are called inside, and which of them are only read.
    pub(crate) fn folder_names(&self) -> Vec<String> {
        let mode = |folder: &Folder| if folder.read_only { ":ro" } else { "" };
        let names = self
            .folders
            .iter()
            .map(|folder| format!("{}{}", folder.guest, mode(folder)));
        names.collect()
    }

    /// The names of its variables, without their values.
    pub(crate) fn variable_names(&self) -> Vec<String> {
        self.env.iter().map(|(name, _)| name.clone()).collect()
    }

    /// How many folders there are. A context gives them the numbers behind those of the standard streams.
    pub(crate) fn folder_count(&self) -> usize {
        self.folders.len()
    }

    /// Whether there is no folder, so that no file can be opened.
    pub(crate) fn has_no_folder(&self) -> bool {
        self.folders.is_empty()
    }

    /// Whether a process with this reads the system's standard input.
    pub fn has_stdin(&self, is_main: bool) -> bool {
        is_main || self.stdin_given
    }

    /// Makes the context of a process: 5 µs and a few KB, so only when the process first calls WASI.
    ///
    /// `clock` is the monotonic clock. `panic` is the process's own; the standard error of the context puts into it what [`crate::report`] asks for.
    /// Dropping the context prints whatever text of the process has not come out yet: ask [`crate::report::panic_of`]
    /// before.
    ///
    /// What a call does on a file or folder, it does on the thread that polls it, which must be one that may block. Output goes
    /// where [`super::stdio`] says, and blocks no thread.
    pub fn context(&self, is_main: bool, panic: &PanicCapture, clock: impl HostMonotonicClock + 'static) -> WasiP1Ctx {
        let mut builder = WasiCtxBuilder::new();
        builder.args(&self.args).envs(&self.env);
        match self.clock {
            ClockRight::Real => _ = builder.monotonic_clock(clock),
            ClockRight::Fixed(start) => {
                let fixed = FixedClock::new(start);
                builder.wall_clock(fixed.clone()).monotonic_clock(fixed);
            }
        }
        if let RandomRight::Seed(seed) = self.random {
            builder.secure_random(StdRng::seed_from_u64(seed));
        }
        if self.has_stdin(is_main) {
            self.stdin.give(&mut builder);
        }
        builder
            .stdout(ProcessOutput {
                output: self.stdout.clone(),
                panic: None,
            })
            .stderr(ProcessOutput {
                output: self.stderr.clone(),
                panic: Some(panic.clone()),
            });
        let mut context = builder.build_p1();
        *context.ctx().ctx.filesystem() = self.filesystem.clone();
        context
    }

    /// Standard output of the system.
    pub fn stdout(&self) -> &Output {
        &self.stdout
    }

    /// Standard error of the system, where the host's reports go too.
    pub fn stderr(&self) -> &Output {
        &self.stderr
    }
}
