//! `lunatic:process/process`, without spawns.

use lunatic_kernel::WaitFor;
use lunatic_kernel::address::Id;
use lunatic_kernel::connections::until_room;
use lunatic_kernel::exit::ExitReason;
use lunatic_kernel::wait::poll_until;
use lunatic_sys::codes::NO_TIMEOUT;
use wasmtime::Result;
use wasmtime::component::{LinkerInstance, Resource, ResourceType};

use super::exit::Reason;
use super::handle::{Address, Handle, Refusal};
use super::mailbox::take;
use super::{View, define, spawn, view, wait};
use crate::ending::Exited;
use crate::imports::process::{Joined, kill as kill_process};
use crate::imports::signal;
use crate::instance::Ctx;

pub(super) fn add(interface: &mut LinkerInstance<'_, Ctx>) -> Result<()> {
    interface.resource("process", ResourceType::host::<Handle>(), |mut store, rep| {
        view(store.data_mut()).drop_handle(Resource::new_own(rep))
    })?;
    define(interface, "[static]process.of-address", of_address)?;
    define(interface, "[method]process.address", address)?;
    define(interface, "[method]process.is-alive", is_alive)?;
    interface.func_wrap_async(
        "[method]process.join",
        |mut store, (handle, timeout): (Resource<Handle>, Option<u64>)| {
            Box::new(async move {
                let reason = join(&mut view(store.data_mut()), &handle, timeout).await?;
                Ok((reason.map(Reason::from),))
            })
        },
    )?;
    define(interface, "[method]process.link", link)?;
    define(interface, "[method]process.unlink", unlink)?;
    define(interface, "[method]process.monitor", monitor)?;
    define(interface, "[method]process.exit-signal", exit_signal)?;
    define(interface, "[method]process.kill", kill)?;
    define(interface, "this", this)?;
    define(interface, "parent", parent)?;
    interface.func_wrap_async("spawn", |mut store, child: spawn::Child| {
        Box::new(async move { Ok((spawn::spawn(&mut view(store.data_mut()), child).await?,)) })
    })?;
    define(interface, "demonitor", demonitor)?;
    define(interface, "trap-exits", trap_exits)?;
    define(interface, "exit", exit)
}

fn of_address(view: &mut View<'_>, (address,): (Address,)) -> Result<(Option<Resource<Handle>>,)> {
    let found = view.0.kernel.process_named(address.into());
    Ok((found.map(|id| view.handle(id)).transpose()?,))
}

fn address(view: &mut View<'_>, (handle,): (Resource<Handle>,)) -> Result<(Address,)> {
    let id = view.id_of(&handle)?;
    Ok((view.address_of(id),))
}

fn is_alive(view: &mut View<'_>, (handle,): (Resource<Handle>,)) -> Result<(bool,)> {
    let id = view.id_of(&handle)?;
    Ok((view.0.kernel.may_be_alive(id),))
}

async fn join(view: &mut View<'_>, handle: &Resource<Handle>, timeout: Option<u64>) -> Result<Option<ExitReason>> {
    let id = view.id_of(handle)?;
    let kernel = view.0.kernel.clone();
    match kernel.find(id) {
        None if !id.is_here() => Ok(join_elsewhere(view, id, timeout).await),
        None => Ok(Some(kernel.exit_reason(id))),
        Some(process) => {
            let joined = Joined::new(process, view.process().clone());
            let waiting = wait(view, WaitFor::Join, id, timeout);
            Ok(poll_until(&waiting, |_| joined.poll()).await)
        }
    }
}

/// Waits for the end of a process of another node, or for the loss of that node. First, there must be room on the way to it.
async fn join_elsewhere(view: &mut View<'_>, id: Id, timeout: Option<u64>) -> Option<ExitReason> {
    let (kernel, process) = (view.0.kernel.clone(), view.process().clone());
    let mut timeout_ns = timeout.unwrap_or(NO_TIMEOUT);
    if !kernel.may_send(id) {
        let wait = wait(view, WaitFor::Join, id, timeout);
        while !kernel.may_send(id) {
            if !until_room(&wait, id.peer()).await {
                return None;
            }
        }
        timeout_ns = wait.rest_ns();
    }
    let reference = kernel.monitor(&process, id, 0);
    let mail = take(view, &[reference], timeout_ns).await;
    if mail.is_none() {
        kernel.demonitor(&process, reference, true);
    }
    ExitReason::from_bytes(&mail?.body)
}

fn link(view: &mut View<'_>, (handle,): (Resource<Handle>,)) -> Result<(Result<(), Refusal>,)> {
    let id = view.id_of(&handle)?;
    let code = signal::link_to(view.0, id)?;
    Ok((view.outcome(code),))
}

fn unlink(view: &mut View<'_>, (handle,): (Resource<Handle>,)) -> Result<()> {
    let id = view.id_of(&handle)?;
    view.0.kernel.unlink(view.process(), id);
    Ok(())
}

fn monitor(view: &mut View<'_>, (handle, tag): (Resource<Handle>, u64)) -> Result<(Result<u64, Refusal>,)> {
    let id = view.id_of(&handle)?;
    Ok((signal::watch(view.0, id, tag).ok_or(Refusal::Full),))
}

fn exit_signal(view: &mut View<'_>, (handle, reason): (Resource<Handle>, Reason)) -> Result<(Result<(), Refusal>,)> {
    let reason = reason.checked()?;
    let id = view.id_of(&handle)?;
    let code = signal::signal(view.0, id, &reason)?;
    Ok((view.outcome(code),))
}

fn kill(view: &mut View<'_>, (handle,): (Resource<Handle>,)) -> Result<(Result<(), Refusal>,)> {
    let id = view.id_of(&handle)?;
    let code = kill_process(view.0, id)?;
    Ok((view.outcome(code),))
}

fn this(view: &mut View<'_>, (): ()) -> Result<(Resource<Handle>,)> {
    let id = view.process().id;
    Ok((view.handle(id)?,))
}

fn parent(view: &mut View<'_>, (): ()) -> Result<(Option<Resource<Handle>>,)> {
    let parent = view.process().parent;
    Ok((parent.map(|id| view.handle(id)).transpose()?,))
}

fn demonitor(view: &mut View<'_>, (reference, flush): (u64, bool)) -> Result<(bool,)> {
    Ok((view.0.kernel.demonitor(view.process(), reference, flush),))
}

fn trap_exits(view: &mut View<'_>, (on,): (bool,)) -> Result<(bool,)> {
    Ok((view.process().trap_exits(on),))
}

fn exit(_: &mut View<'_>, (reason,): (Reason,)) -> Result<()> {
    Err(Exited(reason.checked()?).into())
}
