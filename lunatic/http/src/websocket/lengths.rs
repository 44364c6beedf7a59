//! Lengths of frames: RFC 6455 (5.2) wants each in the shortest form, and `tungstenite` takes the longer ones, too.
//!
//! Two ends that read a frame in different ways are what attacks on proxies are made of, so such a frame ends the WebSocket,
//! with code 1002. The bytes of a connection pass by here before the protocol gets them.

use std::fmt;
use std::io;

/// The length of a frame is not in its shortest form, or longer than there is a form for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BadLength;

impl fmt::Display for BadLength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the length of a frame is not in its shortest form")
    }
}

impl std::error::Error for BadLength {}

impl BadLength {
    /// Whether that is what an error says.
    pub(super) fn is(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|inner| inner.is::<Self>())
    }
}

/// Where in the frames of a connection its next byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Place {
    /// The first byte of a frame.
    #[default]
    First,
    /// The byte with the mask's bit and the short length.
    Second,
    /// So many bytes of a long length are left; what was read of it, in how many bytes it is, and the mask's bytes.
    Long { left: u8, length: u64, form: u8, mask: u8 },
    /// So many bytes of mask and payload are left, at least one.
    Rest(u64),
}

/// Follows the frames of one direction of a connection.
#[derive(Debug, Default)]
pub(super) struct Lengths(Place);

impl Lengths {
    /// How many of the next bytes are fine. Once that is fewer than there are, the next is the last of a bad length.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while at < bytes.len() {
            if let Place::Rest(left) = self.0 {
                let here = left.min((bytes.len() - at) as u64);
                self.0 = rest(left - here);
                at += here as usize;
                continue;
            }
            match next(self.0, bytes[at]) {
                Ok(place) => self.0 = place,
                Err(BadLength) => return at,
            }
            at += 1;
        }
        at
    }
}

fn rest(left: u64) -> Place {
    if left == 0 { Place::First } else { Place::Rest(left) }
}

/// The place behind a byte of a frame's head.
fn next(place: Place, byte: u8) -> Result<Place, BadLength> {
    let mask = if byte & 0x80 == 0 { 0 } else { 4 };
    let long = |form| Place::Long {
        left: form,
        length: 0,
        form,
        mask,
    };
    Ok(match place {
        Place::First => Place::Second,
        Place::Second => match byte & 0x7f {
            126 => long(2),
            127 => long(8),
            length => rest(u64::from(length) + u64::from(mask)),
        },
        Place::Long {
            left,
            length,
            form,
            mask,
        } => {
            let length = length << 8 | u64::from(byte);
            if left > 1 {
                return Ok(Place::Long {
                    left: left - 1,
                    length,
                    form,
                    mask,
                });
            }
            let fits = if form == 2 { 126..1 << 16 } else { 1 << 16..1 << 63 };
            if !fits.contains(&length) {
                return Err(BadLength);
            }
            rest(length + u64::from(mask))
        }
        Place::Rest(left) => rest(left - 1),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A frame with its length in a form of so many bytes.
    fn frame(len: usize, form: usize, masked: bool) -> Vec<u8> {
        let short = match form {
            0 => len as u8,
            2 => 126,
            _ => 127,
        };
        let mut bytes = vec![0x82, u8::from(masked) << 7 | short];
        bytes.extend(&(len as u64).to_be_bytes()[8 - form..]);
        bytes.extend(vec![0; len + if masked { 4 } else { 0 }]);
        bytes
    }

    fn shortest(len: usize) -> usize {
        match len {
            0..126 => 0,
            126..65_536 => 2,
            _ => 8,
        }
    }

    #[test]
    fn each_length_has_one_form() {
        for len in [0, 1, 125, 126, 127, 65_535, 65_536, 65_537] {
            for form in [0, 2, 8].into_iter().filter(|form| *form >= shortest(len)) {
                let bytes = frame(len, form, true);
                let passed = Lengths::default().pass(&bytes);
                let expected = if form == shortest(len) { bytes.len() } else { 1 + form };
                assert_eq!(passed, expected, "{len} in {form} bytes");
            }
        }
        let too_long = [0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(Lengths::default().pass(&too_long), 9);
    }

    proptest! {
        /// Frames in any pieces pass up to the first whose length is bad, and not beyond.
        #[test]
        fn pieces_change_nothing(
            lens in prop::collection::vec((prop_oneof![0_usize..300, 65_000_usize..66_000], any::<bool>()), 1..8),
            bad in prop::option::of(0_usize..8),
            pieces in prop::collection::vec(1_usize..70_000, 1..40),
        ) {
            let (mut bytes, mut fine) = (Vec::new(), None);
            for (at, (len, masked)) in lens.into_iter().enumerate() {
                let form = if bad == Some(at) { 8 } else { shortest(len) };
                if form != shortest(len) && fine.is_none() {
                    fine = Some(bytes.len() + 1 + form);
                }
                bytes.extend(frame(len, form, masked));
            }
            let (mut lengths, mut at) = (Lengths::default(), 0);
            for len in pieces.iter().cycle() {
                let piece = &bytes[at..bytes.len().min(at + len)];
                let passed = lengths.pass(piece);
                at += passed;
                if passed < piece.len() || at == bytes.len() {
                    break;
                }
            }
            prop_assert_eq!(at, fine.unwrap_or(bytes.len()));
        }
    }
}
