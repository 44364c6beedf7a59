//! Addresses and options of sockets.

use std::io;
use std::net::SocketAddr;

use lunatic_sys::codes::OK;
use wasmtime::{Caller, Linker};

use super::call::{NAMESPACE, answer, check_address, find, write_address};
use crate::guest_memory;
use crate::imports::timed::Timed as _;
use crate::instance::Ctx;
use crate::wasm::Socket;

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    linker.timed(NAMESPACE, "local_address", |caller: Caller<'_, Ctx>, id, key, out| {
        address(caller, id, key, out, Socket::local_address)
    })?;
    linker.timed(NAMESPACE, "peer_address", |caller: Caller<'_, Ctx>, id, key, out| {
        address(caller, id, key, out, Socket::peer_address)
    })?;
    linker.timed(NAMESPACE, "get_option", get_option)?;
    linker.timed(NAMESPACE, "set_option", set_option)?;
    Ok(())
}

fn address(
    mut caller: Caller<'_, Ctx>,
    id: u64,
    key: u64,
    out: u32,
    which: fn(&Socket) -> io::Result<SocketAddr>,
) -> wasmtime::Result<i32> {
    check_address(&mut caller, out)?;
    let found = find(caller.data(), id, key).and_then(|socket| Ok(which(&socket)?));
    if let Ok(address) = found {
        write_address(&mut caller, out, Some(address))?;
    }
    Ok(answer(&mut caller, found.map(|_| OK)))
}

fn get_option(mut caller: Caller<'_, Ctx>, id: u64, key: u64, option: i32, out: u32) -> wasmtime::Result<i32> {
    guest_memory::slice(&mut caller, out, 8)?;
    let found = find(caller.data(), id, key).and_then(|socket| Ok(socket.option(option)?));
    if let Ok(value) = found {
        guest_memory::write(&mut caller, out, &value.to_le_bytes())?;
    }
    Ok(answer(&mut caller, found.map(|_| OK)))
}

fn set_option(mut caller: Caller<'_, Ctx>, id: u64, key: u64, option: i32, value: u64) -> i32 {
    let set = find(caller.data(), id, key).and_then(|socket| Ok(socket.set_option(option, value)?));
    answer(&mut caller, set.map(|()| OK))
}
