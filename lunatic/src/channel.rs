//! Channels: queues of messages that processes share by handle.

mod error;
mod message;

use std::fmt;
use std::future::poll_fn;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::task::Poll;
use std::time::Duration;

pub use error::{ReceiveError, ReceiveTimeoutError, SendTimeoutError, TryReceiveError, TrySendError};
use lunatic_sys::codes;
use lunatic_sys::layout::RawHandle;
pub use message::{Message, Sendable};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::codec::handle::Raw;
use crate::codec::{self, Codec, DecodeError, DefaultCodec, EncodeError, Scratch};
use crate::host::net::Receiver;
use crate::host::{self, Refused};
use crate::net::handover;
use crate::task::waits::Wait;

/// A handle of a queue of messages of type `T`.
///
/// Any process that has the handle can send and receive. Each message is received once, by one process. Messages from
/// one sender arrive in the order in which it sent them.
///
/// The handle is `Copy` whatever `T` is: capture it in closures, keep it in maps, send it through other channels.
/// Dropping it does not close the channel.
///
/// # Ownership and closing
///
/// A channel belongs to the process that made it. When that process exits, for whatever reason, the channel closes and
/// the messages in it are lost. On a closed channel:
///
/// - [`send`](Self::send) drops the message and returns, as in Erlang, where sending to a process that has exited is
///   not an error: the message is of no use any more, and the sender usually cannot know. Use
///   [`try_send`](Self::try_send) or [`send_timeout`](Self::send_timeout) to find out.
/// - [`receive`](Self::receive) panics, because no message will ever come. All other ways to receive return an error.
/// - Processes that wait to send or to receive stop waiting.
///
/// # Other nodes
///
/// A channel works on all nodes of a cluster, and lives on the [node](crate::node) of the process that made it. On another
/// node, each send and receive waits for the answer of that node, even if it does not wait for room or for a message:
/// [`try_send`](Self::try_send), [`try_receive`](Self::try_receive) and timeouts return after the answer, or when the node is
/// lost. Then the channel is closed as far as this node is concerned, until the nodes are connected again. The messages of
/// one process stay in order, and none is lost or doubled while the nodes are connected.
///
/// # Messages
///
/// A message can be of any type that serde can serialize and deserialize ([`Message`]). It is copied, because sender
/// and receiver have no memory in common. The [`Codec`] `C` defines how it is written as bytes; choose another one with
/// [`with_codec`](Channel::with_codec).
///
/// A `Channel<T>` only ever sends a `T`. But another handle of the same channel may have been sent as another type, or
/// belong to a program in which `T` differs. If received bytes are not a `T`, the result is an error that names the
/// type. That message is lost, and the channel goes on working.
///
/// # Panics
///
/// [`send`](Self::send) and [`receive`](Self::receive) panic if the program makes a mistake: if the host never gave out
/// the handle, if a message cannot be encoded or decoded as a `T`, or if it is larger than 256 MiB. All other methods
/// return these as errors.
///
/// # Examples
///
/// ```no_run
/// use lunatic::{Channel, Process};
///
/// let words = Channel::<String>::new(8);
/// Process::spawn(move || {
///     for word in ["to", "be"] {
///         words.send(word.to_owned());
///     }
/// })
/// .unwrap();
/// assert_eq!((words.receive(), words.receive()), ("to".to_owned(), "be".to_owned()));
/// ```
pub struct Channel<T, C = DefaultCodec> {
    id: u64,
    key: u64,
    /// The channel takes and returns `T` without owning one, so the handle is `Send`, `Sync` and `Copy` for every `T`.
    message: PhantomData<fn(T, C) -> T>,
}

impl<T> Channel<T> {
    /// Makes a channel that the calling process owns.
    ///
    /// At most `bound` messages wait in the channel; senders wait while it is full. With 0 there is no bound except the
    /// host's memory.
    ///
    /// # Panics
    ///
    /// If the host has no room for another channel. [`try_new`](Self::try_new) returns that as an error.
    #[must_use]
    pub fn new(bound: usize) -> Self
    where
        T: Message,
    {
        Self::with_codec(bound)
    }

    /// Makes a channel as [`new`](Self::new) does, and returns an error if the host has no room for it.
    ///
    /// # Errors
    ///
    /// [`NewChannelError`] names the limit.
    pub fn try_new(bound: usize) -> Result<Self, NewChannelError>
    where
        T: Message,
    {
        Self::try_with_codec(bound)
    }
}

impl<T, C: Codec> Channel<T, C> {
    /// Makes a channel as [`new`](Channel::new) does, for messages in the format of the codec `C`.
    ///
    /// # Panics
    ///
    /// As for [`new`](Channel::new).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # #[cfg(feature = "json")] {
    /// use lunatic::Channel;
    /// use lunatic::codec::Json;
    ///
    /// let readable = Channel::<(u32, String), Json>::with_codec(0);
    /// # }
    /// ```
    #[must_use]
    pub fn with_codec(bound: usize) -> Self
    where
        T: Message,
    {
        Self::try_with_codec(bound).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Makes a channel as [`with_codec`](Self::with_codec) does, and returns an error if the host has no room for it.
    ///
    /// # Errors
    ///
    /// [`NewChannelError`] names the limit.
    pub fn try_with_codec(bound: usize) -> Result<Self, NewChannelError>
    where
        T: Message,
    {
        match host::channel_new(bound as u64) {
            Ok(RawHandle { id, key }) => Ok(Self::from_parts(id, key)),
            Err(Refused::Limit) => Err(NewChannelError { limit: host::limit() }),
            Err(other) => panic!("the host refused to make a channel: {other:?}"),
        }
    }

    /// Sends a message; waits while the channel is full. If the channel is closed, the message is dropped.
    ///
    /// # Panics
    ///
    /// See [`Channel`](Self#panics). Also panics if the host has no room for the message.
    #[inline]
    pub fn send(&self, message: T)
    where
        T: Sendable,
    {
        let mut bytes = Scratch::new();
        if let Err(error) = codec::encode::<C, T>(&message, &mut bytes) {
            self.cannot_encode(error);
        }
        match handover::deliver(&bytes, self.receiver(), |bytes| host::try_send(self.raw(), bytes)) {
            Ok(()) => {}
            Err(refused) => self.send_refused(refused, &bytes),
        }
    }

    /// The rest of [`send`](Self::send), for a message that could not be sent immediately.
    #[cold]
    fn send_refused(&self, refused: Refused, bytes: &Scratch) {
        let refused = match refused {
            Refused::Full => match handover::deliver(bytes, self.receiver(), |bytes| {
                host::send(self.raw(), bytes, codes::NO_TIMEOUT)
            }) {
                Ok(()) => return,
                Err(refused) => refused,
            },
            refused => refused,
        };
        match refused {
            Refused::Closed => {}
            Refused::Limit => panic!("channel {self} cannot take a message: {}", host::limit()),
            other => self.refused(other),
        }
    }

    /// Sends a message without waiting.
    ///
    /// # Errors
    ///
    /// [`TrySendError`], which gives the message back.
    #[inline]
    pub fn try_send(&self, message: T) -> Result<(), TrySendError<T>>
    where
        T: Sendable,
    {
        let mut bytes = Scratch::new();
        if let Err(error) = codec::encode::<C, T>(&message, &mut bytes) {
            return Err(TrySendError::Encode(message, error));
        }
        match handover::deliver(&bytes, self.receiver(), |bytes| host::try_send(self.raw(), bytes)) {
            Ok(()) => Ok(()),
            Err(refused) => Err(TrySendError::from_refused(refused, message)),
        }
    }

    /// Sends a message; waits for at most `timeout` while the channel is full. [`Duration::MAX`] waits for ever.
    ///
    /// # Errors
    ///
    /// [`SendTimeoutError`], which gives the message back.
    pub fn send_timeout(&self, message: T, timeout: Duration) -> Result<(), SendTimeoutError<T>>
    where
        T: Sendable,
    {
        let mut bytes = Scratch::new();
        if let Err(error) = codec::encode::<C, T>(&message, &mut bytes) {
            return Err(SendTimeoutError::Encode(message, error));
        }
        let send = |bytes: &[u8]| host::send(self.raw(), bytes, host::timeout_ns(timeout));
        match handover::deliver(&bytes, self.receiver(), send) {
            Ok(()) => Ok(()),
            Err(refused) => Err(SendTimeoutError::from_refused(refused, message)),
        }
    }

    /// Receives the oldest message; waits while there is none.
    ///
    /// # Panics
    ///
    /// If the channel is closed; see also [`Channel`](Self#panics). [`receive_checked`](Self::receive_checked) returns
    /// these as errors.
    #[inline]
    pub fn receive(&self) -> T
    where
        T: Sendable,
    {
        match host::receive(self.raw(), codes::NO_TIMEOUT, codec::decode::<C, T>) {
            Ok(Ok(message)) => message,
            Ok(Err(error)) => self.cannot_decode(error),
            Err(refused) => self.refused(refused),
        }
    }

    /// Receives a message as [`receive`](Self::receive) does, and never panics.
    ///
    /// # Errors
    ///
    /// [`ReceiveError`] gives the reason.
    #[inline]
    pub fn receive_checked(&self) -> Result<T, ReceiveError>
    where
        T: Sendable,
    {
        match host::receive(self.raw(), codes::NO_TIMEOUT, codec::decode::<C, T>) {
            Ok(Ok(message)) => Ok(message),
            Ok(Err(error)) => Err(ReceiveError::Decode(error)),
            Err(refused) => Err(ReceiveError::from_refused(refused)),
        }
    }

    /// Receives the oldest message without waiting.
    ///
    /// # Errors
    ///
    /// [`TryReceiveError`] gives the reason.
    #[inline]
    pub fn try_receive(&self) -> Result<T, TryReceiveError>
    where
        T: Sendable,
    {
        match host::try_receive(self.raw(), codec::decode::<C, T>) {
            Ok(Ok(message)) => Ok(message),
            Ok(Err(error)) => Err(TryReceiveError::Decode(error)),
            Err(refused) => Err(TryReceiveError::from_refused(refused)),
        }
    }

    /// Receives the oldest message; waits for at most `timeout` while there is none. [`Duration::MAX`] waits for ever.
    ///
    /// # Errors
    ///
    /// [`ReceiveTimeoutError`] gives the reason.
    #[inline]
    pub fn receive_timeout(&self, timeout: Duration) -> Result<T, ReceiveTimeoutError>
    where
        T: Sendable,
    {
        match host::receive(self.raw(), host::timeout_ns(timeout), codec::decode::<C, T>) {
            Ok(Ok(message)) => Ok(message),
            Ok(Err(error)) => Err(ReceiveTimeoutError::Decode(error)),
            Err(refused) => Err(ReceiveTimeoutError::from_refused(refused)),
        }
    }

    /// Receives the oldest message; waits while there is none, as a future for [`block_on`](crate::task::block_on).
    ///
    /// # Errors
    ///
    /// [`ReceiveError`] gives the reason.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, no message is lost.
    pub async fn receive_async(self) -> Result<T, ReceiveError>
    where
        T: Sendable,
    {
        let mut wait = Wait::default();
        poll_fn(|context| {
            let received = host::try_receive(self.raw(), codec::decode::<C, T>);
            Poll::Ready(match received {
                Ok(decoded) => decoded.map_err(ReceiveError::Decode),
                Err(Refused::Empty) => {
                    wait.for_channel(self.raw(), context.waker());
                    return Poll::Pending;
                }
                Err(refused) => Err(ReceiveError::from_refused(refused)),
            })
        })
        .await
    }

    #[cold]
    fn cannot_encode(&self, error: EncodeError) -> ! {
        panic!("cannot send to channel {self}: {}", crate::chain(&error))
    }

    #[cold]
    fn cannot_decode(&self, error: DecodeError) -> ! {
        panic!("cannot receive from channel {self}: {}", crate::chain(&error))
    }
}

impl<T, C> Channel<T, C> {
    /// Returns the first half of the handle, a number that no other channel of this host ever has.
    /// [`Display`](fmt::Display) shows the channel as the host's reports do.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    fn from_parts(id: u64, key: u64) -> Self {
        Self {
            id,
            key,
            message: PhantomData,
        }
    }

    #[inline]
    pub(crate) fn raw(&self) -> RawHandle {
        RawHandle {
            id: self.id,
            key: self.key,
        }
    }

    /// The process that sockets in a message belong to until the message is received.
    #[inline]
    fn receiver(&self) -> Receiver {
        Receiver::ChannelOwner(self.raw())
    }

    /// The panics of [`send`](Self::send) and [`receive`](Self::receive).
    #[cold]
    fn refused(&self, refused: Refused) -> ! {
        match refused {
            Refused::Closed => panic!("channel {self} is closed: the process that made it has ended"),
            Refused::Limit => panic!("cannot receive from channel {self}: {}", host::limit()),
            Refused::Invalid => panic!("{self} is not a channel: the handle was not given out by this host"),
            other => panic!("the host refused a call on channel {self}: {other:?}"),
        }
    }
}

impl<T, C> Clone for Channel<T, C> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, C> Copy for Channel<T, C> {}

impl<T, C> PartialEq for Channel<T, C> {
    fn eq(&self, other: &Self) -> bool {
        self.raw() == other.raw()
    }
}

impl<T, C> Eq for Channel<T, C> {}

impl<T, C> Hash for Channel<T, C> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.raw().hash(state);
    }
}

/// Displayed as `#3`.
impl<T, C> fmt::Display for Channel<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        crate::process::write_handle(f, self.raw())
    }
}

impl<T, C> fmt::Debug for Channel<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Channel({self})")
    }
}

impl<T, C> Serialize for Channel<T, C> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        codec::handle::serialize(self.raw(), serializer)
    }
}

impl<'de, T, C> Deserialize<'de> for Channel<T, C> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Raw(RawHandle { id, key }) = codec::handle::named::<Self, _, _>(deserializer)?;
        Ok(Self::from_parts(id, key))
    }
}

/// The error of [`Channel::try_new`]: the host has no room for another channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewChannelError {
    limit: String,
}

impl fmt::Display for NewChannelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the host has no room for another channel: {}", self.limit)
    }
}

impl std::error::Error for NewChannelError {}

#[cfg(test)]
mod tests {
    use super::*;

    /// A handle as the host would give it out.
    fn channel<T>() -> Channel<T> {
        Channel::from_parts(3, 0xdead)
    }

    #[test]
    fn handles_are_small_and_free_to_copy_for_every_type() {
        struct NotCopy(#[expect(dead_code)] std::rc::Rc<u8>);
        fn check<T: Copy + Send + Sync + 'static>(_: T) {}
        check(channel::<NotCopy>());
        check(channel::<*mut u8>());
        assert_eq!(size_of::<Channel<String>>(), lunatic_sys::layout::RAW_HANDLE_SIZE);
    }

    #[test]
    fn handles_cross_channels() {
        let inner = channel::<String>();
        let mut bytes = Scratch::new();
        codec::encode::<codec::DefaultCodec, _>(&inner, &mut bytes).unwrap();
        let back: Channel<String> = codec::decode::<codec::DefaultCodec, _>(bytes.as_slice()).unwrap();
        assert_eq!(back, inner);
    }

    #[test]
    fn prints_its_number_only() {
        assert_eq!(channel::<u8>().to_string(), "#3");
        assert_eq!(format!("{:?}", channel::<u8>()), "Channel(#3)");
    }

    #[test]
    #[should_panic(expected = "channel #3 is closed: the process that made it has ended")]
    fn receiving_from_a_closed_channel_says_so() {
        channel::<u8>().refused(Refused::Closed);
    }

    #[test]
    #[should_panic(expected = "cannot receive from channel #3: a message of 1 byte is not a `u32`: ")]
    fn receiving_nonsense_says_so() {
        let error = codec::decode::<codec::DefaultCodec, u32>(&[1]).unwrap_err();
        channel::<u32>().cannot_decode(error);
    }

    #[test]
    #[should_panic(expected = "cargo lunatic run")]
    fn other_targets_say_what_to_do() {
        channel().send(1_u8);
    }
}
