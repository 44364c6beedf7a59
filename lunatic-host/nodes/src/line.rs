//! The line to one node: how an epoch begins, and that it ends once.
//!
//! Each side of a line has a *session*, a number that is larger in each new attempt. The two sessions together are the
//! *epoch*. A line is in one of two states:
//!
//! - *greeting*: it sends hellos with its own session, and with the other's as soon as it knows that;
//! - *up*: the other side has shown that it knows this session, by a hello or by a frame of the epoch.
//!
//! An epoch can end for many reasons, but always in [`Line::lose`]. Then the line greets with a new session. If the
//! other side is still up, the hello shows it that the epoch is over. Late frames of an old epoch carry other sessions,
//! and are ignored.

use std::time::Duration;

use lunatic_kernel::exit::Loss;

use crate::frame::{Hello, Route};
use crate::identity::{Identity, NodeId};
use crate::traffic::{Outgoing, Timing, Traffic};
use crate::trust::PeerRights;

/// The effect of a frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// No change of the epoch.
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
    /// The other side's session, or 0.
    theirs: u64,
    peer_window: u32,
    pub(crate) traffic: Option<Traffic>,
    /// Whether the transport sees the node.
    pub(crate) is_seen: bool,
    /// When the line began to greet.
    since: Duration,
    next_greeting: Duration,
    greeting: Duration,
    /// An answer to a hello is due; true if the answer asks for one, too.
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

    /// The epoch: both sessions, first that of the node with the smaller number.
    pub(crate) fn epoch(&self) -> (u64, u64) {
        match self.ids.0 < self.ids.1 {
            true => (self.mine, self.theirs),
            false => (self.theirs, self.mine),
        }
    }

    /// This side's session, which no other epoch of this node has.
    pub(crate) fn session(&self) -> u64 {
        self.mine
    }

    /// Whether a hello with this route would change anything: one of an attempt that the other side has given up does
    /// not, nor does one that repeats what is known.
    pub(crate) fn is_news(&self, route: Route, hello: &Hello) -> bool {
        let is_old = route.mine == 0 || route.mine < self.theirs;
        let is_known = route.mine == self.theirs && self.traffic.is_some() && !hello.asks;
        !is_old && !is_known
    }

    /// Whether a frame other than a hello belongs to the epoch.
    pub(crate) fn is_of_epoch(&self, route: Route) -> bool {
        self.theirs != 0 && (route.mine, route.theirs) == (self.theirs, self.mine)
    }

    /// Takes a hello with a valid proof. `session` is this side's next session, used if the hello ends the epoch.
    pub(crate) fn on_hello(&mut self, now: Duration, route: Route, hello: &Hello, session: u64) -> Heard {
        // From an attempt that the other side has given up.
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

    /// Takes note that a frame of the epoch has come: the other side knows this session.
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

    /// Ends the epoch: the line greets with another session.
    pub(crate) fn lose(&mut self, now: Duration, session: u64) {
        self.traffic = None;
        self.mine = session;
        (self.since, self.next_greeting, self.greeting) = (now, now, self.timing.greeting);
        self.answers = None;
    }

    /// The transport sees the node (again), so the line greets it soon.
    pub(crate) fn seen(&mut self, now: Duration) {
        self.is_seen = true;
        if self.traffic.is_none() {
            (self.since, self.next_greeting, self.greeting) = (now, now, self.timing.greeting);
        }
    }

    /// Whether the node has been silent long enough to be forgotten.
    pub(crate) fn is_forlorn(&self, now: Duration) -> bool {
        self.traffic.is_none() && !self.is_seen && now >= self.since + self.timing.patience
    }

    /// If a hello is due: whether it asks for an answer.
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

    /// The next frame; `heard` is as in [`Traffic::poll`].
    pub(crate) fn poll(&mut self, now: Duration, heard: Duration) -> Result<Option<Outgoing>, Loss> {
        self.traffic
            .as_mut()
            .map_or(Ok(None), |traffic| traffic.poll(now, heard))
    }

    /// Whether the last poll was not enough.
    pub(crate) fn has_more(&self) -> bool {
        self.traffic.as_ref().is_some_and(Traffic::has_more)
    }

    /// The next poll is due now, as this one was not enough.
    pub(crate) fn polls_again(&mut self) {
        if let Some(traffic) = &mut self.traffic {
            traffic.polls_again();
        }
    }

    pub(crate) fn next_due(&self) -> Duration {
        self.traffic.as_ref().map_or(self.next_greeting, Traffic::next_due)
    }
}
