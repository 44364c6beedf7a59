//! Delays before restarts.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// How long a supervisor waits before it restarts a child that keeps failing: longer after each failure in a row.
///
/// Without a back-off, restarts are immediate, as in OTP. Then a child that fails for a lasting reason, such as a
/// server that is down or a file that is locked, uses up the [intensity](super::Spec::intensity) of its supervisor
/// within milliseconds. With a back-off, the supervisor can wait until the reason has gone. A restart counts towards
/// the intensity when it is tried, not while it waits: choose an intensity that fits the longest delay.
///
/// The row of failures ends once the child has run for longer than the longest delay. While a restart waits, the
/// supervisor answers requests, and the children that are restarted together with the failed one are already
/// terminated.
///
/// # Examples
///
/// ```no_run
/// use std::time::Duration;
///
/// use lunatic::supervisor::{Backoff, Child, Spec};
///
/// // Tries again after 0.1 s, 0.3 s, 0.9 s, 2.7 s, and then every 5 s, each up to a fifth earlier.
/// let patient = Backoff::new(Duration::from_millis(100))
///     .factor(3)
///     .max(Duration::from_secs(5))
///     .jitter(20);
/// let spec = Spec::one_for_one()
///     .intensity(20, Duration::from_secs(60))
///     .child(Child::process("feed", || { /* connects to a server */ }).backoff(patient));
/// # drop(spec);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backoff {
    first: Duration,
    factor: u32,
    max: Duration,
    /// In percent of the delay.
    jitter: u32,
}

impl Backoff {
    /// The default for the longest delay: long enough to spare a server that is down, and short enough that nobody has
    /// to intervene when it is back.
    const MAX: Duration = Duration::from_secs(60);

    /// Makes a back-off whose first delay in a row is `first`. By default each further delay is twice as long as the
    /// one before, the longest delay is a minute (or `first`, if that is longer), and there is no jitter.
    #[must_use]
    pub fn new(first: Duration) -> Self {
        Self {
            first,
            factor: 2,
            max: Self::MAX.max(first),
            jitter: 0,
        }
    }

    /// Sets by which factor each delay is longer than the one before. With 1 (or 0), all delays are equal. The default
    /// is 2.
    #[must_use]
    pub fn factor(mut self, factor: u32) -> Self {
        self.factor = factor.max(1);
        self
    }

    /// Sets the longest delay. The default is one minute.
    #[must_use]
    pub fn max(mut self, max: Duration) -> Self {
        self.max = max;
        self
    }

    /// Shortens each delay at random, by up to this many percent, so that children of many supervisors that failed
    /// together do not all come back at the same moment. The default is 0; values above 100 count as 100.
    #[must_use]
    pub fn jitter(mut self, percent: u32) -> Self {
        self.jitter = percent.min(100);
        self
    }

    /// The delay after this many earlier failures in a row, without jitter.
    fn longest_after(&self, failures: u32) -> Duration {
        let times = self.factor.checked_pow(failures);
        let delay = times.and_then(|times| self.first.checked_mul(times));
        delay.unwrap_or(Duration::MAX).min(self.max)
    }

    fn delay_after(&self, failures: u32) -> Duration {
        let longest = self.longest_after(failures);
        if self.jitter == 0 {
            return longest;
        }
        // Hashers of std have random keys; this is the only source of random numbers that needs no dependency.
        let random = (RandomState::new().hash_one(()) >> 32) as u32;
        let share = f64::from(self.jitter) / 100.0 * f64::from(random) / f64::from(u32::MAX);
        longest.saturating_sub(longest.mul_f64(share))
    }
}

/// The failures of a child in a row.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Streak {
    failures: u32,
    /// When the child was started; `None` if it is not known to be running.
    started: Option<Instant>,
}

impl Streak {
    /// Returns the failures, and how long ago the child was started.
    pub(super) fn to_saved(self) -> (u32, Option<Duration>) {
        (self.failures, self.started.map(|started| started.elapsed()))
    }

    /// Restores the value that [`to_saved`](Self::to_saved) has returned.
    pub(super) fn from_saved((failures, age): (u32, Option<Duration>)) -> Self {
        Self {
            failures,
            started: age.and_then(|age| Instant::now().checked_sub(age)),
        }
    }

    /// The streak of a child that was started.
    pub(super) fn started(backoff: Option<&Backoff>) -> Self {
        Self::default().restarted(backoff)
    }

    /// The streak after a restart of the child.
    pub(super) fn restarted(self, backoff: Option<&Backoff>) -> Self {
        Self {
            started: backoff.map(|_| Instant::now()),
            ..self
        }
    }

    /// Records that the child has failed, or could not be started. Returns the delay of its restart.
    pub(super) fn failed(&mut self, backoff: Option<&Backoff>) -> Duration {
        let Some(backoff) = backoff else {
            return Duration::ZERO;
        };
        let has_run_well = self.started.take().is_some_and(|start| start.elapsed() > backoff.max);
        if has_run_well {
            self.failures = 0;
        }
        let delay = backoff.delay_after(self.failures);
        self.failures = self.failures.saturating_add(1);
        delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn delays_grow_up_to_the_longest() {
        let check = |backoff: Backoff, expected: &[u64]| {
            let delays: Vec<u64> = (0..expected.len() as u32)
                .map(|failures| backoff.delay_after(failures).as_secs())
                .collect();
            assert_eq!(delays, expected, "{backoff:?}");
        };
        check(Backoff::new(SECOND), &[1, 2, 4, 8, 16, 32, 60, 60]);
        check(Backoff::new(SECOND).factor(3).max(10 * SECOND), &[1, 3, 9, 10, 10]);
        check(Backoff::new(2 * SECOND).factor(1), &[2, 2, 2]);
        check(Backoff::new(100 * SECOND), &[100, 100]);
        check(Backoff::new(SECOND).factor(0), &[1, 1]);
        let far = Backoff::new(SECOND).max(Duration::MAX);
        assert_eq!(far.delay_after(u32::MAX), Duration::MAX);
    }

    #[test]
    fn jitter_shortens_delays_by_no_more_than_its_share() {
        let backoff = Backoff::new(100 * SECOND).jitter(20);
        let delays: Vec<Duration> = (0..100).map(|_| backoff.delay_after(0)).collect();
        assert!(delays.iter().all(|delay| (80 * SECOND..=100 * SECOND).contains(delay)));
        assert!(delays.iter().any(|delay| *delay != delays[0]));
    }

    #[test]
    fn a_row_of_failures_ends_when_the_child_has_run_for_long() {
        let backoff = Backoff::new(SECOND).max(4 * SECOND);
        let mut streak = Streak::started(Some(&backoff));
        let mut fail = |ran: Option<Duration>| {
            streak.started = ran.map(|ran| Instant::now() - ran);
            streak.failed(Some(&backoff)).as_secs()
        };
        let short = Some(Duration::ZERO);
        assert_eq!([fail(short), fail(None), fail(short), fail(short)], [1, 2, 4, 4]);
        assert_eq!([fail(Some(5 * SECOND)), fail(short)], [1, 2]);
    }

    #[test]
    fn without_a_backoff_no_restart_waits() {
        let mut streak = Streak::started(None);
        assert_eq!([streak.failed(None), streak.failed(None)], [Duration::ZERO; 2]);
    }
}
