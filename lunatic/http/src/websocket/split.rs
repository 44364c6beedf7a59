//! WebSockets of processes that wait for mail, too.
//!
//! A second process reads. It knows the protocol as if it were the whole WebSocket, but what it would send (answers to
//! pings, to a close) it mails to the first one, which does all the writing. So frames are never mixed, and each side of
//! the protocol has one process. Before each message, and before each answer that the protocol wants to be sent, the reader
//! takes a place in a channel with few places, and the first process gives it back when it has looked at the mail: a peer
//! cannot fill a mailbox, neither with messages nor with pings.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, Write};
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use lunatic::channel::TrySendError;
use lunatic::mailbox::Address;
use lunatic::process::exit;
use lunatic::{Channel, ExitReason, Process};
use serde::{Deserialize, Serialize};
use tungstenite::protocol::{Role, WebSocketContext};

use super::lengths::Lengths;
use super::wire::Wire;
use super::{Message, WebSocket, WebSocketError, WebSocketLimits};
use crate::server::Stream;
use crate::transport::{Gone, Transport, is_timeout};

/// Messages and answers to control frames that may wait in the mailbox.
const AHEAD: usize = 16;

/// What the reader of a [split](WebSocket::split) WebSocket mails: to be given to [`Sender::accept`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Received(What);

#[derive(Debug, Clone, Serialize, Deserialize)]
enum What {
    Message(Message),
    /// Frames that the protocol wants to be sent.
    Control(Vec<u8>),
    Over(WebSocketError),
}

/// The writing half of a [split](WebSocket::split) WebSocket.
pub struct Sender {
    protocol: WebSocketContext,
    wire: Wire,
    places: Channel<()>,
    reader: Process,
    over: bool,
}

impl WebSocket {
    /// Lets a process of its own read, and mail what comes to `address`: for processes that wait for messages and for other
    /// mail at once. The calling process does the writing, and answers each [`Received`] by [`Sender::accept`].
    ///
    /// The reader is linked to the calling process. It mails at most 16 events ahead and then waits until they are accepted.
    /// If the mailbox is full when an event comes, the reader exits with an error, and so does the calling process unless it
    /// [traps exits](lunatic::process::trap_exit).
    ///
    /// # Errors
    ///
    /// [`Unsupported`](io::ErrorKind::Unsupported) if a message was received before, as the reader would not know what was
    /// read of the next, and over TLS, as a TLS stream belongs to one process; else what keeps the socket or the process from being made.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use lunatic::Mailbox;
    /// use lunatic_http::websocket::{Message, Received, WebSocket};
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Serialize, Deserialize)]
    /// enum Mail {
    ///     Browser(Received),
    ///     News(String),
    /// }
    ///
    /// impl From<Received> for Mail {
    ///     fn from(event: Received) -> Self {
    ///         Mail::Browser(event)
    ///     }
    /// }
    ///
    /// fn talk(socket: WebSocket) -> std::io::Result<()> {
    ///     let mailbox = Mailbox::<Mail>::new();
    ///     let mut browser = socket.split(mailbox.address())?;
    ///     loop {
    ///         let done = match mailbox.receive() {
    ///             Mail::Browser(event) => match browser.accept(event) {
    ///                 Ok(Some(Message::Text(text))) => browser.send(format!("you said {text}")),
    ///                 Ok(_) => Ok(()),
    ///                 Err(over) => Err(over),
    ///             },
    ///             Mail::News(text) => browser.send(text),
    ///         };
    ///         if done.is_err() {
    ///             return Ok(());
    ///         }
    ///     }
    /// }
    /// ```
    pub fn split<M>(mut self, address: Address<M>) -> io::Result<Sender>
    where
        M: lunatic::channel::Message + From<Received>,
    {
        if self.received {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "split a WebSocket before it receives its first message",
            ));
        }
        let stream = self.wire.transport.share()?;
        let input = std::mem::take(&mut self.wire.input).to_vec();
        let (limits, role) = (self.limits, self.role);
        let is_server = role == Role::Server;
        let places = Channel::<()>::new(AHEAD);
        let entry = move |(stream, input): (Stream, Vec<u8>)| {
            let role = if is_server { Role::Server } else { Role::Client };
            read(stream, input, role, limits, places, |what| {
                mail_event(address, M::from(Received(what)))
            });
        };
        let spawned = Process::builder().link().spawn_with((stream, input), entry);
        let reader = spawned.map_err(io::Error::other)?;
        // What it was is in two halves now.
        self.over = true;
        let wire = Wire {
            transport: std::mem::replace(&mut self.wire.transport, Box::new(Gone)),
            input: BytesMut::new(),
            lengths: Lengths::default(),
            ..self.wire
        };
        Ok(Sender {
            protocol: WebSocketContext::new(role, Some(limits.config())),
            wire,
            places,
            reader,
            over: false,
        })
    }
}

/// The reader: until the WebSocket is over, or nobody listens.
fn read(
    stream: Stream,
    input: Vec<u8>,
    role: Role,
    limits: WebSocketLimits,
    places: Channel<()>,
    mail: impl Fn(What) -> bool,
) {
    let written = Written::default();
    let mut wire = Wire {
        transport: Box::new(Half {
            stream: stream.into_transport(),
            written: written.clone(),
        }),
        input: BytesMut::from(&input[..]),
        lengths: Lengths::default(),
        read_timeout: limits.ping_interval,
        until: None,
        has_read: false,
        write_timeout: limits.write_timeout,
    };
    let mut protocol = WebSocketContext::new(role, Some(limits.config()));
    let (mut closed, mut pinged) = (None, false);
    loop {
        let read = protocol.read(&mut wire);
        let timed_out = matches!(&read, Err(tungstenite::Error::Io(error)) if is_timeout(error));
        let message = match read {
            Ok(tungstenite::Message::Text(text)) => Some(Message::Text(text.as_str().to_owned())),
            Ok(tungstenite::Message::Binary(bytes)) => Some(Message::Binary(bytes.into())),
            Ok(tungstenite::Message::Close(frame)) => {
                closed = Some(super::said(frame));
                None
            }
            Ok(_) => None,
            Err(_) if timed_out && !pinged => {
                let _ = protocol.write(&mut wire, tungstenite::Message::Ping(Default::default()));
                None
            }
            Err(error) => {
                let (code, error) = match timed_out {
                    true => (1001, WebSocketError::Silent),
                    false => (super::code_of(&error), super::reason(error, closed)),
                };
                if code != 0 {
                    let _ = protocol.close(&mut wire, Some(super::close_frame(code, &error.to_string())));
                }
                mail_written(&written, places, &mail);
                mail(What::Over(error));
                return;
            }
        };
        pinged = timed_out;
        // What the protocol has to answer; that it is over then is told by the next read.
        let _ = protocol.flush(&mut wire);
        if !mail_written(&written, places, &mail) {
            return;
        }
        if let Some(message) = message
            && !(take_place(places) && mail(What::Message(message)))
        {
            return;
        }
    }
}

/// Mails an event; false if nobody is there to get it.
fn mail_event<M: lunatic::channel::Message>(address: Address<M>, event: M) -> bool {
    let why = match address.try_send(event) {
        Ok(()) => return true,
        Err(TrySendError::Closed(_)) => return false,
        Err(TrySendError::Full(_)) => format!(
            "the mailbox of its process is full; let it hold {} more messages (`mailbox_max`)",
            AHEAD + 1
        ),
        Err(error) => error.to_string(),
    };
    // Without this event the rest is worth nothing, and the link tells the process why.
    exit(ExitReason::Error(format!(
        "a split WebSocket cannot send a received message to the mailbox: {why}"
    )))
}

fn mail_written(written: &Written, places: Channel<()>, mail: &impl Fn(What) -> bool) -> bool {
    let frames = written.take();
    frames.is_empty() || (take_place(places) && mail(What::Control(frames)))
}

/// Waits until the first process has looked at enough of its mail; false if it is gone.
fn take_place(places: Channel<()>) -> bool {
    places.send_timeout((), Duration::MAX).is_ok()
}

type Written = Rc<RefCell<Vec<u8>>>;

/// A stream that is only read; what is written to it is kept for somebody else to write.
struct Half {
    stream: Box<dyn Transport>,
    written: Written,
}

impl Transport for Half {
    fn receive(&mut self, buffer: &mut [u8], timeout: Duration) -> io::Result<usize> {
        self.stream.receive(buffer, timeout)
    }

    fn send(&mut self, bytes: &[u8], _: Duration) -> io::Result<usize> {
        self.written.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn finish(&mut self) {}
}

impl Sender {
    /// Looks at what the reader has mailed: a message of the peer, or none if it was something that this answers.
    ///
    /// # Errors
    ///
    /// [`WebSocketError`]; after each the WebSocket is over.
    pub fn accept(&mut self, event: Received) -> Result<Option<Message>, WebSocketError> {
        if let What::Message(_) | What::Control(_) = &event.0 {
            // Also after a close of ours: else the reader would not come to the peer's.
            let _ = self.places.try_receive();
        }
        match event.0 {
            What::Message(message) => Ok(Some(message)),
            // After a close of ours nothing may follow.
            What::Control(_) if self.over => Ok(None),
            What::Control(frames) => match self.wire.write_all(&frames) {
                Ok(()) => Ok(None),
                Err(error) => Err(self.failed(error.into())),
            },
            What::Over(error) => {
                self.over = true;
                self.wire.transport.finish();
                Err(error)
            }
        }
    }

    /// Sends a message, waiting while the peer does not take it.
    ///
    /// # Errors
    ///
    /// [`WebSocketError`]; after each the WebSocket is over.
    pub fn send(&mut self, message: impl Into<Message>) -> Result<(), WebSocketError> {
        if self.over {
            return Err(WebSocketError::Over);
        }
        let written = self.protocol.write(&mut self.wire, message.into().into());
        written
            .and_then(|()| self.protocol.flush(&mut self.wire))
            .map_err(|error| self.failed(error))
    }

    /// Says that it is over; see [`WebSocket::close`]. The peer's agreement comes as an event, with which
    /// [`accept`](Self::accept) fails, and messages may come before it.
    ///
    /// # Errors
    ///
    /// [`WebSocketError`] if it was over already.
    pub fn close(&mut self, code: u16, reason: &str) -> Result<(), WebSocketError> {
        if self.over {
            return Err(WebSocketError::Over);
        }
        self.over = true;
        let closed = self
            .protocol
            .close(&mut self.wire, Some(super::close_frame(code, reason)));
        closed.map_err(|error| self.failed(error))
    }

    fn failed(&mut self, error: tungstenite::Error) -> WebSocketError {
        self.over = true;
        self.wire.transport.finish();
        WebSocketError::from_inner(error)
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        if !self.over {
            let _ = self.close(1000, "");
        }
        self.wire.transport.finish();
        self.reader.unlink();
        self.reader.kill();
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.over { "Sender(over)" } else { "Sender" })
    }
}
