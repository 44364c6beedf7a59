//! The process that accepts connections and spawns a process for each.

use std::io;
use std::time::Duration;

use lunatic::mailbox::Mail;
use lunatic::net::tls::TlsAcceptor;
use lunatic::net::{TcpListener, TcpStream};
use lunatic::{Channel, Mailbox, Process, code, sleep};
use serde::{Deserialize, Serialize};

use super::drain::{Group, Moment, Running, Watch};
use super::orders::Order;
use super::stream::Stream;
use crate::conn::Conn;
use crate::limits::Limits;
use crate::router::Handler;
use crate::serve;

/// So many connections over the limit are told so; more are just closed.
const REFUSED_MAX: usize = 64;
/// The first pause when the system has no room for another connection, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// What the processes of a server know of it.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct Settings {
    pub(super) limits: Limits,
    pub(super) tls: Option<TlsAcceptor>,
    pub(super) group: Group,
}

/// Spawns the acceptor, linked to the caller.
pub(super) fn spawn(
    listener: TcpListener,
    settings: Settings,
    handler: impl Handler,
    orders: Channel<Order>,
) -> io::Result<Process> {
    let entry = move |listener: TcpListener| {
        let accepting = Accepting {
            running: Running::new(),
            listener,
            accepted: None,
            connections: 0,
            settings,
            orders,
        };
        accept_all(accepting, handler);
    };
    let spawned = Process::builder().link().spawn_with(listener, entry);
    spawned.map_err(io::Error::other)
}

/// What an acceptor has, so that it can go on in another version.
#[derive(Serialize, Deserialize)]
struct Accepting {
    listener: TcpListener,
    /// A connection that nobody serves yet.
    accepted: Option<TcpStream>,
    /// Those that are served.
    connections: usize,
    settings: Settings,
    running: Running,
    orders: Channel<Order>,
}

/// Accepts until that fails for good, and says so.
fn accept_all(mut accepting: Accepting, handler: impl Handler) {
    let error = loop {
        if let Err(error) = accept_one(&mut accepting, handler) {
            break error;
        }
    };
    let _ = accepting.orders.try_send(Order::Failed(error.to_string()));
}

/// What another version goes on with.
fn go_on(handler: impl Handler) -> impl FnOnce(Accepting) + Copy + 'static {
    move |accepting: Accepting| accept_all(accepting, handler)
}

/// Accepts a connection, and spawns the process that serves it.
fn accept_one(accepting: &mut Accepting, handler: impl Handler) -> io::Result<()> {
    if accepting.accepted.is_none() {
        code::upgrade_or_interrupt(&*accepting, go_on(handler));
        accepting.accepted = accept(&accepting.listener)?;
    }
    // A connection that has come is served by the newest version.
    code::upgrade_with(&*accepting, go_on(handler));
    let Some(stream) = accepting.accepted.take() else {
        return Ok(());
    };
    // Who has ended since the last one.
    let ended = Mailbox::<()>::new();
    while let Some(mail) = ended.receive_mail_timeout(Duration::ZERO) {
        if matches!(mail, Mail::Down { .. }) {
            // A rollback may have restored the state of a time when there were fewer.
            accepting.connections = accepting.connections.saturating_sub(1);
        }
    }
    let (settings, running) = (accepting.settings, accepting.running);
    let places = settings.limits.connections;
    if accepting.connections >= places.saturating_add(REFUSED_MAX) {
        return Ok(());
    }
    let is_full = accepting.connections >= places;
    let entry = move |stream: TcpStream| connection(stream, settings, handler, running, is_full);
    // What cannot be spawned is closed; the next may find room.
    if let Ok(process) = Process::spawn_with(stream, entry) {
        let _ = process.monitor();
        accepting.connections += 1;
    }
    Ok(())
}

/// The next connection; none if something has gone wrong that is of that connection alone.
fn accept(listener: &TcpListener) -> io::Result<Option<TcpStream>> {
    let mut pause = PAUSES.0;
    loop {
        match listener.accept() {
            Ok((stream, _)) => return Ok(Some(stream)),
            Err(error) if is_of_one_connection(&error) => return Ok(None),
            Err(error) if is_for_now(&error) => {
                sleep(pause);
                pause = (pause * 2).min(PAUSES.1);
            }
            Err(error) => return Err(error),
        }
    }
}

/// The life of a connection's process.
fn connection(stream: TcpStream, settings: Settings, handler: impl Handler, running: Running, is_full: bool) {
    let Settings { limits, tls, group } = settings;
    // Before the handshake, so that a drain waits for that too.
    group.enter();
    let stream = match tls {
        None => Stream::Tcp(stream),
        Some(tls) => {
            let accepted = stream
                .set_read_timeout(Some(limits.head_timeout))
                .and_then(|()| tls.accept(stream));
            match accepted {
                Ok(stream) => Stream::Tls(stream),
                // Who does not speak TLS cannot be told so.
                Err(_) => return,
            }
        }
    };
    match is_full {
        true => serve::refuse(stream.into_transport(), limits),
        false => serve::serve(
            stream.into_transport(),
            limits,
            &handler,
            watch(settings, running, handler),
        ),
    }
}

/// What a connection knows of its server. Between two requests it can go on in another version of the program.
fn watch(settings: Settings, running: Running, handler: impl Handler) -> Box<Watch> {
    let change = move |conn: &Conn, served, moment| {
        let Some((stream, input)) = conn.lent() else { return };
        let lent = Lent {
            stream,
            input,
            served,
            settings,
            running,
        };
        let go_on = move |carried: Carried| {
            serve::go_on(
                carried.served,
                (carried.stream.into_transport(), &carried.input),
                carried.settings.limits,
                &handler,
                watch(carried.settings, carried.running, handler),
            );
        };
        match moment {
            Moment::Begins => code::upgrade_with(&lent, go_on),
            Moment::Waits => code::upgrade_or_interrupt(&lent, go_on),
        }
    };
    Box::new(Watch::new(settings.group, running, Box::new(change)))
}

/// A connection whose next request has begun to come, as the former version writes it.
#[derive(Serialize)]
struct Lent<'a> {
    stream: &'a Stream,
    input: &'a [u8],
    served: u64,
    settings: Settings,
    running: Running,
}

/// The same, as the next one reads it.
#[derive(Deserialize)]
struct Carried {
    stream: Stream,
    input: Vec<u8>,
    served: u64,
    settings: Settings,
    running: Running,
}

/// The peer went away before it was accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind as E;
    matches!(
        error.kind(),
        E::ConnectionAborted | E::ConnectionReset | E::Interrupted | E::TimedOut | E::WouldBlock
    )
}

/// Other connections have to end first.
fn is_for_now(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::QuotaExceeded | io::ErrorKind::OutOfMemory)
        // Too many open files, of this process or of the system, as WASI numbers them.
        || matches!(error.raw_os_error(), Some(33 | 41 | 42))
}
