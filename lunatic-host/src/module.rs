//! Turns the bytes of a file into a module that processes can run.
//!
//! | module | purpose |
//! |---|---|
//! | `artifact` | the compiler's output as bytes |
//! | `brought` | modules that guests bring along |
//! | `error` | why a module cannot be loaded |

pub(crate) mod artifact;
pub(crate) mod brought;
mod error;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use lunatic_kernel::budget::Receipt;
use lunatic_module::facts::{Facts, TEST_PREFIX};
use lunatic_module::imports::Imports;
use lunatic_module::{CodeId, Entries, entries};
use parking_lot::Mutex;
use tokio::sync::OnceCell;
use wasmtime::InstancePre;
use wasmtime_wasi::p2::bindings::CommandPre;
use wasmtime_wasi_http::p2::bindings::ProxyPre;

use self::artifact::{Artifact, Code};
pub use self::error::LoadError;
use crate::code;
use crate::engine::{Interface, Layout, for_compiling, has_compiling_threads};
use crate::instance::Ctx;
use crate::instance::frozen::Models;
use crate::instance::image::Image;
use crate::report::{Symbols, type_names};
use crate::wasm::Wasm;

/// The most places of a table whose functions are named, of a module that a guest brought along. Names of more functions would take too much memory before they can be
/// charged for.
const BROUGHT_PLACES_MAX: usize = 1 << 16;

/// A checked and compiled module.
pub struct Module {
    facts: Facts,
    interface: Interface,
    /// For crash reports.
    symbols: Symbols,
    source: Source,
    identity: OnceLock<CodeId>,
    entries: OnceLock<Entries>,
    compiled: [OnceCell<Linked>; 3],
    /// Held while the module is compiled for a layout, so that this is done once.
    compiling: Mutex<()>,
    /// Whether someone has arranged that the module is compiled for the dense layout.
    prepared: AtomicBool,
    /// The contents of a fresh instance; known once there is one.
    image: OnceLock<Arc<Image>>,
    /// What its frozen processes have in common.
    models: Models,
    /// How many processes failed while they ran it.
    failures: AtomicU64,
}

/// A linked module or component, ready to make instances.
pub(crate) enum Pre {
    Module(InstancePre<Ctx>),
    Component(ComponentPre),
}

/// A linked component: a program, a handler of HTTP requests, or both.
pub(crate) struct ComponentPre {
    command: Option<CommandPre<Ctx>>,
    handler: Option<ProxyPre<Ctx>>,
}

impl ComponentPre {
    /// Fails if it is neither. `is_command` says which of both its exports claim.
    fn new(pre: wasmtime::component::InstancePre<Ctx>, is_command: bool) -> wasmtime::Result<Self> {
        match (CommandPre::new(pre.clone()), ProxyPre::new(pre)) {
            (Err(command), Err(handler)) => Err(if is_command { command } else { handler }),
            (command, handler) => Ok(Self {
                command: command.ok(),
                handler: handler.ok(),
            }),
        }
    }
}

impl Pre {
    /// Fails for a component.
    pub(crate) fn module(&self) -> wasmtime::Result<&InstancePre<Ctx>> {
        match self {
            Self::Module(pre) => Ok(pre),
            Self::Component(_) => Err(wasmtime::Error::msg("a component is not a core module")),
        }
    }

    /// Fails for what is not a component, or no program.
    pub(crate) fn component(&self) -> wasmtime::Result<&CommandPre<Ctx>> {
        match self {
            Self::Component(pre) => pre
                .command
                .as_ref()
                .ok_or_else(|| wasmtime::Error::msg("the component is not a program")),
            Self::Module(_) => Err(wasmtime::Error::msg("a core module is not a component")),
        }
    }

    /// What instances of a component are made of, whatever it exports. Fails for a core module.
    pub(crate) fn instance(&self) -> wasmtime::Result<&wasmtime::component::InstancePre<Ctx>> {
        let Self::Component(pre) = self else {
            return Err(wasmtime::Error::msg("a core module is not a component"));
        };
        let command = pre.command.as_ref().map(CommandPre::instance_pre);
        let any = command.or_else(|| pre.handler.as_ref().map(ProxyPre::instance_pre));
        any.ok_or_else(|| wasmtime::Error::msg("the component is neither a program nor a handler"))
    }

    /// Fails for what does not handle HTTP requests.
    pub(crate) fn handler(&self) -> wasmtime::Result<&ProxyPre<Ctx>> {
        let handler = match self {
            Self::Component(pre) => pre.handler.as_ref(),
            Self::Module(_) => None,
        };
        handler.ok_or_else(|| wasmtime::Error::msg("it does not handle HTTP requests"))
    }
}

/// A module of one layout, ready to make instances.
struct Linked {
    pre: Pre,
    /// The charge to the process that had it compiled, if there was one.
    paid: Option<Receipt>,
}

/// What is kept in order to compile the module again.
struct Source {
    wasm: Arc<[u8]>,
    /// The charge to the guest that brought it along. If there is one, the module is compiled as described in
    /// [`brought`], and never by a worker.
    brought: Option<Receipt>,
}

impl Module {
    pub(crate) fn load(host: &Wasm, file: &[u8]) -> Result<Arc<Self>, LoadError> {
        host.trusted(file)?;
        Self::load_own(host, file)
    }

    /// [`load`](Self::load) for a module of this host, which needs no signature.
    pub(crate) fn load_own(host: &Wasm, file: &[u8]) -> Result<Arc<Self>, LoadError> {
        // In one layout now, so that the loader learns of errors in the file; in the others when they are needed.
        let compiled = compile(host, file, Layout::Fast)?;
        Ok(Arc::new(Self::new(compiled, Layout::Fast, || file.into(), None)))
    }

    /// A module that was compiled for one layout; `file` returns its binary if `compiled` has none. `brought` is the
    /// charge to a guest.
    fn new(compiled: Compiled, layout: Layout, file: impl FnOnce() -> Arc<[u8]>, brought: Option<Receipt>) -> Self {
        let Compiled {
            facts,
            interface,
            binary,
            linked,
        } = compiled;
        let wasm: Arc<[u8]> = binary.map_or_else(file, Arc::from);
        let symbols = match &brought {
            _ if facts.component => Symbols::of_component(&wasm, facts.modules.iter().cloned(), brought.is_some()),
            Some(_) => Symbols::names_only(wasm.clone()),
            None => Symbols::new(wasm.clone()),
        };
        let module = Self {
            facts,
            interface,
            symbols,
            source: Source { wasm, brought },
            identity: OnceLock::new(),
            entries: OnceLock::new(),
            compiled: Default::default(),
            compiling: Mutex::new(()),
            prepared: AtomicBool::new(false),
            image: OnceLock::new(),
            models: Models::default(),
            failures: AtomicU64::new(0),
        };
        let _ = module.compiled[layout as usize].set(linked);
        module
    }

    /// Counts a process that failed while it ran the module.
    pub(crate) fn count_failure(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// How many processes have failed while they ran the module.
    pub(crate) fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// The prefix of the names of exported tests.
    pub const TEST_PREFIX: &str = TEST_PREFIX;

    /// Returns the names of the exported tests, in the module's order. All begin with
    /// [`TEST_PREFIX`](Self::TEST_PREFIX).
    pub fn tests(&self) -> &[String] {
        &self.facts.tests
    }

    /// Returns whether it is a program: whether it exports `_start`, which takes and returns nothing, or is a component.
    pub fn has_start(&self) -> bool {
        self.facts.start
    }

    /// Returns the functions that it imports.
    pub fn imports(&self) -> &Imports {
        &self.facts.imports
    }

    /// Why no process of `former` can continue in this module, whatever its code.
    pub(crate) fn misfits(&self, former: &Self) -> Option<&'static str> {
        if self.is_component() || former.is_component() {
            return Some("a process of a component cannot change its code");
        }
        let is_other = self.interface != former.interface;
        is_other.then_some("the version is written for another interface")
    }

    /// Whether it is a component and not a core module.
    pub(crate) fn is_component(&self) -> bool {
        self.facts.component
    }

    /// The interface that it was built for.
    pub(crate) fn interface(&self) -> Interface {
        self.interface
    }

    /// Returns the initial size of its memory in bytes; 0 if it has none.
    pub fn memory_min(&self) -> u64 {
        let memory = self.facts.memory;
        memory.map_or(0, |memory| memory.pages_min.saturating_mul(1 << 16))
    }

    /// Whether a guest brought it along.
    pub(crate) fn is_brought(&self) -> bool {
        self.source.brought.is_some()
    }

    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Its file, in the binary format.
    pub(crate) fn file(&self) -> &Arc<[u8]> {
        &self.source.wasm
    }

    /// For crash reports.
    pub(crate) fn symbols(&self) -> &Symbols {
        &self.symbols
    }

    /// Returns the names of the types of messages with these tags, as far as the module contains them. Searches all data
    /// of the module.
    pub(crate) fn type_names(&self, tags: &[u64]) -> HashMap<u64, String> {
        type_names::find(&self.source.wasm, tags)
    }

    /// The contents of a fresh instance, once there is one.
    pub(crate) fn image(&self) -> Option<&Arc<Image>> {
        self.image.get()
    }

    pub(crate) fn image_cell(&self) -> &OnceLock<Arc<Image>> {
        &self.image
    }

    /// What its frozen processes have in common.
    pub(crate) fn models(&self) -> &Models {
        &self.models
    }

    /// Returns the identity of its code: the hash of the file, and the name and version that the file states. Read on
    /// first use.
    pub fn identity(&self) -> &CodeId {
        let wasm = &self.source.wasm;
        self.identity
            .get_or_init(|| CodeId::with_hash(*blake3::hash(wasm).as_bytes(), wasm))
    }

    /// Returns the names of the functions with which a process can begin, by which the same entry can be found in
    /// another version of the module. Read on first use.
    pub fn entries(&self) -> &Entries {
        if self.is_component() {
            return self.entries.get_or_init(Entries::default);
        }
        // The module has been validated, so this fails only for a table that is too large. Its entries then have no
        // names.
        let places_max = match self.source.brought {
            Some(_) => BROUGHT_PLACES_MAX,
            None => entries::PLACES_MAX,
        };
        let read = || Entries::of_at_most(&self.source.wasm, places_max).unwrap_or_default();
        self.entries.get_or_init(read)
    }

    /// True for the first caller only, which must prepare the module for the dense layout before it is needed. Never
    /// true for a module that a guest brought along, because a process must pay for its compilation.
    pub(crate) fn claim_preparation(&self) -> bool {
        let is_prepared = self.is_brought() || self.prepared.load(Ordering::Relaxed);
        !is_prepared && !self.prepared.swap(true, Ordering::Relaxed)
    }

    /// Whether a process can begin with this exported function: it takes and returns nothing. A component has only its
    /// program.
    pub(crate) fn has_entry(&self, host: &Wasm, name: &str) -> wasmtime::Result<bool> {
        let pre = match self.pre(host, Layout::Fast)? {
            Pre::Module(pre) => pre,
            Pre::Component(pre) => return Ok(name == "_start" && pre.command.is_some()),
        };
        let ty = pre.module().get_export(name);
        Ok(ty
            .and_then(|ty| ty.func().map(|ty| ty.params().len() + ty.results().len() == 0))
            .unwrap_or(false))
    }

    /// Whether it is a component that handles HTTP requests, by exporting `wasi:http/incoming-handler`.
    pub fn handles_requests(&self) -> bool {
        let compiled = self.compiled.iter().find_map(OnceCell::get);
        compiled.is_some_and(|linked| linked.pre.handler().is_ok())
    }

    /// The module compiled for a layout. It is compiled on first use, which takes long. For modules that guests brought
    /// along, only [`pre_for`](Self::pre_for) compiles, and this is an error until it has.
    pub(crate) fn pre(&self, host: &Wasm, layout: Layout) -> wasmtime::Result<&Pre> {
        let compiled = &self.compiled[layout as usize];
        if let Some(linked) = compiled.get() {
            return Ok(&linked.pre);
        }
        if self.source.brought.is_some() {
            return Err(wasmtime::Error::msg("the module has not been compiled for this layout"));
        }
        // Those who wait for the lock usually wait for just this.
        let _compiling = self.compiling.lock();
        if let Some(linked) = compiled.get() {
            return Ok(&linked.pre);
        }
        let new = compile(host, &self.source.wasm, layout).map_err(|error| wasmtime::Error::msg(error.to_string()))?;
        // Nobody else sets it while the lock is held.
        let _ = compiled.set(new.linked);
        compiled
            .get()
            .map(|linked| &linked.pre)
            .ok_or_else(|| wasmtime::Error::msg("the compiled module was lost"))
    }
}

impl code::Module for Module {
    fn entries(&self) -> &Entries {
        self.entries()
    }

    fn identity(&self) -> &CodeId {
        self.identity()
    }
}

/// A module for one layout.
struct Compiled {
    facts: Facts,
    interface: Interface,
    /// The binary of a file in the text format.
    binary: Option<Vec<u8>>,
    linked: Linked,
}

/// Takes the compiled module from the cache, or compiles it and caches the result; then links it.
fn compile(host: &Wasm, file: &[u8], layout: Layout) -> Result<Compiled, LoadError> {
    let engine = host.engines.engine(layout);
    let key = artifact::key(engine, blake3::hash(file).as_bytes(), layout);
    let cached = host.cache.get(&key);
    if let Some(artifact) = cached.and_then(|bytes| read(engine, &bytes)) {
        return link(host, artifact, layout);
    }
    let made = match has_compiling_threads() {
        true => artifact::make(engine, file)?,
        false => {
            let alone = for_compiling(layout).map_err(|error| LoadError::Compile(format!("{error:#}")))?;
            artifact::make(&alone, file)?
        }
    };
    // If it cannot be cached, it is compiled again next time.
    let _ = host.cache.put(&key, &made);
    let artifact = read(engine, &made).ok_or_else(misread)?;
    link(host, artifact, layout)
}

/// Reads an artifact of this host: from the compiler, a helper or the cache.
fn read(engine: &wasmtime::Engine, bytes: &[u8]) -> Option<Artifact> {
    // SAFETY: the bytes were written by `artifact::make`: in this process; in a helper, which this process has started
    // and which alone writes to the pipe from which they were read; or in a process of this user, who alone can write
    // to the cache folder. The cache checks that they are what was written.
    unsafe { Artifact::read(engine, bytes) }
}

fn misread() -> LoadError {
    LoadError::Compile("the compiled code cannot be read".into())
}

fn link(host: &Wasm, artifact: Artifact, layout: Layout) -> Result<Compiled, LoadError> {
    let Artifact { facts, binary, code } = artifact;
    // This is not cached: the interface depends on this host, not only on the file.
    let interface = host.extensions.interface_of(&facts.imports);
    let not_linked = |error: wasmtime::Error| LoadError::Link(format!("{error:#}"));
    let not_there = |error: wasmtime::Error| LoadError::Import(format!("{error:#}"));
    let pre = match &code {
        Code::Module(module) => {
            let linker = host.engines.linker(layout, interface).map_err(not_linked)?;
            Pre::Module(linker.instantiate_pre(module).map_err(not_there)?)
        }
        Code::Component(component) => {
            let linker = host.engines.component_linker(layout).map_err(not_linked)?;
            let pre = linker.instantiate_pre(component).map_err(not_there)?;
            Pre::Component(ComponentPre::new(pre, facts.start).map_err(not_there)?)
        }
    };
    Ok(Compiled {
        facts,
        interface,
        binary,
        linked: Linked { pre, paid: None },
    })
}

#[cfg(test)]
mod tests {
    use crate::Runtime;

    #[test]
    fn a_module_knows_what_it_is_and_what_its_entries_are_called() {
        let runtime = Runtime::builder().workers(1).cache(None).build().unwrap();
        let load = |version: &str, functions: &str, index: u32| {
            let text = format!(
                r#"(module $power (@custom "version" "{version}") (table 4 funcref)
                    {functions} (elem (i32.const {index}) $entry))"#
            );
            runtime.load(text.as_bytes()).unwrap()
        };
        let old = load("1.2", "(func $entry)", 0);
        let new = load("1.3", "(func $added) (func $entry)", 2);
        for (module, expected) in [(&old, "power 1.2 ("), (&new, "power 1.3 (")] {
            let shown = module.identity().to_string();
            assert!(shown.starts_with(expected), "{shown}");
        }
        assert_ne!(old.identity().hash, new.identity().hash);

        let entry = old.entries().name_of(0).unwrap();
        assert_eq!(new.entries().find(&entry), Some(2));
    }
}
