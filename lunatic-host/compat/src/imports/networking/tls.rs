//! TLS: servers with one certificate, clients that trust the system's roots or those that they are given.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use lunatic_host::Ctx;
use lunatic_host::guest_memory;
use lunatic_host::imports::net::call::Failure;
use lunatic_host::imports::net::connect::{Deadline, connect_host};
use lunatic_host::imports::net::tls::shake_hands;
use lunatic_host::wasm::{Process, Socket};
use lunatic_kernel::budget::{Payer, Receipt, Resource};
use lunatic_net::cost;
use lunatic_net::handles::Charge;
use lunatic_net::tls::config::{Config, cost as cost_of_config, must_read_roots, read_roots};
use lunatic_net::tls::{HELD_MAX, wrap};
use wasmtime::{Caller, Linker};

use super::tcp::{accept, listen};
use super::{NAMESPACE, RawAddress, TLS_LISTENERS, TLS_STREAMS, charge, is_timeout, read_address};
use crate::TlsListener;
use crate::imports::{bytes, failed, longs, nanoseconds, text};
use crate::sockets::Open;

/// A client that takes longer for its handshake is turned away, and others get their turn.
const HANDSHAKE_NS: u64 = 10_000_000_000;
/// The most certificates that a client trusts, and the longest text of one.
const ROOTS_MAX: u32 = 1024;
const PEM_LEN_MAX: u32 = 1 << 20;

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    linker.func_wrap(NAMESPACE, "tls_bind", tls_bind)?;
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

/// A text in PEM, which must not hold what ends an entry of a configuration.
fn pem(bytes: Vec<u8>) -> Option<String> {
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

/// The configuration of a server with one certificate.
fn server(process: &Process, certificate: Vec<u8>, key: Vec<u8>) -> Result<Config, String> {
    let (Some(certificate), Some(key)) = (pem(certificate), pem(key)) else {
        return Err("a certificate or key is not a text in PEM".into());
    };
    let text = format!("server\0certificate={certificate}\0key={key}\0");
    read(process, text.as_bytes())
}

/// A configuration that the process pays for.
fn read(process: &Process, text: &[u8]) -> Result<Config, String> {
    let mut receipt = Receipt::new(process.purse().to_account(), Resource::Network);
    receipt
        .grow(cost_of_config(text))
        .map_err(|exhausted| exhausted.to_string())?;
    Config::read(text, receipt).map_err(|error| error.to_string())
}

#[expect(clippy::too_many_arguments, reason = "the guest passes them so")]
fn tls_bind(
    mut caller: Caller<'_, Ctx>,
    ty: u32,
    at: u32,
    port: u32,
    flow: u32,
    scope: u32,
    out: u32,
    certificate: u32,
    certificate_len: u32,
    key: u32,
    key_len: u32,
) -> wasmtime::Result<i32> {
    let raw: RawAddress = (ty, at, port, flow, scope);
    let address: SocketAddr = read_address(&mut caller, raw)?;
    let certificate = bytes(&mut caller, certificate, certificate_len)?;
    let key = bytes(&mut caller, key, key_len)?;
    let config = match server(caller.data().process(), certificate, key) {
        Ok(config) => config,
        Err(why) => return failed(&mut caller, out, why),
    };
    let made = listen(&mut caller, address).map(|(socket, charge)| {
        Arc::new(TlsListener {
            open: Open::new(socket, charge, false),
            config,
        })
    });
    TLS_LISTENERS.answer(&mut caller, made, out)
}

/// Makes a connection one of TLS, and pays for that too; `name` is that of the server, for a client.
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
    // Guests know no timeout of an accept.
    let accepted = accepted.map_err(|failure| match is_timeout(&failure) {
        true => io::Error::other("the handshake of TLS took too long").into(),
        false => failure,
    });
    TLS_STREAMS.open_accepted(&mut caller, accepted, out, out_peer)
}

/// The certificates that a client trusts. Guests of Rust write length and pointer of each where the host was said to read
/// pointer and length: whichever way round there is a text in PEM is meant.
fn roots(caller: &mut Caller<'_, Ctx>, at: u32, count: u32) -> wasmtime::Result<Vec<String>> {
    let ranges = longs(caller, at, count, ROOTS_MAX)?;
    let (memory, _) = guest_memory::all(caller)?;
    let mut text = |at: u32, len: u32| {
        let bytes = guest_memory::part(memory, at, len.min(PEM_LEN_MAX)).ok()?;
        pem(bytes.to_vec()).filter(|text| text.contains("-----BEGIN CERTIFICATE-----"))
    };
    let each = ranges.into_iter().map(|range| {
        let (first, second) = (range as u32, (range >> 32) as u32);
        text(first, second).or_else(|| text(second, first))
    });
    Ok(each.flatten().collect())
}

/// The text of the configuration of a client; without certificates of its own it trusts the system's.
fn client(roots: &[String]) -> String {
    match roots {
        [] => "client\0system-roots\0".into(),
        roots => roots
            .iter()
            .map(|root| format!("root={root}\0"))
            .fold("client\0".into(), |all, root| all + &root),
    }
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
    let roots = roots(&mut caller, certificates, count)?;
    let entries = client(&roots);
    if must_read_roots(entries.as_bytes()) {
        caller.data().spawn_blocking(read_roots).await;
    }
    let config = match read(caller.data().process(), entries.as_bytes()) {
        Ok(config) => config,
        Err(why) => return failed(&mut caller, out, why),
    };
    let deadline = Deadline::after(caller.data().kernel(), nanoseconds(timeout));
    let made = connect_secure(&mut caller, &config, &host, port as u16, deadline).await?;
    TLS_STREAMS.open(&mut caller, made, out)
}

async fn connect_secure(
    caller: &mut Caller<'_, Ctx>,
    config: &Config,
    host: &str,
    port: u16,
    deadline: Deadline,
) -> wasmtime::Result<Result<(Arc<Socket>, Charge), Failure>> {
    // Whether there is room for one more; what it costs is charged by the connection.
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
