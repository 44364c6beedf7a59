//! One epoch between two nodes, from the moment that both know it: numbers, credit, signs of life.
//!
//! Frames have numbers. One that was received already is passed over; one that comes too early ends the epoch, as nothing is
//! ever sent twice. A beat tells the number of the last frame, so the loss of that one is noticed, too.
//!
//! The receiver grants bytes: it counts those of pieces from the start of the epoch, and the sender stays below the limit. The
//! limit grows with what has been taken. A node that stands still grants nothing, so at most a window is on its way to it.

use std::time::Duration;

use lunatic_kernel::exit::Loss;

use crate::frame::{PIECES_LEN_MAX, State};
use crate::inbox::Inbox;
use crate::outbox::{OVERFLOW, Outbox, Pair};

/// When a node acts without being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// An epoch ends when nothing has come for so long. 8 s.
    pub silence_max: Duration,
    /// A sign of life goes out when nothing else has for so long. 1 s.
    pub beat: Duration,
    /// The transport says that it has lost the node: so long may an answer take. 1 s.
    pub doubt: Duration,
    /// Between two hellos, at first; later up to twenty times as long. 0.5 s.
    pub greeting: Duration,
    /// So long is a node greeted that the transport does not see. 60 s.
    pub patience: Duration,
    /// The bytes of pieces that may be on their way to this node from one other: at least two frames. 768 KiB.
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

/// What is to be sent next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outgoing {
    Data { seq: u64, state: State, pieces: Vec<u8> },
    Beat { seq: u64, state: State, asks: bool },
}

pub(crate) struct Traffic {
    timing: Timing,
    outbox: Outbox,
    inbox: Inbox,
    /// The numbers of the last frames that went out, were acknowledged, and came in.
    sent: u64,
    acked: u64,
    received: u64,
    /// Bytes of pieces that went out, and that may.
    sent_bytes: u64,
    limit: u64,
    /// Bytes of pieces that came in, and that were granted.
    received_bytes: u64,
    granted: u64,
    /// When something went out and came in last.
    last_out: Duration,
    last_in: Duration,
    /// Since when the transport thinks that the node is lost.
    doubted: Option<Duration>,
    /// A beat goes out at the next opportunity; it asks for an answer if that is set.
    beats: Option<bool>,
    /// A message was refused, and nobody has been told of room since.
    was_full: bool,
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
            // As in the hello: a peer that takes less than two frames would block for ever.
            limit: peer_window.max(2 * PIECES_LEN_MAX as u32).into(),
            received_bytes: 0,
            granted: timing.window.into(),
            last_out: now,
            last_in: now,
            doubted: None,
            beats: None,
            was_full: false,
        }
    }

    /// Takes a record; false if it may wait (`can_wait`) and must.
    pub(crate) fn push(&mut self, pair: Pair, record: Vec<u8>, can_wait: bool) -> bool {
        if can_wait && !self.outbox.has_room() {
            self.was_full = true;
            return false;
        }
        self.outbox.push(pair, record);
        true
    }

    pub(crate) fn has_room(&self) -> bool {
        self.outbox.has_room()
    }

    /// Whether there is room again since a message was refused; told once.
    pub(crate) fn take_room(&mut self) -> bool {
        self.was_full && self.outbox.has_room() && std::mem::take(&mut self.was_full)
    }

    /// Bytes that wait for being sent.
    pub(crate) fn queued(&self) -> usize {
        self.outbox.queued()
    }

    /// The node is lost, the transport says: it has a moment to prove the contrary.
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
        self.acked = self.acked.max(state.ack);
        // Beats may come twice or late: the largest limit stands.
        self.limit = self.limit.max(state.limit);
        Ok(())
    }

    pub(crate) fn on_data(
        &mut self,
        now: Duration,
        seq: u64,
        state: State,
        pieces: &[u8],
        whole: impl FnMut(&[u8]),
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

    /// The next frame, if one is due.
    pub(crate) fn poll(&mut self, now: Duration) -> Result<Option<Outgoing>, Loss> {
        if now >= self.last_in + self.timing.silence_max {
            return Err(Loss::Silent);
        }
        if self.doubted.is_some_and(|since| now >= since + self.timing.doubt) {
            return Err(Loss::Closed);
        }
        let room = self.limit.saturating_sub(self.sent_bytes).min(PIECES_LEN_MAX as u64);
        let pieces = self.outbox.fill(room as usize);
        if !pieces.is_empty() {
            self.sent += 1;
            self.sent_bytes += pieces.len() as u64;
            self.last_out = now;
            let (seq, state) = (self.sent, self.state());
            return Ok(Some(Outgoing::Data { seq, state, pieces }));
        }
        if self.outbox.queued() > OVERFLOW {
            return Err(Loss::Overflow);
        }
        // A quarter of the window has been taken since the peer was told last.
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

    /// When [`poll`](Self::poll) has something to do though nothing has come or been sent.
    pub(crate) fn next_due(&self) -> Duration {
        let doubt = self.doubted.map(|since| since + self.timing.doubt);
        let due = (self.last_in + self.timing.silence_max).min(self.last_out + self.timing.beat);
        doubt.map_or(due, |doubt| doubt.min(due))
    }

    /// Frames that went out and were not acknowledged yet.
    pub(crate) fn unacked(&self) -> u64 {
        self.sent - self.acked
    }
}
