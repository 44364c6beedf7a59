//! What the calls of `lunatic::net` share: sockets by handle, addresses, rules, and the codes of failures.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use lunatic_kernel::address::Id;
use lunatic_net::errno;
use lunatic_net::handles::{Charge, Refusal};
use lunatic_sys::codes::{CLOSED, DENIED, INVALID, IO_ERROR, LIMIT, TIMED_OUT, TLS_FAILED, TRUNCATED};
use lunatic_sys::layout::{SOCKET_ADDRESS_SIZE, SocketAddress};
use wasmtime::Caller;

use crate::guest_memory;
use crate::imports::handle::write_handle;
use crate::instance::Ctx;
use crate::rights::denial;
use crate::rights::net::{Rule, Verb};
use crate::wasm::{Process, Socket};

pub(super) const NAMESPACE: &str = "lunatic::net";

/// Why a call failed.
pub enum Failure {
    /// With this code only.
    Code(i32),
    /// With this code, and this text in the buffer.
    Text(i32, String),
    Io(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotYours | Refusal::Ended => Self::Code(CLOSED),
            Refusal::Process(_) | Refusal::Budget(_) | Refusal::Host => Self::Text(LIMIT, refusal.to_string()),
        }
    }
}

impl Failure {
    /// The code for the guest; leaves the text in the buffer.
    pub fn code(self, ctx: &mut Ctx) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Text(code, text) => {
                ctx.set_buffer(text.into_bytes());
                code
            }
            Self::Io(error) if error.kind() == io::ErrorKind::TimedOut && error.raw_os_error().is_none() => TIMED_OUT,
            Self::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => TRUNCATED,
            // Only TLS returns this.
            Self::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                ctx.set_buffer(error.to_string().into_bytes());
                TLS_FAILED
            }
            Self::Io(error) => IO_ERROR - errno::of(&error),
        }
    }
}

/// The result of a call.
pub fn answer(caller: &mut Caller<'_, Ctx>, result: Result<i32, Failure>) -> i32 {
    result.unwrap_or_else(|failure| failure.code(caller.data_mut()))
}

/// Fails if the caller is on trial: it reads the state of another version and has not accepted it.
pub fn acts(ctx: &Ctx) -> Result<(), Failure> {
    ctx.acts().map_err(|error| Failure::Text(DENIED, error.to_string()))
}

/// The socket with this handle, if it belongs to the caller.
pub fn find(ctx: &Ctx, id: u64, key: u64) -> Result<Arc<Socket>, Failure> {
    acts(ctx)?;
    let handles = &ctx.kernel.host.net.handles;
    let id = handles.keys.check(id, key).ok_or(Failure::Code(INVALID))?;
    Ok(handles.get(ctx.process(), id)?)
}

/// Gives a new socket to the caller, and writes its handle.
pub fn open(
    caller: &mut Caller<'_, Ctx>,
    socket: Arc<Socket>,
    charge: Charge,
    out: u32,
) -> wasmtime::Result<Result<Id, Failure>> {
    let kernel = &caller.data().kernel;
    let opened = kernel
        .host
        .net
        .handles
        .open(kernel.worker(), caller.data().process(), socket, charge);
    match opened {
        Ok(id) => {
            let handle = kernel.host.net.handles.keys.handle(id);
            write_handle(caller, out, handle)?;
            Ok(Ok(id))
        }
        Err(refusal) => Ok(Err(refusal.into())),
    }
}

/// Whether the caller may do this to an address that was looked up as `name`, or to the name itself, and is not on trial.
/// Logs a denial.
pub fn check(ctx: &Ctx, verb: Verb, name: Option<&str>, address: Option<SocketAddr>) -> Result<(), Failure> {
    acts(ctx)?;
    let process = ctx.process();
    if process.local.rights.net.allows(verb, name, address) {
        return Ok(());
    }
    let target = match (name, address) {
        (Some(name), Some(address)) => format!("{name}:{}", address.port()),
        (Some(name), None) => name.to_owned(),
        (None, Some(address)) => address.to_string(),
        (None, None) => String::new(),
    };
    let (what, prefix) = match verb {
        Verb::Connect => ("connect or send to", ""),
        Verb::Bind => ("listen or receive on", "bind:"),
        Verb::Resolve => ("look up", "resolve:"),
    };
    denial::log(
        process,
        &format!("may not {what}"),
        &target,
        &format!("--allow-net {prefix}{target}"),
    );
    let rule = format!("{prefix}{target}");
    let how = advice(process, &rule, |given| given.allows(verb, name, address));
    let text = format!("the process may not {what} {target}: none of its rules allows `{rule}` ({how} would allow it)");
    Err(Failure::Text(DENIED, text))
}

/// How the process would get a rule that it lacks: from its configuration if the main process has the right, otherwise
/// from the command line.
fn advice(process: &Process, rule: &str, allows: impl Fn(&Rule) -> bool) -> String {
    let system = &process.system;
    let is_given = !system.is_main(process.id) && system.data.config.net.iter().any(allows);
    match is_given {
        true => format!("`ProcessConfig::allow_net({rule:?})`"),
        false => format!("`--allow-net {rule}`"),
    }
}

/// Reads the address that a guest wrote.
pub fn read_address(caller: &mut Caller<'_, Ctx>, at: u32) -> wasmtime::Result<Result<SocketAddr, Failure>> {
    let address = SocketAddress::decode(&guest_memory::read(caller, at)?).address();
    Ok(address.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput).into()))
}

/// An address as guests read it; `None` is an address without a family.
pub fn address_bytes(address: Option<SocketAddr>) -> [u8; SOCKET_ADDRESS_SIZE] {
    address.map(SocketAddress::from).unwrap_or_default().encode()
}

/// Traps unless an address can be read from or written to this place.
pub fn check_address(caller: &mut Caller<'_, Ctx>, at: u32) -> wasmtime::Result<()> {
    guest_memory::slice(caller, at, SOCKET_ADDRESS_SIZE as u32).map(drop)
}

pub fn write_address(caller: &mut Caller<'_, Ctx>, at: u32, address: Option<SocketAddr>) -> wasmtime::Result<()> {
    guest_memory::write(caller, at, &address_bytes(address))
}
