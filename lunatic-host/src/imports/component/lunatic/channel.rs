//! `lunatic:process/channel`.

use lunatic_kernel::WaitFor;
use lunatic_kernel::address::Id;
use lunatic_kernel::budget::{Payer as _, Receipt, Resource as Charged};
use lunatic_kernel::channel::{Message, SendRefusal};
use lunatic_kernel::wait::{Waiter, block, until};
use lunatic_sys::codes::TIMED_OUT;
use wasmtime::Result;
use wasmtime::component::{ComponentType, LinkerInstance, Lower, Resource, ResourceType};

use super::handle::{Address, Refusal};
use super::{View, define, mailbox, view, wait};
use crate::imports::channel::{self, sent, try_once};
use crate::instance::Ctx;

/// The channel that a handle stands for.
struct Handle(Id);

/// A message.
#[derive(ComponentType, Lower)]
#[component(record)]
struct Received {
    body: Vec<u8>,
    more: u64,
}

pub(super) fn add(interface: &mut LinkerInstance<'_, Ctx>) -> Result<()> {
    interface.resource("channel", ResourceType::host::<Handle>(), |mut store, rep| {
        let handle = Resource::<Handle>::new_own(rep);
        view(store.data_mut()).dropping(|state| state.table().delete(handle))?;
        Ok(())
    })?;
    define(interface, "[static]channel.open", open)?;
    define(interface, "[static]channel.of-address", of_address)?;
    define(interface, "[method]channel.address", address)?;
    interface.func_wrap_async(
        "[method]channel.send",
        |mut store, (handle, body, timeout): (Resource<Handle>, Vec<u8>, Option<u64>)| {
            Box::new(async move {
                let mut view = view(store.data_mut());
                let code = send(&mut view, &handle, body, timeout).await?;
                Ok((view.outcome(code),))
            })
        },
    )?;
    interface.func_wrap_async(
        "[method]channel.receive",
        |mut store, (handle, timeout): (Resource<Handle>, Option<u64>)| {
            Box::new(async move { Ok((receive(&mut view(store.data_mut()), &handle, timeout).await?,)) })
        },
    )
}

fn give(view: &mut View<'_>, id: Id) -> Result<Resource<Handle>> {
    view.giving(|trap| trap, |state| Ok(state.table().push(Handle(id))?))
}

fn id_of(view: &mut View<'_>, handle: &Resource<Handle>) -> Result<Id> {
    Ok(view.state().table().get(handle)?.0)
}

fn open(view: &mut View<'_>, (bound,): (Option<u64>,)) -> Result<(Result<Resource<Handle>, Refusal>,)> {
    // A bound of 0 is none for core modules; here, the least is 1.
    let bound = bound.map_or(0, |bound| bound.max(1));
    Ok((match channel::open(view.0, bound) {
        Ok(id) => Ok(give(view, id)?),
        Err(code) => Err(view.refused(code)),
    },))
}

fn of_address(view: &mut View<'_>, (address,): (Address,)) -> Result<(Option<Resource<Handle>>,)> {
    // Components have no functions for channels of other nodes.
    let found = view.0.channel(address.id, address.key).filter(|id| id.is_here());
    Ok((found.map(|id| give(view, id)).transpose()?,))
}

fn address(view: &mut View<'_>, (handle,): (Resource<Handle>,)) -> Result<(Address,)> {
    let id = id_of(view, &handle)?;
    Ok((view.0.kernel.channel_keys().handle(id).into(),))
}

/// Sends a message; waits while the channel is full. The process pays for the message until the channel does.
async fn send(view: &mut View<'_>, handle: &Resource<Handle>, body: Vec<u8>, timeout: Option<u64>) -> Result<i32> {
    let id = id_of(view, handle)?;
    let wait = wait(view, WaitFor::Send, id, timeout);
    let kernel = wait.kernel.clone();
    let mut paid = Receipt::new(view.process().purse().to_account(), Charged::Buffers);
    let mut ticket = None;
    loop {
        let trace = view.0.current.trace().clone();
        let make = || Message::from_slice(&body);
        match kernel
            .channels()
            .try_send_made(id, body.len(), trace, kernel.moment(), make)
        {
            Err(SendRefusal::Full) => {}
            result => return Ok(sent(view.0, result)),
        }
        if let Err(exhausted) = paid.settle(body.len()) {
            return Err(view.cannot_pay(exhausted));
        }
        let timely = until(
            &wait,
            &mut ticket,
            |process, again| kernel.channels().wait_to_send(id, process, again),
            |ticket, looks| kernel.process_to_wake(kernel.channels().leave_send(id, ticket, looks)),
        );
        if !timely.await {
            return Ok(sent(view.0, Err(SendRefusal::Full)));
        }
    }
}

async fn receive(
    view: &mut View<'_>,
    handle: &Resource<Handle>,
    timeout: Option<u64>,
) -> Result<Result<Option<Received>, Refusal>> {
    let id = id_of(view, handle)?;
    mailbox::drop_rest(view);
    let result = take(view, id, timeout).await;
    Ok(match result {
        Ok(message) => {
            let (body, more) = mailbox::in_parts(view, message.into_vec())?;
            Ok(Some(Received { body, more }))
        }
        Err(TIMED_OUT) => Ok(None),
        Err(code) => Err(view.refused(code)),
    })
}

/// Takes the oldest message, for which the process waits until the timeout.
async fn take(view: &mut View<'_>, id: Id, timeout: Option<u64>) -> Result<Message, i32> {
    let wait = wait(view, WaitFor::Receive, id, timeout);
    let (kernel, mut ticket) = (&*wait.kernel, None);
    loop {
        if let Some(result) = try_once(&wait, id, &mut ticket) {
            return result.map(|(message, trace)| {
                view.0.current.give(trace);
                message
            });
        }
        let waiter = Waiter::new(&wait, |looks| {
            ticket.and_then(|ticket| kernel.process_to_wake(kernel.channels().leave_receive(id, ticket, looks)))
        });
        block(&wait).await;
        // What comes next withdraws the waiter.
        waiter.forget();
    }
}
