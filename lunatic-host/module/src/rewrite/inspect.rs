//! Validates a module and collects what rewriting and [`Facts`](crate::facts::Facts) need.

use std::collections::HashMap;

use wasmparser::{
    DataKind, ElementItems, ElementKind, Export, ExternalKind, FuncType, FuncValidatorAllocations, FunctionBody,
    GlobalType, Import, KnownCustom, Name, NameSectionReader, Operator, Parser, Payload, RecGroup, RefType, Result,
    TypeRef, ValType, ValidPayload, Validator,
};

use super::RewriteError;
use super::bulk::Search;
use super::look::{Look, Types};
use super::sections::Section;
use super::startup::StartupNames;
use crate::facts::{Memory, TEST_PREFIX};
use crate::imports::Imports;

/// The size of a page in bytes, in which the memory of a fresh instance is compared with a used one.
const PAGE: u64 = 4096;

/// The type of a function, as far as it is relevant here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signature {
    /// `() -> ()`
    Void,
    /// `() -> i32`
    ReturnsI32,
    /// `(i32) -> ()`
    TakesI32,
    Other,
}

impl Signature {
    fn of(function: &FuncType) -> Self {
        match (function.params(), function.results()) {
            ([], []) => Self::Void,
            ([], [ValType::I32]) => Self::ReturnsI32,
            ([ValType::I32], []) => Self::TakesI32,
            _ => Self::Other,
        }
    }
}

/// Effects of a module's code that memory and globals do not show.
#[derive(Debug, Default)]
pub(super) struct CodeFacts {
    /// The first function that writes to a table.
    pub(super) changes_table: Option<u32>,
    /// The first function that throws or catches exceptions.
    pub(super) throws: Option<u32>,
    /// Whether there is a `data.drop`.
    pub(super) drops_data: bool,
    /// Whether there is a `memory.init`.
    pub(super) reads_data: bool,
    /// Whether there is a `memory.grow`.
    pub(super) grows_memory: bool,
    /// The instructions that can take long.
    pub(super) bulk: Search,
}

/// A valid module.
#[derive(Debug, Default)]
pub(super) struct Inspected<'a> {
    pub(super) sections: Vec<Section<'a>>,
    /// For each type, in order.
    pub(super) signatures: Vec<Signature>,
    types: Vec<FuncType>,
    pub(super) imports: Imports,
    /// For each type of the module that is used there, its index in `imports`.
    import_types: HashMap<u32, u32>,
    /// The type of every function, imported ones first.
    pub(super) function_types: Vec<u32>,
    pub(super) imported_functions: u32,
    /// The bodies of all functions that are not imported.
    pub(super) bodies: Vec<FunctionBody<'a>>,
    /// The offset of the code section's contents in the file.
    pub(super) code_start: usize,
    /// The lengths of the data segments in bytes.
    pub(super) segments: Vec<u32>,
    /// The most pages of 4 KiB that active data segments write to.
    pub(super) data_pages: u64,
    /// The bytes of these segments.
    pub(super) active_data: u64,
    pub(super) exports: Vec<Export<'a>>,
    /// The function imported as `lunatic::process` `next`, if its type is right.
    pub(super) next: Option<u32>,
    /// Whether table 0 holds functions.
    pub(super) function_table: bool,
    /// The mutable globals that are defined here, and whether each is of a numeric type.
    pub(super) mutable_globals: Vec<(u32, bool)>,
    /// Whether a memory, table or global is imported.
    pub(super) imports_state: bool,
    pub(super) memories: u32,
    pub(super) imported_memories: u32,
    pub(super) memory: Option<Memory>,
    pub(super) start_section: bool,
    /// The exported function `_start` of type `() -> ()`.
    pub(super) start: Option<u32>,
    pub(super) tests: Vec<String>,
    pub(super) code: CodeFacts,
    /// The first disproportionate function, or another reason not to run the module.
    pub(super) too_complex: Option<RewriteError>,
    pub(super) names: StartupNames,
    pub(super) debug_info: bool,
    tables: u32,
    /// The number of tags that are defined here.
    tags: u32,
    /// The number of globals, including imported ones.
    pub(super) globals: u32,
    /// The number of references to functions in elements of tables.
    elements: usize,
    /// The number of those in passive segments, which each instance keeps until it drops them.
    passive_elements: usize,
    element_segments: u32,
}

impl<'a> Inspected<'a> {
    /// The type `() -> ()`.
    pub(super) fn void_type(&self) -> Option<u32> {
        self.signatures
            .iter()
            .position(|signature| *signature == Signature::Void)
            .map(|index| index as u32)
    }

    /// The type of functions with this many `i32` parameters and no results.
    pub(super) fn type_of_numbers(&self, count: usize) -> Option<u32> {
        let fits = |ty: &FuncType| {
            ty.results().is_empty() && ty.params().len() == count && ty.params().iter().all(|ty| *ty == ValType::I32)
        };
        self.types.iter().position(fits).map(|index| index as u32)
    }

    pub(super) fn signature(&self, function: u32) -> Signature {
        let signature = self
            .function_types
            .get(function as usize)
            .and_then(|index| self.signatures.get(*index as usize));
        signature.copied().unwrap_or(Signature::Other)
    }

    /// The body of a function that is not imported.
    pub(super) fn body(&self, function: u32) -> Option<&FunctionBody<'a>> {
        self.bodies.get(function.checked_sub(self.imported_functions)? as usize)
    }

    /// The function exported as `name`, if it is of type `() -> ()`.
    pub(super) fn void_export(&self, name: &str) -> Option<u32> {
        let export = self
            .exports
            .iter()
            .find(|export| export.name == name && export.kind == ExternalKind::Func)?;
        (self.signature(export.index) == Signature::Void).then_some(export.index)
    }

    /// The approximate size of an instance in bytes, without its memory and the elements of its tables.
    pub(super) fn instance_size(&self) -> usize {
        // The size in wasmtime's `VMContext`, or more. For a mutable global, the host also keeps the initial value.
        const IMPORTED_FUNCTION: usize = 32;
        const FUNCTION_REFERENCE: usize = 32;
        const GLOBAL: usize = 96;
        const TABLE: usize = 128;
        // An evaluated element, and the list of those of a passive segment.
        const PASSIVE_ELEMENT: usize = 16;
        const ELEMENT_SEGMENT: usize = 32;
        const TAG: usize = 32;
        // The engine's part of a heap for exceptions.
        const HEAP: usize = 4096;
        // Functions that are referred to only in calls have no reference.
        let references = self
            .function_types
            .len()
            .min(self.elements + self.exports.len() + self.globals as usize);
        self.imported_functions as usize * IMPORTED_FUNCTION
            + references * FUNCTION_REFERENCE
            + self.globals as usize * GLOBAL
            + (self.tables + self.memories) as usize * TABLE
            + self.passive_elements * PASSIVE_ELEMENT
            + self.element_segments as usize * ELEMENT_SEGMENT
            + self.tags as usize * TAG
            + self.code.throws.map_or(0, |_| HEAP)
    }

    fn payload(&mut self, wasm: &'a [u8], payload: &Payload<'a>) -> Result<()> {
        if let Some((id, range)) = payload.as_section() {
            self.sections.push(Section::new(id, wasm, range));
        }
        match payload {
            Payload::TypeSection(types) => {
                for group in types.clone() {
                    self.types(&group?);
                }
            }
            Payload::ImportSection(imports) => {
                for import in imports.clone().into_imports() {
                    self.import(&import?);
                }
            }
            Payload::FunctionSection(functions) => {
                for function in functions.clone() {
                    self.function_types.push(function?);
                }
            }
            Payload::TableSection(tables) => {
                for table in tables.clone() {
                    self.table(table?.ty.element_type);
                }
            }
            Payload::MemorySection(memories) => {
                for memory in memories.clone() {
                    self.memory(memory?);
                }
            }
            Payload::TagSection(tags) => {
                for tag in tags.clone().into_iter_with_offsets() {
                    let (offset, tag) = tag?;
                    self.tag(offset, tag.func_type_idx);
                }
            }
            Payload::GlobalSection(globals) => {
                for global in globals.clone() {
                    self.global(global?.ty);
                }
            }
            Payload::ExportSection(exports) => {
                for export in exports.clone() {
                    self.exports.push(export?);
                }
            }
            Payload::StartSection { .. } => self.start_section = true,
            Payload::DataSection(segments) => {
                for segment in segments.clone() {
                    let segment = segment?;
                    self.segments.push(segment.data.len() as u32);
                    if matches!(segment.kind, DataKind::Active { .. }) && !segment.data.is_empty() {
                        // It can begin and end in the middle of a page.
                        self.active_data += segment.data.len() as u64;
                        self.data_pages += segment.data.len() as u64 / PAGE + 2;
                    }
                }
            }
            Payload::ElementSection(segments) => {
                for segment in segments.clone() {
                    let segment = segment?;
                    let count = match segment.items {
                        ElementItems::Functions(functions) => functions.count() as usize,
                        ElementItems::Expressions(_, expressions) => expressions.count() as usize,
                    };
                    self.elements += count;
                    self.element_segments += 1;
                    if matches!(segment.kind, ElementKind::Passive) {
                        self.passive_elements += count;
                    }
                }
            }
            Payload::CodeSectionStart { range, .. } => self.code_start = range.start,
            Payload::CodeSectionEntry(body) => {
                let place = self.bodies.len();
                let function = self.imported_functions + place as u32;
                let types = Types {
                    types: &self.types,
                    functions: &self.function_types,
                };
                let mut look = Look::new(types, function, body)?;
                self.code.read(function, place, body, &mut look)?;
                self.too_complex = self.too_complex.take().or_else(|| look.judge());
                self.bodies.push(body.clone());
            }
            Payload::CustomSection(section) => match section.as_known() {
                KnownCustom::Name(names) => self.function_names(names),
                _ => self.debug_info |= section.name() == ".debug_info",
            },
            _ => {}
        }
        Ok(())
    }

    fn types(&mut self, group: &RecGroup) {
        // Without garbage collection, a group is a single function type.
        for ty in group.types().map(|ty| ty.unwrap_func()) {
            self.signatures.push(Signature::of(ty));
            self.types.push(ty.clone());
        }
    }

    fn import(&mut self, import: &Import<'_>) {
        match import.ty {
            TypeRef::Func(ty) | TypeRef::FuncExact(ty) => {
                let index = self.imported_functions;
                self.function_types.push(ty);
                self.imported_functions += 1;
                self.import_function(import, ty);
                let is_next = (import.module, import.name) == ("lunatic::process", "next");
                if is_next && self.next.is_none() && self.signature(index) == Signature::ReturnsI32 {
                    self.next = Some(index);
                }
            }
            TypeRef::Table(table) => {
                self.imports_state = true;
                self.table(table.element_type);
            }
            TypeRef::Memory(memory) => {
                self.imports_state = true;
                self.imported_memories += 1;
                self.memory(memory);
            }
            TypeRef::Global(_) => {
                self.imports_state = true;
                self.globals += 1;
            }
            // The host offers none, so the module cannot be linked.
            TypeRef::Tag(_) => {}
        }
    }

    fn import_function(&mut self, import: &Import<'_>, ty: u32) {
        let Some(function_type) = self.types.get(ty as usize) else {
            return;
        };
        let known = self.import_types.entry(ty);
        let ty = *known.or_insert_with(|| self.imports.add_type(function_type));
        self.imports.add(import.module, import.name, ty);
    }

    fn table(&mut self, element: RefType) {
        if self.tables == 0 {
            self.function_table = element == RefType::FUNCREF;
        }
        self.tables += 1;
    }

    fn memory(&mut self, memory: wasmparser::MemoryType) {
        if self.memories == 0 {
            self.memory = Some(Memory {
                pages_min: memory.initial,
                pages_max: memory.maximum,
                exported: false,
                grows: false,
            });
        }
        self.memories += 1;
    }

    /// Refuses exceptions that carry references. These could form a chain of any length, and nothing would limit how
    /// long the engine takes to drop it.
    fn tag(&mut self, offset: usize, ty: u32) {
        self.tags += 1;
        let carries = |ty: &FuncType| ty.params().iter().any(ValType::is_reference_type);
        if self.types.get(ty as usize).is_some_and(carries) {
            let message = "an exception that carries a reference".to_owned();
            let refusal = RewriteError::Unsupported { offset, message };
            self.too_complex.get_or_insert(refusal);
        }
    }

    fn global(&mut self, ty: GlobalType) {
        if ty.mutable {
            let is_numeric = !ty.content_type.is_reference_type();
            self.mutable_globals.push((self.globals, is_numeric));
        }
        self.globals += 1;
    }

    /// Reads the relevant part of the name section. This section is not validated: it is read up to the first error.
    fn function_names(&mut self, names: NameSectionReader<'_>) {
        for subsection in names.into_iter().flatten() {
            if let Name::Function(functions) = subsection {
                functions
                    .into_iter()
                    .flatten()
                    .for_each(|naming| self.names.add(naming.index, naming.name));
            }
        }
    }

    /// Derives what requires that everything has been read.
    fn finish(&mut self) {
        self.start = self.void_export("_start");
        let tests = self.exports.iter().filter(|export| {
            let is_test = export.kind == ExternalKind::Func && export.name.starts_with(TEST_PREFIX);
            is_test && self.signature(export.index) == Signature::Void
        });
        self.tests = tests.map(|export| export.name.to_owned()).collect();
        let is_memory = |export: &Export<'_>| export.name == "memory" && export.kind == ExternalKind::Memory;
        let exported = self.exports.iter().any(|export| is_memory(export) && export.index == 0);
        if let Some(memory) = &mut self.memory {
            memory.exported = exported;
            memory.grows = self.code.grows_memory;
        }
    }
}

impl CodeFacts {
    /// Reads the body of `function`, with its index among all bodies in `place`, and passes it to `look`.
    fn read(&mut self, function: u32, place: usize, body: &FunctionBody<'_>, look: &mut Look<'_>) -> Result<()> {
        let start = body.range().start;
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            let (operator, at) = operators.read_with_offset()?;
            let len = operators.original_position() - at;
            self.bulk.look(place, &operator, at - start, len);
            look.see(&operator);
            match operator {
                Operator::TableSet { .. }
                | Operator::TableGrow { .. }
                | Operator::TableFill { .. }
                | Operator::TableCopy { .. }
                | Operator::TableInit { .. } => {
                    self.changes_table.get_or_insert(function);
                }
                Operator::Throw { .. } | Operator::ThrowRef | Operator::TryTable { .. } => {
                    self.throws.get_or_insert(function);
                }
                Operator::DataDrop { .. } => self.drops_data = true,
                Operator::MemoryInit { .. } => self.reads_data = true,
                Operator::MemoryGrow { .. } => self.grows_memory = true,
                _ => {}
            }
        }
        Ok(())
    }
}

/// Validates `wasm` and reads it.
pub(super) fn inspect(wasm: &[u8]) -> Result<Inspected<'_>> {
    let mut validator = Validator::new_with_features(super::features());
    let mut parser = Parser::new(0);
    parser.set_features(super::features());
    let mut allocations = FuncValidatorAllocations::default();
    let mut module = Inspected::default();
    for payload in parser.parse_all(wasm) {
        let payload = payload?;
        // Validated first, so that the contents are known to be right when they are read.
        if let ValidPayload::Func(function, body) = validator.payload(&payload)? {
            let mut function = function.into_validator(allocations);
            function.validate(&body)?;
            allocations = function.into_allocations();
        }
        module.payload(wasm, &payload)?;
    }
    module.finish();
    Ok(module)
}
