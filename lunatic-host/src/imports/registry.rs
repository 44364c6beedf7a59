//! `lunatic::registry`.

use lunatic_kernel::address::Id;
use lunatic_kernel::mail::Content;
use lunatic_kernel::registry::{MEMBERSHIPS_MAX, Name, NameRefusal};
use lunatic_sys::codes::{CLOSED, DENIED, INVALID, LIMIT, MESSAGE_LEN_MAX, NAME_LEN_MAX, NAME_TAKEN, OK};
use lunatic_sys::layout::RawHandle;
use wasmtime::{Caller, Linker};

use super::buffer::{check_put, copy_of_buffer, is_sent_from_buffer};
use super::handle::{check_handle, write_handle};
use super::members::leave_handles;
use super::pieces;
use crate::guest_memory;
use crate::imports::timed::Timed as _;
use crate::instance::Ctx;
use crate::rights::{May, denial};

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    let namespace = "lunatic::registry";
    linker.timed(namespace, "register", register)?;
    linker.timed(namespace, "unregister", unregister)?;
    linker.timed(namespace, "lookup", lookup)?;
    linker.timed(namespace, "join_group", join_group)?;
    linker.timed(namespace, "leave_group", leave_group)?;
    linker.timed_async(namespace, "members", |caller, (name, len)| {
        Box::new(members(caller, name, len))
    })?;
    linker.timed_async(
        namespace,
        "broadcast",
        |caller, (name, len, tag, message, message_len)| {
            Box::new(broadcast(caller, name, len, tag, message, message_len))
        },
    )?;
    Ok(())
}

/// Reads the name that a guest wrote.
pub(super) fn name(caller: &mut Caller<'_, Ctx>, name: u32, len: u32) -> wasmtime::Result<Name> {
    let bytes = guest_memory::slice(caller, name, len)?.0;
    check_name(bytes)?;
    Ok((&*bytes).into())
}

/// Traps unless these bytes can be a name.
pub(super) fn check_name(bytes: &[u8]) -> wasmtime::Result<()> {
    match bytes.len() {
        1..=NAME_LEN_MAX => Ok(()),
        len => {
            let text = format!("a name has 1 to {NAME_LEN_MAX} bytes, not {len}");
            Err(wasmtime::Error::msg(text))
        }
    }
}

/// Whether the caller may register this name for any process; if not, leaves a text in the buffer and logs the denial.
pub(super) fn may_name(ctx: &mut Ctx, name: &[u8]) -> bool {
    may_change_names(ctx, "may not register the name", name)
}

/// The same for removing a name, or a process from a group, of another process than the caller.
pub(super) fn may_remove(ctx: &mut Ctx, name: &[u8]) -> bool {
    may_change_names(ctx, "may not remove the name", name)
}

fn may_change_names(ctx: &mut Ctx, denied: &str, name: &[u8]) -> bool {
    let process = ctx.process();
    let may = process.local.rights.may.contains(May::NAMES);
    if !may {
        denial::log(process, denied, &String::from_utf8_lossy(name), "");
        ctx.set_buffer(
            b"the process may not register or remove names: the configuration that it was spawned with has no `allow=names`",
        );
    }
    may
}

fn register(mut caller: Caller<'_, Ctx>, at: u32, len: u32, id: u64, key: u64) -> wasmtime::Result<i32> {
    caller.data().acts()?;
    let name = name(&mut caller, at, len)?;
    let ctx = caller.data_mut();
    if !may_name(ctx, &name) {
        return Ok(DENIED);
    }
    let Some(id) = ctx.kernel.process_named(RawHandle { id, key }) else {
        return Ok(INVALID);
    };
    Ok(give_name(ctx, &name, id))
}

/// Gives a process a name; the caller [may](may_name) do that. Returns the code.
pub(super) fn give_name(ctx: &mut Ctx, name: &[u8], id: Id) -> i32 {
    let find = || ctx.kernel.find(id).ok_or(NameRefusal::Ended);
    let this = ctx.process();
    match this.local.rights.scope.register(name, this, find) {
        Ok(_) => OK,
        Err(NameRefusal::Taken(_)) => NAME_TAKEN,
        Err(NameRefusal::Ended) => CLOSED,
        Err(NameRefusal::TooMany) => too_many(ctx),
    }
}

pub(super) fn too_many(ctx: &mut Ctx) -> i32 {
    ctx.set_buffer(format!(
        "a process has at most {MEMBERSHIPS_MAX} names, and is in at most as many groups, or half of that if others put it \
         there; the budget of who does so may allow fewer"
    ));
    LIMIT
}

fn unregister(mut caller: Caller<'_, Ctx>, at: u32, len: u32) -> wasmtime::Result<i32> {
    caller.data().acts()?;
    let name = name(&mut caller, at, len)?;
    Ok(remove_name(caller.data_mut(), &name))
}

/// Removes a name, if the caller may do that. Returns the code.
pub(super) fn remove_name(ctx: &mut Ctx, name: &[u8]) -> i32 {
    let (scope, this) = (ctx.process().local.rights.scope.clone(), ctx.process().id);
    // A process may always give up its own name.
    let is_own = scope.unregister(name, Some(this), |id| ctx.kernel.find(id));
    if is_own {
        return OK;
    }
    if !may_remove(ctx, name) {
        return DENIED;
    }
    match scope.unregister(name, None, |id| ctx.kernel.find(id)) {
        true => OK,
        false => CLOSED,
    }
}

fn lookup(mut caller: Caller<'_, Ctx>, at: u32, len: u32, out: u32) -> wasmtime::Result<i32> {
    check_handle(&mut caller, out)?;
    let name = name(&mut caller, at, len)?;
    let ctx = caller.data();
    let Some(id) = ctx.process().local.rights.scope.lookup(&name) else {
        return Ok(CLOSED);
    };
    let handle = ctx.kernel.process_address(id);
    write_handle(&mut caller, out, handle)?;
    Ok(OK)
}

fn join_group(mut caller: Caller<'_, Ctx>, at: u32, len: u32, id: u64, key: u64) -> wasmtime::Result<i32> {
    caller.data().acts()?;
    let name = name(&mut caller, at, len)?;
    let ctx = caller.data_mut();
    if !may_name(ctx, &name) {
        return Ok(DENIED);
    }
    let Some(id) = ctx.kernel.process_named(RawHandle { id, key }) else {
        return Ok(INVALID);
    };
    Ok(enter(ctx, &name, id))
}

/// Adds a process to a group; the caller [may](may_name) do that. Returns the code.
pub(super) fn enter(ctx: &mut Ctx, name: &[u8], id: Id) -> i32 {
    let Some(process) = ctx.kernel.find(id) else {
        return CLOSED;
    };
    let this = ctx.process();
    match this.local.rights.scope.join(name, &process, this) {
        Ok(()) => OK,
        Err(NameRefusal::TooMany) => too_many(ctx),
        Err(_) => CLOSED,
    }
}

fn leave_group(mut caller: Caller<'_, Ctx>, at: u32, len: u32, id: u64, key: u64) -> wasmtime::Result<i32> {
    caller.data().acts()?;
    let name = name(&mut caller, at, len)?;
    let ctx = caller.data_mut();
    let Some(id) = ctx.kernel.process_named(RawHandle { id, key }) else {
        return Ok(INVALID);
    };
    Ok(leave(ctx, &name, id))
}

/// Removes a process from a group, if the caller may do that. Returns the code.
pub(super) fn leave(ctx: &mut Ctx, name: &[u8], id: Id) -> i32 {
    // A process may always leave a group itself.
    if id != ctx.process().id && !may_remove(ctx, name) {
        return DENIED;
    }
    let member = ctx.kernel.find(id);
    let left = ctx.process().local.rights.scope.leave(name, id, member.as_deref());
    if left { OK } else { CLOSED }
}

async fn members(mut caller: Caller<'_, Ctx>, at: u32, len: u32) -> wasmtime::Result<i32> {
    let name = name(&mut caller, at, len)?;
    let members = caller.data().process().local.rights.scope.members(&name);
    leave_handles(&mut caller, members).await
}

async fn broadcast(
    mut caller: Caller<'_, Ctx>,
    at: u32,
    len: u32,
    tag: u64,
    message: u32,
    message_len: u32,
) -> wasmtime::Result<i32> {
    caller.data().acts()?;
    let name = name(&mut caller, at, len)?;
    let (bytes, ctx) = guest_memory::slice(&mut caller, message, message_len)?;
    if bytes.len() > MESSAGE_LEN_MAX {
        ctx.set_buffer(super::channel::TOO_MUCH);
        return Ok(LIMIT);
    }
    if is_sent_from_buffer(bytes.len()) {
        check_put(ctx, message_len)?;
        return broadcast_long(caller, &name, tag).await;
    }
    let mut count = 0;
    for id in caller.data().process().local.rights.scope.members(&name) {
        pieces::pause(&mut caller).await;
        let (bytes, ctx) = guest_memory::slice(&mut caller, message, message_len)?;
        count += i32::from(send_to_member(ctx, id, tag, bytes));
    }
    Ok(count)
}

/// Sends a message to a member of a group. A member that has ended, or whose mailbox is full, misses it; others do not.
pub(super) fn send_to_member(ctx: &Ctx, id: Id, tag: u64, bytes: &[u8]) -> bool {
    let Some(member) = ctx.kernel.find(id) else {
        return false;
    };
    let content = Content::from(bytes)
        .traced(ctx.current.trace().clone())
        .sent_by(ctx.process().id);
    ctx.kernel.put_mail(member, tag, content).is_ok()
}

/// Sends the contents of the buffer to each member, as a separate copy. The caller pays for the copy until the member
/// does; if it cannot, no further member gets the message.
async fn broadcast_long(mut caller: Caller<'_, Ctx>, name: &[u8], tag: u64) -> wasmtime::Result<i32> {
    let mut count = 0;
    for id in caller.data().process().local.rights.scope.members(name) {
        if caller.data().kernel.find(id).is_none() {
            continue;
        }
        let Some((copy, paid)) = copy_of_buffer(&mut caller).await else {
            if count == 0 {
                caller.data_mut().set_buffer(super::channel::TOO_MUCH);
                return Ok(LIMIT);
            }
            break;
        };
        let ctx = caller.data();
        let Some(member) = ctx.kernel.find(id) else { continue };
        drop(paid);
        let content = Content::from(copy)
            .traced(ctx.current.trace().clone())
            .sent_by(ctx.process().id);
        count += i32::from(ctx.kernel.put_mail(member, tag, content).is_ok());
    }
    drop(caller.data_mut().take_buffer());
    Ok(count)
}
