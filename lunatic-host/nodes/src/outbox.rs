//! What is to be sent to a node: records, cut into pieces, which take turns by pairs of processes.
//!
//! Records of one pair (sender and receiver) go out in their order. Those of different pairs take turns, and a long record goes in
//! pieces, so that a message of 100 MB holds up other pairs for one piece at a time. What peers need to know of pieces
//! is in [`inbox`](crate::inbox).

use std::collections::{HashMap, VecDeque};

use crate::codec::Write;
use crate::inbox::{FIRST, LAST, OPEN_MAX, PARTIAL_MAX, RECORD_MAX};

/// Once so many bytes wait, messages are refused.
pub const QUEUED_MAX: usize = 1 << 20;
/// Once so many bytes wait, signals included, the epoch ends: the peer has not taken any for long.
pub const OVERFLOW: usize = 64 << 20;
/// A piece has at most so many bytes before those of the record.
const PIECE_HEAD: usize = 11;
/// What a record takes up besides its bytes, about.
const RECORD_COST: usize = 64;

/// Between whom a record goes: of these the order is kept.
pub(crate) type Pair = (u64, u64);

struct Queued {
    record: Vec<u8>,
    /// So much of it has been sent.
    at: usize,
    stream: u16,
}

#[derive(Default)]
pub(crate) struct Outbox {
    pairs: HashMap<Pair, VecDeque<Queued>>,
    /// The pairs that have something, the next one first.
    turns: VecDeque<Pair>,
    queued: usize,
    /// The streams of records that have been sent in part, and the bytes of those records.
    open: Vec<u16>,
    open_bytes: usize,
}

impl Outbox {
    /// The bytes that wait.
    pub(crate) fn queued(&self) -> usize {
        self.queued
    }

    pub(crate) fn has_room(&self) -> bool {
        self.queued < QUEUED_MAX
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    pub(crate) fn push(&mut self, pair: Pair, record: Vec<u8>) {
        debug_assert!((1..=RECORD_MAX).contains(&record.len()), "nobody sends such a record");
        self.queued += record.len() + RECORD_COST;
        let queue = self.pairs.entry(pair).or_default();
        if queue.is_empty() {
            self.turns.push_back(pair);
        }
        queue.push_back(Queued {
            record,
            at: 0,
            stream: 0,
        });
    }

    /// Pieces of what waits, as many as fit into `room` bytes; none if the next one does not fit.
    pub(crate) fn fill(&mut self, room: usize) -> Vec<u8> {
        let mut pieces = Vec::new();
        let mut passed_over = 0;
        while passed_over < self.turns.len() {
            let Some(pair) = self.turns.pop_front() else { break };
            let left = room - pieces.len();
            match self.put_piece(pair, &mut pieces, left) {
                Turn::Done => passed_over = 0,
                // It waits for the end of another long record; others need not.
                Turn::Waits => passed_over += 1,
                Turn::Full => {
                    self.turns.push_front(pair);
                    break;
                }
            }
        }
        pieces
    }

    fn put_piece(&mut self, pair: Pair, pieces: &mut Vec<u8>, room: usize) -> Turn {
        let queue = self.pairs.get_mut(&pair).expect("a pair in turn has something");
        let next = queue.front_mut().expect("a pair in turn has something");
        let (len, at) = (next.record.len(), next.at);
        let is_short = PIECE_HEAD + len <= crate::frame::PIECES_LEN_MAX;
        let piece = match room.saturating_sub(PIECE_HEAD).min(len - at) {
            0 => return Turn::Full,
            // In one piece, or in the next frame.
            fits if is_short && fits < len => return Turn::Full,
            // Not in splinters, either.
            fits if fits < len - at && fits < 1024 => return Turn::Full,
            fits => fits,
        };
        if at == 0 && piece < len {
            let is_too_much = self.open.len() == OPEN_MAX || self.open_bytes + len > PARTIAL_MAX;
            if !self.open.is_empty() && is_too_much {
                self.turns.push_back(pair);
                return Turn::Waits;
            }
            let free = (0..).find(|stream| !self.open.contains(stream));
            next.stream = free.expect("fewer streams are open than there are");
            self.open.push(next.stream);
            self.open_bytes += len;
        }
        next.at += piece;
        let (is_first, is_last) = (at == 0, next.at == len);
        let first = if is_first { FIRST } else { 0 };
        pieces.put_u8(first | if is_last { LAST } else { 0 });
        if !(is_first && is_last) {
            pieces.put_u16(next.stream);
        }
        if is_first && !is_last {
            pieces.put_u32(len as u32);
        }
        pieces.put_u32(piece as u32);
        pieces.put(&next.record[at..next.at]);
        if is_last {
            if !is_first {
                let stream = next.stream;
                self.open.retain(|open| *open != stream);
                self.open_bytes -= len;
            }
            self.queued -= len + RECORD_COST;
            queue.pop_front();
        }
        if queue.is_empty() {
            self.pairs.remove(&pair);
        } else {
            self.turns.push_back(pair);
        }
        Turn::Done
    }
}

enum Turn {
    Done,
    Waits,
    Full,
}
