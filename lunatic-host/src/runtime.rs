//! The runtime: workers, clock and tables, built once, on which systems of processes run.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use lunatic_kernel::Settings;
use lunatic_kernel::address::{Keys, Node};
use lunatic_kernel::counts::Ends;
use lunatic_kernel::environment::{Environment, Machine, Thread};
use lunatic_kernel::events::Observer;
use lunatic_kernel::permits::Permits;
use lunatic_kernel::scheduler::Queues;
use lunatic_kernel::worker::Threads;
use lunatic_module::cache::Cache;
use lunatic_module::signature::TrustedKeys;
use lunatic_net::Net;
use parking_lot::Mutex;

use crate::ahead::Ahead;
use crate::compile::{CompileHelper, CompileLimits, Compiler};
use crate::descriptors;
use crate::engine::Engines;
use crate::extension::{Extension, Extensions};
use crate::hibernation::Hibernation;
use crate::imports;
use crate::imports::wasi::FILE_OPERATIONS_MAX;
use crate::inspect::WorkerInfo;
use crate::io::Io;
use crate::module::{LoadError, Module};
use crate::shortage::Shortage;
use crate::states::SharedStates;
use crate::wasm::{Kernel, Wasm};
use crate::{profile, stack};

/// The most processes that can live at once, if nothing else is said.
const PROCESSES_MAX: u32 = 16 << 20;
/// The memory of a machine that does not say how much it has, in bytes: 4 GiB.
const MEMORY_UNKNOWN: usize = 4 << 30;
/// The folder, in that of the cache, of what guests compiled, and how large it becomes, in bytes: 256 MiB.
const GUEST_CACHE: &str = "guests";
const GUEST_CACHE_SIZE_MAX: u64 = 256 << 20;
/// The most channels that can be open at once.
const CHANNELS_MAX: u32 = 64 << 20;

/// Runs systems of processes: threads, tables and limits that all of them share. A program needs one.
///
/// Dropping it ends all systems, and waits for the processes that run just now to reach the end of their time slices. It does not
/// wait for what [`spawn_blocking`](crate::Ctx::spawn_blocking) has begun, which goes on until it is done.
pub struct Runtime {
    pub(crate) kernel: Arc<Kernel>,
    /// The workers and the clock.
    threads: Option<Threads>,
    /// The hibernation and the network.
    helpers: Vec<Thread>,
}

/// What a runtime holds now: see [`Runtime::figures`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Figures {
    /// Processes that live, of all systems.
    pub processes: usize,
    /// How many of them wait for something.
    pub blocked: usize,
    /// How many of those are frozen: packed into what they changed.
    pub frozen: usize,
    /// Instances of modules: those of processes that have begun to run, and some that are kept for others.
    pub instances: usize,
    /// What is charged for the linear memories of all instances, in bytes; at most
    /// [`memory_max`](RuntimeBuilder::memory_max). Up to 4 MiB of what one begins with cost a flat 4 KiB, as hardly any uses
    /// all of them. How much of it is resident the system knows.
    pub memory_bytes: usize,
    /// What messages hold that wait in mailboxes and channels, in bytes; at most
    /// [`queued_max`](RuntimeBuilder::queued_max).
    pub queued_bytes: usize,
    /// What is kept for processes beside their memories, in bytes, queued messages among it: links, monitors, names, channels,
    /// timers, results that wait to be fetched, sockets. At most [`kept_max`](RuntimeBuilder::kept_max), and what signals made of it.
    pub kept_bytes: usize,
    /// Descriptors that processes hold: of files, folders and sockets; at most
    /// [`descriptors_max`](RuntimeBuilder::descriptors_max).
    pub descriptors: usize,
    /// Timers that have still to send.
    pub timers: usize,
    /// How often intervals did not send since the start: because they were late, or had used up their share of a core.
    pub timers_skipped: u64,
    /// Processes that were spawned since the start, main processes among them.
    pub spawned: u64,
    /// Processes that have ended since the start, by the kind of reason, in the order of
    /// [`exit::KINDS`](crate::exit::KINDS).
    pub ended: Ends,
    /// Processes that wait for a worker, by queue.
    pub queues: Queues,
    /// The memory of the machine that the whole program holds, in bytes; 0 where the system does not tell.
    pub resident_bytes: usize,
    /// How many are told of events.
    pub observers: usize,
}

/// Says how a [`Runtime`] is to be built. [`Runtime::builder`] makes one with all defaults.
///
/// | function | limits or sets | default |
/// |---|---|---|
/// | [`workers`](Self::workers) | threads that run processes | one per core that this program may use |
/// | [`processes_max`](Self::processes_max) | processes that live at once | 16,777,216 |
/// | [`queued_max`](Self::queued_max) | bytes of queued messages | a quarter of the machine's memory |
/// | [`kept_max`](Self::kept_max) | bytes of all that is kept for processes beside their memories | a quarter of it |
/// | [`memory_max`](Self::memory_max) | bytes of all linear memories | three quarters of it |
/// | [`resident_max`](Self::resident_max) | bytes that are resident before what waits is frozen | a tenth of it |
/// | [`descriptors_max`](Self::descriptors_max) | files, folders and sockets of all processes | what the system allows, without 1,024 or a quarter |
/// | [`cache`](Self::cache) | where compiled modules are kept | the user's cache folder |
/// | [`compile_helper`](Self::compile_helper) | the program that compiles what guests bring along | none: the host does it |
/// | [`compile_limits`](Self::compile_limits) | what that may take | one module a core, 10 seconds and 1 GiB each |
/// | [`extension`](Self::extension) | host functions of the embedder's own | none |
///
/// At most 67,108,864 channels are open at once. If the machine does not say how much memory it has, 4 GiB are assumed.
///
/// # Examples
///
/// ```
/// use lunatic_host::Runtime;
///
/// # fn main() -> anyhow::Result<()> {
/// let runtime = Runtime::builder().workers(2).queued_max(64 << 20).cache(None).build()?;
/// # drop(runtime);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a builder does nothing until it is built"]
pub struct RuntimeBuilder {
    workers: usize,
    processes_max: u32,
    queued_max: usize,
    kept_max: usize,
    memory_max: usize,
    resident_max: usize,
    descriptors_max: Option<u32>,
    cache: Option<PathBuf>,
    use_cache: bool,
    compile_helper: Option<CompileHelper>,
    compile_limits: CompileLimits,
    trusted_keys: Option<TrustedKeys>,
    extensions: Vec<Arc<dyn Extension>>,
}

impl RuntimeBuilder {
    /// The number of worker threads; by default one per core that this program may use. 0 counts as 1.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers.max(1);
        self
    }

    /// The largest number of processes that live at once; by default 16,777,216. With as many, a spawn is refused.
    pub fn processes_max(mut self, processes_max: u32) -> Self {
        self.processes_max = processes_max;
        self
    }

    /// How many bytes messages that wait in mailboxes and channels may hold together; by default a quarter of the machine's
    /// memory. A send that would hold more is refused.
    pub fn queued_max(mut self, bytes: usize) -> Self {
        self.queued_max = bytes;
        self
    }

    /// How many bytes of the host's memory may be used for what it keeps for all processes beside their linear memories:
    /// queued messages, channels, links, monitors, names, groups, timers, results, sockets; by default a quarter of the machine's
    /// memory. Beyond that, what can be refused is refused, and a process that gets more by signals ends, out of memory.
    pub fn kept_max(mut self, bytes: usize) -> Self {
        self.kept_max = bytes;
        self
    }

    /// How many bytes the linear memories of all processes may grow to together; by default three quarters of the machine's.
    /// A memory that would grow beyond that does not, which ends most programs.
    pub fn memory_max(mut self, bytes: usize) -> Self {
        self.memory_max = bytes;
        self
    }

    /// How many bytes the host may hold resident before all processes that wait are frozen, not only those that have waited
    /// for five seconds; by default a tenth of the machine's memory. A freeze and the thaw after it take some ten
    /// microseconds each. With 0, every process is frozen whenever it blocks.
    pub fn resident_max(mut self, bytes: usize) -> Self {
        self.resident_max = bytes;
        self
    }

    /// How many descriptors of the system all processes may hold together: each file, folder and socket is one. By default all
    /// that this program may have (`ulimit -Hn`), but for 1,024 or a quarter of them, whichever is less, which the host keeps
    /// for itself, as it does in any case. A system has three quarters of them at most: three times what it leaves to others. Nor
    /// have those that were spawned with one configuration more than that leaves to the rest of their system. At the limit,
    /// nothing more is opened.
    pub fn descriptors_max(mut self, descriptors: u32) -> Self {
        self.descriptors_max = Some(descriptors);
        self
    }

    /// Where compiled modules are kept; `None` for nowhere. By default in [the user's cache folder](crate::cache_folder).
    /// Whoever can write to the folder can have the host run any machine code.
    pub fn cache(mut self, folder: Option<PathBuf>) -> Self {
        self.use_cache = folder.is_some();
        self.cache = folder;
        self
    }

    /// The program that compiles modules that guests bring along (`Module::compile`), each in a process of the system's own that
    /// is killed when its time, its memory or the budget of the asker is used up, or when nobody waits for the module any more.
    /// What it uses of a core is charged to that budget as it goes. [`load`](Runtime::load) does not use it.
    ///
    /// By default there is none, and such modules are compiled in this process: then nothing ends a compilation before it is
    /// done, nothing limits its memory, and it is charged for at its end. It is still only checked modules that are compiled,
    /// so many at once and in turns. Use a helper where guests that may compile are not trusted.
    pub fn compile_helper(mut self, helper: CompileHelper) -> Self {
        self.compile_helper = Some(helper);
        self
    }

    /// What compiling the modules of guests may take; by default one module for each core at once, and for each module 10 seconds
    /// on a core and 1 GiB of memory.
    pub fn compile_limits(mut self, limits: CompileLimits) -> Self {
        self.compile_limits = limits;
        self
    }

    /// Compiles only modules that one of these keys has [signed](lunatic_module::signature): programs, their upgrades, and what
    /// guests bring along. By default it compiles any.
    pub fn trusted_keys(mut self, keys: TrustedKeys) -> Self {
        self.trusted_keys = Some(keys);
        self
    }

    /// Adds host functions of the embedder's own. By default there are none. Keep an `Arc` inside the extension to share
    /// with it what the embedder needs, too.
    pub fn extension(mut self, extension: impl Extension) -> Self {
        self.extensions.push(Arc::new(extension));
        self
    }

    /// Starts the runtime's threads: the workers, and some that hardly ever run. It also raises this program's limit of open
    /// descriptors to what it may have, as each socket of a guest is one.
    ///
    /// # Errors
    ///
    /// When the machine refuses threads or memory, or is of a kind that wasmtime does not know; and when two
    /// [extensions](Self::extension) have one name, or one has a name that no configuration can say.
    pub fn build(self) -> anyhow::Result<Runtime> {
        let machine: Arc<dyn Environment> = Arc::new(Machine::new(lunatic_memory::thread_time));
        let node = Node::draw(machine.random());
        let settings = Settings {
            workers: self.workers,
            processes_max: self.processes_max,
            channels_max: CHANNELS_MAX,
            queued_max: self.queued_max,
            kept_max: self.kept_max,
        };
        let host = self.host(node, &*machine)?;
        let (kernel, seats) = Kernel::new(settings, node, machine, host);
        let (threads, started) = kernel.start(seats);
        let mut runtime = Runtime {
            kernel,
            threads: Some(threads),
            helpers: Vec::new(),
        };
        // If a thread was refused, dropping the runtime ends those that have begun.
        started?;
        runtime.start_helpers()?;
        Ok(runtime)
    }

    fn host(self, node: Node, machine: &dyn Environment) -> anyhow::Result<Wasm> {
        let cache = match (&self.cache, self.use_cache) {
            (Some(folder), _) => Cache::at(folder),
            (None, true) => Cache::user(),
            (None, false) => Cache::disabled(),
        };
        let extensions = Extensions::new(self.extensions)?;
        let links = extensions.links(imports::add, imports::wasi::add);
        Ok(Wasm {
            engines: Engines::new(self.workers, self.memory_max, links)?,
            guest_cache: cache.part(GUEST_CACHE, GUEST_CACHE_SIZE_MAX),
            cache,
            compiler: Compiler::new(self.compile_helper, self.compile_limits),
            trusted_keys: self.trusted_keys,
            descriptors: descriptors::stock(self.descriptors_max),
            file_operations: Permits::new(FILE_OPERATIONS_MAX),
            net: Net::new(|| Keys::new(node, || machine.random()))?,
            hibernation: Hibernation::new(self.resident_max),
            ahead: Ahead::default(),
            shortage: Shortage::new(),
            extensions,
            states: SharedStates::default(),
            io: Io::new()?,
            worker_clocks: Mutex::default(),
            at_slice_end: &[stack::show_running, profile::sample],
            is_profiled: AtomicBool::new(false),
        })
    }
}

impl Runtime {
    /// A builder with all defaults, which [`RuntimeBuilder`] lists.
    pub fn builder() -> RuntimeBuilder {
        let memory = lunatic_memory::physical_memory().unwrap_or(MEMORY_UNKNOWN);
        RuntimeBuilder {
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            processes_max: PROCESSES_MAX,
            queued_max: memory / 4,
            kept_max: memory / 4,
            memory_max: memory / 4 * 3,
            resident_max: memory / 10,
            descriptors_max: None,
            cache: None,
            use_cache: true,
            compile_helper: None,
            compile_limits: CompileLimits::default(),
            trusted_keys: None,
            extensions: Vec::new(),
        }
    }

    /// Checks and compiles a module, or takes it from the cache. `wasm` is the binary or the text format. Compiling takes some
    /// milliseconds to seconds, and uses all cores. The module can be started any number of times.
    ///
    /// # Errors
    ///
    /// [`LoadError`]: when the bytes are no module, or one that imports what the host does not provide; when none of the
    /// [trusted keys](RuntimeBuilder::trusted_keys) has signed it, if there are any; and when an extension could not add its functions.
    pub fn load(&self, wasm: &[u8]) -> Result<Arc<Module>, LoadError> {
        Module::load(&self.kernel.host, wasm)
    }

    /// What the runtime holds now. Stops nobody; each figure is of some time during the call, which takes a few nanoseconds for
    /// each process. Snapshots of single processes are [`RunningSystem::processes`](crate::RunningSystem::processes).
    pub fn figures(&self) -> Figures {
        let host = &self.kernel.host;
        let (spawned, ended) = self.kernel.counts();
        let mut figures = Figures {
            instances: host.engines.stacks.taken() as usize,
            memory_bytes: host.engines.memory_used(),
            queued_bytes: self.kernel.queued() as usize,
            kept_bytes: self.kernel.kept().usage().memory as usize,
            descriptors: host.descriptors.held() as usize,
            timers: self.kernel.post().timers(),
            timers_skipped: self.kernel.post().skipped(),
            spawned,
            ended,
            queues: self.kernel.queues(),
            resident_bytes: lunatic_memory::resident_memory().unwrap_or_default(),
            observers: self.kernel.observers(),
            ..Figures::default()
        };
        self.kernel.for_each_process(|process| {
            figures.processes += 1;
            figures.blocked += usize::from(process.is_blocked());
            figures.frozen += usize::from(process.is_frozen());
        });
        figures
    }

    /// What each worker does: the threads that run processes.
    pub fn workers(&self) -> Vec<WorkerInfo> {
        let clocks = self.kernel.host.worker_clocks.lock();
        let times = clocks
            .iter()
            .map(|clock| clock.as_ref()?.time())
            .chain(std::iter::repeat(None));
        let queues = self.kernel.queues_of_workers().into_iter();
        queues
            .zip(times)
            .map(|(queues, time)| WorkerInfo { time, queues })
            .collect()
    }

    /// Tells `observer` of all that processes do from now on: spawns, ends, sends, receives, waits and runs, in all systems of
    /// the runtime. It is called by the workers themselves, so it must be quick and must not wait.
    pub fn observe(&self, observer: Arc<dyn Observer>) {
        self.kernel.observe(observer);
    }

    /// Tells `observer` of no further event; one may still be under way. Without an observer, events cost nothing to speak of.
    pub fn observe_no_more(&self, observer: &Arc<dyn Observer>) {
        self.kernel.observe_no_more(observer);
    }

    fn start_helpers(&mut self) -> std::io::Result<()> {
        let kernel = self.kernel.clone();
        let net = move || kernel.host.net.reactor.run(|process| kernel.wake(process));
        self.start_helper("lunatic-net", net)?;
        let kernel = self.kernel.clone();
        let hibernation = move || kernel.host.hibernation.run(&kernel);
        self.start_helper("lunatic-hibernation", hibernation)
    }

    fn start_helper(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> std::io::Result<()> {
        let thread = self.kernel.machine().spawn(name.into(), Box::new(run))?;
        self.helpers.push(thread);
        Ok(())
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        let kernel = &self.kernel;
        if let Some(threads) = self.threads.take() {
            kernel.stop(threads, || {
                kernel.host.ahead.clear();
                kernel.take_apart();
            });
        }
        kernel.host.hibernation.stop();
        kernel.host.net.reactor.stop();
        self.helpers.drain(..).for_each(Thread::join);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Said in `docs/semantics.md` and by the methods of the builder.
    #[test]
    fn limits_are_what_is_said_of_them() {
        let RuntimeBuilder {
            processes_max,
            queued_max,
            kept_max,
            memory_max,
            resident_max,
            ..
        } = Runtime::builder();
        assert_eq!((processes_max, CHANNELS_MAX), (16_777_216, 67_108_864));
        let memory = lunatic_memory::physical_memory().unwrap_or(MEMORY_UNKNOWN);
        let quarter = memory / 4;
        assert_eq!((queued_max, kept_max, memory_max), (quarter, quarter, 3 * quarter));
        assert_eq!(resident_max, memory / 10);
        assert_eq!(lunatic_kernel::clock::TIME_SLICE.as_millis(), 1);
    }
}
