//! The body of a request or response.

use std::fmt;
use std::io::{self, Read, Write};

use bytes::{Buf, Bytes};

use crate::conn::Shared;
use crate::response::BodyWriter;
use crate::upgrade::Upgraded;

/// What is done with a connection when its body is over.
type Finish = Box<dyn FnOnce(&Shared)>;

/// What is written as a body, piece by piece.
pub(crate) type Producer = Box<dyn FnOnce(&mut BodyWriter) -> io::Result<()>>;

/// The body of a [`Request`](crate::Request) or [`Response`](crate::Response): bytes that are there, or a stream.
///
/// What was received is read with [`Read`]. Each read waits for the peer as long as the connection's
/// [`Limits`](crate::Limits) allow, and brings what has come. When nobody reads, the peer is held up.
#[derive(Default)]
pub struct Body(pub(crate) Kind);

#[derive(Default)]
pub(crate) enum Kind {
    #[default]
    Empty,
    Bytes(Bytes),
    Incoming(Incoming),
    Reader {
        reader: Box<dyn Read>,
        len: Option<u64>,
    },
    Producer(Producer),
    Upgrade(Box<dyn FnOnce(Upgraded)>),
}

/// A body that comes from a connection.
pub(crate) struct Incoming {
    conn: Shared,
    message: u64,
    /// Called with the connection when the body is over or nobody reads it any more.
    after: Option<Finish>,
}

impl Body {
    /// None.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// What the reader has, up to its end. If its length is not given, the body is sent in chunks.
    pub fn reader(reader: impl Read + 'static, len: Option<u64>) -> Self {
        Self(Kind::Reader {
            reader: Box::new(reader),
            len,
        })
    }

    /// What `produce` writes, as it writes it: in chunks of up to 16 KiB, or whenever it flushes.
    ///
    /// If it returns an error, the connection is closed, so that the peer sees that the body is not whole.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::io::Write;
    ///
    /// use lunatic_http::{Body, Response};
    ///
    /// let response = Response::new(Body::stream(|out| {
    ///     for number in 0..1_000_000 {
    ///         writeln!(out, "{number}")?;
    ///     }
    ///     Ok(())
    /// }));
    /// ```
    pub fn stream(produce: impl FnOnce(&mut BodyWriter) -> io::Result<()> + 'static) -> Self {
        Self(Kind::Producer(Box::new(produce)))
    }

    pub(crate) fn incoming(conn: &Shared, message: u64) -> Self {
        Self(Kind::Incoming(Incoming {
            conn: conn.clone(),
            message,
            after: None,
        }))
    }

    pub(crate) fn incoming_then(conn: &Shared, message: u64, after: impl FnOnce(&Shared) + 'static) -> Self {
        Self(Kind::Incoming(Incoming {
            conn: conn.clone(),
            message,
            after: Some(Box::new(after)),
        }))
    }

    /// How many bytes it has, if that is known.
    #[must_use]
    pub fn len(&self) -> Option<u64> {
        match &self.0 {
            Kind::Empty => Some(0),
            Kind::Bytes(bytes) => Some(bytes.len() as u64),
            Kind::Incoming(incoming) => incoming.left(),
            Kind::Reader { len, .. } => *len,
            Kind::Producer(_) | Kind::Upgrade(_) => None,
        }
    }

    /// Whether it is known to have no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// Whether sending it may mean to read another body.
    pub(crate) fn is_streamed(&self) -> bool {
        matches!(self.0, Kind::Producer(_) | Kind::Reader { .. } | Kind::Incoming(_))
    }

    /// How many bytes may be received of this body, in place of [`Limits::body_len`](crate::Limits::body_len). A longer
    /// one is answered with 413, before any of it is read if its length was said. Without effect on bodies that are not
    /// received.
    pub fn set_limit(&mut self, bytes: u64) {
        if let Kind::Incoming(incoming) = &self.0 {
            let mut conn = incoming.conn.borrow_mut();
            if conn.is_at(incoming.message) {
                conn.set_body_limit(bytes);
            }
        }
    }

    /// All of it.
    ///
    /// # Errors
    ///
    /// As reading it.
    pub fn read_bytes(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// All of it, as text.
    ///
    /// # Errors
    ///
    /// As reading it, and [`InvalidData`](io::ErrorKind::InvalidData) if it is not UTF-8.
    pub fn read_text(&mut self) -> io::Result<String> {
        String::from_utf8(self.read_bytes()?).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

impl Read for Body {
    /// # Errors
    ///
    /// [`TimedOut`](io::ErrorKind::TimedOut) if the peer is too slow, [`FileTooLarge`](io::ErrorKind::FileTooLarge) over the
    /// limit, [`InvalidData`](io::ErrorKind::InvalidData) if it breaks the protocol,
    /// [`UnexpectedEof`](io::ErrorKind::UnexpectedEof) if the connection ends too early, others of the stream;
    /// [`Unsupported`](io::ErrorKind::Unsupported) of a [stream](Self::stream) that is to be written.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Kind::Empty => Ok(0),
            Kind::Bytes(bytes) => {
                let len = bytes.len().min(buffer.len());
                bytes.copy_to_slice(&mut buffer[..len]);
                Ok(len)
            }
            Kind::Incoming(incoming) => incoming.read(buffer),
            Kind::Reader { reader, .. } => reader.read(buffer),
            Kind::Producer(_) | Kind::Upgrade(_) => Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "a body that is produced by a function can only be sent",
            )),
        }
    }
}

impl Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut conn = self.conn.borrow_mut();
        if !conn.is_at(self.message) {
            return Err(io::Error::new(
                io::ErrorKind::NotConnected,
                "the response has been sent: nothing more can be read of the request",
            ));
        }
        conn.read_body(buffer)
    }

    fn left(&self) -> Option<u64> {
        let conn = self.conn.borrow();
        conn.is_at(self.message).then(|| conn.body_left()).flatten()
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if let Some(after) = self.after.take() {
            after(&self.conn);
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Empty => f.write_str("Body(empty)"),
            Kind::Bytes(bytes) => write!(f, "Body({} bytes)", bytes.len()),
            _ => f.write_str("Body(stream)"),
        }
    }
}

impl From<()> for Body {
    fn from((): ()) -> Self {
        Self::empty()
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self(Kind::Bytes(bytes))
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes()).into()
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Self {
        Bytes::from_static(bytes).into()
    }
}

/// Copies a reader into a body that is sent.
pub(crate) fn copy(reader: &mut dyn Read, out: &mut BodyWriter) -> io::Result<()> {
    let mut buffer = vec![0; 8 << 10];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => out.write_all(&buffer[..read])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
