//! Restarts: counting them, and delaying them.
//!
//! All supervisors use this engine. A restart is an event in the supervisor's loop. A restart that has to wait is put
//! on a list with the time at which it is due, and the loop goes on with requests until then. If the restart fails
//! because the child cannot be started, it is put on the list again. So a child never keeps its supervisor from
//! answering, however often it fails.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::process::this_process;

/// How many restarts are allowed within a period; with one more the supervisor gives up. OTP's `intensity` and
/// `period`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intensity {
    /// The number of restarts that are allowed.
    pub restarts: u32,
    /// The period.
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

/// Identifies a restart that is waiting: the time at which it is due, and a number that orders restarts due at the same
/// time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Due {
    at: Instant,
    number: u64,
}

impl Due {
    /// How long it is until then.
    pub(super) fn left(self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }
}

/// The restarts of a supervisor that identifies its children by `K`.
#[derive(Debug)]
pub(super) struct Restarts<K> {
    /// What the supervisor is called in reports.
    kind: &'static str,
    intensity: Intensity,
    /// The times of the restarts that still count towards the intensity.
    made: VecDeque<Instant>,
    waiting: BTreeMap<Due, K>,
    /// The number of the last restart that was put on the list.
    last: u64,
    quiet: bool,
}

impl<K> Restarts<K> {
    pub(super) fn new(kind: &'static str, intensity: Intensity, quiet: bool) -> Self {
        Self {
            kind,
            intensity,
            made: VecDeque::new(),
            waiting: BTreeMap::new(),
            last: 0,
            quiet,
        }
    }

    /// Counts a restart that is about to be made; false if it is one too many.
    pub(super) fn count(&mut self, now: Instant) -> bool {
        let is_over = |made: &Instant| now.duration_since(*made) > self.intensity.period;
        while self.made.front().is_some_and(is_over) {
            self.made.pop_front();
        }
        if self.made.len() >= self.intensity.restarts as usize {
            return false;
        }
        self.made.push_back(now);
        true
    }

    /// The ages of the restarts that still count.
    pub(super) fn ages(&self, now: Instant) -> Vec<Duration> {
        self.made.iter().map(|made| now.duration_since(*made)).collect()
    }

    /// Restores the restarts that still count from their ages.
    pub(super) fn set_ages(&mut self, ages: &[Duration], now: Instant) {
        self.made = ages.iter().filter_map(|age| now.checked_sub(*age)).collect();
    }

    /// Schedules a restart after `delay`.
    pub(super) fn wait(&mut self, child: K, delay: Duration) -> Due {
        /// Replaces delays that no clock can represent.
        const FOR_EVER: Duration = Duration::from_secs(1 << 32);

        let now = Instant::now();
        self.last += 1;
        let due = Due {
            at: now.checked_add(delay).unwrap_or_else(|| now + FOR_EVER),
            number: self.last,
        };
        self.waiting.insert(due, child);
        due
    }

    /// The restarts that are waiting, the next one first, with the time until each.
    pub(super) fn waiting(&self) -> impl Iterator<Item = (Duration, &K)> {
        self.waiting.iter().map(|(due, child)| (due.left(), child))
    }

    /// The number of restarts that are waiting.
    pub(super) fn waiting_len(&self) -> usize {
        self.waiting.len()
    }

    /// Cancels a restart.
    pub(super) fn cancel(&mut self, due: Due) {
        self.waiting.remove(&due);
    }

    /// The time at which the next restart is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|(due, _)| due.at)
    }

    /// Takes the next restart off the list, if it is due.
    pub(super) fn take_due(&mut self) -> Option<K> {
        let next = self.waiting.first_entry()?;
        (next.key().at <= Instant::now()).then(|| next.remove())
    }

    /// Reports that a child, which has exited or could not be started, is restarted now; for the `nth` time, if that is
    /// known.
    pub(super) fn say_restart(&self, child: &str, why: &str, nth: Option<u64>) {
        let of_it = nth.map_or(String::new(), |nth| format!("restart {nth} of it; "));
        let (count, Intensity { restarts, period }) = (self.made.len(), self.intensity);
        self.say(&format!(
            "restarts {child}, which {why} ({of_it}{count} of at most {restarts} in {period:?})"
        ));
    }

    /// Reports that a child is going to be restarted after `delay`.
    pub(super) fn say_wait(&self, child: &str, why: &str, delay: Duration) {
        if !delay.is_zero() {
            self.say(&format!("waits {delay:?} before it restarts {child}, which {why}"));
        }
    }

    /// Reports that a restart would be one too many.
    pub(super) fn say_too_many(&self, child: &str, why: &str) {
        let Intensity { restarts, period } = self.intensity;
        let times = match restarts {
            1 => "once".to_owned(),
            _ => format!("{restarts} times"),
        };
        self.say(&format!(
            "gives up: {child} {why}, and would be restarted more than {times} in {period:?}"
        ));
    }

    /// Writes a report to standard error, unless the supervisor is quiet.
    pub(super) fn say(&self, what: &str) {
        if !self.quiet {
            eprintln!("{} {} {what}", self.kind, this_process());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn restarts(restarts: u32) -> Restarts<&'static str> {
        let period = Duration::from_secs(5);
        Restarts::new("supervisor", Intensity { restarts, period }, true)
    }

    #[test]
    fn one_restart_too_many_within_the_period_is_refused() {
        let (mut restarts, start) = (restarts(2), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        assert!(restarts.count(after(0)));
        assert!(restarts.count(after(4)));
        assert!(!restarts.count(after(5)));
        assert!(restarts.count(after(6)), "the first does not count any more");
        assert!(!restarts.count(after(9)));
        assert_eq!(restarts.made.len(), 2);
    }

    #[test]
    fn with_none_allowed_the_first_is_too_many() {
        assert!(!restarts(0).count(Instant::now()));
    }

    #[test]
    fn restarts_come_when_they_are_due_and_in_their_order() {
        let (mut restarts, hour) = (restarts(1), Duration::from_secs(3600));
        assert_eq!((restarts.next(), restarts.take_due()), (None, None));
        restarts.wait("in an hour", hour);
        restarts.wait("never", Duration::MAX);
        let cancelled = restarts.wait("cancelled", Duration::ZERO);
        restarts.wait("first", Duration::ZERO);
        restarts.wait("second", Duration::ZERO);
        restarts.cancel(cancelled);
        assert!(restarts.next().is_some_and(|at| at <= Instant::now()));
        assert_eq!(
            [(); 3].map(|()| restarts.take_due()),
            [Some("first"), Some("second"), None]
        );
        assert!(restarts.next().is_some_and(|at| at > Instant::now()));
    }
}
