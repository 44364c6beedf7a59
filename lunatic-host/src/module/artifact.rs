//! The compiler's output as bytes: for the cache, or from another program.
//!
//! An artifact consists of the facts about the module or component, its binary if the file is in the text format, and machine code
//! for one memory layout, one after another.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

use lunatic_module::cache::Key;
use lunatic_module::facts::Facts;
use lunatic_module::rewrite::{self, component};
use wasmtime::component::Component;
use wasmtime::{Engine, Module};

use super::error::LoadError;
use crate::engine::Layout;

/// Checks, rewrites and compiles the module in a file, which may be in the text format. All steps that a malicious
/// module could make slow happen in here.
pub(crate) fn make(engine: &Engine, file: &[u8]) -> Result<Vec<u8>, LoadError> {
    let binary = binary(file)?;
    // If the file is in the text format.
    let made = matches!(binary, Cow::Owned(_)).then_some(&*binary);
    if component::is_component(&binary) {
        let rewritten = component::rewrite(&binary)?;
        return written(made, &rewritten.facts, engine.precompile_component(&rewritten.wasm));
    }
    let rewritten = rewrite::rewrite(&binary)?;
    // If calls through the table can become direct calls, instances need no table and are smaller.
    let direct = rewrite::direct_calls(&rewritten.wasm);
    let code = engine.precompile_module(direct.as_ref().unwrap_or(&rewritten.wasm));
    written(made, &rewritten.facts, code)
}

/// The bytes of an artifact.
fn written(binary: Option<&[u8]>, facts: &Facts, code: wasmtime::Result<Vec<u8>>) -> Result<Vec<u8>, LoadError> {
    let code = code.map_err(|error| LoadError::Compile(format!("{error:#}")))?;
    let mut artifact = postcard::to_stdvec(&(facts, binary))
        .map_err(|error| LoadError::Compile(format!("its facts could not be stored: {error}")))?;
    artifact.extend(code);
    Ok(artifact)
}

/// The binary of a module that may be in the text format.
fn binary(file: &[u8]) -> Result<Cow<'_, [u8]>, LoadError> {
    let text = std::str::from_utf8(file)
        .ok()
        .filter(|text| text.trim_start().starts_with(['(', ';']));
    let Some(text) = text else { return Ok(file.into()) };
    let binary =
        wat::parse_str(text).map_err(|error| LoadError::Invalid(format!("not a module in text format: {error}")));
    binary.map(Cow::from)
}

/// An artifact that has been read.
pub(super) struct Artifact {
    pub(super) facts: Facts,
    /// The binary of a file in the text format.
    pub(super) binary: Option<Vec<u8>>,
    pub(super) code: Code,
}

/// Compiled code.
pub(super) enum Code {
    Module(Module),
    Component(Component),
}

impl Artifact {
    /// Reads what [`make`] has written; `None` if it was made for another engine.
    ///
    /// # Safety
    ///
    /// The bytes were returned by [`make`], in this program or in another that is equally trusted: the machine code in
    /// them will be run.
    pub(super) unsafe fn read(engine: &Engine, bytes: &[u8]) -> Option<Self> {
        let ((facts, binary), code) = postcard::take_from_bytes::<(Facts, Option<Vec<u8>>)>(bytes).ok()?;
        // SAFETY: the caller's promise; wasmtime checks that the code was made by its version, with the engine's
        // settings.
        let code = unsafe {
            match facts.component {
                true => Code::Component(Component::deserialize(engine, code).ok()?),
                false => Code::Module(Module::deserialize(engine, code).ok()?),
            }
        };
        Some(Self { facts, binary, code })
    }
}

/// The cache key of an artifact: everything that affects the compilation of the file with this hash.
pub(super) fn key(engine: &Engine, file: &[u8; 32], layout: Layout) -> Key {
    Key::of(&[
        b"facts, binary and code",
        file,
        &settings(engine).to_le_bytes(),
        &rewrite::VERSION.to_le_bytes(),
        &[layout as u8],
    ])
}

/// A number for all settings of an engine that affect the code, and for its version.
pub(crate) fn settings(engine: &Engine) -> u64 {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.finish()
}
