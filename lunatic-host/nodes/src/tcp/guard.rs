//! Who is at the other end of a connection: the interface to certificates.
//!
//! Without a guard, or with one of this machine, connections stay on loopback. With a guard, a connection carries frames only after both ends have
//! proved their names, and only for as long as the guard admits the other end.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// A node that has proved its name on a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The name.
    pub name: Arc<str>,
    /// What has proved it, such as a certificate.
    pub certificate: Arc<[u8]>,
}

/// A connection that nobody else can read or change.
pub trait Stream: Read + Write + Send {}

impl<T: Read + Write + Send> Stream for T {}

/// Secures connections, and says who is at the other end.
pub trait Guard: Send + Sync {
    /// Secures a connection that this node has accepted. Reads and writes fail when the stream's time is over, so this
    /// need not watch the time.
    ///
    /// # Errors
    ///
    /// If the other end does not prove a name, or is not admitted.
    fn accept(&self, stream: Timed) -> io::Result<(Box<dyn Stream>, Peer)>;

    /// Secures a connection that this node has dialled.
    ///
    /// # Errors
    ///
    /// As for [`accept`](Self::accept).
    fn dial(&self, stream: Timed) -> io::Result<(Box<dyn Stream>, Peer)>;

    /// Whether all nodes are on this machine: then connections stay on loopback.
    fn is_of_this_machine(&self) -> bool {
        false
    }

    /// Whether a node that was admitted is still admitted this much later.
    fn admits(&self, peer: &Peer, ahead: Duration) -> bool;

    /// Is called every second, to read files again that have changed. True if this node has a new proof of its own name:
    /// then its connections are replaced by ones with the new proof, without losing frames.
    fn refresh(&self) -> bool;
}

/// A TCP connection whose reads and writes fail when its time is over, however slowly the other end proceeds.
pub struct Timed {
    stream: TcpStream,
    until: Arc<Mutex<Option<Instant>>>,
}

/// Ends the time limit of a [`Timed`] stream, wherever that is by now.
pub(super) struct Deadline(Arc<Mutex<Option<Instant>>>);

impl Timed {
    pub(super) fn new(stream: TcpStream, time: Duration) -> (Self, Deadline) {
        let until = Arc::new(Mutex::new(Some(Instant::now() + time)));
        let deadline = Deadline(until.clone());
        (Self { stream, until }, deadline)
    }

    /// The rest of the time; `None` if there is no limit.
    fn rest(&self) -> io::Result<Option<Duration>> {
        let until = *self.until.lock();
        let rest = until.map(|until| until.saturating_duration_since(Instant::now()));
        match rest {
            Some(Duration::ZERO) => Err(io::ErrorKind::TimedOut.into()),
            rest => Ok(rest),
        }
    }
}

impl Deadline {
    /// Lifts the limit. `stream` is the same connection.
    pub(super) fn lift(self, stream: &TcpStream) -> io::Result<()> {
        *self.0.lock() = None;
        stream.set_read_timeout(None)?;
        stream.set_write_timeout(None)
    }
}

impl Read for Timed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let rest @ Some(_) = self.rest()? {
            self.stream.set_read_timeout(rest)?;
        }
        self.stream.read(buffer)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let rest @ Some(_) = self.rest()? {
            self.stream.set_write_timeout(rest)?;
        }
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_stream_that_drips_ends_in_time() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut slow = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut timed, _deadline) = Timed::new(listener.accept().unwrap().0, Duration::from_millis(200));
        // A byte at a time, each of which would restart a timeout for a single read.
        let drip = std::thread::spawn(move || {
            while slow.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let mut buffer = vec![0; 1 << 20];
        let ended = timed.read_exact(&mut buffer).unwrap_err();
        assert!(matches!(
            ended.kind(),
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock
        ));
        drop(timed);
        drip.join().unwrap();
    }
}
