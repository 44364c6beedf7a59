//! Running systems: start, wait for the end, send messages, inspect.

use std::any::Any;
use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lunatic_kernel::address::Id;
use lunatic_kernel::budget::{Budget, Usage};
use lunatic_kernel::channel::SendRefusal;
use lunatic_kernel::events::{Interest, Observer};
use lunatic_kernel::exit::ExitReason;
use lunatic_kernel::registry::Named;
use lunatic_kernel::shares::Group;
use lunatic_kernel::stock::EXHAUSTED;
use lunatic_kernel::{Process as KernelProcess, Seed};

use crate::alarms::crashes::Crashes;
use crate::code::UpgradeConfig;
use crate::code::upgrade::{self, Upgrade, UpgradeError};
use crate::code::versions::{VersionInfo, Versions};
use crate::inspect::belongings::{self, Part};
use crate::inspect::{
    ChannelInfo, Listing, MailInfo, ModuleInfo, NameInfo, Page, ProcessInfo, Query, RightsInfo, SocketInfo,
};
use crate::inspect::{mail, rights};
use crate::log::Log;
use crate::metrics::{FamilyView, Metrics};
use crate::module::Module;
use crate::profile::waits::Waits;
use crate::profile::{self, PROFILE_MAX, Profile, Profiled};
use crate::request::{Door, Phase};
use crate::rights::net::Net;
use crate::rights::{MAY_ALL, Rights};
use crate::runtime::Runtime;
use crate::stack::{self, Stack};
use crate::states::SharedStates;
use crate::system::{StartError, SystemConfig, SystemData, SystemSetup};
use crate::trace::Tracer;
use crate::wasm::{Entry, Kernel, Local, System, Wasm};

/// The exit code of a system whose output is no longer read: that of a native program that SIGPIPE has ended.
const BROKEN_PIPE: i32 = 141;

/// A system that [`Runtime::start`] has started: a main process and its descendants.
///
/// The system ends when its main process ends; the other processes are then killed. All functions can be called from
/// any thread, even after the end of the system or of the runtime.
///
/// Dropping this value kills all processes of the system, so keep it for as long as the system is to run.
pub struct RunningSystem {
    kernel: Arc<Kernel>,
    system: Arc<System>,
    /// Ends the system when its output is no longer read.
    watch: tokio::task::JoinHandle<()>,
}

impl RunningSystem {
    /// Waits until the main process has ended, and returns its exit reason. Blocks the calling thread;
    /// [`ended`](Self::ended) does not.
    ///
    /// Some output may not have been written yet: see [`Output::finish`](crate::wasi::Output::finish).
    pub fn wait(&self) -> ExitReason {
        self.system.wait()
    }

    /// Waits until the main process has ended, but no longer than `timeout`. Returns `None` if it is still running. A
    /// timeout of zero does not block.
    pub fn wait_timeout(&self, timeout: Duration) -> Option<ExitReason> {
        self.system.wait_timeout(self.kernel.now(), timeout)
    }

    /// Like [`wait`](Self::wait), for async code on any executor. Blocks no thread.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: the system continues, and can be waited for again.
    pub async fn ended(&self) -> ExitReason {
        poll_fn(|context| self.system.poll_ended(context)).await
    }

    /// Ends the system immediately: no process of it is resumed, and [`wait`](Self::wait) returns
    /// [`Killed`](ExitReason::Killed), unless the system had already ended. Processes that are running stop at the end
    /// of their time slice of a millisecond. Does not wait for this.
    pub fn stop(&self) {
        self.system.end(ExitReason::Killed);
        self.kernel.sweep(&self.system);
    }

    /// Asks the system to shut down in order, as `init:stop` does in OTP, without waiting. Does nothing if the system
    /// has been asked before or has ended.
    ///
    /// The main process receives an exit signal with the reason [`Shutdown`](ExitReason::Shutdown), which it can trap
    /// in order to end when it is ready. When it has ended, its children and the processes linked to it are notified:
    /// supervisors shut down their own children in order, and then exit. When the last of these has ended, the system
    /// ends, with the reason of the main process; the processes that remain are killed. If the main process ends
    /// without a failure, the others see `Shutdown` as its reason, so that none of them continues forever.
    ///
    /// A system that [answers HTTP requests](crate::serve) admits no others, answers those that have begun, and then ends
    /// with [`Normal`](ExitReason::Normal).
    ///
    /// A process can ignore the request. Therefore set a time limit, and then call [`stop`](Self::stop):
    ///
    /// ```no_run
    /// use std::time::Duration;
    ///
    /// use lunatic_host::RunningSystem;
    ///
    /// fn end(system: &RunningSystem) {
    ///     system.shut_down();
    ///     if system.wait_timeout(Duration::from_secs(10)).is_none() {
    ///         system.stop();
    ///     }
    /// }
    /// ```
    pub fn shut_down(&self) {
        match self.state::<Door>() {
            Some(door) => door.advance(Phase::Draining),
            None => self.kernel.shut_down(&self.system),
        }
    }

    /// Kills a process. Processes that are linked to it or monitor it see the reason [`Killed`](ExitReason::Killed).
    /// Returns false if it is not a living process of this system.
    pub fn kill(&self, id: Id) -> bool {
        let process = self.find(id);
        if let Some(process) = &process {
            self.kernel.kill(process);
        }
        process.is_some()
    }

    /// Sends an exit signal to a process, as if from the main process. The process ends with `reason`, or receives it
    /// as mail if it traps exits. [`Normal`](ExitReason::Normal) does not affect most processes;
    /// [`Killed`](ExitReason::Killed) ends any process. Returns false if it is not a living process of this system.
    pub fn exit(&self, id: Id, reason: &ExitReason) -> bool {
        let process = self.find(id);
        if let (Some(process), Some(main)) = (&process, self.system.main()) {
            self.kernel.exit_from_outside(process, main, reason);
        }
        process.is_some()
    }

    /// Returns the id of the main process until it has ended.
    pub fn main(&self) -> Option<Id> {
        self.system.main().filter(|id| self.kernel.is_alive(*id))
    }

    /// Sends a message to the mailbox of a process of this system, from any thread, without blocking. The guest
    /// receives it by `tag`. Messages from one thread to one process arrive in the order in which they were sent.
    ///
    /// A system that is sent messages this way should set [`SystemConfig::expects_messages`]; otherwise it may end with
    /// a deadlock while it waits for them. A thread that an extension starts should use a
    /// [`ProcessRef`](crate::extension::ProcessRef) instead.
    ///
    /// # Errors
    ///
    /// [`SendRefusal::Full`] if the mailbox has a limit and is full; [`SendRefusal::Closed`] if the process is not a
    /// living process of this system; [`SendRefusal::Limit`] if the message is longer than 256 MiB, or if all queued
    /// messages together would exceed [`queued_max`](crate::RuntimeBuilder::queued_max).
    pub fn send(&self, to: Id, tag: u64, message: &[u8]) -> Result<(), SendRefusal> {
        self.kernel
            .put_mail(self.find(to).ok_or(SendRefusal::Closed)?, tag, message)
    }

    /// Returns the processes of the system in no particular order, each as it was at some moment during the call. Stops
    /// no process; takes about a microsecond per process of the runtime.
    pub fn processes(&self) -> Vec<ProcessInfo> {
        self.kernel.snapshots_with(|process| self.has(process), ProcessInfo::of)
    }

    /// Returns the processes that match `query`, each as it was at some moment during the call. Stops no process; takes
    /// less than half a microsecond per process of the runtime, and memory only for the processes that it returns.
    pub fn list(&self, query: &Query) -> Page {
        let place = |process: &KernelProcess<Wasm>| {
            let is_wanted = self.has(process) && (!query.is_root || self.is_root(process));
            is_wanted.then(|| query.place(process)).flatten()
        };
        let (first, matched) = self.kernel.first_by(query.skip, query.limit, place);
        let show = |process: &Arc<_>| ProcessInfo::of(process, self.kernel.snapshot_of(process));
        Page {
            matched,
            processes: first.iter().map(show).collect(),
        }
    }

    /// Counts the living children of each of these processes. Takes a few nanoseconds per process of the runtime.
    pub fn children(&self, of: impl IntoIterator<Item = Id>) -> HashMap<Id, usize> {
        let mut counts: HashMap<Id, usize> = of.into_iter().map(|id| (id, 0)).collect();
        self.kernel.for_each_process(|process| {
            if let Some(count) = process.parent.and_then(|parent| counts.get_mut(&parent)) {
                *count += 1;
            }
        });
        counts
    }

    /// Returns the current state of a process of the system; `None` if there is no living process with this id.
    pub fn process(&self, id: Id) -> Option<ProcessInfo> {
        let process = self.find(id)?;
        Some(ProcessInfo::of(&process, self.kernel.snapshot_of(&process)))
    }

    /// Returns the rights and limits of a process of the system, and its use of them; `None` if there is no process
    /// with this id.
    pub fn rights(&self, id: Id) -> Option<RightsInfo> {
        Some(rights::of(&*self.find(id)?))
    }

    /// Returns the versions of the system's code, ordered by number: the current one and those that processes still
    /// run.
    pub fn versions(&self) -> Vec<VersionInfo> {
        let mut counts: HashMap<usize, usize> = HashMap::new();
        self.kernel.visit_processes(|process| {
            if self.has(process) {
                *counts.entry(process.local.code.identity()).or_default() += 1;
            }
        });
        upgrade::versions(&self.system).list(&counts)
    }

    /// Starts to upgrade the system to another version of its code, on a thread of its own. The result reports the
    /// progress.
    ///
    /// Each process that offers a point of change is upgraded when it reaches it: an instance of the new version reads
    /// the state of the process and takes its place. If this fails, the process continues as if nothing had happened.
    /// Processes keep their identity; see
    /// [`docs/upgrades.md`](https://github.com/lunatic-solutions/lunatic/blob/main/docs/upgrades.md).
    ///
    /// # Errors
    ///
    /// [`UpgradeError`] if another upgrade is in progress, or if the machine refuses a thread. An upgrade that was
    /// started by a process with fewer rights than the system does not count: it is cancelled and rolled back first.
    pub fn upgrade(&self, module: &Arc<Module>, config: UpgradeConfig) -> Result<Arc<Upgrade>, UpgradeError> {
        let asked = upgrade::Asked {
            kernel: &self.kernel,
            system: &self.system,
            module,
            config,
            within: None,
        };
        asked.begin()
    }

    /// Returns the upgrade that was started last.
    pub fn last_upgrade(&self) -> Option<Arc<Upgrade>> {
        upgrade::last(&self.system)
    }

    /// Lists the channels of the system, those with the most messages first: up to `limit` of them after the first
    /// `skip`. Like [`list`](Self::list), it takes a fraction of a microsecond per channel of the runtime and stops no
    /// process.
    pub fn channels(&self, skip: usize, limit: usize) -> Listing<ChannelInfo> {
        belongings::channels(&self.kernel, |process| self.has(process), Part { skip, limit })
    }

    /// Lists the registered names of the system's processes alphabetically: up to `limit` of them after the first
    /// `skip`. The same name can occur in several scopes.
    pub fn names(&self, skip: usize, limit: usize) -> Listing<NameInfo> {
        let has = |process: &KernelProcess<Wasm>| self.has(process);
        belongings::names(&self.kernel, has, Named::Alone, Part { skip, limit })
    }

    /// Lists the groups that processes of the system are members of, with a row per member, like
    /// [`names`](Self::names).
    pub fn groups(&self, skip: usize, limit: usize) -> Listing<NameInfo> {
        let has = |process: &KernelProcess<Wasm>| self.has(process);
        belongings::names(&self.kernel, has, Named::InGroup, Part { skip, limit })
    }

    /// Lists the unread mail of a process, the oldest first: up to `limit` entries, and up to
    /// [`MAIL_MAX`](crate::inspect::MAIL_MAX). Their content is not shown. Searches the module for the names of their
    /// types, which can take some milliseconds. `None` if there is no living process with this id.
    pub fn mail(&self, id: Id, limit: usize) -> Option<Listing<MailInfo>> {
        Some(mail::of(&*self.find(id)?, limit))
    }

    /// Lists the sockets of the system in the order of their ids: up to `limit` of them after the first `skip`.
    pub fn sockets(&self, skip: usize, limit: usize) -> Listing<SocketInfo> {
        belongings::sockets(&self.kernel, |process| self.has(process), Part { skip, limit })
    }

    /// Lists the modules that processes of the system run, those with the most processes first: up to `limit` of them
    /// after the first `skip`.
    pub fn modules(&self, skip: usize, limit: usize) -> Listing<ModuleInfo> {
        belongings::modules(&self.kernel, |process| self.has(process), Part { skip, limit })
    }

    /// Notifies `observer` of events of this system's processes from now on, as far as `interest` selects them; see
    /// [`Runtime::observe`]. A message to a process that has ended, or to one of another node, is reported whichever
    /// system it comes from.
    pub fn observe(&self, interest: Interest, observer: Arc<dyn Observer>) {
        let system = self.system.main();
        self.kernel.observe_some(Interest { system, ..interest }, observer);
    }

    /// Changes the interest of an `observer` that was passed to [`observe`](Self::observe), without missing an event
    /// that both interests select.
    pub fn observe_others(&self, interest: Interest, observer: &Arc<dyn Observer>) {
        let system = self.system.main();
        self.kernel.observe_others(Interest { system, ..interest }, observer);
    }

    /// Stops notifying `observer`; one event may still be in progress.
    pub fn observe_no_more(&self, observer: &Arc<dyn Observer>) {
        self.kernel.observe_no_more(observer);
    }

    /// Returns the stack of a process, with names and lines. A waiting process is examined immediately, a computing one
    /// at the end of its time slice. Blocks until then, but no longer than `timeout`; [`Stack::unseen`] says why a
    /// stack could not be read. `None` if there is no living process with this id.
    ///
    /// The process is not affected: it is not woken, and stays frozen if it was. The calling thread pays for the work,
    /// and reads the debug information of the module when it is first needed.
    pub fn stack(&self, id: Id, timeout: Duration) -> Option<Stack> {
        stack::of(&self.kernel, &self.find(id)?, timeout)
    }

    /// Samples where processes of the system compute, for `time` from now on (at most [`PROFILE_MAX`]) or until the
    /// system ends, and blocks meanwhile. `None` if another thread is profiling in this runtime.
    ///
    /// A process is sampled at the end of each time slice that it uses up, which is every millisecond while it
    /// computes. If the slice ends in a call of a host function of Lunatic, the function is the innermost frame. A sample
    /// takes a few microseconds of the process's time; all samples take at most a 33rd of it. The calling thread samples
    /// processes that wait, if that is requested, and uses at most a 33rd of a core for it.
    pub fn profile(&self, profiled: &Profiled, time: Duration) -> Option<Profile> {
        if !profile::begin(&self.kernel, &self.system, profiled) {
            return None;
        }
        let end = Instant::now() + time.min(PROFILE_MAX);
        let mut waits = profiled.waiting.then(|| Waits::new(&self.kernel));
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let pause = waits.as_mut().map_or(left, Waits::round);
            if left.is_zero() || self.wait_timeout(pause.min(left)).is_some() {
                break;
            }
        }
        Some(profile::end(&self.kernel))
    }

    /// Returns what the processes of the system use together, or used until it ended. `None` if [`SystemConfig::caps`]
    /// is `None`.
    pub fn usage(&self) -> Option<Usage> {
        Some(self.system.data.budget.as_ref()?.usage())
    }

    /// Returns the metrics that its processes have counted with `lunatic::metrics`, ordered by name.
    pub fn metrics(&self) -> Vec<FamilyView> {
        self.system.data.metrics.read()
    }

    /// Returns how often a process could not open a new metric because there were too many.
    pub fn metrics_refused(&self) -> u64 {
        self.system.data.metrics.refused()
    }

    /// Returns the log of [`SystemConfig::log`].
    pub fn log(&self) -> Option<&Log> {
        self.system.data.config.log.as_ref()
    }

    /// Returns the tracer of [`SystemConfig::tracer`].
    pub fn tracer(&self) -> Option<&Tracer> {
        self.system.data.config.tracer.as_ref()
    }

    /// Returns the value of this type that an extension keeps for the system, if there is one: see
    /// [`Ctx::system_state`](crate::Ctx::system_state).
    pub fn state<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.system.data.states.find()
    }

    /// The kernel that it runs on, and the system itself.
    pub(crate) fn parts(&self) -> (&Arc<Kernel>, &Arc<System>) {
        (&self.kernel, &self.system)
    }

    pub(crate) fn main_process(&self) -> Option<Arc<KernelProcess<Wasm>>> {
        self.kernel.find(self.system.main()?)
    }

    fn find(&self, id: Id) -> Option<Arc<KernelProcess<Wasm>>> {
        self.kernel.find(id).filter(|process| self.has(process))
    }

    fn is_root(&self, process: &KernelProcess<Wasm>) -> bool {
        process.parent.is_none_or(|parent| !self.kernel.is_alive(parent))
    }

    fn has(&self, process: &KernelProcess<Wasm>) -> bool {
        Arc::ptr_eq(&process.system, &self.system)
    }
}

impl Drop for RunningSystem {
    fn drop(&mut self) {
        self.watch.abort();
        self.kernel.sweep(&self.system);
    }
}

impl Runtime {
    /// Starts a system whose main process runs in `module`, without waiting for it.
    ///
    /// # Errors
    ///
    /// [`StartError`] if the module does not export the entry; other errors if a folder of the configuration cannot be
    /// opened or the limit of processes is reached.
    pub fn start(&self, module: &Arc<Module>, config: SystemConfig) -> anyhow::Result<RunningSystem> {
        let host = &self.kernel.host;
        if config.entry == "_start" && !module.has_start() && module.handles_requests() {
            return Err(StartError::IsHandler.into());
        }
        let has_entry = module.has_entry(host, &config.entry);
        if !has_entry.map_err(|error| anyhow::anyhow!("{error:#}"))? {
            return Err(StartError::NoEntry(config.entry).into());
        }
        let mut wasi = config.wasi.clone().open()?;
        if let Some(extension) = host.extensions.of(module.interface()) {
            extension.starts_system(&mut SystemSetup { wasi: &mut wasi });
        }
        let group = Group::new();
        if !wasi.pay(&host.descriptors, &group) {
            anyhow::bail!(EXHAUSTED);
        }
        let states = SharedStates::default();
        states.get_or_insert_with(|| Versions::new(module));
        let data = SystemData {
            budget: config.caps.map(|caps| Budget::outermost(caps, self.kernel.now())),
            config,
            wasi: Arc::new(wasi),
            metrics: Metrics::default(),
            states,
            crashes: Crashes::default(),
        };
        let system = self
            .kernel
            .start_system(data, |data| self.main_seed(module, data, group));
        let system = system.map_err(|limit| anyhow::anyhow!("{limit}"))?;
        Ok(RunningSystem {
            kernel: self.kernel.clone(),
            watch: self.watch_output(&system),
            system,
        })
    }

    fn main_seed(&self, module: &Arc<Module>, data: &SystemData, group: Arc<Group>) -> Seed<Wasm> {
        let config = &data.config;
        let mut inherited = config.inherited.clone();
        let extension = self.kernel.host.extensions.of(module.interface());
        let intake = extension.and_then(|extension| extension.begins(&mut inherited));
        let rights = Rights {
            scope: Arc::default(),
            may: MAY_ALL,
            max_memory: config.max_memory,
            mailbox_max: usize::MAX,
            files_max: config.max_files,
            net: Arc::new(Net::new(config.net.clone())),
            wasi: data.wasi.clone(),
            budget: data.budget.clone(),
            group,
            descriptors: self.kernel.host.descriptors.clone(),
            turns: Arc::default(),
            fuel: None,
            inherited,
            paid: None,
        };
        let entry = Entry::Export(config.entry.clone().into());
        Seed {
            local: Local::new(Arc::new(rights), module.clone(), &entry),
            entry,
            intake,
        }
    }

    /// Ends the system when its output is no longer read.
    fn watch_output(&self, system: &Arc<System>) -> tokio::task::JoinHandle<()> {
        let (output, ended) = (system.data.wasi.stdout().clone(), Arc::downgrade(system));
        self.kernel.host.io.spawn(async move {
            output.wait_closed().await;
            if let Some(system) = ended.upgrade() {
                system.end(ExitReason::Exit(BROKEN_PIPE));
            }
        })
    }
}
