//! Components: which of them can be run, what an instance costs, and short instructions in their core modules.
//!
//! A component that a process can run is a *command*, which exports `wasi:cli/run` of WASI 0.2, or a *handler* of HTTP
//! requests, which exports `wasi:http/incoming-handler`. All its core modules and canonical functions are in the component itself. Components inside it only give names to what they import, as the
//! tools do that make a component out of a module. So no two parts of it call each other through the component model:
//! copying a string from one to the other would be a single step for the engine, however long the string is. For the same
//! reason, and because nested components could multiply, what is instantiated is bounded.

use std::ops::Range;

use wasmparser::{
    CanonicalFunction, ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind, Encoding,
    Instance, Parser, Payload, ValidPayload, Validator, WasmFeatures,
};

use super::sections::{read_leb, write_leb};
use super::{Part, RewriteError, Rewritten, error, features, part};
use crate::facts::{Facts, Memory, NotRecyclable};
use crate::imports::Imports;

/// The most functions that are lifted, lowered, or built in: the engine compiles code for each.
const CANONICAL_MAX: usize = 10_000;
/// The most items that nested components have together, counted for each of their instances.
const NESTED_ITEMS_MAX: u64 = 100_000;
/// The most items of the component itself: types, imports, exports, aliases, instances and their parts.
const ITEMS_MAX: u64 = 1_000_000;

/// The most instances of core modules. Tools make about four for each library that is linked in.
const INSTANCES_MAX: usize = 256;
/// The most bytes that these instances have together, without memories and elements of tables: they are made in one step,
/// and the engine asks no limiter. The most globals that a module can have are fewer.
const INSTANCES_SIZE_MAX: usize = 128 << 20;
/// The most bytes of active data in modules with the memory of another module, counted for each instance: they are copied in
/// one step. In its own memory, a module has an image of them.
const COPIED_MAX: u64 = 16 << 20;

/// Returns the most handles of resources that a process of a component has at a time. A file, socket, stream or pollable
/// is one handle.
pub const HANDLES_MAX: usize = 16_384;

/// Returns the most handles that the engine keeps for an instance: also those that are lent for the time of a call, and of
/// resources that the component itself defines.
pub const ENGINE_HANDLES_MAX: usize = HANDLES_MAX + 8192;

/// What the engine keeps for an instance of a component, in bytes; for each core instance in it, without what the module
/// defines; for each item of it; and for a handle of a resource
/// that the component itself defines.
const INSTANCE_SIZE: usize = 8 << 10;
const CORE_INSTANCE_SIZE: usize = 1 << 10;
const ITEM_SIZE: usize = 128;
const HANDLE_SIZE: usize = 32;

/// The interface that a command exports, before its version.
const RUN: &str = "wasi:cli/run@0.2.";
/// The interface that a handler exports, before its version.
const HANDLER: &str = "wasi:http/incoming-handler@0.2.";
/// Other interfaces that a component may export instead, and how it is said.
const OTHERS: [(&str, &str); 2] = [
    (
        "wasi:cli/run@0.3.",
        "it is a command of WASI 0.3, but Lunatic runs only those of WASI 0.2: build it for the target wasm32-wasip2",
    ),
    (
        "wasi:http/handler@",
        "it handles HTTP requests of WASI 0.3 (`wasi:http/handler`), and Lunatic serves handlers of WASI 0.2: export \
         `wasi:http/incoming-handler`",
    ),
];

/// Returns whether a file is a component and not a core module.
pub fn is_component(wasm: &[u8]) -> bool {
    Parser::is_component(wasm)
}

/// The features of components that guests may use: those of WASI 0.2.
const fn component_features() -> WasmFeatures {
    features().union(WasmFeatures::COMPONENT_MODEL)
}

/// Validates a component, makes the instructions of its core modules short, and determines its [`Facts`].
///
/// # Errors
///
/// A [`RewriteError`] says in a sentence what is wrong with the component, or why it cannot be run. Nothing in `wasm` can
/// cause a panic.
pub fn rewrite(wasm: &[u8]) -> Result<Rewritten, RewriteError> {
    error::check_size(wasm)?;
    let found = Found::read(wasm).map_err(|error| error::diagnose(wasm, error))?;
    if let Some(why) = found.refusal() {
        return Err(RewriteError::NoProgram { why });
    }
    let parts: Vec<Part> = found
        .modules
        .iter()
        .map(|range| part(&wasm[range.clone()]))
        .collect::<Result<_, _>>()?;
    let mut facts = found.facts(&parts)?;
    let (wasm, compiled) = with_modules(wasm, &parts);
    facts.modules = found.modules.into_iter().zip(compiled).collect();
    Ok(Rewritten { wasm, facts })
}

/// What was found in a valid component.
#[derive(Default)]
struct Found {
    /// The core modules, in order.
    modules: Vec<Range<usize>>,
    /// The core modules that are instantiated, by index.
    instantiated: Vec<u32>,
    /// The items of each nested component.
    nested: Vec<u64>,
    /// The nested components that are instantiated, by index.
    nested_instantiated: Vec<u32>,
    items: u64,
    canonical: usize,
    /// Whether it makes handles of resources that it defines.
    makes_handles: bool,
    /// The exported instances.
    exports: Vec<String>,
    /// What is not possible in a program, if there is such a thing.
    refused: Option<&'static str>,
}

const COMPOSED: &str = "it is composed of several components, and Lunatic runs only single ones: run each of them as a program of \
                        its own, or link their code into one core module";
const IMPORTS_CODE: &str = "it imports or passes on a core module or a component, but the host provides neither";

impl Found {
    fn read(wasm: &[u8]) -> wasmparser::Result<Self> {
        let mut found = Self::default();
        let mut validator = Validator::new_with_features(component_features());
        let mut parser = Parser::new(0);
        parser.set_features(component_features());
        // What encloses the part that is read.
        let mut open: Vec<Encoding> = Vec::new();
        for payload in parser.parse_all(wasm) {
            let payload = payload?;
            // Bodies of functions are validated when the core module is.
            if let ValidPayload::Func(..) = validator.payload(&payload)? {
                continue;
            }
            match (&payload, open.as_slice()) {
                (Payload::Version { encoding, .. }, _) => open.push(*encoding),
                (Payload::End(_), _) => _ = open.pop(),
                (_, [.., Encoding::Module]) => {}
                (_, [_]) => found.outer(&payload)?,
                (_, [_, ..]) => found.inner(&payload),
                (_, []) => {}
            }
        }
        Ok(found)
    }

    fn refuse(&mut self, why: &'static str) {
        self.refused.get_or_insert(why);
    }

    /// A part of the component itself.
    fn outer(&mut self, payload: &Payload<'_>) -> wasmparser::Result<()> {
        match payload {
            Payload::ModuleSection { unchecked_range, .. } => self.modules.push(unchecked_range.clone()),
            Payload::ComponentSection { .. } => self.nested.push(0),
            Payload::InstanceSection(instances) => {
                for instance in instances.clone() {
                    self.items += 1;
                    match instance? {
                        Instance::Instantiate { module_index, args } => {
                            self.instantiated.push(module_index);
                            self.items += args.len() as u64;
                        }
                        Instance::FromExports(exports) => self.items += exports.len() as u64,
                    }
                }
            }
            Payload::ComponentInstanceSection(instances) => {
                for instance in instances.clone() {
                    self.items += 1;
                    match instance? {
                        ComponentInstance::Instantiate { component_index, args } => {
                            self.nested_instantiated.push(component_index);
                            self.items += args.len() as u64;
                        }
                        ComponentInstance::FromExports(exports) => self.items += exports.len() as u64,
                    }
                }
            }
            Payload::ComponentCanonicalSection(functions) => {
                for function in functions.clone() {
                    self.items += 1;
                    self.canonical += 1;
                    self.makes_handles |= matches!(function?, CanonicalFunction::ResourceNew { .. });
                }
            }
            Payload::ComponentImportSection(imports) => {
                for import in imports.clone() {
                    self.items += 1;
                    self.kind(import?.ty.kind());
                }
            }
            Payload::ComponentExportSection(exports) => {
                for export in exports.clone() {
                    let export = export?;
                    self.items += 1;
                    self.kind(export.kind);
                    if export.kind == ComponentExternalKind::Instance {
                        self.exports.push(export.name.name.to_owned());
                    }
                }
            }
            Payload::ComponentAliasSection(aliases) => {
                for alias in aliases.clone() {
                    self.items += 1;
                    self.alias(&alias?);
                }
            }
            Payload::ComponentTypeSection(types) => self.items += u64::from(types.count()),
            Payload::CoreTypeSection(types) => self.items += u64::from(types.count()),
            Payload::ComponentStartSection { .. } => self.refuse(COMPOSED),
            _ => {}
        }
        Ok(())
    }

    /// A part of a component inside it, which may only give names to what it imports.
    fn inner(&mut self, payload: &Payload<'_>) {
        let items = match payload {
            Payload::ComponentTypeSection(types) => types.count(),
            Payload::ComponentImportSection(imports) => imports.count(),
            Payload::ComponentExportSection(exports) => exports.count(),
            Payload::ComponentAliasSection(aliases) => aliases.count(),
            Payload::CustomSection(_) => 0,
            _ => return self.refuse(COMPOSED),
        };
        if let Some(nested) = self.nested.last_mut() {
            *nested += u64::from(items);
        }
    }

    fn alias(&mut self, alias: &ComponentAlias<'_>) {
        match alias {
            ComponentAlias::InstanceExport { kind, .. } => self.kind(*kind),
            ComponentAlias::CoreInstanceExport { .. } => {}
            ComponentAlias::Outer { kind, .. } => match kind {
                ComponentOuterAliasKind::CoreModule | ComponentOuterAliasKind::Component => self.refuse(IMPORTS_CODE),
                ComponentOuterAliasKind::CoreType | ComponentOuterAliasKind::Type => {}
            },
        }
    }

    /// Code has only the indexes under which it is read here.
    fn kind(&mut self, kind: ComponentExternalKind) {
        if matches!(kind, ComponentExternalKind::Module | ComponentExternalKind::Component) {
            self.refuse(IMPORTS_CODE);
        }
    }

    /// Whether it exports an interface whose name begins like this.
    fn has(&self, interface: &str) -> bool {
        self.exports.iter().any(|name| name.starts_with(interface))
    }

    /// Why it is neither a program nor a handler, if it is none.
    fn refusal(&self) -> Option<String> {
        if let Some(why) = self.refused {
            return Some(why.to_owned());
        }
        if self.has(RUN) || self.has(HANDLER) {
            return None;
        }
        let known = OTHERS.iter().find(|(begin, _)| self.has(begin));
        let unknown = || {
            format!(
                "it exports no `{RUN}x`, the interface of programs, and no `{HANDLER}x`, that of handlers of HTTP requests: \
                 build a program with a `main`, for the target wasm32-wasip2 or wasm32-wasip1"
            )
        };
        Some(known.map_or_else(unknown, |(_, why)| (*why).to_owned()))
    }

    fn facts(&self, parts: &[Part]) -> Result<Facts, RewriteError> {
        let too_many = |what, max| Err(RewriteError::TooMany { what, max });
        if self.canonical > CANONICAL_MAX {
            return too_many("canonical functions", CANONICAL_MAX as u32);
        }
        let nested = self.nested_instantiated.iter();
        let nested = nested.map(|index| self.nested.get(*index as usize).copied().unwrap_or(0) + 1);
        let nested: u64 = nested.sum();
        if nested > NESTED_ITEMS_MAX {
            return too_many("items in instances of nested components", NESTED_ITEMS_MAX as u32);
        }
        if self.items > ITEMS_MAX {
            return too_many("items of the component itself", ITEMS_MAX as u32);
        }
        let instances = || self.instantiated.iter().filter_map(|index| parts.get(*index as usize));
        if instances().filter(|part| part.defines_memory).count() > 1 {
            return too_many("memories", 1);
        }
        if self.instantiated.len() > INSTANCES_MAX {
            return too_many("instances of core modules", INSTANCES_MAX as u32);
        }
        let instances_size = instances()
            .map(|part| CORE_INSTANCE_SIZE + part.instance_size)
            .fold(0, usize::saturating_add);
        if instances_size > INSTANCES_SIZE_MAX {
            return too_many("bytes in instances of core modules", INSTANCES_SIZE_MAX as u32);
        }
        let copied = instances().filter(|part| !part.defines_memory);
        if copied.map(|part| part.active_data).fold(0, u64::saturating_add) > COPIED_MAX {
            return too_many("bytes of data for memories of other modules", COPIED_MAX as u32);
        }
        let memory = instances()
            .find(|part| part.defines_memory)
            .and_then(|part| part.memory);
        let grows = instances().any(|part| part.memory.is_some_and(|memory| memory.grows));
        let handles = if self.makes_handles {
            ENGINE_HANDLES_MAX * HANDLE_SIZE
        } else {
            0
        };
        let items = usize::try_from(self.items + nested).unwrap_or(usize::MAX);
        Ok(Facts {
            data_pages: 0,
            globals: Vec::new(),
            run: None,
            startup: None,
            recyclable: Err(NotRecyclable::Component),
            imports: Imports::default(),
            memory: memory.map(|memory| Memory { grows, ..memory }),
            instance_size: INSTANCE_SIZE + handles + items.saturating_mul(ITEM_SIZE) + instances_size,
            start: self.has(RUN),
            tests: Vec::new(),
            debug_info: instances().any(|part| part.debug_info),
            component: true,
            modules: Vec::new(),
        })
    }
}

/// The component with these core modules in place of its own, and where they are. It is valid, and all core modules are
/// among its own sections.
fn with_modules(wasm: &[u8], parts: &[Part]) -> (Vec<u8>, Vec<Range<usize>>) {
    const HEADER_LEN: usize = 8;
    const MODULE_SECTION: u8 = 1;
    let grown: usize = parts.iter().map(|part| part.wasm.len()).sum();
    let mut out = Vec::with_capacity(wasm.len() + grown / 8);
    out.extend(&wasm[..HEADER_LEN]);
    let mut places = Vec::with_capacity(parts.len());
    let mut parts = parts.iter();
    let mut rest = &wasm[HEADER_LEN..];
    while let Some((id, sized)) = rest.split_first() {
        let (len, width) = read_leb(sized);
        let (content, next) = sized[width..].split_at(len as usize);
        out.push(*id);
        match parts.as_slice().first().filter(|_| *id == MODULE_SECTION) {
            Some(part) => {
                parts.next();
                write_leb(&mut out, part.wasm.len() as u32, 1);
                places.push(out.len()..out.len() + part.wasm.len());
                out.extend(&part.wasm);
            }
            None => {
                out.extend(&sized[..width]);
                out.extend(content);
            }
        }
        rest = next;
    }
    (out, places)
}

#[cfg(test)]
mod tests;
