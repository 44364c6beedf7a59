//! Functions of WASI whose time grows with what they are asked for, cut short or done in pieces.
//!
//! WASI lets a read or write do less than it was asked for, and libraries go on with the rest. wasmtime-wasi takes the first
//! range that is not empty as it is. A longer one is read or written through a piece of memory of the host's own, which
//! wasmtime-wasi takes for the guest's.

use wasmtime::{Caller, Linker, Result};
use wasmtime_wasi::p1::wasi_snapshot_preview1 as preview1;
use wiggle::GuestMemory;

use super::{NAMESPACE, errno, parts};
use crate::guest_memory;
use crate::imports::pieces;
use crate::instance::Ctx;

/// No call reads or writes more bytes, as with sockets.
const PART_MAX: u32 = 1 << 20;
/// The most ranges of one read or write, as in Linux (`UIO_MAXIOV`).
const RANGES_MAX: u32 = 1024;
/// The most things that are waited for at once: each is set up and taken down by itself.
const SUBSCRIPTIONS_MAX: u32 = 4096;
/// The longest path, as in Linux (`PATH_MAX`).
const PATH_LEN_MAX: u32 = 4096;
/// So many random numbers are made between two looks at the clock, in bytes: they take 0.2 ms.
const RANDOM_PIECE: u32 = 64 << 10;

/// Whether a path of so many bytes is refused.
pub(super) fn is_too_long(path_len: i32) -> bool {
    path_len.cast_unsigned() > PATH_LEN_MAX
}

pub(super) fn add(linker: &mut Linker<Ctx>) -> Result<()> {
    linker.func_wrap_async(NAMESPACE, "random_get", |caller, (to, len): (i32, i32)| {
        Box::new(random_get(caller, to.cast_unsigned(), len.cast_unsigned()))
    })?;
    linker.func_wrap_async(NAMESPACE, "poll_oneoff", |caller, (wanted, events, count, out)| {
        Box::new(poll_oneoff(caller, wanted, events, count, out))
    })?;
    linker.func_wrap_async(NAMESPACE, "fd_read", |caller, (fd, ranges, count, out)| {
        Box::new(transfer(
            caller,
            Direction::Read,
            fd,
            Ranges::new(ranges, count),
            None,
            out,
        ))
    })?;
    linker.func_wrap_async(NAMESPACE, "fd_pread", |caller, (fd, ranges, count, at, out)| {
        Box::new(transfer(
            caller,
            Direction::Read,
            fd,
            Ranges::new(ranges, count),
            Some(at),
            out,
        ))
    })?;
    linker.func_wrap_async(NAMESPACE, "fd_write", |caller, (fd, ranges, count, out)| {
        Box::new(transfer(
            caller,
            Direction::Write,
            fd,
            Ranges::new(ranges, count),
            None,
            out,
        ))
    })?;
    linker.func_wrap_async(NAMESPACE, "fd_pwrite", |caller, (fd, ranges, count, at, out)| {
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

async fn poll_oneoff(mut caller: Caller<'_, Ctx>, wanted: i32, events: i32, count: i32, out: i32) -> Result<i32> {
    if count.cast_unsigned() > SUBSCRIPTIONS_MAX {
        return Ok(errno::INVAL);
    }
    let (mut memory, wasi) = parts(&mut caller)?;
    preview1::poll_oneoff(&mut wasi.context, &mut memory, wanted, events, count, out).await
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Direction {
    Read,
    Write,
}

/// A guest's list of ranges of its memory: where it is, and how many they are.
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

    /// Where the range begins that is read or written, if it is too long for one call and lies in the memory.
    fn first_long(self, memory: &mut [u8]) -> Option<u32> {
        let size = self.count.cast_unsigned().checked_mul(Self::ITEM_SIZE)?;
        let items = guest_memory::part(memory, self.at.cast_unsigned(), size).ok()?;
        let number = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("half of an item"));
        let mut items = items
            .chunks_exact(Self::ITEM_SIZE as usize)
            .map(|item| (number(&item[..4]), number(&item[4..])));
        let (start, len) = items.find(|(_, len)| *len > 0)?;
        (len > PART_MAX && guest_memory::part(memory, start, len).is_ok()).then_some(start)
    }
}

/// Reads or writes, at the place `at` or where the last call ended.
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
    let (memory, _) = guest_memory::all(&mut caller)?;
    // Without a place for the result the call fails, and says so itself.
    let has_out = guest_memory::part(memory, out.cast_unsigned(), 4).is_ok();
    if let Some(start) = ranges.first_long(memory).filter(|_| has_out) {
        return transfer_part(&mut caller, direction, fd, start, at, out.cast_unsigned()).await;
    }
    let (mut memory, wasi) = parts(&mut caller)?;
    call(&mut wasi.context, &mut memory, direction, fd, ranges, at, out).await
}

/// Reads or writes the part of a range that begins at `start`.
async fn transfer_part(
    caller: &mut Caller<'_, Ctx>,
    direction: Direction,
    fd: i32,
    start: u32,
    at: Option<i64>,
    out: u32,
) -> Result<i32> {
    const OUT: usize = Ranges::ITEM_SIZE as usize;
    const PART: usize = OUT + 4;
    // The list with its one range, the result, the range.
    let mut own = Vec::with_capacity(PART + PART_MAX as usize);
    own.extend((PART as u32).to_le_bytes());
    own.extend(PART_MAX.to_le_bytes());
    own.extend([0; 4]);
    match direction {
        Direction::Write => own.extend_from_slice(guest_memory::slice(caller, start, PART_MAX)?.0),
        Direction::Read => own.resize(PART + PART_MAX as usize, 0),
    }
    let (_, wasi) = parts(caller)?;
    let mut memory = GuestMemory::Unshared(&mut own);
    let code = call(
        &mut wasi.context,
        &mut memory,
        direction,
        fd,
        Ranges::new(0, 1),
        at,
        OUT as i32,
    )
    .await?;
    if code != errno::SUCCESS {
        return Ok(code);
    }
    let done: [u8; 4] = own[OUT..PART].try_into().expect("four bytes");
    if direction == Direction::Read {
        let read = &own[PART..][..u32::from_le_bytes(done) as usize];
        guest_memory::write(caller, start, read)?;
    }
    guest_memory::write(caller, out, &done)?;
    Ok(code)
}

/// The function of wasmtime-wasi.
async fn call(
    context: &mut wasmtime_wasi::p1::WasiP1Ctx,
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
