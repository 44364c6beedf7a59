//! Selects the pieces of a memory that are written: those that contain data.

use std::ops::Range;

/// Pieces begin and end at multiples of this.
const PAGE: usize = 4096;

/// The most pieces. Readers of WebAssembly accept 100,000 data segments in a module.
const PIECES_MAX: usize = 50_000;

/// The linear memory of a process that is not running.
pub struct Memory<'a> {
    /// The whole memory.
    pub bytes: &'a [u8],
    /// The parts that may contain anything but zeros, in order.
    pub touched: Vec<Range<usize>>,
}

impl Memory<'_> {
    /// The pieces that contain data, in order, up to `room` bytes; and how many bytes of data did not fit.
    pub(super) fn pieces(&self, room: u64) -> (Vec<Range<usize>>, u64) {
        let mut pieces: Vec<Range<usize>> = Vec::new();
        for start in self.touched.iter().flat_map(|range| range.clone().step_by(PAGE)) {
            let end = (start + PAGE).min(self.bytes.len());
            if self.bytes.get(start..end).is_none_or(is_zero) {
                continue;
            }
            match pieces.last_mut() {
                Some(last) if last.end == start => last.end = end,
                _ => pieces.push(start..end),
            }
        }
        let mut gap = PAGE;
        while pieces.len() > PIECES_MAX {
            join(&mut pieces, gap);
            gap *= 2;
        }
        cut(pieces, room)
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    const ZEROS: [u8; PAGE] = [0; PAGE];
    *bytes == ZEROS[..bytes.len()]
}

/// Joins pieces that are separated by at most `gap` bytes.
fn join(pieces: &mut Vec<Range<usize>>, gap: usize) {
    pieces.dedup_by(|next, piece| {
        let is_near = next.start - piece.end <= gap;
        if is_near {
            piece.end = next.end;
        }
        is_near
    });
}

/// The pieces that fit, and how many bytes are left out.
fn cut(mut pieces: Vec<Range<usize>>, room: u64) -> (Vec<Range<usize>>, u64) {
    let (mut left, mut missing) = (usize::try_from(room).unwrap_or(usize::MAX), 0);
    for piece in &mut pieces {
        let len = piece.len().min(left);
        left -= len;
        missing += (piece.len() - len) as u64;
        piece.end = piece.start + len;
    }
    pieces.retain(|piece| !piece.is_empty());
    (pieces, missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(range: Range<usize>) -> Vec<Range<usize>> {
        std::iter::once(range).collect()
    }

    fn memory(bytes: &[u8]) -> Memory<'_> {
        Memory {
            bytes,
            touched: one(0..bytes.len()),
        }
    }

    #[test]
    fn pages_of_zeros_are_left_out_and_neighbours_are_one_piece() {
        let mut bytes = vec![0; 10 * PAGE];
        for page in [1, 2, 9] {
            bytes[page * PAGE + 7] = 1;
        }
        let all = memory(&bytes);
        assert_eq!(all.pieces(u64::MAX), (vec![PAGE..3 * PAGE, 9 * PAGE..10 * PAGE], 0));
        let room = 2 * PAGE + 10;
        assert_eq!(
            all.pieces(room as u64),
            (vec![PAGE..3 * PAGE, 9 * PAGE..9 * PAGE + 10], (PAGE - 10) as u64)
        );
        assert_eq!(all.pieces(0), (vec![], 3 * PAGE as u64));
        // What nobody has touched is not even looked at.
        let untouched = Memory {
            touched: one(PAGE..2 * PAGE),
            ..all
        };
        assert_eq!(untouched.pieces(u64::MAX), (one(PAGE..2 * PAGE), 0));
    }

    #[test]
    fn a_memory_in_very_many_pieces_becomes_one_of_fewer() {
        let mut bytes = vec![0; (2 * PIECES_MAX + 2) * PAGE];
        bytes.iter_mut().step_by(2 * PAGE).for_each(|byte| *byte = 1);
        let (pieces, missing) = memory(&bytes).pieces(u64::MAX);
        assert_eq!((pieces.len(), missing), (1, 0));
    }
}
