//! `lunatic::distributed`, for a node that is the only one.

use std::sync::{Arc, LazyLock};

use lunatic_host::Ctx;
use lunatic_host::extension::spawn_metered;
use lunatic_host::guest_memory;
use lunatic_kernel::budget::{Payer, Receipt, Resource};
use lunatic_kernel::permits::Permits;
use wasmtime::{Caller, Linker};

use super::message::{await_answer, check_node, deliver, take_plain};
use super::process::{Called, Wanted, answer_spawn, check_may_spawn};
use super::registry::environment;
use super::{failed_with, fault, give, keep, state, text, write_long};
use crate::certificates::{self, BYTES_PER_BYTE, CertificateError, PEM_LEN_MAX};
use crate::environment::NODE;

/// The codes of `spawn` and `send`.
const NO_NODE: i32 = 1;
const NO_MODULE: i32 = 2;
const SEND_NO_PROCESS: i32 = 1;
const SEND_NO_NODE: i32 = 2;
/// A remote spawn failed on its node.
const SPAWN_FAILED: i32 = crate::TIMED_OUT;

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    let namespace = "lunatic::distributed";
    linker.func_wrap(namespace, "nodes_count", || 1_i32)?;
    linker.func_wrap(namespace, "get_nodes", get_nodes)?;
    linker.func_wrap(namespace, "exec_lookup_nodes", exec_lookup_nodes)?;
    linker.func_wrap(namespace, "copy_lookup_nodes_results", copy_lookup_nodes_results)?;
    linker.func_wrap(namespace, "node_id", || NODE)?;
    linker.func_wrap(namespace, "module_id", module_id)?;
    linker.func_wrap(namespace, "spawn", spawn)?;
    linker.func_wrap(namespace, "send", send)?;
    linker.func_wrap_async(
        namespace,
        "send_receive_skip_search",
        |caller, (node, process, tag, timeout)| Box::new(send_receive(caller, node, process, tag, timeout)),
    )?;
    linker.func_wrap_async(namespace, "test_root_cert", |caller, (out,)| {
        Box::new(test_root_cert(caller, out))
    })?;
    linker.func_wrap_async(
        namespace,
        "default_server_certificates",
        |caller, (root, len, key, key_len, out)| {
            Box::new(default_server_certificates(caller, (root, len), (key, key_len), out))
        },
    )?;
    linker.func_wrap_async(
        namespace,
        "sign_node",
        |caller, (root, len, key, key_len, request, request_len, out)| {
            Box::new(sign_node(
                caller,
                (root, len),
                (key, key_len),
                (request, request_len),
                out,
            ))
        },
    )?;
    Ok(())
}

/// A text in PEM that a guest has written.
fn pem(caller: &mut Caller<'_, Ctx>, (at, len): (u32, u32)) -> wasmtime::Result<String> {
    if len > PEM_LEN_MAX {
        return Err(fault(format!(
            "a text in PEM has at most {PEM_LEN_MAX} bytes, not {len}"
        )));
    }
    text(caller, at, len)
}

/// How many certificates are made at a time.
const MAKERS_MAX: usize = 8;

static MAKERS: LazyLock<Arc<Permits>> = LazyLock::new(|| Permits::new(MAKERS_MAX));

/// Makes a certificate of these texts on a thread that may take its time: reading, checking and signing are one step of
/// milliseconds. The process pays for them and for what is made of them until the receipt is dropped.
async fn made<T: Send + 'static, const N: usize>(
    caller: &mut Caller<'_, Ctx>,
    places: [(u32, u32); N],
    make: impl FnOnce([String; N]) -> Result<T, CertificateError> + Send + 'static,
) -> wasmtime::Result<(T, Receipt)> {
    let mut paid = Receipt::new(caller.data().process().purse().to_account(), Resource::Buffers);
    let mut texts = [const { String::new() }; N];
    for (text, place) in texts.iter_mut().zip(places) {
        *text = pem(caller, place)?;
        paid.grow(BYTES_PER_BYTE * text.len())
            .map_err(|exhausted| fault(format!("out of memory: {exhausted}")))?;
    }
    let (kernel, process) = (caller.data().kernel().clone(), caller.data().process().clone());
    let permit = MAKERS.acquire(&process.local.rights().group).await;
    let done = spawn_metered(&kernel, &process, move |_meter| {
        // Held by the work, which goes on after its process was killed.
        let _permit = permit;
        (make(texts), paid)
    });
    let (made, paid) = done.await.ok_or_else(|| fault("making a certificate failed"))?;
    Ok((made?, paid))
}

/// Encodes texts for guests: each with its length before it, in 8 bytes.
fn texts(texts: &[&str]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for text in texts {
        bytes.extend((text.len() as u64).to_le_bytes());
        bytes.extend(text.as_bytes());
    }
    bytes
}

async fn test_root_cert(mut caller: Caller<'_, Ctx>, out_len: u32) -> wasmtime::Result<u32> {
    guest_memory::slice(&mut caller, out_len, 4)?;
    let (certificate, key) = certificates::test_root()?;
    give(&mut caller, &texts(&[&certificate, &key]), out_len).await
}

async fn default_server_certificates(
    mut caller: Caller<'_, Ctx>,
    root: (u32, u32),
    key: (u32, u32),
    out_len: u32,
) -> wasmtime::Result<u32> {
    let make = |[root, key]: [String; 2]| certificates::server(&root, &key);
    let ((certificate, key), _paid) = made(&mut caller, [root, key], make).await?;
    give(&mut caller, &texts(&[&certificate, &key]), out_len).await
}

async fn sign_node(
    mut caller: Caller<'_, Ctx>,
    root: (u32, u32),
    key: (u32, u32),
    request: (u32, u32),
    out_len: u32,
) -> wasmtime::Result<u32> {
    let make = |[root, key, request]: [String; 3]| certificates::sign(&root, &key, &request);
    let (signed, _paid) = made(&mut caller, [root, key, request], make).await?;
    match signed {
        Some(certificate) => give(&mut caller, &texts(&[&certificate]), out_len).await,
        // As in 0.13.2; the address for the length is checked nevertheless.
        None => {
            guest_memory::write(&mut caller, out_len, &0_u32.to_le_bytes())?;
            Ok(0)
        }
    }
}

/// Writes as many of `nodes` as there is room for, and returns how many.
fn write_nodes(caller: &mut Caller<'_, Ctx>, nodes: &[u64], out: u32, max: u32) -> wasmtime::Result<i32> {
    guest_memory::slice(caller, out, max.saturating_mul(8))?;
    let count = nodes.len().min(max as usize);
    let bytes: Vec<u8> = nodes[..count].iter().flat_map(|node| node.to_le_bytes()).collect();
    guest_memory::write(caller, out, &bytes)?;
    Ok(i32::try_from(count)?)
}

fn get_nodes(mut caller: Caller<'_, Ctx>, out: u32, max: u32) -> wasmtime::Result<i32> {
    write_nodes(&mut caller, &[NODE], out, max)
}

/// Finds nodes that have all attributes of the query, which has the form `KEY=VALUE&KEY=VALUE`. This node has no
/// attributes.
fn exec_lookup_nodes(
    mut caller: Caller<'_, Ctx>,
    query: u32,
    len: u32,
    out: u32,
    out_count: u32,
    _out_error: u32,
) -> wasmtime::Result<i32> {
    let query = text(&mut caller, query, len)?;
    let asks_nothing = query.split('&').all(str::is_empty);
    let nodes = if asks_nothing { vec![NODE] } else { Vec::new() };
    let count = u32::try_from(nodes.len())?;
    let id = keep(&mut caller, |state| &mut state.lookups, "query", nodes)?;
    write_long(&mut caller, out, id)?;
    guest_memory::write(&mut caller, out_count, &count.to_le_bytes())?;
    Ok(0)
}

fn copy_lookup_nodes_results(
    mut caller: Caller<'_, Ctx>,
    id: u64,
    out: u32,
    max: u32,
    out_error: u32,
) -> wasmtime::Result<i32> {
    match state(&mut caller).lookups.remove("query", id) {
        Ok(nodes) => write_nodes(&mut caller, &nodes, out, max),
        Err(unknown) => failed_with(&mut caller, out_error, -1, unknown),
    }
}

fn module_id(caller: Caller<'_, Ctx>) -> wasmtime::Result<u64> {
    let environment = environment(&caller)?;
    Ok(environment.number_of(&caller.data().process().local.module()))
}

#[expect(clippy::too_many_arguments, reason = "the guest passes them so")]
fn spawn(
    mut caller: Caller<'_, Ctx>,
    node: u64,
    config: i64,
    module: u64,
    name: u32,
    name_len: u32,
    arguments: u32,
    arguments_len: u32,
    out: u32,
) -> wasmtime::Result<i32> {
    check_may_spawn(&caller)?;
    let called = Called {
        name: (name, name_len),
        arguments: (arguments, arguments_len),
    };
    let own = caller.data().process().local.module();
    let found = environment(&caller)?.module(module);
    // Read before node and module are checked: if it is not readable, the call traps, whatever else is wrong.
    let mut wanted = Wanted::read(&mut caller, config, own, called, true)?;
    if let Err(why) = check_node(node) {
        return failed_with(&mut caller, out, NO_NODE, why);
    }
    let Some(found) = found else {
        return failed_with(&mut caller, out, NO_MODULE, format!("the node has no module {module}"));
    };
    wanted.module = found;
    let started = wanted.start(&caller, 0);
    answer_spawn(&mut caller, started, out, SPAWN_FAILED)
}

fn send(mut caller: Caller<'_, Ctx>, node: u64, process: u64) -> wasmtime::Result<i32> {
    send_to(&mut caller, node, process)
}

fn send_to(caller: &mut Caller<'_, Ctx>, node: u64, process: u64) -> wasmtime::Result<i32> {
    let letter = take_plain(caller)?;
    Ok(match check_node(node) {
        Err(_) => SEND_NO_NODE,
        Ok(()) if deliver(caller, process, letter) => 0,
        Ok(()) => SEND_NO_PROCESS,
    })
}

async fn send_receive(
    mut caller: Caller<'_, Ctx>,
    node: u64,
    process: u64,
    tag: i64,
    timeout: u64,
) -> wasmtime::Result<i32> {
    match send_to(&mut caller, node, process)? {
        0 => Ok(await_answer(&mut caller, tag, timeout).await),
        code => Ok(code),
    }
}
