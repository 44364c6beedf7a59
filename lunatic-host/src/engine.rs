//! Configures wasmtime: one engine per memory layout.

use std::error::Error as _;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use lunatic_memory::{DenseMemories, FastMemories, MemoryBudget, Stacks};
use wasmtime::{Config, Engine, Linker, WasmBacktraceDetails, component};

/// How much stack the code of a process may use, in bytes; the same in every layout.
pub(crate) const WASM_STACK_SIZE: usize = 256 << 10;
/// The additional stack for host functions that the process calls.
const HOST_STACK_SIZE: usize = 128 << 10;

/// With fewer instances than this, there is little to give back.
const TRIM_MIN: u32 = 1000;

/// Where the memories of processes live, and how their accesses are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// 4 GiB of address space per memory, so that the code needs no bounds checks. For the first thousand processes.
    Fast,
    /// Memories lie close together, and the code checks bounds. For all other processes.
    Dense,
    /// Like [`Dense`](Self::Dense), but the code also counts its instructions. For processes with a limited number of
    /// instructions.
    Metered,
}

impl Layout {
    /// Each layout at the index that is its number.
    pub(crate) const ALL: [Self; 3] = [Self::Fast, Self::Dense, Self::Metered];
}

/// An interface that modules can be written for; the first is Lunatic's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Interface(pub(crate) usize);

/// Defines all functions of an interface; `T` is the data of a store.
pub(crate) type Link<T> = Box<dyn Fn(&mut Linker<T>) -> wasmtime::Result<()> + Send + Sync>;

/// Defines all functions that components can import.
pub(crate) type ComponentLink<T> = fn(&mut component::Linker<T>) -> wasmtime::Result<()>;

/// An engine, and what its instances can import from each interface.
struct Linked<T: 'static> {
    engine: Engine,
    linkers: Box<[OnceLock<Linker<T>>]>,
    components: OnceLock<component::Linker<T>>,
}

impl<T> Linked<T> {
    fn new(config: &Config, interfaces: usize) -> wasmtime::Result<Self> {
        Ok(Self {
            engine: Engine::new(config)?,
            linkers: (0..interfaces).map(|_| OnceLock::new()).collect(),
            components: OnceLock::new(),
        })
    }

    /// The imports of an interface. They are defined only when a module of that interface is first run.
    fn linker(&self, interface: Interface, links: &[Link<T>]) -> wasmtime::Result<&Linker<T>> {
        let linker = &self.linkers[interface.0];
        if let Some(linker) = linker.get() {
            return Ok(linker);
        }
        let mut new = Linker::new(&self.engine);
        links[interface.0](&mut new)?;
        Ok(linker.get_or_init(|| new))
    }

    /// The imports of components. They are defined only when a component is first run.
    fn component_linker(&self, link: ComponentLink<T>) -> wasmtime::Result<&component::Linker<T>> {
        if let Some(linker) = self.components.get() {
            return Ok(linker);
        }
        let mut new = component::Linker::new(&self.engine);
        link(&mut new)?;
        Ok(self.components.get_or_init(|| new))
    }
}

/// The engines of a runtime, with the memories and stacks of their instances. `T` is the data of a store.
pub(crate) struct Engines<T: 'static> {
    fast: Linked<T>,
    dense: Linked<T>,
    /// Made on first use.
    metered: OnceLock<Linked<T>>,
    links: Box<[Link<T>]>,
    component_link: ComponentLink<T>,
    fast_memories: Arc<FastMemories>,
    dense_memories: Arc<DenseMemories>,
    memory: Arc<MemoryBudget>,
    pub(crate) stacks: Arc<Stacks>,
    /// This many memories of the fast layout are reserved for workers that have chosen that layout and not yet taken
    /// one.
    fast_reserve: u32,
    /// Whether the machine has refused another memory of the fast layout.
    fast_refused: AtomicBool,
    /// The largest number of instances since memory was last given back.
    peak: AtomicU32,
}

impl<T> Engines<T> {
    /// Engines for `workers` threads, whose guests may use `memory_max` bytes of memory together. `links` define the
    /// functions of each [`Interface`], `component_link` those for components.
    pub(crate) fn new(
        workers: usize,
        memory_max: usize,
        links: Vec<Link<T>>,
        component_link: ComponentLink<T>,
    ) -> anyhow::Result<Self> {
        let budget = MemoryBudget::new(memory_max);
        let fast_memories = FastMemories::new(FastMemories::SLOTS_MAX, budget.clone())?;
        let dense_memories = DenseMemories::new(budget.clone())?;
        let stacks = Stacks::new(WASM_STACK_SIZE + HOST_STACK_SIZE, Stacks::WARM_MAX)?;
        let engine = |configure: &dyn Fn(&mut Config)| {
            let mut config = config();
            stacks.configure(&mut config);
            configure(&mut config);
            Linked::new(&config, links.len())
        };
        Ok(Self {
            fast: engine(&|config| fast_memories.configure(config)).map_err(to_anyhow)?,
            dense: engine(&|config| dense_memories.configure(config)).map_err(to_anyhow)?,
            metered: OnceLock::new(),
            links: links.into(),
            component_link,
            fast_memories,
            dense_memories,
            memory: budget,
            stacks,
            fast_reserve: u32::try_from(workers).unwrap_or(u32::MAX),
            fast_refused: AtomicBool::new(false),
            peak: AtomicU32::new(0),
        })
    }

    pub(crate) fn engine(&self, layout: Layout) -> &Engine {
        &self.of(layout).engine
    }

    /// What a module of this interface can import.
    pub(crate) fn linker(&self, layout: Layout, interface: Interface) -> wasmtime::Result<&Linker<T>> {
        self.of(layout).linker(interface, &self.links)
    }

    /// What a component can import.
    pub(crate) fn component_linker(&self, layout: Layout) -> wasmtime::Result<&component::Linker<T>> {
        self.of(layout).component_linker(self.component_link)
    }

    /// The total size of all memories in bytes.
    pub(crate) fn memory_used(&self) -> usize {
        self.memory.used()
    }

    /// The limit of the total size of all memories in bytes.
    pub(crate) fn memory_max(&self) -> usize {
        self.memory.limit()
    }

    /// Chooses the layout for one more instance.
    pub(crate) fn choose(&self) -> Layout {
        self.peak.fetch_max(self.stacks.taken(), Ordering::Relaxed);
        if self.fast_memories.left() > self.fast_reserve && !self.fast_refused.load(Ordering::Relaxed) {
            Layout::Fast
        } else {
            Layout::Dense
        }
    }

    /// Records that the machine has no room for a memory of the fast layout: for now, all instances get the dense
    /// layout, which needs less.
    pub(crate) fn fast_is_refused(&self) {
        self.fast_refused.store(true, Ordering::Relaxed);
    }

    /// After many instances have gone, gives back what their free slots still hold.
    pub(crate) fn trim(&self) {
        let (taken, peak) = (self.stacks.taken(), self.peak.load(Ordering::Relaxed));
        if peak > TRIM_MIN && taken < peak / 2 {
            self.peak.store(taken, Ordering::Relaxed);
            self.fast_refused.store(false, Ordering::Relaxed);
            self.stacks.trim();
            self.dense_memories.trim();
        }
    }

    /// Whether enough memories of the fast layout are taken that the dense layout will be needed soon.
    pub(crate) fn dense_is_near(&self) -> bool {
        self.fast_memories.left() < FastMemories::SLOTS_MAX / 2
    }

    /// Ends the time slices of all processes.
    pub(crate) fn tick(&self) {
        self.fast.engine.increment_epoch();
        self.dense.engine.increment_epoch();
        if let Some(metered) = self.metered.get() {
            metered.engine.increment_epoch();
        }
    }

    fn of(&self, layout: Layout) -> &Linked<T> {
        match layout {
            Layout::Fast => &self.fast,
            Layout::Dense => &self.dense,
            Layout::Metered => self.metered.get_or_init(|| {
                let mut config = config();
                self.stacks.configure(&mut config);
                self.dense_memories.configure(&mut config);
                config.consume_fuel(true);
                Linked::new(&config, self.links.len()).expect("the same configuration without fuel has been accepted")
            }),
        }
    }
}

/// An engine that compiles for a layout, one function after another, and makes no instances.
pub(crate) fn for_compiling(layout: Layout) -> wasmtime::Result<Engine> {
    let mut config = config();
    match layout {
        Layout::Fast => FastMemories::compile_for(&mut config),
        Layout::Dense | Layout::Metered => DenseMemories::compile_for(&mut config),
    }
    config
        .consume_fuel(layout == Layout::Metered)
        .parallel_compilation(false);
    Engine::new(&config)
}

/// Whether modules can be compiled on several threads. These are started on first use and stay; wasmtime panics if it needs
/// them and there are none.
pub(crate) fn has_compiling_threads() -> bool {
    static STARTED: OnceLock<bool> = OnceLock::new();
    *STARTED.get_or_init(|| match rayon::ThreadPoolBuilder::new().build_global() {
        Ok(()) => true,
        // An error of another kind says that somebody else has started them.
        Err(error) => error.source().is_none_or(|source| !source.is::<io::Error>()),
    })
}

/// The settings that all layouts share.
fn config() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK_SIZE)
        // Reports find files and lines by themselves; wasmtime would read the debug information again for each frame.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(crate::report::FRAMES_MAX))
        .wasm_multi_memory(false)
        .wasm_memory64(false)
        .wasm_gc(false)
        .cranelift_opt_level(wasmtime::OptLevel::Speed);
    config
}

fn to_anyhow(error: wasmtime::Error) -> anyhow::Error {
    anyhow::anyhow!("{error:#}")
}
