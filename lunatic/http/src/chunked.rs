//! Bodies in chunks, as RFC 9112 (7.1) has them. Knows bytes only.
//!
//! What is not exactly so is refused: a receiver that guesses can be made to see another message than the proxy before
//! it. Extensions and trailers are checked and dropped.

use crate::media_type::is_token;
use crate::reject::Reject;

/// So much may come besides the data, over what each chunk is granted: long extensions and tiny chunks cost work.
const OVERHEAD_MAX: u64 = 16 << 10;
/// Bytes of all trailers together.
const TRAILER_MAX: usize = 8 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In the hexadecimal digits of a chunk's length, of which there were so many.
    Size {
        digits: u8,
    },
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the beginning of a trailer's line, or of the empty line that ends the body.
    Line,
    /// In a trailer's name, of which there was at least a byte.
    TrailerName,
    /// In a trailer's value.
    Trailer,
    TrailerLf,
    LastLf,
    Done,
}

/// Reads a chunked body, however it was cut.
#[derive(Debug, Clone)]
pub(crate) struct Decoder {
    state: State,
    /// What is left of the current chunk.
    size: u64,
    overhead: u64,
    trailer_len: usize,
}

/// What comes next in the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// So many bytes of data, or fewer if there are not so many yet; at least one is there.
    Data(usize),
    /// Nothing, before there is more input.
    More,
    /// The body is over.
    End,
}

impl Decoder {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Size { digits: 0 },
            size: 0,
            overhead: 0,
            trailer_len: 0,
        }
    }

    /// Reads what is no data at the beginning of `input`: how many bytes that were, and what follows. Data that is taken
    /// must be told by [`took`](Self::took) before the next call.
    pub(crate) fn next(&mut self, input: &[u8]) -> Result<(usize, Next), Reject> {
        let mut at = 0;
        loop {
            if self.state == State::Done {
                return Ok((at, Next::End));
            }
            let Some(&byte) = input.get(at) else {
                return Ok((at, Next::More));
            };
            if self.state == State::Data {
                let there = (input.len() - at) as u64;
                return Ok((at, Next::Data(there.min(self.size) as usize)));
            }
            self.state = self.after(byte)?;
            at += 1;
        }
    }

    /// So many bytes of data were taken.
    pub(crate) fn took(&mut self, bytes: usize) {
        self.size -= bytes as u64;
        if self.size == 0 {
            self.state = State::DataCr;
        }
    }

    fn after(&mut self, byte: u8) -> Result<State, Reject> {
        self.count(1)?;
        match (self.state, byte) {
            (State::Size { digits }, byte) if byte.is_ascii_hexdigit() => {
                if digits == 16 {
                    return Err(Reject::bad("the length of a chunk has more than 16 digits"));
                }
                let digit = (byte as char).to_digit(16).expect("it is a hexadecimal digit");
                self.size = (self.size << 4) | u64::from(digit);
                Ok(State::Size { digits: digits + 1 })
            }
            (State::Size { digits: 1.. }, b';') => Ok(State::Extension),
            (State::Size { digits: 1.. } | State::Extension, b'\r') => Ok(State::SizeLf),
            (State::Size { .. }, _) => Err(Reject::bad("the length of a chunk is not a hexadecimal number")),
            (State::Extension, byte) if is_text(byte) => Ok(State::Extension),
            (State::SizeLf, b'\n') if self.size == 0 => Ok(State::Line),
            (State::SizeLf, b'\n') => {
                // Each chunk may have a short extension, and a long one if it brings much.
                self.overhead = self
                    .overhead
                    .saturating_sub(self.size.saturating_mul(2).saturating_add(16));
                Ok(State::Data)
            }
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => {
                self.size = 0;
                Ok(State::Size { digits: 0 })
            }
            (State::Line, b'\r') => Ok(State::LastLf),
            (State::LastLf, b'\n') => Ok(State::Done),
            (State::Line | State::TrailerName, byte) if is_token(byte) => self.in_trailer(State::TrailerName),
            (State::TrailerName, b':') => self.in_trailer(State::Trailer),
            (State::Line | State::TrailerName, _) => Err(Reject::bad("a trailer of a body has no name")),
            (State::Trailer, b'\r') => Ok(State::TrailerLf),
            (State::TrailerLf, b'\n') => Ok(State::Line),
            (State::Trailer, byte) if is_text(byte) => self.in_trailer(State::Trailer),
            _ => Err(Reject::bad(
                "a chunk does not end where its length says, or a line does not end with CR LF",
            )),
        }
    }

    fn in_trailer(&mut self, next: State) -> Result<State, Reject> {
        self.trailer_len += 1;
        match self.trailer_len > TRAILER_MAX {
            true => Err(Reject::bad("the trailers of a body are too long")),
            false => Ok(next),
        }
    }

    fn count(&mut self, bytes: u64) -> Result<(), Reject> {
        self.overhead += bytes;
        match self.overhead > OVERHEAD_MAX {
            true => Err(Reject::bad(
                "the body has too many bytes besides its data: long extensions or tiny chunks",
            )),
            false => Ok(()),
        }
    }
}

fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// The room that [`begin`] leaves for a chunk's length and its line end.
const HEADER_LEN: usize = 6;
/// The largest chunk that is written: its length has four digits.
pub(crate) const CHUNK_MAX: usize = 0xffff;

/// Begins a chunk in `out`; returns where, for [`end`].
pub(crate) fn begin(out: &mut Vec<u8>) -> usize {
    let start = out.len();
    out.extend_from_slice(b"0000\r\n");
    start
}

/// Ends the chunk that was begun at `start`; takes it back if it is empty, as an empty chunk would end the body.
pub(crate) fn end(out: &mut Vec<u8>, start: usize) {
    let len = out.len() - start - HEADER_LEN;
    debug_assert!(len <= CHUNK_MAX);
    if len == 0 {
        return out.truncate(start);
    }
    for (at, digit) in out[start..start + 4].iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[len >> (4 * (3 - at)) & 0xf];
    }
    out.extend_from_slice(b"\r\n");
}

/// Ends the body.
pub(crate) fn finish(out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n\r\n");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Decodes input that comes in these pieces: the data, and how much of the input belonged to the body.
    fn decode(pieces: &[&[u8]]) -> Result<Option<(Vec<u8>, usize)>, Reject> {
        let mut decoder = Decoder::new();
        let (mut input, mut data, mut used) = (Vec::new(), Vec::new(), 0);
        for piece in pieces {
            input.extend_from_slice(piece);
            loop {
                let (skip, next) = decoder.next(&input)?;
                used += skip;
                input.drain(..skip);
                match next {
                    Next::Data(len) => {
                        used += len;
                        data.extend(input.drain(..len));
                        decoder.took(len);
                    }
                    Next::More => break,
                    Next::End => return Ok(Some((data, used))),
                }
            }
        }
        Ok(None)
    }

    fn encode(chunks: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Vec::new();
        for chunk in chunks {
            let start = begin(&mut out);
            out.extend_from_slice(chunk);
            end(&mut out, start);
        }
        finish(&mut out);
        out
    }

    #[track_caller]
    fn check(body: &str, expected: Option<&str>) {
        let decoded = decode(&[body.as_bytes()]).map(|whole| whole.map(|(data, _)| data));
        match expected {
            Some(data) => assert_eq!(decoded.unwrap(), Some(data.as_bytes().to_vec()), "{body:?}"),
            None => assert!(decoded.is_err(), "{body:?}"),
        }
        // However it is cut, the answer is the same.
        let bytes: Vec<&[u8]> = body.as_bytes().chunks(1).collect();
        assert_eq!(
            decode(&bytes).map(|whole| whole.map(|(data, _)| data)),
            decode(&[body.as_bytes()]).map(|whole| whole.map(|(data, _)| data))
        );
    }

    #[test]
    fn what_the_standard_allows_is_read() {
        check("0\r\n\r\n", Some(""));
        check("5\r\nhello\r\n0\r\n\r\n", Some("hello"));
        check(
            "5\r\nhello\r\n00A\r\n, worlds!\n\r\n0\r\n\r\nGET",
            Some("hello, worlds!\n"),
        );
        check("2;a=b;c=\"d e\"\r\nhi\r\n0;last\r\n\r\n", Some("hi"));
        check("2\r\nhi\r\n0\r\nx: y\r\nz: w\r\n\r\n", Some("hi"));
        check("0\r\nX-1:\r\ny:: \u{e4}\t\r\n\r\n", Some(""));
    }

    #[test]
    fn what_it_does_not_allow_is_refused() {
        for body in [
            "\r\n",
            "g\r\n",
            "-1\r\n",
            "+1\r\n",
            "0x1\r\n",
            " 1\r\n",
            "1 \r\n",
            "1_0\r\n",
            ";a\r\n",
            "5\nhello",
            "5\r\nhello\n",
            "5\r\nhelloo\r\n",
            "5\r\nhell\r\n0\r\n",
            "5\rhello",
            "11111111111111111\r\n",
            "2;a\nb\r\n",
            "2;a\0\r\n",
            "0\r\n\n",
            "0\r\nx: y\n\r\n",
            "0\r\nx\0\r\n\r\n",
            "2;a\r\r\nhi\r\n",
            "0\r\nGET / HTTP/1.1\r\n\r\n",
            "0\r\nx\r\n\r\n",
            "0\r\n: y\r\n\r\n",
            "0\r\nx : y\r\n\r\n",
            "0\r\nx: y\r\n z\r\n\r\n",
            "0\r\n\u{e4}: y\r\n\r\n",
            "0\r\nx: y\0\r\n\r\n",
            "0\r\nx: y\r\r\n\r\n",
        ] {
            check(body, None);
        }
    }

    #[test]
    fn a_body_that_is_mostly_overhead_is_refused() {
        let extended = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(20_000));
        check(&extended, None);
        check(&format!("0\r\nx: {}\r\n\r\n", "y".repeat(9_000)), None);
        // Many small chunks are fine, and so is a short extension on each.
        check(
            &format!("{}0\r\n\r\n", "1;ab=cd\r\na\r\n".repeat(5_000)),
            Some(&"a".repeat(5_000)),
        );
        check(
            &format!("{}0\r\n\r\n", "1;abcdefghijklmnopqrstuvwxyz\r\na\r\n".repeat(5_000)),
            None,
        );
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..10),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
        ) {
            let mut bytes = encode(&chunks);
            let len = bytes.len();
            bytes.extend_from_slice(b"GET / HTTP/1.1\r\n");
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).chain([0, bytes.len()]).collect();
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
            prop_assert_eq!(decode(&pieces).unwrap(), Some((chunks.concat(), len)));
        }

        #[test]
        fn garbage_does_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let whole = decode(&[&bytes]);
            let cut: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(decode(&cut), whole);
        }

        #[test]
        fn damage_is_noticed_or_changes_data_only(at in any::<prop::sample::Index>(), flip in 1_u8..) {
            let mut bytes = encode(&[b"hello".to_vec(), vec![b'x'; 40]]);
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            if let Ok(Some((data, used))) = decode(&[&bytes]) {
                // A length may have become another one that fits as well; but never is anything read twice.
                prop_assert!(data.len() < used && used <= bytes.len());
            }
        }
    }
}
