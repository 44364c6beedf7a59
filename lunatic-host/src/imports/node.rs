//! `lunatic::node`.

use std::sync::Arc;

use lunatic_kernel::WaitFor;
use lunatic_kernel::address::Id;
use lunatic_kernel::adoption::Ties;
use lunatic_kernel::budget::{Payer, Receipt, Resource};
use lunatic_kernel::connections::until_room;
use lunatic_kernel::elsewhere;
use lunatic_kernel::exit::{ExitReason, Loss};
use lunatic_kernel::registry::Name;
use lunatic_nodes::cluster::{Answer, SpawnRefusal};
use lunatic_nodes::names::NameRefusal;
use lunatic_nodes::store::MODULE_LEN_MAX;
use lunatic_nodes::{Attributes, NodeId};
use lunatic_sys::codes::{
    BAD_CONFIG, CAPTURE_LEN_MAX, CLOSED, DENIED, GONE, INVALID, LIMIT, NAME_TAKEN, NO_TIMEOUT, OK, REFUSED, TIMED_OUT,
    spawn as flag,
};
use lunatic_sys::layout::{RawHandle, SPAWN_OPTIONS_SIZE, SPAWNED_SIZE, SpawnOptions};
use wasmtime::{Caller, Linker};

use super::handle::{check_handle, write_handle};
use super::mailbox::take;
use super::members::leave_handles;
use super::registry::name;
use super::spawn::{may_spawn, spawn_entry, write_spawned};
use super::wait::{show, wait};
use crate::guest_memory;
use crate::imports::timed::Timed as _;
use crate::instance::Ctx;
use crate::nodes::described::describe;
use crate::nodes::order::{Begins, Order};
use crate::nodes::{self, Nodes};
use crate::rights::{May, denial};
use crate::wasm::{Captured, Entry, Kernel};

/// What a global name, a membership or a monitor of nodes takes up, approximately, besides the name.
const ROW_SIZE: usize = 512;

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    let namespace = "lunatic::node";
    linker.timed(namespace, "this", this)?;
    linker.timed(namespace, "of", of)?;
    linker.timed_async(namespace, "is_alive", |caller, (id, key)| {
        Box::new(is_alive(caller, id, key))
    })?;
    linker.timed(namespace, "list", list)?;
    linker.timed(namespace, "attributes", attributes)?;
    linker.timed(namespace, "monitor", monitor)?;
    linker.timed(namespace, "demonitor", demonitor)?;
    linker.timed_async(
        namespace,
        "spawn",
        |caller, (node, entry, captured, captured_len, options, out)| {
            Box::new(spawn(caller, node, entry, (captured, captured_len), options, out))
        },
    )?;
    linker.timed_async(namespace, "room", |caller, (id, key, timeout)| {
        Box::new(room(caller, id, key, timeout))
    })?;
    linker.timed(namespace, "register", register)?;
    linker.timed(namespace, "unregister", unregister)?;
    linker.timed(namespace, "lookup", lookup)?;
    linker.timed(namespace, "join_group", join_group)?;
    linker.timed(namespace, "leave_group", leave_group)?;
    linker.timed_async(namespace, "members", |caller, (name, len)| {
        Box::new(members(caller, name, len))
    })?;
    Ok(())
}

/// Whether the caller may use other nodes; if not, leaves a text in the buffer and logs the denial.
fn may_use(ctx: &mut Ctx) -> bool {
    let process = ctx.process();
    let may = process.local.rights.may.contains(May::NODES);
    if !may {
        denial::log(process, "may not use other nodes", "", "");
        ctx.set_buffer(
            b"the process may not use other nodes: the configuration that it was spawned with has no `allow=nodes`",
        );
    }
    may
}

fn this(mut caller: Caller<'_, Ctx>, out: u32) -> wasmtime::Result<i32> {
    let nodes = nodes::of(&caller.data().kernel.host);
    let number = nodes.map_or(0, |nodes| nodes.cluster.id().0);
    guest_memory::write(&mut caller, out, &number.to_le_bytes())?;
    Ok(OK)
}

fn of(mut caller: Caller<'_, Ctx>, id: u64, key: u64, out: u32) -> wasmtime::Result<i32> {
    guest_memory::slice(&mut caller, out, 8)?;
    let kernel = &caller.data().kernel;
    let Some(id) = kernel.process_named(RawHandle { id, key }) else {
        return Ok(INVALID);
    };
    // Without the right there are no other nodes.
    if !id.is_here() && !caller.data().process().local.rights.may.contains(May::NODES) {
        return Ok(CLOSED);
    }
    let number = match nodes::of(&kernel.host) {
        Some(nodes) => match nodes.cluster.node_of(id) {
            Some(node) => node.0,
            None => return Ok(CLOSED),
        },
        None => 0,
    };
    guest_memory::write(&mut caller, out, &number.to_le_bytes())?;
    Ok(OK)
}

async fn is_alive(mut caller: Caller<'_, Ctx>, id: u64, key: u64) -> wasmtime::Result<i32> {
    let kernel = caller.data().kernel.clone();
    let Some(id) = kernel.process_named(RawHandle { id, key }) else {
        return Ok(INVALID);
    };
    if id.is_here() {
        return Ok(kernel.is_alive(id).into());
    }
    caller.data().acts()?;
    let wait = wait(&mut caller, WaitFor::Call, id, NO_TIMEOUT);
    Ok(show(&caller, elsewhere::is_alive(&wait, id)).await.into())
}

fn list(mut caller: Caller<'_, Ctx>) -> i32 {
    let ctx = caller.data_mut();
    if !may_use(ctx) {
        return DENIED;
    }
    let (mut bytes, mut count) = (Vec::new(), 0);
    if let Some(nodes) = nodes::of(&ctx.kernel.host) {
        let own = (nodes.cluster.id(), nodes.identity.clone());
        let up = nodes.cluster.members().into_iter().filter(|member| member.is_up);
        for (node, identity) in [own].into_iter().chain(up.map(|member| (member.node, member.identity))) {
            bytes.extend(node.0.to_le_bytes());
            bytes.extend((identity.name.len() as u16).to_le_bytes());
            bytes.extend(identity.name.as_bytes());
            count += 1;
        }
    }
    ctx.set_buffer(bytes);
    count
}

fn attributes(mut caller: Caller<'_, Ctx>, node: u64) -> i32 {
    let ctx = caller.data_mut();
    if !may_use(ctx) {
        return DENIED;
    }
    let known = match nodes::of(&ctx.kernel.host) {
        Some(nodes) if nodes.cluster.id().0 == node => Some(nodes.attributes.clone()),
        Some(nodes) => nodes.cluster.attributes(NodeId(node)),
        // Without a cluster, this node has the number 0.
        None => (node == 0).then(Attributes::default),
    };
    let Some(known) = known else { return CLOSED };
    let mut bytes = Vec::new();
    for (key, value) in known.iter() {
        for text in [key, value] {
            bytes.extend((text.len() as u16).to_le_bytes());
            bytes.extend(text.as_bytes());
        }
    }
    ctx.set_buffer(bytes);
    known.iter().len() as i32
}

/// Charges the caller for something that the cluster keeps for it; if it cannot pay, leaves a text in the buffer.
fn charge(ctx: &mut Ctx, name_len: usize) -> Option<Receipt> {
    let mut paid = Receipt::new(ctx.process().purse().to_account(), Resource::Relations);
    match paid.grow(ROW_SIZE + 3 * name_len) {
        Ok(()) => Some(paid),
        Err(exhausted) => {
            ctx.set_buffer(exhausted.to_string().into_bytes());
            None
        }
    }
}

fn monitor(mut caller: Caller<'_, Ctx>, tag: u64) -> wasmtime::Result<i32> {
    caller.data().acts()?;
    let ctx = caller.data_mut();
    if !may_use(ctx) {
        return Ok(DENIED);
    }
    let Some(nodes) = nodes::of(&ctx.kernel.host) else {
        // There are no other nodes, and never will be any.
        return Ok(OK);
    };
    let Some(paid) = charge(ctx, 0) else { return Ok(LIMIT) };
    if !nodes.cluster.monitor_nodes(ctx.process().id, tag, Box::new(paid)) {
        ctx.set_buffer(b"the process already monitors nodes with the largest number of tags");
        return Ok(LIMIT);
    }
    Ok(OK)
}

fn demonitor(caller: Caller<'_, Ctx>, tag: u64) -> wasmtime::Result<i32> {
    caller.data().acts()?;
    let ctx = caller.data();
    if let Some(nodes) = nodes::of(&ctx.kernel.host) {
        nodes.cluster.demonitor_nodes(ctx.process().id, tag);
    }
    Ok(OK)
}

async fn room(mut caller: Caller<'_, Ctx>, id: u64, key: u64, timeout_ns: u64) -> wasmtime::Result<i32> {
    let Some(id) = caller.data().kernel.process_named(RawHandle { id, key }) else {
        return Ok(INVALID);
    };
    if id.is_here() {
        return Ok(CLOSED);
    }
    let wait = wait(&mut caller, WaitFor::Send, id, timeout_ns);
    let is_timely = show(&caller, until_room(&wait, id.peer())).await;
    Ok(if is_timely { OK } else { TIMED_OUT })
}

async fn spawn(
    mut caller: Caller<'_, Ctx>,
    node: u64,
    entry: u32,
    (captured, captured_len): (u32, u32),
    options: u32,
    out: u32,
) -> wasmtime::Result<i32> {
    // Invalid pointers trap, whatever else is wrong with the call, and before it has any effect.
    guest_memory::slice(&mut caller, out, SPAWNED_SIZE as u32)?;
    let read = SpawnOptions::decode(&guest_memory::read::<SPAWN_OPTIONS_SIZE>(&mut caller, options)?);
    let config = match read.config_len {
        0 => Vec::new(),
        len if len as usize > lunatic_sys::codes::CONFIG_LEN_MAX => {
            caller.data_mut().set_buffer(b"the configuration is too long");
            return Ok(BAD_CONFIG);
        }
        len => guest_memory::slice(&mut caller, u32::try_from(read.config)?, len)?
            .0
            .to_vec(),
    };
    let (bytes, ctx) = guest_memory::slice(&mut caller, captured, captured_len)?;
    if bytes.len() > CAPTURE_LEN_MAX {
        ctx.set_buffer(format!("a closure may capture at most {CAPTURE_LEN_MAX} bytes").into_bytes());
        return Ok(LIMIT);
    }
    let captured = Captured::from_slice(bytes);
    if !may_use(ctx) {
        return Ok(DENIED);
    }
    let nodes = nodes::of(&ctx.kernel.host);
    if nodes.as_ref().is_some_and(|nodes| nodes.cluster.id().0 == node) {
        let (module, entry) = (ctx.module.clone(), Entry::Closure(entry, captured));
        return spawn_entry(caller, module, entry, options, out).await;
    }
    ctx.acts()?;
    let Some(nodes) = nodes else {
        return Ok(gone(ctx, Loss::Unconnected));
    };
    let order = match prepare(ctx, &read, &config, Begins::Closure(entry, &captured)) {
        Ok(order) => order,
        Err(code) => return Ok(code),
    };
    drop((config, captured));
    // Any number of processes can wait until there is room for their requests.
    let mut paid = Receipt::new(ctx.process().purse().to_account(), Resource::Buffers);
    if let Err(exhausted) = paid.grow(order.len()) {
        ctx.set_buffer(exhausted.to_string().into_bytes());
        return Ok(LIMIT);
    }
    request(caller, &nodes, NodeId(node), &read, &order, out).await
}

/// The request for a spawn as bytes; or the code of a refusal, with a text in the buffer.
fn prepare(ctx: &mut Ctx, options: &SpawnOptions, config: &[u8], entry: Begins<'_>) -> Result<Vec<u8>, i32> {
    if !may_spawn(ctx) {
        return Err(DENIED);
    }
    let process = ctx.process().clone();
    let rights = &process.local.rights;
    if !config.is_empty() && !rights.may.contains(May::CONFIGURE) {
        denial::log(&process, "may not configure a child", "", "");
        ctx.set_buffer(
            b"the process may not configure a child: the configuration that it was spawned with has no `allow=configure`",
        );
        return Err(DENIED);
    }
    if options.name_len != 0 {
        ctx.set_buffer(b"a process on another node has no name of this node: register a global name");
        return Err(BAD_CONFIG);
    }
    let described = match describe(rights, &process.system.data.wasi) {
        Ok(described) => described,
        Err(denied) => {
            denial::log(&process, "may not spawn on another node", "", "");
            ctx.set_buffer(denied.to_string().into_bytes());
            return Err(DENIED);
        }
    };
    let context = ctx.current.trace().as_ref().map(|context| context.to_text());
    let order = Order {
        hash: ctx.module.identity().hash,
        flags: options.flags,
        max_memory: options.max_memory,
        mailbox_max: options.mailbox_max,
        scope: rights.scope.number(|| random_number(&ctx.kernel)),
        parent: &described.rights,
        nets: described.nets.iter().map(Vec::as_slice).collect(),
        config,
        context: context.as_deref().unwrap_or_default(),
        entry,
    };
    Ok(order.write())
}

/// A number that nobody can guess.
fn random_number(kernel: &Kernel) -> u128 {
    (u128::from(kernel.random()) << 64) | u128::from(kernel.random())
}

/// Requests the child, and waits for the answer.
async fn request(
    mut caller: Caller<'_, Ctx>,
    nodes: &Arc<Nodes>,
    node: NodeId,
    options: &SpawnOptions,
    order: &[u8],
    out: u32,
) -> wasmtime::Result<i32> {
    let ctx = caller.data();
    let (kernel, parent) = (ctx.kernel.clone(), ctx.process().clone());
    if ctx.module.file().len() > MODULE_LEN_MAX {
        let text = format!("a module of more than {MODULE_LEN_MAX} bytes cannot be sent to other nodes");
        caller.data_mut().set_buffer(text.into_bytes());
        return Ok(REFUSED);
    }
    // The other node fetches it from here.
    nodes
        .cluster
        .keep_hashed_module(ctx.module.identity().hash, ctx.module.file().clone());
    let monitor = match options.flags & flag::MONITOR {
        0 => 0,
        _ => kernel.monitor_reference(&parent, options.monitor_tag),
    };
    let ties = Ties {
        link: options.flags & flag::LINK != 0,
        monitor,
        tag: options.monitor_tag,
    };
    let answer = loop {
        match nodes.cluster.spawn(&parent, node, ties, order) {
            Ok(request) => {
                let mail = take(&mut caller, &[request], NO_TIMEOUT).await;
                kernel.close_reference(&parent, request);
                break mail.and_then(|mail| Answer::from_bytes(&mail.body));
            }
            Err(SpawnRefusal::Full) => {
                let wait = wait(&mut caller, WaitFor::Send, Id::NONE, NO_TIMEOUT);
                // If the node is lost meanwhile, the next attempt says so.
                if let Some(peer) = nodes.cluster.peer(node) {
                    show(&caller, until_room(&wait, peer)).await;
                }
            }
            Err(SpawnRefusal::Gone) => break Some(Answer::Lost(Loss::Unconnected)),
            Err(_) => break Some(Answer::Refused("the request is too long".into())),
        }
    };
    if let Some(Answer::Spawned(handle)) = answer {
        write_spawned(&mut caller, out, handle, monitor)?;
        return Ok(OK);
    }
    if monitor != 0 && options.monitor_tag == 0 {
        kernel.close_reference(&parent, monitor);
    }
    let ctx = caller.data_mut();
    Ok(match answer {
        Some(Answer::Refused(why)) => {
            ctx.set_buffer(why.into_bytes());
            REFUSED
        }
        Some(Answer::Lost(loss)) => gone(ctx, loss),
        // The mailbox has an answer under each open reference, so this is a process that is about to end.
        _ => gone(ctx, Loss::Unconnected),
    })
}

/// Leaves the reason in the buffer.
fn gone(ctx: &mut Ctx, loss: Loss) -> i32 {
    ctx.set_buffer(ExitReason::NodeGone(loss).to_bytes().1);
    GONE
}

/// What a global name or membership is for: the node, the process, the charge. Or the code of a refusal.
fn claim(ctx: &mut Ctx, name: &Name, handle: RawHandle) -> Result<(Arc<Nodes>, Id, Receipt), i32> {
    if !may_use(ctx) || !super::registry::may_name(ctx, name) {
        return Err(DENIED);
    }
    let id = ctx.kernel.process_named(handle).ok_or(INVALID)?;
    let nodes = nodes::of(&ctx.kernel.host).ok_or(CLOSED)?;
    if !id.is_here() || !ctx.kernel.is_alive(id) {
        return Err(CLOSED);
    }
    let paid = charge(ctx, name.len()).ok_or(LIMIT)?;
    Ok((nodes, id, paid))
}

fn refused(ctx: &mut Ctx, result: Result<(), NameRefusal>) -> i32 {
    match result {
        Ok(()) => OK,
        Err(NameRefusal::Taken(_)) => NAME_TAKEN,
        Err(_) => {
            ctx.set_buffer(b"the node already has the largest number of global names and memberships");
            LIMIT
        }
    }
}

fn register(
    mut caller: Caller<'_, Ctx>,
    at: u32,
    len: u32,
    id: u64,
    key: u64,
    priority: i32,
    tag: u64,
) -> wasmtime::Result<i32> {
    caller.data().acts()?;
    let name = name(&mut caller, at, len)?;
    let ctx = caller.data_mut();
    let (nodes, id, paid) = match claim(ctx, &name, RawHandle { id, key }) {
        Ok(claim) => claim,
        Err(code) => return Ok(code),
    };
    let priority = priority.clamp(0, 255) as u8;
    let registered = nodes.cluster.register(&name, id, priority, tag, Box::new(paid));
    Ok(refused(ctx, registered))
}

fn unregister(mut caller: Caller<'_, Ctx>, at: u32, len: u32) -> wasmtime::Result<i32> {
    caller.data().acts()?;
    let name = name(&mut caller, at, len)?;
    let ctx = caller.data_mut();
    if !may_use(ctx) {
        return Ok(CLOSED);
    }
    let Some(nodes) = nodes::of(&ctx.kernel.host) else {
        return Ok(CLOSED);
    };
    // A process may always give up its own name.
    if nodes.cluster.unregister(&name, Some(ctx.process().id)) {
        return Ok(OK);
    }
    if !super::registry::may_remove(ctx, &name) {
        return Ok(DENIED);
    }
    Ok(match nodes.cluster.unregister(&name, None) {
        true => OK,
        false => CLOSED,
    })
}

fn lookup(mut caller: Caller<'_, Ctx>, at: u32, len: u32, out: u32) -> wasmtime::Result<i32> {
    check_handle(&mut caller, out)?;
    let name = name(&mut caller, at, len)?;
    let ctx = caller.data_mut();
    if !may_use(ctx) {
        return Ok(CLOSED);
    }
    let found = nodes::of(&ctx.kernel.host).and_then(|nodes| nodes.cluster.find(&name));
    let Some(id) = found else { return Ok(CLOSED) };
    let handle = ctx.kernel.process_address(id);
    write_handle(&mut caller, out, handle)?;
    Ok(OK)
}

fn join_group(mut caller: Caller<'_, Ctx>, at: u32, len: u32, id: u64, key: u64) -> wasmtime::Result<i32> {
    caller.data().acts()?;
    let name = name(&mut caller, at, len)?;
    let ctx = caller.data_mut();
    let (nodes, id, paid) = match claim(ctx, &name, RawHandle { id, key }) {
        Ok(claim) => claim,
        Err(code) => return Ok(code),
    };
    let joined = nodes.cluster.join(&name, id, Box::new(paid));
    Ok(refused(ctx, joined))
}

fn leave_group(mut caller: Caller<'_, Ctx>, at: u32, len: u32, id: u64, key: u64) -> wasmtime::Result<i32> {
    caller.data().acts()?;
    let name = name(&mut caller, at, len)?;
    let ctx = caller.data_mut();
    let Some(id) = ctx.kernel.process_named(RawHandle { id, key }) else {
        return Ok(INVALID);
    };
    if !id.is_here() || !may_use(ctx) {
        return Ok(CLOSED);
    }
    // A process may always leave a group itself.
    if id != ctx.process().id && !super::registry::may_remove(ctx, &name) {
        return Ok(DENIED);
    }
    let nodes = nodes::of(&ctx.kernel.host);
    Ok(match nodes.is_some_and(|nodes| nodes.cluster.leave_group(&name, id)) {
        true => OK,
        false => CLOSED,
    })
}

async fn members(mut caller: Caller<'_, Ctx>, at: u32, len: u32) -> wasmtime::Result<i32> {
    let name = name(&mut caller, at, len)?;
    let ctx = caller.data_mut();
    let nodes = match may_use(ctx) {
        true => nodes::of(&ctx.kernel.host),
        false => None,
    };
    let members = nodes.as_ref().map(|nodes| nodes.cluster.group(&name));
    leave_handles(&mut caller, members.into_iter().flatten()).await
}
