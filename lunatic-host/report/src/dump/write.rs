//! Writes a dump, in one pass and without a copy of the memory.

use std::io::{self, Write};
use std::ops::Range;

use wasm_encoder::{
    ConstExpr, CoreDumpInstancesSection, CoreDumpModulesSection, CoreDumpSection, CoreDumpStackSection, CoreDumpValue,
    CustomSection, Encode as _, GlobalSection, GlobalType, MemorySection, MemoryType, Module, ValType,
};

use super::{About, CodePlace, Memory, SECTION, Value};

/// A section has at most as many bytes as 32 bits can count; what surrounds the data of a memory fits into the rest.
const DATA_MAX: u64 = u32::MAX as u64 - (1 << 20);

/// A page of WebAssembly, in bytes.
const WASM_PAGE: u64 = 64 << 10;

/// The number of the data section.
const DATA_SECTION: u8 = 11;

/// The contents of a dump, in addition to its [`About`].
#[derive(Default)]
pub struct Written<'a> {
    /// The name of the module.
    pub module: &'a str,
    /// The functions that were active, the innermost first.
    pub frames: &'a [CodePlace],
    /// The mutable globals.
    pub globals: &'a [Value],
    /// The memory, if it should be written.
    pub memory: Option<Memory<'a>>,
}

/// Writes a dump, with as much of the memory as fits into `room` bytes. Records in `about` what was written of the
/// memory.
///
/// # Errors
///
/// Those of `out`.
pub fn write(core: &Written<'_>, about: &mut About, room: u64, out: &mut impl Write) -> io::Result<()> {
    let pieces = match &core.memory {
        Some(memory) => {
            let (pieces, missing) = memory.pieces(room.min(DATA_MAX));
            about.memory_missing = missing;
            pieces
        }
        None => Vec::new(),
    };
    out.write_all(&head(core, about)?)?;
    match &core.memory {
        Some(memory) => write_data(memory.bytes, &pieces, out),
        None => Ok(()),
    }
}

/// Everything except the data of the memory. Short parts come first.
fn head(core: &Written<'_>, about: &About) -> io::Result<Vec<u8>> {
    let mut module = Module::new();
    let json = serde_json::to_vec(about)?;
    module
        .section(&CoreDumpSection::new(core.module))
        .section(&CustomSection {
            name: SECTION.into(),
            data: json.as_slice().into(),
        })
        .section(&stack(core.frames, &about.process))
        .section(CoreDumpModulesSection::new().module(core.module));
    let memories = 0..u32::from(about.memory_bytes > 0);
    module.section(CoreDumpInstancesSection::new().instance(0, memories, 0..core.globals.len() as u32));
    if about.memory_bytes > 0 {
        let mut memories = MemorySection::new();
        memories.memory(MemoryType {
            minimum: about.memory_bytes / WASM_PAGE,
            maximum: None,
            memory64: false,
            shared: false,
            page_size_log2: None,
        });
        module.section(&memories);
    }
    if !core.globals.is_empty() {
        module.section(&globals(core.globals));
    }
    Ok(module.finish())
}

fn stack(frames: &[CodePlace], thread: &str) -> CoreDumpStackSection {
    let mut stack = CoreDumpStackSection::new(thread);
    for frame in frames {
        let (locals, operands): ([CoreDumpValue; 0], [CoreDumpValue; 0]) = ([], []);
        stack.frame(0, frame.function, frame.offset, locals, operands);
    }
    stack
}

fn globals(values: &[Value]) -> GlobalSection {
    let mut section = GlobalSection::new();
    for value in values {
        let (val_type, init) = match *value {
            Value::I32(value) => (ValType::I32, ConstExpr::i32_const(value)),
            Value::I64(value) => (ValType::I64, ConstExpr::i64_const(value)),
            Value::F32(bits) => (ValType::F32, ConstExpr::f32_const(f32::from_bits(bits).into())),
            Value::F64(bits) => (ValType::F64, ConstExpr::f64_const(f64::from_bits(bits).into())),
        };
        let ty = GlobalType {
            val_type,
            mutable: true,
            shared: false,
        };
        section.global(ty, &init);
    }
    section
}

/// Writes the data section, with a segment for each piece. The encoder would need all of it in memory.
fn write_data(bytes: &[u8], pieces: &[Range<usize>], out: &mut impl Write) -> io::Result<()> {
    let heads: Vec<Vec<u8>> = pieces.iter().map(segment_head).collect();
    let mut count = Vec::new();
    pieces.len().encode(&mut count);
    let len: usize = heads.iter().map(Vec::len).sum::<usize>() + pieces.iter().map(Range::len).sum::<usize>();
    let mut section = vec![DATA_SECTION];
    (len + count.len()).encode(&mut section);
    out.write_all(&section)?;
    out.write_all(&count)?;
    for (head, piece) in heads.iter().zip(pieces) {
        out.write_all(head)?;
        out.write_all(&bytes[piece.clone()])?;
    }
    Ok(())
}

/// The head of an active segment of the first memory, before its bytes.
fn segment_head(piece: &Range<usize>) -> Vec<u8> {
    let mut head = Vec::new();
    0_u32.encode(&mut head);
    ConstExpr::i32_const(piece.start as u32 as i32).encode(&mut head);
    piece.len().encode(&mut head);
    head
}
