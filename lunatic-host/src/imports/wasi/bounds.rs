//! WASI functions whose duration depends on their arguments, cut short or done in pieces.
//!
//! WASI allows a read or write to transfer less than requested, and libraries continue with the rest. wasmtime-wasi
//! transfers the whole first non-empty range. If it belongs to a file, or is too long, it is transferred through memory
//! of the host, which stands in for the guest's memory in wasmtime-wasi.

use wasmtime::{Caller, Error, Linker, Result};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p1::wasi_snapshot_preview1 as preview1;
use wiggle::GuestMemory;

use super::blocking::{self, Loan};
use super::{NAMESPACE, ProcessWasi, errno, parts};
use crate::guest_memory;
use crate::imports::pieces;
use crate::imports::timed::Timed as _;
use crate::instance::Ctx;

/// The most bytes that a call reads or writes, as with sockets.
const PART_MAX: u32 = 1 << 20;
/// How many bytes of a file a call reads or writes without a charge: as a part of the body of the process.
const PART_FREE: u32 = 64 << 10;
/// The most ranges of a read or write, as in Linux (`UIO_MAXIOV`).
const RANGES_MAX: u32 = 1024;
/// The longest path, as in Linux (`PATH_MAX`).
pub(in crate::imports) const PATH_LEN_MAX: u32 = 4096;
/// How many random bytes are generated between two checks of the time slice: they take 0.2 ms.
pub(in crate::imports) const RANDOM_PIECE: u32 = 64 << 10;

/// Whether a path of this many bytes is refused.
pub(super) fn is_too_long(path_len: i32) -> bool {
    path_len.cast_unsigned() > PATH_LEN_MAX
}

pub(super) fn add(linker: &mut Linker<Ctx>) -> Result<()> {
    linker.timed_async(NAMESPACE, "random_get", |caller, (to, len): (i32, i32)| {
        Box::new(random_get(caller, to.cast_unsigned(), len.cast_unsigned()))
    })?;
    linker.timed_async(NAMESPACE, "fd_read", |caller, (fd, ranges, count, out)| {
        Box::new(transfer(
            caller,
            Direction::Read,
            fd,
            Ranges::new(ranges, count),
            None,
            out,
        ))
    })?;
    linker.timed_async(NAMESPACE, "fd_pread", |caller, (fd, ranges, count, at, out)| {
        Box::new(transfer(
            caller,
            Direction::Read,
            fd,
            Ranges::new(ranges, count),
            Some(at),
            out,
        ))
    })?;
    linker.timed_async(NAMESPACE, "fd_write", |caller, (fd, ranges, count, out)| {
        Box::new(transfer(
            caller,
            Direction::Write,
            fd,
            Ranges::new(ranges, count),
            None,
            out,
        ))
    })?;
    linker.timed_async(NAMESPACE, "fd_pwrite", |caller, (fd, ranges, count, at, out)| {
        Box::new(transfer(
            caller,
            Direction::Write,
            fd,
            Ranges::new(ranges, count),
            Some(at),
            out,
        ))
    })?;
    Ok(())
}

async fn random_get(mut caller: Caller<'_, Ctx>, to: u32, len: u32) -> Result<i32> {
    guest_memory::slice(&mut caller, to, len)?;
    let mut done = 0;
    loop {
        let piece = RANDOM_PIECE.min(len - done);
        let (mut memory, wasi) = parts(&mut caller)?;
        let start = (to + done).cast_signed();
        let code = preview1::random_get(&mut wasi.context, &mut memory, start, piece.cast_signed())?;
        done += piece;
        if code != errno::SUCCESS || done == len {
            return Ok(code);
        }
        pieces::pause(&mut caller).await;
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Read,
    Write,
}

/// A guest's list of memory ranges: its address and length.
#[derive(Clone, Copy)]
struct Ranges {
    at: i32,
    count: i32,
}

impl Ranges {
    /// An address and a length, of four bytes each.
    const ITEM_SIZE: u32 = 8;

    fn new(at: i32, count: i32) -> Self {
        Self { at, count }
    }

    /// The range to be transferred: the first non-empty one, or an empty one.
    ///
    /// # Errors
    ///
    /// If the list or the range is outside of the memory, or the list is not aligned.
    fn first(self, memory: &mut [u8]) -> Result<(u32, u32)> {
        let at = self.at.cast_unsigned();
        if !at.is_multiple_of(4) {
            return Err(Error::msg("the list of ranges of a call of WASI is not aligned"));
        }
        let items = guest_memory::part(memory, at, self.count.cast_unsigned() * Self::ITEM_SIZE)?;
        let number = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("half of an item"));
        let mut items = items
            .chunks_exact(Self::ITEM_SIZE as usize)
            .map(|item| (number(&item[..4]), number(&item[4..])));
        let (start, len) = items.find(|(_, len)| *len > 0).unwrap_or_default();
        guest_memory::part(memory, start, len)?;
        Ok((start, len))
    }
}

/// Reads or writes at the position `at`, or where the last call ended.
async fn transfer(
    mut caller: Caller<'_, Ctx>,
    direction: Direction,
    fd: i32,
    ranges: Ranges,
    at: Option<i64>,
    out: i32,
) -> Result<i32> {
    if ranges.count.cast_unsigned() > RANGES_MAX {
        return Ok(errno::INVAL);
    }
    let is_file = ProcessWasi::of(caller.data_mut()).is_file(fd);
    let (memory, _) = guest_memory::all(&mut caller)?;
    let first = ranges.first(memory);
    let is_long = first.as_ref().is_ok_and(|(_, len)| *len > PART_MAX);
    if !is_file && !is_long {
        let (mut memory, wasi) = parts(&mut caller)?;
        let held = wasi.panic.size();
        let code = call(&mut wasi.context, &mut memory, direction, fd, ranges, at, out).await;
        // A text that may be that of a panic is held back, or no longer.
        if held != wasi.panic.size() {
            ProcessWasi::settle_of(caller.data_mut());
        }
        return code;
    }
    let (start, len) = first?;
    // The place for the result, before anything is done.
    guest_memory::part(memory, out.cast_unsigned(), 4)?;
    let part = Part {
        direction,
        fd,
        at,
        start,
        len: len.min(PART_MAX),
    };
    part.transfer(&mut caller, is_file, out).await
}

/// The part of a range that one call transfers.
#[derive(Clone, Copy)]
struct Part {
    direction: Direction,
    fd: i32,
    at: Option<i64>,
    start: u32,
    len: u32,
}

impl Part {
    /// Transfers it through memory of the host; if it belongs to a file, on a thread that may block.
    async fn transfer(self, caller: &mut Caller<'_, Ctx>, is_file: bool, out: i32) -> Result<i32> {
        let Self {
            direction,
            fd,
            at,
            start,
            len,
        } = self;
        let permit = if is_file {
            Some(blocking::permit(caller).await)
        } else {
            None
        };
        // The process pays for the copy while it waits for a standard stream; or, after its permit was given back, for a
        // worker. If it cannot pay, it gets less of a file.
        let free = if is_file { len.min(PART_FREE) } else { 0 };
        let (len, paid) = match ProcessWasi::of(caller.data_mut()).pay((len - free) as usize) {
            Ok(()) => (len, (len - free) as usize),
            Err(_) if is_file => (free, 0),
            Err(code) => return Ok(code),
        };
        let mut loan = Loan::default();
        let bytes = match direction {
            Direction::Write => loan.input(caller, start.cast_signed(), len.cast_signed())?,
            Direction::Read => loan.zeros(len),
        };
        let done = loan.zeros(4);
        let range = [bytes.to_le_bytes(), len.to_le_bytes()].concat();
        let ranges = Ranges::new(loan.own(&range), 1);
        let (loan, code) = if let Some(permit) = permit {
            let function = async move |context: &mut WasiP1Ctx, memory: &mut GuestMemory<'_>| {
                call(context, memory, direction, fd, ranges, at, done).await
            };
            blocking::call_on(caller, permit, loan, function).await?
        } else {
            let (_, wasi) = parts(caller)?;
            let code = call(&mut wasi.context, &mut loan.memory(), direction, fd, ranges, at, done).await?;
            (loan, code)
        };
        ProcessWasi::of(caller.data_mut()).give_back(paid);
        ProcessWasi::settle_of(caller.data_mut());
        if code != errno::SUCCESS {
            return Ok(code);
        }
        let done: [u8; 4] = loan.read(done, 4).try_into().expect("four bytes");
        if direction == Direction::Read {
            let read = loan.read(bytes, u32::from_le_bytes(done).min(len));
            guest_memory::write(caller, start, read)?;
        }
        guest_memory::write(caller, out.cast_unsigned(), &done)?;
        Ok(code)
    }
}

/// Calls the function of wasmtime-wasi.
async fn call(
    context: &mut WasiP1Ctx,
    memory: &mut GuestMemory<'_>,
    direction: Direction,
    fd: i32,
    Ranges { at: ranges, count }: Ranges,
    at: Option<i64>,
    out: i32,
) -> Result<i32> {
    match (direction, at) {
        (Direction::Read, None) => preview1::fd_read(context, memory, fd, ranges, count, out).await,
        (Direction::Read, Some(at)) => preview1::fd_pread(context, memory, fd, ranges, count, at, out).await,
        (Direction::Write, None) => preview1::fd_write(context, memory, fd, ranges, count, out).await,
        (Direction::Write, Some(at)) => preview1::fd_pwrite(context, memory, fd, ranges, count, at, out).await,
    }
}
