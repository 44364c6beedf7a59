//! TLS: servers with one certificate; clients that trust the system's roots or those that they are given.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use lunatic_host::Ctx;
use lunatic_host::guest_memory;
use lunatic_host::imports::net::call::{Failure, check};
use lunatic_host::imports::net::connect::{Deadline, connect_host};
use lunatic_host::imports::net::tls::{make_config, shake_hands, too_long};
use lunatic_host::imports::pieces;
use lunatic_host::rights::net::Verb;
use lunatic_host::wasm::Socket;
use lunatic_net::cost;
use lunatic_net::handles::Charge;
use lunatic_net::tls::config::Config;
use lunatic_net::tls::{HELD_MAX, wrap};
use lunatic_sys::codes::{BAD_CONFIG, TLS_CONFIG_LEN_MAX};
use wasmtime::{Caller, Linker};

use super::tcp::{accept, listen};
use super::{NAMESPACE, RawAddress, TLS_LISTENERS, TLS_STREAMS, charge, is_timeout, read_address};
use crate::TlsListener;
use crate::imports::{longs, nanoseconds, text};
use crate::sockets::Open;

/// How long the handshake of a client may take before it is turned away, so that others get their turn.
const HANDSHAKE_NS: u64 = 10_000_000_000;
/// How many certificates a client can trust.
const ROOTS_MAX: u32 = 1024;

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    linker.func_wrap_async(
        NAMESPACE,
        "tls_bind",
        |caller, (ty, at, port, flow, scope, out, certificate, certificate_len, key, key_len)| {
            let address = (ty, at, port, flow, scope);
            Box::new(tls_bind(
                caller,
                address,
                out,
                [(certificate, certificate_len), (key, key_len)],
            ))
        },
    )?;
    linker.func_wrap(NAMESPACE, "drop_tls_listener", TLS_LISTENERS.drop_handle())?;
    let local_address = TLS_LISTENERS.tell_address(Socket::local_address);
    linker.func_wrap(NAMESPACE, "tls_local_addr", local_address)?;
    linker.func_wrap_async(NAMESPACE, "tls_accept", |caller, (id, out, out_peer)| {
        Box::new(tls_accept(caller, id, out, out_peer))
    })?;
    linker.func_wrap_async(
        NAMESPACE,
        "tls_connect",
        |caller, (host, len, port, timeout, out, roots, count)| {
            Box::new(tls_connect(caller, (host, len), port, timeout, out, (roots, count)))
        },
    )?;
    linker.func_wrap(NAMESPACE, "drop_tls_stream", TLS_STREAMS.drop_handle())?;
    linker.func_wrap(NAMESPACE, "clone_tls_stream", TLS_STREAMS.clone_handle())?;
    Ok(())
}

/// A text in PEM, which must not contain the byte that ends an entry of a configuration.
fn pem(bytes: &[u8]) -> Option<&str> {
    let is_entry = !bytes.contains(&0);
    is_entry.then(|| std::str::from_utf8(bytes).ok()).flatten()
}

/// Whether a configuration has room for another entry, with a value of this length.
fn has_room(entries: &str, len: usize) -> bool {
    entries.len() + "certificate=\0".len() + len <= TLS_CONFIG_LEN_MAX
}

/// The configuration of a server with a certificate and its key, which lie at these ranges.
async fn server(caller: &mut Caller<'_, Ctx>, pair: [(u32, u32); 2]) -> wasmtime::Result<Result<Config, Failure>> {
    let mut entries = String::from("server\0");
    for (name, (at, len)) in ["certificate=", "key="].into_iter().zip(pair) {
        let bytes = &*guest_memory::slice(caller, at, len)?.0;
        if !has_room(&entries, bytes.len()) {
            return Ok(Err(too_long()));
        }
        let Some(value) = pem(bytes) else {
            let text = "a certificate or key is not a text in PEM".into();
            return Ok(Err(Failure::Text(BAD_CONFIG, text)));
        };
        entries.extend([name, value, "\0"]);
    }
    Ok(make_config(caller, entries.as_bytes()).await)
}

async fn tls_bind(
    mut caller: Caller<'_, Ctx>,
    raw: RawAddress,
    out: u32,
    pair: [(u32, u32); 2],
) -> wasmtime::Result<i32> {
    let address: SocketAddr = read_address(&mut caller, raw)?;
    for (at, len) in pair {
        guest_memory::slice(&mut caller, at, len)?;
    }
    // Nothing is copied for a process that may not listen there.
    let may = check(caller.data(), Verb::Bind, None, Some(address));
    let config = match may {
        Ok(()) => server(&mut caller, pair).await?,
        Err(failure) => Err(failure),
    };
    let made = config.and_then(|config| {
        let (socket, charge) = listen(&mut caller, address)?;
        let open = Open::new(socket, charge, false);
        Ok(Arc::new(TlsListener { open, config }))
    });
    TLS_LISTENERS.answer(&mut caller, made, out)
}

/// Turns a connection into one of TLS, and charges for that. For a client, `name` is the name of the server.
async fn secure(
    caller: &mut Caller<'_, Ctx>,
    config: &Config,
    name: Option<&str>,
    (tcp, charge): (Arc<Socket>, &mut Charge),
    deadline: Deadline,
) -> wasmtime::Result<Result<Arc<Socket>, Failure>> {
    if let Err(refusal) = charge.grow(HELD_MAX) {
        return Ok(Err(refusal.into()));
    }
    let prepared = match config.connection(name) {
        Ok(prepared) => prepared,
        Err(error) => {
            return Ok(Err(
                io::Error::new(io::ErrorKind::InvalidInput, error.to_string()).into()
            ));
        }
    };
    let socket = match wrap(caller.data().kernel().host.reactor(), tcp, prepared) {
        Ok(socket) => socket,
        Err(error) => return Ok(Err(error.into())),
    };
    let shaken = shake_hands(caller, &socket, deadline).await?;
    Ok(shaken.map(|()| socket))
}

async fn tls_accept(mut caller: Caller<'_, Ctx>, id: u64, out: u32, out_peer: u32) -> wasmtime::Result<i32> {
    let listener = TLS_LISTENERS.get(&mut caller, id)?;
    let accepted = match accept(&mut caller, &listener.open.socket).await? {
        Ok((tcp, mut charge, peer)) => {
            let deadline = Deadline::after(caller.data().kernel(), HANDSHAKE_NS);
            let secured = secure(&mut caller, &listener.config, None, (tcp, &mut charge), deadline).await?;
            secured.map(|socket| (socket, charge, peer))
        }
        Err(failure) => Err(failure),
    };
    // The interface has no timeout for an accept.
    let accepted = accepted.map_err(|failure| match is_timeout(&failure) {
        true => io::Error::other("the TLS handshake took too long").into(),
        false => failure,
    });
    TLS_STREAMS.open_accepted(&mut caller, accepted, out, out_peer)
}

/// A certificate that a client trusts. Guests in Rust write the length and the pointer of each, but the host was
/// specified to read pointer and length: the order that yields a text in PEM counts.
fn root(memory: &[u8], range: u64) -> Option<&str> {
    let (first, second) = (range as u32 as usize, (range >> 32) as usize);
    let text = |at: usize, len: usize| {
        // A longer text is too long, wherever it ends.
        let bytes = memory.get(at..at.checked_add(len)?)?;
        let text = pem(&bytes[..len.min(TLS_CONFIG_LEN_MAX)])?;
        text.contains("-----BEGIN CERTIFICATE-----").then_some(text)
    };
    text(first, second).or_else(|| text(second, first))
}

/// The configuration of a client that trusts the certificates at these ranges. Without certificates of its own, the
/// client trusts the system's.
async fn client(caller: &mut Caller<'_, Ctx>, ranges: Vec<u64>) -> wasmtime::Result<Result<Config, Failure>> {
    let mut entries = String::from("client\0");
    for range in ranges {
        // The ranges can lie over each other, so together they can be longer than the memory.
        pieces::pause(caller).await;
        let (memory, _) = guest_memory::all(caller)?;
        match root(memory, range) {
            Some(root) if has_room(&entries, root.len()) => entries.extend(["root=", root, "\0"]),
            Some(_) => return Ok(Err(too_long())),
            None => {}
        }
    }
    if entries == "client\0" {
        entries += "system-roots\0";
    }
    Ok(make_config(caller, entries.as_bytes()).await)
}

async fn tls_connect(
    mut caller: Caller<'_, Ctx>,
    (host, len): (u32, u32),
    port: u32,
    timeout: u64,
    out: u32,
    (certificates, count): (u32, u32),
) -> wasmtime::Result<i32> {
    let host = text(&mut caller, host, len)?;
    let roots = longs(&mut caller, certificates, count, ROOTS_MAX)?;
    // Nothing is copied for a process that may not look the host up.
    let may = check(caller.data(), Verb::Resolve, Some(&host), None);
    let config = match may {
        Ok(()) => client(&mut caller, roots).await?,
        Err(failure) => Err(failure),
    };
    let made = match config {
        Ok(config) => {
            let deadline = Deadline::after(caller.data().kernel(), nanoseconds(timeout));
            connect_secure(&mut caller, &config, &host, port as u16, deadline).await?
        }
        Err(failure) => Err(failure),
    };
    TLS_STREAMS.open(&mut caller, made, out)
}

async fn connect_secure(
    caller: &mut Caller<'_, Ctx>,
    config: &Config,
    host: &str,
    port: u16,
    deadline: Deadline,
) -> wasmtime::Result<Result<(Arc<Socket>, Charge), Failure>> {
    // Checks whether there is room for one more; the connection charges for what it costs.
    if let Err(failure) = charge(caller, cost::TLS).map(drop) {
        return Ok(Err(failure));
    }
    let (tcp, mut charge) = match connect_host(caller, host, port, deadline).await? {
        Ok(made) => made,
        Err(failure) => return Ok(Err(failure)),
    };
    let secured = secure(caller, config, Some(host), (tcp, &mut charge), deadline).await?;
    Ok(secured.map(|socket| (socket, charge)))
}
