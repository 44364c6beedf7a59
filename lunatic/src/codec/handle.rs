//! How handles are written: as one number of 16 bytes, which costs half as much as two numbers; and as two numbers in
//! formats for people, which have no integers of this size.

use lunatic_sys::layout::RawHandle;
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
