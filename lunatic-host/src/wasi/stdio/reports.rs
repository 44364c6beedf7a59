//! Texts of the host that are still to be made, in the order in which they were asked for, and how many crashes are told.
//!
//! Crashes are told at a stated rate: [`BURST`] at once, and [`RATE`] a second from then on. So a program that crashes 100,000
//! times a second neither fills a disk nor keeps a core busy with names and lines that nobody can read. Those that are left out
//! are counted, and the number is told once a second.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// So many wait to be made at most.
const WAITING_MAX: usize = 1024;
/// So many crashes are told that come at once.
const BURST: u32 = 256;
/// So many more may be told with each second that passes.
const RATE: u32 = 10;
/// The number of those that were left out is told after this time.
const COUNTS_FOR: Duration = Duration::from_secs(1);

/// What makes the text of a report.
pub(super) type Make = Box<dyn FnOnce() -> String + Send>;

/// Makes a report. If that fails by a bug, whoever waits for it is not to wait for ever.
pub(super) fn made(make: Make) -> String {
    catch_unwind(AssertUnwindSafe(make))
        .unwrap_or_else(|_| "lunatic: bug: a process ended badly, and its report could not be made\n".to_owned())
}

/// Reports that wait to be made.
#[derive(Default)]
pub(super) struct Reports {
    waiting: VecDeque<Make>,
    /// One of them is being made.
    making: bool,
    /// Crashes that were left out since that was last said, and when their number is to be said.
    left_out: u64,
    due: Option<Instant>,
    rate: Rate,
}

/// How many crashes may be told.
struct Rate {
    left: u32,
    /// Until when what the time has brought is counted in `left`.
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
    /// Whether one more may be told.
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
    /// Nothing waits and nothing is being made.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && !self.making && self.left_out == 0
    }

    /// Whether one more crash is to be told. If not, it is counted.
    pub(super) fn admits_crash(&mut self, now: Instant) -> bool {
        let admits = self.waiting.len() < WAITING_MAX && self.rate.admits(now);
        if !admits {
            self.leave_out(now);
        }
        admits
    }

    /// Adds one, unless too many wait.
    pub(super) fn add(&mut self, make: Make, now: Instant) {
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push_back(make);
        } else {
            self.leave_out(now);
        }
    }

    /// One crash more that is not told.
    pub(super) fn leave_out(&mut self, now: Instant) {
        self.left_out += 1;
        self.due.get_or_insert(now + COUNTS_FOR);
    }

    /// When [`next`](Self::next) will have more to say.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.due
    }

    /// The next to be made; [`done`](Self::done) has to be called when its text is out. At the end, what is left out is said at
    /// once.
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
        let count = std::mem::take(&mut self.left_out);
        let text = move || match count {
            1 => "1 more crash in the last second is not shown\n".to_owned(),
            count => format!("{} more crashes in the last second are not shown\n", with_commas(count)),
        };
        (count > 0).then(|| Box::new(text) as Make)
    }
}

/// A number with a comma before each three digits.
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
