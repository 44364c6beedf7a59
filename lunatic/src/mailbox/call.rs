//! Requests and their answers.

use std::error::Error;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use lunatic_sys::codes;
use serde::{Deserialize, Serialize};

use super::Address;
use crate::channel::Message;
use crate::codec::{self, DecodeError, DefaultCodec, EncodeError, Scratch};
use crate::exit::ExitReason;
use crate::host::mail::Called;
use crate::host::net::Receiver;
use crate::host::{self, Refused};
use crate::net::handover;
use crate::process::{Process, this_process};

/// Where the answer to a request goes: part of the request.
///
/// It can be kept and used later, or passed on to another process that answers. The one who asked takes the first answer,
/// and only while it waits.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub struct ReplyTo<R> {
    process: Process,
    reference: u64,
    #[serde(skip)]
    answer: PhantomData<fn(R)>,
}

impl<R: Message> ReplyTo<R> {
    pub(crate) fn new(process: Process, reference: u64) -> Self {
        Self {
            process,
            reference,
            answer: PhantomData,
        }
    }

    /// Names the request.
    pub(crate) fn reference(&self) -> u64 {
        self.reference
    }

    /// Who asks.
    #[must_use]
    pub fn process(&self) -> Process {
        self.process
    }

    /// Answers. Nothing happens if nobody waits for the answer any more.
    ///
    /// # Panics
    ///
    /// If the answer cannot be written, or the host has no room for it.
    pub fn send(self, answer: R) {
        let mut bytes = Scratch::new();
        if let Err(error) = codec::encode::<DefaultCodec, R>(&answer, &mut bytes) {
            panic!("cannot answer {}: {}", self.process, crate::chain(&error));
        }
        let send = |bytes: &[u8]| host::mail::send(self.process.raw(), self.reference, bytes);
        match handover::deliver(&bytes, Receiver::Process(self.process.raw()), send) {
            Ok(()) | Err(Refused::Closed | Refused::Full) => {}
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

/// Why a call has no answer.
#[derive(Debug)]
#[non_exhaustive]
pub enum CallError {
    /// The process ended before it answered, or had ended before.
    Gone(ExitReason),
    /// No answer came in time. One that comes later is dropped.
    TimedOut,
    /// The mailbox of the process holds as many messages as it may.
    Full,
    /// The host has no room for the request; the text says what it ran out of.
    Limit(String),
    /// The request cannot be written.
    Encode(EncodeError),
    /// The answer is not of the type that was asked for.
    Decode(DecodeError),
    /// The process called itself: it cannot answer while it waits for the answer. Nothing was sent.
    CallingSelf,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone(reason) => write!(f, "the process that was called {reason}"),
            Self::TimedOut => f.write_str("the process that was called did not answer in time"),
            Self::Full => f.write_str("the mailbox of the process that was called is full"),
            Self::Limit(limit) => write!(f, "the host cannot take the request: {limit}"),
            Self::Encode(error) => error.fmt(f),
            Self::Decode(error) => error.fmt(f),
            Self::CallingSelf => f.write_str("a process cannot call itself: it would wait for its own answer for ever"),
        }
    }
}

impl Error for CallError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Encode(error) => error.source(),
            Self::Decode(error) => error.source(),
            _ => None,
        }
    }
}

impl<M: Message> Address<M> {
    /// Sends a request, and waits for the answer to it for as long as the process lives.
    ///
    /// `request` makes the message, with the place to answer to in it, so that requests of one type can have answers of
    /// different types.
    ///
    /// # Errors
    ///
    /// [`CallError`]: at once, when the process ends, or is the calling process itself.
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

    /// As [`call`](Self::call), for at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`CallError`]; [`CallError::TimedOut`] after that time.
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
        let call = |bytes: &[u8]| host::mail::call(self.raw(), self.tag(), bytes, reference, timeout_ns, decode);
        match handover::deliver(&bytes, Receiver::Process(self.raw()), call) {
            Ok(Called::Answered(answer)) => answer.map_err(CallError::Decode),
            Ok(Called::Gone(reason)) => Err(CallError::Gone(ExitReason::from_bytes(&reason))),
            Err(Refused::TimedOut) => Err(CallError::TimedOut),
            Err(Refused::Full) => Err(CallError::Full),
            Err(Refused::Limit) => Err(CallError::Limit(host::limit())),
            Err(refused) => super::unexpected(refused),
        }
    }
}
