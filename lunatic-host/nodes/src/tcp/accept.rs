//! Accepts connections, and reads frames from them.

use std::io::{self, BufReader, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use super::greeting::{Greeting, read_frame, wrong};
use super::guard::{Stream, Timed};
use super::sender::Sender;
use super::{GREETING_TIMEOUT, Shared};
use crate::fabric::Brought;

/// How long to wait if no connection can be accepted, such as for lack of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// The work of the thread that accepts.
pub(super) fn run(shared: &Arc<Shared>, listener: &TcpListener) {
    while !shared.is_over() {
        let Ok((stream, from)) = listener.accept() else {
            std::thread::sleep(PAUSE);
            continue;
        };
        if shared.is_over() {
            continue;
        }
        // The fabric closes it when it ends.
        let Ok(copy) = stream.try_clone() else { continue };
        let Some(number) = shared.accepted.lock().enter(copy) else {
            continue;
        };
        let taken = shared.clone();
        let thread = std::thread::Builder::new().name("lunatic-frames".into());
        let started = thread.spawn(move || {
            // Whatever is wrong with the connection: it is over.
            if let Err(error) = receive(&taken, number, stream, from) {
                taken.report_seldom(&format!("a connection from {} was refused: {error}", from.ip()));
            }
            taken.accepted.lock().leave(number);
        });
        if started.is_err() {
            shared.accepted.lock().leave(number);
        }
    }
}

/// Receives frames until the connection ends. An error means that it did not begin.
fn receive(shared: &Arc<Shared>, number: u64, raw: TcpStream, from: SocketAddr) -> io::Result<()> {
    raw.set_nodelay(true)?;
    let (timed, deadline) = Timed::new(raw.try_clone()?, GREETING_TIMEOUT);
    let (mut stream, peer): (Box<dyn Stream>, _) = match &shared.settings.guard {
        Some(guard) => guard.accept(timed).map(|(stream, peer)| (stream, Some(peer)))?,
        None => (Box::new(timed), None),
    };
    let greeting = Greeting::read(&mut stream)?;
    if greeting.cluster != shared.settings.cluster || greeting.is_of_another(peer.as_ref()) {
        return Err(wrong());
    }
    shared.greeting(true).write(&mut stream)?;
    stream.flush()?;
    let is_proven = peer.is_some();
    let is_known = shared.learn(&greeting.identity, reached_at(greeting.address, from.ip()), is_proven);
    if !is_known || !shared.accepted.lock().greeted(number, peer) {
        return Ok(());
    }
    // Silence is noticed by the nodes.
    deadline.lift(&raw)?;
    shared.inlet.bring(Brought::Seen(greeting.identity.clone()));
    let mut sender = Sender::new(&greeting.identity, &shared.settings.cluster, &shared.inlet);
    let mut reader = BufReader::with_capacity(256 << 10, stream);
    while let Ok(frame) = read_frame(&mut reader) {
        if !sender.bring(frame, || shared.is_over()) {
            break;
        }
    }
    shared.inlet.bring(Brought::Lost(greeting.identity));
    Ok(())
}

/// Where a node is dialled that says it listens on `address`, and has dialled from `from`: a node that listens on all
/// addresses of its machine is reached under the one that it has dialled from.
fn reached_at(address: SocketAddr, from: IpAddr) -> SocketAddr {
    match address.ip().is_unspecified() {
        true => SocketAddr::new(from.to_canonical(), address.port()),
        false => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_listens_everywhere_is_reached_where_it_dials_from() {
        for (address, from, reached) in [
            ("0.0.0.0:7447", "192.0.2.7", "192.0.2.7:7447"),
            ("[::]:7447", "::ffff:192.0.2.7", "192.0.2.7:7447"),
            ("[::]:7447", "2001:db8::7", "[2001:db8::7]:7447"),
            ("192.0.2.8:1", "192.0.2.7", "192.0.2.8:1"),
        ] {
            let reached_at = reached_at(address.parse().unwrap(), from.parse().unwrap());
            assert_eq!(reached_at, reached.parse().unwrap());
        }
    }
}
