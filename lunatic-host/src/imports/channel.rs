//! `lunatic::channel`.

use lunatic_kernel::address::Id;
use lunatic_kernel::channel::{Message, ReceiveRefusal, Received, SendRefusal, Ticket};
use lunatic_kernel::trace::Trace;
use lunatic_kernel::wait::{Wait, Waiter, block, until};
use lunatic_kernel::{WaitFor, Woken};
use lunatic_sys::codes::{CLOSED, ELSEWHERE, EMPTY, FULL, IN_PLACE_LEN_MAX, INVALID, LIMIT, OK, TIMED_OUT};
use smallvec::{Array, SmallVec};
use wasmtime::{Caller, Linker};

use super::buffer::{check_put, is_sent_from_buffer};
use super::elsewhere;
use super::handle::{check_handle, write_handle};
use super::wait::{show, wait, wait_borrowing};
use crate::guest_memory;
use crate::imports::timed::Timed as _;
use crate::instance::{self, Ctx, Opened};
use crate::wasm::{Kernel, Wasm};

/// The text of [`SendRefusal::Limit`].
pub(super) const TOO_MUCH: &[u8] =
    b"the message is too long, or its receiver, or the host, does not have enough memory left for messages";

/// The most channels that a process may have made.
const CHANNELS_MAX: usize = 1 << 16;

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    let namespace = "lunatic::channel";
    linker.timed(namespace, "new", new)?;
    linker.timed(namespace, "try_send", try_send)?;
    linker.timed(namespace, "try_receive", try_receive)?;
    linker.timed_async(namespace, "send", |caller, (id, key, message, len, timeout)| {
        Box::new(send(caller, id, key, message, len, timeout))
    })?;
    linker.timed_async(namespace, "receive", |caller, (id, key, to, capacity, timeout)| {
        Box::new(receive(caller, id, key, to, capacity, timeout))
    })?;
    Ok(())
}

fn new(mut caller: Caller<'_, Ctx>, bound: u64, out: u32) -> wasmtime::Result<i32> {
    check_handle(&mut caller, out)?;
    match open(caller.data_mut(), bound) {
        Ok(id) => {
            let handle = caller.data().kernel.channel_keys().handle(id);
            write_handle(&mut caller, out, handle)?;
            Ok(OK)
        }
        Err(code) => Ok(code),
    }
}

/// Makes a channel of the caller; a bound of 0 means none. Returns it, or the code of the refusal.
pub(super) fn open(ctx: &mut Ctx, bound: u64) -> Result<Id, i32> {
    let bound = usize::try_from(bound).unwrap_or(usize::MAX);
    let (kernel, process) = (&ctx.kernel, ctx.process());
    let count = process.with_belongings(|belongings| belongings.channels.len());
    if count.is_none_or(|count| count >= CHANNELS_MAX) {
        ctx.set_buffer(format!("a process has at most {CHANNELS_MAX} channels"));
        return Err(LIMIT);
    }
    let id = match kernel.channels().open(kernel.worker(), process.id, process, bound) {
        Ok(id) => id,
        Err(refusal) => {
            ctx.set_buffer(refusal.to_string());
            return Err(LIMIT);
        }
    };
    process.with_belongings(|belongings| belongings.channels.push(id));
    instance::opens(ctx, Opened::Channel(id));
    Ok(id)
}

fn try_send(mut caller: Caller<'_, Ctx>, id: u64, key: u64, message: u32, len: u32) -> wasmtime::Result<i32> {
    caller.data().acts()?;
    let (bytes, ctx) = guest_memory::slice(&mut caller, message, len)?;
    let Some(id) = ctx.channel(id, key) else {
        return Ok(INVALID);
    };
    if !id.is_here() {
        return Ok(ELSEWHERE);
    }
    let result = offer(ctx, id, bytes)?;
    Ok(sent(ctx, result))
}

/// Sends a message to a channel. A long message is taken out of the buffer; it stays there if the channel is full.
fn offer(ctx: &mut Ctx, id: Id, bytes: &[u8]) -> wasmtime::Result<Result<Woken<Wasm>, SendRefusal>> {
    if !is_sent_from_buffer(bytes.len()) {
        let (len, trace) = (bytes.len(), ctx.current.trace().clone());
        let make = || Message::from_slice(bytes);
        let now = ctx.kernel.moment();
        return Ok(ctx.kernel.channels().try_send_made(id, len, trace, now, make));
    }
    check_put(ctx, u32::try_from(bytes.len())?)?;
    let trace = ctx.current.trace().clone();
    let (kernel, take) = ctx.kernel_and_buffer();
    let make = || Message::from_vec(take());
    let now = kernel.moment();
    Ok(kernel.channels().try_send_made(id, bytes.len(), trace, now, make))
}

async fn send(
    mut caller: Caller<'_, Ctx>,
    id: u64,
    key: u64,
    message: u32,
    len: u32,
    timeout_ns: u64,
) -> wasmtime::Result<i32> {
    caller.data().acts()?;
    guest_memory::slice(&mut caller, message, len)?;
    let Some(id) = caller.data_mut().channel(id, key) else {
        return Ok(INVALID);
    };
    if !id.is_here() {
        return elsewhere::send(&mut caller, id, message, len, timeout_ns).await;
    }
    let wait = wait(&mut caller, WaitFor::Send, id, timeout_ns);
    let mut ticket = None;
    loop {
        let (bytes, ctx) = guest_memory::slice(&mut caller, message, len)?;
        match offer(ctx, id, bytes)? {
            Err(SendRefusal::Full) => {}
            result => return Ok(sent(ctx, result)),
        }
        let kernel = caller.data().kernel.clone();
        let timely = until(
            &wait,
            &mut ticket,
            |process, again| kernel.channels().wait_to_send(id, process, again),
            |ticket, looks| kernel.process_to_wake(kernel.channels().leave_send(id, ticket, looks)),
        );
        if !show(&caller, timely).await {
            return Ok(TIMED_OUT);
        }
    }
}

pub(super) fn sent(ctx: &mut Ctx, result: Result<Woken<Wasm>, SendRefusal>) -> i32 {
    match result {
        Ok(receiver) => {
            ctx.kernel.wake_waiter(receiver);
            OK
        }
        Err(SendRefusal::Full) => FULL,
        Err(SendRefusal::Closed) => CLOSED,
        Err(SendRefusal::Limit) => {
            ctx.set_buffer(TOO_MUCH);
            LIMIT
        }
    }
}

fn try_receive(mut caller: Caller<'_, Ctx>, id: u64, key: u64, to: u32, capacity: u32) -> wasmtime::Result<i32> {
    caller.data().acts()?;
    guest_memory::slice(&mut caller, to, capacity)?;
    let Some(id) = caller.data_mut().channel(id, key) else {
        return Ok(INVALID);
    };
    if !id.is_here() {
        return Ok(ELSEWHERE);
    }
    take(&mut caller, id, to, capacity)
}

async fn receive(
    mut caller: Caller<'_, Ctx>,
    id: u64,
    key: u64,
    to: u32,
    capacity: u32,
    timeout_ns: u64,
) -> wasmtime::Result<i32> {
    caller.data().acts()?;
    let (room, ctx) = guest_memory::slice(&mut caller, to, capacity)?;
    ctx.process().local.places.set_message(room);
    let Some(id) = ctx.channel(id, key) else {
        return Ok(INVALID);
    };
    if !id.is_here() {
        return elsewhere::receive(&mut caller, id, to, capacity, timeout_ns).await;
    }
    match wait_for_message(&mut caller, id, timeout_ns).await {
        Ok((message, trace)) => {
            let (memory, ctx) = guest_memory::all(&mut caller)?;
            ctx.current.give(trace);
            deliver(memory, ctx, message, to, capacity)
        }
        Err(code) => Ok(code),
    }
}

async fn wait_for_message(caller: &mut Caller<'_, Ctx>, id: Id, timeout_ns: u64) -> Result<(Message, Trace), i32> {
    let (wait, here) = wait_borrowing(caller, WaitFor::Receive, id, timeout_ns);
    let (kernel, mut ticket) = (&*wait.kernel, None);
    wait.process.local.places.set_wait(&wait);
    loop {
        if let Some(result) = try_once(&wait, id, &mut ticket) {
            return result;
        }
        let waiter = Waiter::new(&wait, |looks| {
            ticket.and_then(|ticket| kernel.process_to_wake(kernel.channels().leave_receive(id, ticket, looks)))
        });
        here.show(block(&wait)).await;
        // What comes next withdraws the waiter.
        waiter.forget();
    }
}

/// Receives a message, or leaves a waiter, whose ticket is kept for the next time; or gives up, if the time has passed.
#[inline]
pub(super) fn try_once(
    wait: &Wait<'_, Wasm>,
    id: Id,
    ticket: &mut Option<Ticket>,
) -> Option<Result<(Message, Trace), i32>> {
    let kernel = &*wait.kernel;
    if wait.is_late() {
        // The last check: whatever arrives now is for others. So the waiter is withdrawn, which is still there if
        // something else has woken the process.
        if let Some(ticket) = *ticket {
            kernel.channels().leave_receive(id, ticket, true);
        }
        let result = kernel.channels().try_receive(id);
        return Some(
            result
                .map(|(message, trace, wake)| (received(kernel, message, wake), trace))
                .map_err(|refusal| match refusal {
                    ReceiveRefusal::Empty => TIMED_OUT,
                    ReceiveRefusal::Closed => CLOSED,
                }),
        );
    }
    match kernel.channels().receive(id, &*wait.process, *ticket) {
        Received::Message(message, trace, wake) => Some(Ok((received(kernel, message, wake), trace))),
        Received::Closed => Some(Err(CLOSED)),
        Received::Waits(place) => {
            *ticket = Some(place);
            None
        }
    }
}

/// A message was received, so a sender may be able to continue.
fn received(kernel: &Kernel, message: Message, sender: Woken<Wasm>) -> Message {
    kernel.wake_waiter(sender);
    message
}

/// Receives the oldest message and passes it to the guest.
fn take(caller: &mut Caller<'_, Ctx>, id: Id, to: u32, capacity: u32) -> wasmtime::Result<i32> {
    let kernel = &caller.data().kernel;
    let (message, trace, wake) = match kernel.channels().try_receive(id) {
        Ok(received) => received,
        Err(ReceiveRefusal::Empty) => return Ok(EMPTY),
        Err(ReceiveRefusal::Closed) => return Ok(CLOSED),
    };
    let message = received(kernel, message, wake);
    let (memory, ctx) = guest_memory::all(caller)?;
    ctx.current.give(trace);
    deliver(memory, ctx, message, to, capacity)
}

/// Passes a message to the guest: in its memory if there is room and the message is not long, otherwise in the buffer,
/// from which it is copied in pieces. Returns the length.
pub(super) fn deliver<A: Array<Item = u8>>(
    memory: &mut [u8],
    ctx: &mut Ctx,
    message: SmallVec<A>,
    to: u32,
    capacity: u32,
) -> wasmtime::Result<i32> {
    let len = message.len();
    if len <= (capacity as usize).min(IN_PLACE_LEN_MAX) {
        guest_memory::part(memory, to, u32::try_from(len)?)?.copy_from_slice(&message);
    } else {
        ctx.set_buffer(message.into_vec());
    }
    Ok(i32::try_from(len).expect("messages are shorter than 2 GiB"))
}
