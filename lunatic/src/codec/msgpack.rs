//! The codec [`MsgPack`].

use rmp_serde::Deserializer;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Cause, Codec, Scratch, trailing};

/// MessagePack: compact, self-describing, and supported by most languages.
///
/// Handles of processes and channels are written as 16 bytes: first the key, then the id, both big-endian.
#[derive(Clone, Copy, Debug)]
pub enum MsgPack {}

impl Codec for MsgPack {
    fn encode<T: Serialize + ?Sized>(value: &T, to: &mut Scratch) -> Result<(), Cause> {
        Ok(rmp_serde::encode::write(to, value)?)
    }

    fn decode<T: DeserializeOwned>(from: &[u8]) -> Result<T, Cause> {
        let mut rest = from;
        let value = T::deserialize(&mut Deserializer::new(&mut rest))?;
        match rest.len() {
            0 => Ok(value),
            left => Err(trailing(left)),
        }
    }
}
