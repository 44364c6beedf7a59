//! How handles are written: as one number of 16 bytes, which costs half as much as two numbers; and as two numbers in
//! formats for people, which have no integers of this size.

use std::any::type_name;
use std::fmt;
use std::marker::PhantomData;

use lunatic_sys::layout::RawHandle;
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[inline]
pub(crate) fn serialize<S: Serializer>(handle: RawHandle, serializer: S) -> Result<S::Ok, S::Error> {
    let RawHandle { id, key } = handle;
    if serializer.is_human_readable() {
        (id, key).serialize(serializer)
    } else {
        serializer.serialize_u128(u128::from(id) | u128::from(key) << 64)
    }
}

#[inline]
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<RawHandle, D::Error> {
    let (id, key) = if deserializer.is_human_readable() {
        Deserialize::deserialize(deserializer)?
    } else {
        let both = u128::deserialize(deserializer)?;
        (both as u64, (both >> 64) as u64)
    };
    Ok(RawHandle { id, key })
}

/// A handle that is read as the other functions here read it.
pub(crate) struct Raw(pub(crate) RawHandle);

impl<'de> Deserialize<'de> for Raw {
    #[inline]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize(deserializer).map(Self)
    }
}

/// Reads the parts of a `T` as the content of a newtype with the full name of `T`. Formats do not show newtypes, so this changes
/// no message. But it tells the [shape](crate::code) of a message what a handle is for, which its bytes do not say.
#[inline]
pub(crate) fn named<'de, T, Parts: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Parts, D::Error> {
    struct Content<Parts>(PhantomData<Parts>);

    impl<'de, Parts: Deserialize<'de>> Visitor<'de> for Content<Parts> {
        type Value = Parts;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a handle")
        }

        #[inline]
        fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Parts, D::Error> {
            Parts::deserialize(deserializer)
        }
    }

    deserializer.deserialize_newtype_struct(type_name::<T>(), Content(PhantomData))
}

#[cfg(test)]
mod tests {
    use crate::Process;
    use crate::codec::{Codec, Scratch};

    fn there_and_back<C: Codec>(expected: Option<&[u8]>) {
        let handle = super::RawHandle {
            id: 3,
            key: u64::MAX - 1,
        };
        let mut bytes = Scratch::new();
        C::encode(&(Process::from_raw(handle), 7_u8), &mut bytes).unwrap();
        if let Some(expected) = expected {
            assert_eq!(bytes.as_slice(), expected);
        }
        let (process, seven) = C::decode::<(Process, u8)>(bytes.as_slice()).unwrap();
        assert_eq!((process.raw(), seven), (handle, 7));
        let cut = C::decode::<Process>(&bytes.as_slice()[..9]);
        assert!(cut.is_err());
    }

    #[test]
    fn each_codec_brings_handles_back() {
        #[cfg(feature = "bincode")]
        there_and_back::<crate::codec::Bincode>(Some(&[
            3, 0, 0, 0, 0, 0, 0, 0, 254, 255, 255, 255, 255, 255, 255, 255, 7,
        ]));
        #[cfg(feature = "json")]
        there_and_back::<crate::codec::Json>(Some(b"[[3,18446744073709551614],7]"));
        #[cfg(feature = "msgpack")]
        there_and_back::<crate::codec::MsgPack>(None);
    }
}
