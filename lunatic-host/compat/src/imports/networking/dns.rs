//! Look-up of host names, whose addresses are read one by one.

use std::net::{IpAddr, SocketAddr};

use lunatic_host::Ctx;
use lunatic_host::guest_memory;
use lunatic_host::imports::net::call::{Failure, check};
use lunatic_host::imports::net::connect::{Deadline, look_up};
use lunatic_host::rights::net::Verb;
use lunatic_net::resolve::NAME_LEN_MAX;
use wasmtime::{Caller, Linker};

use super::{NAMESPACE, give_addresses, refuse, remember_name};
use crate::imports::{failed, nanoseconds, state, text};

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    linker.func_wrap_async(NAMESPACE, "resolve", |caller, (name, len, timeout, out)| {
        Box::new(resolve(caller, name, len, timeout, out))
    })?;
    linker.func_wrap(NAMESPACE, "drop_dns_iterator", drop_dns_iterator)?;
    linker.func_wrap(NAMESPACE, "resolve_next", resolve_next)?;
    Ok(())
}

async fn resolve(mut caller: Caller<'_, Ctx>, name: u32, len: u32, timeout: u64, out: u32) -> wasmtime::Result<i32> {
    let target = text(&mut caller, name, len)?;
    let found = if let Ok(address) = target.parse::<SocketAddr>() {
        Ok(vec![address])
    } else {
        match split(&target) {
            Some((name, port)) => resolve_name(&mut caller, name, port, timeout).await,
            None => return failed(&mut caller, out, "invalid socket address: it must be HOST:PORT"),
        }
    };
    match found {
        Ok(addresses) => {
            give_addresses(&mut caller, addresses, out)?;
            Ok(0)
        }
        Err(failure) => refuse(&mut caller, failure, out),
    }
}

fn split(target: &str) -> Option<(&str, u16)> {
    let (name, port) = target.rsplit_once(':')?;
    let is_name = (1..=NAME_LEN_MAX).contains(&name.len()) && !name.contains('\0');
    Some((name, port.parse().ok()?)).filter(|_| is_name)
}

async fn resolve_name(
    caller: &mut Caller<'_, Ctx>,
    name: &str,
    port: u16,
    timeout: u64,
) -> Result<Vec<SocketAddr>, Failure> {
    check(caller.data(), Verb::Resolve, Some(name), None)?;
    let deadline = Deadline::after(caller.data().kernel(), nanoseconds(timeout));
    let addresses = look_up(caller, name, port, deadline).await?;
    remember_name(caller, name, &addresses);
    Ok(addresses)
}

fn drop_dns_iterator(mut caller: Caller<'_, Ctx>, id: u64) -> wasmtime::Result<()> {
    state(&mut caller).sockets.addresses.remove("DNS iterator", id)?;
    Ok(())
}

fn resolve_next(
    mut caller: Caller<'_, Ctx>,
    id: u64,
    out_type: u32,
    out_ip: u32,
    out_port: u32,
    out_flow: u32,
    out_scope: u32,
) -> wasmtime::Result<i32> {
    let addresses = state(&mut caller).sockets.addresses.get_mut("DNS iterator", id)?;
    let Some(address) = addresses.0.pop_front() else {
        return Ok(1);
    };
    let mut write = |at: u32, bytes: &[u8]| guest_memory::write(&mut caller, at, bytes);
    match address.ip() {
        IpAddr::V4(ip) => {
            write(out_type, &4_u32.to_le_bytes())?;
            write(out_ip, &ip.octets())?;
        }
        IpAddr::V6(ip) => {
            write(out_type, &6_u32.to_le_bytes())?;
            write(out_ip, &ip.octets())?;
        }
    }
    write(out_port, &address.port().to_le_bytes())?;
    if let SocketAddr::V6(address) = address {
        write(out_flow, &address.flowinfo().to_le_bytes())?;
        write(out_scope, &address.scope_id().to_le_bytes())?;
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_host_and_a_port() {
        assert_eq!(split("example.com:80"), Some(("example.com", 80)));
        for target in ["example.com", ":80", "a:b", "a:70000", "a\0b:1", ""] {
            assert_eq!(split(target), None, "{target:?}");
        }
    }
}
