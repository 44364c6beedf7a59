//! What processes see of the world through WASI, configured once per system.

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
use super::stdio::stream::{ProcessOutput, SharedOutput};
use super::{Capture, Output, Stdin};
use crate::report::panic::PanicCapture;

/// The WASI configuration of a system. All processes share it, except that standard input belongs to the main process.
#[derive(Clone)]
pub struct WasiConfig {
    /// Arguments; the first is the program's name.
    pub args: Vec<String>,
    /// Environment variables.
    pub env: Vec<(String, String)>,
    /// Folders. Without any, a program cannot open files.
    pub dirs: Vec<Dir>,
    /// Standard input of the main process.
    pub stdin: Stdin,
    /// Standard output of all processes.
    pub stdout: Output,
    /// Standard error of all processes, and the destination of the host's reports.
    pub stderr: Output,
}

impl Default for WasiConfig {
    /// No arguments, no environment, no folders, empty input, and discarded output.
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
    /// A folder cannot be opened.
    Dir {
        /// The folder.
        host: PathBuf,
        /// The reason.
        error: io::Error,
    },
    /// Two folders have the same name inside.
    SameName(String),
    /// An argument or variable contains a zero byte, which ends a string in WASI.
    ZeroByte(String),
    /// A variable has no name, or a name with `=`.
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
                    "two folders would be called {guest} in the program: rename one with HOST::GUEST"
                )
            }
            Self::ZeroByte(text) => write!(
                f,
                "{text:?} contains a zero byte, which cannot be passed to a program: remove it"
            ),
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
    /// [`WasiError`], which the user can correct.
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

/// The most bytes of a captured stream that are kept for a parent that does not take them.
pub(crate) const CAPTURED_MAX: usize = 256 << 10;

/// How many descriptors this many folders need: one for narrowing them for children, and one for wasmtime-wasi.
fn descriptors_of(folders: usize) -> u64 {
    2 * folders as u64
}

/// Folders for wasmtime-wasi. The error says which of them it could not open, and why.
fn filesystem(folders: &[Folder]) -> Result<WasiFilesystemCtx, (usize, io::Error)> {
    let mut builder = WasiCtxBuilder::new();
    // The caller ensures that the thread may block.
    builder.allow_blocking_current_thread(true);
    for (at, folder) in folders.iter().enumerate() {
        let perms = if folder.read_only {
            FsPerms::ReadOnly
        } else {
            FsPerms::ReadWrite
        };
        let path = folder.path().map_err(|error| (at, error))?;
        let opened = builder.preopened_dir(path, &folder.guest, perms);
        opened.map_err(|error| {
            let error = error
                .downcast()
                .unwrap_or_else(|error| io::Error::other(error.to_string()));
            (at, error)
        })?;
    }
    Ok(builder.build().filesystem().clone())
}

/// A checked configuration with open folders. Shared by all processes of a system that have the same rights.
pub struct Wasi {
    args: Vec<String>,
    env: Vec<(String, String)>,
    folders: Vec<Folder>,
    /// The same folders; a clone shares the descriptors.
    filesystem: WasiFilesystemCtx,
    /// The charge for them, shared by all that have the same folders.
    paid: Option<Arc<Portion>>,
    stdin: OpenStdin,
    /// Whether all processes read standard input, not only the main process.
    stdin_given: bool,
    stdout: Output,
    stderr: Output,
    /// Standard output and standard error, if they are captured for the parent.
    captured: [Option<Capture>; 2],
    clock: ClockRight,
    random: RandomRight,
}

impl Wasi {
    /// Charges a group for the descriptors of the folders, which are already open; false if that exceeds its share.
    pub(crate) fn pay(&mut self, descriptors: &Arc<Stock>, group: &Arc<Group>) -> bool {
        let paid = Portion::take(descriptors, group, descriptors_of(self.folders.len()));
        self.paid = paid.map(Arc::new);
        self.paid.is_some()
    }

    /// The configuration of a child for which its parent asks with `config`. `has_stdin` says whether the parent reads
    /// standard input. New folders are charged to the descriptors of the child's group.
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
                let (output, capture) = Output::captured_for_guest(CAPTURED_MAX);
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

    /// Approximate bytes that it takes up, with the table of its folders. A [`context`](Self::context) takes up as
    /// many.
    pub(crate) fn size(&self) -> usize {
        /// The overhead of a string, including the allocator's.
        const TEXT: usize = 64;
        /// The size of an open folder in wasmtime-wasi.
        const FOLDER: usize = 256;
        let variables = self.env.iter().flat_map(|(name, value)| [name, value]);
        let folders = self.folders.iter().map(|folder| &folder.guest);
        // A folder has its name in two forms.
        let texts = self.args.iter().chain(variables).chain(folders.clone()).chain(folders);
        size_of::<Self>() + self.folders.len() * FOLDER + texts.map(|text| TEXT + text.len()).sum::<usize>()
    }

    /// Lets all processes read standard input, not only the main process.
    pub(crate) fn share_stdin(&mut self) {
        self.stdin_given = true;
    }

    /// Replaces the environment by these variables, in this order.
    pub fn set_env(&mut self, env: Vec<(String, String)>) {
        self.env = env;
    }

    /// Arguments, variables, clocks and random numbers.
    pub(crate) fn words(&self) -> (&[String], &[(String, String)], ClockRight, RandomRight) {
        (&self.args, &self.env, self.clock, self.random)
    }

    /// Whether standard output and standard error are those of `other`.
    pub(crate) fn prints_as(&self, other: &Self) -> [bool; 2] {
        [self.stdout.is_same(&other.stdout), self.stderr.is_same(&other.stderr)]
    }

    /// Whether clocks and random numbers are reproducible.
    #[cfg(test)]
    pub(crate) fn is_fixed(&self) -> bool {
        matches!((self.clock, self.random), (ClockRight::Fixed(_), RandomRight::Seed(_)))
    }

    /// Whether it has any folders, and thus any that a child could get.
    pub(crate) fn has_folders(&self) -> bool {
        !self.folders.is_empty()
    }

    /// Returns the captured standard output (0) or standard error (1).
    pub fn captured(&self, stream: usize) -> Option<&Capture> {
        self.captured.get(stream)?.as_ref()
    }

    /// Takes what was written to the captured standard output (0) or standard error (1) since the last call.
    pub(crate) fn take_captured(&self, stream: usize) -> Option<Vec<u8>> {
        let capture = self.captured(stream)?;
        let output = if stream == 0 { &self.stdout } else { &self.stderr };
        Some(output.take(capture))
    }

    /// Resolves a path of a process with this configuration, in a folder that it may change.
    pub(crate) fn place(&self, path: &str) -> io::Result<Place> {
        Folder::place(&self.folders, path)
    }

    /// Returns the folder that contains a path, and the path within it; `None` if no folder does.
    pub fn place_of(&self, path: &str) -> Option<(Folder, String)> {
        let (folder, rest) = Folder::nearest(&self.folders, path).ok()?;
        Some((folder.clone(), rest.join("/")))
    }

    /// The names of the folders inside, and which of them are read-only.
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

    /// The number of folders. In a context, their numbers follow those of the standard streams.
    pub(crate) fn folder_count(&self) -> usize {
        self.folders.len()
    }

    /// Whether there is no folder, so that no file can be opened.
    pub(crate) fn has_no_folder(&self) -> bool {
        self.folders.is_empty()
    }

    /// Returns whether a process with this configuration reads the system's standard input.
    pub fn has_stdin(&self, is_main: bool) -> bool {
        is_main || self.stdin_given
    }

    /// Makes the context of a process. This takes 5 µs and a few KB, so it is done only when the process first calls
    /// WASI.
    ///
    /// `clock` is the monotonic clock. `panic` belongs to the process; the standard error of the context stores there
    /// what [`crate::report`] needs. Dropping the context prints the rest of the process's output, so call
    /// [`crate::report::panic_of`] before.
    ///
    /// Operations on files and folders run on the thread that polls them, which must be allowed to block. Output goes
    /// where [`super::stdio`] directs it, and blocks no thread.
    pub fn context(&self, is_main: bool, panic: &PanicCapture, clock: impl HostMonotonicClock + 'static) -> WasiP1Ctx {
        let mut builder = self.builder(is_main, clock);
        builder
            .stdout(ProcessOutput {
                output: self.stdout.clone(),
                panic: None,
            })
            .stderr(ProcessOutput {
                output: self.stderr.clone(),
                panic: Some(panic.clone()),
            });
        self.built(&mut builder)
    }

    /// [`context`](Self::context) for WASI 0.2, where a process can ask for its standard streams many times, and has
    /// sockets. The caller checks what they are used for.
    pub fn component_context(
        &self,
        is_main: bool,
        panic: &PanicCapture,
        clock: impl HostMonotonicClock + 'static,
    ) -> WasiP1Ctx {
        let mut builder = self.builder(is_main, clock);
        builder
            .stdout(SharedOutput::new(self.stdout.clone(), None))
            .stderr(SharedOutput::new(self.stderr.clone(), Some(panic.clone())))
            .allow_tcp(true)
            .allow_udp(true)
            .allow_ip_name_lookup(false)
            .socket_addr_check(|_, _| Box::pin(std::future::ready(true)));
        self.built(&mut builder)
    }

    fn builder(&self, is_main: bool, clock: impl HostMonotonicClock + 'static) -> WasiCtxBuilder {
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
            builder
                .secure_random(StdRng::seed_from_u64(seed))
                .insecure_random(StdRng::seed_from_u64(seed))
                .insecure_random_seed(seed.into());
        }
        if self.has_stdin(is_main) {
            self.stdin.give(&mut builder);
        }
        builder
    }

    fn built(&self, builder: &mut WasiCtxBuilder) -> WasiP1Ctx {
        let mut context = builder.build_p1();
        *context.ctx().ctx.filesystem() = self.filesystem.clone();
        context
    }

    /// Returns the standard output of the system.
    pub fn stdout(&self) -> &Output {
        &self.stdout
    }

    /// Returns the standard error of the system, which also receives the host's reports.
    pub fn stderr(&self) -> &Output {
        &self.stderr
    }
}
