//! `lunatic:process/mailbox`.

use lunatic_kernel::WaitFor;
use lunatic_kernel::address::Id;
use lunatic_kernel::budget::{Receipt, Resource as Charged};
use lunatic_kernel::relations::mailbox::{Kind, Mail};
use lunatic_kernel::wait::block;
use lunatic_sys::codes::{IN_PLACE_LEN_MAX, NO_TIMEOUT, REFERENCE_BIT, TAGS_LEN_MAX};
use wasmtime::component::{ComponentType, LinkerInstance, Lower, Resource};
use wasmtime::{Error, Result};

use super::exit::Reason;
use super::handle::{Address, Handle, Refusal};
use super::{View, call, define, view, wait, with_content};
use crate::imports::channel::sent;
use crate::instance::Ctx;

/// A message.
#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct Message {
    tag: u64,
    body: Vec<u8>,
    more: u64,
}

/// An exit signal.
#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct Exit {
    sender: Address,
    reason: Reason,
}

/// The end of a monitored process.
#[derive(ComponentType, Lower)]
#[component(record)]
pub(super) struct Down {
    process: Address,
    reference: u64,
    tag: u64,
    reason: Reason,
}

/// An entry of the mailbox.
#[derive(ComponentType, Lower)]
#[component(variant)]
pub(super) enum Entry {
    #[component(name = "message")]
    Message(Message),
    #[component(name = "exit")]
    Exit(Exit),
    #[component(name = "down")]
    Down(Down),
}

/// What the process has not read yet of a long message.
#[derive(Default)]
struct Rest(Option<Long>);

struct Long {
    bytes: Vec<u8>,
    /// How many of them the process has.
    read: usize,
    _paid: Receipt,
}

pub(super) fn add(interface: &mut LinkerInstance<'_, Ctx>) -> Result<()> {
    define(interface, "send", send)?;
    interface.func_wrap_async("receive", |mut store, (tags, timeout): (Vec<u64>, Option<u64>)| {
        Box::new(async move { Ok((receive(&mut view(store.data_mut()), &tags, timeout).await?,)) })
    })?;
    interface.func_wrap_async("call", |mut store, request: call::Request| {
        Box::new(async move { Ok((call::call(&mut view(store.data_mut()), request).await?,)) })
    })?;
    define(interface, "rest", rest)?;
    define(interface, "reference", reference)?;
    define(interface, "close", close)
}

fn send(view: &mut View<'_>, (to, tag, body): (Resource<Handle>, u64, Vec<u8>)) -> Result<(Result<(), Refusal>,)> {
    let to = view.id_of(&to)?;
    let ctx = &mut *view.0;
    let result = with_content(ctx, body, |ctx, content| {
        ctx.kernel.send_mail(ctx.process().id, to, tag, content)
    });
    let code = sent(ctx, result.map(|()| None));
    Ok((view.outcome(code),))
}

async fn receive(view: &mut View<'_>, tags: &[u64], timeout: Option<u64>) -> Result<Option<Entry>> {
    if tags.len() > TAGS_LEN_MAX {
        return Err(Error::msg(format!("at most {TAGS_LEN_MAX} tags, not {}", tags.len())));
    }
    drop_rest(view);
    let mail = take(view, tags, timeout.unwrap_or(NO_TIMEOUT)).await;
    mail.map(|mail| entry(view, mail)).transpose()
}

/// Takes mail of the process, for which it waits until the timeout.
pub(super) async fn take(view: &mut View<'_>, tags: &[u64], timeout: u64) -> Option<Mail> {
    let waits = timeout != 0;
    let mail = view.0.kernel.take_mail(view.process(), tags, waits);
    if mail.is_some() || !waits {
        return mail;
    }
    let wait = wait(view, WaitFor::Mail, Id::NONE, Some(timeout));
    loop {
        block(&wait).await;
        // This comes before the check of the mailbox, so that a message that arrives in between is still taken.
        let is_late = wait.is_late();
        let mail = wait.kernel.take_mail(&wait.process, tags, !is_late);
        if mail.is_some() || is_late {
            return mail;
        }
    }
}

fn entry(view: &mut View<'_>, mail: Mail) -> Result<Entry> {
    Ok(match mail.kind {
        Kind::Exit(sender) => Entry::Exit(Exit {
            sender: view.address_of(sender),
            reason: Reason::of_bytes(&mail.body),
        }),
        Kind::Down(process, reference) => Entry::Down(Down {
            process: view.address_of(process),
            reference,
            tag: mail.tag,
            reason: Reason::of_bytes(&mail.body),
        }),
        // A process of a component is never notified of another version, because it offers no change.
        Kind::Message(_) | Kind::Traced(..) | Kind::Change => {
            // An answer belongs to what its receiver is working on.
            if mail.tag & REFERENCE_BIT == 0 {
                view.0.current.give(mail.trace());
            }
            let tag = mail.tag;
            let (body, more) = in_parts(view, mail.body.into_vec())?;
            Entry::Message(Message { tag, body, more })
        }
    })
}

/// Drops what the process has not read of a long message, and ends the charge for the part that it has.
pub(super) fn drop_rest(view: &mut View<'_>) {
    view.take_back();
    view.0.state(Rest::default).0 = None;
}

/// The first part of a message, and the length of the rest, which is kept.
///
/// # Errors
///
/// If the process cannot pay for the rest, or for the part while it takes it.
pub(super) fn in_parts(view: &mut View<'_>, bytes: Vec<u8>) -> Result<(Vec<u8>, u64)> {
    view.lend(bytes.len().min(IN_PLACE_LEN_MAX))?;
    if bytes.len() <= IN_PLACE_LEN_MAX {
        return Ok((bytes, 0));
    }
    let paid = view.paid(Charged::Buffers, bytes.len())?;
    let (first, more) = (bytes[..IN_PLACE_LEN_MAX].to_vec(), bytes.len() - IN_PLACE_LEN_MAX);
    let long = Long {
        bytes,
        read: IN_PLACE_LEN_MAX,
        _paid: paid,
    };
    view.0.state(Rest::default).0 = Some(long);
    Ok((first, more as u64))
}

fn rest(view: &mut View<'_>, (len,): (u32,)) -> Result<(Vec<u8>,)> {
    view.take_back();
    let Rest(kept) = view.0.state(Rest::default);
    let Some(long) = kept else { return Ok((Vec::new(),)) };
    let left = &long.bytes[long.read..];
    let part = left[..left.len().min(len as usize).min(IN_PLACE_LEN_MAX)].to_vec();
    long.read += part.len();
    if long.read == long.bytes.len() {
        *kept = None;
    }
    view.lend(part.len())?;
    Ok((part,))
}

fn reference(view: &mut View<'_>, (): ()) -> Result<(u64,)> {
    Ok((view.0.kernel.open_reference(view.process()),))
}

fn close(view: &mut View<'_>, (reference,): (u64,)) -> Result<()> {
    view.0.kernel.close_reference(view.process(), reference);
    Ok(())
}
