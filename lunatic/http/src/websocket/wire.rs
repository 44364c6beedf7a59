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
    pub(super) read_timeout: Duration,
    pub(super) write_timeout: Duration,
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = if self.input.is_empty() {
            self.transport.receive(buffer, self.read_timeout)?
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
            let slow = || io::Error::other("the peer takes what is sent too slowly");
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
