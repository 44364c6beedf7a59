//! The queue of a node: records to send, cut into pieces. The pairs of processes take turns.
//!
//! Records of one pair (sender and receiver) go out in their order. Different pairs take turns, and a long record goes
//! out in pieces, so a message of 100 MB delays other pairs by one piece at a time. [`inbox`](crate::inbox) describes
//! the format of pieces.

use std::collections::{HashMap, VecDeque};

use crate::codec::Write;
use crate::inbox::{FIRST, LAST, OPEN_MAX, PARTIAL_MAX, RECORD_MAX};

/// How many bytes may wait before messages are refused. Long messages do not count.
pub const QUEUED_MAX: usize = 1 << 20;
/// A message or spawn is long if its record has more bytes than this. Only one long record waits at a time, so that it
/// holds up no others.
pub const LONG: usize = 256 << 10;
/// How many bytes of signals, which are never refused, may wait while the peer takes none: then the epoch ends. Messages
/// do not count: they are refused earlier, and a single one may be longer.
pub const OVERFLOW: usize = 64 << 20;
/// How many bytes of signals may wait even if the peer takes some. The end of one process with as many relations as
/// another node can add (65,536) sends less than half of this.
pub const OVERFLOW_MAX: usize = 256 << 20;
/// How many bytes of answers to requests for modules may wait: more than a peer requests at a time that waits for answers.
pub const MODULES_MAX: usize = 8 << 20;
/// How many bytes of names and groups are queued ahead; further ones are made when these have been sent.
const NAMES_AHEAD: usize = 64 << 10;
/// The pair of records about names, which no process sends.
pub(crate) const NAMES: Pair = (0, 0);
/// The sender in the pairs of records about modules, which no process sends.
pub(crate) const MODULES: u64 = u64::MAX;
/// The maximum length of a piece's head, in bytes.
const PIECE_HEAD: usize = 11;
/// What a record costs in memory besides its bytes, approximately.
const RECORD_COST: usize = 64;

/// The sender and the receiver of a record. Records of one pair keep their order.
pub(crate) type Pair = (u64, u64);

/// Whether a record may be refused if there is no room, and whether it counts as long.
pub(crate) type Kind = (bool, bool);

/// What a sender has paid for something; dropped when that goes.
pub type Paid = Box<dyn Send>;

struct Queued {
    record: Vec<u8>,
    /// What its sender pays for it.
    _paid: Option<Paid>,
    /// How many of its bytes have been sent.
    at: usize,
    stream: u16,
    kind: Kind,
}

#[derive(Default)]
pub(crate) struct Outbox {
    pairs: HashMap<Pair, VecDeque<Queued>>,
    /// The pairs with something to send, the next one first.
    turns: VecDeque<Pair>,
    queued: usize,
    /// How many of these bytes are the long record.
    long: usize,
    /// How many of these bytes are records about modules.
    modules: usize,
    /// How many of these bytes are records about names.
    names: usize,
    /// How many of these bytes are records that cannot be refused.
    unrefused: usize,
    /// The streams of the records that have been sent in part, and the total length of those records.
    open: Vec<u16>,
    open_bytes: usize,
}

impl Outbox {
    /// How many bytes wait.
    pub(crate) fn queued(&self) -> usize {
        self.queued
    }

    /// Whether more signals wait than may wait for a peer that takes none.
    pub(crate) fn is_overflowing(&self) -> bool {
        self.unrefused > OVERFLOW
    }

    /// Whether more signals wait than may wait for any peer.
    pub(crate) fn has_overflowed(&self) -> bool {
        self.unrefused > OVERFLOW_MAX
    }

    /// Whether a peer has requested more of modules than it takes.
    pub(crate) fn has_too_much_of_modules(&self) -> bool {
        self.modules > MODULES_MAX
    }

    /// Whether more records about names are to be added.
    pub(crate) fn takes_names(&self) -> bool {
        self.names < NAMES_AHEAD
    }

    pub(crate) fn has_room(&self) -> bool {
        self.queued - self.long < QUEUED_MAX
    }

    /// Whether a record of this length would be taken that can wait.
    pub(crate) fn has_room_for(&self, len: usize) -> bool {
        if len > LONG {
            self.has_room_for_long()
        } else {
            self.has_room()
        }
    }

    pub(crate) fn has_room_for_long(&self) -> bool {
        self.long == 0
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.turns.is_empty()
    }

    /// [`push_paid`](Self::push_paid) for what nobody pays.
    #[cfg(test)]
    pub(crate) fn push(&mut self, pair: Pair, record: Vec<u8>, can_wait: bool) {
        let is_long = can_wait && record.len() > LONG;
        self.push_paid(pair, record, (can_wait, is_long), None);
    }

    /// Adds a record. What the sender pays is dropped when all of it has been sent.
    pub(crate) fn push_paid(&mut self, pair: Pair, record: Vec<u8>, kind: Kind, paid: Option<Paid>) {
        debug_assert!((1..=RECORD_MAX).contains(&record.len()), "nobody sends such a record");
        let len = record.len();
        self.count(pair, kind, |sum| sum + len + RECORD_COST);
        let queue = self.pairs.entry(pair).or_default();
        if queue.is_empty() {
            self.turns.push_back(pair);
        }
        queue.push_back(Queued {
            record,
            _paid: paid,
            at: 0,
            stream: 0,
            kind,
        });
    }

    /// Takes as many pieces as fit into `room` bytes; none if the next one does not fit.
    pub(crate) fn fill(&mut self, room: usize) -> Vec<u8> {
        let mut pieces = Vec::new();
        let mut passed_over = 0;
        while passed_over < self.turns.len() {
            let Some(pair) = self.turns.pop_front() else { break };
            let left = room - pieces.len();
            match self.put_piece(pair, &mut pieces, left) {
                Turn::Done => passed_over = 0,
                // It waits until another long record has been sent; other pairs need not.
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
        let (len, at, kind) = (next.record.len(), next.at, next.kind);
        let is_short = PIECE_HEAD + len <= crate::frame::PIECES_LEN_MAX;
        let piece = match room.saturating_sub(PIECE_HEAD).min(len - at) {
            0 => return Turn::Full,
            // Short records are not split; this one goes into the next frame.
            fits if is_short && fits < len => return Turn::Full,
            // No tiny pieces of long records, either.
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
            queue.pop_front();
        }
        if queue.is_empty() {
            self.pairs.remove(&pair);
        } else {
            self.turns.push_back(pair);
        }
        if is_last {
            self.count(pair, kind, |sum| sum - len - RECORD_COST);
        }
        Turn::Done
    }

    fn count(&mut self, pair: Pair, (can_wait, is_long): Kind, change: impl Fn(usize) -> usize) {
        self.queued = change(self.queued);
        if !can_wait {
            self.unrefused = change(self.unrefused);
        } else if is_long {
            self.long = change(self.long);
        }
        if pair.0 == MODULES {
            self.modules = change(self.modules);
        }
        if pair == NAMES {
            self.names = change(self.names);
        }
    }
}

enum Turn {
    Done,
    Waits,
    Full,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_sender_has_paid_is_given_back_when_all_is_sent() {
        let (mut outbox, paid) = (Outbox::default(), std::sync::Arc::new(()));
        outbox.push_paid((1, 2), vec![0; 1 << 20], (true, true), Some(Box::new(paid.clone())));
        while !outbox.is_empty() {
            assert_eq!(std::sync::Arc::strong_count(&paid), 2);
            outbox.fill(crate::frame::PIECES_LEN_MAX);
        }
        assert_eq!(std::sync::Arc::strong_count(&paid), 1);
        outbox.push_paid((1, 2), vec![0; 1 << 20], (true, true), Some(Box::new(paid.clone())));
        drop(outbox);
        assert_eq!(std::sync::Arc::strong_count(&paid), 1);
    }

    #[test]
    fn only_what_is_never_refused_counts_towards_the_end_of_an_epoch() {
        let mut outbox = Outbox::default();
        outbox.push((1, 2), vec![0; OVERFLOW + 1], true);
        assert!(!outbox.has_room_for_long() && !outbox.is_overflowing());
        let signal = vec![0; 1 << 20];
        for _ in 0..OVERFLOW / signal.len() {
            assert!(!outbox.is_overflowing());
            outbox.push((1, 3), signal.clone(), false);
        }
        assert!(outbox.is_overflowing());
        while !outbox.is_empty() {
            outbox.fill(crate::frame::PIECES_LEN_MAX);
        }
        assert_eq!(
            (outbox.queued, outbox.unrefused, outbox.names, outbox.long),
            (0, 0, 0, 0)
        );
    }
}
