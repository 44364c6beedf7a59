//! One connection, of a server or a client: its stream, one buffer each way, and the body that is being received.
//!
//! A connection is shared between the loop that serves it and the [`Incoming`](crate::body::Incoming) body that a handler
//! may keep: both are in one process, and borrow it for one call at a time. A body belongs to one message, which has a
//! number; who comes with an older number finds that the message is over.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use bytes::BytesMut;
use http::StatusCode;

use crate::chunked::{Decoder, Next};
use crate::head::Framing;
use crate::limits::{Limits, Pace};
use crate::reject::Reject;
use crate::server::Stream;
use crate::transport::{Gone, Transport, is_timeout};

pub(crate) type Shared = Rc<RefCell<Conn>>;

/// So much is read at once, at most.
const READ_LEN: usize = 8 << 10;
/// Output that is collected before it is written. What is larger is written from where it is.
pub(crate) const OUT_MAX: usize = 16 << 10;
/// So long and so much a peer may go on sending when nobody listens any more, before it is cut off.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_LEN: usize = 1 << 20;
/// How long a process that has panicked waits for its peer at most.
pub(crate) const HURRY: Duration = Duration::from_millis(100);

const TOO_LONG: Reject = Reject::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long");

pub(crate) struct Conn {
    transport: Box<dyn Transport>,
    /// What was read and not yet looked at.
    pub(crate) input: BytesMut,
    /// Where the stream reads to: what is always there need not be cleared for each read.
    landing: Vec<u8>,
    /// What is to be written.
    pub(crate) out: Vec<u8>,
    pub(crate) limits: Limits,
    /// The number of the message whose body is received.
    message: u64,
    body: Receiving,
    /// How fast the peer takes the message that is being sent.
    taking: Pace,
    /// When the time to send that message is over; clients only.
    send_until: Option<Instant>,
    /// Something of that message was sent.
    sent: bool,
    /// Sending has failed: a part of a message may have gone out, and nothing may follow it.
    has_failed_to_send: bool,
    /// The response to the last request has begun.
    answers: bool,
    date: Date,
    pub(crate) peer: Option<SocketAddr>,
}

/// A body that is received.
struct Receiving {
    state: State,
    /// What it may have in all.
    limit: u64,
    received: u64,
    pace: Pace,
    /// The peer waits for `100 Continue`.
    continues: bool,
    /// The time for the whole message is over then; clients only.
    deadline: Option<Instant>,
}

enum State {
    Length(u64),
    Chunked(Decoder),
    UntilClose,
    Done,
    /// Nothing more can be read, for this reason.
    Failed(Reject),
    /// The stream failed.
    Broken,
}

impl Conn {
    pub(crate) fn new(transport: Box<dyn Transport>, limits: Limits) -> Self {
        Self {
            peer: transport.peer_addr(),
            transport,
            input: BytesMut::new(),
            landing: Vec::new(),
            out: Vec::new(),
            message: 0,
            body: Receiving {
                state: State::Done,
                limit: 0,
                received: 0,
                pace: Pace::new(limits.body_timeout, limits.rate_min),
                continues: false,
                deadline: None,
            },
            taking: Pace::new(limits.write_timeout, limits.rate_min),
            send_until: None,
            sent: false,
            has_failed_to_send: false,
            answers: false,
            limits,
            date: Date::default(),
        }
    }

    /// Reads once into the input buffer; how many bytes came.
    pub(crate) fn fill(&mut self, timeout: Duration) -> io::Result<usize> {
        loop {
            match self.fill_once(timeout) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                filled => return filled,
            }
        }
    }

    /// As [`fill`](Self::fill), and says when it was interrupted.
    pub(crate) fn fill_once(&mut self, timeout: Duration) -> io::Result<usize> {
        // Clocks and system calls have trouble with ends of time.
        let timeout = timeout.min(Duration::from_secs(86_400));
        self.landing.resize(READ_LEN, 0);
        let read = self.transport.receive(&mut self.landing, timeout)?;
        self.input.extend_from_slice(&self.landing[..read]);
        Ok(read)
    }

    /// Writes out what is collected.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let out = std::mem::take(&mut self.out);
        let written = self.write_now(&out);
        self.out = out;
        self.out.clear();
        written
    }

    /// Writes out what is collected, and these bytes after it.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.out.len() + bytes.len() <= OUT_MAX {
            self.out.extend_from_slice(bytes);
            return self.flush();
        }
        self.flush()?;
        self.write_now(bytes)
    }

    fn write_now(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.has_failed_to_send {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let written = self.write_all(bytes);
        self.has_failed_to_send = written.is_err();
        written
    }

    fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        // The clock is asked only if one write is not enough for a message.
        let mut start = self.sent.then(Instant::now);
        self.sent = true;
        while !bytes.is_empty() {
            let slow = || io::Error::new(io::ErrorKind::TimedOut, "the peer reads too slowly");
            let timeout = self.send_time().ok_or_else(slow)?;
            let written = match self.transport.send(bytes, timeout) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => written.min(bytes.len()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if is_timeout(&error) => return Err(slow()),
                Err(error) => return Err(error),
            };
            bytes = &bytes[written..];
            match start {
                Some(start) => self.taking.waited(start, written),
                None => self.taking.brought(written),
            }
            start = (!bytes.is_empty()).then(Instant::now);
        }
        Ok(())
    }

    /// How long the peer may make the message that is sent wait now; none if its time is over.
    fn send_time(&self) -> Option<Duration> {
        let left = self.taking.left()?;
        let Some(until) = self.send_until else {
            return Some(left);
        };
        let left = left.min(until.saturating_duration_since(Instant::now()));
        (!left.is_zero()).then_some(left)
    }

    /// Sets when the time for all that is sent is over.
    pub(crate) fn send_until(&mut self, deadline: Option<Instant>) {
        self.send_until = deadline;
    }

    /// Whether the stream has failed to take what was sent, in contrast to a body that could not be produced.
    pub(crate) fn has_failed_to_send(&self) -> bool {
        self.has_failed_to_send
    }

    /// A message begins that is sent: the time that the peer has to take it does, too.
    pub(crate) fn begin_message(&mut self) {
        self.taking = Pace::new(self.limits.write_timeout, self.limits.rate_min);
        self.sent = false;
        self.answers = true;
    }

    /// Whether a part of the response to the last request has been sent.
    pub(crate) fn has_answered(&self) -> bool {
        self.answers && self.sent
    }

    /// The date for a response's header.
    pub(crate) fn date(&mut self) -> &[u8] {
        self.date.now()
    }

    /// A message's head has come, and its body begins. Returns the message's number.
    pub(crate) fn begin_body(&mut self, framing: Framing, continues: bool, deadline: Option<Instant>) -> u64 {
        self.message += 1;
        self.answers = false;
        let state = match framing {
            Framing::Length(0) => State::Done,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Chunked(Decoder::new()),
            Framing::UntilClose => State::UntilClose,
        };
        self.body = Receiving {
            state,
            limit: self.limits.body_len,
            received: 0,
            pace: Pace::new(self.limits.body_timeout, self.limits.rate_min),
            continues,
            deadline,
        };
        self.message
    }

    /// Whether this is still the message whose body is received.
    pub(crate) fn is_at(&self, message: u64) -> bool {
        self.message == message
    }

    pub(crate) fn set_body_limit(&mut self, limit: u64) {
        self.body.limit = limit;
    }

    /// What is left of the body, if its length was said.
    pub(crate) fn body_left(&self) -> Option<u64> {
        match self.body.state {
            State::Length(left) => Some(left),
            State::Done => Some(0),
            _ => None,
        }
    }

    /// The body is over, and what follows on the connection is the next message.
    pub(crate) fn body_is_done(&self) -> bool {
        matches!(self.body.state, State::Done)
    }

    /// Why the body could not be read.
    pub(crate) fn body_failure(&self) -> Option<Reject> {
        match self.body.state {
            State::Failed(reject) => Some(reject),
            _ => None,
        }
    }

    /// Whether the stream failed while the body was read.
    pub(crate) fn is_broken(&self) -> bool {
        matches!(self.body.state, State::Broken)
    }

    /// Tells the peer that the body is welcome, if it waits for that; with the next output.
    pub(crate) fn allow_body(&mut self) {
        if std::mem::take(&mut self.body.continues) {
            self.out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
    }

    /// The peer still waits for leave to send the body.
    pub(crate) fn waits_for_continue(&self) -> bool {
        self.body.continues
    }

    /// Reads a piece of the body: at least a byte, unless it is over.
    pub(crate) fn read_body(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            match self.body_in_input() {
                Err(reject) => return self.fail(reject),
                Ok(Next::End) => return Ok(0),
                Ok(Next::Data(there)) => {
                    let len = there.min(buffer.len()).min(self.body_room());
                    if len == 0 {
                        return self.fail(TOO_LONG);
                    }
                    buffer[..len].copy_from_slice(&self.input[..len]);
                    self.took(len);
                    return Ok(len);
                }
                Ok(Next::More) => self.fill_body()?,
            }
        }
    }

    fn fail<T>(&mut self, reject: Reject) -> io::Result<T> {
        self.body.state = State::Failed(reject);
        Err(reject.into_io())
    }

    fn body_room(&self) -> usize {
        usize::try_from(self.body.limit.saturating_sub(self.body.received)).unwrap_or(usize::MAX)
    }

    /// What is there of the body, with what is no data taken off the input.
    fn body_in_input(&mut self) -> Result<Next, Reject> {
        let there = self.input.len();
        match &mut self.body.state {
            State::Done => Ok(Next::End),
            State::Failed(reject) => Err(*reject),
            State::Broken => Err(Reject::bad("the connection failed while the body was read")),
            State::Length(left) if *left > self.body.limit.saturating_sub(self.body.received) => Err(TOO_LONG),
            State::Length(left) if there > 0 => Ok(Next::Data(usize::try_from(*left).unwrap_or(usize::MAX).min(there))),
            State::UntilClose if there > 0 => Ok(Next::Data(there)),
            State::Length(_) | State::UntilClose => Ok(Next::More),
            State::Chunked(decoder) => {
                let (skip, next) = decoder.next(&self.input)?;
                let _ = self.input.split_to(skip);
                if next == Next::End {
                    self.body.state = State::Done;
                }
                Ok(next)
            }
        }
    }

    fn took(&mut self, len: usize) {
        let _ = self.input.split_to(len);
        self.body.received += len as u64;
        match &mut self.body.state {
            State::Length(left) => {
                *left -= len as u64;
                if *left == 0 {
                    self.body.state = State::Done;
                }
            }
            State::Chunked(decoder) => decoder.took(len),
            _ => {}
        }
    }

    /// Waits for more of the body.
    fn fill_body(&mut self) -> io::Result<()> {
        const SLOW: Reject = Reject::new(StatusCode::REQUEST_TIMEOUT, "the body arrives too slowly");
        if self.waits_for_continue() {
            self.allow_body();
            self.flush().inspect_err(|_| self.body.state = State::Broken)?;
        }
        let start = Instant::now();
        let in_time = |left: Duration| match self.body.deadline {
            Some(deadline) => Some(deadline.saturating_duration_since(start).min(left)).filter(|left| !left.is_zero()),
            None => Some(left),
        };
        let Some(timeout) = self.body.pace.left().and_then(in_time) else {
            return self.fail(SLOW);
        };
        match self.fill(timeout) {
            Ok(0) if matches!(self.body.state, State::UntilClose) => {
                self.body.state = State::Done;
                Ok(())
            }
            Ok(0) => {
                self.body.state = State::Broken;
                Err(io::Error::new(
                    io::ErrorKind::UnexpectedEof,
                    "the connection ended within the body",
                ))
            }
            Ok(read) => {
                self.body.pace.waited(start, read);
                Ok(())
            }
            Err(error) if is_timeout(&error) => self.fail(SLOW),
            Err(error) => {
                self.body.state = State::Broken;
                Err(error)
            }
        }
    }

    /// Reads what is left of a body that nobody wants, if that is little. Whether the connection can be used on.
    pub(crate) fn skip_body(&mut self, len_max: usize) -> bool {
        if self.waits_for_continue() {
            return self.body_is_done();
        }
        let (mut buffer, mut skipped) = ([0; 1 << 10], 0);
        while !self.body_is_done() && skipped <= len_max {
            match self.read_body(&mut buffer) {
                Ok(read) => skipped += read,
                Err(_) => return false,
            }
        }
        self.body_is_done()
    }

    /// Ends the connection so that the peer gets all that was written, even if it is still sending: a socket that is closed
    /// with input unread tells the peer to forget what it got.
    pub(crate) fn close(&mut self) {
        self.close_within(LINGER);
    }

    /// The same, within this time.
    pub(crate) fn close_within(&mut self, linger: Duration) {
        self.transport.finish();
        let (end, mut read) = (Instant::now() + linger, 0);
        while read < LINGER_LEN {
            self.input.clear();
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            match self.fill(left) {
                Ok(0) | Err(_) => return,
                Ok(more) => read += more,
            }
        }
    }

    /// Tells the peer that nothing more comes.
    pub(crate) fn finish(&mut self) {
        self.transport.finish();
    }

    /// Whether everything is read that the peer has sent so far of this request, and nothing came after it.
    pub(crate) fn has_read_all(&self) -> bool {
        self.body_is_done() && self.input.is_empty()
    }

    /// Gives the peer little time to take the messages that begin from now on.
    pub(crate) fn hurry(&mut self) {
        self.limits.write_timeout = self.limits.write_timeout.min(HURRY);
        // No bytes earn more time.
        self.limits.rate_min = u64::MAX;
    }

    /// The socket, if it is one of `lunatic::net`.
    pub(crate) fn socket(&self) -> Option<&Stream> {
        self.transport.socket()
    }

    /// The same socket, for another process.
    pub(crate) fn share(&self) -> io::Result<Stream> {
        self.transport.share()
    }

    /// The socket, and what was read from it and not yet looked at; none if it is no socket, or there is something else that belongs
    /// to the connection.
    pub(crate) fn lent(&self) -> Option<(&Stream, &[u8])> {
        let is_between = matches!(self.body.state, State::Done) && self.out.is_empty();
        let socket = self.transport.socket().filter(|_| is_between)?;
        Some((socket, &self.input))
    }

    /// The stream itself, and what was read from it too early.
    pub(crate) fn take_apart(&mut self) -> (Box<dyn Transport>, BytesMut) {
        self.body.state = State::Broken;
        self.message += 1;
        (
            std::mem::replace(&mut self.transport, Box::new(Gone)),
            std::mem::take(&mut self.input),
        )
    }
}

/// The date as text, made once a second.
#[derive(Default)]
struct Date {
    second: u64,
    text: String,
}

impl Date {
    fn now(&mut self) -> &[u8] {
        let now = SystemTime::now();
        let second = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |time| time.as_secs());
        if second != self.second || self.text.is_empty() {
            self.second = second;
            self.text = httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(second));
        }
        self.text.as_bytes()
    }
}
