//! `lunatic::channel` for channels of other nodes: the process waits for the answer of the channel's node.

use lunatic_kernel::WaitFor;
use lunatic_kernel::address::Id;
use lunatic_kernel::channel::SendRefusal;
use lunatic_kernel::elsewhere::{self, Offered, Refused, Sending};
use lunatic_kernel::wait::Wait;
use lunatic_sys::codes::{CLOSED, LIMIT, MESSAGE_LEN_MAX, NO_TIMEOUT, OK, TIMED_OUT};
use smallvec::SmallVec;
use wasmtime::Caller;

use super::buffer::{check_put, is_sent_from_buffer};
use super::channel::{TOO_MUCH, deliver, sent};
use super::wait::{show, wait};
use crate::guest_memory;
use crate::instance::Ctx;
use crate::wasm::Wasm;

/// Begins a wait for the answer of a channel. A call with a timeout of 0 does not wait for the channel, but for the answer.
pub(super) fn wait_for_answer(
    caller: &mut Caller<'_, Ctx>,
    kind: WaitFor,
    channel: Id,
    timeout_ns: u64,
) -> Wait<'static, Wasm> {
    let timeout_ns = if timeout_ns == 0 { NO_TIMEOUT } else { timeout_ns };
    wait(caller, kind, channel, timeout_ns)
}

/// The code for the guest.
fn refused(caller: &mut Caller<'_, Ctx>, refused: Refused) -> i32 {
    match refused {
        Refused::TimedOut => TIMED_OUT,
        Refused::Closed => CLOSED,
        Refused::Limit => {
            caller.data_mut().set_buffer(TOO_MUCH);
            LIMIT
        }
    }
}

/// Sends a message; one from the buffer stays there until it is accepted.
pub(super) async fn send(
    caller: &mut Caller<'_, Ctx>,
    channel: Id,
    message: u32,
    len: u32,
    timeout_ns: u64,
) -> wasmtime::Result<i32> {
    if len as usize > MESSAGE_LEN_MAX {
        return Ok(sent(caller.data_mut(), Err(SendRefusal::Limit)));
    }
    let wait = wait_for_answer(caller, WaitFor::Send, channel, timeout_ns);
    let mut sending = Sending::new(&wait, channel, timeout_ns != 0);
    let is_in_buffer = is_sent_from_buffer(len as usize);
    loop {
        if is_in_buffer {
            check_put(caller.data(), len)?;
            sending.offer(caller.data().buffer());
        } else {
            let (bytes, _) = guest_memory::slice(caller, message, len)?;
            sending.offer(bytes);
        }
        match show(caller, sending.outcome()).await {
            Offered::Again => {}
            Offered::Accepted => {
                if is_in_buffer {
                    drop(caller.data_mut().take_buffer());
                }
                return Ok(OK);
            }
            Offered::Refused(why) => return Ok(refused(caller, why)),
        }
    }
}

/// Receives a message.
pub(super) async fn receive(
    caller: &mut Caller<'_, Ctx>,
    channel: Id,
    to: u32,
    capacity: u32,
    timeout_ns: u64,
) -> wasmtime::Result<i32> {
    let wait = wait_for_answer(caller, WaitFor::Receive, channel, timeout_ns);
    let received = show(caller, elsewhere::receive(&wait, channel, timeout_ns != 0)).await;
    match received {
        Ok(message) => {
            let (memory, ctx) = guest_memory::all(caller)?;
            // It comes without a trace.
            ctx.current.give(None);
            deliver(memory, ctx, SmallVec::<[u8; 0]>::from_vec(message), to, capacity)
        }
        Err(why) => Ok(refused(caller, why)),
    }
}
