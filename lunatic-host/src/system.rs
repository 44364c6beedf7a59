//! Systems: how they begin, and what their processes may use.

use std::fmt;
use std::sync::Arc;

use lunatic_kernel::budget::{Budget, Caps};

use crate::alarms::crashes::Crashes;
use crate::dumps::Dumps;
use crate::log::{Level, Log};
use crate::metrics::Metrics;
use crate::rights::FILES_MAX;
use crate::rights::net::Rule;
use crate::states::{Inherited, SharedStates};
use crate::trace::Tracer;
use crate::wasi::{Output, Wasi, WasiConfig};

/// The default of [`SystemConfig::max_memory`]: 1 GiB.
pub(crate) const MEMORY_MAX: usize = 1 << 30;

/// How a system begins, and what its processes may use.
///
/// By default, the main process calls `_start`; it has no arguments, variables, folders or network; its standard input
/// is empty, its output is discarded, and its memory is limited to 1 GiB.
///
/// # Examples
///
/// ```
/// use lunatic_host::SystemConfig;
/// use lunatic_host::wasi::{Output, WasiConfig};
///
/// let (stdout, captured) = Output::captured();
/// let config = SystemConfig {
///     wasi: WasiConfig {
///         args: vec!["report".into(), "--all".into()],
///         stdout,
///         stderr: Output::stderr(),
///         ..WasiConfig::default()
///     },
///     max_memory: 64 << 20,
///     ..SystemConfig::default()
/// };
/// # drop((config, captured));
/// ```
#[derive(Clone)]
pub struct SystemConfig {
    /// The exported function that the main process calls, of type `() -> ()`. By default `_start`.
    pub entry: String,
    /// Arguments, environment, folders and standard streams. By default there are none, and output is discarded.
    pub wasi: WasiConfig,
    /// The largest linear memory of one process, in bytes. By default 1 GiB.
    pub max_memory: usize,
    /// The most files and folders that one process has open at a time, and the most sockets. By default 1,024 of each.
    pub max_files: u32,
    /// Rules for the hosts and ports that the processes may use. By default there are none, and so no network.
    pub net: Vec<Rule>,
    /// Limits for all processes of the system together. By default there are none, and use is not measured;
    /// `Some(Caps::default())` measures it without limits: see [`RunningSystem::usage`](crate::RunningSystem::usage).
    pub caps: Option<Caps>,
    /// What [extensions](crate::Extension) give to the main process, and thus to its descendants, as far as
    /// [`Extension::narrow`](crate::Extension::narrow) permits. By default empty.
    pub inherited: Inherited,
    /// Whether messages arrive from outside, through [`RunningSystem::send`](crate::RunningSystem::send). By default
    /// they do not, and the system ends with [`ExitReason::Deadlock`](crate::ExitReason::Deadlock) once all its
    /// processes wait for each other.
    pub expects_messages: bool,
    /// Whether crashes of processes are reported on the system's standard error. By default they are.
    pub crash_reports: bool,
    /// Whether denied operations are reported there, too. By default they are not.
    pub log_denials: bool,
    /// Writes core dumps of processes that fail. By default there are none.
    pub dumps: Option<Arc<Dumps>>,
    /// The log for records that processes write with the crates `log` or `tracing`. By default there is none.
    pub log: Option<Log>,
    /// Records the spans of processes. By default spans are not recorded, and opening one does nothing; trace contexts
    /// are still passed on.
    pub tracer: Option<Tracer>,
}

impl Default for SystemConfig {
    fn default() -> Self {
        Self {
            entry: "_start".into(),
            wasi: WasiConfig::default(),
            max_memory: MEMORY_MAX,
            max_files: FILES_MAX,
            net: Vec::new(),
            caps: None,
            inherited: Inherited::default(),
            expects_messages: false,
            crash_reports: true,
            log_denials: false,
            dumps: None,
            log: None,
            tracer: None,
        }
    }
}

/// What the host keeps for a system.
pub struct SystemData {
    pub(crate) config: SystemConfig,
    pub(crate) wasi: Arc<Wasi>,
    /// The use and the limits of all its processes, if use is measured.
    pub(crate) budget: Option<Arc<Budget>>,
    /// The metrics that its processes count.
    pub(crate) metrics: Metrics,
    /// Values that parts of the host and extensions keep for it.
    pub(crate) states: SharedStates,
    /// Which processes have crashing children.
    pub(crate) crashes: Crashes,
}

impl SystemData {
    /// Where the host reports about processes: to standard error, or to the log if that accepts reports.
    pub(crate) fn reports(&self) -> Output {
        let log = self.config.log.as_ref().filter(|log| log.takes_reports());
        log.map_or_else(|| self.wasi.stderr().clone(), Log::output)
    }

    /// Formats a report about a process (its id and its name) for [`reports`](Self::reports): `text` for people,
    /// `message` for programs.
    pub(crate) fn said(
        &self,
        level: Level,
        target: &str,
        process: (&str, &str),
        message: &str,
        text: String,
    ) -> String {
        match &self.config.log {
            Some(log) => log.about(level, target, process, message, &text),
            None => text,
        }
    }
}

/// The part of a new system that an extension can change if it is an interface.
pub struct SystemSetup<'a> {
    pub(crate) wasi: &'a mut Wasi,
}

impl SystemSetup<'_> {
    /// Lets all processes read standard input, not only the main process.
    pub fn share_stdin(&mut self) {
        self.wasi.share_stdin();
    }
}

/// Why a system could not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The module exports no function of this name without parameters and results.
    NoEntry(String),
    /// The module is a component that handles HTTP requests, and no program.
    IsHandler,
    /// The module is not a component that handles HTTP requests.
    NoHandler,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::NoEntry(name) => name,
            Self::IsHandler => {
                return write!(
                    f,
                    "the component handles HTTP requests (`wasi:http/incoming-handler`) and is no program: run it with \
                     `lunatic serve`"
                );
            }
            Self::NoHandler => {
                return write!(
                    f,
                    "the module does not handle HTTP requests: it is not a component that exports `wasi:http/incoming-handler` \
                     of WASI 0.2"
                );
            }
        };
        write!(
            f,
            "the module exports no function `{name}` without parameters and results"
        )?;
        if name == "_start" {
            write!(f, ": it is a library; build a program with a `main` for wasm32-wasip1")?;
        }
        Ok(())
    }
}

impl std::error::Error for StartError {}
