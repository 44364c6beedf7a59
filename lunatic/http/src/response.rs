//! Responses, and how a server writes them.

use std::fmt;
use std::io::{self, Write};

use http::header::{CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderMap, HeaderValue, TRANSFER_ENCODING};
use http::{StatusCode, Version};

use crate::body::{self, Body, Kind, Producer};
use crate::chunked;
use crate::conn::{Conn, OUT_MAX, Shared};
use crate::head::connection_has;
use crate::reject::Reject;
use crate::request::append;
use crate::upgrade::Upgraded;

/// A response: what a server's handler returns, or a client gets.
///
/// Many things become one by `into`: texts, bytes, a [`StatusCode`] with its name as the text, both together as a pair, and
/// a `Result` of two that do.
///
/// # Examples
///
/// ```
/// use lunatic_http::{Response, StatusCode};
///
/// let hello: Response = "Hello!\n".into();
/// assert_eq!(hello.status(), StatusCode::OK);
///
/// let missing: Response = (StatusCode::NOT_FOUND, "no such user").into();
/// let page = Response::new("<h1>Hello!</h1>").header("content-type", "text/html; charset=utf-8");
/// # let _ = (missing, page);
/// ```
#[derive(Debug)]
pub struct Response {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
    /// The pattern of the route that it comes from.
    pub(crate) route: Option<&'static str>,
}

impl Response {
    /// One with status 200 and no header. The server adds `Date`, and what says how long the body is.
    pub fn new(body: impl Into<Body>) -> Self {
        Self {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: body.into(),
            route: None,
        }
    }

    /// One of text, as `text/plain` in UTF-8.
    pub fn text(text: impl Into<String>) -> Self {
        text.into().into()
    }

    /// One of HTML in UTF-8.
    pub fn html(text: impl Into<String>) -> Self {
        Self::typed("text/html; charset=utf-8", text.into().into())
    }

    fn typed(content_type: &'static str, body: Body) -> Self {
        let mut response = Self::new(body);
        response
            .headers
            .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        response
    }

    /// The same with another status.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// The same with a header, beside those of this name that it has.
    ///
    /// `Connection: close` is heeded. `Transfer-Encoding` is not sent, as the server chooses it; and `Content-Length` only
    /// where the server cannot know better: of a [stream](Body::stream), which must then have just so many bytes.
    ///
    /// # Panics
    ///
    /// If `name` is not the name of a header, or `value` has control characters; see [`headers_mut`](Self::headers_mut) for
    /// those that come from outside.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl AsRef<str>) -> Self {
        append(&mut self.headers, name, value.as_ref());
        self
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// All headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// All headers, to change them.
    pub fn headers_mut(&mut self) -> &mut HeaderMap {
        &mut self.headers
    }

    /// The first header of that name, if it is there and visible ASCII.
    #[must_use]
    pub fn header_text(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body, to read from.
    pub fn body_mut(&mut self) -> &mut Body {
        &mut self.body
    }

    /// The body alone.
    #[must_use]
    pub fn into_body(self) -> Body {
        self.body
    }

    /// The whole body that a client got, which has at most [`Limits::body_len`](crate::Limits::body_len) bytes.
    ///
    /// # Errors
    ///
    /// As reading the [`Body`].
    pub fn read_bytes(&mut self) -> io::Result<Vec<u8>> {
        self.body.read_bytes()
    }

    /// The whole body as text.
    ///
    /// # Errors
    ///
    /// As reading the [`Body`], and [`InvalidData`](io::ErrorKind::InvalidData) if it is not UTF-8.
    pub fn read_text(&mut self) -> io::Result<String> {
        self.body.read_text()
    }
}

const TEXT: &str = "text/plain; charset=utf-8";

impl From<Body> for Response {
    fn from(body: Body) -> Self {
        Self::new(body)
    }
}

impl From<&'static str> for Response {
    fn from(text: &'static str) -> Self {
        Self::typed(TEXT, text.into())
    }
}

impl From<String> for Response {
    fn from(text: String) -> Self {
        Self::typed(TEXT, text.into())
    }
}

impl From<Vec<u8>> for Response {
    fn from(bytes: Vec<u8>) -> Self {
        Self::typed("application/octet-stream", bytes.into())
    }
}

impl From<StatusCode> for Response {
    fn from(status: StatusCode) -> Self {
        Self::from(format!("{status}\n")).with_status(status)
    }
}

impl<R: Into<Response>> From<(StatusCode, R)> for Response {
    fn from((status, response): (StatusCode, R)) -> Self {
        response.into().with_status(status)
    }
}

impl<R: Into<Response>, E: Into<Response>> From<Result<R, E>> for Response {
    fn from(result: Result<R, E>) -> Self {
        result.map_or_else(Into::into, Into::into)
    }
}

/// The status of what the client did wrong, else 500 without a word about the reason, which is nobody's business outside.
impl From<io::Error> for Response {
    fn from(error: io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<Reject>()) {
            Some(reject) => reject.into(),
            None => StatusCode::INTERNAL_SERVER_ERROR.into(),
        }
    }
}

impl From<&Reject> for Response {
    fn from(reject: &Reject) -> Self {
        Self::from(format!("{}: {reject}\n", reject.status())).with_status(reject.status())
    }
}

/// What a server knows of the request that it answers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) head_only: bool,
    pub(crate) version: Version,
    pub(crate) keep_alive: bool,
}

/// What becomes of the connection after a response.
pub(crate) enum After {
    KeepAlive,
    Close,
    Upgrade(Box<dyn FnOnce(Upgraded)>),
}

impl fmt::Debug for After {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KeepAlive => "KeepAlive",
            Self::Close => "Close",
            Self::Upgrade(_) => "Upgrade",
        })
    }
}

/// How the body's end is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// There is none, and nothing is said about its length.
    None,
    Length(u64),
    Chunked,
    UntilClose,
}

/// Why a response was not written.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Producing the body failed before any of the response was sent: there is still time for another one.
    Unsent(io::Error),
    /// The connection is of no use any more.
    Broken(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

/// Writes a response.
pub(crate) fn respond(conn: &Shared, asked: Asked, mut response: Response) -> Result<After, Failure> {
    if response.status.is_informational() && !matches!(response.body.0, Kind::Upgrade(_)) {
        // What follows would not be taken for the response.
        response = StatusCode::INTERNAL_SERVER_ERROR.into();
    }
    let kind = std::mem::take(&mut response.body.0);
    let framing = framing(&response, &kind, asked);
    let stays = asked.keep_alive && framing != Framing::UntilClose && !connection_has(&response.headers, "close");
    let upgrades = matches!(kind, Kind::Upgrade(_));
    let mut borrowed = conn.borrow_mut();
    write_head(&mut borrowed, &response, framing, asked, stays || upgrades);
    let after = if stays { After::KeepAlive } else { After::Close };
    // Even if there is one: what follows the head of such a response is taken for the next response.
    let no_body = asked.head_only || framing == Framing::None || response.status == StatusCode::NOT_MODIFIED;
    let produce: Producer = match kind {
        Kind::Upgrade(then) => {
            borrowed.flush()?;
            return Ok(After::Upgrade(then));
        }
        _ if no_body => {
            borrowed.flush()?;
            return Ok(after);
        }
        Kind::Empty => {
            borrowed.flush()?;
            return Ok(after);
        }
        Kind::Bytes(bytes) => {
            borrowed.write(&bytes)?;
            return Ok(after);
        }
        Kind::Producer(produce) => produce,
        Kind::Reader { mut reader, .. } => Box::new(move |out| body::copy(&mut *reader, out)),
        kind @ Kind::Incoming(_) => Box::new(move |out| body::copy(&mut Body(kind), out)),
    };
    drop(borrowed);
    stream(conn, framing, produce)?;
    Ok(after)
}

fn framing(response: &Response, kind: &Kind, asked: Asked) -> Framing {
    if response.status.is_informational() || response.status == StatusCode::NO_CONTENT {
        return Framing::None;
    }
    let said = || response.header_text(CONTENT_LENGTH.as_str())?.parse().ok();
    let known = match kind {
        // What a response to GET would have, the handler of HEAD may know.
        Kind::Empty if asked.head_only || response.status == StatusCode::NOT_MODIFIED => {
            return said().map_or(Framing::None, Framing::Length);
        }
        Kind::Empty => Some(0),
        Kind::Bytes(bytes) => Some(bytes.len() as u64),
        Kind::Reader { len, .. } => len.or_else(said),
        Kind::Incoming(_) => None,
        Kind::Producer(_) | Kind::Upgrade(_) => said(),
    };
    match known {
        Some(len) => Framing::Length(len),
        None if response.status == StatusCode::NOT_MODIFIED => Framing::None,
        None if asked.version == Version::HTTP_11 => Framing::Chunked,
        None => Framing::UntilClose,
    }
}

fn write_head(conn: &mut Conn, response: &Response, framing: Framing, asked: Asked, stays: bool) {
    conn.begin_message();
    let mut out = std::mem::take(&mut conn.out);
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(response.status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(response.status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
    let upgrades = response.status == StatusCode::SWITCHING_PROTOCOLS;
    for (name, value) in &response.headers {
        let ours = *name == CONTENT_LENGTH || *name == TRANSFER_ENCODING || (*name == CONNECTION && !upgrades);
        if !ours {
            line(&mut out, name.as_str(), value.as_bytes());
        }
    }
    match framing {
        Framing::Length(len) => {
            let mut digits = [0; 20];
            line(&mut out, "content-length", decimal(len, &mut digits));
        }
        Framing::Chunked => line(&mut out, "transfer-encoding", b"chunked"),
        Framing::None | Framing::UntilClose => {}
    }
    let wants_upgrade = response.status == StatusCode::UPGRADE_REQUIRED;
    // A header `Upgrade` is one of the connection, and is only valid if `Connection` names it.
    let connection: Option<&[u8]> = match (stays, asked.version == Version::HTTP_10, wants_upgrade) {
        (false, _, false) => Some(b"close"),
        (false, _, true) => Some(b"close, upgrade"),
        (true, true, false) => Some(b"keep-alive"),
        (true, true, true) => Some(b"keep-alive, upgrade"),
        (true, false, true) => Some(b"upgrade"),
        (true, false, false) => None,
    };
    if let Some(connection) = connection {
        line(&mut out, "connection", connection);
    }
    if !response.headers.contains_key(DATE) {
        line(&mut out, "date", conn.date());
    }
    out.extend_from_slice(b"\r\n");
    conn.out = out;
}

pub(crate) fn line(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// A number in digits, without the machinery of formatting.
pub(crate) fn decimal(mut number: u64, digits: &mut [u8; 20]) -> &[u8] {
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &digits[at..];
        }
    }
}

/// Writes a body that is produced piece by piece.
fn stream(conn: &Shared, framing: Framing, produce: Producer) -> Result<(), Failure> {
    let mut writer = BodyWriter::new(conn, framing);
    match produce(&mut writer).and_then(|()| writer.finish()) {
        Err(error) if !writer.sent => {
            conn.borrow_mut().out.clear();
            Err(Failure::Unsent(error))
        }
        Err(error) => Err(Failure::Broken(error)),
        Ok(()) => Ok(()),
    }
}

/// Where the body of a response is written to, by [`Body::stream`]. What is written is collected up to 16 KiB;
/// [`flush`](Write::flush) sends it.
///
/// Writing fails when the client is gone or takes the response too slowly, and when more is written than the
/// `Content-Length` said.
#[derive(Debug)]
pub struct BodyWriter {
    conn: ConnRef,
    kind: Writing,
    /// Something was written to the stream.
    sent: bool,
    /// Transforms the bytes that the producer writes.
    filter: Option<Box<dyn Filter>>,
}

/// Transforms the bytes of a body, for example by compression. The output is appended to `out`.
pub(crate) trait Filter: fmt::Debug {
    /// Takes these bytes. It may hold some of them back.
    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> io::Result<()>;
    /// Emits all bytes that it has held back.
    fn flush(&mut self, out: &mut Vec<u8>) -> io::Result<()>;
    /// Ends the body.
    fn finish(&mut self, out: &mut Vec<u8>) -> io::Result<()>;
}

struct ConnRef(Shared);

impl fmt::Debug for ConnRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Conn")
    }
}

#[derive(Debug)]
enum Writing {
    Length(u64),
    /// The chunk began there in the output.
    Chunked(usize),
    UntilClose,
}

impl BodyWriter {
    fn new(conn: &Shared, framing: Framing) -> Self {
        let kind = match framing {
            Framing::Length(len) => Writing::Length(len),
            Framing::Chunked => Writing::Chunked(chunked::begin(&mut conn.borrow_mut().out)),
            Framing::None | Framing::UntilClose => Writing::UntilClose,
        };
        Self {
            conn: ConnRef(conn.clone()),
            kind,
            sent: false,
            filter: None,
        }
    }

    /// Runs `produce`, whose output goes through a filter.
    #[cfg_attr(
        not(feature = "compression"),
        expect(dead_code, reason = "compression is the only filter")
    )]
    pub(crate) fn through(&mut self, filter: Box<dyn Filter>, produce: Producer) -> io::Result<()> {
        self.filter = Some(filter);
        let produced = produce(self);
        let filter = self.filter.take();
        produced?;
        let mut rest = Vec::new();
        if let Some(mut filter) = filter {
            filter.finish(&mut rest)?;
        }
        self.write_all(&rest)
    }

    /// For a client's request, whose head is in the connection's output.
    pub(crate) fn of_request(conn: &Shared, len: Option<u64>) -> Self {
        Self::new(conn, len.map_or(Framing::Chunked, Framing::Length))
    }

    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.check()?;
        let mut conn = self.conn.0.borrow_mut();
        match self.kind {
            Writing::Length(0) | Writing::UntilClose => {}
            Writing::Length(left) => {
                let text = format!("the body ended {left} bytes before its `Content-Length`");
                return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
            }
            Writing::Chunked(start) => {
                chunked::end(&mut conn.out, start);
                chunked::finish(&mut conn.out);
            }
        }
        self.sent = true;
        conn.flush()
    }

    /// Fails if the client is gone. A producer may have ignored that before.
    fn check(&mut self) -> io::Result<()> {
        if !self.conn.0.borrow().has_failed_to_send() {
            return Ok(());
        }
        self.sent = true;
        Err(io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for BodyWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(mut filter) = self.filter.take() else {
            return self.write_as_it_is(bytes);
        };
        let bytes = &bytes[..bytes.len().min(OUT_MAX)];
        let mut made = Vec::new();
        let written = filter.push(bytes, &mut made).and_then(|()| self.write_all(&made));
        self.filter = Some(filter);
        written.map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if let Some(mut filter) = self.filter.take() {
            let mut made = Vec::new();
            let written = filter.flush(&mut made).and_then(|()| self.write_all(&made));
            self.filter = Some(filter);
            written?;
        }
        self.flush_as_it_is()
    }
}

impl BodyWriter {
    fn write_as_it_is(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        self.check()?;
        let mut conn = self.conn.0.borrow_mut();
        let bytes = &bytes[..bytes.len().min(OUT_MAX)];
        if let Writing::Length(left) = &mut self.kind {
            *left = left.checked_sub(bytes.len() as u64).ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::InvalidInput,
                    "the body is longer than its `Content-Length`",
                )
            })?;
        }
        conn.out.extend_from_slice(bytes);
        if conn.out.len() >= OUT_MAX {
            drop(conn);
            self.flush_as_it_is()?;
        }
        Ok(bytes.len())
    }

    fn flush_as_it_is(&mut self) -> io::Result<()> {
        self.check()?;
        let mut conn = self.conn.0.borrow_mut();
        if let Writing::Chunked(start) = &mut self.kind {
            chunked::end(&mut conn.out, *start);
            self.sent = true;
            conn.flush()?;
            *start = chunked::begin(&mut conn.out);
            return Ok(());
        }
        self.sent = true;
        conn.flush()
    }
}
