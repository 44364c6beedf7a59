//! `lunatic::buffer`, and messages that are sent from it.

use lunatic_kernel::budget::{Payer, Receipt, Resource};
use lunatic_kernel::mail::Content;
use lunatic_sys::codes::{IN_PLACE_LEN_MAX, LIMIT, MESSAGE_LEN_MAX, OK};
use wasmtime::{Caller, Linker};

use super::pieces::{self, PIECE};
use crate::guest_memory;
use crate::imports::timed::Timed as _;
use crate::instance::Ctx;

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    let namespace = "lunatic::buffer";
    linker.timed(namespace, "len", |caller: Caller<'_, Ctx>| {
        caller.data().buffer().len() as u32
    })?;
    linker.timed_async(namespace, "take", |caller, (to, len)| Box::new(take(caller, to, len)))?;
    linker.timed_async(namespace, "put", |caller, (from, len)| Box::new(put(caller, from, len)))?;
    Ok(())
}

/// Copies the `len` bytes at `from` into the buffer, in pieces between which other processes run. The caller is paused
/// meanwhile, so the copy is consistent.
async fn put(mut caller: Caller<'_, Ctx>, from: u32, len: u32) -> wasmtime::Result<i32> {
    let (whole, ctx) = guest_memory::slice(&mut caller, from, len)?;
    let len_all = whole.len();
    if len_all > MESSAGE_LEN_MAX || ctx.make_room_in_buffer(len_all).is_err() {
        ctx.set_buffer(super::channel::TOO_MUCH);
        return Ok(LIMIT);
    }
    for at in (0..len_all).step_by(PIECE) {
        if at > 0 {
            pieces::pause(&mut caller).await;
        }
        let (whole, ctx) = guest_memory::slice(&mut caller, from, len)?;
        ctx.append_to_buffer(&whole[at..len_all.min(at + PIECE)]);
    }
    Ok(OK)
}

/// Whether a message of this many bytes is sent from the buffer, because copying it takes too long for one step. A
/// message above the limit is refused in any case.
pub(super) fn is_sent_from_buffer(len: usize) -> bool {
    (IN_PLACE_LEN_MAX + 1..=MESSAGE_LEN_MAX).contains(&len)
}

/// The `len` bytes of a message at `start`. A long message is taken out of the buffer, even if it is not sent in the
/// end.
///
/// # Errors
///
/// Those of [`guest_memory::slice`]; also if the message is long and the buffer does not hold exactly this many bytes.
pub(super) fn message<'a>(
    caller: &'a mut Caller<'_, Ctx>,
    start: u32,
    len: u32,
) -> wasmtime::Result<(Content<'a>, &'a mut Ctx)> {
    let (bytes, ctx) = guest_memory::slice(caller, start, len)?;
    if !is_sent_from_buffer(bytes.len()) {
        return Ok((Content::from(&*bytes).traced(ctx.current.trace().clone()), ctx));
    }
    check_put(ctx, len)?;
    let trace = ctx.current.trace().clone();
    Ok((Content::from(ctx.take_buffer()).traced(trace), ctx))
}

/// Checks that the buffer holds a long message of this many bytes.
#[cold]
pub(super) fn check_put(ctx: &Ctx, len: u32) -> wasmtime::Result<()> {
    let held = ctx.buffer().len();
    if held == len as usize {
        return Ok(());
    }
    Err(wasmtime::Error::msg(format!(
        "a message of {len} bytes is sent from the buffer (lunatic::buffer::put), which contains {held}"
    )))
}

/// A copy of the buffer, made in pieces, and the caller's payment for it; `None` if the caller cannot pay, or if the
/// machine does not have enough memory.
pub(super) async fn copy_of_buffer(caller: &mut Caller<'_, Ctx>) -> Option<(Vec<u8>, Receipt)> {
    let ctx = caller.data();
    let len = ctx.buffer().len();
    let mut paid = Receipt::new(ctx.process().purse().to_account(), Resource::Buffers);
    paid.grow(len).ok()?;
    let mut copy = Vec::new();
    copy.try_reserve_exact(len).ok()?;
    while copy.len() < len {
        pieces::pause(caller).await;
        let (at, buffer) = (copy.len(), caller.data().buffer());
        copy.extend_from_slice(&buffer[at..len.min(at + PIECE)]);
    }
    Some((copy, paid))
}

async fn take(mut caller: Caller<'_, Ctx>, to: u32, len: u32) -> wasmtime::Result<()> {
    let held = caller.data().buffer().len();
    if held != len as usize {
        let text = format!("lunatic::buffer::take was asked for {len} bytes, but the buffer contains {held}");
        return Err(wasmtime::Error::msg(text));
    }
    guest_memory::slice(&mut caller, to, len)?;
    // The bytes stay in the buffer, paid for, until all have been copied.
    for at in (0..held).step_by(PIECE) {
        if at > 0 {
            pieces::pause(&mut caller).await;
        }
        let (memory, ctx) = guest_memory::all(&mut caller)?;
        let end = held.min(at + PIECE);
        guest_memory::part(memory, to, len)?[at..end].copy_from_slice(&ctx.buffer()[at..end]);
    }
    drop(caller.data_mut().take_buffer());
    Ok(())
}
