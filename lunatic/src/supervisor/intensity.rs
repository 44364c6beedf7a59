//! How often a supervisor may restart before it gives up.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// At most so many restarts within a period; with one more the supervisor gives up. OTP's `intensity` and `period`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intensity {
    /// The number of restarts.
    pub restarts: u32,
    /// The time.
    pub period: Duration,
}

impl Default for Intensity {
    /// One restart in five seconds, as in OTP.
    fn default() -> Self {
        Self {
            restarts: 1,
            period: Duration::from_secs(5),
        }
    }
}

/// The restarts that count still.
#[derive(Debug, Default)]
pub(super) struct Restarts(VecDeque<Instant>);

impl Restarts {
    /// Counts a restart; false if it is one too many.
    pub(super) fn count(&mut self, now: Instant, intensity: Intensity) -> bool {
        while self
            .0
            .front()
            .is_some_and(|first| now.duration_since(*first) > intensity.period)
        {
            self.0.pop_front();
        }
        if self.0.len() >= intensity.restarts as usize {
            return false;
        }
        self.0.push_back(now);
        true
    }

    /// How many restarts count now.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_restart_too_many_within_the_period_is_refused() {
        let intensity = Intensity {
            restarts: 2,
            period: Duration::from_secs(5),
        };
        let (mut restarts, start) = (Restarts::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        assert!(restarts.count(after(0), intensity));
        assert!(restarts.count(after(4), intensity));
        assert!(!restarts.count(after(5), intensity));
        assert!(restarts.count(after(6), intensity), "the first does not count any more");
        assert!(!restarts.count(after(9), intensity));
        assert_eq!(restarts.len(), 2);
    }

    #[test]
    fn with_none_allowed_the_first_is_too_many() {
        let none = Intensity {
            restarts: 0,
            period: Duration::from_secs(5),
        };
        assert!(!Restarts::default().count(Instant::now(), none));
    }
}
