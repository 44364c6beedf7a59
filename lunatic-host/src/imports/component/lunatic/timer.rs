//! `lunatic:process/timer`.

use wasmtime::Result;
use wasmtime::component::{LinkerInstance, Resource};

use super::handle::{Handle, Refusal};
use super::{View, define, with_content};
use crate::imports::timer::set;
use crate::instance::Ctx;

pub(super) fn add(interface: &mut LinkerInstance<'_, Ctx>) -> Result<()> {
    define(interface, "send-after", send_after)?;
    define(interface, "cancel", cancel)
}

/// The receiver, the tag, the message, the delay and the interval.
type Letter = (Resource<Handle>, u64, Vec<u8>, u64, Option<u64>);

fn send_after(view: &mut View<'_>, (to, tag, body, delay, interval): Letter) -> Result<(Result<u64, Refusal>,)> {
    let to = view.id_of(&to)?;
    // An interval of 0 is as short as possible, and not none.
    let interval = interval.map_or(0, |interval| interval.max(1));
    let set = with_content(view.0, body, |ctx, content| set(ctx, to, tag, content, delay, interval));
    Ok((set.map_err(|code| view.refused(code)),))
}

fn cancel(view: &mut View<'_>, (timer,): (u64,)) -> Result<(bool,)> {
    let system = &view.process().system;
    Ok((view.0.kernel.cancel_timer(system, timer),))
}
