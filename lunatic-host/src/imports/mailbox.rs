//! `lunatic::mailbox`.

use lunatic_sys::codes::{EMPTY, GONE, INVALID, OK, TAGS_LEN_MAX, TIMED_OUT, source};
use lunatic_sys::layout::{HEADER_SIZE, SOURCE_SIZE};
use wasmtime::{Caller, Linker};

use super::channel::{deliver, sent};
use super::wait::{Wait, block, poll_until};
use crate::channel::SendRefusal;
use crate::guest_memory;
use crate::instance::Ctx;
use crate::process;
use crate::process::id::Id;
use crate::process::mailbox::{Kind, Mail, Tags};
use crate::process::signals::calls::{CallRefusal, Unanswered};

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    let namespace = "lunatic::mailbox";
    linker.func_wrap(namespace, "send", send)?;
    linker.func_wrap(namespace, "reference", reference)?;
    linker.func_wrap(namespace, "close", close)?;
    linker.func_wrap_async(
        namespace,
        "receive",
        |caller, (tags, tags_len, header, to, capacity, timeout)| {
            Box::new(receive(caller, tags, tags_len, header, to, capacity, timeout))
        },
    )?;
    linker.func_wrap_async(
        namespace,
        "call",
        |caller, (id, key, tag, message, len, reference, to, capacity, timeout)| {
            let request = Request {
                id,
                key,
                tag,
                message,
                len,
                reference,
            };
            Box::new(call(caller, request, to, capacity, timeout))
        },
    )?;
    linker.func_wrap_async(namespace, "select", |caller, (sources, len, timeout)| {
        Box::new(select(caller, sources, len, timeout))
    })?;
    Ok(())
}

fn send(mut caller: Caller<'_, Ctx>, id: u64, key: u64, tag: u64, message: u32, len: u32) -> wasmtime::Result<i32> {
    let (bytes, ctx) = guest_memory::slice(&mut caller, message, len)?;
    let Some(id) = ctx.process_of(id, key) else {
        return Ok(INVALID);
    };
    let result = match ctx.shared.find(id) {
        Some(process) => ctx.shared.send_mail(process, tag, bytes),
        None => Err(SendRefusal::Closed),
    };
    Ok(sent(ctx, result.map(|()| None)))
}

fn reference(mut caller: Caller<'_, Ctx>, out: u32) -> wasmtime::Result<i32> {
    guest_memory::slice(&mut caller, out, 8)?;
    let reference = caller.data().process().open_reference();
    guest_memory::write(&mut caller, out, &reference.to_le_bytes())?;
    Ok(OK)
}

fn close(caller: Caller<'_, Ctx>, reference: u64) {
    let ctx = caller.data();
    ctx.shared.close_reference(ctx.process(), reference);
}

/// The tags that a guest wrote.
fn read_tags(memory: &mut [u8], tags: u32, len: u32) -> wasmtime::Result<Tags> {
    if len as usize > TAGS_LEN_MAX {
        return Err(wasmtime::Error::msg(format!("at most {TAGS_LEN_MAX} tags, not {len}")));
    }
    let bytes = guest_memory::part(memory, tags, len * 8)?;
    if let Ok(tag) = bytes.try_into() {
        // Nearly all receive by one.
        return Ok(Tags::from_slice(&[u64::from_le_bytes(tag)]));
    }
    Ok(bytes.chunks_exact(8).map(|tag| read_u64(tag, 0)).collect())
}

fn read_u64(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn read_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

async fn receive(
    mut caller: Caller<'_, Ctx>,
    tags: u32,
    tags_len: u32,
    header: u32,
    to: u32,
    capacity: u32,
    timeout_ns: u64,
) -> wasmtime::Result<i32> {
    let (memory, _) = guest_memory::all(&mut caller)?;
    guest_memory::part(memory, header, HEADER_SIZE as u32)?;
    guest_memory::part(memory, to, capacity)?;
    let tags = read_tags(memory, tags, tags_len)?;
    match take(&mut caller, &tags, timeout_ns).await {
        Some(mail) => {
            let (memory, ctx) = guest_memory::all(&mut caller)?;
            write_header(guest_memory::part(memory, header, HEADER_SIZE as u32)?, ctx, &mail)?;
            deliver(memory, ctx, mail.body, to, capacity)
        }
        None if timeout_ns == 0 => Ok(EMPTY),
        None => Ok(TIMED_OUT),
    }
}

/// Takes mail of the caller, waiting for it until the timeout.
async fn take(caller: &mut Caller<'_, Ctx>, tags: &[u64], timeout_ns: u64) -> Option<Mail> {
    let waits = timeout_ns != 0;
    let ctx = caller.data();
    let mail = ctx.shared.take_mail(ctx.process(), tags, waits);
    if mail.is_some() || !waits {
        return mail;
    }
    let wait = Wait::lent(caller, process::Wait::Mail, 0, timeout_ns);
    loop {
        block(&wait).await;
        let is_late = wait.is_late();
        let mail = wait.shared.take_mail(&wait.process, tags, !is_late);
        if mail.is_some() || is_late {
            return mail;
        }
    }
}

fn write_header(header: &mut [u8], ctx: &Ctx, mail: &Mail) -> wasmtime::Result<()> {
    let (from, reference) = match mail.kind {
        Kind::Message => (None, 0),
        Kind::Exit(from) => (Some(from), 0),
        Kind::Down(from, reference) => (Some(from), reference),
    };
    let from = from
        .map(|from| ctx.shared.process_keys.handle(from))
        .unwrap_or_default();
    let len = u32::try_from(mail.body.len())?;
    header[..4].copy_from_slice(&mail.kind.number().to_le_bytes());
    header[4..8].copy_from_slice(&len.to_le_bytes());
    for (place, number) in header[8..]
        .chunks_exact_mut(8)
        .zip([mail.tag, reference, from.id, from.key])
    {
        place.copy_from_slice(&number.to_le_bytes());
    }
    Ok(())
}

/// Whom to ask, and what.
struct Request {
    id: u64,
    key: u64,
    tag: u64,
    message: u32,
    len: u32,
    /// Where the reference is, and the next one goes.
    reference: u32,
}

async fn call(
    mut caller: Caller<'_, Ctx>,
    request: Request,
    to: u32,
    capacity: u32,
    timeout_ns: u64,
) -> wasmtime::Result<i32> {
    let (memory, ctx) = guest_memory::all(&mut caller)?;
    guest_memory::part(memory, to, capacity)?;
    let reference = read_u64(guest_memory::part(memory, request.reference, 8)?, 0);
    let bytes = guest_memory::part(memory, request.message, request.len)?;
    let Some(id) = ctx.process_of(request.id, request.key) else {
        return Ok(INVALID);
    };
    let (shared, process) = (&ctx.shared, ctx.process());
    // What becomes of the call, and the reference that is open for the next one.
    let (result, next) = match shared.find(id) {
        None => match shared.end_call(process, reference, true) {
            Some((_, next)) => (Err(Unanswered::Gone(shared.exits.of(id))), next),
            None => return invalid(memory, request.reference),
        },
        Some(callee) => match shared.begin_call(process, callee, reference, request.tag, bytes) {
            Err(CallRefusal::NotOpen) => return invalid(memory, request.reference),
            Err(CallRefusal::Unanswered(why)) => {
                let ended = shared.end_call(process, reference, true);
                (Err(why), ended.map_or(0, |(_, next)| next))
            }
            Ok(waits) => {
                let mut waits = waits && timeout_ns != 0;
                let wait = Wait::lent(&mut caller, process::Wait::Call, id.raw(), timeout_ns);
                let (answer, next) = loop {
                    if waits {
                        block(&wait).await;
                    }
                    waits = true;
                    let gives_up = timeout_ns == 0 || wait.is_late();
                    if let Some(ended) = wait.shared.end_call(&wait.process, reference, gives_up) {
                        break ended;
                    }
                };
                (Ok(answer), next)
            }
        },
    };
    let (memory, ctx) = guest_memory::all(&mut caller)?;
    guest_memory::part(memory, request.reference, 8)?.copy_from_slice(&next.to_le_bytes());
    match result {
        Ok(None) => Ok(TIMED_OUT),
        Ok(Some(mail)) if mail.kind == Kind::Message => deliver(memory, ctx, mail.body, to, capacity),
        Ok(Some(mail)) => {
            ctx.buffer = mail.body.into_vec();
            Ok(GONE)
        }
        Err(Unanswered::Gone(reason)) => {
            ctx.buffer = reason.to_bytes().1;
            Ok(GONE)
        }
        Err(Unanswered::Refused(refusal)) => Ok(sent(ctx, Err(refusal))),
    }
}

/// The reference of a call is not open, or its handle is none.
fn invalid(memory: &mut [u8], reference: u32) -> wasmtime::Result<i32> {
    guest_memory::part(memory, reference, 8)?.fill(0);
    Ok(INVALID)
}

/// One thing that is waited for.
enum Source {
    Channel(Id),
    Mailbox(Tags),
}

async fn select(mut caller: Caller<'_, Ctx>, sources: u32, len: u32, timeout_ns: u64) -> wasmtime::Result<i32> {
    if len as usize > TAGS_LEN_MAX {
        return Err(wasmtime::Error::msg(format!(
            "at most {TAGS_LEN_MAX} sources, not {len}"
        )));
    }
    let bytes = guest_memory::slice(&mut caller, sources, len * SOURCE_SIZE as u32)?
        .0
        .to_vec();
    let mut all = Vec::with_capacity(len as usize);
    for source in bytes.chunks_exact(SOURCE_SIZE) {
        let (tags_len, a, b) = (read_u32(source, 4), read_u64(source, 8), read_u64(source, 16));
        all.push(match read_u32(source, 0) {
            source::CHANNEL => match caller.data().shared.channel_keys.check(a, b) {
                Some(id) => Source::Channel(id),
                None => return Ok(INVALID),
            },
            source::MAILBOX => Source::Mailbox(read_tags(
                guest_memory::all(&mut caller)?.0,
                u32::try_from(a)?,
                tags_len,
            )?),
            kind => return Err(wasmtime::Error::msg(format!("{kind} is no kind of source"))),
        });
    }
    let shared = caller.data().shared.clone();
    let process = caller.data().process().clone();
    let ready = || {
        all.iter().position(|source| match source {
            Source::Channel(id) => shared.channels.is_ready(*id),
            Source::Mailbox(tags) => process.relate_self(|relations| relations.mailbox.has(tags)),
        })
    };
    let index = |place: usize| i32::try_from(place).expect("there are few sources");
    if let Some(place) = ready() {
        return Ok(index(place));
    }
    if timeout_ns == 0 {
        return Ok(TIMED_OUT);
    }
    let wait = Wait::new(&mut caller, process::Wait::Select, 0, timeout_ns);
    // The mailbox keeps one set of tags: that of all its sources together, or none if one of them takes all.
    let tags = all.iter().try_fold(Tags::new(), |mut sum, source| match source {
        Source::Mailbox(tags) if tags.is_empty() => None,
        Source::Mailbox(tags) => {
            sum.extend_from_slice(tags);
            Some(sum)
        }
        Source::Channel(_) => Some(sum),
    });
    let has_mailbox = all.iter().any(|source| matches!(source, Source::Mailbox(_)));
    let enter = || {
        if has_mailbox {
            shared.wait_for_mail(&process, Some(tags.as_deref().unwrap_or_default()));
        }
        let channels = all.iter().filter_map(|source| match source {
            Source::Channel(id) => Some((*id, shared.channels.wait_to_receive(*id, &process, None)?)),
            Source::Mailbox(_) => None,
        });
        let waiters = channels.collect();
        Waiters {
            shared: &shared,
            waiters,
        }
    };
    // What has come between the look and the waiting would wake nobody: look again with the waiters left.
    let mut waiters = None;
    let place = poll_until(&wait, |_| {
        drop(waiters.take());
        waiters = Some(enter());
        ready()
    })
    .await;
    drop(waiters);
    shared.wait_for_mail(&process, None);
    Ok(place.map_or(TIMED_OUT, index))
}

/// The waiters that a select has left in channels. Taken back however the wait ends; a wake-up that was meant for one of
/// them is passed on, since the guest may receive from another.
struct Waiters<'a> {
    shared: &'a crate::shared::Shared,
    waiters: Vec<(Id, crate::channel::Ticket)>,
}

impl Drop for Waiters<'_> {
    fn drop(&mut self) {
        for (channel, ticket) in self.waiters.drain(..) {
            if let Some(next) = self.shared.channels.leave_receive(channel, ticket, false) {
                self.shared.scheduler.wake(&next);
            }
        }
    }
}
