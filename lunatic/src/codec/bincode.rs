//! The codec [`Bincode`].

use ::bincode::config::{Config, legacy};
use ::bincode::enc::write::Writer;
use ::bincode::error::{DecodeError, EncodeError};
use ::bincode::serde::{borrow_decode_from_slice, encode_into_writer};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Cause, Codec, Scratch, TooLarge, trailing};

/// The compact and fast format of the crate `bincode`, with little-endian numbers of fixed size and lengths as `u64`.
///
/// The format is not self-describing: sender and receiver must use the same type. `#[serde(untagged)]`,
/// `#[serde(tag = …)]` and `#[serde(flatten)]` need a self-describing format, such as `Json`.
#[derive(Clone, Copy, Debug)]
pub enum Bincode {}

/// Messages up to this length are small, in bytes. They are received without the heap.
const SMALL: usize = 512;
/// Messages up to this length are medium, in bytes. Longer ones are large.
const MEDIUM: usize = 1 << 20;
/// The length of the largest message, in bytes.
const LARGE: usize = lunatic_sys::codes::MESSAGE_LEN_MAX;

impl Codec for Bincode {
    #[inline]
    fn encode<T: Serialize + ?Sized>(value: &T, to: &mut Scratch) -> Result<(), Cause> {
        match encode_into_writer(value, Bytes(to), legacy()) {
            Ok(()) => Ok(()),
            Err(error) => Err(encode_cause(error)),
        }
    }

    // Damaged bytes may claim that a string of 4 GB follows, and bincode allocates before it checks. It accepts a limit
    // for the size of a value, but as part of the type of its configuration; so there is one configuration for each of
    // three sizes. A value takes exactly as many bytes as it was written with, so the limit never rejects a valid
    // message.
    #[inline]
    fn decode<T: DeserializeOwned>(from: &[u8]) -> Result<T, Cause> {
        let len = from.len();
        if len <= SMALL {
            decode_all(from, legacy().with_limit::<SMALL>())
        } else if len <= MEDIUM {
            decode_all(from, legacy().with_limit::<MEDIUM>())
        } else {
            decode_all(from, legacy().with_limit::<LARGE>())
        }
    }
}

#[inline]
fn decode_all<T: DeserializeOwned>(from: &[u8], config: impl Config) -> Result<T, Cause> {
    match borrow_decode_from_slice(from, config) {
        Ok((value, len)) if len == from.len() => Ok(value),
        Ok((_, len)) => Err(trailing(from.len() - len)),
        Err(error) => Err(decode_cause(error)),
    }
}

/// Replaces bincode's errors, which name its variants, by texts, for all errors that occur with serde's types.
#[cold]
fn encode_cause(error: EncodeError) -> Cause {
    match error {
        EncodeError::OtherString(reason) => reason.into(),
        EncodeError::Other(reason) => reason.into(),
        error => error.into(),
    }
}

/// Does the same as [`encode_cause`].
#[cold]
fn decode_cause(error: DecodeError) -> Cause {
    match error {
        DecodeError::OtherString(reason) => reason.into(),
        DecodeError::Other(reason) => reason.into(),
        DecodeError::UnexpectedEnd { .. } => "it ends too early".into(),
        DecodeError::LimitExceeded | DecodeError::OutsideUsizeRange(_) => {
            "a length in it is larger than the whole message".into()
        }
        DecodeError::Utf8 { inner } => inner.into(),
        DecodeError::InvalidBooleanValue(byte) => format!("a `bool` in it is {byte}, which is neither 0 nor 1").into(),
        DecodeError::InvalidCharEncoding(_) => "a `char` in it is invalid".into(),
        error => error.into(),
    }
}

#[cold]
fn too_large(error: TooLarge) -> EncodeError {
    EncodeError::OtherString(error.to_string())
}

struct Bytes<'a>(&'a mut Scratch);

impl Writer for Bytes<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        match self.0.extend(bytes) {
            Ok(()) => Ok(()),
            Err(error) => Err(too_large(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;
    use crate::codec::{decode, encode};

    fn check<T: Serialize>(value: T, expected: &[u8]) {
        let mut scratch = Scratch::new();
        encode::<Bincode, _>(&value, &mut scratch).unwrap();
        assert_eq!(scratch.as_slice(), expected);
    }

    #[test]
    fn format_is_what_the_docs_say() {
        check(1_i32, &[1, 0, 0, 0]);
        check((1_u8, 2_u16), &[1, 2, 0]);
        check("ab", &[2, 0, 0, 0, 0, 0, 0, 0, b'a', b'b']);
        check(None::<u32>, &[0]);
        check((), &[]);
    }

    #[test]
    fn damaged_lengths_ask_for_no_memory() {
        for len in [u64::MAX, u64::from(u32::MAX), 1 << 30, 3_000] {
            let error = decode::<Bincode, String>(&len.to_le_bytes()).unwrap_err();
            assert!(
                error
                    .to_string()
                    .contains("a message of 8 bytes is not a `alloc::string::String`"),
                "{error}"
            );
        }
    }

    #[test]
    fn limits_stop_nothing_that_is_right() {
        fn check<T: Serialize + DeserializeOwned + PartialEq>(value: T, len: usize) {
            let mut scratch = Scratch::new();
            encode::<Bincode, _>(&value, &mut scratch).unwrap();
            assert_eq!(scratch.as_slice().len(), len);
            assert!(decode::<Bincode, T>(scratch.as_slice()).unwrap() == value);
        }
        for len in [SMALL, MEDIUM] {
            // The first eight bytes are a length, or two of them.
            check(vec!['x'; len - 8], len);
            check("x".repeat(len - 8), len);
            check(vec![1_u8; len - 8], len);
            check(vec![Some(7_u8); (len - 8) / 2], len);
            check(vec!["x".repeat(len - 16)], len);
            check(vec![(1_u32, 2_u32); (len - 8) / 8], len);
        }
    }

    #[test]
    fn reasons_are_in_words() {
        fn check<T: DeserializeOwned>(bytes: &[u8], reason: &str) {
            let error = decode::<Bincode, T>(bytes).map(drop).unwrap_err();
            assert_eq!(error.source().unwrap().to_string(), reason);
        }
        check::<u32>(&[1, 2], "it ends too early");
        check::<String>(&[255; 8], "a length in it is larger than the whole message");
        check::<String>(
            &[1, 0, 0, 0, 0, 0, 0, 0, 255],
            "invalid utf-8 sequence of 1 bytes from index 0",
        );
        check::<bool>(&[7], "a `bool` in it is 7, which is neither 0 nor 1");
        check::<char>(&[255], "a `char` in it is invalid");
        check::<Result<u8, u8>>(&[9, 0, 0, 0, 0], "invalid value: integer `9`, expected `Ok` or `Err`");
    }

    #[test]
    fn left_over_bytes_are_counted() {
        let error = decode::<Bincode, u32>(&[0; 7]).unwrap_err();
        assert_eq!(
            std::error::Error::source(&error).unwrap().to_string(),
            "left over after it: 3 bytes"
        );
    }
}
