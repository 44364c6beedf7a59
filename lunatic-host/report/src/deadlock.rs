//! The report for a system in which no process can ever run again.

use std::collections::BTreeMap;
use std::fmt;

/// How many processes a report describes individually.
pub const LISTED_MAX: usize = 20;

/// The report of a deadlock: which process waits for what.
///
/// Built with [`add`](Self::add) for each process, in the order of the list. Only the first [`LISTED_MAX`] are
/// described; the rest is counted by kind, so a system of a million processes does not need a million texts.
#[derive(Debug, Default)]
pub struct DeadlockReport {
    listed: Vec<Waiting>,
    rest: BTreeMap<&'static str, usize>,
}

#[derive(Debug)]
struct Waiting {
    process: String,
    kind: &'static str,
    detail: String,
}

impl DeadlockReport {
    /// Adds a process.
    ///
    /// `kind` completes "the process …", such as "waits to receive". `detail` returns for what it waits, such as "on
    /// channel #3 (owned by #1; holds 0 messages)", perhaps with further lines about the process, and is called only
    /// for processes that are listed.
    pub fn add(&mut self, process: impl FnOnce() -> String, kind: &'static str, detail: impl FnOnce() -> String) {
        if self.listed.len() < LISTED_MAX {
            self.listed.push(Waiting {
                process: process(),
                kind,
                detail: detail(),
            });
        } else {
            *self.rest.entry(kind).or_default() += 1;
        }
    }
}

impl fmt::Display for DeadlockReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "deadlock: no process can ever run again")?;
        for Waiting { process, kind, detail } in &self.listed {
            write!(f, "  {process} {kind}")?;
            let mut lines = detail.lines();
            if let Some(first) = lines.next().filter(|first| !first.is_empty()) {
                write!(f, " {first}")?;
            }
            writeln!(f)?;
            lines.try_for_each(|line| writeln!(f, "    {line}"))?;
        }
        for (kind, count) in &self.rest {
            writeln!(f, "  … and {count} more: {kind}")?;
        }
        writeln!(
            f,
            "every process is waiting for another; to fix it, make one of them send a message, close a channel or exit before it waits"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process() {
        let mut report = DeadlockReport::default();
        let on = "on channel #3 (owned by #1; holds 0 messages)";
        report.add(|| "#1 (main)".into(), "waits to receive", || on.into());
        assert_eq!(
            report.to_string(),
            "deadlock: no process can ever run again\n  \
             #1 (main) waits to receive on channel #3 (owned by #1; holds 0 messages)\n\
             every process is waiting for another; to fix it, make one of them send a message, close a channel or exit before it waits\n"
        );
    }

    #[test]
    fn further_lines_are_about_the_process() {
        let mut report = DeadlockReport::default();
        report.add(|| "#1 (main)".into(), "waits for mail", || "of type u8\nholds 1".into());
        report.add(|| "#2".into(), "sleeps", || "\nholds 2".into());
        let text = report.to_string();
        assert!(
            text.contains("\n  #1 (main) waits for mail of type u8\n    holds 1\n  #2 sleeps\n    holds 2\nevery"),
            "{text}"
        );
    }

    #[test]
    fn many_processes_are_counted() {
        let mut report = DeadlockReport::default();
        for id in 0..1000 {
            let kind = if id % 10 == 0 { "waits to join" } else { "waits to send" };
            report.add(|| format!("#{id}"), kind, String::new);
        }
        let text = report.to_string();
        assert_eq!(text.lines().count(), 1 + LISTED_MAX + 2 + 1);
        assert!(text.contains("\n  #19 waits to send\n"), "{text}");
        assert!(
            text.contains("\n  … and 98 more: waits to join\n  … and 882 more: waits to send\n"),
            "{text}"
        );
    }
}
