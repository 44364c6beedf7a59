//! `lunatic::networking`: sockets and host names.

mod dns;
mod streams;
mod tcp;
mod tls;
mod udp;

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::sync::Arc;

use lunatic_host::Ctx;
use lunatic_host::guest_memory;
use lunatic_host::imports::net::call::{Failure, check};
use lunatic_host::rights::net::Verb;
use lunatic_host::wasm::Socket;
use lunatic_net::handles::Charge;
use wasmtime::{Caller, Linker};

use super::{failed, failed_with, fault, keep, state, write_long};
use crate::TIMED_OUT;
use crate::resources::Resources;
use crate::sockets::{Open, too_many};
use crate::{Addresses, Sockets, State, TlsListener};

const NAMESPACE: &str = "lunatic::networking";

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    dns::add(linker)?;
    streams::add(linker)?;
    tcp::add(linker)?;
    tls::add(linker)?;
    udp::add(linker)?;
    Ok(())
}

/// A table of sockets of one kind, and the name of its entries.
pub(super) struct Table<T = Open> {
    of: fn(&mut Sockets) -> &mut Resources<Arc<T>>,
    name: &'static str,
}

impl<T> Clone for Table<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Table<T> {}

const TCP_LISTENERS: Table = Table {
    of: |sockets| &mut sockets.tcp_listeners,
    name: "TCP listener",
};
pub(super) const TCP_STREAMS: Table = Table {
    of: |sockets| &mut sockets.tcp_streams,
    name: "TCP stream",
};
const TLS_LISTENERS: Table<TlsListener> = Table {
    of: |sockets| &mut sockets.tls_listeners,
    name: "TLS listener",
};
pub(super) const TLS_STREAMS: Table = Table {
    of: |sockets| &mut sockets.tls_streams,
    name: "TLS stream",
};
pub(super) const UDP_SOCKETS: Table = Table {
    of: |sockets| &mut sockets.udp_sockets,
    name: "UDP socket",
};

impl<T: AsRef<Socket> + Send + Sync + 'static> Table<T> {
    fn all(self, state: &mut State) -> &mut Resources<Arc<T>> {
        (self.of)(&mut state.sockets)
    }

    pub(super) fn get(self, caller: &mut Caller<'_, Ctx>, id: u64) -> wasmtime::Result<Arc<T>> {
        Ok(self.all(state(caller)).get(self.name, id)?.clone())
    }

    pub(super) fn remove(self, caller: &mut Caller<'_, Ctx>, id: u64) -> wasmtime::Result<Arc<T>> {
        Ok(self.all(state(caller)).remove(self.name, id)?)
    }

    pub(super) fn add(self, caller: &mut Caller<'_, Ctx>, open: Arc<T>) -> wasmtime::Result<u64> {
        keep(caller, |state| self.all(state), self.name, open)
    }

    /// A function that drops a handle.
    fn drop_handle(self) -> impl Fn(Caller<'_, Ctx>, u64) -> wasmtime::Result<()> + Send + Sync + 'static {
        move |mut caller, id| self.remove(&mut caller, id).map(drop)
    }

    /// A function that makes another handle of the same socket.
    fn clone_handle(self) -> impl Fn(Caller<'_, Ctx>, u64) -> wasmtime::Result<u64> + Send + Sync + 'static {
        move |mut caller, id| {
            let open = self.get(&mut caller, id)?;
            self.add(&mut caller, open)
        }
    }

    /// A function that gives the guest an address of a socket: its own, or its peer's.
    fn tell_address(
        self,
        address: fn(&Socket) -> io::Result<SocketAddr>,
    ) -> impl Fn(Caller<'_, Ctx>, u64, u32) -> wasmtime::Result<i32> + Send + Sync + 'static {
        move |mut caller, id, out| {
            let address = address((*self.get(&mut caller, id)?).as_ref());
            answer_address(&mut caller, address, out)
        }
    }

    /// Gives a new entry to the caller and writes its number, or the number of an error.
    fn answer(self, caller: &mut Caller<'_, Ctx>, made: Result<Arc<T>, Failure>, out: u32) -> wasmtime::Result<i32> {
        match made {
            Ok(open) => {
                let id = self.add(caller, open)?;
                write_long(caller, out, id)?;
                Ok(0)
            }
            Err(failure) => refuse(caller, failure, out),
        }
    }
}

impl Table {
    /// Gives a new socket to the caller, as [`answer`](Self::answer) does.
    fn open(
        self,
        caller: &mut Caller<'_, Ctx>,
        made: Result<(Arc<Socket>, Charge), Failure>,
        out: u32,
    ) -> wasmtime::Result<i32> {
        let is_tls = self.name == TLS_STREAMS.name;
        let made = made.map(|(socket, charge)| Open::new(socket, charge, is_tls));
        self.answer(caller, made, out)
    }

    /// Gives an accepted connection to the caller, together with the address of its peer. If there is none, writes 0
    /// for the peer.
    fn open_accepted(
        self,
        caller: &mut Caller<'_, Ctx>,
        accepted: Result<Accepted, Failure>,
        out: u32,
        out_peer: u32,
    ) -> wasmtime::Result<i32> {
        match accepted {
            Ok((socket, charge, peer)) => {
                let code = self.open(caller, Ok((socket, charge)), out)?;
                give_addresses(caller, [peer], out_peer)?;
                Ok(code)
            }
            Err(failure) => {
                let code = refuse(caller, failure, out)?;
                write_long(caller, out_peer, 0)?;
                Ok(code)
            }
        }
    }
}

/// An accepted connection, with the address of its peer.
type Accepted = (Arc<Socket>, Charge, SocketAddr);

/// Whether the caller may have another socket.
fn check_count(caller: &mut Caller<'_, Ctx>) -> Result<(), Failure> {
    let open = state(caller).sockets.count();
    match too_many(caller.data().process(), open) {
        Some(text) => Err(Failure::Text(lunatic_sys::codes::LIMIT, text)),
        None => Ok(()),
    }
}

/// Checks and charges everything that a new socket needs if the host keeps this many bytes for it.
fn charge(caller: &mut Caller<'_, Ctx>, bytes: usize) -> Result<Charge, Failure> {
    check_count(caller)?;
    Ok(Charge::of(caller.data().process(), bytes)?)
}

/// The text of a failure.
fn why(failure: Failure) -> String {
    match failure {
        Failure::Code(lunatic_sys::codes::TIMED_OUT) => "timed out".into(),
        Failure::Code(code) => format!("the host refused it with code {code}"),
        Failure::Text(_, text) => text,
        Failure::Io(error) => error.to_string(),
    }
}

fn is_timeout(failure: &Failure) -> bool {
    match failure {
        Failure::Code(code) => *code == lunatic_sys::codes::TIMED_OUT,
        Failure::Io(error) => error.kind() == io::ErrorKind::TimedOut && error.raw_os_error().is_none(),
        Failure::Text(..) => false,
    }
}

/// The status of a failure, whose error number is written to `out`. This includes timeouts, which guests treat as
/// errors.
fn refuse(caller: &mut Caller<'_, Ctx>, failure: Failure, out: u32) -> wasmtime::Result<i32> {
    match is_timeout(&failure) {
        true => failed_with(caller, out, TIMED_OUT, "timed out"),
        false => failed(caller, out, why(failure)),
    }
}

/// The status of a transfer. A timeout does not write to `out`: guests recognise it by its code.
fn transferred(caller: &mut Caller<'_, Ctx>, result: Result<usize, Failure>, out: u32) -> wasmtime::Result<i32> {
    match result {
        Ok(len) => {
            write_long(caller, out, len as u64)?;
            Ok(0)
        }
        Err(failure) if is_timeout(&failure) => Ok(TIMED_OUT),
        Err(failure) => failed(caller, out, why(failure)),
    }
}

/// An address in the form that guests pass: the type, a pointer, the port, and two numbers of IPv6.
pub(super) type RawAddress = (u32, u32, u32, u32, u32);

fn read_address(caller: &mut Caller<'_, Ctx>, (ty, at, port, flow, scope): RawAddress) -> wasmtime::Result<SocketAddr> {
    let port = port as u16;
    Ok(match ty {
        4 => {
            let ip: [u8; 4] = (&*guest_memory::slice(caller, at, 4)?.0).try_into()?;
            SocketAddr::new(Ipv4Addr::from(ip).into(), port)
        }
        6 => {
            let ip: [u8; 16] = (&*guest_memory::slice(caller, at, 16)?.0).try_into()?;
            SocketAddrV6::new(Ipv6Addr::from(ip), port, flow, scope).into()
        }
        ty => return Err(fault(format!("an address has the type 4 or 6, not {ty}"))),
    })
}

/// Gives addresses to the caller, to be read one by one, and writes the number of the list.
fn give_addresses(
    caller: &mut Caller<'_, Ctx>,
    addresses: impl Into<VecDeque<SocketAddr>>,
    out: u32,
) -> wasmtime::Result<()> {
    let addresses = Addresses(addresses.into());
    let id = keep(caller, |state| &mut state.sockets.addresses, "DNS iterator", addresses)?;
    write_long(caller, out, id)
}

/// The status of a call that returns an address.
fn answer_address(caller: &mut Caller<'_, Ctx>, address: io::Result<SocketAddr>, out: u32) -> wasmtime::Result<i32> {
    match address {
        Ok(address) => {
            give_addresses(caller, [address], out)?;
            Ok(0)
        }
        Err(error) => failed(caller, out, error),
    }
}

/// Whether the caller may connect or send to an address, either as such or by the name that it has looked up.
fn check_connect(caller: &mut Caller<'_, Ctx>, address: SocketAddr) -> Result<(), Failure> {
    let name = state(caller).sockets.names.get(&address.ip()).cloned();
    let ctx = caller.data();
    let by_name = name.is_some_and(|name| {
        ctx.process()
            .local
            .rights()
            .net
            .allows(Verb::Connect, Some(&name), Some(address))
    });
    if by_name {
        Ok(())
    } else {
        check(ctx, Verb::Connect, None, Some(address))
    }
}

/// For how many addresses a process's look-ups are remembered.
const NAMES_MAX: usize = 1024;

fn remember_name(caller: &mut Caller<'_, Ctx>, name: &str, addresses: &[SocketAddr]) {
    let names = &mut state(caller).sockets.names;
    // Forgetting them costs little: a connection that is allowed only by name is denied until the process looks up the
    // name again.
    if names.len() + addresses.len() > NAMES_MAX {
        names.clear();
    }
    let name: Arc<str> = name.into();
    names.extend(
        addresses
            .iter()
            .map(|address| (IpAddr::clone(&address.ip()), name.clone())),
    );
}
