//! Systems: a main process and all its descendants, what they may use, and how they end together.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::compat::metrics::Metrics;
use crate::module::Module;
use crate::process::exit::ExitReason;
use crate::process::id::Id;
use crate::process::table::Full;
use crate::process::{Entry, Process};
use crate::rights::budget::{Budget, Caps, Resource};
use crate::rights::net::{Net, Rule};
use crate::rights::{FILES_MAX, MAY_ALL, Rights};
use crate::runtime::{MEMORY_MAX, Runtime};
use crate::shared::{Shared, SpawnLimit};
use crate::time::Time;
use crate::wasi::{Wasi, WasiConfig};

/// The exit code of a system that nobody reads any more: that of a native program ended by SIGPIPE.
const BROKEN_PIPE: i32 = 141;

/// What a system may use and how it begins.
#[derive(Clone)]
pub struct SystemConfig {
    /// The exported function that the main process calls.
    pub entry: String,
    /// Arguments, environment, folders and standard streams.
    pub wasi: WasiConfig,
    /// The largest memory of one process, in bytes.
    pub max_memory: usize,
    /// The most files and folders that one process opens at once.
    pub max_files: u32,
    /// Hosts and ports that the processes may use; none without a rule.
    pub net: Vec<Rule>,
    /// What all processes of the system may use together.
    pub caps: Option<Caps>,
    /// Whether processes that fail are reported on the system's standard error.
    pub crash_reports: bool,
    /// Whether what a process is denied is reported there, too.
    pub log_denials: bool,
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
            crash_reports: true,
            log_denials: false,
        }
    }
}

/// A main process and all its descendants. It ends when the main process ends.
pub(crate) struct System {
    pub(crate) config: SystemConfig,
    pub(crate) wasi: Arc<Wasi>,
    pub(crate) time: Time,
    /// What its processes of the interface of Lunatic 0.13 count.
    pub(crate) metrics: Metrics,
    main: OnceLock<Id>,
    /// The main process has ended or is about to: no other process of the system runs any more.
    over: AtomicBool,
    pub(crate) exit: Mutex<Option<ExitReason>>,
    ended: Condvar,
}

impl System {
    pub(crate) fn is_main(&self, id: Id) -> bool {
        self.main.get() == Some(&id)
    }

    /// True once the main process has ended or is about to.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// The process is about to end. If it is the main process, nobody else runs from now on: they would only see the
    /// main process's channels close.
    pub(crate) fn process_ends(&self, id: Id) {
        if self.is_main(id) {
            self.over.store(true, Ordering::Release);
        }
    }

    pub(crate) fn end(&self, reason: ExitReason) {
        self.over.store(true, Ordering::Release);
        self.exit.lock().get_or_insert(reason);
        self.ended.notify_all();
    }

    /// Waits until the main process has ended, and tells how.
    pub(crate) fn wait(&self) -> ExitReason {
        let mut exit = self.exit.lock();
        loop {
            if let Some(reason) = &*exit {
                return reason.clone();
            }
            self.ended.wait(&mut exit);
        }
    }

    /// [`wait`](Self::wait) until `timeout` has passed, or longer if it is too long to be told.
    pub(crate) fn wait_timeout(&self, timeout: Duration) -> Option<ExitReason> {
        let deadline = Instant::now().checked_add(timeout);
        let mut exit = self.exit.lock();
        while exit.is_none() {
            match deadline {
                None => self.ended.wait(&mut exit),
                Some(deadline) if self.ended.wait_until(&mut exit, deadline).timed_out() => break,
                Some(_) => {}
            }
        }
        exit.clone()
    }
}

/// A system that was started. Dropping it kills all its processes.
pub struct RunningSystem {
    shared: Arc<Shared>,
    system: Arc<System>,
    /// Ends the system when nobody reads its output any more.
    watch: tokio::task::JoinHandle<()>,
}

impl RunningSystem {
    /// Waits until the main process has ended, and tells how.
    pub fn wait(&self) -> ExitReason {
        self.system.wait()
    }

    /// What its processes have counted with `lunatic::metrics` of Lunatic 0.13: a line `NAME NUMBER` for each.
    pub fn metrics(&self) -> String {
        self.system.metrics.text()
    }

    /// Waits until the main process has ended, but not longer than `timeout`. `None` if it still runs then.
    pub fn wait_timeout(&self, timeout: Duration) -> Option<ExitReason> {
        self.system.wait_timeout(timeout)
    }
}

impl Drop for RunningSystem {
    fn drop(&mut self) {
        self.watch.abort();
        self.shared.sweep(&self.system);
    }
}

impl Runtime {
    /// Starts a system whose main process runs in `module`.
    ///
    /// # Errors
    ///
    /// [`StartError`] when the module has no such entry; else when a folder of the configuration cannot be opened, or the
    /// limit of processes is reached.
    pub fn start(&self, module: &Arc<Module>, config: SystemConfig) -> anyhow::Result<RunningSystem> {
        if !module
            .has_entry(&self.shared, &config.entry)
            .map_err(|error| anyhow::anyhow!("{error:#}"))?
        {
            return Err(StartError::NoEntry(config.entry).into());
        }
        let entry = Entry::Export(config.entry.clone().into());
        let mut wasi = config.wasi.clone().open()?;
        if module.is_compat() {
            wasi.share_stdin();
        }
        let wasi = Arc::new(wasi);
        let system = Arc::new(System {
            config,
            wasi,
            time: Time::new(),
            metrics: Metrics::default(),
            main: OnceLock::new(),
            over: AtomicBool::new(false),
            exit: Mutex::default(),
            ended: Condvar::new(),
        });
        let (closed, ended) = (system.wasi.stdout().clone(), Arc::downgrade(&system));
        let watch = self.shared.io.spawn(async move {
            closed.wait_closed().await;
            if let Some(system) = ended.upgrade() {
                system.end(ExitReason::Exit(BROKEN_PIPE));
            }
        });
        self.shared.systems.lock().push(system.clone());
        self.shared
            .spawn_main(&system, module, entry)
            .map_err(|limit| anyhow::anyhow!("{limit}"))?;
        Ok(RunningSystem {
            shared: self.shared.clone(),
            system,
            watch,
        })
    }

    /// The main process of a system that has not ended.
    pub(crate) fn main_process(&self, system: &RunningSystem) -> Option<Arc<Process>> {
        self.shared.find(*system.system.main.get()?)
    }
}

impl Shared {
    fn spawn_main(&self, system: &Arc<System>, module: &Arc<Module>, entry: Entry) -> Result<(), SpawnLimit> {
        let mut process = None;
        let config = &system.config;
        let rights = Arc::new(Rights {
            scope: Arc::default(),
            may: MAY_ALL,
            max_memory: config.max_memory,
            mailbox_max: usize::MAX,
            files_max: config.max_files,
            net: Arc::new(Net::new(config.net.clone())),
            wasi: system.wasi.clone(),
            budget: config.caps.map(|caps| Budget::new(None, caps)),
            fuel: None,
            environment: module.is_compat().then(Arc::default),
        });
        if let Some(budget) = &rights.budget {
            budget.charge(Resource::Processes, 1).map_err(SpawnLimit::Budget)?;
        }
        let id = self.processes.insert(0, |id| {
            let _ = system.main.set(id);
            let new = Process::new(id, None, rights, system.clone(), module.clone(), entry);
            process.insert(Arc::new(new)).clone()
        });
        id.map_err(|Full| SpawnLimit::Processes)?;
        self.scheduler.spawn(process.expect("an inserted process was made"));
        Ok(())
    }

    /// Kills what is left of a system.
    fn sweep(&self, system: &Arc<System>) {
        // Those that are spawned while this goes on are stopped when a worker takes them.
        system.over.store(true, Ordering::Release);
        let mut left = Vec::new();
        self.processes.for_each(|_, process| {
            if Arc::ptr_eq(&process.system, system) {
                left.push(process.clone());
            }
        });
        for process in left {
            process.kill();
            self.scheduler.wake(&process);
        }
        self.systems.lock().retain(|other| !Arc::ptr_eq(other, system));
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
