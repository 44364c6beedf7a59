//! One epoch between two nodes, from the moment when both know it: numbers, credit, signs of life.
//!
//! Frames have numbers. A frame that was received before is ignored; one that comes too early ends the epoch, as
//! nothing is sent twice. A beat carries the number of the last frame, so the loss of that one is noticed, too.
//!
//! The receiver grants bytes: the limit counts the bytes of pieces from the start of the epoch, and the sender must not
//! exceed it. The limit grows as the receiver takes pieces. A node that stands still grants nothing, so at most one
//! window is on its way to it.

use std::collections::HashSet;
use std::time::Duration;

use lunatic_kernel::exit::Loss;

use crate::frame::{PIECES_LEN_MAX, State};
use crate::inbox::Inbox;
use crate::outbox::{LONG, Outbox, Paid, Pair};

/// The times after which a node acts by itself, and its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// An epoch ends when nothing has come for this long. 8 s.
    pub silence_max: Duration,
    /// A sign of life is sent when nothing else was sent for this long. 1 s.
    pub beat: Duration,
    /// How long an answer may take after the transport has reported the node as lost. 1 s.
    pub doubt: Duration,
    /// The first interval between two hellos; later ones are up to twenty times as long. 0.5 s.
    pub greeting: Duration,
    /// How long to greet a node that the transport does not see. 60 s.
    pub patience: Duration,
    /// How many bytes of pieces may be on their way to this node from one other; at least two frames. 768 KiB.
    pub window: u32,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            silence_max: Duration::from_secs(8),
            beat: Duration::from_secs(1),
            doubt: Duration::from_secs(1),
            greeting: Duration::from_millis(500),
            patience: Duration::from_secs(60),
            window: 768 << 10,
        }
    }
}

/// What happens to a record if there is no room for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pressure {
    /// It is refused, and its sender waits.
    Waits,
    /// It is taken: its sender has asked for room before.
    Admitted,
    /// It is taken, and counts towards the end of the epoch.
    Passes,
}

/// The next frame to send.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outgoing {
    Data { seq: u64, state: State, pieces: Vec<u8> },
    Beat { seq: u64, state: State, asks: bool },
}

pub(crate) struct Traffic {
    timing: Timing,
    outbox: Outbox,
    inbox: Inbox,
    /// The number of the last frame that was sent, acknowledged and received.
    sent: u64,
    acked: u64,
    received: u64,
    /// How many bytes of pieces were sent, and may be.
    sent_bytes: u64,
    limit: u64,
    /// How many bytes of pieces were received, and have been granted.
    received_bytes: u64,
    granted: u64,
    /// When something was last sent and received.
    last_out: Duration,
    last_in: Duration,
    /// Since when the transport has considered the node lost.
    doubted: Option<Duration>,
    /// When the peer last took something, or too much did not wait for it.
    taken: Duration,
    /// A beat is due; true if it asks for an answer.
    beats: Option<bool>,
    /// Whether a message was refused and the room after it has not been reported.
    was_full: bool,
    /// The senders of long messages that were refused since the room for one was last reported.
    long_refused: HashSet<u64>,
    /// The last poll ended before all was sent that may be.
    has_more: bool,
}

impl Traffic {
    pub(crate) fn new(now: Duration, timing: Timing, peer_window: u32) -> Self {
        Self {
            timing,
            outbox: Outbox::default(),
            inbox: Inbox::default(),
            sent: 0,
            acked: 0,
            received: 0,
            sent_bytes: 0,
            // As in the hello: a peer that accepts fewer than two frames would block for ever.
            limit: peer_window.max(2 * PIECES_LEN_MAX as u32).into(),
            received_bytes: 0,
            granted: timing.window.into(),
            last_out: now,
            last_in: now,
            doubted: None,
            taken: now,
            beats: None,
            was_full: false,
            long_refused: HashSet::new(),
            has_more: false,
        }
    }

    /// Takes a record. False if there is no room for one that can wait.
    pub(crate) fn push(&mut self, pair: Pair, record: Vec<u8>, pressure: Pressure) -> bool {
        self.push_paid(pair, record, pressure, None)
    }

    /// [`push`](Self::push), with what the sender pays until all of the record has been sent.
    pub(crate) fn push_paid(&mut self, pair: Pair, record: Vec<u8>, pressure: Pressure, paid: Option<Paid>) -> bool {
        let waits = pressure == Pressure::Waits;
        if waits && !self.asks_for_room(pair.0, record.len()) {
            return false;
        }
        // A long record that has only asked for the room of a short one counts as others do, so that few are admitted.
        let is_long = waits && record.len() > LONG;
        let kind = (pressure != Pressure::Passes, is_long);
        self.outbox.push_paid(pair, record, kind, paid);
        true
    }

    /// Whether there is room for a record of this sender and length; if not, the room after this is reported.
    pub(crate) fn asks_for_room(&mut self, sender: u64, len: usize) -> bool {
        let has_room = self.outbox.has_room_for(len);
        if !has_room && len > LONG {
            self.long_refused.insert(sender);
        } else {
            self.was_full |= !has_room;
        }
        has_room
    }

    /// Whether there is room for whatever was last refused to this sender; if not, the room after this is reported.
    pub(crate) fn asks_again(&mut self, sender: u64) -> bool {
        let len = if self.long_refused.contains(&sender) {
            LONG + 1
        } else {
            0
        };
        self.asks_for_room(sender, len)
    }

    pub(crate) fn has_room(&self) -> bool {
        self.outbox.has_room()
    }

    /// Whether more records about names are to be added.
    pub(crate) fn takes_names(&self) -> bool {
        self.outbox.takes_names()
    }

    /// Whether the peer has requested more of modules than it takes.
    pub(crate) fn has_too_much_of_modules(&self) -> bool {
        self.outbox.has_too_much_of_modules()
    }

    pub(crate) fn has_more(&self) -> bool {
        self.has_more
    }

    /// More is to be sent than one poll sends: the next one is due now.
    pub(crate) fn polls_again(&mut self) {
        self.has_more = true;
    }

    /// Whether there is room again after a message was refused; true only once.
    pub(crate) fn take_room(&mut self) -> bool {
        let has_long = !self.long_refused.is_empty() && self.outbox.has_room_for_long();
        if has_long {
            self.long_refused = HashSet::new();
        }
        let has_short = self.was_full && self.outbox.has_room();
        self.was_full &= !has_short;
        has_long || has_short
    }

    /// How many bytes wait to be sent.
    pub(crate) fn queued(&self) -> usize {
        self.outbox.queued()
    }

    /// The transport has reported the node as lost; it has a moment to prove the contrary.
    pub(crate) fn doubt(&mut self, now: Duration) {
        if self.doubted.is_none() {
            self.doubted = Some(now);
            self.beats = Some(true);
        }
    }

    fn heard(&mut self, now: Duration, state: State) -> Result<(), Loss> {
        if state.ack > self.sent {
            return Err(Loss::Violation);
        }
        (self.last_in, self.doubted) = (now, None);
        if state.ack > self.acked || state.limit > self.limit {
            self.taken = now;
        }
        self.acked = self.acked.max(state.ack);
        // Beats may come twice or late: the largest limit counts.
        self.limit = self.limit.max(state.limit);
        Ok(())
    }

    pub(crate) fn on_data(
        &mut self,
        now: Duration,
        seq: u64,
        state: State,
        pieces: &[u8],
        whole: impl FnMut(Vec<u8>),
    ) -> Result<(), Loss> {
        self.heard(now, state)?;
        if seq <= self.received {
            return Ok(());
        }
        if seq > self.received + 1 {
            return Err(Loss::Gap);
        }
        self.received = seq;
        self.received_bytes += pieces.len() as u64;
        if self.received_bytes > self.granted {
            return Err(Loss::Violation);
        }
        self.inbox.take(pieces, whole).map_err(|_| Loss::Violation)
    }

    pub(crate) fn on_beat(&mut self, now: Duration, seq: u64, state: State, asks: bool) -> Result<(), Loss> {
        self.heard(now, state)?;
        if seq > self.received {
            return Err(Loss::Gap);
        }
        if asks && self.beats.is_none() {
            self.beats = Some(false);
        }
        Ok(())
    }

    fn state(&mut self) -> State {
        self.granted = self.received_bytes + u64::from(self.timing.window);
        State {
            ack: self.received,
            limit: self.granted,
        }
    }

    /// The next frame, if one is due. Everything that came until `heard` has been handled: silence is judged by that.
    pub(crate) fn poll(&mut self, now: Duration, heard: Duration) -> Result<Option<Outgoing>, Loss> {
        if heard >= self.last_in + self.timing.silence_max {
            return Err(Loss::Silent);
        }
        if self.doubted.is_some_and(|since| heard >= since + self.timing.doubt) {
            return Err(Loss::Closed);
        }
        self.has_more = false;
        let room = self.limit.saturating_sub(self.sent_bytes).min(PIECES_LEN_MAX as u64);
        let pieces = self.outbox.fill(room as usize);
        if !pieces.is_empty() {
            self.sent += 1;
            self.sent_bytes += pieces.len() as u64;
            self.last_out = now;
            let (seq, state) = (self.sent, self.state());
            return Ok(Some(Outgoing::Data { seq, state, pieces }));
        }
        // A program can make more signals at once than there is room for. Only a peer that takes none of them is given up.
        if !self.outbox.is_overflowing() {
            self.taken = heard;
        } else if heard >= self.taken + self.timing.silence_max || self.outbox.has_overflowed() {
            return Err(Loss::Overflow);
        }
        // A quarter of the window has been taken since the limit was last sent to the peer.
        let untold = self.received_bytes + u64::from(self.timing.window) - self.granted;
        let is_due = now >= self.last_out + self.timing.beat || untold >= u64::from(self.timing.window / 4);
        if self.beats.is_none() && !is_due {
            return Ok(None);
        }
        self.last_out = now;
        let asks = self.beats.take() == Some(true);
        let (seq, state) = (self.sent, self.state());
        Ok(Some(Outgoing::Beat { seq, state, asks }))
    }

    /// When [`poll`](Self::poll) is due if nothing comes or is sent before.
    pub(crate) fn next_due(&self) -> Duration {
        if self.has_more {
            return self.last_out;
        }
        let doubt = self.doubted.map(|since| since + self.timing.doubt);
        let due = (self.last_in + self.timing.silence_max).min(self.last_out + self.timing.beat);
        doubt.map_or(due, |doubt| doubt.min(due))
    }

    /// How many frames were sent but are not acknowledged.
    pub(crate) fn unacked(&self) -> u64 {
        self.sent - self.acked
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outbox::{OVERFLOW, OVERFLOW_MAX};

    const SECOND: Duration = Duration::from_secs(1);

    /// Traffic with so many bytes of signals to send.
    fn burst(bytes: usize) -> Traffic {
        let mut traffic = Traffic::new(Duration::ZERO, Timing::default(), 1 << 20);
        for pair in 0..(bytes >> 16) as u64 {
            traffic.push((1, pair), vec![0; 1 << 16], Pressure::Passes);
        }
        traffic
    }

    /// Polls each second, after the peer has said this; why the epoch has ended, and when.
    fn ends(traffic: &mut Traffic, seconds: u32, state: impl Fn(&Traffic) -> State) -> Option<(u32, Loss)> {
        for second in 1..=seconds {
            let now = second * SECOND;
            let state = state(traffic);
            traffic.on_beat(now, 0, state, false).unwrap();
            loop {
                match traffic.poll(now, now) {
                    Ok(Some(Outgoing::Data { .. })) => {}
                    Ok(_) => break,
                    Err(loss) => return Some((second, loss)),
                }
            }
        }
        None
    }

    #[test]
    fn a_burst_of_signals_ends_the_epoch_only_if_the_peer_takes_nothing() {
        let takes = |traffic: &Traffic| State {
            ack: traffic.sent,
            limit: traffic.sent_bytes + (1 << 20),
        };
        let mut traffic = burst(OVERFLOW + (16 << 20));
        assert_eq!(ends(&mut traffic, 100, takes), None);
        assert_eq!(traffic.queued(), 0);
        let mut traffic = burst(OVERFLOW + (16 << 20));
        let end = ends(&mut traffic, 100, |_| State::default());
        assert_eq!(end, Some((8, Loss::Overflow)));
        // However much the peer takes, memory is bounded.
        let mut traffic = burst(OVERFLOW_MAX + (16 << 20));
        assert_eq!(ends(&mut traffic, 100, takes), Some((1, Loss::Overflow)));
    }
}
