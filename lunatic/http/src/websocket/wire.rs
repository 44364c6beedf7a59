//! A transport as what `tungstenite` reads from and writes to.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};

use super::lengths::{BadLength, Lengths};
use crate::limits::Pace;
use crate::transport::{Transport, is_timeout};

/// Bytes a second that a peer has to take; see [`Limits::rate_min`](crate::Limits::rate_min).
const RATE_MIN: u64 = 1 << 10;

pub(super) struct Wire {
    pub(super) transport: Box<dyn Transport>,
    /// What was read before the WebSocket began.
    pub(super) input: BytesMut,
    pub(super) lengths: Lengths,
    /// How long one read may wait.
    pub(super) read_timeout: Duration,
    /// When all reads of one call are over, however often something has come.
    pub(super) until: Option<Instant>,
    /// Something was read since `until` was set: one read is made even if that has passed.
    pub(super) has_read: bool,
    pub(super) write_timeout: Duration,
}

impl Wire {
    /// Sets when reads are over, from the next one on.
    pub(super) fn read_until(&mut self, until: Option<Instant>) {
        (self.until, self.has_read) = (until, false);
    }

    /// How long the next read may wait; an error if the time for all reads is over.
    fn read_time(&mut self) -> io::Result<Duration> {
        let left = self
            .until
            .map_or(Duration::MAX, |until| until.saturating_duration_since(Instant::now()));
        match left.is_zero() && self.has_read {
            true => Err(io::ErrorKind::TimedOut.into()),
            false => {
                self.has_read = true;
                Ok(left.min(self.read_timeout))
            }
        }
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let timeout = self.read_time()?;
        let len = if self.input.is_empty() {
            self.transport.receive(buffer, timeout)?
        } else {
            let len = self.input.len().min(buffer.len());
            self.input.copy_to_slice(&mut buffer[..len]);
            len
        };
        match self.lengths.pass(&buffer[..len]) {
            0 if len > 0 => Err(io::Error::other(BadLength)),
            // What comes before a bad length is still read; then this is the end.
            passed => {
                if passed < len {
                    self.input = BytesMut::from(&buffer[passed..len]);
                }
                Ok(passed)
            }
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    /// All of it, as what is left of a frame when an error comes would be lost or sent twice.
    fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        let mut pace = Pace::new(self.write_timeout, RATE_MIN);
        while !bytes.is_empty() {
            let slow = || io::Error::other("the peer reads too slowly");
            let (timeout, start) = (pace.left().ok_or_else(slow)?, Instant::now());
            match self.transport.send(bytes, timeout) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    bytes = &bytes[written.min(bytes.len())..];
                    pace.waited(start, written);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if is_timeout(&error) => return Err(slow()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
