//! `lunatic:process/registry`.

use lunatic_kernel::address::Id;
use lunatic_kernel::budget::Resource as Charged;
use lunatic_sys::codes::{DENIED, IN_PLACE_LEN_MAX, LIMIT};
use wasmtime::Result;
use wasmtime::component::{LinkerInstance, Resource};

use super::handle::{Address, Handle, Refusal};
use super::{View, define, view};
use crate::imports::channel::TOO_MUCH;
use crate::imports::component::aside;
use crate::imports::registry::{check_name, enter, give_name, leave, may_name, remove_name, send_to_member};
use crate::instance::Ctx;

/// The most members that a call returns: a MiB of addresses, which the engine copies in one step.
const MEMBERS_MAX: usize = 1 << 16;
/// For how many members there is room at first.
const MEMBERS_FIRST: usize = 64;

pub(super) fn add(interface: &mut LinkerInstance<'_, Ctx>) -> Result<()> {
    define(interface, "register", register)?;
    define(interface, "unregister", unregister)?;
    define(interface, "lookup", lookup)?;
    define(interface, "join-group", join_group)?;
    define(interface, "leave-group", leave_group)?;
    interface.func_wrap_async("members", |mut store, (name,): (String,)| {
        Box::new(async move { Ok((members(&mut view(store.data_mut()), &name).await?,)) })
    })?;
    interface.func_wrap_async("broadcast", |mut store, message: (String, u64, Vec<u8>)| {
        Box::new(async move { Ok((broadcast(&mut view(store.data_mut()), message).await?,)) })
    })
}

fn register(view: &mut View<'_>, (name, process): (String, Resource<Handle>)) -> Result<(Result<(), Refusal>,)> {
    naming(view, &name, &process, give_name)
}

/// Calls `give`, which gives a process a name or adds it to a group, if the caller may do that.
fn naming(
    view: &mut View<'_>,
    name: &str,
    process: &Resource<Handle>,
    give: fn(&mut Ctx, &[u8], Id) -> i32,
) -> Result<(Result<(), Refusal>,)> {
    check_name(name.as_bytes())?;
    let id = view.id_of(process)?;
    let code = match may_name(view.0, name.as_bytes()) {
        true => give(view.0, name.as_bytes(), id),
        false => DENIED,
    };
    Ok((view.outcome(code),))
}

fn unregister(view: &mut View<'_>, (name,): (String,)) -> Result<(Result<(), Refusal>,)> {
    check_name(name.as_bytes())?;
    let code = remove_name(view.0, name.as_bytes());
    Ok((view.outcome(code),))
}

fn lookup(view: &mut View<'_>, (name,): (String,)) -> Result<(Option<Resource<Handle>>,)> {
    check_name(name.as_bytes())?;
    let found = view.process().local.rights.scope.lookup(name.as_bytes());
    Ok((found.map(|id| view.handle(id)).transpose()?,))
}

fn join_group(view: &mut View<'_>, (name, process): (String, Resource<Handle>)) -> Result<(Result<(), Refusal>,)> {
    naming(view, &name, &process, enter)
}

fn leave_group(view: &mut View<'_>, (name, process): (String, Resource<Handle>)) -> Result<(Result<(), Refusal>,)> {
    check_name(name.as_bytes())?;
    let id = view.id_of(&process)?;
    let code = leave(view.0, name.as_bytes(), id);
    Ok((view.outcome(code),))
}

/// The process pays for the list until its next call, because the engine runs code of the process to copy it.
async fn members(view: &mut View<'_>, name: &str) -> Result<Vec<Address>> {
    check_name(name.as_bytes())?;
    let members = view.process().local.rights.scope.members(name.as_bytes());
    let (mut addresses, mut paid) = (Vec::new(), view.paid(Charged::Buffers, 0)?);
    for id in members.take(MEMBERS_MAX) {
        if addresses.len() == addresses.capacity() {
            let more = addresses.len().max(MEMBERS_FIRST);
            let grown = paid.grow(more * size_of::<Address>());
            grown.map_err(|exhausted| view.cannot_pay(exhausted))?;
            addresses.reserve_exact(more);
        }
        addresses.push(view.address_of(id));
        aside::pause(view).await;
    }
    view.state().lent = Some(paid);
    Ok(addresses)
}

async fn broadcast(view: &mut View<'_>, (name, tag, body): (String, u64, Vec<u8>)) -> Result<Result<u32, Refusal>> {
    check_name(name.as_bytes())?;
    if body.len() > IN_PLACE_LEN_MAX {
        view.0.set_buffer(TOO_MUCH);
        return Ok(Err(view.refused(LIMIT)));
    }
    let mut count = 0;
    for id in view.process().local.rights.scope.members(name.as_bytes()) {
        aside::pause(view).await;
        count += u32::from(send_to_member(view.0, id, tag, &body));
    }
    Ok(Ok(count))
}
