//! Makes a module startable, its instances reusable and its instructions short, without changing its meaning.
//!
//! These parts are added:
//!
//! - Every mutable global is exported, so that the host can restore it when an instance is reused.
//! - If the module imports `lunatic::process` `next` and has a table of functions: the exported loop [`RUN_EXPORT`],
//!   which fetches entries from the host and calls them, and the global [`GATE_EXPORT`], from which the host knows that
//!   this loop is calling.
//! - If something must run in a fresh instance before an export other than `_start`: the exported function
//!   [`STARTUP_EXPORT`], which runs it.
//! - If an instruction can process many bytes: a function that does the same in pieces and is called instead, so that
//!   the engine can interrupt it (`bulk`).
//!
//! Nothing else changes. Types, functions, globals and exports are appended, so no index moves. All other bytes of
//! bodies and sections are copied, and a call takes as much room as what it replaces. So debug information, whose
//! offsets count from the start of the code section, stays right.

mod bulk;
mod call;
pub mod component;
mod direct_calls;
mod error;
mod inspect;
mod look;
mod sections;
mod startup;

use wasm_encoder::{BlockType, ConstExpr, Encode, ExportKind, Function, GlobalType, Instruction, ValType};
use wasmparser::WasmFeatures;

use self::bulk::{Bulk, PIECE};
use self::inspect::Inspected;
use self::sections::{Growth, Section, SectionId};
use super::facts::{
    Facts, GATE_EXPORT, Memory, NotRecyclable, RESERVED_PREFIX, RUN_EXPORT, STARTUP_EXPORT, global_export,
};

pub use self::direct_calls::direct_calls;
pub use self::error::RewriteError;

/// Changes whenever the same module would be rewritten differently, or other facts would be found; so it is part of the
/// key of everything that is stored about a rewritten module.
pub const VERSION: u32 = 10;

/// The largest module in bytes: 1 GiB, which the WebAssembly implementations of browsers have agreed on.
pub const MODULE_SIZE_MAX: usize = 1 << 30;

/// The most types, functions and globals (including imported ones), and exports.
const ITEMS_MAX: u32 = 1_000_000;

/// The most pages of 4 KiB with data in a recyclable module: 16 MiB. The host keeps a copy of each such page as long as the module,
/// and compares it with that of a used instance in one step.
const DATA_PAGES_MAX: u64 = 4096;

/// A rewritten module and the facts about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewritten {
    /// The module to compile, valid with [`features`].
    pub wasm: Vec<u8>,
    /// What the host must know about it.
    pub facts: Facts,
}

/// Returns the WebAssembly features that guests may use: WebAssembly 2.0, plus extended constants, tail calls, relaxed
/// SIMD, exceptions and typed function references.
///
/// Not included are threads (a process shares no memory), memories of 64 bits and multiple memories (host functions
/// take offsets into a single memory of 32 bits, and long instructions are made interruptible only there), and the
/// structs and arrays of garbage collection (nothing limits how long the engine searches for those in use).
pub const fn features() -> WasmFeatures {
    WasmFeatures::WASM2
        .union(WasmFeatures::EXTENDED_CONST)
        .union(WasmFeatures::TAIL_CALL)
        .union(WasmFeatures::RELAXED_SIMD)
        .union(WasmFeatures::EXCEPTIONS)
        .union(WasmFeatures::FUNCTION_REFERENCES)
}

/// Validates a module, rewrites it and determines its [`Facts`].
///
/// # Errors
///
/// A [`RewriteError`] says in a sentence what is wrong with the module. Nothing in `wasm` can cause a panic.
pub fn rewrite(wasm: &[u8]) -> Result<Rewritten, RewriteError> {
    error::check_header(wasm)?;
    let module = inspect::inspect(wasm).map_err(|error| error::diagnose(wasm, error))?;
    if let Some(error) = module.too_complex {
        return Err(error);
    }
    refuse_reserved_names(&module)?;

    let mut additions = Additions::new(&module);
    // The host reads and sets the globals through these exports.
    for (index, _) in module.mutable_globals.iter().filter(|(_, numeric)| *numeric) {
        additions.export_global(*index);
    }
    // The loop and exports share one function that initialises a fresh instance. It is exported only if the module's
    // own exports do not do the same themselves.
    let startup = startup::find(&module);
    let exports_need_startup = !startup.exports_wrapped;
    let startup = (!startup.functions.is_empty()).then(|| additions.function(&startup_body(&startup.functions)));
    let exported_startup = startup.filter(|_| exports_need_startup);
    if let Some(function) = exported_startup {
        additions.export(STARTUP_EXPORT, ExportKind::Func, function);
    }
    // Entries are places in a table, so without a table there is nothing that the loop could call.
    let run = match module.next {
        Some(next) if module.function_table => {
            let void = additions.void_type();
            let gate = additions.gate();
            let run = additions.function(&run_body(next, gate, startup, void));
            additions.export(RUN_EXPORT, ExportKind::Func, run);
            Some(run)
        }
        _ => None,
    };
    let code = short_instructions(&module, &mut additions);
    additions.check()?;

    let facts = Facts {
        instance_size: module.instance_size(),
        data_pages: module.data_pages,
        globals: additions.globals,
        run,
        startup: exported_startup,
        recyclable: recyclable(&module),
        imports: module.imports,
        memory: module.memory,
        start: module.start.is_some(),
        tests: module.tests,
        debug_info: module.debug_info,
        component: false,
        modules: Vec::new(),
    };
    let growths = [
        additions.types,
        additions.functions,
        additions.gate,
        additions.exports,
        additions.code,
    ];
    let mut sections: Vec<Section<'_>> = module.sections;
    if let Some(code) = &code {
        replace_code(&mut sections, code);
    }
    Ok(Rewritten {
        wasm: sections::write(&sections, growths),
        facts,
    })
}

/// A core module of a component, with short instructions.
struct Part {
    wasm: Vec<u8>,
    /// The memory that it defines or imports, if there is one.
    memory: Option<Memory>,
    /// Whether its memory is its own.
    defines_memory: bool,
    /// The approximate size of an instance in bytes, without its memory and the elements of its tables.
    instance_size: usize,
    /// The bytes of all active data segments, which may overlap.
    active_data: u64,
    debug_info: bool,
}

/// Validates a core module of a component, and makes its instructions short. Nothing is added that a process would need
/// to begin in it.
fn part(wasm: &[u8]) -> Result<Part, RewriteError> {
    error::check_header(wasm)?;
    let module = inspect::inspect(wasm).map_err(|error| error::diagnose(wasm, error))?;
    if let Some(error) = module.too_complex {
        return Err(error);
    }
    let mut additions = Additions::new(&module);
    let code = short_instructions(&module, &mut additions);
    additions.check()?;
    let (memory, instance_size, debug_info) = (module.memory, module.instance_size(), module.debug_info);
    let active_data = module.active_data;
    let defines_memory = module.memories > module.imported_memories;
    let mut sections: Vec<Section<'_>> = module.sections;
    let wasm = match &code {
        Some(code) => {
            replace_code(&mut sections, code);
            sections::write(&sections, [additions.types, additions.functions, additions.code])
        }
        None => wasm.to_owned(),
    };
    Ok(Part {
        wasm,
        memory,
        defines_memory,
        instance_size,
        active_data,
        debug_info,
    })
}

/// Replaces the contents of the code section, which has been read.
fn replace_code<'a>(sections: &mut [Section<'a>], code: &'a [u8]) {
    let section = sections.iter_mut().find(|section| section.id == SectionId::CODE);
    section.expect("its code has been read").content = code;
}

/// Returns the contents of the code section, in which every instruction that can take long is replaced by a call to an
/// interruptible function. Appends these functions. `None` if there is no such instruction.
fn short_instructions(module: &Inspected<'_>, additions: &mut Additions) -> Option<Vec<u8>> {
    let sites = &module.code.bulk.sites;
    let code = module.sections.iter().find(|section| section.id == SectionId::CODE)?;
    let mut functions: Vec<(Bulk, u32)> = Vec::new();
    let mut type_index = module.type_of_numbers(Bulk::PARAMS);
    for site in sites {
        let segment_len = match site.bulk {
            Bulk::Init(segment) => module.segments.get(segment as usize).copied(),
            Bulk::Fill | Bulk::Copy => None,
        };
        // No more than a whole segment can be copied out of it.
        let is_short = segment_len.is_some_and(|len| len <= PIECE);
        if !is_short && functions.iter().all(|(bulk, _)| *bulk != site.bulk) {
            let ty = *type_index.get_or_insert_with(|| additions.numbers_type(Bulk::PARAMS));
            let function = additions.function_of(ty, &site.bulk.body(segment_len.unwrap_or(0)));
            functions.push((site.bulk, function));
        }
    }
    if functions.is_empty() {
        return None;
    }
    let function = |wanted: Bulk| {
        functions
            .iter()
            .find(|(bulk, _)| *bulk == wanted)
            .map(|(_, index)| *index)
    };
    Some(bulk::redirect(
        code.content,
        module.code_start,
        &module.bodies,
        sites,
        function,
    ))
}

/// Refuses a module that exports a name that only the host may add.
fn refuse_reserved_names(module: &Inspected<'_>) -> Result<(), RewriteError> {
    let mut names = module.exports.iter().map(|export| export.name);
    match names.find(|name| name.starts_with(RESERVED_PREFIX)) {
        Some(name) => Err(RewriteError::ReservedExport { name: name.to_owned() }),
        None => Ok(()),
    }
}

/// Whether code of this module can change only memory and globals.
fn recyclable(module: &Inspected<'_>) -> Result<(), NotRecyclable> {
    if module.imports_state {
        return Err(NotRecyclable::ImportedState);
    }
    if module.memories != 1 {
        return Err(NotRecyclable::Memories { count: module.memories });
    }
    if module.start_section {
        return Err(NotRecyclable::StartFunction);
    }
    if let Some((index, _)) = module.mutable_globals.iter().find(|(_, numeric)| !numeric) {
        return Err(NotRecyclable::ReferenceGlobal { index: *index });
    }
    if let Some(function) = module.code.changes_table {
        return Err(NotRecyclable::ChangesTable { function });
    }
    if let Some(function) = module.code.throws {
        return Err(NotRecyclable::Exceptions { function });
    }
    // Not `elem.drop`: only `table.init` can detect a dropped element segment, and it has been refused above.
    if module.code.drops_data && module.code.reads_data {
        return Err(NotRecyclable::DropsData);
    }
    if module.data_pages > DATA_PAGES_MAX {
        return Err(NotRecyclable::MuchData {
            pages: module.data_pages,
        });
    }
    Ok(())
}

/// The parts that are appended to a module.
struct Additions {
    types: Growth,
    functions: Growth,
    gate: Growth,
    exports: Growth,
    code: Growth,
    /// The names of the exported globals.
    globals: Vec<String>,
    void_type: Option<u32>,
    /// The number of types, functions, globals and exports, including added ones.
    type_count: u32,
    function_count: u32,
    global_count: u32,
    export_count: u32,
}

impl Additions {
    fn new(module: &Inspected<'_>) -> Self {
        Self {
            types: Growth::of(SectionId::TYPE),
            functions: Growth::of(SectionId::FUNCTION),
            gate: Growth::of(SectionId::GLOBAL),
            exports: Growth::of(SectionId::EXPORT),
            code: Growth::of(SectionId::CODE),
            globals: Vec::new(),
            void_type: module.void_type(),
            // The validator has checked that these do not exceed `ITEMS_MAX`.
            type_count: module.signatures.len() as u32,
            function_count: module.function_types.len() as u32,
            global_count: module.globals,
            export_count: module.exports.len() as u32,
        }
    }

    fn export(&mut self, name: &str, kind: ExportKind, index: u32) {
        self.exports.add(|out| {
            name.encode(out);
            kind.encode(out);
            index.encode(out);
        });
        self.export_count += 1;
    }

    fn export_global(&mut self, index: u32) {
        let name = global_export(index);
        self.export(&name, ExportKind::Global, index);
        self.globals.push(name);
    }

    /// Appends the global that distinguishes the loop's own calls of `next` from a guest's, and returns its index.
    fn gate(&mut self) -> u32 {
        let index = self.global_count;
        self.gate.add(|out| {
            let ty = GlobalType {
                val_type: ValType::I32,
                mutable: true,
                shared: false,
            };
            ty.encode(out);
            ConstExpr::i32_const(0).encode(out);
        });
        self.global_count += 1;
        self.export(GATE_EXPORT, ExportKind::Global, index);
        index
    }

    /// Returns the index of the type `() -> ()`, which is added if the module does not have it.
    fn void_type(&mut self) -> u32 {
        if let Some(index) = self.void_type {
            return index;
        }
        let index = self.type_count;
        // The form of a function type, no parameters, no results.
        self.types.add(|out| out.extend([0x60, 0, 0]));
        self.type_count += 1;
        self.void_type = Some(index);
        index
    }

    /// Appends the type of functions with this many `i32` parameters and no results, and returns its index.
    fn numbers_type(&mut self, count: usize) -> u32 {
        self.types.add(|out| {
            out.push(0x60);
            vec![ValType::I32; count].encode(out);
            out.push(0);
        });
        self.type_count += 1;
        self.type_count - 1
    }

    /// Appends a function of type `() -> ()`, and returns its index.
    fn function(&mut self, body: &Function) -> u32 {
        let void = self.void_type();
        self.function_of(void, body)
    }

    /// Appends a function of a type, and returns its index.
    fn function_of(&mut self, ty: u32, body: &Function) -> u32 {
        self.functions.add(|out| ty.encode(out));
        self.code.add(|out| body.encode(out));
        self.function_count += 1;
        self.function_count - 1
    }

    /// Checks that the module is still within the limits that implementations share.
    fn check(&self) -> Result<(), RewriteError> {
        let counts = [
            ("types", self.type_count),
            ("functions", self.function_count),
            ("globals", self.global_count),
            ("exports", self.export_count),
        ];
        match counts.into_iter().find(|(_, count)| *count > ITEMS_MAX) {
            Some((what, _)) => Err(RewriteError::TooMany { what, max: ITEMS_MAX }),
            None => Ok(()),
        }
    }
}

/// `lunatic:startup`: calls each of `functions`.
fn startup_body(functions: &[u32]) -> Function {
    let mut body = Function::new([]);
    for function in functions {
        body.instruction(&Instruction::Call(*function));
    }
    body.instruction(&Instruction::End);
    body
}

/// `lunatic:run`: requests entries from the host and calls them, until there is none (-1).
fn run_body(next: u32, gate: u32, startup: Option<u32>, void_type: u32) -> Function {
    const ENTRY: u32 = 0;
    const DONE: u32 = 1;
    const AGAIN: u32 = 0;

    let mut body = Function::new([(1, ValType::I32)]);
    body.instruction(&Instruction::Block(BlockType::Empty));
    body.instruction(&Instruction::Loop(BlockType::Empty));
    body.instruction(&Instruction::I32Const(1));
    body.instruction(&Instruction::GlobalSet(gate));
    body.instruction(&Instruction::Call(next));
    body.instruction(&Instruction::LocalSet(ENTRY));
    body.instruction(&Instruction::I32Const(0));
    body.instruction(&Instruction::GlobalSet(gate));
    body.instruction(&Instruction::LocalGet(ENTRY));
    body.instruction(&Instruction::I32Const(-1));
    body.instruction(&Instruction::I32Eq);
    body.instruction(&Instruction::BrIf(DONE));
    if let Some(startup) = startup {
        body.instruction(&Instruction::Call(startup));
    }
    body.instruction(&Instruction::LocalGet(ENTRY));
    body.instruction(&Instruction::CallIndirect {
        type_index: void_type,
        table_index: 0,
    });
    body.instruction(&Instruction::Br(AGAIN));
    body.instruction(&Instruction::End);
    body.instruction(&Instruction::End);
    body.instruction(&Instruction::End);
    body
}

#[cfg(test)]
mod tests;
