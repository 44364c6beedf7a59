//! The tag of a message that the Rust SDK sends: a hash of the name of its type.
//!
//! The host never checks it, and programs of other languages may choose any tags. The host uses this only to name the
//! types of messages in reports: it looks in the module for a name that has the tag of a message.

use crate::codes::REFERENCE_BIT;

/// The hash of no bytes, from which a hash of bytes begins: FNV-1a.
pub const BASIS: u64 = 0xcbf2_9ce4_8422_2325;

/// Adds a byte to a hash.
#[inline]
#[must_use]
pub const fn step(hash: u64, byte: u8) -> u64 {
    (hash ^ byte as u64).wrapping_mul(0x0100_0000_01b3)
}

/// Returns the tag for a hash: tags below 16 are the host's, and those with the top bit set are references.
#[inline]
#[must_use]
pub const fn finish(hash: u64) -> u64 {
    (hash & !REFERENCE_BIT) | 16
}

/// Returns the tag of messages of a type with a topic, which is empty for most.
#[must_use]
pub fn of(type_name: &str, topic: &str) -> u64 {
    finish(type_name.bytes().chain(topic.bytes()).fold(BASIS, step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_stay_the_same() {
        // Programs of different builds exchange messages, so these numbers must not change.
        assert_eq!(of("", ""), (0xcbf2_9ce4_8422_2325 & !REFERENCE_BIT) | 16);
        assert_eq!(of("a", ""), (0xaf63_dc4c_8601_ec8c & !REFERENCE_BIT) | 16);
        assert_eq!(of("foobar", ""), of("foo", "bar"));
        assert_eq!(of("foobar", ""), (0x8594_4171_f739_67e8 & !REFERENCE_BIT) | 16);
    }
}
