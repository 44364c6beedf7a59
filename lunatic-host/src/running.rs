//! Systems that run: starting one, waiting for its end, messages to it, and a look into it.

use std::any::Any;
use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

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
use crate::inspect::rights;
use crate::inspect::{ChannelInfo, Listing, ModuleInfo, NameInfo, Page, ProcessInfo, Query, RightsInfo, SocketInfo};
use crate::log::Log;
use crate::metrics::{FamilyView, Metrics};
use crate::module::Module;
use crate::profile::{self, PROFILE_MAX, Profile, Profiled};
use crate::rights::net::Net;
use crate::rights::{MAY_ALL, Rights};
use crate::runtime::Runtime;
use crate::stack::{self, Stack};
use crate::states::SharedStates;
use crate::system::{StartError, SystemConfig, SystemData, SystemSetup};
use crate::trace::Tracer;
use crate::wasm::{Entry, Kernel, Local, System, Wasm};

/// The exit code of a system that nobody reads any more: that of a native program ended by SIGPIPE.
const BROKEN_PIPE: i32 = 141;

/// A system that was started, by [`Runtime::start`]: a main process and all that descends from it.
///
/// It ends when its main process does, and takes the others with it. All functions can be called from any thread, also
/// after the end, and after the end of the runtime.
///
/// Dropping it kills all its processes. To keep a system running, keep this value.
pub struct RunningSystem {
    kernel: Arc<Kernel>,
    system: Arc<System>,
    /// Ends the system when nobody reads its output any more.
    watch: tokio::task::JoinHandle<()>,
}

impl RunningSystem {
    /// Waits until the main process has ended, and tells how. Blocks the calling thread: see [`ended`](Self::ended).
    ///
    /// The last output may not be out yet: see [`Output::finish`](crate::wasi::Output::finish).
    pub fn wait(&self) -> ExitReason {
        self.system.wait()
    }

    /// Waits until the main process has ended, but not longer than `timeout`. `None` if it still runs then. With a timeout of
    /// zero it does not wait.
    pub fn wait_timeout(&self, timeout: Duration) -> Option<ExitReason> {
        self.system.wait_timeout(self.kernel.now(), timeout)
    }

    /// [`wait`](Self::wait) for an async caller, on whatever executor it has. No thread waits meanwhile.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped: the system goes on, and can be waited for again.
    pub async fn ended(&self) -> ExitReason {
        poll_fn(|context| self.system.poll_ended(context)).await
    }

    /// Ends the system: no process of it runs from now on, and [`wait`](Self::wait) tells that it was
    /// [killed](ExitReason::Killed), if it had not ended. What runs just now stops at the end of its time slice of a
    /// millisecond. Does not wait for that.
    pub fn stop(&self) {
        self.system.end(ExitReason::Killed);
        self.kernel.sweep(&self.system);
    }

    /// Asks the system to end in order, as `init:stop` does in OTP; does not wait. Nothing happens if it was asked before, or has
    /// ended.
    ///
    /// The main process gets an exit signal, [`Shutdown`](ExitReason::Shutdown), which it may trap to end when it is ready.
    /// When it has ended, its children and those that are linked to it hear of that: supervisors end their own children in
    /// order, and then themselves. When the last of these has ended, so has the system, for the reason for which the main
    /// process did. What is left then is killed. An end of the main process without a failure is told as `Shutdown`, so that
    /// nobody goes on for ever.
    ///
    /// Nothing makes a process end that will not. So give it a time, and then [`stop`](Self::stop):
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
        self.kernel.shut_down(&self.system);
    }

    /// Kills one process. Who is linked to it or monitors it hears that it was [killed](ExitReason::Killed). False if it is no
    /// process of this system, or has ended.
    pub fn kill(&self, id: Id) -> bool {
        let process = self.find(id);
        if let Some(process) = &process {
            self.kernel.kill(process);
        }
        process.is_some()
    }

    /// Sends an exit signal to a process, as if it came from the main process. It ends with `reason`, or gets mail if it traps
    /// exits; to most, [`Normal`](ExitReason::Normal) does nothing, and [`Killed`](ExitReason::Killed) ends any. False if it is
    /// no process of this system, or has ended.
    pub fn exit(&self, id: Id, reason: &ExitReason) -> bool {
        let process = self.find(id);
        if let (Some(process), Some(main)) = (&process, self.system.main()) {
            self.kernel.exit_from_outside(process, main, reason);
        }
        process.is_some()
    }

    /// The main process, until it has ended.
    pub fn main(&self) -> Option<Id> {
        self.system.main().filter(|id| self.kernel.is_alive(*id))
    }

    /// Sends a message to the mailbox of a process of this system, from any thread; never waits. The guest receives it by
    /// `tag`. Messages from one thread to one process arrive in the order in which they were sent.
    ///
    /// A system that gets messages so should have [`SystemConfig::expects_messages`], or it may be ended for a deadlock while it
    /// waits for them. A thread that an extension starts sends with a [`ProcessRef`](crate::extension::ProcessRef).
    ///
    /// # Errors
    ///
    /// [`SendRefusal::Full`] if the mailbox has a limit and is full; [`SendRefusal::Closed`] if the process has ended, or is none
    /// of this system; [`SendRefusal::Limit`] if the message is longer than 256 MiB, or if queued messages would hold more than
    /// [`queued_max`](crate::RuntimeBuilder::queued_max) together.
    pub fn send(&self, to: Id, tag: u64, message: &[u8]) -> Result<(), SendRefusal> {
        self.kernel
            .put_mail(self.find(to).ok_or(SendRefusal::Closed)?, tag, message)
    }

    /// The processes of the system, in no particular order: each as it was at some time during the call. Stops nobody; takes
    /// about a microsecond for each process of the runtime.
    pub fn processes(&self) -> Vec<ProcessInfo> {
        self.kernel.snapshots_with(|process| self.has(process), ProcessInfo::of)
    }

    /// The processes that `query` asks for: each as it was at some time during the call. Stops nobody; takes less than half a
    /// microsecond for each process of the runtime, and memory for those only that are shown.
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

    /// How many processes live that each of these has spawned. Takes a few nanoseconds for each process of the runtime.
    pub fn children(&self, of: impl IntoIterator<Item = Id>) -> HashMap<Id, usize> {
        let mut counts: HashMap<Id, usize> = of.into_iter().map(|id| (id, 0)).collect();
        self.kernel.for_each_process(|process| {
            if let Some(count) = process.parent.and_then(|parent| counts.get_mut(&parent)) {
                *count += 1;
            }
        });
        counts
    }

    /// One process of the system, as it is now; `None` if there is none of this id, or it has ended.
    pub fn process(&self, id: Id) -> Option<ProcessInfo> {
        let process = self.find(id)?;
        Some(ProcessInfo::of(&process, self.kernel.snapshot_of(&process)))
    }

    /// What a process of the system may do and use, and how near its limits are; `None` if there is none of this id.
    pub fn rights(&self, id: Id) -> Option<RightsInfo> {
        Some(rights::of(&*self.find(id)?))
    }

    /// The versions of the system's code that are current or that somebody runs, by number.
    pub fn versions(&self) -> Vec<VersionInfo> {
        let mut counts: HashMap<usize, usize> = HashMap::new();
        self.kernel.visit_processes(|process| {
            if self.has(process) {
                *counts.entry(process.local.code.identity()).or_default() += 1;
            }
        });
        upgrade::versions(&self.system).list(&counts)
    }

    /// Begins to bring the system to another version of its code, on a thread of its own. Ask the result how it goes.
    ///
    /// Each process that offers a point of change goes over when it comes to it: an instance of the new version reads its state and
    /// takes its place; or if it does not, the process goes on as if nothing had happened. Processes stay what they are:
    /// [`docs/upgrades.md`](https://github.com/lunatic-solutions/lunatic/blob/main/docs/upgrades.md) says what that means.
    ///
    /// # Errors
    ///
    /// [`UpgradeError`] if another upgrade goes on, or the machine refuses a thread. One that a process with fewer rights than the
    /// system's has begun does not count: it is cancelled, and what it has changed goes back first.
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

    /// The upgrade that was begun last.
    pub fn last_upgrade(&self) -> Option<Arc<Upgrade>> {
        upgrade::last(&self.system)
    }

    /// The channels of the system, those first that hold the most messages: `limit` behind the first `skip`. As with
    /// [`list`](Self::list), a look takes a fraction of a microsecond for each channel of the runtime, and stops nobody.
    pub fn channels(&self, skip: usize, limit: usize) -> Listing<ChannelInfo> {
        belongings::channels(&self.kernel, |process| self.has(process), Part { skip, limit })
    }

    /// The names under which processes of the system are registered, in the order of the alphabet: `limit` behind the first
    /// `skip`. Names of different scopes may be equal.
    pub fn names(&self, skip: usize, limit: usize) -> Listing<NameInfo> {
        let has = |process: &KernelProcess<Wasm>| self.has(process);
        belongings::names(&self.kernel, has, Named::Alone, Part { skip, limit })
    }

    /// The groups that processes of the system are in, a row for each member: as [`names`](Self::names).
    pub fn groups(&self, skip: usize, limit: usize) -> Listing<NameInfo> {
        let has = |process: &KernelProcess<Wasm>| self.has(process);
        belongings::names(&self.kernel, has, Named::InGroup, Part { skip, limit })
    }

    /// The sockets of the system, in the order of their ids: `limit` behind the first `skip`.
    pub fn sockets(&self, skip: usize, limit: usize) -> Listing<SocketInfo> {
        belongings::sockets(&self.kernel, |process| self.has(process), Part { skip, limit })
    }

    /// The modules that processes of the system run, those first that most run: `limit` behind the first `skip`.
    pub fn modules(&self, skip: usize, limit: usize) -> Listing<ModuleInfo> {
        belongings::modules(&self.kernel, |process| self.has(process), Part { skip, limit })
    }

    /// Tells `observer` of what processes of this system do from now on, as far as it is of interest; see
    /// [`Runtime::observe`]. Of a message to a process that has ended, or of another node, it is told whichever system it comes
    /// from.
    pub fn observe(&self, interest: Interest, observer: Arc<dyn Observer>) {
        let system = self.system.main();
        self.kernel.observe_some(Interest { system, ..interest }, observer);
    }

    /// Tells `observer`, which [`observe`](Self::observe) was given, of other events from now on, and misses none that is of both
    /// interests.
    pub fn observe_others(&self, interest: Interest, observer: &Arc<dyn Observer>) {
        let system = self.system.main();
        self.kernel.observe_others(Interest { system, ..interest }, observer);
    }

    /// Tells `observer` of no further event; one may still be under way.
    pub fn observe_no_more(&self, observer: &Arc<dyn Observer>) {
        self.kernel.observe_no_more(observer);
    }

    /// The functions that a process is in, with names and lines: of one that waits at once, and of one that computes at the end of
    /// its time slice. Waits for that, but not longer than `timeout`; [`Stack::unseen`] says why a stack was not seen. `None` if
    /// there is no process of this id, or it has ended.
    ///
    /// The process goes on as if nobody had looked: it is not woken, and stays frozen if it was. What a look costs is paid by the
    /// thread that calls, which reads the debug information of the module when that is first needed.
    pub fn stack(&self, id: Id, timeout: Duration) -> Option<Stack> {
        stack::of(&self.kernel, &self.find(id)?, timeout)
    }

    /// Where processes of the system compute, for `time` from now on, of which at most [`PROFILE_MAX`] are taken, or until the system
    /// ends. Waits for that. `None` if another thread profiles in this runtime.
    ///
    /// What computes is looked at at the end of its time slice, which is each millisecond. Time in host calls is not seen, nor what
    /// never uses up a slice. Each look takes a few microseconds of the process's time, and at most a part in 33 of it.
    pub fn profile(&self, profiled: &Profiled, time: Duration) -> Option<Profile> {
        if !profile::begin(&self.kernel, &self.system, profiled) {
            return None;
        }
        self.wait_timeout(time.min(PROFILE_MAX));
        Some(profile::end(&self.kernel))
    }

    /// What the processes of the system use together, or used if it has ended. `None` if [`SystemConfig::caps`] is.
    pub fn usage(&self) -> Option<Usage> {
        Some(self.system.data.budget.as_ref()?.usage())
    }

    /// What its processes have counted with `lunatic::metrics`, in the order of the names.
    pub fn metrics(&self) -> Vec<FamilyView> {
        self.system.data.metrics.read()
    }

    /// How often a process wanted to count something new and could not, as there were too many names already.
    pub fn metrics_refused(&self) -> u64 {
        self.system.data.metrics.refused()
    }

    /// Where records of its processes go, if [`SystemConfig::log`] says so.
    pub fn log(&self) -> Option<&Log> {
        self.system.data.config.log.as_ref()
    }

    /// Who records the spans of its processes, if [`SystemConfig::tracer`] says so.
    pub fn tracer(&self) -> Option<&Tracer> {
        self.system.data.config.tracer.as_ref()
    }

    /// What an extension keeps with the system, if it keeps anything of this type: see
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
    /// Starts a system whose main process runs in `module`, and does not wait for it.
    ///
    /// # Errors
    ///
    /// [`StartError`] when the module has no such entry; else when a folder of the configuration cannot be opened, or the
    /// limit of processes is reached.
    pub fn start(&self, module: &Arc<Module>, config: SystemConfig) -> anyhow::Result<RunningSystem> {
        let host = &self.kernel.host;
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

    /// Ends the system when nobody reads its output any more.
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
