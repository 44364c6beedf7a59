//! Reads a dump without trusting it: limits the memory that its short sections take, and never panics.

use std::fmt;
use std::ops::Range;

use serde::Serialize;
use wasmparser::{
    BinaryReaderError, CoreDumpSection, CoreDumpStackSection, CustomSectionReader, DataKind, DataSectionReader,
    GlobalSectionReader, KnownCustom, MemorySectionReader, Operator, Parser, Payload,
};

use super::{About, CodePlace, SECTION, Value};

/// The longest section that is read as a whole, in bytes.
const SECTION_LEN_MAX: usize = 4 << 20;
/// The longest list of functions in bytes: a parsed frame takes ten times as much.
const STACK_LEN_MAX: usize = 1 << 20;
/// The most pieces of memory.
const PIECES_MAX: u32 = 100_000;
/// The most globals.
const GLOBALS_MAX: u32 = 10_000;

/// A parsed dump.
#[derive(Debug, Clone, Default)]
pub struct Core<'a> {
    /// What the host says about the process. Empty if another program has written the dump.
    pub about: About,
    /// The name of the program or module.
    pub program: &'a str,
    /// The functions that were active, the innermost first.
    pub frames: Vec<CodePlace>,
    /// The globals.
    pub globals: Vec<Value>,
    /// The size of the memory in bytes.
    pub memory_len: u64,
    /// Pieces of the memory, each with its address.
    pieces: Vec<(u64, &'a [u8])>,
}

/// Why a file cannot be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadError {
    /// It is not a WebAssembly module, or it is damaged.
    NoModule(String),
    /// It is a module, but not a dump.
    NoDump,
    /// A part of it is longer than in any dump.
    TooLong(&'static str),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoModule(why) => write!(f, "it is not a core dump, or broken: {why}"),
            Self::NoDump => write!(f, "it is a WebAssembly module, but not a core dump"),
            Self::TooLong(part) => write!(f, "it is not a core dump of Lunatic: {part} are too long"),
        }
    }
}

impl std::error::Error for ReadError {}

impl From<BinaryReaderError> for ReadError {
    fn from(error: BinaryReaderError) -> Self {
        Self::NoModule(error.to_string())
    }
}

impl<'a> Core<'a> {
    /// Reads a dump.
    ///
    /// # Errors
    ///
    /// If the file is not a dump, or is damaged.
    pub fn read(bytes: &'a [u8]) -> Result<Self, ReadError> {
        let (mut core, mut is_dump) = (Self::default(), false);
        for payload in Parser::new(0).parse_all(bytes) {
            match payload? {
                Payload::CustomSection(section) => is_dump |= core.read_custom(&section)?,
                Payload::MemorySection(section) => core.read_memory(section)?,
                Payload::GlobalSection(section) => core.read_globals(section)?,
                Payload::DataSection(section) => core.read_data(section)?,
                _ => {}
            }
        }
        if is_dump { Ok(core) } else { Err(ReadError::NoDump) }
    }

    /// Reads a custom section; returns whether it is one that only dumps have.
    fn read_custom(&mut self, section: &CustomSectionReader<'a>) -> Result<bool, ReadError> {
        let data = section.data();
        if section.name() == SECTION {
            if data.len() > SECTION_LEN_MAX {
                return Err(ReadError::TooLong("its notes"));
            }
            let about = serde_json::from_slice(data);
            self.about = about.map_err(|error| ReadError::NoModule(error.to_string()))?;
            return Ok(false);
        }
        if section.name() == "corestack" && data.len() > STACK_LEN_MAX {
            return Err(ReadError::TooLong("its frames"));
        }
        match section.name() {
            "core" | "corestack" => {}
            _ => return Ok(false),
        }
        match section.as_known() {
            KnownCustom::CoreDump(CoreDumpSection { name }) => {
                self.program = name;
                Ok(true)
            }
            KnownCustom::CoreDumpStack(CoreDumpStackSection { frames, .. }) => {
                let frames = frames.iter().map(|frame| CodePlace {
                    function: frame.funcidx,
                    offset: frame.codeoffset,
                });
                self.frames.extend(frames);
                Ok(true)
            }
            _ => Err(ReadError::NoModule(format!(
                "its section `{}` is broken",
                section.name()
            ))),
        }
    }

    fn read_memory(&mut self, section: MemorySectionReader<'a>) -> Result<(), ReadError> {
        if let Some(memory) = section.into_iter().next() {
            self.memory_len = memory?.initial.saturating_mul(64 << 10);
        }
        Ok(())
    }

    fn read_globals(&mut self, section: GlobalSectionReader<'a>) -> Result<(), ReadError> {
        if section.count() > GLOBALS_MAX {
            return Err(ReadError::TooLong("its globals"));
        }
        for global in section {
            let value = match global?.init_expr.get_operators_reader().read()? {
                Operator::I32Const { value } => Value::I32(value),
                Operator::I64Const { value } => Value::I64(value),
                Operator::F32Const { value } => Value::F32(value.bits()),
                Operator::F64Const { value } => Value::F64(value.bits()),
                _ => continue,
            };
            self.globals.push(value);
        }
        Ok(())
    }

    fn read_data(&mut self, section: DataSectionReader<'a>) -> Result<(), ReadError> {
        if section.count() > PIECES_MAX {
            return Err(ReadError::TooLong("its pieces of memory"));
        }
        for data in section {
            let data = data?;
            let DataKind::Active {
                memory_index: 0,
                offset_expr,
            } = data.kind
            else {
                continue;
            };
            let start = match offset_expr.get_operators_reader().read()? {
                Operator::I32Const { value } => u64::from(value.cast_unsigned()),
                Operator::I64Const { value } => value.cast_unsigned(),
                _ => continue,
            };
            self.pieces.push((start, data.data));
        }
        Ok(())
    }

    /// Returns the bytes of the memory that are in the file, and the number of pieces.
    pub fn written(&self) -> (u64, usize) {
        (
            self.pieces.iter().map(|(_, piece)| piece.len() as u64).sum(),
            self.pieces.len(),
        )
    }

    /// Returns bytes of the memory; zeros where the file has none. `None` beyond the end of the memory, or for more
    /// than 16 MiB.
    pub fn bytes(&self, range: Range<u64>) -> Option<Vec<u8>> {
        const LEN_MAX: u64 = 16 << 20;
        let len = range.end.checked_sub(range.start).filter(|len| *len <= LEN_MAX)?;
        if range.end > self.memory_len {
            return None;
        }
        let mut bytes = vec![0; len as usize];
        for (start, piece) in &self.pieces {
            let end = start.saturating_add(piece.len() as u64);
            let common = range.start.max(*start)..range.end.min(end);
            if common.start < common.end {
                let (from, to) = ((common.start - start) as usize, (common.start - range.start) as usize);
                let len = (common.end - common.start) as usize;
                bytes[to..to + len].copy_from_slice(&piece[from..from + len]);
            }
        }
        Some(bytes)
    }

    /// Returns the dump as JSON, without the bytes of the memory.
    pub fn to_json(&self) -> impl Serialize + '_ {
        let (written, pieces) = self.written();
        Json {
            about: &self.about,
            program: self.program,
            frames: &self.frames,
            globals: &self.globals,
            memory_written: written,
            memory_pieces: pieces,
        }
    }
}

#[derive(Serialize)]
struct Json<'a> {
    #[serde(flatten)]
    about: &'a About,
    program: &'a str,
    frames: &'a [CodePlace],
    globals: &'a [Value],
    memory_written: u64,
    memory_pieces: usize,
}
