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

/// After this time a system that has not ended is taken to hang. Nothing else depends on it.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// A host: one runtime, and what it needs to be used by tests.
pub struct Host {
    runtime: Runtime,
}

impl Host {
    /// The host that most tests share.
    pub fn shared() -> &'static Host {
        static SHARED: OnceLock<Host> = OnceLock::new();
        SHARED.get_or_init(|| Host::with(|builder| builder))
    }

    /// A host of the test's own, for tests that need other settings, or that no other system runs beside theirs.
    pub fn with(settings: impl FnOnce(RuntimeBuilder) -> RuntimeBuilder) -> Host {
        // Not the user's cache: what is tested here need not be good for anyone.
        let cache = target_folder().join("tmp").join("lunatic-cache");
        let builder = settings(with_extensions(Runtime::builder().cache(Some(cache))));
        Host {
            runtime: builder
                .build()
                .unwrap_or_else(|error| panic!("could not build a runtime: {error:#}")),
        }
    }

    /// A host whose processes run one at a time: what a process does between two host calls, without a loop or a call of
    /// its own, nobody interrupts.
    pub fn with_one_worker() -> Host {
        Host::with(|builder| builder.workers(1))
    }

    /// What the host holds now.
    pub fn figures(&self) -> Figures {
        self.runtime.figures()
    }

    /// Loads a module, in the binary or the text format.
    ///
    /// # Errors
    ///
    /// Those of [`Runtime::load`].
    pub fn load(&self, wasm: &[u8]) -> Result<Arc<Module>, LoadError> {
        self.runtime.load(wasm)
    }

    /// A module that must be good, to be run.
    #[track_caller]
    pub fn program(&self, wasm: &[u8]) -> Program<'_> {
        let module = self
            .load(wasm)
            .unwrap_or_else(|error| panic!("could not load a module: {error}"));
        self.loaded(&module)
    }

    /// A module that was loaded before, to be run.
    pub fn loaded(&self, module: &Arc<Module>) -> Program<'_> {
        let config = SystemConfig::default();
        Program {
            host: self,
            module: module.clone(),
            config,
        }
    }
}

/// The extensions that the program `lunatic` has, too.
fn with_extensions(builder: RuntimeBuilder) -> RuntimeBuilder {
    #[cfg(feature = "compat")]
    let builder = builder.extension(lunatic_compat::Compat);
    builder
}

/// A module and what it is to be run with.
#[derive(Clone)]
pub struct Program<'a> {
    host: &'a Host,
    module: Arc<Module>,
    config: SystemConfig,
}

impl Program<'_> {
    /// The arguments, without the program's name.
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

    /// Where the standard output of all its processes goes, for programs that are started and not run to their end.
    pub fn stdout(mut self, output: Output) -> Self {
        self.config.wasi.stdout = output;
        self
    }

    /// What the main process reads as its standard input.
    pub fn stdin(mut self, text: impl AsRef<[u8]>) -> Self {
        self.config.wasi.stdin = Stdin::Bytes(text.as_ref().into());
        self
    }

    /// The largest memory of one process, in bytes.
    pub fn max_memory(mut self, bytes: usize) -> Self {
        self.config.max_memory = bytes;
        self
    }

    /// Hosts and ports that the program may use.
    pub fn net(mut self, rules: Vec<lunatic_host::rights::net::Rule>) -> Self {
        self.config.net = rules;
        self
    }

    /// What all processes of the program may use together.
    pub fn caps(mut self, caps: lunatic_host::budget::Caps) -> Self {
        self.config.caps = Some(caps);
        self
    }

    /// Reports what processes are denied on standard error.
    pub fn log_denials(mut self) -> Self {
        self.config.log_denials = true;
        self
    }

    /// Leaves out the reports of processes that fail, where there would be very many.
    pub fn quiet(mut self) -> Self {
        self.config.crash_reports = false;
        self
    }

    /// Writes core dumps of processes that fail.
    pub fn dumps(mut self, dumps: Arc<Dumps>) -> Self {
        self.config.dumps = Some(dumps);
        self
    }

    /// The exported function that the main process calls.
    pub fn entry(mut self, entry: &str) -> Self {
        self.config.entry = entry.to_owned();
        self
    }

    /// Starts the program, whose output goes nowhere; dropping what this returns ends it.
    ///
    /// # Errors
    ///
    /// What the host says when it cannot start it.
    pub fn try_start(self) -> Result<RunningSystem, String> {
        let started = self.host.runtime.start(&self.module, self.config);
        started.map_err(|error| format!("{error:#}"))
    }

    /// As [`try_start`](Self::try_start), for programs that must start.
    #[track_caller]
    pub fn start(self) -> RunningSystem {
        let started = self.try_start();
        started.unwrap_or_else(|error| panic!("the program could not be started: {error}"))
    }

    /// Runs the program to the end of its main process.
    ///
    /// # Errors
    ///
    /// What the host says when it cannot even start it.
    ///
    /// # Panics
    ///
    /// If the program does not end within [`PATIENCE`].
    #[track_caller]
    pub fn try_run(self) -> Result<Ended, String> {
        self.try_run_beside(|_| ())
    }

    /// [`run`](Self::run), while another thread does something with the system until it returns.
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
        // Ends what is left of it.
        drop(system);
        stdout.finish();
        stderr.finish();
        let [stdout, stderr] = [out, err].map(|capture| String::from_utf8_lossy(&capture.take()).into_owned());
        let Some(reason) = reason else {
            panic!("the program hangs; it has printed:\n{stdout}\nand on standard error:\n{stderr}");
        };
        Ok(Ended { reason, stdout, stderr })
    }

    /// Runs the program for so long at most, then ends it. Whether it ended by itself, and its standard error.
    pub fn run_for(mut self, time: Duration) -> (bool, String) {
        let (stderr, err) = Output::captured();
        self.config.wasi.stderr = stderr.clone();
        // One that cannot even start is at its end.
        let Ok(system) = self.try_start() else {
            return (true, String::new());
        };
        let reason = system.wait_timeout(time);
        drop(system);
        stderr.finish();
        (reason.is_some(), String::from_utf8_lossy(&err.take()).into_owned())
    }

    /// As [`try_run`](Self::try_run), for programs that must start.
    #[track_caller]
    pub fn run(self) -> Ended {
        self.try_run()
            .unwrap_or_else(|error| panic!("the program could not be started: {error}"))
    }
}

/// How a program ended, and what it printed.
#[derive(Debug, Clone)]
pub struct Ended {
    /// How its main process ended.
    pub reason: ExitReason,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error, with the reports of the host.
    pub stderr: String,
}

impl Ended {
    /// The same, if the main process ended normally.
    ///
    /// # Panics
    ///
    /// Otherwise, with all that is known.
    #[track_caller]
    pub fn normal(self) -> Ended {
        assert_eq!(self.reason, ExitReason::Normal, "{self}");
        self
    }

    /// What the main process trapped with.
    ///
    /// # Panics
    ///
    /// If it ended otherwise.
    #[track_caller]
    pub fn trap(&self) -> &str {
        match &self.reason {
            ExitReason::Trap(trap) => &trap.text,
            ExitReason::OutOfMemory(text) => text,
            _ => panic!("expected a trap: {self}"),
        }
    }

    /// Asserts that `text` stands on standard error.
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
        /// So much of each stream is shown.
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
