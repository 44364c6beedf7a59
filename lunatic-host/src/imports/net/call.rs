//! What the calls of `lunatic::net` have in common: sockets by handles, addresses, rules, and what a failure is for a guest.

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
use crate::rights::net::Verb;
use crate::wasm::Socket;

pub(super) const NAMESPACE: &str = "lunatic::net";

/// Why a call did not do what it was asked for.
pub enum Failure {
    /// With nothing more to say.
    Code(i32),
    /// With this text in the buffer.
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
    /// What the guest gets.
    pub fn code(self, ctx: &mut Ctx) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Text(code, text) => {
                ctx.set_buffer(text.into_bytes());
                code
            }
            Self::Io(error) if error.kind() == io::ErrorKind::TimedOut && error.raw_os_error().is_none() => TIMED_OUT,
            Self::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => TRUNCATED,
            // What only TLS says.
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

/// A socket that a guest names, if it is the caller's.
pub fn find(ctx: &Ctx, id: u64, key: u64) -> Result<Arc<Socket>, Failure> {
    ctx.acts().map_err(|error| Failure::Text(DENIED, error.to_string()))?;
    let handles = &ctx.kernel.host.net.handles;
    let id = handles.keys.check(id, key).ok_or(Failure::Code(INVALID))?;
    Ok(handles.get(ctx.process(), id)?)
}

/// Gives a new socket to the caller, and tells its handle.
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

/// Whether the caller may do this to an address that was looked up by `name`, or to the name itself. Says so in the log
/// of denials if not.
pub fn check(ctx: &Ctx, verb: Verb, name: Option<&str>, address: Option<SocketAddr>) -> Result<(), Failure> {
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
    let text = format!("the process may not {what} {target}: no rule that it was given allows `{prefix}{target}`");
    Err(Failure::Text(DENIED, text))
}

/// The address that a guest wrote.
pub fn read_address(caller: &mut Caller<'_, Ctx>, at: u32) -> wasmtime::Result<Result<SocketAddr, Failure>> {
    let address = SocketAddress::decode(&guest_memory::read(caller, at)?).address();
    Ok(address.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput).into()))
}

/// An address as guests read it; `None` is one of no family.
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
