//! Processes many bytes in pieces, between which other processes run.
//!
//! For the engine, a host call is a single step: only the call itself can notice that the time slice of its process is
//! over. `docs/internals/long-calls.md` lists the calls whose duration depends on their arguments.

use std::future::poll_fn;
use std::task::Poll;

use wasmtime::Caller;

use crate::guest_memory;
use crate::instance::Ctx;

/// The size of a piece in bytes: some 10 µs of work, or 140 µs if the pages are new.
pub const PIECE: usize = 256 << 10;

/// Lets other processes run that are ready.
pub(super) async fn yield_now(caller: &mut Caller<'_, Ctx>) {
    caller.data().give_way();
    let mut yielded = false;
    poll_fn(|_| match std::mem::replace(&mut yielded, true) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}

/// Must be called between pieces: lets other processes run if the time slice of the caller is over.
pub async fn pause(caller: &mut Caller<'_, Ctx>) {
    if caller.data().has_used_slice() {
        yield_now(caller).await;
    }
}

/// Copies the `len` bytes at `start`.
///
/// # Errors
///
/// Those of [`guest_memory::read_bytes`]; nothing is copied then.
pub async fn read(caller: &mut Caller<'_, Ctx>, start: u32, len: u32) -> wasmtime::Result<Vec<u8>> {
    guest_memory::slice(caller, start, len)?;
    let mut bytes = Vec::with_capacity(len as usize);
    while bytes.len() < len as usize {
        pause(caller).await;
        let whole = &*guest_memory::slice(caller, start, len)?.0;
        let end = whole.len().min(bytes.len() + PIECE);
        bytes.extend_from_slice(&whole[bytes.len()..end]);
    }
    Ok(bytes)
}

/// Copies `bytes` to `start`.
///
/// # Errors
///
/// Those of [`guest_memory::write`]; nothing is copied then.
pub async fn write(caller: &mut Caller<'_, Ctx>, start: u32, bytes: &[u8]) -> wasmtime::Result<()> {
    let len = u32::try_from(bytes.len())?;
    guest_memory::slice(caller, start, len)?;
    for (at, piece) in (0..).step_by(PIECE).zip(bytes.chunks(PIECE)) {
        if at > 0 {
            pause(caller).await;
        }
        let whole = guest_memory::slice(caller, start, len)?.0;
        whole[at..at + piece.len()].copy_from_slice(piece);
    }
    Ok(())
}
