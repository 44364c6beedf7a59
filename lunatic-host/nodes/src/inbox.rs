//! What comes from a node: pieces, which are joined to records.
//!
//! A piece consists of a byte of flags ([`FIRST`], [`LAST`]), the number of a stream (16 bits; absent if the piece is a
//! whole record), the length of the record (32 bits; only if the piece is the first and not the last), the length of
//! the piece (32 bits), and its bytes. A stream carries one record: its number is free again after the last piece.

use std::collections::HashMap;

use crate::codec::Reader;
use lunatic_sys::codes::MESSAGE_LEN_MAX;

/// The flag of the first piece of a record.
pub const FIRST: u8 = 1;
/// The flag of the last piece of a record.
pub const LAST: u8 = 2;
/// The maximum length of a record, in bytes: that of a message, and of what precedes it.
pub const RECORD_MAX: usize = MESSAGE_LEN_MAX + 1024;
/// How many records may have arrived in part.
pub const OPEN_MAX: usize = 32;
/// The maximum total length of the records that have arrived in part, in bytes. A single one may be longer.
pub const PARTIAL_MAX: usize = 16 << 20;

/// The peer has broken a rule of the wire format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Violation;

struct Partial {
    bytes: Vec<u8>,
    len: usize,
}

#[derive(Default)]
pub(crate) struct Inbox {
    streams: HashMap<u16, Partial>,
    /// The total length of the records that have arrived in part.
    open: usize,
}

impl Inbox {
    /// Takes the pieces of a frame, and calls `whole` with each record that this completes.
    pub(crate) fn take(&mut self, pieces: &[u8], mut whole: impl FnMut(Vec<u8>)) -> Result<(), Violation> {
        let mut reader = Reader::new(pieces);
        while !reader.is_empty() {
            self.take_piece(&mut reader, &mut whole).ok_or(Violation)?;
        }
        Ok(())
    }

    fn take_piece(&mut self, reader: &mut Reader<'_>, whole: &mut impl FnMut(Vec<u8>)) -> Option<()> {
        let flags = reader.u8()?;
        if flags == FIRST | LAST {
            let len = reader.u32()? as usize;
            let record = reader.bytes(len)?;
            (!record.is_empty()).then(|| whole(record.to_vec()))
        } else if flags == FIRST {
            let (stream, len) = (reader.u16()?, reader.u32()? as usize);
            let piece = reader.u32()? as usize;
            let bytes = reader.bytes(piece)?;
            self.begin(stream, len, bytes)
        } else if flags == 0 || flags == LAST {
            let stream = reader.u16()?;
            let piece = reader.u32()? as usize;
            let bytes = reader.bytes(piece)?;
            self.go_on(stream, bytes, flags == LAST, whole)
        } else {
            None
        }
    }

    fn begin(&mut self, stream: u16, len: usize, bytes: &[u8]) -> Option<()> {
        let fits = self.streams.is_empty() || (self.streams.len() < OPEN_MAX && self.open + len <= PARTIAL_MAX);
        let is_right = fits && len <= RECORD_MAX && (1..len).contains(&bytes.len());
        if !is_right || self.streams.contains_key(&stream) {
            return None;
        }
        self.open += len;
        // Does not reserve the announced length: memory grows with the bytes that arrive.
        let bytes = bytes.to_vec();
        self.streams.insert(stream, Partial { bytes, len });
        Some(())
    }

    fn go_on(&mut self, stream: u16, bytes: &[u8], is_last: bool, whole: &mut impl FnMut(Vec<u8>)) -> Option<()> {
        let partial = self.streams.get_mut(&stream)?;
        let len = partial.bytes.len() + bytes.len();
        if bytes.is_empty() || len > partial.len || is_last != (len == partial.len) {
            return None;
        }
        partial.bytes.extend_from_slice(bytes);
        if is_last {
            self.open -= partial.len;
            // Handed over: a copy of a long record would take too long.
            whole(self.streams.remove(&stream)?.bytes);
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::Outbox;

    /// Sends records in frames of a given size; what arrives.
    fn through(records: &[((u64, u64), Vec<u8>)], room: usize) -> Vec<Vec<u8>> {
        let (mut outbox, mut inbox, mut arrived) = (Outbox::default(), Inbox::default(), Vec::new());
        for (pair, record) in records {
            outbox.push(*pair, record.clone(), false);
        }
        while !outbox.is_empty() {
            let pieces = outbox.fill(room);
            assert!((1..=room).contains(&pieces.len()));
            inbox.take(&pieces, |record| arrived.push(record)).unwrap();
        }
        assert_eq!((outbox.queued(), inbox.open, inbox.streams.len()), (0, 0, 0));
        arrived
    }

    #[test]
    fn records_of_a_pair_keep_their_order_and_long_ones_let_others_pass() {
        let room = crate::frame::PIECES_LEN_MAX;
        let long = vec![7; 1 << 20];
        let records = [
            ((1, 1), long.clone()),
            ((1, 1), b"after".to_vec()),
            ((1, 2), b"other".to_vec()),
        ];
        assert_eq!(through(&records, room), [b"other".to_vec(), long, b"after".to_vec()]);
    }

    #[test]
    fn more_long_records_than_may_be_open_arrive_all_the_same() {
        let room = crate::frame::PIECES_LEN_MAX;
        let records: Vec<_> = (0..3 * OPEN_MAX as u64)
            .map(|pair| ((pair, 0), vec![pair as u8; 2 << 20]))
            .collect();
        assert_eq!(through(&records, room).len(), records.len());
    }

    #[test]
    fn pieces_that_break_a_rule_are_refused() {
        let begun = [FIRST, 5, 0, 10, 0, 0, 0, 1, 0, 0, 0, b'x'];
        let wrong: [&[u8]; 9] = [
            &[FIRST | LAST],
            &[FIRST | LAST, 0, 0, 0, 0],
            &[8, 0, 0, 0, 0],
            // As long as the record, or longer than any may be.
            &[FIRST, 5, 0, 1, 0, 0, 0, 1, 0, 0, 0, b'x'],
            &[FIRST, 5, 0, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0, b'x'],
            // Of a stream that is not open, or is open.
            &[LAST, 6, 0, 1, 0, 0, 0, b'x'],
            &[
                FIRST, 5, 0, 10, 0, 0, 0, 1, 0, 0, 0, b'x', FIRST, 5, 0, 10, 0, 0, 0, 1, 0, 0, 0, b'x',
            ],
            // The last one too early.
            &[FIRST, 5, 0, 10, 0, 0, 0, 1, 0, 0, 0, b'x', LAST, 5, 0, 1, 0, 0, 0, b'x'],
            &[
                FIRST, 5, 0, 3, 0, 0, 0, 1, 0, 0, 0, b'x', 0, 5, 0, 2, 0, 0, 0, b'x', b'y',
            ],
        ];
        assert_eq!(Inbox::default().take(&begun, |_| ()), Ok(()));
        for pieces in wrong {
            assert_eq!(Inbox::default().take(pieces, |_| ()), Err(Violation), "{pieces:?}");
        }
    }
    /// The first piece of a record of a given length.
    fn begun(stream: u16, len: usize) -> Vec<u8> {
        let mut piece = vec![FIRST];
        piece.extend(stream.to_le_bytes());
        piece.extend((len as u32).to_le_bytes());
        piece.extend([1, 0, 0, 0, b'x']);
        piece
    }

    #[test]
    fn only_so_much_arrives_in_part() {
        let taken = |lens: &[usize]| {
            let mut inbox = Inbox::default();
            let pieces = lens.iter().zip(0..).flat_map(|(len, stream)| begun(stream, *len));
            inbox.take(&pieces.collect::<Vec<_>>(), |_| ())
        };
        for right in [&[RECORD_MAX] as &[usize], &[PARTIAL_MAX / 2; 2], &[2; OPEN_MAX]] {
            assert_eq!(taken(right), Ok(()), "{right:?}");
        }
        let wrong: [&[usize]; 4] = [
            &[RECORD_MAX + 1],
            &[RECORD_MAX, 2],
            &[PARTIAL_MAX / 2, PARTIAL_MAX / 2 + 1],
            &[2; OPEN_MAX + 1],
        ];
        for lens in wrong {
            assert_eq!(taken(lens), Err(Violation), "{lens:?}");
        }
    }
}
