//! From the bytes of a file to something that processes can run in.

use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use lunatic_module::cache::Key;
use lunatic_module::facts::{Facts, TEST_PREFIX};
use lunatic_module::imports::Imports;
use lunatic_module::rewrite::{self, RewriteError};
use lunatic_module::{CodeId, Entries};
use parking_lot::Mutex;
use wasmtime::InstancePre;

use crate::engine::{Interface, Layout};
use crate::instance::Ctx;
use crate::instance::frozen::Models;
use crate::instance::image::Image;
use crate::report::Symbols;
use crate::wasm::Wasm;

/// Why bytes could not be made a module.
#[derive(Debug)]
#[non_exhaustive]
pub enum LoadError {
    /// They are no module that Lunatic runs; the text says what is wrong.
    Invalid(String),
    /// The module imports something that the host does not provide; the text names it.
    Import(String),
    /// The compiler failed.
    Compile(String),
    /// An extension of the host failed to provide its functions.
    Link(String),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(text) | Self::Import(text) => write!(f, "{text}"),
            Self::Compile(text) => write!(f, "the module could not be compiled: {text}"),
            Self::Link(text) => write!(f, "an extension of the host could not provide its functions: {text}"),
        }
    }
}

impl std::error::Error for LoadError {}

impl From<RewriteError> for LoadError {
    fn from(error: RewriteError) -> Self {
        Self::Invalid(error.to_string())
    }
}

/// A checked and compiled module.
pub struct Module {
    facts: Facts,
    interface: Interface,
    /// For crash reports.
    symbols: Symbols,
    source: Source,
    identity: OnceLock<CodeId>,
    entries: OnceLock<Entries>,
    compiled: [OnceLock<InstancePre<Ctx>>; 3],
    /// Held while the module is compiled for a layout, so that this is done once.
    compiling: Mutex<()>,
    /// Somebody has seen to it that the module is compiled for the dense layout.
    prepared: AtomicBool,
    /// What its instances look like at first; known once there is one.
    image: OnceLock<Arc<Image>>,
    /// What its frozen processes have in common.
    models: Models,
}

/// What is kept to compile the module again.
struct Source {
    wasm: Arc<[u8]>,
    hash: [u8; 32],
}

impl Module {
    pub(crate) fn load(host: &Wasm, wasm: &[u8]) -> Result<Arc<Self>, LoadError> {
        let binary = binary(wasm)?;
        let wasm = &*binary;
        let source = Source {
            wasm: wasm.into(),
            hash: *blake3::hash(wasm).as_bytes(),
        };
        // In one layout at once, so that the loader hears of what is wrong with the file; in the others when they are
        // needed.
        let layout = Layout::Fast;
        let Compiled { facts, interface, pre } = compile(host, &source, layout)?;
        let symbols = Symbols::new(source.wasm.clone());
        let module = Self {
            facts,
            interface,
            symbols,
            source,
            identity: OnceLock::new(),
            entries: OnceLock::new(),
            compiled: Default::default(),
            compiling: Mutex::new(()),
            prepared: AtomicBool::new(false),
            image: OnceLock::new(),
            models: Models::default(),
        };
        let _ = module.compiled[layout as usize].set(pre);
        Ok(Arc::new(module))
    }

    /// The prefix of the names of exported tests.
    pub const TEST_PREFIX: &str = TEST_PREFIX;

    /// The names of the exported tests, in the module's order. All begin with [`TEST_PREFIX`](Self::TEST_PREFIX).
    pub fn tests(&self) -> &[String] {
        &self.facts.tests
    }

    /// Whether it is a program: it exports `_start`, which takes and returns nothing.
    pub fn has_start(&self) -> bool {
        self.facts.start
    }

    /// The functions that it imports.
    pub fn imports(&self) -> &Imports {
        &self.facts.imports
    }

    /// The interface that it was built for.
    pub(crate) fn interface(&self) -> Interface {
        self.interface
    }

    /// The size of its memory at the start, in bytes; 0 if it has none.
    pub fn memory_min(&self) -> u64 {
        let memory = self.facts.memory;
        memory.map_or(0, |memory| memory.pages_min.saturating_mul(1 << 16))
    }

    pub(crate) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// For crash reports.
    pub(crate) fn symbols(&self) -> &Symbols {
        &self.symbols
    }

    /// What its instances look like at first, once there is one.
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

    /// Which code it is: the hash of the file, and the name and version that the file says. Read when first asked for.
    pub fn identity(&self) -> &CodeId {
        let source = &self.source;
        self.identity
            .get_or_init(|| CodeId::with_hash(source.hash, &source.wasm))
    }

    /// The names of the functions that a process of it can begin with, by which the same entry can be found in another
    /// version of the module. Read when first asked for.
    pub fn entries(&self) -> &Entries {
        // The module has been validated, so this fails only for a table that is too large. Its entries have no names.
        self.entries
            .get_or_init(|| Entries::of(&self.source.wasm).unwrap_or_default())
    }

    /// True once, for the first who asks: that one prepares the module for the dense layout before it is needed.
    pub(crate) fn claim_preparation(&self) -> bool {
        !self.prepared.load(Ordering::Relaxed) && !self.prepared.swap(true, Ordering::Relaxed)
    }

    /// True if a process can begin with this exported function: it takes and returns nothing.
    pub(crate) fn has_entry(&self, host: &Wasm, name: &str) -> wasmtime::Result<bool> {
        let ty = self.pre(host, Layout::Fast)?.module().get_export(name);
        Ok(ty
            .and_then(|ty| ty.func().map(|ty| ty.params().len() + ty.results().len() == 0))
            .unwrap_or(false))
    }

    /// The module compiled for a layout, which happens when it is first asked for.
    pub(crate) fn pre(&self, host: &Wasm, layout: Layout) -> wasmtime::Result<&InstancePre<Ctx>> {
        let compiled = &self.compiled[layout as usize];
        if let Some(pre) = compiled.get() {
            return Ok(pre);
        }
        // Whoever waits for the lock mostly waits for just this.
        let _compiling = self.compiling.lock();
        if let Some(pre) = compiled.get() {
            return Ok(pre);
        }
        let new = compile(host, &self.source, layout).map_err(|error| wasmtime::Error::msg(error.to_string()))?;
        Ok(compiled.get_or_init(|| new.pre))
    }
}

/// The binary of a module that may be in the text format.
fn binary(wasm: &[u8]) -> Result<Cow<'_, [u8]>, LoadError> {
    let text = std::str::from_utf8(wasm)
        .ok()
        .filter(|text| text.trim_start().starts_with(['(', ';']));
    let Some(text) = text else { return Ok(wasm.into()) };
    let binary =
        wat::parse_str(text).map_err(|error| LoadError::Invalid(format!("not a module in text format: {error}")));
    binary.map(Cow::from)
}

/// A module for one layout.
struct Compiled {
    facts: Facts,
    interface: Interface,
    pre: InstancePre<Ctx>,
}

/// Takes the compiled module from the cache, or compiles it and keeps it there; then links it.
fn compile(host: &Wasm, source: &Source, layout: Layout) -> Result<Compiled, LoadError> {
    let engine = host.engines.engine(layout);
    let key = key(engine, source, layout);
    let cached = host.cache.get(&key).and_then(|bytes| {
        let (facts, code) = postcard::take_from_bytes::<Facts>(&bytes).ok()?;
        // SAFETY: the bytes were made by this version of wasmtime with these settings: both are part of the key. They
        // are what was written then, the cache checks their hash, and only this user can write to its folder.
        let module = unsafe { wasmtime::Module::deserialize(engine, code) }.ok()?;
        Some((facts, module))
    });
    let (facts, module) = match cached {
        Some(cached) => cached,
        None => {
            let rewritten = rewrite::rewrite(&source.wasm)?;
            // Where calls through the table can be made direct ones, instances need no table and are smaller.
            let direct = rewrite::direct_calls(&rewritten.wasm);
            let compiled = wasmtime::Module::new(engine, direct.as_ref().unwrap_or(&rewritten.wasm));
            let module = compiled.map_err(|error| LoadError::Compile(format!("{error:#}")))?;
            store(host, &key, &rewritten.facts, &module);
            (rewritten.facts, module)
        }
    };
    // Not part of what is cached: which interface it is depends on this host, not only on the file.
    let interface = host.extensions.interface_of(&facts.imports);
    let linker = host.engines.linker(layout, interface);
    let linker = linker.map_err(|error| LoadError::Link(format!("{error:#}")))?;
    let pre = linker
        .instantiate_pre(&module)
        .map_err(|error| LoadError::Import(format!("{error:#}")))?;
    Ok(Compiled { facts, interface, pre })
}

/// Everything that decides what the compiler makes of a module.
fn key(engine: &wasmtime::Engine, source: &Source, layout: Layout) -> Key {
    use std::hash::{Hash, Hasher};
    let mut hasher = std::hash::DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    let version = rewrite::VERSION.to_le_bytes();
    Key::of(&[
        b"facts and code",
        &source.hash,
        &hasher.finish().to_le_bytes(),
        &version,
        &[layout as u8],
    ])
}

/// Keeps the facts and the compiled module, one behind the other, for the next time. If that fails, it is compiled again
/// then.
fn store(host: &Wasm, key: &Key, facts: &Facts, module: &wasmtime::Module) {
    if let (Ok(mut entry), Ok(code)) = (postcard::to_stdvec(facts), module.serialize()) {
        entry.extend(code);
        let _ = host.cache.put(key, &entry);
    }
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
