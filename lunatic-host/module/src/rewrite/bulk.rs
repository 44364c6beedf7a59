//! Makes instructions that can take long interruptible.
//!
//! `memory.fill`, `memory.copy` and `memory.init` are one step for the engine, however many bytes they are about: a process
//! could keep a core for a second with one of them. So each becomes a call of a function that does it in pieces of
//! [`PIECE`] bytes, in a loop, and loops are where the engine interrupts a process. An instruction whose length is a small
//! constant stays: the engine makes a few moves of it.
//!
//! The functions do what the instruction does, to the last byte and trap. Nothing is written if any of it is out of bounds:
//! only a range that fits is divided, all others are left to the instruction itself, which fails for the right reason. A copy
//! to a higher address goes from the end to the beginning, so that no piece overwrites what another one is to read.
//!
//! A call takes no more room than the instruction, unless a fill is in a module of more than 16,384 functions. There it takes
//! a byte more, or two, which makes lines in reports about this one function inexact.

use wasm_encoder::{BlockType, Function, Instruction};
use wasmparser::{FunctionBody, Operator};

use super::call::call;
use super::sections::{read_leb, write_leb};

/// What is done between two looks at the clock, in bytes: some 10 µs of work, and 140 µs if the pages are new.
pub(super) const PIECE: u32 = 256 << 10;

/// What is done to many bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bulk {
    /// `memory.fill`
    Fill,
    /// `memory.copy`
    Copy,
    /// `memory.init` from this segment.
    Init(u32),
}

/// An instruction that is to become a call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Site {
    /// The place of its body among all bodies.
    body: usize,
    /// Where it begins, from the start of the body, and how long it is.
    at: usize,
    len: usize,
    pub(super) bulk: Bulk,
}

/// Looks for instructions that can take long, one after the other.
#[derive(Debug, Default)]
pub(super) struct Search {
    pub(super) sites: Vec<Site>,
    /// What the last instruction has put on the stack, if it was a constant.
    constant: Option<u32>,
}

impl Search {
    /// Looks at an instruction of `len` bytes, `at` bytes into the body.
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
    /// The functions take so many numbers: where to, what or from where, how many bytes.
    pub(super) const PARAMS: usize = 3;
    const TO: u32 = 0;
    /// The byte to fill with, or where to copy from.
    const FROM: u32 = 1;
    const LEN: u32 = 2;

    /// The function that does it in pieces. `segment_len` is the length of the segment, if it is about one.
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
        // What is left, or all of it.
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

    /// Whether the bytes from `start` on end before `size`, which is put on the stack.
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

    /// Adds to a local, or takes from it.
    fn step(&mut self, local: u32, by: Instruction<'_>) {
        self.get([local]);
        self.emit(Instruction::I32Const(PIECE as i32));
        self.emit(by);
        self.emit(Instruction::LocalSet(local));
    }

    /// Does pieces from the beginning, and moves the locals in `moving` along, until what is left is no longer than one.
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

    /// Does pieces from the end, until what is left is no longer than one.
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

/// The content of the code section with a call in the place of each site: `function` names the function to call. `start` is
/// where `code` begins in the file that the ranges of `bodies` are about.
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
