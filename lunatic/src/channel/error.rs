//! Why a message was not sent or not received.

use std::error::Error;
use std::fmt;

use crate::codec::{DecodeError, EncodeError};
use crate::host::{self, Refused};

const CLOSED: &str = "the channel is closed: the process that made it has ended";
const INVALID: &str = "the channel does not exist: its handle was not given out by this host";

#[cold]
fn unexpected(refused: Refused) -> ! {
    panic!("the host refused a call on a channel: {refused:?}")
}

/// Declares an error of sending: the variants that all of them have, and the one that differs.
macro_rules! send_error {
    ($(#[$doc:meta])* $name:ident, $(#[$own_doc:meta])* $own:ident: $text:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum $name<T> {
            $(#[$own_doc])*
            $own(T),
            /// The channel is closed: the process that made it has exited, or its node is not connected.
            Closed(T),
            /// The host never gave out the handle.
            Invalid(T),
            /// The host has no room for the message; the text names the limit.
            Limit(T, String),
            /// The message cannot be encoded in the format of the channel, or its bytes exceed 256 MiB.
            Encode(T, EncodeError),
            /// The message contains a socket, and the receiver is on another node: sockets do not travel.
            Stays(T),
        }

        impl<T> $name<T> {
            #[cold]
            pub(crate) fn from_refused(refused: Refused, message: T) -> Self {
                match refused {
                    Refused::$own => Self::$own(message),
                    Refused::Closed => Self::Closed(message),
                    Refused::Invalid => Self::Invalid(message),
                    Refused::Limit => Self::Limit(message, host::limit()),
                    Refused::ByNode => Self::Stays(message),
                    other => unexpected(other),
                }
            }

            /// Returns the message that was not sent.
            pub fn into_message(self) -> T {
                match self {
                    Self::$own(message)
                    | Self::Closed(message)
                    | Self::Invalid(message)
                    | Self::Stays(message)
                    | Self::Limit(message, _)
                    | Self::Encode(message, _) => message,
                }
            }
        }

        impl<T> fmt::Display for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    Self::$own(_) => f.write_str($text),
                    Self::Closed(_) => f.write_str(CLOSED),
                    Self::Invalid(_) => f.write_str(INVALID),
                    Self::Limit(_, limit) => write!(f, "the host cannot accept the message: {limit}"),
                    Self::Encode(_, error) => error.fmt(f),
                    Self::Stays(_) => f.write_str("a socket cannot be sent to a process of another node"),
                }
            }
        }

        /// Omits the message, which may not implement [`Debug`](fmt::Debug).
        impl<T> fmt::Debug for $name<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    Self::$own(_) => concat!(stringify!($own), "(..)"),
                    Self::Closed(_) => "Closed(..)",
                    Self::Invalid(_) => "Invalid(..)",
                    Self::Stays(_) => "Stays(..)",
                    Self::Limit(_, limit) => return write!(f, "Limit(.., {limit:?})"),
                    Self::Encode(_, error) => return write!(f, "Encode(.., {error:?})"),
                })
            }
        }

        impl<T> Error for $name<T> {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                match self {
                    // `Display` shows this error itself, so its source comes next.
                    Self::Encode(_, error) => error.source(),
                    _ => None,
                }
            }
        }
    };
}

send_error! {
    /// Why [`try_send`](crate::Channel::try_send) did not send the message. Each variant gives the message back.
    TrySendError,
    /// The channel holds as many messages as its bound allows.
    Full: "the channel is full"
}

send_error! {
    /// Why [`send_timeout`](crate::Channel::send_timeout) did not send the message. Each variant gives the message
    /// back.
    SendTimeoutError,
    /// The channel was full until the timeout passed.
    TimedOut: "the channel was full until the timeout passed"
}

/// Declares an error of receiving: the variants that all of them have, and the one that differs.
macro_rules! receive_error {
    ($(#[$doc:meta])* $name:ident $(, $(#[$extra_doc:meta])* $extra:ident from $refused:ident: $text:literal)?) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum $name {
            $($(#[$extra_doc])* $extra,)?
            /// The channel is closed: the process that made it has exited, or its node is not connected, so no message will
            /// come.
            Closed,
            /// The host never gave out the handle.
            Invalid,
            /// The channel is on another node, and there is no memory for the wait, or too many processes of this node wait
            /// there.
            Limit,
            /// There was a message, but it is not of the channel's type. The message is lost; the channel goes on
            /// working.
            Decode(DecodeError),
        }

        impl $name {
            #[cold]
            pub(crate) fn from_refused(refused: Refused) -> Self {
                match refused {
                    $(Refused::$refused => Self::$extra,)?
                    Refused::Closed => Self::Closed,
                    Refused::Invalid => Self::Invalid,
                    Refused::Limit => Self::Limit,
                    other => unexpected(other),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$extra => f.write_str($text),)?
                    Self::Closed => f.write_str(CLOSED),
                    Self::Invalid => f.write_str(INVALID),
                    Self::Limit => f.write_str("too many processes wait on channels of the other node, or memory has run out"),
                    Self::Decode(error) => error.fmt(f),
                }
            }
        }

        impl Error for $name {
            fn source(&self) -> Option<&(dyn Error + 'static)> {
                match self {
                    // `Display` shows this error itself, so its source comes next.
                    Self::Decode(error) => error.source(),
                    _ => None,
                }
            }
        }
    };
}

receive_error! {
    /// Why [`receive_checked`](crate::Channel::receive_checked) did not return a message.
    ReceiveError
}

receive_error! {
    /// Why [`try_receive`](crate::Channel::try_receive) did not return a message.
    TryReceiveError,
    /// The channel is empty.
    Empty from Empty: "the channel is empty"
}

receive_error! {
    /// Why [`receive_timeout`](crate::Channel::receive_timeout) did not return a message.
    ReceiveTimeoutError,
    /// No message came before the timeout passed.
    TimedOut from TimedOut: "no message came before the timeout passed"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{self, DefaultCodec, Scratch};

    /// A value that serde refuses to serialize.
    struct Unwritable;

    impl serde::Serialize for Unwritable {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("not today"))
        }
    }

    #[test]
    fn sending_gives_the_message_back_and_the_reason() {
        macro_rules! check {
            ($error:expr, $debug:literal, $text:literal) => {
                let error = $error;
                assert_eq!(format!("{error:?}"), $debug);
                assert!(error.to_string().starts_with($text), "{error}");
                assert_eq!(error.into_message(), 7);
            };
        }
        macro_rules! check_all {
            ($name:ident, $own:ident, $debug:literal, $text:literal) => {
                check!($name::from_refused(Refused::$own, 7), $debug, $text);
                check!(
                    $name::from_refused(Refused::Closed, 7),
                    "Closed(..)",
                    "the channel is closed"
                );
                check!(
                    $name::from_refused(Refused::Invalid, 7),
                    "Invalid(..)",
                    "the channel does not exist"
                );
                check!(
                    $name::Limit(7, "too large".into()),
                    "Limit(.., \"too large\")",
                    "the host cannot accept"
                );
            };
        }
        check_all!(TrySendError, Full, "Full(..)", "the channel is full");
        check_all!(SendTimeoutError, TimedOut, "TimedOut(..)", "the channel was full until");
    }

    #[test]
    fn encoding_errors_are_sources() {
        let error = codec::encode::<DefaultCodec, _>(&Unwritable, &mut Scratch::new()).unwrap_err();
        let error = TrySendError::Encode((), error);
        assert!(error.to_string().contains("Unwritable"), "{error}");
        assert!(error.source().unwrap().to_string().contains("not today"));
    }

    #[test]
    fn errors_can_be_cloned_and_compared() {
        let error = |bytes: &[u8]| codec::decode::<DefaultCodec, u32>(bytes).unwrap_err();
        let one = TryReceiveError::Decode(error(&[]));
        assert_eq!(one.clone(), one);
        assert_eq!(one, TryReceiveError::Decode(error(&[])));
        assert_ne!(one, TryReceiveError::Decode(error(&[1])));
        assert_ne!(one, TryReceiveError::Empty);
        let encode = || codec::encode::<DefaultCodec, _>(&Unwritable, &mut Scratch::new()).unwrap_err();
        assert_eq!(
            TrySendError::Encode(7, encode()),
            TrySendError::Encode(7, encode()).clone()
        );
        assert_ne!(TrySendError::Full(7), TrySendError::Full(8));
    }

    #[test]
    fn receiving_tells_apart() {
        assert!(matches!(
            TryReceiveError::from_refused(Refused::Empty),
            TryReceiveError::Empty
        ));
        assert!(matches!(
            TryReceiveError::from_refused(Refused::Closed),
            TryReceiveError::Closed
        ));
        assert!(matches!(
            ReceiveError::from_refused(Refused::Invalid),
            ReceiveError::Invalid
        ));
        assert!(matches!(
            ReceiveTimeoutError::from_refused(Refused::TimedOut),
            ReceiveTimeoutError::TimedOut
        ));

        let error = codec::decode::<DefaultCodec, u32>(&[]).unwrap_err();
        let error = TryReceiveError::Decode(error);
        assert!(error.to_string().contains("`u32`"), "{error}");
        assert!(error.source().is_some());
    }
}
