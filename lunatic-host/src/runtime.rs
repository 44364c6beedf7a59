//! The runtime: workers, clock and tables, built once, on which systems of processes run.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread::JoinHandle;

use parking_lot::Mutex;

use crate::channel::Channels;
use crate::clock::Clock;
use crate::engine::Engines;
use crate::hibernation::Hibernation;
use crate::instance::ahead::Ahead;
use crate::module::cache::Cache;
use crate::module::{LoadError, Module};
use crate::process::exit::Exits;
use crate::process::id::Keys;
use crate::process::table::Table;
use crate::quota::Quota;
use crate::scheduler::Scheduler;
use crate::shared::Shared;
use crate::shortage::Shortage;
use crate::worker::Worker;

/// The most processes that can live at once, if nothing else is said.
const PROCESSES_MAX: u32 = 16 << 20;
/// The largest memory of one process, in bytes, if nothing else is said: 1 GiB.
pub(crate) const MEMORY_MAX: usize = 1 << 30;
/// The most modules that guests can have compiled at once.
const MODULES_MAX: u32 = 1 << 16;
/// The most channels that can be open at once.
const CHANNELS_MAX: u32 = 64 << 20;

/// Runs systems of processes. Dropping it ends all of them.
pub struct Runtime {
    pub(crate) shared: Arc<Shared>,
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

    /// How many bytes the host may hold resident before all processes that wait are frozen, not only those that have waited
    /// for five seconds; by default a tenth of the machine's memory. A freeze and the thaw after it take some ten
    /// microseconds each. With 0, every process is frozen whenever it blocks.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Said in `docs/semantics.md` and by the methods of the builder.
    #[test]
    fn limits_are_what_is_said_of_them() {
        let RuntimeBuilder {
            processes_max,
            queued_max,
            memory_max,
            resident_max,
            ..
        } = Runtime::builder();
        assert_eq!((processes_max, CHANNELS_MAX), (16_777_216, 67_108_864));
        let quarter = machine_memory() / 4;
        assert_eq!((queued_max, memory_max), (quarter, 3 * quarter));
        assert_eq!(resident_max, machine_memory() / 10);
        assert_eq!(crate::clock::TIME_SLICE.as_millis(), 1);
    }
}
