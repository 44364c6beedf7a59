//! The line to one node: how an epoch begins, and that it ends once.
//!
//! Each side of a line has a *session*, a number that grows with each new attempt. Both sessions together are the *epoch*. A line
//! is in one of two states:
//!
//! - *greeting*: it sends hellos with its session, and with the other's once it knows it;
//! - *up*: the other has shown that it knows this session, by a hello or by a frame of the epoch.
//!
//! An epoch ends for one of many reasons, and always by [`Line::lose`]. Then the line greets with a new session, and the other
//! side, if it is still up, learns by the hello that the epoch is over. What comes late of an old epoch has other sessions, and
//! is passed over.

use std::time::Duration;

use lunatic_kernel::exit::Loss;

use crate::frame::{Hello, Route};
use crate::identity::{Identity, NodeId};
use crate::traffic::{Outgoing, Timing, Traffic};
use crate::trust::PeerRights;

/// What came of a frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Nothing that others need to know.
    Nothing,
    /// The epoch has begun.
    Up,
    /// The epoch has ended, and another may begin.
    Lost(Loss),
}

pub(crate) struct Line {
    pub(crate) identity: Identity,
    pub(crate) rights: PeerRights,
    timing: Timing,
    ids: (NodeId, NodeId),
    /// This side's session.
    mine: u64,
    /// The other side's, or 0.
    theirs: u64,
    peer_window: u32,
    pub(crate) traffic: Option<Traffic>,
    /// The transport sees the node.
    pub(crate) is_seen: bool,
    /// Since when the line greets.
    since: Duration,
    next_greeting: Duration,
    greeting: Duration,
    /// An answer to a hello is due: whether it asks, too.
    answers: Option<bool>,
}

impl Line {
    pub(crate) fn new(now: Duration, timing: Timing, identity: Identity, ids: (NodeId, NodeId), session: u64) -> Self {
        Self {
            identity,
            rights: PeerRights::MESSAGES,
            timing,
            ids,
            mine: session,
            theirs: 0,
            peer_window: 0,
            traffic: None,
            is_seen: false,
            since: now,
            next_greeting: now,
            greeting: timing.greeting,
            answers: None,
        }
    }

    pub(crate) fn route(&self) -> Route {
        Route {
            from: self.ids.0,
            to: self.ids.1,
            mine: self.mine,
            theirs: self.theirs,
        }
    }

    /// The epoch: both sessions, that of the node with the smaller number first.
    pub(crate) fn epoch(&self) -> (u64, u64) {
        match self.ids.0 < self.ids.1 {
            true => (self.mine, self.theirs),
            false => (self.theirs, self.mine),
        }
    }

    /// Whether a frame that is no hello belongs to the epoch.
    pub(crate) fn is_of_epoch(&self, route: Route) -> bool {
        self.theirs != 0 && (route.mine, route.theirs) == (self.theirs, self.mine)
    }

    /// A hello whose proof is good. `session` is for the case that another epoch begins.
    pub(crate) fn on_hello(&mut self, now: Duration, route: Route, hello: &Hello, session: u64) -> Heard {
        // Of an attempt that the other side has given up.
        if route.mine < self.theirs || route.mine == 0 {
            return Heard::Nothing;
        }
        let mut heard = Heard::Nothing;
        if self.traffic.is_some() && route.mine > self.theirs {
            self.lose(now, session);
            heard = Heard::Lost(Loss::Reset);
        }
        (self.theirs, self.peer_window) = (route.mine, hello.window);
        if self.traffic.is_none() && route.theirs == self.mine {
            self.begin(now);
            heard = Heard::Up;
        }
        if hello.asks {
            self.answers = Some(self.traffic.is_none());
        }
        heard
    }

    /// A frame of the epoch shows that the other side knows this session.
    pub(crate) fn on_frame(&mut self, now: Duration) -> Heard {
        if self.traffic.is_some() {
            return Heard::Nothing;
        }
        self.begin(now);
        Heard::Up
    }

    fn begin(&mut self, now: Duration) {
        self.traffic = Some(Traffic::new(now, self.timing, self.peer_window));
    }

    /// The epoch is over: the line greets with another session.
    pub(crate) fn lose(&mut self, now: Duration, session: u64) {
        self.traffic = None;
        self.mine = session;
        (self.since, self.next_greeting, self.greeting) = (now, now, self.timing.greeting);
        self.answers = None;
    }

    /// The transport sees the node (again): it is worth greeting it soon.
    pub(crate) fn seen(&mut self, now: Duration) {
        self.is_seen = true;
        if self.traffic.is_none() {
            (self.since, self.next_greeting, self.greeting) = (now, now, self.timing.greeting);
        }
    }

    /// Whether the node has not answered for so long that it can be forgotten.
    pub(crate) fn is_forlorn(&self, now: Duration) -> bool {
        self.traffic.is_none() && !self.is_seen && now >= self.since + self.timing.patience
    }

    /// Whether a hello is due, and whether that asks for an answer.
    pub(crate) fn poll_hello(&mut self, now: Duration) -> Option<bool> {
        let is_greeting = self.traffic.is_none();
        if is_greeting && now >= self.next_greeting {
            self.next_greeting = now + self.greeting;
            self.greeting = (self.greeting * 2).min(self.timing.greeting * 20);
            self.answers = None;
            return Some(true);
        }
        self.answers.take()
    }

    pub(crate) fn poll(&mut self, now: Duration) -> Result<Option<Outgoing>, Loss> {
        self.traffic.as_mut().map_or(Ok(None), |traffic| traffic.poll(now))
    }

    pub(crate) fn next_due(&self) -> Duration {
        self.traffic.as_ref().map_or(self.next_greeting, Traffic::next_due)
    }
}
