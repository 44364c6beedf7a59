//! Prints results as JSON, one object a line, in the format of `cargo test -- -Z unstable-options --format json`.

use std::io::Write;
use std::time::Duration;

use serde_json::{Value, json};

use super::discover::Test;
use super::execute::Outcome;
use super::report::Reporter;
use super::verdict::Verdict;

/// Prints the events of a run of tests. An error of `out` stops all printing: the reader has gone.
pub(super) struct JsonPrinter<W: Write> {
    out: W,
    failed_to_print: bool,
    passed: usize,
    failed: usize,
    ignored: usize,
}

impl<W: Write> JsonPrinter<W> {
    pub(super) fn new(out: W) -> Self {
        Self {
            out,
            failed_to_print: false,
            passed: 0,
            failed: 0,
            ignored: 0,
        }
    }

    fn print(&mut self, value: &Value) {
        if !self.failed_to_print {
            let text = format!("{value}\n");
            self.failed_to_print = self
                .out
                .write_all(text.as_bytes())
                .and_then(|()| self.out.flush())
                .is_err();
        }
    }
}

impl<W: Write> Reporter for JsonPrinter<W> {
    fn list(&mut self, tests: &[&Test]) {
        self.print(&json!({ "type": "suite", "event": "discovery" }));
        for test in tests {
            self.print(&json!({
                "type": "test",
                "event": "discovered",
                "name": test.name,
                "ignore": test.ignored,
                "ignore_message": test.reason.as_deref().unwrap_or_default(),
            }));
        }
        let ignored = tests.iter().filter(|test| test.ignored).count();
        self.print(&json!({
            "type": "suite",
            "event": "completed",
            "tests": tests.len(),
            "benchmarks": 0,
            "total": tests.len(),
            "ignored": ignored,
        }));
    }

    fn begin(&mut self, total: usize) {
        self.print(&json!({ "type": "suite", "event": "started", "test_count": total }));
    }

    fn test_begun(&mut self, test: &Test) {
        self.print(&json!({ "type": "test", "event": "started", "name": test.name }));
    }

    fn test_slow(&mut self, test: &Test) {
        self.print(&json!({ "type": "test", "event": "timeout", "name": test.name }));
    }

    fn test_ended(&mut self, test: &Test, outcome: &Outcome, time: Duration) {
        let mut value = json!({ "type": "test", "name": test.name });
        let mut set = |key: &str, to: Value| value[key] = to;
        match &outcome.verdict {
            Verdict::Passed => {
                self.passed += 1;
                set("event", "ok".into());
            }
            Verdict::Failed(why) => {
                self.failed += 1;
                set("event", "failed".into());
                if let Some(why) = why {
                    set("message", why.as_str().into());
                }
            }
            Verdict::Ignored(why) => {
                self.ignored += 1;
                set("event", "ignored".into());
                if let Some(why) = why {
                    set("message", why.as_str().into());
                }
            }
        }
        if !matches!(outcome.verdict, Verdict::Ignored(_)) {
            set("exec_time", time.as_secs_f64().into());
        }
        if !outcome.output.is_empty() {
            set("stdout", String::from_utf8_lossy(&outcome.output).into());
        }
        self.print(&value);
    }

    fn end(&mut self, filtered_out: usize, time: Duration) {
        let event = if self.failed == 0 { "ok" } else { "failed" };
        self.print(&json!({
            "type": "suite",
            "event": event,
            "passed": self.passed,
            "failed": self.failed,
            "ignored": self.ignored,
            "measured": 0,
            "filtered_out": filtered_out,
            "exec_time": time.as_secs_f64(),
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::samples;
    use super::*;

    #[test]
    fn each_event_is_an_object_on_a_line_of_its_own() {
        let mut out = Vec::new();
        samples::run(&mut JsonPrinter::new(&mut out));
        let text = String::from_utf8(out).unwrap();
        let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let expected = [
            json!({ "type": "suite", "event": "started", "test_count": 3 }),
            json!({ "type": "test", "event": "started", "name": "a" }),
            json!({ "type": "test", "event": "ok", "name": "a", "exec_time": 0.25 }),
            json!({ "type": "test", "event": "started", "name": "b<\"&>" }),
            json!({
                "type": "test", "event": "failed", "name": "b<\"&>", "exec_time": 1.5,
                "message": "timed out", "stdout": "said \u{1b}[31m]]>\n",
            }),
            json!({ "type": "test", "event": "ignored", "name": "c", "message": "slow" }),
            json!({
                "type": "suite", "event": "failed", "passed": 1, "failed": 1, "ignored": 1, "measured": 0,
                "filtered_out": 4, "exec_time": 2.0,
            }),
        ];
        assert_eq!(events, expected);
    }

    #[test]
    fn lists_say_which_tests_are_ignored() {
        let mut out = Vec::new();
        let (a, c) = (samples::test("a", None), samples::test("c", Some("slow")));
        JsonPrinter::new(&mut out).list(&[&a, &c]);
        let text = String::from_utf8(out).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(
            (lines[1]["ignore"].clone(), lines[2]["ignore_message"].clone()),
            (json!(false), json!("slow"))
        );
        assert_eq!(
            (lines[3]["total"].clone(), lines[3]["ignored"].clone()),
            (json!(2), json!(1))
        );
    }
}
