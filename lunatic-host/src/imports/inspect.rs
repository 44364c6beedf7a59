//! `lunatic::inspect`.

use std::sync::Arc;

use lunatic_kernel::WaitFor;
use lunatic_kernel::address::Id;
use lunatic_kernel::budget::{Payer as _, Receipt, Resource};
use lunatic_kernel::first::First;
use lunatic_kernel::process::state::Phase;
use lunatic_sys::codes::{CLOSED, DENIED, INVALID, LOOK_ENTRY_LEN_MAX, LOOK_ROWS_MAX, NAME_LEN_MAX, OK, look as code};
use lunatic_sys::layout::{ProcessFigures, RawHandle};
use wasmtime::{Caller, Linker};

use super::pieces;
use crate::guest_memory;
use crate::imports::timed::Timed as _;
use crate::inspect::{Order, Place, ProcessInfo, Query};
use crate::instance::Ctx;
use crate::rights::{May, denial};
use crate::wasm::{Kernel, Process};

/// How many slots of the table are scanned in one step. Their processes are held meanwhile, even if they end, and nobody
/// pays for that.
const SLOTS_AT_ONCE: u32 = 64;
/// The bytes that a process takes up in the list of those that are returned or passed over. Some are free, as parts of the
/// body of the caller.
const ROW_SIZE: usize = 2 * size_of::<(Place, Id, Id)>();
const ROWS_FREE: usize = LOOK_ROWS_MAX;
/// The bytes of a result that are free, as in the buffer.
const RESULT_FREE: usize = 4 << 10;

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    let namespace = "lunatic::inspect";
    linker.timed_async(namespace, "processes", |caller, (order, skip, limit, name, len)| {
        Box::new(processes(caller, order, skip, limit, name, len))
    })?;
    linker.timed(namespace, "process", process)?;
    Ok(())
}

/// The most processes that are passed over: those are kept and sorted, too.
const SKIP_MAX: u32 = 1 << 16;

/// Whether the caller may inspect; if not, leaves a text in the buffer and logs the denial.
fn may_look(ctx: &mut Ctx) -> bool {
    let process = ctx.process();
    let may = process.local.rights.may.contains(May::INSPECT);
    if !may {
        denial::log(process, "may not inspect other processes", "", "");
        ctx.set_buffer(
            b"the process may not inspect others: the configuration that it was spawned with has no `allow=inspect`",
        );
    }
    may
}

/// Whether a process sees another: one of its system with the same rights, or with rights narrowed from these.
fn sees(process: &Process, other: &Process) -> bool {
    let (rights, others) = (&process.local.rights, &other.local.rights);
    Arc::ptr_eq(&process.system, &other.system) && others.group.is_within(&rights.group)
}

async fn processes(
    mut caller: Caller<'_, Ctx>,
    order: i32,
    skip: u32,
    limit: u32,
    name: u32,
    name_len: u32,
) -> wasmtime::Result<i32> {
    let (name, ctx) = guest_memory::slice(&mut caller, name, name_len)?;
    if name.len() > NAME_LEN_MAX || skip > SKIP_MAX {
        return Ok(INVALID);
    }
    let name = (!name.is_empty()).then(|| String::from_utf8_lossy(name).into_owned());
    let Some(order) = order_of(order) else {
        return Ok(INVALID);
    };
    if !may_look(ctx) {
        return Ok(DENIED);
    }
    let query = Query {
        order,
        name,
        ..Query::default()
    };
    let (kernel, this) = (ctx.kernel.clone(), ctx.process().clone());
    let limit = (limit as usize).min(LOOK_ROWS_MAX);
    // Any number of processes can be at this at the same time.
    let mut paid = Receipt::new(this.purse().to_account(), Resource::Buffers);
    let rows = (skip as usize + limit).saturating_sub(ROWS_FREE);
    if let Err(exhausted) = paid.grow(rows * ROW_SIZE) {
        kernel.out_of_memory(&this, exhausted);
    }
    let mut first = First::new(skip as usize, limit);
    let mut some = Vec::new();
    for slot in (1..kernel.process_slots()).step_by(SLOTS_AT_ONCE as usize) {
        // Not under the lock of the slot, because this may take the lock of the process.
        kernel.for_each_process_in(slot..slot.saturating_add(SLOTS_AT_ONCE), |process| {
            if sees(&this, process) {
                some.push(process.clone());
            }
        });
        for process in some.drain(..) {
            if let Some(place) = query.place(&process) {
                first.add((place, process.id), || process.id);
            }
            // Each may have many names.
            pieces::pause(&mut caller).await;
        }
        pieces::pause(&mut caller).await;
    }
    let (shown, matched) = first.finish();
    let mut bytes = Vec::new();
    for process in shown.into_iter().filter_map(|id| kernel.find(id)) {
        let info = ProcessInfo::of(&process, kernel.snapshot_of(&process));
        put(&mut bytes, &kernel, &info);
        // Until the buffer pays for it.
        if bytes.capacity() > RESULT_FREE
            && let Err(exhausted) = paid.settle(bytes.capacity())
        {
            kernel.out_of_memory(&this, exhausted);
        }
        pieces::pause(&mut caller).await;
    }
    drop(paid);
    caller.data_mut().set_buffer(bytes);
    Ok(i32::try_from(matched).expect("there are fewer than 2^31 processes"))
}

fn process(mut caller: Caller<'_, Ctx>, id: u64, key: u64) -> i32 {
    let ctx = caller.data_mut();
    let Some(id) = ctx.kernel.process_named(RawHandle { id, key }) else {
        return INVALID;
    };
    if !may_look(ctx) {
        return DENIED;
    }
    let Some(process) = ctx.kernel.find(id) else {
        return CLOSED;
    };
    if !sees(ctx.process(), &process) {
        ctx.set_buffer(b"the process has rights that the caller does not have");
        return DENIED;
    }
    let info = ProcessInfo::of(&process, ctx.kernel.snapshot_of(&process));
    let mut bytes = Vec::new();
    put(&mut bytes, &ctx.kernel, &info);
    let snapshot = &info.snapshot;
    let lists = [&snapshot.links, &snapshot.monitors, &snapshot.monitored_by];
    for list in lists {
        bytes.extend(u32_of(list.len()).to_le_bytes());
    }
    for id in lists.into_iter().flatten() {
        bytes.extend(ctx.kernel.process_address(*id).encode());
    }
    ctx.set_buffer(bytes);
    OK
}

/// Appends the figures and texts of a process.
fn put(bytes: &mut Vec<u8>, kernel: &Kernel, info: &ProcessInfo) {
    let snapshot = &info.snapshot;
    let name = snapshot.names.first().map_or("", String::as_str);
    let entry = info.entry.as_ref().map(ToString::to_string).unwrap_or_default();
    let entry = &entry[..entry.floor_char_boundary(LOOK_ENTRY_LEN_MAX)];
    let flags = [
        (snapshot.is_frozen, code::FROZEN),
        (snapshot.traps_exits, code::TRAPS_EXITS),
        (info.is_main, code::MAIN),
    ];
    let parent = snapshot.parent.map(|parent| kernel.process_address(parent));
    let figures = ProcessFigures {
        process: kernel.process_address(snapshot.id),
        parent: parent.unwrap_or_default(),
        mailbox: snapshot.mailbox_len as u64,
        mailbox_bytes: snapshot.mailbox_bytes as u64,
        mail_total: snapshot.mail_total,
        memory: info.memory as u64,
        cpu_ns: u64::try_from(snapshot.time_on_core.as_nanos()).unwrap_or(u64::MAX),
        oldest_ms: snapshot.oldest_ms.unwrap_or(u64::MAX),
        stopped_ms: snapshot.stopped_ms.map_or(u64::MAX, u64::from),
        links: u32_of(snapshot.links_len),
        monitors: u32_of(snapshot.monitors_len),
        monitored_by: u32_of(snapshot.monitored_by_len),
        timers: u32_of(snapshot.timers),
        runs: snapshot.runs,
        state: state_code(snapshot.phase),
        wait: snapshot.wait.map_or(0, |(wait, _)| wait_code(wait)),
        flags: flags.iter().filter(|(is, _)| *is).map(|(_, flag)| flag).sum(),
        name_len: u32_of(name.len()),
        entry_len: u32_of(entry.len()),
    };
    bytes.extend(figures.encode());
    bytes.extend(name.bytes());
    bytes.extend(entry.bytes());
}

fn u32_of(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

fn order_of(order: i32) -> Option<Order> {
    Some(match order {
        code::BY_ID => Order::Id,
        code::BY_MAILBOX => Order::Mailbox,
        code::BY_MAILBOX_BYTES => Order::MailboxBytes,
        code::BY_MEMORY => Order::Memory,
        code::BY_TIME => Order::Time,
        code::BY_OLDEST => Order::Oldest,
        _ => return None,
    })
}

fn state_code(phase: Phase) -> u32 {
    match phase {
        Phase::Running | Phase::Ended => code::RUNNING,
        Phase::Queued => code::READY,
        Phase::Blocked => code::WAITING,
    }
}

fn wait_code(wait: WaitFor) -> u32 {
    match wait {
        WaitFor::Outside => code::OUTSIDE,
        WaitFor::Receive => code::RECEIVE,
        WaitFor::Send => code::SEND,
        WaitFor::Join => code::JOIN,
        WaitFor::Sleep => code::SLEEP,
        WaitFor::Mail => code::MAIL,
        WaitFor::Call => code::CALL,
        WaitFor::Select => code::SELECT,
        WaitFor::Socket => code::SOCKET,
        WaitFor::File => code::FILE,
    }
}
