//! What a peer may cost.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// The bounds of a server. Each has a default that a public server can live with.
///
/// What is about time counts only while the connection waits for its peer, never while a handler works: the time of handlers is
/// limited by [`TimeLimit`](crate::TimeLimit).
///
/// # Examples
///
/// ```
/// use lunatic_http::Limits;
///
/// let limits = Limits {
///     body_len: 64 << 20, // uploads
///     ..Limits::default()
/// };
/// assert_eq!(limits.head_len, 16 << 10);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of a request's or response's head: its first line and all headers. 16 KiB; more is answered with 431.
    pub head_len: usize,
    /// Headers of a request or response: 100, at most [`Limits::HEADERS_MAX`]; more is answered with 431.
    pub headers: usize,
    /// Bytes of a request's target. 8 KiB; more is answered with 414.
    pub target_len: usize,
    /// Bytes of a request's body: 1 MiB; more is answered with 413. A handler can change it for its request:
    /// [`Body::set_limit`](crate::Body::set_limit).
    pub body_len: u64,
    /// From the first byte of a head to its last: 10 s, then 408.
    pub head_timeout: Duration,
    /// How long a body may come later than at [`rate_min`](Self::rate_min): 30 s, then 408.
    pub body_timeout: Duration,
    /// How long a response may be taken later than at [`rate_min`](Self::rate_min): 30 s, then the connection is closed.
    pub write_timeout: Duration,
    /// Bytes a second that a peer has to send of a body, and to take of a response, on average: 1 KiB.
    pub rate_min: u64,
    /// Between two requests: 60 s, then the connection is closed.
    pub idle_timeout: Duration,
    /// Requests on one connection: 10,000, then it is closed, so that no client keeps one for ever.
    pub requests: u64,
    /// Connections at once: 10,000. One more gets 503; where very many come, some are closed without it.
    pub connections: usize,
}

impl Limits {
    /// No limit for [`headers`](Self::headers) can be larger than this: so many have their places on the stack.
    pub const HEADERS_MAX: usize = 128;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_len: 16 << 10,
            headers: 100,
            target_len: 8 << 10,
            body_len: 1 << 20,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            write_timeout: Duration::from_secs(30),
            rate_min: 1 << 10,
            idle_timeout: Duration::from_secs(60),
            requests: 10_000,
            connections: 10_000,
        }
    }
}

/// How long a peer has kept us waiting, measured against what it has sent or taken: one byte a minute is as bad as none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    slack: Duration,
    rate_min: u64,
    waited: Duration,
    bytes: u64,
}

impl Pace {
    pub(crate) fn new(slack: Duration, rate_min: u64) -> Self {
        Self {
            slack,
            rate_min: rate_min.max(1),
            waited: Duration::ZERO,
            bytes: 0,
        }
    }

    /// How long the peer may make us wait now; none if its time is over.
    pub(crate) fn left(&self) -> Option<Duration> {
        let earned = Duration::from_millis(self.bytes.saturating_mul(1000) / self.rate_min);
        let left = self.slack.saturating_add(earned).saturating_sub(self.waited);
        (!left.is_zero()).then_some(left)
    }

    /// A wait since `start` is over; it brought so many bytes.
    pub(crate) fn waited(&mut self, start: Instant, bytes: usize) {
        self.waited = self.waited.saturating_add(start.elapsed());
        self.brought(bytes);
    }

    /// So many bytes went over, and nobody looked how long it took.
    pub(crate) fn brought(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_earned_by_bytes() {
        let mut pace = Pace::new(Duration::from_secs(2), 1000);
        assert_eq!(pace.left(), Some(Duration::from_secs(2)));
        pace.bytes = 3000;
        assert_eq!(pace.left(), Some(Duration::from_secs(5)));
        pace.waited = Duration::from_secs(4);
        assert_eq!(pace.left(), Some(Duration::from_secs(1)));
        pace.waited = Duration::from_secs(5);
        assert_eq!(pace.left(), None);
    }

    #[test]
    fn a_rate_of_zero_and_endless_slack_do_not_overflow() {
        let mut pace = Pace::new(Duration::MAX, 0);
        pace.bytes = u64::MAX;
        assert!(pace.left().is_some());
    }
}
