//! Texts of the host that are still to be made, in the order in which they were asked for.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// So many wait to be made at most. Whoever crashes more often than they can be made is told how many were left out.
const WAITING_MAX: usize = 1024;

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
    /// How many were left out since that was last said.
    left_out: u64,
}

impl Reports {
    /// Nothing waits and nothing is being made.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && !self.making && self.left_out == 0
    }

    /// Adds one, unless too many wait.
    pub(super) fn add(&mut self, make: Make) {
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push_back(make);
        } else {
            self.leave_out();
        }
    }

    /// One more that is not made.
    pub(super) fn leave_out(&mut self) {
        self.left_out += 1;
    }

    /// The next to be made; [`done`](Self::done) has to be called when its text is out.
    pub(super) fn next(&mut self) -> Option<Make> {
        // Those that were left out came after those that wait.
        let next = self.waiting.pop_front().or_else(|| self.left_out_text());
        self.making = next.is_some();
        next
    }

    pub(super) fn done(&mut self) {
        self.making = false;
    }

    fn left_out_text(&mut self) -> Option<Make> {
        let count = std::mem::take(&mut self.left_out);
        let text = move || match count {
            1 => "1 more process ended badly: there was no room for its report\n".to_owned(),
            count => format!("{count} more processes ended badly: there was no room for their reports\n"),
        };
        (count > 0).then(|| Box::new(text) as Make)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is_no_room_for_is_counted() {
        let mut reports = Reports::default();
        for at in 0..WAITING_MAX + 3 {
            reports.add(Box::new(move || at.to_string()));
        }
        for at in 0..WAITING_MAX {
            assert_eq!(reports.next().map(|make| make()), Some(at.to_string()));
        }
        assert!(!reports.is_idle());
        let text = reports.next().map(|make| make()).unwrap();
        assert!(text.starts_with("3 more processes ended badly"), "{text}");
        assert!(reports.next().is_none());
        reports.done();
        assert!(reports.is_idle());
    }
}
