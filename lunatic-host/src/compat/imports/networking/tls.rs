//! TLS: servers with one certificate, clients that trust the system's roots or those that they are given.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use wasmtime::{Caller, Linker};

use super::tcp::{accept, listen, not_accepted};
use super::{NAMESPACE, RawAddress, TLS_STREAMS, add_addresses, answer_address, charge, read_address, refuse};
use crate::compat::TlsListener;
use crate::compat::imports::{bytes, failed, longs, nanoseconds, state, text, write_long};
use crate::compat::sockets::Open;
use crate::guest_memory;
use crate::imports::net::Failure;
use crate::imports::net::connect::{Deadline, connect_host};
use crate::imports::net::wait::perform;
use crate::instance::Ctx;
use crate::net::handles::Charge;
use crate::net::socket::Socket;
use crate::net::tls::config::Config;
use crate::net::tls::{Handshake, wrap};

/// A client that takes longer for its handshake is turned away, and others get their turn.
const HANDSHAKE_NS: u64 = 10_000_000_000;
/// The most certificates that a client trusts, and the longest text of one.
const ROOTS_MAX: u32 = 1024;
const PEM_LEN_MAX: u32 = 1 << 20;

pub(super) fn add(linker: &mut Linker<Ctx>) -> wasmtime::Result<()> {
    linker.func_wrap(NAMESPACE, "tls_bind", tls_bind)?;
    linker.func_wrap(
        NAMESPACE,
        "drop_tls_listener",
        |mut caller: Caller<'_, Ctx>, id: u64| {
            state(&mut caller).sockets.tls_listeners.remove("TLS listener", id)?;
            wasmtime::Result::Ok(())
        },
    )?;
    linker.func_wrap(
        NAMESPACE,
        "tls_local_addr",
        |mut caller: Caller<'_, Ctx>, id: u64, out: u32| {
            let address = listener(&mut caller, id)?.open.socket.local_address();
            answer_address(&mut caller, address, out)
        },
    )?;
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

fn listener(caller: &mut Caller<'_, Ctx>, id: u64) -> wasmtime::Result<Arc<TlsListener>> {
    Ok(state(caller).sockets.tls_listeners.get("TLS listener", id)?.clone())
}

/// A text in PEM, which must not hold what ends an entry of a configuration.
fn pem(bytes: Vec<u8>) -> Option<String> {
    String::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))
}

/// The configuration of a server with one certificate.
fn server(certificate: Vec<u8>, key: Vec<u8>) -> Result<Config, String> {
    let (Some(certificate), Some(key)) = (pem(certificate), pem(key)) else {
        return Err("a certificate or key is not a text in PEM".into());
    };
    let text = format!("server\0certificate={certificate}\0key={key}\0");
    Config::read(text.as_bytes()).map_err(|error| error.to_string())
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
    let config = match server(certificate, key) {
        Ok(config) => config,
        Err(why) => return failed(&mut caller, out, why),
    };
    match listen(&mut caller, address) {
        Ok((socket, charge)) => {
            let listener = TlsListener {
                open: Open::new(socket, charge, false),
                config,
            };
            let id = state(&mut caller)
                .sockets
                .tls_listeners
                .add("TLS listener", Arc::new(listener))?;
            write_long(&mut caller, out, id)?;
            Ok(0)
        }
        Err(failure) => refuse(&mut caller, failure, out),
    }
}

/// Makes a connection one of TLS; `name` is that of the server, for a client.
async fn secure(
    caller: &mut Caller<'_, Ctx>,
    config: &Config,
    name: Option<&str>,
    tcp: Arc<Socket>,
    deadline: Deadline,
) -> wasmtime::Result<Result<Arc<Socket>, Failure>> {
    let connection = match config.connection(name) {
        Ok(connection) => connection,
        Err(error) => {
            return Ok(Err(
                io::Error::new(io::ErrorKind::InvalidInput, error.to_string()).into()
            ));
        }
    };
    let socket = match wrap(&caller.data().shared.net.reactor, tcp, connection) {
        Ok(socket) => socket,
        Err(error) => return Ok(Err(error.into())),
    };
    let mut step = socket.tls().and_then(|tls| tls.try_handshake());
    loop {
        let direction = match step {
            Ok(Handshake::Done) => return Ok(Ok(socket)),
            Ok(Handshake::Waits(direction)) => direction,
            Err(error) => return Ok(Err(error.into())),
        };
        let waited = perform(caller, &socket, direction, deadline.left_ns(), |_| {
            let step = socket.tls().and_then(|tls| tls.try_handshake());
            Ok(match step {
                // It still waits for the same.
                Ok(Handshake::Waits(again)) if again == direction => {
                    Err(io::Error::from(io::ErrorKind::WouldBlock).into())
                }
                step => step.map_err(Failure::Io),
            })
        });
        step = match waited.await? {
            Ok(step) => Ok(step),
            Err(failure) => return Ok(Err(failure)),
        };
    }
}

async fn tls_accept(mut caller: Caller<'_, Ctx>, id: u64, out: u32, out_peer: u32) -> wasmtime::Result<i32> {
    let listener = listener(&mut caller, id)?;
    let accepted = match accept(&mut caller, &listener.open).await? {
        Ok((tcp, charge, peer)) => {
            let deadline = Deadline::after(HANDSHAKE_NS);
            let secured = secure(&mut caller, &listener.config, None, tcp, deadline).await?;
            secured.map(|socket| (socket, charge, peer))
        }
        Err(failure) => Err(failure),
    };
    match accepted {
        Ok((socket, charge, peer)) => {
            let code = TLS_STREAMS.open(&mut caller, Ok((socket, charge)), out)?;
            let peer = add_addresses(&mut caller, [peer])?;
            write_long(&mut caller, out_peer, peer)?;
            Ok(code)
        }
        // Guests know no timeout of an accept.
        Err(failure) => {
            let failure = match super::is_timeout(&failure) {
                true => io::Error::other("the handshake of TLS took too long").into(),
                false => failure,
            };
            not_accepted(&mut caller, failure, out, out_peer)
        }
    }
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

/// The configuration of a client; without certificates of its own it trusts the system's.
fn client(roots: &[String]) -> Result<Config, String> {
    let entries: String = match roots {
        [] => "client\0system-roots\0".into(),
        roots => roots
            .iter()
            .map(|root| format!("root={root}\0"))
            .fold("client\0".into(), |all, root| all + &root),
    };
    Config::read(entries.as_bytes()).map_err(|error| error.to_string())
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
    let config = match client(&roots) {
        Ok(config) => config,
        Err(why) => return failed(&mut caller, out, why),
    };
    let deadline = Deadline::after(nanoseconds(timeout));
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
    if let Err(failure) = charge(caller).map(drop) {
        return Ok(Err(failure));
    }
    let (tcp, charge) = match connect_host(caller, host, port, deadline).await? {
        Ok(made) => made,
        Err(failure) => return Ok(Err(failure)),
    };
    let secured = secure(caller, config, Some(host), tcp, deadline).await?;
    Ok(secured.map(|socket| (socket, charge)))
}
