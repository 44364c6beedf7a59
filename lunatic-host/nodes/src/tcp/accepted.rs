//! The connections that a node has accepted, and how many there may be.

use std::collections::BTreeMap;
use std::net::{Shutdown, TcpStream};

use super::guard::Peer;
use super::{ACCEPTED_MAX, GREETING_MAX, PER_PEER_MAX};

/// The accepted connections by number.
#[derive(Default)]
pub(super) struct Accepted {
    last: u64,
    /// Those that have not introduced themselves yet.
    greeting: BTreeMap<u64, TcpStream>,
    /// Those that carry frames. Without a guard, nobody has proved a name.
    carrying: BTreeMap<u64, (Option<Peer>, TcpStream)>,
}

impl Accepted {
    /// Takes note of a connection, and returns its number; `None` if there are too many. If too many have not introduced
    /// themselves, the oldest of these is closed: a node needs a few milliseconds for that.
    pub(super) fn enter(&mut self, stream: TcpStream) -> Option<u64> {
        if self.carrying.len() >= ACCEPTED_MAX {
            return None;
        }
        while self.greeting.len() >= GREETING_MAX
            && let Some((_, oldest)) = self.greeting.pop_first()
        {
            close(&oldest);
        }
        self.last += 1;
        self.greeting.insert(self.last, stream);
        Some(self.last)
    }

    /// A connection has introduced itself. False if it was closed meanwhile. If the same peer has too many, its oldest
    /// one is closed.
    pub(super) fn greeted(&mut self, number: u64, peer: Option<Peer>) -> bool {
        let Some(stream) = self.greeting.remove(&number) else {
            return false;
        };
        if let Some(peer) = &peer {
            let is_same = |other: &Option<Peer>| other.as_ref().is_some_and(|other| other.name == peer.name);
            let same = self.carrying.iter().filter(|(_, (other, _))| is_same(other));
            let same: Vec<_> = same.map(|(number, _)| *number).collect();
            for number in same.iter().take((same.len() + 1).saturating_sub(PER_PEER_MAX)) {
                if let Some((_, stream)) = self.carrying.remove(number) {
                    close(&stream);
                }
            }
        }
        self.carrying.insert(number, (peer, stream));
        true
    }

    /// A connection has ended.
    pub(super) fn leave(&mut self, number: u64) {
        self.greeting.remove(&number);
        self.carrying.remove(&number);
    }

    /// Closes the connections of peers that are not admitted any more.
    pub(super) fn close_unless(&mut self, admits: impl Fn(&Peer) -> bool) {
        self.carrying.retain(|_, (peer, stream)| {
            let stays = peer.as_ref().is_none_or(&admits);
            if !stays {
                close(stream);
            }
            stays
        });
    }

    /// Closes all connections.
    pub(super) fn close_all(&mut self) {
        let greeting = std::mem::take(&mut self.greeting);
        let carrying = std::mem::take(&mut self.carrying);
        greeting.values().for_each(close);
        carrying.values().for_each(|(_, stream)| close(stream));
    }
}

/// Closes a connection for the thread that reads from it, too.
fn close(stream: &TcpStream) {
    // It may be closed already.
    _ = stream.shutdown(Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::TcpListener;

    use super::*;

    /// A connection: the end of the other side, and the accepted one.
    fn connection(listener: &TcpListener) -> (TcpStream, TcpStream) {
        let dialled = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (dialled, listener.accept().unwrap().0)
    }

    fn is_closed(mut stream: &TcpStream) -> bool {
        stream.set_nonblocking(true).unwrap();
        matches!(stream.read(&mut [0]), Ok(0))
    }

    #[test]
    fn the_oldest_half_open_connections_are_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut accepted = Accepted::default();
        let (first, stream) = connection(&listener);
        let number = accepted.enter(stream).unwrap();
        let others: Vec<_> = (0..GREETING_MAX)
            .map(|_| {
                let (other, stream) = connection(&listener);
                accepted.enter(stream).unwrap();
                other
            })
            .collect();
        assert_eq!(accepted.greeting.len(), GREETING_MAX);
        assert!(is_closed(&first) && !accepted.greeted(number, None));
        assert!(!others.iter().any(is_closed));
    }

    #[test]
    fn a_peer_has_a_few_connections_and_none_when_it_is_not_admitted() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut accepted = Accepted::default();
        let mut add = |name: &str| {
            let (other, stream) = connection(&listener);
            let number = accepted.enter(stream).unwrap();
            let peer = Peer {
                name: name.into(),
                certificate: [][..].into(),
            };
            assert!(accepted.greeted(number, Some(peer)));
            other
        };
        let good = add("good");
        let many: Vec<_> = (0..PER_PEER_MAX + 2).map(|_| add("many")).collect();
        let closed: Vec<_> = many.iter().map(is_closed).collect();
        assert_eq!(closed.iter().filter(|closed| **closed).count(), 2);
        assert!(closed[0] && closed[1] && !is_closed(&good));
        accepted.close_unless(|peer| &*peer.name == "good");
        assert!(many.iter().all(is_closed) && !is_closed(&good));
        accepted.close_all();
        assert!(is_closed(&good) && accepted.carrying.is_empty());
    }
}
