//! Makes instructions that can take long interruptible.
//!
//! For the engine, `memory.fill`, `memory.copy` and `memory.init` are a single step, however many bytes they process: a
//! process could occupy a core for a second with one of them. So each is replaced by a call to a function that does the
//! same in a loop, in pieces of [`PIECE`] bytes; the engine can interrupt a process in loops. An instruction with a
//! small constant length is kept, because the engine compiles it to a few moves.
//!
//! The functions behave exactly like the instruction, to the last byte and trap. If any part of the range is out of
//! bounds, nothing is written: only a range that fits is divided; all others are left to the instruction itself, which
//! fails for the right reason. A copy to a higher address proceeds from the end to the beginning, so that no piece
//! overwrites what another must still read.
//!
//! A call takes no more room than the instruction, with one exception: a fill in a module with more than 16,384
//! functions takes one or two bytes more, which makes lines in reports about this function inexact.

use wasm_encoder::{BlockType, Function, Instruction};
use wasmparser::{FunctionBody, Operator};

use super::call::call;
use super::sections::{read_leb, write_leb};

/// What is done between two checks of the time slice, in bytes: some 10 µs of work, or 140 µs if the pages are new.
pub(super) const PIECE: u32 = 256 << 10;

/// The operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bulk {
    /// `memory.fill`
    Fill,
    /// `memory.copy`
    Copy,
    /// `memory.init` from this segment.
    Init(u32),
}

/// An instruction that will be replaced by a call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Site {
    /// The index of its body among all bodies.
    body: usize,
    /// Its offset from the start of the body, and its length.
    at: usize,
    len: usize,
    pub(super) bulk: Bulk,
}

/// Searches for instructions that can take long.
#[derive(Debug, Default)]
pub(super) struct Search {
    pub(super) sites: Vec<Site>,
    /// What the last instruction has pushed, if it was a constant.
    constant: Option<u32>,
}

impl Search {
    /// Examines an instruction of `len` bytes, `at` bytes into the body.
    pub(super) fn look(&mut self, body: usize, operator: &Operator<'_>, at: usize, len: usize) {
        let bulk = match operator {
            Operator::MemoryFill { .. } => Some(Bulk::Fill),
            Operator::MemoryCopy { .. } => Some(Bulk::Copy),
            Operator::MemoryInit { data_index, .. } => Some(Bulk::Init(*data_index)),
            _ => None,
        };
        let is_short = self.constant.is_some_and(|len| len <= PIECE);
        if let Some(bulk) = bulk.filter(|_| !is_short) {
            self.sites.push(Site { body, at, len, bulk });
        }
        self.constant = match operator {
            Operator::I32Const { value } => Some(*value as u32),
            _ => None,
        };
    }
}

impl Bulk {
    /// The number of parameters of the functions: the destination, the value or source, and the number of bytes.
    pub(super) const PARAMS: usize = 3;
    const TO: u32 = 0;
    /// The byte to fill with, or the source.
    const FROM: u32 = 1;
    const LEN: u32 = 2;

    /// The function that does it in pieces. `segment_len` is the length of the segment, if there is one.
    pub(super) fn body(self, segment_len: u32) -> Function {
        let mut body = Body(Function::new([]));
        body.is_longer_than_a_piece();
        body.emit(Instruction::If(BlockType::Empty));
        body.fits_memory(Self::TO);
        match self {
            Self::Fill => {}
            Self::Copy => body.and(|body| body.fits_memory(Self::FROM)),
            Self::Init(_) => {
                body.and(|body| body.fits(Self::FROM, |body| body.emit(Instruction::I64Const(segment_len.into()))))
            }
        }
        body.emit(Instruction::If(BlockType::Empty));
        match self {
            Self::Fill => body.forward(self, &[Self::TO]),
            Self::Init(_) => body.forward(self, &[Self::TO, Self::FROM]),
            Self::Copy => {
                body.get([Self::TO, Self::FROM]);
                body.emit(Instruction::I32LeU);
                body.emit(Instruction::If(BlockType::Empty));
                body.forward(self, &[Self::TO, Self::FROM]);
                body.emit(Instruction::Else);
                body.backward(self);
                body.emit(Instruction::End);
            }
        }
        body.emit(Instruction::End);
        body.emit(Instruction::End);
        // The rest, or all of it.
        body.get([Self::TO, Self::FROM, Self::LEN]);
        body.emit(self.instruction());
        body.emit(Instruction::End);
        body.0
    }

    fn instruction(self) -> Instruction<'static> {
        match self {
            Self::Fill => Instruction::MemoryFill(0),
            Self::Copy => Instruction::MemoryCopy { src_mem: 0, dst_mem: 0 },
            Self::Init(data_index) => Instruction::MemoryInit { mem: 0, data_index },
        }
    }
}

/// The body of such a function.
struct Body(Function);

impl Body {
    fn emit(&mut self, instruction: Instruction<'_>) {
        self.0.instruction(&instruction);
    }

    fn get<const N: usize>(&mut self, locals: [u32; N]) {
        locals
            .into_iter()
            .for_each(|local| self.emit(Instruction::LocalGet(local)));
    }

    fn is_longer_than_a_piece(&mut self) {
        self.get([Bulk::LEN]);
        self.emit(Instruction::I32Const(PIECE as i32));
        self.emit(Instruction::I32GtU);
    }

    /// Whether the range from `start` ends within `size`; pushes the result.
    fn fits(&mut self, start: u32, size: impl FnOnce(&mut Self)) {
        for local in [start, Bulk::LEN] {
            self.get([local]);
            self.emit(Instruction::I64ExtendI32U);
        }
        self.emit(Instruction::I64Add);
        size(self);
        self.emit(Instruction::I64LeU);
    }

    fn fits_memory(&mut self, start: u32) {
        self.fits(start, |body| {
            body.emit(Instruction::MemorySize(0));
            body.emit(Instruction::I64ExtendI32U);
            body.emit(Instruction::I64Const(16));
            body.emit(Instruction::I64Shl);
        });
    }

    fn and(&mut self, other: impl FnOnce(&mut Self)) {
        other(self);
        self.emit(Instruction::I32And);
    }

    /// Adds to a local, or subtracts from it.
    fn step(&mut self, local: u32, by: Instruction<'_>) {
        self.get([local]);
        self.emit(Instruction::I32Const(PIECE as i32));
        self.emit(by);
        self.emit(Instruction::LocalSet(local));
    }

    /// Processes pieces from the beginning, and advances the locals in `moving`, until the rest is no longer than a
    /// piece.
    fn forward(&mut self, bulk: Bulk, moving: &[u32]) {
        self.emit(Instruction::Loop(BlockType::Empty));
        self.get([Bulk::TO, Bulk::FROM]);
        self.emit(Instruction::I32Const(PIECE as i32));
        self.emit(bulk.instruction());
        moving.iter().for_each(|local| self.step(*local, Instruction::I32Add));
        self.step(Bulk::LEN, Instruction::I32Sub);
        self.is_longer_than_a_piece();
        self.emit(Instruction::BrIf(0));
        self.emit(Instruction::End);
    }

    /// Processes pieces from the end, until the rest is no longer than a piece.
    fn backward(&mut self, bulk: Bulk) {
        self.emit(Instruction::Loop(BlockType::Empty));
        self.step(Bulk::LEN, Instruction::I32Sub);
        for start in [Bulk::TO, Bulk::FROM] {
            self.get([start, Bulk::LEN]);
            self.emit(Instruction::I32Add);
        }
        self.emit(Instruction::I32Const(PIECE as i32));
        self.emit(bulk.instruction());
        self.is_longer_than_a_piece();
        self.emit(Instruction::BrIf(0));
        self.emit(Instruction::End);
    }
}

/// Returns the contents of the code section with each site replaced by a call: `function` returns the function to call.
/// `start` is the offset of `code` in the file to which the ranges of `bodies` refer.
pub(super) fn redirect(
    code: &[u8],
    start: usize,
    bodies: &[FunctionBody<'_>],
    sites: &[Site],
    function: impl Fn(Bulk) -> Option<u32>,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(code.len() + sites.len());
    let mut sites = sites.iter().peekable();
    let (_, mut end) = read_leb(code);
    out.extend(&code[..end]);
    for (index, body) in bodies.iter().enumerate() {
        let (begin, bytes) = (body.range().start - start, body.as_bytes());
        let mut changed = Vec::with_capacity(bytes.len());
        let mut kept = 0;
        while let Some(site) = sites.next_if(|site| site.body == index) {
            let Some(function) = function(site.bulk) else { continue };
            changed.extend(&bytes[kept..site.at]);
            changed.extend(call(function, false, site.len));
            kept = site.at + site.len;
        }
        changed.extend(&bytes[kept..]);
        // Its length is between the end of the last body and the beginning of this one.
        write_leb(&mut out, changed.len() as u32, begin - end);
        out.extend(changed);
        end = begin + bytes.len();
    }
    out
}
