//! The runtime: workers, a clock and tables, built once, on which systems of processes run.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Context as _;
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
use crate::instance;
use crate::io::Io;
use crate::module::{LoadError, Module};
use crate::nodes;
use crate::shortage::Shortage;
use crate::states::SharedStates;
use crate::wasm::{Kernel, Wasm};
use crate::{profile, stack};

/// The default of [`RuntimeBuilder::processes_max`].
const PROCESSES_MAX: u32 = 16 << 20;
/// The assumed memory of a machine that does not report its size, in bytes: 4 GiB.
const MEMORY_UNKNOWN: usize = 4 << 30;
/// The subfolder of the cache for modules that guests compile, and the largest size of this folder: 256 MiB.
const GUEST_CACHE: &str = "guests";
const GUEST_CACHE_SIZE_MAX: u64 = 256 << 20;
/// The most channels that can be open at a time.
const CHANNELS_MAX: u32 = 64 << 20;

/// Runs systems of processes, which share its threads, tables and limits. A program needs only one.
///
/// Dropping it ends all systems, and waits until the processes that are running reach the end of their time slices. It
/// does not wait for work that [`spawn_blocking`](crate::Ctx::spawn_blocking) has begun; such work runs to its end.
pub struct Runtime {
    pub(crate) kernel: Arc<Kernel>,
    /// The workers and the clock.
    threads: Option<Threads>,
    /// The threads of hibernation and network.
    helpers: Vec<Thread>,
}

/// The current state of a runtime: see [`Runtime::figures`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Figures {
    /// Living processes of all systems.
    pub processes: usize,
    /// Those of them that are blocked.
    pub blocked: usize,
    /// Those of the blocked processes that are frozen: packed, so that only their changes are kept.
    pub frozen: usize,
    /// Instances of modules: one for each process that has begun to run, and idle ones that are kept for reuse.
    pub instances: usize,
    /// Bytes that are charged for the linear memories of all instances; at most
    /// [`memory_max`](RuntimeBuilder::memory_max). Of the initial size of a memory, up to 4 MiB are charged as a flat 4
    /// KiB, because hardly any process uses all of them. Only the operating system knows how much is resident.
    pub memory_bytes: usize,
    /// Bytes of the messages that are queued in mailboxes and channels; at most
    /// [`queued_max`](RuntimeBuilder::queued_max).
    pub queued_bytes: usize,
    /// Bytes that the host keeps for processes in addition to their memories: queued messages, links, monitors, names,
    /// channels, timers, results that have not been fetched, sockets. At most [`kept_max`](RuntimeBuilder::kept_max),
    /// plus what signals have added beyond it.
    pub kept_bytes: usize,
    /// Descriptors that processes hold, for files, folders and sockets; at most
    /// [`descriptors_max`](RuntimeBuilder::descriptors_max).
    pub descriptors: usize,
    /// Timers that have not sent yet.
    pub timers: usize,
    /// How often an interval has skipped a message since the start, because it was late or had used up its share of a
    /// core.
    pub timers_skipped: u64,
    /// Processes spawned since the start, including main processes.
    pub spawned: u64,
    /// Processes that have ended since the start, by kind of exit reason, in the order of
    /// [`exit::KINDS`](crate::exit::KINDS).
    pub ended: Ends,
    /// Processes that wait for a worker, by queue.
    pub queues: Queues,
    /// Resident memory of the whole program, in bytes; 0 if the operating system does not report it.
    pub resident_bytes: usize,
    /// Registered observers of events.
    pub observers: usize,
}

/// Configures a [`Runtime`] before it is built. [`Runtime::builder`] returns one with all defaults.
///
/// | function | sets | default |
/// |---|---|---|
/// | [`workers`](Self::workers) | threads that run processes | one per core that this program may use |
/// | [`processes_max`](Self::processes_max) | most processes that are alive at a time | 16,777,216 |
/// | [`queued_max`](Self::queued_max) | most bytes of queued messages | a quarter of the machine's memory |
/// | [`kept_max`](Self::kept_max) | most bytes kept for processes in addition to their memories | a quarter of the machine's memory |
/// | [`memory_max`](Self::memory_max) | most bytes of all linear memories | three quarters of the machine's memory |
/// | [`resident_max`](Self::resident_max) | resident bytes above which every waiting process is frozen | a tenth of the machine's memory |
/// | [`descriptors_max`](Self::descriptors_max) | most files, folders and sockets of all processes | the limit of the operating system, less 1,024 or a quarter |
/// | [`cache`](Self::cache) | where compiled modules are kept | the user's cache folder |
/// | [`compile_helper`](Self::compile_helper) | the program that compiles modules of guests | none: the host compiles them |
/// | [`compile_limits`](Self::compile_limits) | what such a compilation may use | one module per core, 10 seconds and 1 GiB each |
/// | [`trusted_keys`](Self::trusted_keys) | whose signature a module needs | nobody's |
/// | [`extension`](Self::extension) | the embedder's own host functions | none |
///
/// At most 67,108,864 channels are open at a time. If the machine does not report how much memory it has, 4 GiB are
/// assumed.
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
    /// Sets the number of worker threads; by default one per core that this program may use. 0 counts as 1.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = workers.max(1);
        self
    }

    /// Sets the largest number of processes that are alive at a time; by default 16,777,216. At the limit, spawns are
    /// refused.
    pub fn processes_max(mut self, processes_max: u32) -> Self {
        self.processes_max = processes_max;
        self
    }

    /// Sets how many bytes the messages in all mailboxes and channels may hold; by default a quarter of the machine's
    /// memory. A send that would exceed the limit is refused.
    pub fn queued_max(mut self, bytes: usize) -> Self {
        self.queued_max = bytes;
        self
    }

    /// Sets how many bytes of its own memory the host may use for all processes, in addition to their linear memories:
    /// for queued messages, channels, links, monitors, names, groups, timers, results and sockets. By default a quarter
    /// of the machine's memory. At the limit, whatever can be refused is refused; a process that receives more through
    /// signals ends, out of memory.
    pub fn kept_max(mut self, bytes: usize) -> Self {
        self.kept_max = bytes;
        self
    }

    /// Sets how many bytes the linear memories of all processes may have together; by default three quarters of the
    /// machine's memory. A memory that would exceed the limit cannot grow, which ends most programs.
    pub fn memory_max(mut self, bytes: usize) -> Self {
        self.memory_max = bytes;
        self
    }

    /// Sets the resident memory of the host, in bytes, above which every waiting process is frozen, not only those that
    /// have waited for five seconds; by default a tenth of the machine's memory. Freezing and thawing a process take
    /// some ten microseconds each. With 0, every process is frozen whenever it blocks.
    pub fn resident_max(mut self, bytes: usize) -> Self {
        self.resident_max = bytes;
        self
    }

    /// Sets how many descriptors of the operating system all processes may hold together; each file, folder and socket
    /// is one. By default, this is the hard limit of this program (`ulimit -Hn`), less 1,024 or a quarter of it,
    /// whichever is less: the host always keeps these for itself. A system can hold at most three quarters of the rest,
    /// which is three times what it leaves to other systems. Within a system, the processes that were spawned with one
    /// configuration are limited in the same way by what they leave to the rest. At a limit, nothing more can be
    /// opened.
    pub fn descriptors_max(mut self, descriptors: u32) -> Self {
        self.descriptors_max = Some(descriptors);
        self
    }

    /// Sets the folder for compiled modules; `None` disables the cache. By default [the user's cache
    /// folder](crate::cache_folder). Anyone who can write to the folder can make the host run arbitrary machine code.
    pub fn cache(mut self, folder: Option<PathBuf>) -> Self {
        self.use_cache = folder.is_some();
        self.cache = folder;
        self
    }

    /// Sets the program that compiles the modules that guests bring along (`Module::compile`). Each module is compiled
    /// in an operating-system process of its own, which is killed when it exceeds its time, its memory or the budget of
    /// the asking process, or when nobody waits for the module any more. Its CPU time is charged to that budget
    /// continuously. [`load`](Runtime::load) does not use the helper.
    ///
    /// By default there is none, and such modules are compiled in this process. Then a compilation always runs to its
    /// end, its memory is not limited, and it is charged for afterwards. Modules are still checked first, and only a
    /// limited number is compiled at a time, in turns. Use a helper if guests that may compile are not trusted.
    pub fn compile_helper(mut self, helper: CompileHelper) -> Self {
        self.compile_helper = Some(helper);
        self
    }

    /// Limits the compilation of guests' modules; by default to one module per core at a time, and to 10 seconds of CPU
    /// time and 1 GiB of memory per module.
    pub fn compile_limits(mut self, limits: CompileLimits) -> Self {
        self.compile_limits = limits;
        self
    }

    /// Compiles only modules that one of these keys has [signed](lunatic_module::signature): programs, their upgrades,
    /// and modules that guests bring along. By default any module is compiled.
    pub fn trusted_keys(mut self, keys: TrustedKeys) -> Self {
        self.trusted_keys = Some(keys);
        self
    }

    /// Adds the embedder's own host functions. By default there are none. To share state with the embedder, put an
    /// `Arc` inside the extension.
    pub fn extension(mut self, extension: impl Extension) -> Self {
        self.extensions.push(Arc::new(extension));
        self
    }

    /// Starts the runtime's threads: the workers, and some that hardly ever run. Also raises this program's limit of
    /// open descriptors to the hard limit, because each socket of a guest needs one.
    ///
    /// # Errors
    ///
    /// If the machine refuses threads or memory, or if wasmtime does not support it; also if two
    /// [extensions](Self::extension) have the same name, or one has a name that cannot be written in a configuration.
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
        // If a thread was refused, dropping the runtime ends those that have started.
        started.context("cannot start the threads that run processes")?;
        runtime
            .start_helpers()
            .context("cannot start the threads of the host")?;
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
            engines: Engines::new(self.workers, self.memory_max, links, imports::component::add)?,
            drive_component: instance::component::driven,
            requests: imports::component::REQUESTS,
            guest_cache: cache.part(GUEST_CACHE, GUEST_CACHE_SIZE_MAX),
            cache,
            compiler: Compiler::new(self.compile_helper, self.compile_limits),
            trusted_keys: self.trusted_keys,
            descriptors: descriptors::stock(self.descriptors_max),
            file_operations: Permits::new(FILE_OPERATIONS_MAX),
            net: Net::new(|| Keys::new(node, || machine.random())).context("cannot watch sockets")?,
            hibernation: Hibernation::new(self.resident_max),
            ahead: Ahead::default(),
            shortage: Shortage::new(),
            extensions,
            states: SharedStates::default(),
            io: Io::new().context("cannot start a thread for files")?,
            worker_clocks: Mutex::default(),
            at_slice_end: &[stack::show_running, profile::sample],
            is_profiled: AtomicBool::new(false),
        })
    }
}

impl Runtime {
    /// Returns a builder with the defaults that [`RuntimeBuilder`] lists.
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

    /// Checks and compiles a module, or takes it from the cache. `wasm` is in the binary or the text format.
    /// Compilation takes from milliseconds to seconds, and uses all cores. The module can be started any number of
    /// times.
    ///
    /// # Errors
    ///
    /// [`LoadError`]: if the bytes are not a valid module; if the module imports something that the host does not
    /// provide; if there are [trusted keys](RuntimeBuilder::trusted_keys) and none has signed it; or if an extension
    /// could not add its functions.
    pub fn load(&self, wasm: &[u8]) -> Result<Arc<Module>, LoadError> {
        Module::load(&self.kernel.host, wasm)
    }

    /// Returns the current state of the runtime without stopping any process. Each figure is taken at some moment
    /// during the call, which takes a few nanoseconds per process. For single processes, see
    /// [`RunningSystem::processes`](crate::RunningSystem::processes).
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

    /// Returns the state of each worker, that is, each thread that runs processes.
    pub fn workers(&self) -> Vec<WorkerInfo> {
        let clocks = self.kernel.host.worker_clocks.lock();
        let times = clocks
            .iter()
            .map(|clock| clock.as_ref()?.time())
            .chain(std::iter::repeat(None));
        let queues = self.kernel.queues_of_workers().into_iter();
        queues
            .zip(times)
            .zip(self.kernel.steals())
            .map(|((queues, time), steals)| WorkerInfo { time, queues, steals })
            .collect()
    }

    /// Notifies `observer` of all events from now on: spawns, ends, sends, receives, waits and runs, in all systems of
    /// the runtime. The workers call it directly, so it must be quick and must not block.
    pub fn observe(&self, observer: Arc<dyn Observer>) {
        self.kernel.observe(observer);
    }

    /// Stops notifying `observer`; one event may still be in progress. Without observers, events cost next to nothing.
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
        // First, so that other nodes are notified at once, and nothing new comes from them.
        nodes::leave(&kernel.host);
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
