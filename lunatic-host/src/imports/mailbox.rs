//! `lunatic::mailbox`.

use std::sync::Arc;

use lunatic_kernel::WaitFor;
use lunatic_kernel::address::Id;
use lunatic_kernel::budget::{Payer, Receipt, Resource};
use lunatic_kernel::calls::{CallRefusal, Unanswered};
use lunatic_kernel::channel::{SendRefusal, Ticket};
use lunatic_kernel::connections::until_room;
use lunatic_kernel::elsewhere::Watches;
use lunatic_kernel::relations::mailbox::{Kind, Mail, Tags};
use lunatic_kernel::trace::Trace;
use lunatic_kernel::wait::{Wait, block, poll_until};
use lunatic_net::readiness::{self, Direction};
use lunatic_sys::codes::{DESCRIBE, EMPTY, GONE, INVALID, OK, REFERENCE_BIT, TAGS_LEN_MAX, TIMED_OUT, source};
use lunatic_sys::layout::{self, HEADER_SIZE, Header, RawHandle, SOURCE_SIZE};
use smallvec::SmallVec;
use wasmtime::{Caller, Linker};

use super::channel::{deliver, sent};
use super::elsewhere;
use super::wait::{show, wait, wait_borrowing};
use crate::guest_memory;
use crate::imports::timed::Timed as _;
use crate::instance::{self, Ctx, Opened};
use crate::wasm::{Kernel, Process, Socket, Wasm};

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    let namespace = "lunatic::mailbox";
    linker.timed(namespace, "send", send)?;
    linker.timed(namespace, "reference", reference)?;
    linker.timed(namespace, "close", close)?;
    linker.timed_async(
        namespace,
        "receive",
        |caller, (tags, tags_len, header, to, capacity, timeout)| {
            Box::new(receive(caller, tags, tags_len, header, to, capacity, timeout))
        },
    )?;
    linker.timed_async(
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
    linker.timed_async(namespace, "select", |caller, (sources, len, timeout)| {
        Box::new(select(caller, sources, len, timeout))
    })?;
    Ok(())
}

fn send(mut caller: Caller<'_, Ctx>, id: u64, key: u64, tag: u64, message: u32, len: u32) -> wasmtime::Result<i32> {
    caller.data().acts()?;
    let (content, ctx) = super::buffer::message(&mut caller, message, len)?;
    let Some(id) = ctx.process_of(id, key) else {
        return Ok(INVALID);
    };
    let result = ctx.kernel.send_mail(ctx.process().id, id, tag, content);
    Ok(sent(ctx, result.map(|()| None)))
}

fn reference(mut caller: Caller<'_, Ctx>, out: u32) -> wasmtime::Result<i32> {
    guest_memory::slice(&mut caller, out, 8)?;
    let reference = {
        let ctx = caller.data();
        let reference = ctx.kernel.open_reference(ctx.process());
        instance::opens(ctx, Opened::Reference(reference));
        reference
    };
    guest_memory::write(&mut caller, out, &reference.to_le_bytes())?;
    Ok(OK)
}

fn close(caller: Caller<'_, Ctx>, reference: u64) {
    let ctx = caller.data();
    if ctx.on_trial {
        // What would be dropped there may still belong to the other instance.
        return;
    }
    ctx.kernel.close_reference(ctx.process(), reference);
}

/// Reads the tags that a guest wrote.
fn read_tags(memory: &mut [u8], tags: u32, len: u32) -> wasmtime::Result<Tags> {
    if len as usize > TAGS_LEN_MAX {
        return Err(wasmtime::Error::msg(format!("at most {TAGS_LEN_MAX} tags, not {len}")));
    }
    let bytes = guest_memory::part(memory, tags, len * 8)?;
    if let Ok(tag) = bytes.try_into() {
        // Nearly all receive by a single tag.
        return Ok(Tags::from_slice(&[u64::from_le_bytes(tag)]));
    }
    Ok(bytes.chunks_exact(8).map(|tag| read_u64(tag, 0)).collect())
}

fn read_u64(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
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
    caller.data().acts()?;
    let (memory, ctx) = guest_memory::all(&mut caller)?;
    guest_memory::part(memory, header, HEADER_SIZE as u32)?;
    let room = guest_memory::part(memory, to, capacity)?;
    ctx.process().local.places.set_message(room);
    let tags = read_tags(memory, tags, tags_len)?;
    match take(&mut caller, &tags, timeout_ns).await {
        Some(mail) => {
            let (memory, ctx) = guest_memory::all(&mut caller)?;
            // An answer belongs to what its receiver is working on.
            if mail.kind.is_message() && mail.tag & REFERENCE_BIT == 0 {
                ctx.current.give(mail.trace());
            }
            write_header(guest_memory::part(memory, header, HEADER_SIZE as u32)?, ctx, &mail)?;
            deliver(memory, ctx, mail.body, to, capacity)
        }
        None if timeout_ns == 0 => Ok(EMPTY),
        None => Ok(TIMED_OUT),
    }
}

/// Takes mail of the caller, for which it waits until the timeout.
pub(super) async fn take(caller: &mut Caller<'_, Ctx>, tags: &[u64], timeout_ns: u64) -> Option<Mail> {
    let waits = timeout_ns != 0;
    let ctx = caller.data();
    let mail = ctx.kernel.take_mail(ctx.process(), tags, waits);
    if mail.is_some() || !waits {
        return mail;
    }
    let (wait, here) = wait_borrowing(caller, WaitFor::Mail, Id::NONE, timeout_ns);
    wait.process.local.places.set_wait(&wait);
    loop {
        here.show(block(&wait)).await;
        // This comes before the check of the mailbox, so that a message that arrives in between is still taken.
        let is_late = wait.is_late();
        let mail = wait.kernel.take_mail(&wait.process, tags, !is_late);
        if mail.is_some() || is_late {
            return mail;
        }
    }
}

fn write_header(header: &mut [u8], ctx: &Ctx, mail: &Mail) -> wasmtime::Result<()> {
    let (from, reference) = match mail.kind {
        Kind::Message(_) | Kind::Traced(..) => (None, 0),
        Kind::Change if ctx.process().local.code.describes() => (None, DESCRIBE),
        Kind::Change => (None, 0),
        Kind::Exit(from) => (Some(from), 0),
        Kind::Down(from, reference) => (Some(from), reference),
    };
    let from = from.map(|from| ctx.kernel.process_address(from)).unwrap_or_default();
    let raw = Header {
        kind: mail.kind.number(),
        len: u32::try_from(mail.body.len())?,
        tag: mail.tag,
        reference,
        from,
    };
    header.copy_from_slice(&raw.encode());
    Ok(())
}

/// A request and its callee.
struct Request {
    id: u64,
    key: u64,
    tag: u64,
    message: u32,
    len: u32,
    /// The address of the reference, to which the next one is written.
    reference: u32,
}

async fn call(
    mut caller: Caller<'_, Ctx>,
    request: Request,
    to: u32,
    capacity: u32,
    timeout_ns: u64,
) -> wasmtime::Result<i32> {
    caller.data().acts()?;
    let (memory, ctx) = guest_memory::all(&mut caller)?;
    let room = guest_memory::part(memory, to, capacity)?;
    ctx.process().local.places.set_message(room);
    let reference = read_u64(guest_memory::part(memory, request.reference, 8)?, 0);
    let (tag, reference_at) = (request.tag, request.reference);
    let (content, ctx) = super::buffer::message(&mut caller, request.message, request.len)?;
    let Some(id) = ctx.process_of(request.id, request.key) else {
        return Ok(INVALID);
    };
    if !id.is_here() {
        let trace = content.trace().clone();
        let request = content.into_queued::<[u8; 0]>().into_vec();
        let answered = call_elsewhere(&mut caller, id, (reference, tag), (request, trace), timeout_ns).await;
        let Some((result, next)) = answered else {
            return invalid(&mut caller, reference_at);
        };
        return finish_call(&mut caller, reference_at, next, result, to, capacity);
    }
    let (kernel, process) = (&ctx.kernel, ctx.process());
    // The outcome of the call, and the open reference for the next one.
    let (result, next) = match kernel.find(id) {
        // The reference is used up anyway, as when the callee ends during the call.
        None => match kernel.end_call(process, reference, true) {
            Some((_, next)) => (Err(Unanswered::Gone(kernel.exit_reason(id))), next),
            None => return invalid(&mut caller, request.reference),
        },
        Some(callee) => match kernel.begin_call(process, callee, reference, request.tag, content) {
            Err(CallRefusal::NotOpen) => return invalid(&mut caller, request.reference),
            Err(CallRefusal::Unanswered(why)) => {
                let ended = kernel.end_call(process, reference, true);
                (Err(why), ended.map_or(0, |(_, next)| next))
            }
            Ok(waits) => {
                let waits = waits && timeout_ns != 0;
                let (answer, next) = await_answer(&mut caller, id, reference, waits, timeout_ns).await;
                (Ok(answer), next)
            }
        },
    };
    finish_call(&mut caller, reference_at, next, result, to, capacity)
}

/// Writes the reference for the next call, and passes the outcome of this one to the guest.
fn finish_call(
    caller: &mut Caller<'_, Ctx>,
    reference: u32,
    next: u64,
    result: Result<Option<Mail>, Unanswered>,
    to: u32,
    capacity: u32,
) -> wasmtime::Result<i32> {
    let (memory, ctx) = guest_memory::all(caller)?;
    guest_memory::part(memory, reference, 8)?.copy_from_slice(&next.to_le_bytes());
    answer_call(memory, ctx, result, to, capacity)
}

/// Calls a process of another node; waits also while there is no room for the request. Returns the outcome and the
/// open reference for the next call; `None` if the reference is not open.
async fn call_elsewhere(
    caller: &mut Caller<'_, Ctx>,
    callee: Id,
    (reference, tag): (u64, u64),
    (request, trace): (Vec<u8>, Trace),
    timeout_ns: u64,
) -> Option<(Result<Option<Mail>, Unanswered>, u64)> {
    let (kernel, process) = (caller.data().kernel.clone(), caller.data().process().clone());
    let ended = |why| {
        let next = kernel.end_call(&process, reference, true).map_or(0, |(_, next)| next);
        Some((Err(why), next))
    };
    // The buffer no longer pays for it.
    let mut paid = Receipt::new(process.purse().to_account(), Resource::Buffers);
    if paid.grow(request.len()).is_err() {
        return ended(Unanswered::Refused(SendRefusal::Limit));
    }
    // The time for the answer is what is left of the time for both.
    let mut waiting = None;
    loop {
        match kernel.begin_call_elsewhere(&process, callee, reference, tag, (&request, &trace)) {
            Ok(waits) => {
                let rest = waiting.map_or(timeout_ns, |wait: Wait<'_, Wasm>| wait.rest_ns());
                drop((request, paid));
                let waits = waits && rest != 0;
                let (answer, next) = await_answer(caller, callee, reference, waits, rest).await;
                return Some((Ok(answer), next));
            }
            Err(CallRefusal::NotOpen) => return None,
            Err(CallRefusal::Unanswered(Unanswered::Refused(SendRefusal::Full))) => {
                let wait = waiting.get_or_insert_with(|| wait(caller, WaitFor::Send, callee, timeout_ns));
                if !show(caller, until_room(wait, callee.peer())).await {
                    let (_, next) = kernel.end_call(&process, reference, true)?;
                    return Some((Ok(None), next));
                }
            }
            Err(CallRefusal::Unanswered(why)) => return ended(why),
        }
    }
}

/// Waits for the answer to a call until the timeout; waits immediately if `waits` is set. Also returns the open
/// reference for the next call.
async fn await_answer(
    caller: &mut Caller<'_, Ctx>,
    callee: Id,
    reference: u64,
    mut waits: bool,
    timeout_ns: u64,
) -> (Option<Mail>, u64) {
    let (wait, here) = wait_borrowing(caller, WaitFor::Call, callee, timeout_ns);
    wait.process.local.places.set_wait(&wait);
    loop {
        if waits {
            here.show(block(&wait)).await;
        }
        // Only the first check may find an answer without a wait.
        waits = true;
        let gives_up = timeout_ns == 0 || wait.is_late();
        if let Some(ended) = wait.kernel.end_call(&wait.process, reference, gives_up) {
            return ended;
        }
    }
}

/// Passes the outcome of a call to the guest: the answer, the exit reason of the callee, or why the request was not
/// accepted.
fn answer_call(
    memory: &mut [u8],
    ctx: &mut Ctx,
    result: Result<Option<Mail>, Unanswered>,
    to: u32,
    capacity: u32,
) -> wasmtime::Result<i32> {
    match result {
        Ok(None) => Ok(TIMED_OUT),
        Ok(Some(mail)) if mail.kind.is_message() => deliver(memory, ctx, mail.body, to, capacity),
        Ok(Some(mail)) => {
            ctx.set_buffer(mail.body.into_vec());
            Ok(GONE)
        }
        Err(Unanswered::Gone(reason)) => {
            ctx.set_buffer(reason.to_bytes().1);
            Ok(GONE)
        }
        Err(Unanswered::Refused(refusal)) => Ok(sent(ctx, Err(refusal))),
    }
}

/// The reference of a call is not open, or its handle is invalid.
fn invalid(caller: &mut Caller<'_, Ctx>, reference: u32) -> wasmtime::Result<i32> {
    guest_memory::write(caller, reference, &[0; 8])?;
    Ok(INVALID)
}

/// One thing that a select waits for.
enum Source {
    Channel(Id),
    Mailbox(Tags),
    /// `None` is a socket that does not belong to the process any more: using it does not wait.
    Socket(Option<Arc<Socket>>, Direction),
}

impl Source {
    /// Whether a receive from it would succeed without waiting.
    fn is_ready(&self, kernel: &Kernel, process: &Process) -> bool {
        match self {
            // Of one on another node, only that node knows.
            Self::Channel(id) => id.is_here() && kernel.channels().is_ready(*id),
            Self::Mailbox(tags) => process.relate_self(|relations| relations.mailbox.has(tags)),
            Self::Socket(socket, direction) => {
                let socket = socket.as_ref();
                socket.is_none_or(|socket| socket.readiness(*direction).is_ready())
            }
        }
    }
}

/// Reads the sources that a guest wrote; `None` if a handle among them is invalid.
fn read_sources(caller: &mut Caller<'_, Ctx>, sources: u32, len: u32) -> wasmtime::Result<Option<Vec<Source>>> {
    if len as usize > TAGS_LEN_MAX {
        return Err(wasmtime::Error::msg(format!(
            "at most {TAGS_LEN_MAX} sources, not {len}"
        )));
    }
    // A copy, because the tags of a source are elsewhere in the same memory.
    let bytes = guest_memory::slice(caller, sources, len * SOURCE_SIZE as u32)?
        .0
        .to_vec();
    let mut all = Vec::with_capacity(len as usize);
    let mut tags_left = TAGS_LEN_MAX;
    for layout::Source { kind, tags_len, a, b } in layout::Source::decode_all(&bytes) {
        all.push(match kind {
            source::CHANNEL => match caller.data().kernel.channel_named(RawHandle { id: a, key: b }) {
                Some(id) => Source::Channel(id),
                None => return Ok(None),
            },
            source::MAILBOX => {
                // A sender compares its tag with all of them, under the lock of this process.
                let Some(left) = tags_left.checked_sub(tags_len as usize) else {
                    return Err(wasmtime::Error::msg(format!(
                        "the sources have at most {TAGS_LEN_MAX} tags together"
                    )));
                };
                tags_left = left;
                let (memory, _) = guest_memory::all(caller)?;
                Source::Mailbox(read_tags(memory, u32::try_from(a)?, tags_len)?)
            }
            source::READABLE | source::WRITABLE => {
                let direction = match kind {
                    source::READABLE => Direction::Read,
                    _ => Direction::Write,
                };
                match socket_source(caller.data(), RawHandle { id: a, key: b }, direction) {
                    Some(source) => source,
                    None => return Ok(None),
                }
            }
            kind => return Err(wasmtime::Error::msg(format!("{kind} is not a kind of source"))),
        });
    }
    Ok(Some(all))
}

/// The source for a socket, which is watched from now on; `None` if the handle is invalid.
fn socket_source(ctx: &Ctx, handle: RawHandle, direction: Direction) -> Option<Source> {
    let handles = &ctx.kernel.host.net.handles;
    let id = handles.keys.check(handle.id, handle.key)?;
    let socket = handles.get(ctx.process(), id).ok();
    // If it cannot be watched, nobody would report that it is ready.
    let socket = socket.filter(|socket| socket.watch(direction).is_ok());
    Some(Source::Socket(socket, direction))
}

/// The tags for which the mailbox must wake the process; `None` if the mailbox is not among the sources. A mailbox has
/// a single set of tags: the union of its sources, or an empty set, which means any tag, if one of them takes any.
fn mailbox_tags(sources: &[Source]) -> Option<Tags> {
    let mut sum: Option<Tags> = None;
    for source in sources {
        let Source::Mailbox(tags) = source else { continue };
        if tags.is_empty() {
            return Some(Tags::new());
        }
        sum.get_or_insert_default().extend_from_slice(tags);
    }
    sum
}

async fn select(mut caller: Caller<'_, Ctx>, sources: u32, len: u32, timeout_ns: u64) -> wasmtime::Result<i32> {
    caller.data().acts()?;
    let Some(all) = read_sources(&mut caller, sources, len)? else {
        return Ok(INVALID);
    };
    let kernel = caller.data().kernel.clone();
    let process = caller.data().process().clone();
    let ready = || all.iter().position(|source| source.is_ready(&kernel, &process));
    let index = |place: usize| i32::try_from(place).expect("there are few sources");
    let here = ready();
    let asked = sources_elsewhere(&all[..here.unwrap_or(all.len())]);
    if asked.is_empty() && (here.is_some() || timeout_ns == 0) {
        return Ok(here.map_or(TIMED_OUT, index));
    }
    // What happens at a socket is up to others than the processes of the system.
    let waits_outside = all.iter().any(|source| matches!(source, Source::Socket(..)));
    let kind = if waits_outside {
        WaitFor::Socket
    } else {
        WaitFor::Select
    };
    let wait = match asked.is_empty() {
        true => wait(&mut caller, kind, Id::NONE, timeout_ns),
        false => elsewhere::wait_for_answer(&mut caller, kind, Id::NONE, timeout_ns),
    };
    let mut watches = Watches::new(&wait, timeout_ns != 0);
    for (place, channel) in asked {
        if !show(&caller, watches.add(place, channel)).await {
            return Ok(here.map_or(TIMED_OUT, index));
        }
    }
    let tags = mailbox_tags(&all);
    let enter = || {
        if let Some(tags) = &tags {
            kernel.wait_for_mail(&process, Some(tags));
        }
        Waiters::enter(&kernel, &process, &all)
    };
    let first = |there: Option<usize>| [ready(), there].into_iter().flatten().min();
    // A message that has arrived between the check and the wait would wake nobody: check again, with the waiters in
    // place.
    let mut waiters = None;
    let waiting = poll_until(&wait, |_| {
        drop(waiters.take());
        waiters = Some(enter());
        // Which source is the first is known only when all nodes have answered.
        let (there, is_known) = watches.look();
        let first = first(there).filter(|_| is_known);
        (first.is_some() || (is_known && timeout_ns == 0)).then_some(first)
    });
    let place = show(&caller, waiting).await;
    drop(waiters);
    // Otherwise, the next message would wake the process during another wait.
    kernel.wait_for_mail(&process, None);
    let place = place.unwrap_or_else(|| first(watches.look().0));
    Ok(place.map_or(TIMED_OUT, index))
}

/// The channels of other nodes among the sources, each with its place.
fn sources_elsewhere(sources: &[Source]) -> SmallVec<[(usize, Id); 4]> {
    let channels = sources.iter().enumerate().filter_map(|(place, source)| match source {
        Source::Channel(id) if !id.is_here() => Some((place, *id)),
        _ => None,
    });
    channels.collect()
}

/// The waiters that a select has left in channels and at sockets. They are withdrawn however the wait ends; a wake-up for one
/// of them is passed on, because the guest may receive from another channel.
struct Waiters<'a> {
    kernel: &'a Kernel,
    waiters: Vec<(Id, Ticket)>,
    sockets: Vec<(Arc<Socket>, Direction, readiness::Ticket)>,
}

impl<'a> Waiters<'a> {
    /// Leaves a waiter in each channel and at each socket that is not ready yet.
    fn enter(kernel: &'a Kernel, process: &Arc<Process>, sources: &[Source]) -> Self {
        let channels = sources.iter().filter_map(|source| match source {
            Source::Channel(id) => Some(*id),
            Source::Mailbox(_) | Source::Socket(..) => None,
        });
        // One for each channel, even if it is named more than once: a channel searches its waiters.
        let mut channels: SmallVec<[Id; 8]> = channels.collect();
        channels.sort_unstable();
        channels.dedup();
        let waiters = channels
            .into_iter()
            .filter_map(|id| Some((id, kernel.channels().wait_to_receive(id, process, None)?)));
        let waiters = waiters.collect();
        let sockets = sources.iter().filter_map(|source| match source {
            Source::Socket(Some(socket), direction) => {
                let ticket = socket.readiness(*direction).enter(process, None)?;
                Some((socket.clone(), *direction, ticket))
            }
            _ => None,
        });
        Self {
            kernel,
            waiters,
            sockets: sockets.collect(),
        }
    }
}

impl Drop for Waiters<'_> {
    fn drop(&mut self) {
        for (channel, ticket) in self.waiters.drain(..) {
            self.kernel
                .wake_waiter(self.kernel.channels().leave_receive(channel, ticket, false));
        }
        for (socket, direction, ticket) in self.sockets.drain(..) {
            if let Some(next) = socket.readiness(direction).leave(ticket, false) {
                self.kernel.wake(&next);
            }
        }
    }
}
