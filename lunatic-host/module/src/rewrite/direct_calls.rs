//! Turns calls through a table of functions that never changes into direct calls, so that instances need no table.
//!
//! For every function in its table, each instance has a reference of 32 bytes, and 8 bytes for its place: most of what
//! a process of a Rust program, with its hundreds of closures and methods of trait objects, would hold in the host. But
//! such a table is always the same in all instances. So each `call_indirect` becomes a call of a *dispatcher*. There is
//! one for each type of function. It takes the index after the arguments, finds the function by comparisons, and calls
//! it with a tail call, which leaves no frame of the dispatcher.
//!
//! The meaning of the module stays the same, even the reason of a trap: a dispatcher that finds no function of its type
//! makes the call fail that would have failed, in a table with two places. Every instruction stays where it is: `call`
//! with the longest form of its operand takes no more bytes than `call_indirect` with its two operands, and the rest is
//! filled.
//!
//! Modules for which this is not possible keep their table: [`direct_calls`] then returns `None`.

use wasm_encoder::{BlockType, ConstExpr, ElementSection, Elements, Encode, Function, Instruction, RefType};
use wasm_encoder::{TableSection, TableType, ValType};
use wasmparser::{
    ElementItems, ElementKind, ExternalKind, FuncType, FunctionBody, Operator, Parser, Payload, TableInit, TypeRef,
};

use super::call::call;
use super::features;
use super::sections::{self, Growth, Section, SectionId};

/// Dispatchers grow with the table, so tables of this length or more are kept.
const TABLE_LEN_MAX: usize = 1 << 16;
/// With more ranges of empty places than this, distinguishing them from wrong types is not worthwhile.
const GAPS_MAX: usize = 32;
/// Up to this many functions are compared one by one.
const COMPARED_MAX: usize = 3;

/// The places of the remaining table: null, and a function of a type that nobody calls.
const NULL: i32 = 0;
const WRONG_TYPE: i32 = 1;
const OUT_OF_BOUNDS: i32 = -1;

/// Returns the module with direct calls; `None` if it has no calls through a table, or needs its table.
///
/// `wasm` must be valid.
pub fn direct_calls(wasm: &[u8]) -> Option<Vec<u8>> {
    let module = Read::module(wasm).ok()??;
    if module.sites.is_empty() || module.table.len() > TABLE_LEN_MAX {
        return None;
    }
    Writer::new(&module)?.write()
}

/// A `call_indirect` in the code section.
struct Site {
    /// Its offset from the start of the section's contents.
    at: usize,
    len: usize,
    ty: u32,
    tail: bool,
}

/// The parsed parts of a module.
#[derive(Default)]
struct Read<'a> {
    sections: Vec<Section<'a>>,
    types: Vec<FuncType>,
    /// The type of every function, imported ones first.
    functions: Vec<u32>,
    /// The contents of the table.
    table: Vec<Option<u32>>,
    tables: u32,
    sites: Vec<Site>,
}

impl<'a> Read<'a> {
    /// `None` if anything other than calls can access the table.
    fn module(wasm: &'a [u8]) -> wasmparser::Result<Option<Self>> {
        let mut parser = Parser::new(0);
        parser.set_features(features());
        let mut module = Self::default();
        let mut code_start = 0;
        for payload in parser.parse_all(wasm) {
            let payload = payload?;
            if let Some((id, range)) = payload.as_section() {
                module.sections.push(Section::new(id, wasm, range));
            }
            let fits = match &payload {
                Payload::TypeSection(types) => {
                    for group in types.clone() {
                        module.types.extend(group?.types().map(|ty| ty.unwrap_func().clone()));
                    }
                    true
                }
                Payload::ImportSection(imports) => module.imports(imports.clone())?,
                Payload::FunctionSection(functions) => {
                    for function in functions.clone() {
                        module.functions.push(function?);
                    }
                    true
                }
                Payload::TableSection(tables) => module.tables(tables.clone())?,
                Payload::ExportSection(exports) => {
                    let mut fits = true;
                    for export in exports.clone() {
                        fits &= export?.kind != ExternalKind::Table;
                    }
                    fits
                }
                Payload::ElementSection(segments) => module.elements(segments.clone())?,
                Payload::CodeSectionStart { range, .. } => {
                    code_start = range.start;
                    true
                }
                Payload::CodeSectionEntry(body) => module.body(body, code_start)?,
                _ => true,
            };
            if !fits {
                return Ok(None);
            }
        }
        Ok((module.tables == 1).then_some(module))
    }

    fn imports(&mut self, imports: wasmparser::ImportSectionReader<'a>) -> wasmparser::Result<bool> {
        for import in imports.into_imports() {
            match import?.ty {
                TypeRef::Func(ty) | TypeRef::FuncExact(ty) => self.functions.push(ty),
                TypeRef::Table(_) => return Ok(false),
                _ => {}
            }
        }
        Ok(true)
    }

    fn tables(&mut self, tables: wasmparser::TableSectionReader<'a>) -> wasmparser::Result<bool> {
        for table in tables {
            let table = table?;
            let len = usize::try_from(table.ty.initial).unwrap_or(usize::MAX);
            let is_plain = table.ty.element_type == wasmparser::RefType::FUNCREF
                && !table.ty.table64
                && matches!(table.init, TableInit::RefNull)
                && len <= TABLE_LEN_MAX;
            if !is_plain {
                return Ok(false);
            }
            self.table = vec![None; len];
            self.tables += 1;
        }
        Ok(self.tables == 1)
    }

    fn elements(&mut self, segments: wasmparser::ElementSectionReader<'a>) -> wasmparser::Result<bool> {
        for segment in segments {
            let segment = segment?;
            let (ElementKind::Active { offset_expr, .. }, ElementItems::Functions(functions)) =
                (segment.kind, segment.items)
            else {
                return Ok(false);
            };
            let mut offset = offset_expr.get_operators_reader();
            let (Operator::I32Const { value }, Operator::End) = (offset.read()?, offset.read()?) else {
                return Ok(false);
            };
            for (place, function) in (value as u32 as usize..).zip(functions) {
                match self.table.get_mut(place) {
                    Some(slot) => *slot = Some(function?),
                    None => return Ok(false),
                }
            }
            // Even an empty segment beyond the end traps.
            if value as u32 as usize > self.table.len() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn body(&mut self, body: &FunctionBody<'a>, code_start: usize) -> wasmparser::Result<bool> {
        let mut operators = body.get_operators_reader()?;
        while !operators.eof() {
            let (operator, at) = operators.read_with_offset()?;
            let (ty, tail) = match operator {
                Operator::CallIndirect { type_index, .. } => (type_index, false),
                Operator::ReturnCallIndirect { type_index, .. } => (type_index, true),
                Operator::TableGet { .. }
                | Operator::TableSet { .. }
                | Operator::TableGrow { .. }
                | Operator::TableSize { .. }
                | Operator::TableFill { .. }
                | Operator::TableCopy { .. }
                | Operator::TableInit { .. }
                | Operator::ElemDrop { .. }
                | Operator::RefFunc { .. } => return Ok(false),
                _ => continue,
            };
            let len = operators.original_position() - at;
            let at = at - code_start;
            self.sites.push(Site { at, len, ty, tail });
        }
        Ok(true)
    }
}

/// Assembles the new module.
struct Writer<'m, 'a> {
    module: &'m Read<'a>,
    types: Growth,
    functions: Growth,
    code: Growth,
    type_count: u32,
    function_count: u32,
    /// The function that determines why an index is wrong.
    why: u32,
    /// The function in the place [`WRONG_TYPE`].
    odd: u32,
}

impl<'m, 'a> Writer<'m, 'a> {
    fn new(module: &'m Read<'a>) -> Option<Self> {
        let mut writer = Self {
            module,
            types: Growth::of(SectionId::TYPE),
            functions: Growth::of(SectionId::FUNCTION),
            code: Growth::of(SectionId::CODE),
            type_count: module.types.len() as u32,
            function_count: module.functions.len() as u32,
            why: 0,
            odd: 0,
        };
        let odd = odd_type(&module.types)?;
        let mut unreachable = Function::new([]);
        unreachable.instruction(&Instruction::Unreachable);
        unreachable.instruction(&Instruction::End);
        writer.odd = writer.function(&odd, &[], &unreachable);
        let why = why_body(&module.table)?;
        writer.why = writer.function(&[ValType::I32], &[ValType::I32], &why);
        Some(writer)
    }

    fn write(mut self) -> Option<Vec<u8>> {
        let code = self.redirected_code()?;
        let (table, elements) = (self.table(), self.elements());
        let mut sections: Vec<Section<'_>> = self.module.sections.clone();
        for section in &mut sections {
            match section.id {
                SectionId::TABLE => section.content = &table,
                SectionId::ELEMENT => section.content = &elements,
                SectionId::CODE => section.content = &code,
                _ => {}
            }
        }
        // A table without functions need not have had segments; calls through it can then only trap.
        sections
            .iter()
            .any(|section| section.id == SectionId::ELEMENT)
            .then_some(())?;
        Some(sections::write(&sections, [self.types, self.functions, self.code]))
    }

    /// Returns the contents of the code section, in which every call through the table is a call of a dispatcher.
    /// Appends the dispatchers.
    fn redirected_code(&mut self) -> Option<Vec<u8>> {
        let module = self.module;
        let code = module.sections.iter().find(|section| section.id == SectionId::CODE)?;
        let mut code = code.content.to_vec();
        // By type, not by its index: types with different indexes can be identical, and calls of one find functions of
        // the other.
        let mut dispatchers: Vec<(&FuncType, u32)> = Vec::new();
        for site in &module.sites {
            let ty = module.types.get(site.ty as usize)?;
            let known = dispatchers.iter().find(|(known, _)| *known == ty);
            let dispatcher = match known {
                Some((_, dispatcher)) => *dispatcher,
                None => {
                    let dispatcher = self.dispatcher(site.ty, ty)?;
                    dispatchers.push((ty, dispatcher));
                    dispatcher
                }
            };
            replace(code.get_mut(site.at..site.at + site.len)?, site.tail, dispatcher)?;
        }
        Some(code)
    }

    /// The contents of the new table section.
    fn table(&self) -> Vec<u8> {
        let mut section = TableSection::new();
        section.table(TableType {
            element_type: RefType::FUNCREF,
            table64: false,
            minimum: 2,
            maximum: Some(2),
            shared: false,
        });
        content(&section)
    }

    /// The contents of the new element section.
    fn elements(&self) -> Vec<u8> {
        let mut section = ElementSection::new();
        let functions = [self.odd];
        section.active(
            None,
            &ConstExpr::i32_const(WRONG_TYPE),
            Elements::Functions((&functions[..]).into()),
        );
        content(&section)
    }

    /// Appends a function and returns its index.
    fn function(&mut self, params: &[ValType], results: &[ValType], body: &Function) -> u32 {
        let ty = self.type_count;
        self.types.add(|out| {
            out.push(0x60);
            params.encode(out);
            results.encode(out);
        });
        self.functions.add(|out| ty.encode(out));
        self.code.add(|out| body.encode(out));
        (self.type_count, self.function_count) = (self.type_count + 1, self.function_count + 1);
        self.function_count - 1
    }

    /// Appends the dispatcher for functions of one type.
    fn dispatcher(&mut self, index: u32, ty: &FuncType) -> Option<u32> {
        let module = self.module;
        let functions = (0_u32..).zip(&module.table).filter_map(|(place, function)| {
            let function = (*function)?;
            let theirs = module.types.get(*module.functions.get(function as usize)? as usize)?;
            (theirs == ty).then_some((place, function))
        });
        let functions: Vec<_> = functions.collect();
        // Its parameters are those of the function, followed by the index.
        let value_types =
            |types: &[wasmparser::ValType]| types.iter().map(|ty| value_type(*ty)).collect::<Option<Vec<_>>>();
        let (mut params, results) = (value_types(ty.params())?, value_types(ty.results())?);
        let mut body = Dispatcher {
            body: Function::new([]),
            place: params.len() as u32,
        };
        body.find(&functions);
        // If no function was found, the call goes through the small table, to a place where it fails for the right
        // reason.
        body.arguments();
        body.emit(Instruction::LocalGet(body.place));
        body.emit(Instruction::Call(self.why));
        body.emit(Instruction::CallIndirect {
            type_index: index,
            table_index: 0,
        });
        body.emit(Instruction::End);
        params.push(ValType::I32);
        Some(self.function(&params, &results, &body.body))
    }
}

/// The body of a dispatcher.
struct Dispatcher {
    body: Function,
    /// The local that holds the index; the arguments precede it.
    place: u32,
}

impl Dispatcher {
    fn emit(&mut self, instruction: Instruction<'_>) {
        self.body.instruction(&instruction);
    }

    fn arguments(&mut self) {
        (0..self.place).for_each(|argument| self.emit(Instruction::LocalGet(argument)));
    }

    /// Calls the function of `functions`, which are ordered by index, with the given index; continues if there is none.
    fn find(&mut self, functions: &[(u32, u32)]) {
        let (Some((first, _)), Some((last, _))) = (functions.first(), functions.last()) else {
            return;
        };
        let span = (last - first) as usize + 1;
        if functions.len() <= COMPARED_MAX {
            functions
                .iter()
                .for_each(|(place, function)| self.compare(*place, *function));
        } else if span <= 4 * functions.len() {
            self.look_up(*first, span, functions);
        } else {
            let (low, high) = functions.split_at(functions.len() / 2);
            self.emit(Instruction::LocalGet(self.place));
            self.emit(Instruction::I32Const(high[0].0 as i32));
            self.emit(Instruction::I32LtU);
            self.emit(Instruction::If(BlockType::Empty));
            self.find(low);
            self.emit(Instruction::Else);
            self.find(high);
            self.emit(Instruction::End);
        }
    }

    fn compare(&mut self, place: u32, function: u32) {
        self.emit(Instruction::LocalGet(self.place));
        self.emit(Instruction::I32Const(place as i32));
        self.emit(Instruction::I32Eq);
        self.emit(Instruction::If(BlockType::Empty));
        self.arguments();
        self.emit(Instruction::ReturnCall(function));
        self.emit(Instruction::End);
    }

    /// A jump table from the index `first` on.
    fn look_up(&mut self, first: u32, span: usize, functions: &[(u32, u32)]) {
        let mut targets: Vec<u32> = functions.iter().map(|(_, function)| *function).collect();
        targets.sort_unstable();
        targets.dedup();
        let none = targets.len() as u32;
        let mut labels = vec![none; span];
        for (place, function) in functions {
            let target = targets.binary_search(function).expect("all functions are targets");
            labels[(place - first) as usize] = target as u32;
        }
        (0..=targets.len()).for_each(|_| self.emit(Instruction::Block(BlockType::Empty)));
        self.emit(Instruction::LocalGet(self.place));
        self.emit(Instruction::I32Const(first as i32));
        self.emit(Instruction::I32Sub);
        self.emit(Instruction::BrTable(labels.into(), none));
        for function in targets {
            self.emit(Instruction::End);
            self.arguments();
            self.emit(Instruction::ReturnCall(function));
        }
        self.emit(Instruction::End);
    }
}

/// `(index) -> place`: the place of the small table where a call fails for the same reason as a call through the large
/// table, if no function of the type was found there. `None` if the table has too many gaps.
fn why_body(table: &[Option<u32>]) -> Option<Function> {
    let mut body = Function::new([]);
    let mut answer_if = |test: &[Instruction<'_>], answer: i32| {
        for instruction in test {
            body.instruction(instruction);
        }
        body.instruction(&Instruction::If(BlockType::Empty));
        body.instruction(&Instruction::I32Const(answer));
        body.instruction(&Instruction::Return);
        body.instruction(&Instruction::End);
    };
    let index = Instruction::LocalGet(0);
    answer_if(
        &[
            index.clone(),
            Instruction::I32Const(table.len() as i32),
            Instruction::I32GeU,
        ],
        OUT_OF_BOUNDS,
    );
    let mut gaps = 0;
    let mut start = 0;
    for part in table.chunk_by(|one, other| one.is_some() == other.is_some()) {
        if part[0].is_none() {
            // index - start < len, unsigned
            let test = [
                index.clone(),
                Instruction::I32Const(start as i32),
                Instruction::I32Sub,
                Instruction::I32Const(part.len() as i32),
                Instruction::I32LtU,
            ];
            answer_if(&test, NULL);
            gaps += 1;
        }
        start += part.len();
    }
    body.instruction(&Instruction::I32Const(WRONG_TYPE));
    body.instruction(&Instruction::End);
    (gaps <= GAPS_MAX).then_some(body)
}

/// The parameters of a type, without results, that the module does not have.
fn odd_type(types: &[FuncType]) -> Option<Vec<ValType>> {
    let is_taken = |len: usize| {
        let same = |ty: &FuncType| {
            ty.results().is_empty()
                && ty.params().len() == len
                && ty.params().iter().all(|ty| *ty == wasmparser::ValType::I64)
        };
        types.iter().any(same)
    };
    (7..100).find(|len| !is_taken(*len)).map(|len| vec![ValType::I64; len])
}

fn value_type(ty: wasmparser::ValType) -> Option<ValType> {
    use wasmparser::ValType as Theirs;
    Some(match ty {
        Theirs::I32 => ValType::I32,
        Theirs::I64 => ValType::I64,
        Theirs::F32 => ValType::F32,
        Theirs::F64 => ValType::F64,
        Theirs::V128 => ValType::V128,
        Theirs::Ref(ty) if ty == wasmparser::RefType::FUNCREF => ValType::FUNCREF,
        Theirs::Ref(_) => return None,
    })
}

/// Overwrites an instruction with a call of `function`; `None` if the instruction is too short.
fn replace(instruction: &mut [u8], tail: bool, function: u32) -> Option<()> {
    let call = call(function, tail, instruction.len());
    (call.len() == instruction.len()).then(|| instruction.copy_from_slice(&call))
}

/// The contents of an encoded section, without its length.
fn content(section: &impl Encode) -> Vec<u8> {
    let mut bytes = Vec::new();
    section.encode(&mut bytes);
    // The length before it takes one byte: these sections are shorter than 128 bytes.
    bytes.split_off(1)
}

#[cfg(test)]
mod tests;
