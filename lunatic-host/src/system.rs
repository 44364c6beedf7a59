//! Systems: what a main process and its descendants may use, and how they begin.

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

/// The largest memory of one process, in bytes, if nothing else is said: 1 GiB.
pub(crate) const MEMORY_MAX: usize = 1 << 30;

/// What a system may use and how it begins.
///
/// By default the main process calls `_start`, sees no arguments, variables, folders or network, reads nothing, writes to
/// nowhere, and may have 1 GiB of memory.
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
    /// The exported function that the main process calls, of type `() -> ()`. `_start` by default.
    pub entry: String,
    /// Arguments, environment, folders and standard streams. None by default; output goes to nowhere.
    pub wasi: WasiConfig,
    /// The largest linear memory of one process, in bytes. 1 GiB by default.
    pub max_memory: usize,
    /// The most files and folders that one process opens at once, and the most sockets. 1,024 of each by default.
    pub max_files: u32,
    /// Hosts and ports that the processes may use. By default there is no rule, and so no network.
    pub net: Vec<Rule>,
    /// What all processes of the system may use together. By default there is no limit, and it is not measured;
    /// `Some(Caps::default())` limits nothing, but measures: see [`RunningSystem::usage`](crate::RunningSystem::usage).
    pub caps: Option<Caps>,
    /// What the main process has from [extensions](crate::Extension), and with it all that descend from it, as far as
    /// [`Extension::narrow`](crate::Extension::narrow) lets them. Empty by default.
    pub inherited: Inherited,
    /// Messages come from outside, through [`RunningSystem::send`](crate::RunningSystem::send). By default they do not, and a
    /// system all of whose processes wait for each other ends with [`ExitReason::Deadlock`](crate::ExitReason::Deadlock).
    pub expects_messages: bool,
    /// Whether processes that fail are reported on the system's standard error. They are by default.
    pub crash_reports: bool,
    /// Whether what a process is denied is reported there, too. It is not by default.
    pub log_denials: bool,
    /// Writes core dumps of processes that fail. There are none by default.
    pub dumps: Option<Arc<Dumps>>,
    /// Where records of the processes go, which they make with the crates `log` or `tracing`. By default nowhere.
    pub log: Option<Log>,
    /// Records spans of the processes. By default nobody does, and opening one does nothing; contexts travel all the same.
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

/// What the host keeps with a system.
pub struct SystemData {
    pub(crate) config: SystemConfig,
    pub(crate) wasi: Arc<Wasi>,
    /// What its processes use together, if that is measured.
    pub(crate) budget: Option<Arc<Budget>>,
    /// What its processes count.
    pub(crate) metrics: Metrics,
    /// What parts of the host and extensions keep with it.
    pub(crate) states: SharedStates,
    /// Whose children crash.
    pub(crate) crashes: Crashes,
}

impl SystemData {
    /// Where what the host says about processes goes: to standard error, unless the log takes it.
    pub(crate) fn reports(&self) -> Output {
        let log = self.config.log.as_ref().filter(|log| log.takes_reports());
        log.map_or_else(|| self.wasi.stderr().clone(), Log::output)
    }

    /// What the host says about a process (its id and what it is called), for [`reports`](Self::reports): `text` for people,
    /// `message` where programs read it.
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

/// What an extension that is an interface may change of a system that begins.
pub struct SystemSetup<'a> {
    pub(crate) wasi: &'a mut Wasi,
}

impl SystemSetup<'_> {
    /// All processes read the standard input, not only the main process.
    pub fn share_stdin(&mut self) {
        self.wasi.share_stdin();
    }
}

/// Why a system cannot begin.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The module exports no function of this name that takes and returns nothing.
    NoEntry(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::NoEntry(name) = self;
        write!(
            f,
            "the module exports no function `{name}` that takes and returns nothing"
        )?;
        if name == "_start" {
            write!(f, ": it is a library, build a program with a `main` for wasm32-wasip1")?;
        }
        Ok(())
    }
}

impl std::error::Error for StartError {}
