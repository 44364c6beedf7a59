//! `lunatic::net`.

pub(crate) mod connect;
mod handover;
mod options;
mod stream;
mod tls;
mod udp;
mod unix;
pub(crate) mod wait;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::Arc;

use lunatic_sys::codes::{CLOSED, DENIED, INVALID, IO_ERROR, LIMIT, TIMED_OUT, TLS_FAILED, TRUNCATED};
use lunatic_sys::layout::SOCKET_ADDRESS_SIZE;
use wasmtime::{Caller, Linker};

use crate::guest_memory;
use crate::instance::Ctx;
use crate::net::errno;
use crate::net::handles::{Charge, Refusal};
use crate::net::socket::Socket;
use crate::process::id::Id;
use crate::rights::denial;
use crate::rights::net::Verb;

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    connect::add(linker)?;
    stream::add(linker)?;
    options::add(linker)?;
    handover::add(linker)?;
    udp::add(linker)?;
    unix::add(linker)?;
    tls::add(linker)?;
    Ok(())
}

const NAMESPACE: &str = "lunatic::net";

/// Why a call did not do what it was asked for.
pub(crate) enum Failure {
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
    pub(crate) fn code(self, ctx: &mut Ctx) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Text(code, text) => {
                ctx.buffer = text.into_bytes();
                code
            }
            Self::Io(error) if error.kind() == io::ErrorKind::TimedOut && error.raw_os_error().is_none() => TIMED_OUT,
            Self::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof => TRUNCATED,
            // What only TLS says.
            Self::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                ctx.buffer = error.to_string().into_bytes();
                TLS_FAILED
            }
            Self::Io(error) => IO_ERROR - errno::of(&error),
        }
    }
}

/// The result of a call.
fn answer(caller: &mut Caller<'_, Ctx>, result: Result<i32, Failure>) -> i32 {
    result.unwrap_or_else(|failure| failure.code(caller.data_mut()))
}

/// A socket that a guest names, if it is the caller's.
fn find(ctx: &Ctx, id: u64, key: u64) -> Result<Arc<Socket>, Failure> {
    let handles = &ctx.shared.net.handles;
    let id = handles.keys.check(id, key).ok_or(Failure::Code(INVALID))?;
    Ok(handles.get(ctx.process(), id)?)
}

/// Gives a new socket to the caller, and tells its handle.
fn open(
    caller: &mut Caller<'_, Ctx>,
    socket: Arc<Socket>,
    charge: Charge,
    out: u32,
) -> wasmtime::Result<Result<Id, Failure>> {
    let shared = &caller.data().shared;
    let opened = shared
        .net
        .handles
        .open(shared.scheduler.worker(), caller.data().process(), socket, charge);
    match opened {
        Ok(id) => {
            let handle = shared.net.handles.keys.handle(id);
            super::process::write_handle(caller, out, handle)?;
            Ok(Ok(id))
        }
        Err(refusal) => Ok(Err(refusal.into())),
    }
}

/// Whether the caller may do this to an address that was looked up by `name`, or to the name itself. Says so in the log
/// of denials if not.
pub(crate) fn check(ctx: &Ctx, verb: Verb, name: Option<&str>, address: Option<SocketAddr>) -> Result<(), Failure> {
    let process = ctx.process();
    if process.rights.net.allows(verb, name, address) {
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
fn read_address(caller: &mut Caller<'_, Ctx>, at: u32) -> wasmtime::Result<Result<SocketAddr, Failure>> {
    let bytes = guest_memory::slice(caller, at, SOCKET_ADDRESS_SIZE as u32)?.0;
    Ok(parse_address(bytes).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput).into()))
}

fn parse_address(bytes: &[u8]) -> Option<SocketAddr> {
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    let port = u16::try_from(word(4)).ok()?;
    match word(0) {
        4 => {
            let ip: [u8; 4] = bytes[8..12].try_into().expect("four bytes");
            Some(SocketAddr::new(Ipv4Addr::from(ip).into(), port))
        }
        6 => {
            let ip: [u8; 16] = bytes[8..24].try_into().expect("sixteen bytes");
            Some(SocketAddrV6::new(Ipv6Addr::from(ip), port, word(24), word(28)).into())
        }
        _ => None,
    }
}

/// An address as guests read it; `None` is one of no family.
fn address_bytes(address: Option<SocketAddr>) -> [u8; SOCKET_ADDRESS_SIZE] {
    let mut bytes = [0; SOCKET_ADDRESS_SIZE];
    let Some(address) = address else { return bytes };
    let mut put = |at: usize, value: u32| bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
    put(0, if address.is_ipv4() { 4 } else { 6 });
    put(4, address.port().into());
    if let SocketAddr::V6(v6) = address {
        put(24, v6.flowinfo());
        put(28, v6.scope_id());
    }
    match address.ip() {
        IpAddr::V4(ip) => bytes[8..12].copy_from_slice(&ip.octets()),
        IpAddr::V6(ip) => bytes[8..24].copy_from_slice(&ip.octets()),
    }
    bytes
}

/// Traps unless an address can be read from or written to this place.
fn check_address(caller: &mut Caller<'_, Ctx>, at: u32) -> wasmtime::Result<()> {
    guest_memory::slice(caller, at, SOCKET_ADDRESS_SIZE as u32).map(drop)
}

fn write_address(caller: &mut Caller<'_, Ctx>, at: u32, address: Option<SocketAddr>) -> wasmtime::Result<()> {
    guest_memory::write(caller, at, &address_bytes(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_cross_and_come_back() {
        for text in ["127.0.0.1:80", "[::1]:0", "[fe80::1%7]:65535", "255.1.2.3:1"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(parse_address(&address_bytes(Some(address))), Some(address), "{text}");
        }
        assert_eq!(parse_address(&address_bytes(None)), None);
        let mut bytes = address_bytes(Some("1.2.3.4:5".parse().unwrap()));
        bytes[6] = 1;
        assert_eq!(parse_address(&bytes), None, "a port has sixteen bits");
    }
}
