//! The runtime: workers, clock and tables, built once; systems of processes that run on it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::channel::{Channels, SendRefusal};
use crate::clock::{Clock, TimedMail, Timekeeper};
use crate::compat::metrics::Metrics;
use crate::engine::{Engines, Layout};
use crate::hibernation::Hibernation;
use crate::instance::Runner;
use crate::instance::ahead::Ahead;
use crate::module::cache::Cache;
use crate::module::{LoadError, Module};
use crate::process::exit::{ExitReason, Exits};
use crate::process::id::{Id, Keys};
use crate::process::table::{Full, Table};
use crate::process::{Entry, Process, Task};
use crate::quota::Quota;
use crate::rights::budget::{Budget, Caps, Exhausted, Resource};
use crate::rights::net::{Net, Rule};
use crate::rights::{FILES_MAX, MAY_ALL, Rights};
use crate::scheduler::Scheduler;
use crate::shortage::Shortage;
use crate::time::Time;
use crate::wasi::{Wasi, WasiConfig};
use crate::worker::Worker;

/// The most processes that can live at once, if nothing else is said.
const PROCESSES_MAX: u32 = 16 << 20;
/// The largest memory of one process, in bytes, if nothing else is said: 1 GiB.
pub(crate) const MEMORY_MAX: usize = 1 << 30;
/// The most modules that guests can have compiled at once.
const MODULES_MAX: u32 = 1 << 16;
/// The most channels that can be open at once.
const CHANNELS_MAX: u32 = 64 << 20;

/// The exit code of a system that nobody reads any more: that of a native program ended by SIGPIPE.
const BROKEN_PIPE: i32 = 141;
/// A worker drops a mailbox with so many messages by itself, in some ten microseconds.
const MAIL_DROPPED_MAX: usize = 2000;
/// The resident memory is looked at each so many time slices.
const HIBERNATION_LOOK: u64 = 10;

/// What all parts of a runtime share.
pub(crate) struct Shared {
    pub(crate) scheduler: Scheduler,
    pub(crate) clock: Clock,
    pub(crate) processes: Table<Arc<Process>>,
    pub(crate) channels: Channels,
    /// What messages hold in all channels and mailboxes.
    pub(crate) queued: Arc<Quota>,
    pub(crate) process_keys: Keys,
    pub(crate) channel_keys: Keys,
    /// Modules that guests compiled.
    pub(crate) modules: Table<Arc<Module>>,
    pub(crate) module_keys: Keys,
    pub(crate) exits: Exits,
    pub(crate) net: crate::net::Net,
    pub(crate) hibernation: Hibernation,
    pub(crate) ahead: Ahead,
    pub(crate) shortage: Shortage,
    pub(crate) cache: Cache,
    pub(crate) engines: Engines,
    /// Processes that wait for something outside: input, files.
    outside: AtomicUsize,
    systems: Mutex<Vec<Arc<System>>>,
    /// Files and terminals of guests; timers are the clock's.
    pub(crate) io: tokio::runtime::Runtime,
}

/// A limit of the host stands in the way of a spawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SpawnLimit {
    Processes,
    Budget(Exhausted),
    /// What the machine has run out of, in words.
    Machine(Arc<str>),
}

impl fmt::Display for SpawnLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Processes => write!(f, "the largest number of processes is alive"),
            Self::Budget(exhausted) => exhausted.fmt(f),
            Self::Machine(what) => f.write_str(what),
        }
    }
}

impl Shared {
    pub(crate) fn spawn(&self, parent: &Process, entry: Entry) -> Result<Id, SpawnLimit> {
        let process = self.new_process(parent, parent.rights.clone(), parent.module.clone(), entry)?;
        let id = process.id;
        self.scheduler.spawn(process);
        Ok(id)
    }

    /// A process that is in no queue yet.
    pub(crate) fn new_process(
        &self,
        parent: &Process,
        rights: Arc<Rights>,
        module: Arc<Module>,
        entry: Entry,
    ) -> Result<Arc<Process>, SpawnLimit> {
        if let Some(what) = self.shortage.refuses(self.clock.slices(), self.processes.end()) {
            return Err(SpawnLimit::Machine(what));
        }
        let budget = rights.budget.clone();
        if let Some(budget) = &budget {
            budget.charge(Resource::Processes, 1).map_err(SpawnLimit::Budget)?;
        }
        let mut rights = rights;
        if module.is_compat() && rights.environment.is_none() {
            Arc::make_mut(&mut rights).environment = Some(Arc::default());
        }
        let mut process = None;
        let result = self.processes.insert(self.scheduler.worker(), |id| {
            let system = parent.system.clone();
            let new = Arc::new(Process::new(id, Some(parent.id), rights, system, module, entry));
            process.insert(new).clone()
        });
        result.map_err(|Full| {
            if let Some(budget) = &budget {
                budget.give_back(Resource::Processes, 1);
            }
            SpawnLimit::Processes
        })?;
        Ok(process.expect("an inserted process was made"))
    }

    /// `metered`: for a process that may run only so many instructions.
    /// A runner for a process that none that has been used fits.
    pub(crate) fn runner(self: &Arc<Self>, module: &Arc<Module>, metered: bool) -> Runner {
        if metered {
            return self.new_runner(module, Layout::Metered);
        }
        let ready = self.ahead.take(module);
        if self.ahead.want(module) {
            self.scheduler.wake_spare();
        }
        ready.unwrap_or_else(|| self.new_runner(module, self.engines.choose()))
    }

    /// Makes an instance that will be needed soon; false if there is none. For a worker that has nothing else to do.
    fn make_ahead(self: &Arc<Self>) -> bool {
        let Some(module) = self.ahead.next() else { return false };
        let make = || {
            let mut runner = self.new_runner(&module, self.engines.choose());
            if runner.prepare(self.clock.slices()) {
                self.ahead.put(runner);
            }
        };
        // If it fails, it fails again where it is needed, and is reported there.
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(make)).is_ok()
    }

    fn new_runner(self: &Arc<Self>, module: &Arc<Module>, layout: Layout) -> Runner {
        self.hibernation.makes_instance(self);
        if layout != Layout::Metered && self.engines.dense_is_near() && module.claim_preparation() {
            let (shared, module) = (self.clone(), module.clone());
            // If this fails, it fails again where it is needed, and is reported there. So does it if there is no thread:
            // tokio, asked for one, would panic.
            let prepare = move || drop(module.pre(&shared, Layout::Dense).map(drop));
            let thread = std::thread::Builder::new().name("lunatic-prepare".into());
            drop(thread.spawn(prepare));
        }
        Runner::new(self, module, layout)
    }

    /// A process has ended, and holds nothing any more: writes down how, and tells who waits for that.
    pub(crate) fn end(&self, process: &Arc<Process>, reason: ExitReason) {
        self.exits.remember(process.id, &reason);
        let (mut relations, sockets) = process.set_ending(reason.clone());
        for socket in sockets.into_iter().flat_map(|sockets| *sockets) {
            self.net.handles.close_of(self.scheduler.worker(), process.id, socket);
        }
        if let Some(relations) = &mut relations {
            relations.names_fall(process.id);
            self.tell_of_end(&process.system, process.id, relations, &reason);
        }
        self.processes.remove(self.scheduler.worker(), process.id);
        if let Some(budget) = &process.rights.budget {
            budget.give_back(Resource::Processes, 1);
        }
        if process.system.is_main(process.id) {
            process.system.end(reason);
        }
        for joiner in process.set_ended() {
            self.scheduler.wake(&joiner);
        }
        if let Some(relations) = relations.filter(|relations| relations.mailbox.len() > MAIL_DROPPED_MAX) {
            // Who was woken runs next on this worker, and shall not wait for that. If there is no thread, it is done here.
            let thread = std::thread::Builder::new().name("lunatic-drop".into());
            drop(thread.spawn(move || drop(relations)));
        }
    }

    pub(crate) fn went_outside(&self) {
        self.outside.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn left_outside(&self) {
        self.outside.fetch_sub(1, Ordering::SeqCst);
    }

    /// No worker has anything to do. If nothing outside will change that, the systems that are left never end.
    fn on_idle(&self) {
        self.engines.trim();
        if self.outside.load(Ordering::SeqCst) > 0 {
            return;
        }
        let systems = self.systems.lock().clone();
        let paused = systems.iter().filter_map(|system| system.time.paused());
        // One step in each: what it wakes has to run before the next.
        let moved = paused.filter(|paused| paused.advance(self)).count();
        if moved > 0 || self.clock.has_timers() {
            return;
        }
        for system in systems.iter().filter(|system| system.exit.lock().is_none()) {
            if let Some(report) = crate::ending::deadlock(self, system) {
                system.end(ExitReason::Deadlock(report));
            }
        }
    }
}

impl Timekeeper for Shared {
    fn is_busy(&self) -> bool {
        self.scheduler.is_busy()
    }

    fn tick(&self, slice: u64) {
        self.engines.tick();
        if slice.is_multiple_of(HIBERNATION_LOOK) {
            self.hibernation.look();
        }
    }

    fn wake(&self, process: &Arc<Process>) {
        self.scheduler.wake(process);
    }

    fn send(&self, timer: u64, mail: &TimedMail, is_last: bool) -> bool {
        if is_last {
            self.queued.give_back(mail.size());
        }
        let Some(process) = self.find(mail.to) else {
            return false;
        };
        if is_last {
            let _ = process.relate(|relations| relations.timers.remove(&timer));
        }
        if let Some(parcel) = &mail.parcel {
            let letter = parcel.lock().take();
            if let Some(letter) = letter {
                self.send_letter(&process, letter);
            }
            return true;
        }
        // A mailbox that is full misses what a timer sends, as it would miss what a process sends.
        self.send_mail(process, mail.tag, &mail.body) != Err(SendRefusal::Closed)
    }

    fn give_back(&self, mail: &TimedMail) {
        self.queued.give_back(mail.size());
    }
}

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
    main: std::sync::OnceLock<Id>,
    /// The main process has ended or is about to: no other process of the system runs any more.
    over: AtomicBool,
    exit: Mutex<Option<ExitReason>>,
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

    fn end(&self, reason: ExitReason) {
        self.over.store(true, Ordering::Release);
        self.exit.lock().get_or_insert(reason);
        self.ended.notify_all();
    }

    /// Waits until the main process has ended, and tells how.
    fn wait(&self) -> ExitReason {
        let mut exit = self.exit.lock();
        loop {
            if let Some(reason) = &*exit {
                return reason.clone();
            }
            self.ended.wait(&mut exit);
        }
    }

    /// [`wait`](Self::wait) until `timeout` has passed, or longer if it is too long to be told.
    fn wait_timeout(&self, timeout: Duration) -> Option<ExitReason> {
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

/// Runs systems of processes. Dropping it ends all of them.
pub struct Runtime {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    /// The clock and the hibernation.
    helpers: Vec<JoinHandle<()>>,
}

/// Says how a [`Runtime`] is to be built.
#[derive(Debug, Clone)]
pub struct RuntimeBuilder {
    workers: usize,
    processes_max: u32,
    queued_max: usize,
    memory_max: usize,
    resident_max: usize,
    cache: Option<PathBuf>,
    use_cache: bool,
}

impl RuntimeBuilder {
    /// The number of worker threads; by default one per core.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers.max(1);
        self
    }

    /// The largest number of processes that live at once; by default 16,777,216.
    pub fn processes_max(mut self, processes_max: u32) -> Self {
        self.processes_max = processes_max;
        self
    }

    /// How many bytes the memories of all processes may grow to together; by default three quarters of the machine's.
    pub fn memory_max(mut self, bytes: usize) -> Self {
        self.memory_max = bytes;
        self
    }

    /// How many bytes the host may hold resident before processes that wait are frozen; by default a tenth of the
    /// machine's memory. A freeze and the thaw after it take some ten microseconds each. With 0, every
    /// process is frozen whenever it blocks.
    pub fn resident_max(mut self, bytes: usize) -> Self {
        self.resident_max = bytes;
        self
    }

    /// Where compiled modules are kept; `None` for nowhere. By default in the user's cache folder.
    pub fn cache(mut self, folder: Option<PathBuf>) -> Self {
        self.use_cache = folder.is_some();
        self.cache = folder;
        self
    }

    /// Starts the runtime's threads.
    ///
    /// # Errors
    ///
    /// When the machine refuses threads or memory, or is of a kind that wasmtime does not know.
    pub fn build(self) -> anyhow::Result<Runtime> {
        raise_descriptor_limit();
        let cache = match (&self.cache, self.use_cache) {
            (Some(folder), _) => Cache::at(folder),
            (None, true) => Cache::user(),
            (None, false) => Cache::disabled(),
        };
        let engines = Engines::new(self.workers, self.memory_max)?;
        let io = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("lunatic-io")
            .enable_all()
            .build()?;
        let net = crate::net::Net::new()?;
        let mut seats = Vec::new();
        let queued = Arc::new(Quota::new(self.queued_max));
        let shared = Arc::new_cyclic(|shared: &std::sync::Weak<Shared>| {
            let call = |f: fn(&Shared)| {
                let shared = shared.clone();
                move || {
                    if let Some(shared) = shared.upgrade() {
                        f(&shared);
                    }
                }
            };
            let (scheduler, all) =
                Scheduler::new(self.workers, call(Shared::on_idle), call(|shared| shared.clock.call()));
            seats = all;
            Shared {
                scheduler,
                clock: Clock::default(),
                processes: Table::new(self.processes_max),
                channels: Channels::new(CHANNELS_MAX, queued.clone()),
                queued,
                process_keys: Keys::new(),
                channel_keys: Keys::new(),
                modules: Table::new(MODULES_MAX),
                module_keys: Keys::new(),
                exits: Exits::default(),
                net,
                hibernation: Hibernation::new(self.resident_max),
                ahead: Ahead::default(),
                shortage: Shortage::new(),
                cache,
                engines,
                outside: AtomicUsize::new(0),
                systems: Mutex::default(),
                io,
            }
        });
        let (mut workers, mut helpers) = (Vec::new(), Vec::new());
        for (index, seat) in seats.into_iter().enumerate() {
            let shared = shared.clone();
            workers.push(
                std::thread::Builder::new()
                    .name(format!("lunatic-worker-{index}"))
                    .spawn(move || {
                        let _io = shared.io.enter();
                        let mut worker = Worker::new(&shared);
                        shared
                            .scheduler
                            .run(seat, || shared.make_ahead(), |process| worker.run(process));
                    })?,
            );
        }
        let clock = shared.clone();
        helpers.push(
            std::thread::Builder::new()
                .name("lunatic-clock".into())
                .spawn(move || {
                    clock.clock.run(&*clock);
                })?,
        );
        let reactor = shared.clone();
        helpers.push(
            std::thread::Builder::new()
                .name("lunatic-net".into())
                .spawn(move || reactor.net.reactor.run(|process| reactor.scheduler.wake(process)))?,
        );
        let hibernation = shared.clone();
        helpers.push(
            std::thread::Builder::new()
                .name("lunatic-hibernation".into())
                .spawn(move || hibernation.hibernation.run(&hibernation))?,
        );
        Ok(Runtime {
            shared,
            workers,
            helpers,
        })
    }
}

impl Runtime {
    /// A runtime with default settings is `Runtime::builder().build()`.
    pub fn builder() -> RuntimeBuilder {
        RuntimeBuilder {
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            processes_max: PROCESSES_MAX,
            queued_max: machine_memory() / 4,
            memory_max: machine_memory() / 4 * 3,
            resident_max: machine_memory() / 10,
            cache: None,
            use_cache: true,
        }
    }

    /// Checks and compiles a module, or takes it from the cache. `wasm` is the binary or the text format.
    ///
    /// # Errors
    ///
    /// When the bytes are no module, or one that imports what the host does not provide.
    pub fn load(&self, wasm: &[u8]) -> Result<Arc<Module>, LoadError> {
        Module::load(&self.shared, wasm)
    }

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
            main: std::sync::OnceLock::new(),
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
}

impl Runtime {
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

impl Shared {
    /// Drops all instances, when no worker is left: they hold what all parts share, and would keep it for ever.
    fn take_apart(&self) {
        let mut all = Vec::new();
        self.processes.for_each(|id, process| all.push((id, process.clone())));
        for (id, process) in all {
            self.processes.remove(0, id);
            process.system.end(ExitReason::Killed);
            drop(std::mem::replace(&mut *process.task.lock(), Task::Taken));
        }
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

impl Drop for Runtime {
    fn drop(&mut self) {
        // A worker catches what its processes do; if one panicked all the same, there is nobody left to tell.
        let join = |threads: &mut Vec<JoinHandle<()>>| threads.drain(..).for_each(|thread| drop(thread.join()));
        // The clock goes on until the workers have ended: it interrupts the processes that they run.
        self.shared.scheduler.stop();
        join(&mut self.workers);
        self.shared.ahead.clear();
        self.shared.take_apart();
        self.shared.clock.stop();
        self.shared.hibernation.stop();
        self.shared.net.reactor.stop();
        join(&mut self.helpers);
    }
}

/// Lets this process of the system have as many descriptors as it may: each socket of a guest is one, and shells often
/// give 1,024 only, for the sake of programs that use `select`.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // If it is refused, guests get errors sooner, and no more.
    let _ = setrlimit(Resource::Nofile, most);
}

/// The memory of the machine, in bytes; 4 GiB if it does not say.
fn machine_memory() -> usize {
    // SAFETY: sysconf takes a number and touches no memory of ours.
    let (pages, size) = unsafe { (libc::sysconf(libc::_SC_PHYS_PAGES), libc::sysconf(libc::_SC_PAGESIZE)) };
    let bytes = usize::try_from(pages)
        .ok()
        .zip(usize::try_from(size).ok())
        .map(|(pages, size)| pages.saturating_mul(size));
    bytes.filter(|bytes| *bytes > 0).unwrap_or(4 << 30)
}
