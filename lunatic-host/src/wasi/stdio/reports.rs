//! Texts of the host that are still to be made, in the order in which they were requested, and the limit on crash
//! reports and denials.
//!
//! The rate of crash reports is limited: [`BURST`] in a burst, and [`RATE`] per second from then on. So a program that
//! crashes 100,000 times a second neither fills a disk nor keeps a core busy with names and lines that nobody can read.
//! Further crashes are counted, and their number is reported once a second. So are denials for which there is no room.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// The most reports that wait to be made.
const WAITING_MAX: usize = 1024;
/// How many crashes are reported in a burst.
const BURST: u32 = 256;
/// How many more may be reported per second.
const RATE: u32 = 10;
/// After this time, the number of unreported crashes is reported.
const COUNTS_FOR: Duration = Duration::from_secs(1);

/// Makes the text of a report.
pub(super) type Make = Box<dyn FnOnce() -> String + Send>;

/// Makes a report. If a bug makes this fail, those who wait for it must not wait forever.
pub(super) fn made(make: Make) -> String {
    catch_unwind(AssertUnwindSafe(make))
        .unwrap_or_else(|_| "lunatic: bug: a process failed, and its report could not be made\n".to_owned())
}

/// Reports that wait to be made.
#[derive(Default)]
pub(super) struct Reports {
    waiting: VecDeque<Make>,
    /// Whether one of them is being made.
    making: bool,
    /// How much of each kind was left out since that was last reported, and when that is due.
    left_out: [u64; 2],
    due: Option<Instant>,
    rate: Rate,
}

/// What can be left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Crash,
    Denial,
}

/// The limit on crash reports.
struct Rate {
    left: u32,
    /// The time up to which `left` has been replenished.
    until: Option<Instant>,
}

impl Default for Rate {
    fn default() -> Self {
        Self {
            left: BURST,
            until: None,
        }
    }
}

impl Rate {
    /// Whether one more may be reported.
    fn admits(&mut self, now: Instant) -> bool {
        let until = *self.until.get_or_insert(now);
        let one = Duration::from_secs(1) / RATE;
        let more = now.saturating_duration_since(until).as_nanos() / one.as_nanos();
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        if more >= BURST - self.left {
            (self.left, self.until) = (BURST, Some(now));
        } else {
            (self.left, self.until) = (self.left + more, Some(until + one * more));
        }
        let admits = self.left > 0;
        self.left -= u32::from(admits);
        admits
    }
}

impl Reports {
    /// Whether nothing waits and nothing is being made.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && !self.making && self.left_out == [0; 2]
    }

    /// Whether one more crash is reported. If not, it is counted.
    pub(super) fn admits_crash(&mut self, now: Instant) -> bool {
        let admits = self.waiting.len() < WAITING_MAX && self.rate.admits(now);
        if !admits {
            self.leave_out(Kind::Crash, now);
        }
        admits
    }

    /// Adds one, unless too many wait.
    pub(super) fn add(&mut self, make: Make, now: Instant) {
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push_back(make);
        } else {
            self.leave_out(Kind::Crash, now);
        }
    }

    /// Counts a crash or a denial that is not reported.
    pub(super) fn leave_out(&mut self, kind: Kind, now: Instant) {
        self.left_out[kind as usize] += 1;
        self.due.get_or_insert(now + COUNTS_FOR);
    }

    /// When [`next`](Self::next) will have something to report.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.due
    }

    /// The next report to make; [`done`](Self::done) must be called when its text is written. At the end, the number of
    /// crashes that were left out is reported immediately.
    pub(super) fn next(&mut self, now: Instant, is_end: bool) -> Option<Make> {
        let is_due = self.due.is_some_and(|due| due <= now);
        let text = if is_due { self.left_out_text() } else { None };
        let next = text.or_else(|| self.waiting.pop_front());
        // Those that were left out came after those that wait.
        let next = next.or_else(|| if is_end { self.left_out_text() } else { None });
        self.making = next.is_some();
        next
    }

    pub(super) fn done(&mut self) {
        self.making = false;
    }

    fn left_out_text(&mut self) -> Option<Make> {
        self.due = None;
        let counts = std::mem::take(&mut self.left_out);
        let words = [("crash", "crashes"), ("denial", "denials")];
        let line = |(count, (one, many)): (u64, (&str, &str))| match count {
            0 => String::new(),
            1 => format!("1 more {one} in the last second is not shown\n"),
            count => format!("{} more {many} in the last second are not shown\n", with_commas(count)),
        };
        let text = move || -> String { counts.into_iter().zip(words).map(line).collect() };
        (counts != [0; 2]).then(|| Box::new(text) as Make)
    }
}

/// Formats a number with a comma before each group of three digits.
fn with_commas(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(reports: &mut Reports, now: Instant, is_end: bool) -> Option<String> {
        reports.next(now, is_end).map(|make| make())
    }

    #[test]
    fn what_there_is_no_room_for_is_counted() {
        let (mut reports, now) = (Reports::default(), Instant::now());
        for at in 0..WAITING_MAX + 1234 {
            reports.add(Box::new(move || at.to_string()), now);
        }
        for at in 0..WAITING_MAX {
            assert_eq!(text(&mut reports, now, false), Some(at.to_string()));
        }
        assert!(!reports.is_idle());
        let said = text(&mut reports, now, true);
        assert_eq!(
            said.as_deref(),
            Some("1,234 more crashes in the last second are not shown\n")
        );
        assert!(reports.next(now, true).is_none());
        reports.done();
        assert!(reports.is_idle());
    }

    #[test]
    fn crashes_are_told_at_a_rate_and_the_others_counted_once_a_second() {
        let (mut reports, start) = (Reports::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        let admitted = |reports: &mut Reports, ms| (0..1000).filter(|_| reports.admits_crash(at(ms))).count();
        assert_eq!(admitted(&mut reports, 0), BURST as usize);
        assert_eq!(admitted(&mut reports, 50), 0);
        assert_eq!(reports.deadline(), Some(at(1000)));
        assert_eq!(text(&mut reports, at(999), false), None, "it is not time yet");
        assert_eq!(admitted(&mut reports, 950), 9);
        let said = text(&mut reports, at(1000), false).unwrap();
        assert!(
            said.starts_with(&format!("{} more", with_commas(3000 - 9 - u64::from(BURST)))),
            "{said}"
        );
        assert_eq!(text(&mut reports, at(1000), true), None, "it is said once");
        // What was left of the time is not lost, and a long pause brings no more than there was at first.
        assert_eq!(admitted(&mut reports, 1000), 1);
        assert_eq!(admitted(&mut reports, 10_000_000), BURST as usize);
    }

    #[test]
    fn numbers_have_commas() {
        let all = [0, 7, 999, 1000, 12_345, 1_234_567].map(with_commas);
        assert_eq!(all, ["0", "7", "999", "1,000", "12,345", "1,234,567"]);
    }
}
