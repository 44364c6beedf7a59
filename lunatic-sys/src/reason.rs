//! Reason bytes: exit reasons, as they cross the boundary between guest and host.
//!
//! They are two little-endian `i32`s, the kind and its detail, then text in UTF-8 up to the end. The host does not
//! trust guests and rejects bytes that break a rule ([`RawReason::decode`]). A guest trusts the host, which may be
//! newer and have kinds that the guest does not know: it accepts everything ([`RawReason::decode_lossy`]).

use std::borrow::Cow;

use crate::codes::{REASON_HEAD_LEN, REASON_TEXT_LEN_MAX, exit};

/// An exit reason, not yet interpreted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawReason<'a> {
    /// One of [`codes::exit`](exit), or a kind that only later hosts have.
    pub kind: i32,
    /// The exit code for [`exit::EXIT`], one of [`codes::trap`](crate::codes::trap) for [`exit::TRAP`], otherwise 0.
    pub detail: i32,
    /// A description for people; empty if the kind has none.
    pub text: Cow<'a, str>,
}

impl<'a> RawReason<'a> {
    /// Makes a reason that borrows its text.
    #[must_use]
    pub fn new(kind: i32, detail: i32, text: &'a str) -> Self {
        Self {
            kind,
            detail,
            text: Cow::Borrowed(text),
        }
    }

    /// Encodes the reason.
    ///
    /// This does not limit the text: a guest must not pass more than [`REASON_TEXT_LEN_MAX`] bytes of text to the host,
    /// but the host may pass more to a guest.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(REASON_HEAD_LEN + self.text.len());
        bytes.extend(self.kind.to_le_bytes());
        bytes.extend(self.detail.to_le_bytes());
        bytes.extend(self.text.as_bytes());
        bytes
    }

    /// Decodes a reason that is not trusted, because a guest wrote it.
    ///
    /// `None` if there are fewer than [`REASON_HEAD_LEN`] bytes, the kind is unknown, there are more than
    /// [`REASON_TEXT_LEN_MAX`] bytes of text, or the text is not UTF-8. If the kind has no text, the bytes of the text are
    /// not examined, and the text is empty.
    #[must_use]
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (kind, detail, text) = split(bytes)?;
        if text.len() > REASON_TEXT_LEN_MAX {
            return None;
        }
        let text = if exit::has_text(kind)? {
            std::str::from_utf8(text).ok()?
        } else {
            ""
        };
        Some(Self::new(kind, detail, text))
    }

    /// Decodes a reason that the host wrote: any kind, and text of any length, in which U+FFFD replaces bytes that are
    /// not UTF-8.
    ///
    /// `None` only if there are fewer than [`REASON_HEAD_LEN`] bytes.
    #[must_use]
    pub fn decode_lossy(bytes: &'a [u8]) -> Option<Self> {
        let (kind, detail, text) = split(bytes)?;
        let text = String::from_utf8_lossy(text);
        Some(Self { kind, detail, text })
    }
}

/// Splits reason bytes into the kind, the detail, and the bytes of the text.
fn split(bytes: &[u8]) -> Option<(i32, i32, &[u8])> {
    let (kind, rest) = bytes.split_first_chunk()?;
    let (detail, text) = rest.split_first_chunk()?;
    Some((i32::from_le_bytes(*kind), i32::from_le_bytes(*detail), text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KINDS: std::ops::RangeInclusive<i32> = exit::NORMAL..=exit::HOST_BUG;

    /// The same 32,000 byte strings in each run, 500 of each length below 64.
    fn arbitrary() -> impl Iterator<Item = Vec<u8>> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = move || {
            // xorshift64
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        (0..64 * 500).map(move |round| {
            let mut bytes: Vec<u8> = (0..round / 500).map(|_| next() as u8).collect();
            // Half of them begin with a known kind, or nearly: all others would be rejected for their kind alone.
            if round % 2 == 0 {
                let kind = (next() % 20) as i32 - 3;
                bytes
                    .iter_mut()
                    .zip(kind.to_le_bytes())
                    .for_each(|(to, from)| *to = from);
            }
            bytes
        })
    }

    #[test]
    fn every_kind_is_read_as_it_was_written() {
        for kind in KINDS {
            for detail in [0, 1, -3, i32::MIN, i32::MAX] {
                let text = if exit::has_text(kind).unwrap() { "how: é" } else { "" };
                let reason = RawReason::new(kind, detail, text);
                let bytes = reason.encode();
                assert_eq!(RawReason::decode(&bytes).as_ref(), Some(&reason));
                assert_eq!(RawReason::decode_lossy(&bytes).as_ref(), Some(&reason));
                for len in 0..REASON_HEAD_LEN {
                    assert_eq!(RawReason::decode(&bytes[..len]), None);
                    assert_eq!(RawReason::decode_lossy(&bytes[..len]), None);
                }
            }
        }
    }

    #[test]
    fn the_bytes_are_the_documented_ones() {
        let bytes = RawReason::new(exit::TRAP, -2, "é!").encode();
        assert_eq!(bytes, [3, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff, 0xc3, 0xa9, b'!']);
    }

    #[test]
    fn only_a_guest_reads_unknown_kinds() {
        for kind in [KINDS.start() - 1, KINDS.end() + 1, i32::MIN, i32::MAX] {
            let reason = RawReason::new(kind, 4, "new");
            let bytes = reason.encode();
            assert_eq!(RawReason::decode(&bytes), None);
            assert_eq!(RawReason::decode_lossy(&bytes), Some(reason));
        }
    }

    #[test]
    fn the_host_reads_texts_up_to_the_limit_and_only_utf8() {
        let text = "x".repeat(REASON_TEXT_LEN_MAX + 1);
        for kind in KINDS {
            let bytes = RawReason::new(kind, 0, &text).encode();
            assert!(RawReason::decode(&bytes[..bytes.len() - 1]).is_some());
            assert_eq!(RawReason::decode(&bytes), None);
            assert_eq!(RawReason::decode_lossy(&bytes).unwrap().text.len(), text.len());
            let odd = [&RawReason::new(kind, 0, "").encode()[..], b"a\xff"].concat();
            assert_eq!(RawReason::decode(&odd).is_some(), !exit::has_text(kind).unwrap());
            assert_eq!(RawReason::decode_lossy(&odd).unwrap().text, "a\u{fffd}");
        }
    }

    #[test]
    fn arbitrary_bytes_are_read_or_rejected() {
        let mut read = 0;
        for bytes in arbitrary() {
            assert_eq!(
                RawReason::decode_lossy(&bytes).is_some(),
                bytes.len() >= REASON_HEAD_LEN
            );
            let Some(reason) = RawReason::decode(&bytes) else {
                continue;
            };
            read += 1;
            let len = if exit::has_text(reason.kind).unwrap() {
                bytes.len()
            } else {
                REASON_HEAD_LEN
            };
            assert_eq!(
                reason.encode(),
                bytes[..len],
                "the same bytes, less a text that the kind does not have"
            );
        }
        assert!(read > 1000, "{read}");
    }
}
