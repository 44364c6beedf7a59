//! Requests and their answers.

use std::error::Error;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use lunatic_sys::codes;
use serde::{Deserialize, Deserializer, Serialize};

use super::Address;
use crate::channel::Message;
use crate::codec::{self, DecodeError, DefaultCodec, EncodeError, Scratch};
use crate::exit::ExitReason;
use crate::host::mail::Called;
use crate::host::net::Receiver;
use crate::host::{self, Refused};
use crate::net::handover;
use crate::process::{Process, this_process};

/// The place to send the answer to a request to. It is a part of the request.
///
/// It can be kept to answer later, or passed to another process that answers. The process that asked takes the first
/// answer, and only while it waits.
#[derive(Serialize)]
#[serde(bound = "")]
pub struct ReplyTo<R> {
    process: Process,
    reference: u64,
    #[serde(skip)]
    answer: PhantomData<fn(R)>,
}

impl<'de, R> Deserialize<'de> for ReplyTo<R> {
    #[inline]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Parts {
            process: Process,
            reference: u64,
        }

        let Parts { process, reference } = codec::handle::named::<Self, _, _>(deserializer)?;
        Ok(Self {
            process,
            reference,
            answer: PhantomData,
        })
    }
}

impl<R: Message> ReplyTo<R> {
    pub(crate) fn new(process: Process, reference: u64) -> Self {
        Self {
            process,
            reference,
            answer: PhantomData,
        }
    }

    /// The reference that identifies the request.
    pub(crate) fn reference(&self) -> u64 {
        self.reference
    }

    /// Returns the process that asked.
    #[must_use]
    pub fn process(&self) -> Process {
        self.process
    }

    /// Sends the answer. If no process waits for it any more, nothing happens.
    ///
    /// # Panics
    ///
    /// If the answer cannot be encoded, or the host has no room for it.
    pub fn send(self, answer: R) {
        let _ = self.try_send(answer);
    }

    /// Sends the answer, and returns false if the mailbox is full. That cannot be if the other process waits in a call.
    ///
    /// # Panics
    ///
    /// As [`send`](Self::send).
    pub(crate) fn try_send(self, answer: R) -> bool {
        let mut bytes = Scratch::new();
        if let Err(error) = codec::encode::<DefaultCodec, R>(&answer, &mut bytes) {
            panic!("cannot answer {}: {}", self.process, crate::chain(&error));
        }
        let send = |bytes: &[u8]| host::mail::send(self.process.raw(), self.reference, bytes);
        match handover::deliver(&bytes, Receiver::Process(self.process.raw()), send) {
            Ok(()) | Err(Refused::Closed) => true,
            Err(Refused::Full) => false,
            Err(Refused::Limit) => panic!("cannot answer {}: {}", self.process, host::limit()),
            Err(refused) => super::unexpected(refused),
        }
    }
}

impl<R> Clone for ReplyTo<R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for ReplyTo<R> {}

impl<R> fmt::Debug for ReplyTo<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReplyTo<{}>({})", std::any::type_name::<R>(), self.process)
    }
}

/// Why a call returned no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallError {
    /// The process exited before it answered, or had exited before the call.
    Gone(ExitReason),
    /// No answer came before the timeout. A later answer is dropped. The request has been delivered: sockets in it belong
    /// to the process that was called.
    TimedOut,
    /// The mailbox of the process is full.
    Full,
    /// The host has no room for the request; the text names the limit.
    Limit(String),
    /// The request cannot be encoded.
    Encode(EncodeError),
    /// The answer is not of the expected type.
    Decode(DecodeError),
    /// The request contains a socket, and the process is on another node: sockets do not travel.
    Stays,
    /// The process called itself, and so could not answer while it waited. Nothing was sent.
    CallingSelf,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone(reason) => write!(f, "the process that was called {reason}"),
            Self::TimedOut => f.write_str("the process that was called did not answer in time"),
            Self::Full => f.write_str("the mailbox of the process that was called is full"),
            Self::Limit(limit) => write!(f, "the host cannot accept the request: {limit}"),
            Self::Encode(error) => error.fmt(f),
            Self::Decode(error) => error.fmt(f),
            Self::Stays => f.write_str("a socket cannot be sent to a process of another node"),
            Self::CallingSelf => f.write_str("a process cannot call itself: it would wait for its own answer for ever"),
        }
    }
}

impl Error for CallError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            // `Display` shows these errors themselves, so their sources come next.
            Self::Encode(error) => error.source(),
            Self::Decode(error) => error.source(),
            _ => None,
        }
    }
}

impl<M: Message> Address<M> {
    /// Sends a request and waits for the answer, for as long as the process lives.
    ///
    /// `request` makes the message from the [`ReplyTo`] for its answer. So requests of one type can have answers of
    /// different types.
    ///
    /// # Errors
    ///
    /// [`CallError`]. If the process exits, or is the calling process itself, the error is returned immediately.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use lunatic::mailbox::ReplyTo;
    /// use lunatic::{Address, Mailbox, Process};
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Serialize, Deserialize)]
    /// enum Request {
    ///     Double(u64, ReplyTo<u64>),
    ///     Spell(u64, ReplyTo<String>),
    /// }
    ///
    /// let server = Process::spawn(|| {
    ///     let requests = Mailbox::<Request>::new();
    ///     loop {
    ///         match requests.receive() {
    ///             Request::Double(number, reply) => reply.send(2 * number),
    ///             Request::Spell(number, reply) => reply.send(format!("number {number}")),
    ///         }
    ///     }
    /// })
    /// .unwrap();
    /// let server = Address::of(server);
    /// assert_eq!(server.call(|reply| Request::Double(21, reply)).unwrap(), 42);
    /// assert_eq!(server.call(|reply| Request::Spell(1, reply)).unwrap(), "number 1");
    /// ```
    pub fn call<R: Message>(&self, request: impl FnOnce(ReplyTo<R>) -> M) -> Result<R, CallError> {
        self.call_ns(request, codes::NO_TIMEOUT)
    }

    /// Sends a request and waits for the answer for at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`CallError`]; [`CallError::TimedOut`] if no answer came in time.
    pub fn call_timeout<R: Message>(
        &self,
        request: impl FnOnce(ReplyTo<R>) -> M,
        timeout: Duration,
    ) -> Result<R, CallError> {
        self.call_ns(request, host::timeout_ns(timeout))
    }

    fn call_ns<R: Message>(&self, request: impl FnOnce(ReplyTo<R>) -> M, timeout_ns: u64) -> Result<R, CallError> {
        if self.process() == this_process() {
            return Err(CallError::CallingSelf);
        }
        let reference = host::mail::reference_for_call();
        let mut bytes = Scratch::new();
        let request = request(ReplyTo::new(this_process(), reference));
        if let Err(error) = codec::encode::<DefaultCodec, M>(&request, &mut bytes) {
            host::mail::close(reference);
            return Err(CallError::Encode(error));
        }
        let decode = codec::decode::<DefaultCodec, R>;
        // A request whose answer does not come in time has been delivered, so its sockets are not taken back.
        let call = |bytes: &[u8]| match host::mail::call(self.raw(), self.tag(), bytes, reference, timeout_ns, decode) {
            Err(Refused::TimedOut) => Ok(None),
            called => called.map(Some),
        };
        match handover::deliver(&bytes, Receiver::Process(self.raw()), call) {
            Ok(None) => Err(CallError::TimedOut),
            Ok(Some(Called::Answered(answer))) => answer.map_err(CallError::Decode),
            Ok(Some(Called::Gone(reason))) => Err(CallError::Gone(ExitReason::from_bytes(&reason))),
            Err(Refused::Closed) => match self.process().join_timeout(Duration::ZERO) {
                // It cannot get sockets any more, so nothing was sent.
                Ok(reason) => {
                    host::mail::close(reference);
                    Err(CallError::Gone(reason))
                }
                Err(_) => super::unexpected(Refused::Closed),
            },
            Err(Refused::Full) => Err(CallError::Full),
            Err(Refused::Limit) => Err(CallError::Limit(host::limit())),
            Err(Refused::ByNode) => Err(CallError::Stays),
            Err(refused) => super::unexpected(refused),
        }
    }
}
