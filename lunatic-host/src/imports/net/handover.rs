//! Hands sockets over.

use std::sync::Arc;

use lunatic_net::handles::Receiver;
use lunatic_sys::codes::{CLOSED, INVALID, OK, REFUSED, receiver};
use lunatic_sys::layout::RawHandle;
use wasmtime::{Caller, Linker};

use super::call::{Failure, NAMESPACE, acts, answer};
use crate::imports::timed::Timed as _;
use crate::instance::Ctx;
use crate::wasm::Process;

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    linker.timed(NAMESPACE, "hand_over", hand_over)?;
    linker.timed(NAMESPACE, "claim", claim)?;
    Ok(())
}

/// The process to which a socket is handed over, and whether others may claim it, too.
fn find_receiver(ctx: &Ctx, kind: i32, id: u64, key: u64) -> Result<(Option<Arc<Process>>, bool), Failure> {
    let kernel = &ctx.kernel;
    let process = match kind {
        receiver::ANYBODY => return Ok((None, true)),
        receiver::PROCESS => kernel
            .process_named(RawHandle { id, key })
            .ok_or(Failure::Code(INVALID))?,
        receiver::CHANNEL => {
            let channel = kernel
                .channel_named(RawHandle { id, key })
                .ok_or(Failure::Code(INVALID))?;
            if !channel.is_here() {
                return Err(Failure::Code(REFUSED));
            }
            kernel.channels().view(channel).ok_or(Failure::Code(CLOSED))?.owner
        }
        _ => return Err(Failure::Code(INVALID)),
    };
    if !process.is_here() {
        // A socket belongs to its node.
        return Err(Failure::Code(REFUSED));
    }
    let process = kernel.find(process).ok_or(Failure::Code(CLOSED))?;
    Ok((Some(process), kind == receiver::CHANNEL))
}

fn hand_over(mut caller: Caller<'_, Ctx>, id: u64, key: u64, kind: i32, to_id: u64, to_key: u64) -> i32 {
    let ctx = caller.data();
    let handles = &ctx.kernel.host.net.handles;
    let result = match handles.keys.check(id, key) {
        Some(id) => acts(ctx)
            .and_then(|()| find_receiver(ctx, kind, to_id, to_key))
            .and_then(|(to, is_for_anyone)| {
                let to = match &to {
                    Some(to) if !is_for_anyone => Receiver::Process(to),
                    keeper => Receiver::Anyone(keeper.as_ref()),
                };
                Ok(handles.hand_over(ctx.process(), id, to)?)
            })
            .map(|()| OK),
        None => Err(Failure::Code(INVALID)),
    };
    answer(&mut caller, result)
}

fn claim(mut caller: Caller<'_, Ctx>, id: u64, key: u64) -> i32 {
    let ctx = caller.data();
    let handles = &ctx.kernel.host.net.handles;
    let result = match handles.keys.check(id, key) {
        // What belongs to the process already is part of the state that an instance reads on trial.
        Some(id) if ctx.on_trial && handles.is_owned(ctx.process(), id) => Ok(OK),
        Some(id) => acts(ctx)
            .and_then(|()| Ok(handles.claim(ctx.process(), id)?))
            .map(|()| OK),
        None => Err(Failure::Code(INVALID)),
    };
    answer(&mut caller, result)
}
