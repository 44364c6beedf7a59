//! The codec [`Json`].

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Cause, Codec, Scratch};

/// JSON text: readable and self-describing, but slower than [`Bincode`](super::Bincode).
#[derive(Clone, Copy, Debug)]
pub enum Json {}

impl Codec for Json {
    fn encode<T: Serialize + ?Sized>(value: &T, to: &mut Scratch) -> Result<(), Cause> {
        Ok(serde_json::to_writer(to, value)?)
    }

    fn decode<T: DeserializeOwned>(from: &[u8]) -> Result<T, Cause> {
        Ok(serde_json::from_slice(from)?)
    }
}
