//! Mailboxes: the queue that every process has.
//!
//! A [`Channel`](crate::Channel) is a queue that many processes can share. A mailbox belongs to one process; it also
//! receives notifications about the exits of other processes. Use channels for streams of data, and mailboxes for
//! processes that serve requests.
//!
//! Each message carries a *tag* that identifies its type. A [`Mailbox<M>`](Mailbox) receives messages of type `M`
//! selectively: it leaves all others in the mailbox, in their order, and does not examine them a second time, however
//! many there are.

mod call;
mod select;

use std::fmt;
use std::future::poll_fn;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::task::Poll;
use std::time::Duration;

pub use call::{CallError, ReplyTo};
use lunatic_sys::codes::{self, TAG_SIGNAL, mail};
use lunatic_sys::layout::{Header, RawHandle};
pub use select::Select;
use serde::{Deserialize, Deserializer, Serialize};

use crate::channel::{Message, ReceiveTimeoutError, TryReceiveError, TrySendError};
use crate::codec::{self, DecodeError, DefaultCodec, Scratch};
use crate::exit::ExitReason;
use crate::host::net::Receiver;
use crate::host::{self, Refused};
use crate::net::handover;
use crate::process::{Monitor, Process, this_process};
use crate::task::waits::Wait;

/// The tag of messages of a type. It is computed from the name of the type, so that programs built from the same source
/// agree.
pub(crate) fn tag_of<M>(salt: &str) -> u64 {
    lunatic_sys::tag::of(std::any::type_name::<M>(), salt)
}

/// The messages of type `M` in the mailbox of the calling process.
///
/// # Examples
///
/// ```no_run
/// use lunatic::{Mailbox, Process};
///
/// let words = Mailbox::<String>::new();
/// let here = words.address();
/// Process::spawn(move || here.send("hello".to_owned())).unwrap();
/// assert_eq!(words.receive(), "hello");
/// ```
pub struct Mailbox<M> {
    tag: u64,
    message: PhantomData<fn() -> M>,
}

/// Mail that [`Mailbox::receive_mail`] returns.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mail<M> {
    /// A message.
    Message(M),
    /// A linked process has exited, or a process has sent an exit signal. Only a process that [traps
    /// exits](crate::process::trap_exit) gets this.
    Exit {
        /// The process that has exited or sent the signal.
        from: Process,
        /// The reason.
        reason: ExitReason,
    },
    /// A process that this one [monitors](Process::monitor) has exited.
    Down {
        /// The monitor, which sends no more mail.
        monitor: Monitor,
        /// The exit reason.
        reason: ExitReason,
    },
}

impl<M: Message> Mailbox<M> {
    /// Selects the messages of this type that have no topic.
    #[must_use]
    pub fn new() -> Self {
        Self::from_tag(tag_of::<M>(""))
    }

    /// Selects the messages that are sent to an [`address`](Self::address) of the same topic. With topics, messages of
    /// one type can be distinguished by purpose, and some can be received before others.
    #[must_use]
    pub fn topic(topic: &str) -> Self {
        Self::from_tag(tag_of::<M>(topic))
    }

    fn from_tag(tag: u64) -> Self {
        Self {
            tag,
            message: PhantomData,
        }
    }

    /// Returns the address for messages to this mailbox.
    #[must_use]
    pub fn address(&self) -> Address<M> {
        Address::from_parts(this_process(), self.tag)
    }

    /// Receives the oldest message; waits while there is none.
    ///
    /// # Panics
    ///
    /// If the message is not an `M`. This can only happen if the sender's address was deserialized as an address of
    /// another type, or if two types have the same name.
    pub fn receive(&self) -> M {
        match self.take(codes::NO_TIMEOUT) {
            Ok(Ok(message)) => message,
            Ok(Err(error)) => cannot_decode(&error),
            Err(refused) => unexpected(refused),
        }
    }

    /// Receives the oldest message without waiting.
    ///
    /// # Errors
    ///
    /// [`TryReceiveError::Empty`] if there is none; [`TryReceiveError::Decode`] if the message is not an `M`; it is
    /// lost then.
    pub fn try_receive(&self) -> Result<M, TryReceiveError> {
        match self.take(0) {
            Ok(message) => message.map_err(TryReceiveError::Decode),
            Err(refused) => Err(TryReceiveError::from_refused(refused)),
        }
    }

    /// Receives the oldest message; waits for at most `timeout` while there is none.
    ///
    /// # Errors
    ///
    /// [`ReceiveTimeoutError::TimedOut`] if no message came; [`ReceiveTimeoutError::Decode`] if the message is not an
    /// `M`; it is lost then.
    pub fn receive_timeout(&self, timeout: Duration) -> Result<M, ReceiveTimeoutError> {
        match self.take(host::timeout_ns(timeout)) {
            Ok(message) => message.map_err(ReceiveTimeoutError::Decode),
            Err(Refused::Empty) => Err(ReceiveTimeoutError::TimedOut),
            Err(refused) => Err(ReceiveTimeoutError::from_refused(refused)),
        }
    }

    /// Receives the oldest message; waits while there is none, as a future for [`block_on`](crate::task::block_on).
    ///
    /// # Errors
    ///
    /// [`DecodeError`] if the message is not an `M`; it is lost then.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, no message is lost.
    pub async fn receive_async(&self) -> Result<M, DecodeError> {
        let mut wait = Wait::default();
        poll_fn(|context| match self.take(0) {
            Ok(decoded) => Poll::Ready(decoded),
            Err(Refused::Empty) => {
                wait.for_mail(self.tag, context.waker());
                Poll::Pending
            }
            Err(refused) => unexpected(refused),
        })
        .await
    }

    fn take(&self, timeout_ns: u64) -> Result<Result<M, DecodeError>, Refused> {
        host::mail::receive(&[self.tag], timeout_ns, |_, bytes| {
            codec::decode::<DefaultCodec, M>(bytes)
        })
    }

    /// Receives the oldest mail that is a message of this type or a notification about another process; waits while
    /// there is none.
    ///
    /// # Panics
    ///
    /// As for [`receive`](Self::receive).
    pub fn receive_mail(&self) -> Mail<M> {
        match self.take_mail(codes::NO_TIMEOUT) {
            Ok(mail) => mail,
            Err(refused) => unexpected(refused),
        }
    }

    /// Receives mail as [`receive_mail`](Self::receive_mail) does, but waits for at most `timeout`. With a timeout of
    /// zero it does not wait.
    ///
    /// # Panics
    ///
    /// As for [`receive`](Self::receive).
    pub fn receive_mail_timeout(&self, timeout: Duration) -> Option<Mail<M>> {
        match self.take_mail(host::timeout_ns(timeout)) {
            Ok(mail) => Some(mail),
            Err(Refused::Empty | Refused::TimedOut) => None,
            Err(refused) => unexpected(refused),
        }
    }

    fn take_mail(&self, timeout_ns: u64) -> Result<Mail<M>, Refused> {
        host::mail::receive(&[self.tag, TAG_SIGNAL], timeout_ns, |header, bytes| {
            read_signal(header, bytes).unwrap_or_else(|| match codec::decode::<DefaultCodec, M>(bytes) {
                Ok(message) => Mail::Message(message),
                Err(error) => cannot_decode(&error),
            })
        })
    }

    pub(crate) fn tag(&self) -> u64 {
        self.tag
    }
}

/// Decodes mail that is a signal; `None` if it is a message.
pub(crate) fn read_signal<M>(header: &Header, bytes: &[u8]) -> Option<Mail<M>> {
    let from = Process::from_raw(header.from);
    let reason = || ExitReason::from_bytes(bytes);
    match header.kind {
        mail::EXIT => Some(Mail::Exit { from, reason: reason() }),
        mail::DOWN => Some(Mail::Down {
            monitor: Monitor::from_parts(header.reference, from),
            reason: reason(),
        }),
        _ => None,
    }
}

impl<M: Message> Default for Mailbox<M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M> fmt::Debug for Mailbox<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mailbox<{}>", std::any::type_name::<M>())
    }
}

/// The destination of messages of type `M`: the mailbox of a process.
///
/// Like a [`Process`] handle, an address is `Copy` and can be captured and sent.
#[derive(Serialize)]
#[serde(bound = "")]
pub struct Address<M> {
    process: Process,
    tag: u64,
    #[serde(skip)]
    message: PhantomData<fn(M)>,
}

impl<'de, M> Deserialize<'de> for Address<M> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Parts {
            process: Process,
            tag: u64,
        }

        let Parts { process, tag } = codec::handle::named::<Self, _, _>(deserializer)?;
        Ok(Self {
            process,
            tag,
            message: PhantomData,
        })
    }
}

impl<M: Message> Address<M> {
    /// Returns the address for messages of this type, without a topic, to a process.
    #[must_use]
    pub fn of(process: Process) -> Self {
        Self::from_parts(process, tag_of::<M>(""))
    }

    pub(crate) fn from_parts(process: Process, tag: u64) -> Self {
        Self {
            process,
            tag,
            message: PhantomData,
        }
    }

    /// Returns the process that the mailbox belongs to.
    #[must_use]
    pub fn process(&self) -> Process {
        self.process
    }

    /// Sends a message without waiting. If the process has exited or its mailbox is full, the message is dropped, as in
    /// Erlang; [`try_send`](Self::try_send) returns that as an error.
    ///
    /// # Panics
    ///
    /// If the message cannot be encoded, or the host has no room for it.
    pub fn send(&self, message: M) {
        match self.try_send(message) {
            Ok(()) | Err(TrySendError::Closed(_) | TrySendError::Full(_)) => {}
            Err(error) => panic!("cannot send to {self}: {}", crate::chain(&error)),
        }
    }

    /// Sends a message without waiting.
    ///
    /// # Errors
    ///
    /// [`TrySendError`], which gives the message back: `Closed` if the process has exited, `Full` if its mailbox is
    /// full.
    pub fn try_send(&self, message: M) -> Result<(), TrySendError<M>> {
        let mut bytes = Scratch::new();
        if let Err(error) = codec::encode::<DefaultCodec, M>(&message, &mut bytes) {
            return Err(TrySendError::Encode(message, error));
        }
        let send = |bytes: &[u8]| host::mail::send(self.raw(), self.tag, bytes);
        match handover::deliver(&bytes, Receiver::Process(self.raw()), send) {
            Ok(()) => Ok(()),
            Err(refused) => Err(TrySendError::from_refused(refused, message)),
        }
    }

    pub(crate) fn raw(&self) -> RawHandle {
        self.process.raw()
    }

    pub(crate) fn tag(&self) -> u64 {
        self.tag
    }
}

impl<M> Clone for Address<M> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<M> Copy for Address<M> {}

impl<M> PartialEq for Address<M> {
    fn eq(&self, other: &Self) -> bool {
        (self.process, self.tag) == (other.process, other.tag)
    }
}

impl<M> Eq for Address<M> {}

impl<M> Hash for Address<M> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.process, self.tag).hash(state);
    }
}

/// Displayed as the process: `#17`.
impl<M> fmt::Display for Address<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.process.fmt(f)
    }
}

impl<M> fmt::Debug for Address<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address<{}>({})", std::any::type_name::<M>(), self.process)
    }
}

#[cold]
fn cannot_decode(error: &DecodeError) -> ! {
    panic!("cannot receive from the mailbox: {}", crate::chain(error))
}

#[cold]
pub(crate) fn unexpected(refused: Refused) -> ! {
    panic!("the host refused a call on a mailbox: {refused:?}")
}

#[cfg(test)]
mod tests {
    use lunatic_sys::codes::REFERENCE_BIT;

    use super::*;

    #[test]
    fn tags_differ_by_type_and_topic_and_are_neither_the_hosts_nor_references() {
        let tags = [
            tag_of::<u8>(""),
            tag_of::<u16>(""),
            tag_of::<u8>("urgent"),
            tag_of::<String>(""),
        ];
        for (place, tag) in tags.iter().enumerate() {
            assert!(*tag >= 16 && tag & REFERENCE_BIT == 0);
            assert!(!tags[..place].contains(tag));
        }
    }
}
