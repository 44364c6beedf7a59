//! TLS.

use std::io;
use std::sync::Arc;

use lunatic_kernel::address::Id;
use lunatic_kernel::budget::{Payer, Receipt, Resource};
use lunatic_net::handles::Charge;
use lunatic_net::readiness::Direction;
use lunatic_net::tls::config::{Config, Draft, cost, must_read_roots, read_roots};
use lunatic_net::tls::{Handshake, wrap};
use lunatic_sys::certificates;
use lunatic_sys::codes::{
    BAD_CONFIG, CLOSED, EMPTY, INVALID, LIMIT, OK, TLS_CONFIG_LEN_MAX, TLS_FAILED, tls_info as info,
};
use lunatic_sys::layout::RawHandle;
use wasmtime::{Caller, Linker};

use super::call::{Failure, NAMESPACE, acts, answer, find};
use super::connect::{Deadline, finish};
use super::wait::perform;
use crate::guest_memory;
use crate::imports::handle::{check_handle, write_handle};
use crate::imports::pieces;
use crate::imports::timed::Timed as _;
use crate::instance::Ctx;
use crate::states::Merge;
use crate::wasm::{Kernel, Socket};

/// The most configurations of a process.
const CONFIGS_MAX: usize = 1024;
/// The longest name of a server in bytes.
const NAME_LEN_MAX: usize = 253;

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    linker.timed_async(NAMESPACE, "tls_config", |caller, (text, len, out)| {
        Box::new(tls_config(caller, text, len, out))
    })?;
    linker.timed_async(NAMESPACE, "tls_replace", |caller, (id, key, text, len)| {
        Box::new(tls_replace(caller, id, key, text, len))
    })?;
    linker.timed(NAMESPACE, "tls_drop", tls_drop)?;
    linker.timed_async(
        NAMESPACE,
        "tls_start",
        |caller, (id, key, config_id, config_key, name, name_len, out)| {
            Box::new(tls_start(
                caller,
                (id, key),
                (config_id, config_key),
                name,
                name_len,
                out,
            ))
        },
    )?;
    linker.timed(NAMESPACE, "tls_info", tls_info)?;
    Ok(())
}

/// The configurations of a process; they are dropped with it.
struct Own {
    kernel: Arc<Kernel>,
    ids: Vec<Id>,
}

impl Own {
    fn of(ctx: &mut Ctx) -> &mut Self {
        let kernel = ctx.kernel.clone();
        ctx.merging_state(|| Self {
            kernel,
            ids: Vec::new(),
        })
    }
}

impl Merge for Own {
    fn merge(&mut self, mut former: Self) {
        self.ids.append(&mut former.ids);
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        for id in self.ids.drain(..) {
            drop(self.kernel.host.net.tls_configs.remove(self.kernel.worker(), id));
        }
    }
}

/// Reads the configuration that a guest wrote.
async fn read_config(caller: &mut Caller<'_, Ctx>, text: u32, len: u32) -> wasmtime::Result<Result<Config, Failure>> {
    let bytes = &*guest_memory::slice(caller, text, len)?.0;
    if bytes.len() > TLS_CONFIG_LEN_MAX {
        return Ok(Err(too_long()));
    }
    let text = bytes.to_vec();
    Ok(make_config(caller, &text).await)
}

/// A configuration is longer than [`TLS_CONFIG_LEN_MAX`] bytes.
pub fn too_long() -> Failure {
    bad_config(format!("a TLS configuration has at most {TLS_CONFIG_LEN_MAX} bytes"))
}

/// Makes a configuration of its text, which has at most [`TLS_CONFIG_LEN_MAX`] bytes. The caller pays for it. Long steps
/// are done in pieces.
///
/// # Errors
///
/// [`Failure`] if the caller cannot pay, or if the text is no configuration.
pub async fn make_config(caller: &mut Caller<'_, Ctx>, text: &[u8]) -> Result<Config, Failure> {
    let mut receipt = Receipt::new(caller.data().process().purse().to_account(), Resource::Network);
    if let Err(exhausted) = receipt.grow(cost(text)) {
        return Err(Failure::Text(LIMIT, exhausted.to_string()));
    }
    if must_read_roots(text) {
        caller.data().spawn_blocking(read_roots).await;
    }
    let mut draft = Draft::new(text).map_err(bad_config)?;
    while draft.step().map_err(bad_config)? {
        pieces::pause(caller).await;
    }
    draft.finish(receipt).map_err(bad_config)
}

fn bad_config(error: impl ToString) -> Failure {
    Failure::Text(BAD_CONFIG, error.to_string())
}

async fn tls_config(mut caller: Caller<'_, Ctx>, text: u32, len: u32, out: u32) -> wasmtime::Result<i32> {
    check_handle(&mut caller, out)?;
    let config = read_config(&mut caller, text, len).await?;
    match config.and_then(|config| open_config(caller.data_mut(), config)) {
        Ok(handle) => {
            write_handle(&mut caller, out, handle)?;
            Ok(OK)
        }
        Err(failure) => Ok(failure.code(caller.data_mut())),
    }
}

/// Gives a configuration to the caller.
fn open_config(ctx: &mut Ctx, config: Config) -> Result<RawHandle, Failure> {
    let full = || {
        let text = format!("a process has at most {CONFIGS_MAX} configurations of TLS");
        Failure::Text(LIMIT, text)
    };
    let own = Own::of(ctx);
    if own.ids.len() >= CONFIGS_MAX {
        return Err(full());
    }
    let (worker, net) = (own.kernel.worker(), &own.kernel.host.net);
    let id = net
        .tls_configs
        .insert(worker, |_| Arc::new(config))
        .map_err(|_| full())?;
    own.ids.push(id);
    Ok(net.tls_keys.handle(id))
}

/// The configuration with this handle.
fn find_config(ctx: &Ctx, id: u64, key: u64) -> Result<Arc<Config>, Failure> {
    let net = &ctx.kernel.host.net;
    let id = net.tls_keys.check(id, key).ok_or(Failure::Code(INVALID))?;
    let config = net.tls_configs.get(id).map(|config| Arc::clone(&config));
    config.ok_or(Failure::Code(CLOSED))
}

async fn tls_replace(mut caller: Caller<'_, Ctx>, id: u64, key: u64, text: u32, len: u32) -> wasmtime::Result<i32> {
    guest_memory::slice(&mut caller, text, len)?;
    let found = acts(caller.data()).and_then(|()| find_config(caller.data(), id, key));
    let replaced = match found {
        Ok(config) => {
            let other = read_config(&mut caller, text, len).await?;
            other.map(|other| config.replace(other))
        }
        Err(failure) => Err(failure),
    };
    Ok(answer(&mut caller, replaced.map(|()| OK)))
}

fn tls_drop(mut caller: Caller<'_, Ctx>, id: u64, key: u64) -> i32 {
    let ctx = caller.data_mut();
    let own = Own::of(ctx);
    let net = &own.kernel.host.net;
    let Some(id) = net.tls_keys.check(id, key) else {
        return INVALID;
    };
    let Some(at) = own.ids.iter().position(|own| *own == id) else {
        return CLOSED;
    };
    own.ids.swap_remove(at);
    drop(net.tls_configs.remove(own.kernel.worker(), id));
    OK
}

async fn tls_start(
    mut caller: Caller<'_, Ctx>,
    (id, key): (u64, u64),
    (config_id, config_key): (u64, u64),
    name: u32,
    name_len: u32,
    out: u32,
) -> wasmtime::Result<i32> {
    check_handle(&mut caller, out)?;
    let name = &*guest_memory::slice(&mut caller, name, name_len)?.0;
    let name = (name.len() <= NAME_LEN_MAX).then(|| String::from_utf8(name.to_vec()).ok());
    let begun = find(caller.data(), id, key).and_then(|tcp| {
        let config = find_config(caller.data(), config_id, config_key)?;
        let name = name
            .flatten()
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        let name = (!name.is_empty()).then_some(&*name);
        let prepared = config
            .connection(name)
            .map_err(|error| Failure::Text(TLS_FAILED, error.to_string()))?;
        let charge = Charge::of(caller.data().process(), lunatic_net::cost::TLS)?;
        Ok((wrap(&caller.data().kernel.host.net.reactor, tcp, prepared)?, charge))
    });
    let (socket, charge) = match begun {
        Ok(begun) => begun,
        Err(failure) => return Ok(failure.code(caller.data_mut())),
    };
    // A handshake may take as long as a read.
    let deadline = Deadline::after(&caller.data().kernel, socket.timeout_ns(Direction::Read));
    let shaken = shake_hands(&mut caller, &socket, deadline).await?;
    finish(&mut caller, shaken.map(|()| (socket, charge)), out)
}

/// Waits for the handshake to complete.
pub async fn shake_hands(
    caller: &mut Caller<'_, Ctx>,
    socket: &Arc<Socket>,
    deadline: Deadline,
) -> wasmtime::Result<Result<(), Failure>> {
    let mut direction = Direction::Read;
    loop {
        let left_ns = deadline.left_ns(&caller.data().kernel);
        let step = perform(caller, socket, direction, left_ns, |_| {
            let step = socket.tls().and_then(|tls| tls.try_handshake());
            Ok(match step {
                // It still waits for the same event; if it needs the other direction, the process must wait for that.
                Ok(Handshake::Waits(waits)) if waits == direction => {
                    Err(io::Error::from(io::ErrorKind::WouldBlock).into())
                }
                Ok(step) => Ok(step),
                Err(error) => Err(Failure::Io(error)),
            })
        });
        match step.await? {
            Ok(Handshake::Done) => return Ok(Ok(())),
            Ok(Handshake::Waits(other)) => direction = other,
            Err(failure) => return Ok(Err(failure)),
        }
    }
}

fn tls_info(mut caller: Caller<'_, Ctx>, id: u64, key: u64, what: i32) -> i32 {
    let found = find(caller.data(), id, key).and_then(|socket| {
        let tls = socket.tls()?;
        let bytes = match what {
            info::ALPN => tls.alpn(),
            info::SERVER_NAME => tls.server_name().map(String::into_bytes),
            info::PEER_CERTIFICATES => {
                let chain = tls.peer_certificates();
                (!chain.is_empty()).then(|| certificates::encode(&chain))
            }
            _ => return Err(io::Error::from(io::ErrorKind::InvalidInput).into()),
        };
        bytes.ok_or(Failure::Code(EMPTY))
    });
    let found = found.map(|bytes| {
        caller.data_mut().set_buffer(bytes);
        OK
    });
    answer(&mut caller, found)
}
