//! Runs modules in this process.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use lunatic_host::dumps::Dumps;
use lunatic_host::trace::Tracer;
use lunatic_host::wasi::{Dir, Output, Stdin};
use lunatic_host::{ExitReason, Figures, LoadError, Module, RunningSystem, Runtime, RuntimeBuilder, SystemConfig};

use crate::target_folder;

/// A system that has not ended after this time counts as hanging. Nothing else depends on this value.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// A host: a runtime, and what tests need to use it.
pub struct Host {
    runtime: Runtime,
}

impl Host {
    /// The host that most tests share.
    pub fn shared() -> &'static Host {
        static SHARED: OnceLock<Host> = OnceLock::new();
        SHARED.get_or_init(|| Host::with(|builder| builder))
    }

    /// A host for one test, which needs other settings, or must not share the host with other systems.
    pub fn with(settings: impl FnOnce(RuntimeBuilder) -> RuntimeBuilder) -> Host {
        // Not the user's cache: the code under test may write bad entries.
        let cache = target_folder().join("tmp").join("lunatic-cache");
        let builder = settings(with_extensions(Runtime::builder().cache(Some(cache))));
        Host {
            runtime: builder
                .build()
                .unwrap_or_else(|error| panic!("could not build a runtime: {error:#}")),
        }
    }

    /// A host that runs one process at a time. Nothing preempts a process between two host calls if it has no loop and
    /// no call of its own between them.
    pub fn with_one_worker() -> Host {
        Host::with(|builder| builder.workers(1))
    }

    /// The host's current figures.
    pub fn figures(&self) -> Figures {
        self.runtime.figures()
    }

    /// Loads a module, in the binary or the text format.
    ///
    /// # Errors
    ///
    /// As for [`Runtime::load`].
    pub fn load(&self, wasm: &[u8]) -> Result<Arc<Module>, LoadError> {
        self.runtime.load(wasm)
    }

    /// A module to be run, which must be valid.
    #[track_caller]
    pub fn program(&self, wasm: &[u8]) -> Program<'_> {
        let module = self
            .load(wasm)
            .unwrap_or_else(|error| panic!("could not load a module: {error}"));
        self.loaded(&module)
    }

    /// A module to be run, which was loaded before.
    pub fn loaded(&self, module: &Arc<Module>) -> Program<'_> {
        let config = SystemConfig::default();
        Program {
            host: self,
            module: module.clone(),
            config,
        }
    }
}

/// The extensions that the program `lunatic` also has.
fn with_extensions(builder: RuntimeBuilder) -> RuntimeBuilder {
    #[cfg(feature = "compat")]
    let builder = builder.extension(lunatic_compat::Compat);
    builder
}

/// A module, and the configuration to run it with.
#[derive(Clone)]
pub struct Program<'a> {
    host: &'a Host,
    module: Arc<Module>,
    config: SystemConfig,
}

impl Program<'_> {
    /// Sets the arguments, without the program's name.
    pub fn args<'b>(mut self, args: impl IntoIterator<Item = &'b str>) -> Self {
        self.config.wasi.args = ["guest"].into_iter().chain(args).map(str::to_owned).collect();
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.config.wasi.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Gives the program a folder.
    pub fn dir(mut self, host: &Path, guest: &str, read_only: bool) -> Self {
        self.config.wasi.dirs.push(Dir {
            host: host.to_path_buf(),
            guest: guest.to_owned(),
            read_only,
        });
        self
    }

    /// Records the spans of its processes.
    pub fn tracer(mut self, tracer: &Tracer) -> Self {
        self.config.tracer = Some(tracer.clone());
        self
    }

    /// Sets the standard output of all its processes, for programs that are started and not run to their end.
    pub fn stdout(mut self, output: Output) -> Self {
        self.config.wasi.stdout = output;
        self
    }

    /// Sets the standard input of the main process.
    pub fn stdin(mut self, text: impl AsRef<[u8]>) -> Self {
        self.config.wasi.stdin = Stdin::Bytes(text.as_ref().into());
        self
    }

    /// Limits the memory of each process, in bytes.
    pub fn max_memory(mut self, bytes: usize) -> Self {
        self.config.max_memory = bytes;
        self
    }

    /// Limits the open files of each process, and its sockets.
    pub fn max_files(mut self, max: u32) -> Self {
        self.config.max_files = max;
        self
    }

    /// Allows the program these hosts and ports.
    pub fn net(mut self, rules: Vec<lunatic_host::rights::net::Rule>) -> Self {
        self.config.net = rules;
        self
    }

    /// Limits what all processes of the program may use together.
    pub fn caps(mut self, caps: lunatic_host::budget::Caps) -> Self {
        self.config.caps = Some(caps);
        self
    }

    /// Reports denied operations of processes on standard error.
    pub fn log_denials(mut self) -> Self {
        self.config.log_denials = true;
        self
    }

    /// Suppresses the reports of processes that fail, for tests with very many of them.
    pub fn quiet(mut self) -> Self {
        self.config.crash_reports = false;
        self
    }

    /// Writes core dumps of processes that fail.
    pub fn dumps(mut self, dumps: Arc<Dumps>) -> Self {
        self.config.dumps = Some(dumps);
        self
    }

    /// Sets the exported function that the main process calls.
    pub fn entry(mut self, entry: &str) -> Self {
        self.config.entry = entry.to_owned();
        self
    }

    /// Starts the program; its output is discarded. Dropping the returned system ends it.
    ///
    /// # Errors
    ///
    /// The host's error, if it cannot start the program.
    pub fn try_start(self) -> Result<RunningSystem, String> {
        let started = self.host.runtime.start(&self.module, self.config);
        started.map_err(|error| format!("{error:#}"))
    }

    /// Starts a program as [`try_start`](Self::try_start) does, which must start.
    #[track_caller]
    pub fn start(self) -> RunningSystem {
        let started = self.try_start();
        started.unwrap_or_else(|error| panic!("the program could not be started: {error}"))
    }

    /// Runs the program until its main process has exited.
    ///
    /// # Errors
    ///
    /// The host's error, if it cannot start the program.
    ///
    /// # Panics
    ///
    /// If the program does not end within [`PATIENCE`].
    #[track_caller]
    pub fn try_run(self) -> Result<Ended, String> {
        self.try_run_beside(|_| ())
    }

    /// Runs the program as [`run`](Self::run) does, while another thread does something with the system until it
    /// returns.
    #[track_caller]
    pub fn run_beside(self, beside: impl FnOnce(&RunningSystem) + Send) -> Ended {
        let ended = self.try_run_beside(beside);
        ended.unwrap_or_else(|error| panic!("the program could not be started: {error}"))
    }

    #[track_caller]
    fn try_run_beside(mut self, beside: impl FnOnce(&RunningSystem) + Send) -> Result<Ended, String> {
        let (stdout, out) = Output::captured();
        let (stderr, err) = Output::captured();
        (self.config.wasi.stdout, self.config.wasi.stderr) = (stdout.clone(), stderr.clone());
        let system = self.try_start()?;
        let reason = std::thread::scope(|scope| {
            scope.spawn(|| beside(&system));
            system.wait_timeout(PATIENCE)
        });
        // Ends the rest of the system.
        drop(system);
        stdout.finish();
        stderr.finish();
        let [stdout, stderr] = [out, err].map(|capture| String::from_utf8_lossy(&capture.take()).into_owned());
        let Some(reason) = reason else {
            panic!("the program hangs; it has printed:\n{stdout}\nand on standard error:\n{stderr}");
        };
        Ok(Ended { reason, stdout, stderr })
    }

    /// Runs the program for at most this time, then ends it. Returns whether it ended by itself, and its standard
    /// error.
    pub fn run_for(mut self, time: Duration) -> (bool, String) {
        let (stderr, err) = Output::captured();
        self.config.wasi.stderr = stderr.clone();
        // A program that cannot be started has ended.
        let Ok(system) = self.try_start() else {
            return (true, String::new());
        };
        let reason = system.wait_timeout(time);
        drop(system);
        stderr.finish();
        (reason.is_some(), String::from_utf8_lossy(&err.take()).into_owned())
    }

    /// Runs a program as [`try_run`](Self::try_run) does, which must start.
    #[track_caller]
    pub fn run(self) -> Ended {
        self.try_run()
            .unwrap_or_else(|error| panic!("the program could not be started: {error}"))
    }
}

/// How a program ended, and its output.
#[derive(Debug, Clone)]
pub struct Ended {
    /// The exit reason of the main process.
    pub reason: ExitReason,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error, with the reports of the host.
    pub stderr: String,
}

impl Ended {
    /// Returns this value if the main process has exited normally.
    ///
    /// # Panics
    ///
    /// Otherwise, with all information.
    #[track_caller]
    pub fn normal(self) -> Ended {
        assert_eq!(self.reason, ExitReason::Normal, "{self}");
        self
    }

    /// Returns the text of the trap of the main process.
    ///
    /// # Panics
    ///
    /// If it did not trap.
    #[track_caller]
    pub fn trap(&self) -> &str {
        match &self.reason {
            ExitReason::Trap(trap) => &trap.text,
            ExitReason::OutOfMemory(text) => text,
            _ => panic!("expected a trap: {self}"),
        }
    }

    /// Asserts that standard error contains `text`.
    #[track_caller]
    pub fn reports(&self, text: &str) -> &Ended {
        assert!(
            self.stderr.contains(text),
            "expected {text:?} on standard error: {self}"
        );
        self
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// How much of each stream is shown.
        const SHOWN: usize = 4000;
        let shown = |text: &str| text.chars().take(SHOWN).collect::<String>();
        write!(f, "the program {}", self.reason)?;
        write!(
            f,
            "\nstandard output:\n{}\nstandard error:\n{}",
            shown(&self.stdout),
            shown(&self.stderr)
        )
    }
}
