//! Codecs: how messages are written as bytes.
//!
//! A message is copied from one memory to another, so it must become bytes. A [`Codec`] defines how. The codec is part
//! of the type of a [`Channel`](crate::Channel), so both sides agree. [`Bincode`] is the default.
//!
//! | codec | feature | for |
//! |---|---|---|
//! | [`Bincode`] | `bincode` (default) | speed: numbers are copied as they are |
//! | `Json` | `json` | reading messages while debugging, guests in other languages |
//! | `MsgPack` | `msgpack` | guests in other languages, messages that travel far |

#[cfg(feature = "bincode")]
mod bincode;
pub(crate) mod handle;
#[cfg(feature = "json")]
mod json;
#[cfg(feature = "msgpack")]
mod msgpack;

use std::any::type_name;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

#[cfg(feature = "bincode")]
pub use self::bincode::Bincode;
#[cfg(feature = "json")]
pub use self::json::Json;
#[cfg(feature = "msgpack")]
pub use self::msgpack::MsgPack;
pub use crate::host::{Scratch, TooLarge};
use crate::net::handover;

/// The default codec of channels, and the codec of mailboxes.
#[cfg(feature = "bincode")]
pub type DefaultCodec = Bincode;
/// The default codec of channels, and the codec of mailboxes.
#[cfg(all(feature = "msgpack", not(feature = "bincode")))]
pub type DefaultCodec = MsgPack;
/// The default codec of channels, and the codec of mailboxes.
#[cfg(all(feature = "json", not(feature = "bincode"), not(feature = "msgpack")))]
pub type DefaultCodec = Json;
#[cfg(not(any(feature = "bincode", feature = "msgpack", feature = "json")))]
compile_error!("lunatic needs a codec for messages: enable one of the features `bincode`, `msgpack`, `json`");

/// Why a value cannot be encoded or decoded.
pub type Cause = Box<dyn Error + Send + Sync>;

/// The same in errors, which can be cloned.
type SharedCause = Arc<dyn Error + Send + Sync>;

/// A format for messages.
///
/// An implementation is a type without values, used as the second type parameter of [`Channel`](crate::Channel).
pub trait Codec {
    /// Encodes `value` and appends the bytes to `to`.
    ///
    /// # Errors
    ///
    /// The reason, if the value cannot be encoded in this format.
    fn encode<T: Serialize + ?Sized>(value: &T, to: &mut Scratch) -> Result<(), Cause>;

    /// Decodes a value from all bytes of `from`.
    ///
    /// # Errors
    ///
    /// The reason, if the bytes are not a `T`, or contain more than a `T`. The bytes are not trusted: whatever they
    /// are, decoding must neither panic nor allocate out of proportion to their number.
    fn decode<T: DeserializeOwned>(from: &[u8]) -> Result<T, Cause>;
}

/// Encodes a message, with an error that names its type. The sockets in it are noted in `to`, to be handed over.
#[inline]
pub(crate) fn encode<C: Codec, T: Serialize>(value: &T, to: &mut Scratch) -> Result<(), EncodeError> {
    handover::forget();
    match C::encode(value, to) {
        Ok(()) => {
            to.sockets = handover::noted();
            Ok(())
        }
        Err(cause) => Err(EncodeError::new::<T>(cause)),
    }
}

/// Encodes a message that may go to several processes, or to none yet. It must not contain sockets.
pub(crate) fn encode_for_many<C: Codec, T: Serialize>(value: &T, to: &mut Scratch) -> Result<(), EncodeError> {
    encode::<C, T>(value, to)?;
    if to.sockets.is_empty() {
        return Ok(());
    }
    let cause = "it contains a socket, which can only be sent to a channel or to the mailbox of one process";
    Err(EncodeError::new::<T>(cause.into()))
}

/// Decodes a message, with an error that names its type.
#[inline]
pub(crate) fn decode<C: Codec, T: DeserializeOwned>(from: &[u8]) -> Result<T, DecodeError> {
    match C::decode(from) {
        Ok(value) => Ok(value),
        Err(cause) => Err(DecodeError::new::<T>(cause, from.len())),
    }
}

/// The error for bytes that follow the value.
#[cfg(any(feature = "bincode", feature = "msgpack"))]
#[cold]
fn trailing(len: usize) -> Cause {
    format!("left over after it: {}", bytes(len)).into()
}

/// A number of bytes, in words.
fn bytes(len: usize) -> String {
    match len {
        1 => "1 byte".to_owned(),
        _ => format!("{len} bytes"),
    }
}

/// A value cannot be encoded in the format of its channel.
///
/// Two errors are equal if they are about the same type and their causes have the same text.
#[derive(Clone, Debug)]
pub struct EncodeError {
    type_name: &'static str,
    cause: SharedCause,
}

impl PartialEq for EncodeError {
    fn eq(&self, other: &Self) -> bool {
        self.type_name == other.type_name && self.cause.to_string() == other.cause.to_string()
    }
}

impl Eq for EncodeError {}

impl EncodeError {
    #[cold]
    fn new<T>(cause: Cause) -> Self {
        Self {
            type_name: type_name::<T>(),
            cause: cause.into(),
        }
    }

    /// Returns the name of the value's type.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        self.type_name
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot encode this `{}` as a message", self.type_name)
    }
}

impl Error for EncodeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.cause)
    }
}

/// The bytes of a message are not a value of the expected type.
///
/// Two errors are equal if they are about the same type and as many bytes, and their causes have the same text.
#[derive(Clone, Debug)]
pub struct DecodeError {
    type_name: &'static str,
    len: usize,
    cause: SharedCause,
}

impl PartialEq for DecodeError {
    fn eq(&self, other: &Self) -> bool {
        (self.type_name, self.len) == (other.type_name, other.len) && self.cause.to_string() == other.cause.to_string()
    }
}

impl Eq for DecodeError {}

impl DecodeError {
    #[cold]
    fn new<T>(cause: Cause, len: usize) -> Self {
        Self {
            type_name: type_name::<T>(),
            len,
            cause: cause.into(),
        }
    }

    /// Returns the name of the expected type.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        self.type_name
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a message of {} is not a `{}`", bytes(self.len), self.type_name)
    }
}

impl Error for DecodeError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.cause)
    }
}

/// The checks that every codec must pass.
#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fmt::Debug;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Shape {
        Empty,
        Circle(f64),
        Named { name: String, corners: Vec<(i32, i32)> },
    }

    fn bytes_of<C: Codec>(value: &(impl Serialize + ?Sized)) -> Vec<u8> {
        let mut scratch = Scratch::new();
        C::encode(value, &mut scratch).unwrap();
        scratch.as_slice().to_vec()
    }

    fn same<C: Codec, T: Serialize + DeserializeOwned + PartialEq + Debug>(value: T) {
        assert_eq!(decode::<C, T>(&bytes_of::<C>(&value)).unwrap(), value);
    }

    fn check<C: Codec>() {
        same::<C, _>(());
        same::<C, _>((i32::MIN, u64::MAX, true, 'ü'));
        same::<C, _>([0.5_f32; 7]);
        same::<C, _>(Some("text".to_owned()));
        same::<C, _>(vec![Shape::Empty, Shape::Circle(1.5)]);
        same::<C, _>(Shape::Named {
            name: "square".into(),
            corners: vec![(0, 0), (1, -1)],
        });
        same::<C, _>(BTreeMap::from([
            ("one".to_owned(), vec![1_u8]),
            ("two".to_owned(), vec![]),
        ]));
        // Larger than what stays on the stack.
        same::<C, _>("long".repeat(1_000));
        same::<C, _>((0..10_000).collect::<Vec<u32>>());

        // Any prefix of a message is an error, and so is a message with more behind it.
        let whole = bytes_of::<C>(&Shape::Named {
            name: "half".into(),
            corners: vec![(1, 2)],
        });
        for len in 0..whole.len() {
            let error = decode::<C, Shape>(&whole[..len]).unwrap_err();
            assert!(error.to_string().contains("Shape"), "{error}");
            assert!(error.source().is_some());
        }
        let longer = [&whole[..], &whole].concat();
        assert!(decode::<C, Shape>(&longer).is_err());

        // Noise is an error or a value, and never more.
        let mut state = 1_u64;
        for len in 0..500 {
            let noise: Vec<u8> = (0..len)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (state >> 56) as u8
                })
                .collect();
            let _ = decode::<C, Shape>(&noise);
            let _ = decode::<C, Vec<String>>(&noise);
            let _ = decode::<C, BTreeMap<String, Vec<u64>>>(&noise);
        }
    }

    #[cfg(feature = "bincode")]
    #[test]
    fn bincode() {
        check::<Bincode>();
    }

    #[cfg(feature = "json")]
    #[test]
    fn json() {
        check::<Json>();
    }

    #[cfg(feature = "msgpack")]
    #[test]
    fn msgpack() {
        check::<MsgPack>();
    }

    #[test]
    fn errors_name_the_type() {
        let error = DecodeError::new::<(i32, i64)>("why".into(), 3);
        assert_eq!(error.to_string(), "a message of 3 bytes is not a `(i32, i64)`");
        assert_eq!(error.type_name(), "(i32, i64)");
        assert_eq!(error.source().unwrap().to_string(), "why");

        let error = EncodeError::new::<u8>("why".into());
        assert_eq!(error.to_string(), "cannot encode this `u8` as a message");
        assert_eq!(error.type_name(), "u8");
        assert_eq!(error.source().unwrap().to_string(), "why");
    }
}
