//! From the bytes of a file to something that processes can run in.

use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use wasmtime::InstancePre;

use super::cache::Key;
use super::facts::{Facts, Interface};
use super::rewrite::{self, RewriteError};
use crate::engine::Layout;
use crate::instance::Ctx;
use crate::instance::frozen::Models;
use crate::instance::image::Image;
use crate::report::Symbols;
use crate::shared::Shared;

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
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(text) | Self::Import(text) => write!(f, "{text}"),
            Self::Compile(text) => write!(f, "the module could not be compiled: {text}"),
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
    pub(crate) facts: Facts,
    /// For crash reports.
    pub(crate) symbols: Symbols,
    source: Source,
    compiled: [OnceLock<InstancePre<Ctx>>; 3],
    /// Held while the module is compiled for a layout, so that this is done once.
    compiling: Mutex<()>,
    /// Somebody has seen to it that the module is compiled for the dense layout.
    prepared: AtomicBool,
    /// What its instances look like at first; known once there is one.
    pub(crate) image: OnceLock<Arc<Image>>,
    /// What its frozen processes have in common.
    pub(crate) models: Models,
}

/// What is kept to compile the module again.
struct Source {
    wasm: Arc<[u8]>,
    hash: [u8; 32],
}

impl Module {
    pub(crate) fn load(shared: &Shared, wasm: &[u8]) -> Result<Arc<Self>, LoadError> {
        let binary = binary(wasm)?;
        let wasm = &*binary;
        let source = Source {
            wasm: wasm.into(),
            hash: *blake3::hash(wasm).as_bytes(),
        };
        let layout = Layout::Fast;
        let (facts, pre) = compile(shared, &source, layout)?;
        let symbols = Symbols::new(source.wasm.clone());
        let module = Self {
            facts,
            symbols,
            source,
            compiled: Default::default(),
            compiling: Mutex::new(()),
            prepared: AtomicBool::new(false),
            image: OnceLock::new(),
            models: Models::default(),
        };
        let _ = module.compiled[layout as usize].set(pre);
        Ok(Arc::new(module))
    }

    /// Whether it was built for the interface of Lunatic 0.13 and 0.14.
    pub(crate) fn is_compat(&self) -> bool {
        self.facts.interface == Interface::Compat
    }

    /// True once, for the first who asks: that one prepares the module for the dense layout before it is needed.
    pub(crate) fn claim_preparation(&self) -> bool {
        !self.prepared.load(Ordering::Relaxed) && !self.prepared.swap(true, Ordering::Relaxed)
    }

    /// True if a process can begin with this exported function: it takes and returns nothing.
    pub(crate) fn has_entry(&self, shared: &Shared, name: &str) -> wasmtime::Result<bool> {
        let ty = self.pre(shared, Layout::Fast)?.module().get_export(name);
        Ok(ty
            .and_then(|ty| ty.func().map(|ty| ty.params().len() + ty.results().len() == 0))
            .unwrap_or(false))
    }

    /// The module compiled for a layout, which happens when it is first asked for.
    pub(crate) fn pre(&self, shared: &Shared, layout: Layout) -> wasmtime::Result<&InstancePre<Ctx>> {
        let compiled = &self.compiled[layout as usize];
        if let Some(pre) = compiled.get() {
            return Ok(pre);
        }
        let _compiling = self.compiling.lock();
        if let Some(pre) = compiled.get() {
            return Ok(pre);
        }
        let (_, pre) =
            compile(shared, &self.source, layout).map_err(|error| wasmtime::Error::msg(error.to_string()))?;
        Ok(compiled.get_or_init(|| pre))
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

fn compile(shared: &Shared, source: &Source, layout: Layout) -> Result<(Facts, InstancePre<Ctx>), LoadError> {
    let engine = shared.engines.engine(layout);
    let key = key(engine, source, layout);
    let cached = shared.cache.get(&key).and_then(|bytes| {
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
            let direct = rewrite::direct_calls(&rewritten.wasm);
            let compiled = wasmtime::Module::new(engine, direct.as_ref().unwrap_or(&rewritten.wasm));
            let module = compiled.map_err(|error| LoadError::Compile(format!("{error:#}")))?;
            store(shared, &key, &rewritten.facts, &module);
            (rewritten.facts, module)
        }
    };
    let pre = shared
        .engines
        .linker(layout, facts.interface)
        .instantiate_pre(&module)
        .map_err(|error| LoadError::Import(format!("{error:#}")))?;
    Ok((facts, pre))
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
fn store(shared: &Shared, key: &Key, facts: &Facts, module: &wasmtime::Module) {
    if let (Ok(mut entry), Ok(code)) = (postcard::to_stdvec(facts), module.serialize()) {
        entry.extend(code);
        let _ = shared.cache.put(key, &entry);
    }
}
