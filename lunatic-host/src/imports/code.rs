//! `lunatic::code`.

use lunatic_kernel::budget::{Payer, Receipt, Resource};
use lunatic_sys::codes::{EMPTY, INVALID, LIMIT, NOT_CHANGED, OK, STATE_LEN_MAX, offer as by};
use wasmtime::{Caller, Linker};

use super::pieces;
use crate::code::order::Outcome;
use crate::code::{Heard, Offer, upgrade};
use crate::guest_memory;
use crate::imports::timed::Timed as _;
use crate::instance::{self, Change, Ctx};
use crate::report::untrusted::line;

/// The longest text with which a version rejects a state, in bytes.
const WHY_LEN_MAX: usize = 4 << 10;

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    let namespace = "lunatic::code";
    linker.timed(namespace, "offer", offer)?;
    linker.timed_async(namespace, "change", |caller, (state, len)| {
        Box::new(change(caller, state, len))
    })?;
    linker.timed(namespace, "accept", |mut caller: Caller<'_, Ctx>| {
        let accepted = instance::accept(caller.data_mut());
        accepted.map(|accepted| if accepted { OK } else { INVALID })
    })?;
    linker.timed(namespace, "refuse", refuse)?;
    linker.timed(namespace, "decline", decline)?;
    linker.timed(namespace, "version", version)?;
    linker.timed(namespace, "current", |caller: Caller<'_, Ctx>| {
        upgrade::versions(&caller.data().process().system).current().0
    })?;
    Ok(())
}

fn offer(caller: Caller<'_, Ctx>, entry: u32, heard: i32) -> wasmtime::Result<i32> {
    caller.data().acts()?;
    let heard = match heard {
        by::NONE => {
            caller.data().process().local.code.withdraw_offer();
            return Ok(0);
        }
        by::ASKS => Heard::Asks,
        by::INTERRUPT => Heard::Interrupt,
        _ => Heard::Mail,
    };
    let is_pending = caller.data().process().local.code.offer(Offer { entry, heard });
    Ok(i32::from(is_pending))
}

async fn change(mut caller: Caller<'_, Ctx>, state: u32, len: u32) -> wasmtime::Result<i32> {
    guest_memory::slice(&mut caller, state, len)?;
    let ctx = caller.data();
    ctx.acts()?;
    let process = ctx.process().clone();
    let Some((order, offer)) = process.local.code.take_order() else {
        return Ok(EMPTY);
    };
    let kept = |why: &str| order.came(process.id, Outcome::Kept { why: why.to_owned() });
    let mut paid = Receipt::new(process.purse().to_account(), Resource::Buffers);
    let refusal = match len as usize {
        // The state exists twice: as bytes, and as the values that were read from them.
        len if len <= STATE_LEN_MAX => paid.grow(len).err().map(|exhausted| exhausted.to_string()),
        _ => Some(format!("a state has at most {STATE_LEN_MAX} bytes, not {len}")),
    };
    if let Some(why) = refusal {
        kept(&why);
        caller.data_mut().set_buffer(why);
        return Ok(LIMIT);
    }
    if let Some(why) = order.module.misfits(&caller.data().module) {
        kept(why);
        caller.data_mut().set_buffer(why);
        return Ok(NOT_CHANGED);
    }
    let name = caller.data().module.entries().name_of(offer.entry);
    let Some(entry) = name.as_ref().and_then(|name| order.module.entries().find(name)) else {
        let name = name.map_or_else(
            || format!("at {} of the table", offer.entry),
            |name| format!("`{}`", line(name.to_string())),
        );
        let why = format!("the version has no function {name} to continue with");
        kept(&why);
        caller.data_mut().set_buffer(why);
        return Ok(NOT_CHANGED);
    };
    let state = pieces::read(&mut caller, state, len).await?;
    instance::note_place(&mut caller);
    let why = instance::change(&mut caller, Change::new(order, process.id, entry, state, paid)).await;
    Ok(match why {
        Some(why) => {
            caller.data_mut().set_buffer(why);
            NOT_CHANGED
        }
        None => EMPTY,
    })
}

/// A text of the guest as a single line.
fn read_why<'a>(caller: &'a mut Caller<'_, Ctx>, why: u32, len: u32) -> wasmtime::Result<(String, &'a mut Ctx)> {
    let (bytes, ctx) = guest_memory::slice(caller, why, len)?;
    let bytes = &bytes[..bytes.len().min(WHY_LEN_MAX)];
    Ok((line(String::from_utf8_lossy(bytes)).to_string(), ctx))
}

fn decline(mut caller: Caller<'_, Ctx>, why: u32, len: u32) -> wasmtime::Result<()> {
    let (why, ctx) = read_why(&mut caller, why, len)?;
    ctx.acts()?;
    let process = ctx.process();
    if let Some((order, _)) = process.local.code.take_order() {
        order.came(process.id, Outcome::Kept { why });
    }
    Ok(())
}

fn refuse(mut caller: Caller<'_, Ctx>, why: u32, len: u32) -> wasmtime::Result<()> {
    let (why, ctx) = read_why(&mut caller, why, len)?;
    if ctx.on_trial {
        instance::refuse(ctx, why);
    }
    Err(wasmtime::Error::msg("the state was refused"))
}

fn version(caller: Caller<'_, Ctx>) -> u32 {
    let ctx = caller.data();
    let code = ctx.process().local.code.module();
    upgrade::versions(&ctx.process().system).number_of(&code)
}
