//! The process that accepts connections and spawns a process for each.

use std::io;
use std::time::Duration;

use lunatic::mailbox::Mail;
use lunatic::net::tls::TlsAcceptor;
use lunatic::net::{TcpListener, TcpStream};
use lunatic::{Channel, Mailbox, Process, sleep};

use super::drain::{Group, Running, Watch};
use super::orders::Order;
use super::stream::Stream;
use crate::limits::Limits;
use crate::router::Handler;
use crate::serve;

/// So many connections over the limit are told so; more are just closed.
const REFUSED_MAX: usize = 64;
/// The first pause when the system has no room for another connection, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// What the processes of a server know of it.
#[derive(Clone, Copy)]
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
        let error = accept_all(&listener, settings, handler);
        let _ = orders.try_send(Order::Failed(error.to_string()));
    };
    let spawned = Process::builder().link().spawn_with(listener, entry);
    spawned.map_err(io::Error::other)
}

/// Accepts until that fails for good.
fn accept_all(listener: &TcpListener, settings: Settings, handler: impl Handler) -> io::Error {
    let (running, ended) = (Running::new(), Mailbox::<()>::new());
    let (mut connections, mut pause) = (0, PAUSES.0);
    let places = settings.limits.connections;
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if is_of_one_connection(&error) => continue,
            Err(error) if is_for_now(&error) => {
                sleep(pause);
                pause = (pause * 2).min(PAUSES.1);
                continue;
            }
            Err(error) => return error,
        };
        pause = PAUSES.0;
        // Who has ended since the last one.
        while let Some(mail) = ended.receive_mail_timeout(Duration::ZERO) {
            if matches!(mail, Mail::Down { .. }) {
                connections -= 1;
            }
        }
        if connections >= places.saturating_add(REFUSED_MAX) {
            continue;
        }
        let is_full = connections >= places;
        let entry = move |stream: TcpStream| connection(stream, settings, &handler, running, is_full);
        // What cannot be spawned is closed; the next may find room.
        if let Ok(process) = Process::spawn_with(stream, entry) {
            let _ = process.monitor();
            connections += 1;
        }
    }
}

/// The life of a connection's process.
fn connection(stream: TcpStream, settings: Settings, handler: &impl Handler, running: Running, is_full: bool) {
    let Settings { limits, tls, group } = settings;
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
            handler,
            Box::new(Watch::new(group, running)),
        ),
    }
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
