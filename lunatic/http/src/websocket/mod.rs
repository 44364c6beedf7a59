//! WebSockets (RFC 6455): messages both ways over a connection that began with HTTP.
//!
//! [`upgrade`] answers a request with one, and the process of the connection goes on with it;
//! [`Client::websocket`](crate::Client::websocket) is the client. The protocol is that of `tungstenite`: pings are answered, messages put together from fragments, texts checked. That
//! lengths are in their shortest form is checked here.
//!
//! A process that waits for messages and for mail of other processes at once has [`WebSocket::split`].

mod error;
mod handshake;
mod lengths;
mod split;
#[cfg(test)]
mod tests;
mod wire;

use std::fmt;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tungstenite::error::ProtocolError;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{CloseFrame, Role, WebSocketConfig, WebSocketContext};

pub use error::{Close, WebSocketError};
pub use handshake::upgrade;
pub(crate) use handshake::{ask, is_accepted};
use lengths::{BadLength, Lengths};
pub use split::{Received, Sender};
use wire::Wire;

use crate::transport::is_timeout;
use crate::upgrade::Upgraded;

/// What one side sends the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// A text.
    Text(String),
    /// Bytes.
    Binary(Vec<u8>),
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Message {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<Vec<u8>> for Message {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Binary(bytes)
    }
}

impl From<Message> for tungstenite::Message {
    fn from(message: Message) -> Self {
        match message {
            Message::Text(text) => Self::text(text),
            Message::Binary(bytes) => Self::binary(bytes),
        }
    }
}

/// The bounds of a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WebSocketLimits {
    /// Bytes of a message that is received: 1 MiB. A longer one ends the WebSocket with code 1009.
    pub message_len: usize,
    /// When so long nothing has come, a ping is sent, and when as long again nothing has come, the peer is taken to be
    /// gone: 20 s.
    pub ping_interval: Duration,
    /// How long the peer may not take what is sent: 30 s.
    pub write_timeout: Duration,
    /// How long the peer may take to agree to a close: 2 s.
    pub close_timeout: Duration,
}

impl Default for WebSocketLimits {
    fn default() -> Self {
        Self {
            message_len: 1 << 20,
            ping_interval: Duration::from_secs(20),
            write_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(2),
        }
    }
}

impl WebSocketLimits {
    fn config(&self) -> WebSocketConfig {
        WebSocketConfig::default()
            .read_buffer_size(4 << 10)
            .write_buffer_size(0)
            .max_message_size(Some(self.message_len))
            .max_frame_size(Some(self.message_len))
    }
}

/// One end of a WebSocket.
///
/// Dropping it tells the peer that it is over, without waiting for it to agree; [`close`](Self::close) waits.
///
/// # Examples
///
/// ```no_run
/// use lunatic_http::Server;
/// use lunatic_http::websocket::{self, WebSocket};
///
/// // Sends back whatever comes.
/// let server = Server::bind("127.0.0.1:8080").unwrap();
/// server.serve(|request| websocket::upgrade(request, |mut socket: WebSocket| {
///     while let Ok(message) = socket.receive() {
///         if socket.send(message).is_err() {
///             break;
///         }
///     }
/// })).unwrap();
/// ```
pub struct WebSocket {
    protocol: WebSocketContext,
    wire: Wire,
    role: Role,
    limits: WebSocketLimits,
    /// Something was read: part of the next message may be in `protocol`.
    received: bool,
    /// Nothing more can be sent or received.
    over: bool,
    /// What the peer said when it closed.
    closed: Option<Close>,
    /// Whether the server wants its connections to end.
    is_draining: Box<dyn FnMut() -> bool>,
}

impl WebSocket {
    pub(crate) fn new(upgraded: Upgraded, role: Role, limits: WebSocketLimits) -> Self {
        Self {
            protocol: WebSocketContext::new(role, Some(limits.config())),
            wire: Wire {
                transport: upgraded.transport,
                input: upgraded.input,
                lengths: Lengths::default(),
                read_timeout: limits.ping_interval,
                until: None,
                has_read: false,
                write_timeout: limits.write_timeout,
            },
            role,
            limits,
            received: false,
            over: false,
            closed: None,
            is_draining: upgraded.is_draining,
        }
    }

    /// Other limits, from the next message on.
    pub fn set_limits(&mut self, limits: WebSocketLimits) {
        self.limits = limits;
        self.protocol.set_config(|config| {
            config.max_message_size = Some(limits.message_len);
            config.max_frame_size = Some(limits.message_len);
        });
        self.wire.write_timeout = limits.write_timeout;
    }

    /// Waits for the next message. Pings are answered meanwhile, and sent to a peer that is silent.
    ///
    /// # Errors
    ///
    /// [`WebSocketError`]; after each the WebSocket is over.
    pub fn receive(&mut self) -> Result<Message, WebSocketError> {
        loop {
            if let Some(message) = self.receive_until(None)? {
                return Ok(message);
            }
        }
    }

    /// As [`receive`](Self::receive), for at most `timeout`; none if nothing has come by then.
    ///
    /// # Errors
    ///
    /// As [`receive`](Self::receive).
    pub fn receive_timeout(&mut self, timeout: Duration) -> Result<Option<Message>, WebSocketError> {
        let deadline = Instant::now().checked_add(timeout);
        self.receive_until(deadline)
    }

    fn receive_until(&mut self, deadline: Option<Instant>) -> Result<Option<Message>, WebSocketError> {
        let mut pinged = false;
        self.received = true;
        self.wire.read_until(deadline);
        self.wire.read_timeout = self.limits.ping_interval;
        let ends_within =
            |time| deadline.is_some_and(|deadline| deadline.saturating_duration_since(Instant::now()) <= time);
        loop {
            self.check_open()?;
            let is_last = ends_within(self.limits.ping_interval);
            match self.protocol.read(&mut self.wire) {
                Ok(tungstenite::Message::Text(text)) => return Ok(Some(Message::Text(text.as_str().to_owned()))),
                Ok(tungstenite::Message::Binary(bytes)) => return Ok(Some(Message::Binary(bytes.into()))),
                // The answers to these are sent by the next read.
                Ok(tungstenite::Message::Close(frame)) => {
                    self.closed = Some(said(frame));
                }
                // Many of these may be there already, and come without a read.
                Ok(_) if ends_within(Duration::ZERO) => return Ok(None),
                Ok(_) => pinged = false,
                Err(tungstenite::Error::Io(error)) if is_timeout(&error) => {
                    if is_last || ends_within(Duration::ZERO) {
                        return Ok(None);
                    }
                    if (self.is_draining)() {
                        return Err(self.give_up(1001, "the server is going away", WebSocketError::Draining));
                    }
                    if pinged {
                        return Err(self.give_up(1001, "you were silent for too long", WebSocketError::Silent));
                    }
                    pinged = true;
                    self.send_now(tungstenite::Message::Ping(Default::default()))?;
                }
                Err(error) => return Err(self.failed(error)),
            }
        }
    }

    /// Sends a message, waiting while the peer does not take it.
    ///
    /// # Errors
    ///
    /// [`WebSocketError`]; after each the WebSocket is over.
    pub fn send(&mut self, message: impl Into<Message>) -> Result<(), WebSocketError> {
        self.check_open()?;
        self.send_now(message.into().into())
    }

    fn send_now(&mut self, message: tungstenite::Message) -> Result<(), WebSocketError> {
        let written = self.protocol.write(&mut self.wire, message);
        written
            .and_then(|()| self.protocol.flush(&mut self.wire))
            .map_err(|error| self.failed(error))
    }

    /// Says that it is over, with a code (1000 for a normal end, 4000 to 4999 for your own) and a reason of at most 123
    /// bytes, and waits until the peer has agreed, for [`WebSocketLimits::close_timeout`] at most. Messages that come
    /// meanwhile are dropped.
    ///
    /// # Errors
    ///
    /// What kept the peer from agreeing. The connection is closed in each case.
    pub fn close(mut self, code: u16, reason: &str) -> Result<(), WebSocketError> {
        self.check_open()?;
        self.say_close(code, reason).map_err(|error| self.failed(error))?;
        self.over = true;
        // Clocks have trouble with ends of time.
        let timeout = self.limits.close_timeout.min(Duration::from_secs(86_400));
        let deadline = Instant::now() + timeout;
        self.wire.read_until(Some(deadline));
        self.wire.read_timeout = timeout;
        loop {
            if Instant::now() >= deadline {
                return Err(WebSocketError::Silent);
            }
            match self.protocol.read(&mut self.wire) {
                Ok(_) => {}
                Err(tungstenite::Error::ConnectionClosed) => return Ok(()),
                Err(tungstenite::Error::Io(error)) if is_timeout(&error) => return Err(WebSocketError::Silent),
                Err(error) => return Err(WebSocketError::from_inner(error)),
            }
        }
    }

    fn say_close(&mut self, code: u16, reason: &str) -> tungstenite::Result<()> {
        self.protocol.close(&mut self.wire, Some(close_frame(code, reason)))
    }

    fn check_open(&self) -> Result<(), WebSocketError> {
        match self.over {
            true => Err(WebSocketError::Over),
            false => Ok(()),
        }
    }

    /// What is to be said to the user of a failure; the peer is told if it broke the rules.
    fn failed(&mut self, error: tungstenite::Error) -> WebSocketError {
        let code = code_of(&error);
        let error = reason(error, self.closed.take());
        match code {
            0 => {
                self.over = true;
                self.wire.transport.finish();
                error
            }
            code => self.give_up(code, &error.to_string(), error),
        }
    }

    /// Tells the peer that it is over, and does not wait for it.
    fn give_up(&mut self, code: u16, reason: &str, error: WebSocketError) -> WebSocketError {
        self.over = true;
        let _ = self.say_close(code, reason);
        self.wire.transport.finish();
        error
    }
}

/// The code that a peer is told who broke the rules; 0 if it did not, or cannot be told.
fn code_of(error: &tungstenite::Error) -> u16 {
    use tungstenite::Error as E;
    match error {
        E::Capacity(_) => 1009,
        E::Utf8(_) => 1007,
        E::Protocol(ProtocolError::ResetWithoutClosingHandshake | ProtocolError::SendAfterClosing) => 0,
        E::Protocol(_) | E::AttackAttempt => 1002,
        E::Io(error) if BadLength::is(error) => 1002,
        _ => 0,
    }
}

/// Why it is over. Once the peer has said so, how it ends the connection does not matter.
fn reason(error: tungstenite::Error, closed: Option<Close>) -> WebSocketError {
    closed.map_or_else(|| WebSocketError::from_inner(error), WebSocketError::Closed)
}

fn said(frame: Option<CloseFrame>) -> Close {
    frame.map_or_else(Close::default, |frame| Close {
        code: frame.code.into(),
        reason: frame.reason.as_str().to_owned(),
    })
}

/// A frame with as much of the reason as fits.
fn close_frame(code: u16, reason: &str) -> CloseFrame {
    let end = (0..=reason.len().min(123))
        .rev()
        .find(|end| reason.is_char_boundary(*end));
    CloseFrame {
        code: CloseCode::from(code),
        reason: reason[..end.unwrap_or(0)].into(),
    }
}

impl Drop for WebSocket {
    fn drop(&mut self) {
        if !self.over {
            self.give_up(1000, "", WebSocketError::Over);
        }
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.over { "WebSocket(over)" } else { "WebSocket" })
    }
}
