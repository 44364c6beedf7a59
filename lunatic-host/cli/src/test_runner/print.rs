//! Prints results in the format of libtest.

use std::io::{self, Write};
use std::time::Duration;

use lunatic_host::report::untrusted::{line, lines};
use lunatic_host::wasi::Output;

use super::discover::Test;
use super::execute::{Outcome, SLOW};
use super::report::Reporter;
use super::verdict::Verdict;
use crate::TestFormat;

const GREEN: &str = "32";
const RED: &str = "31";
const YELLOW: &str = "33";

/// How many results fit on a line of the terse format.
const TERSE_LINE_LEN: usize = 88;

/// How results are printed.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Style {
    pub(super) format: TestFormat,
    pub(super) color: bool,
    /// Whether the name of a test is printed when it begins, not when it ends: one test runs at a time.
    pub(super) names_first: bool,
    /// Whether the output of passing tests is shown, too.
    pub(super) show_output: bool,
}

/// Prints the events of a run of tests, and counts them.
///
/// An error of `out` is remembered and stops all printing: the reader has gone.
pub(super) struct Printer<W: Write> {
    out: W,
    style: Style,
    failed_to_print: bool,
    total: usize,
    passed: Vec<(String, Vec<u8>)>,
    failed: Vec<(String, Vec<u8>)>,
    ignored: usize,
    /// The number of results on the current line of the terse format.
    column: usize,
}

impl<W: Write> Printer<W> {
    pub(super) fn new(out: W, style: Style) -> Self {
        Self {
            out,
            style,
            failed_to_print: false,
            total: 0,
            passed: Vec::new(),
            failed: Vec::new(),
            ignored: 0,
            column: 0,
        }
    }

    fn pretty_result(&mut self, test: &Test, outcome: &Outcome) {
        let result = match &outcome.verdict {
            Verdict::Passed => self.paint(GREEN, "ok"),
            Verdict::Failed(_) => self.paint(RED, "FAILED"),
            Verdict::Ignored(None) => self.paint(YELLOW, "ignored"),
            Verdict::Ignored(Some(reason)) => self.paint(YELLOW, &format!("ignored, {}", line(reason))),
        };
        match self.style.names_first {
            true => self.print(&format!("{result}\n")),
            false => self.print(&format!("test {} ... {result}\n", title(test, outcome.should_panic))),
        }
    }

    fn terse_result(&mut self, test: &Test, verdict: &Verdict) {
        let done = self.passed.len() + self.failed.len() + self.ignored + 1;
        let progress = format!(" {done}/{}\n", self.total);
        match verdict {
            Verdict::Failed(_) => {
                let gap = if self.column > 0 { "\n" } else { "" };
                let failed = self.paint(RED, "FAILED");
                self.print(&format!("{gap}{} --- {failed}\n", line(&test.name)));
                self.column = 0;
                return;
            }
            Verdict::Passed => self.print(&self.paint(GREEN, ".")),
            Verdict::Ignored(_) => self.print(&self.paint(YELLOW, "i")),
        }
        self.column += 1;
        match done {
            _ if self.column == TERSE_LINE_LEN => {
                self.print(&progress);
                self.column = 0;
            }
            _ if done == self.total => self.print("\n"),
            _ => {}
        }
    }

    /// Prints the output of tests, and then their names again.
    fn outputs(&mut self, heading: &str, tests: &[(String, Vec<u8>)]) {
        self.print(&format!("\n{heading}:\n"));
        let with_output = || tests.iter().filter(|(_, output)| !output.is_empty());
        for (at, (name, output)) in with_output().enumerate() {
            let gap = if at == 0 { "\n" } else { "" };
            self.print(&format!("{gap}---- {name} stdout ----\n"));
            self.print_bytes(output);
            self.print(if output.ends_with(b"\n") { "\n" } else { "\n\n" });
        }
        let mut names: Vec<_> = tests.iter().map(|(name, _)| name).collect();
        names.sort();
        self.print(&format!("\n{heading}:\n"));
        for name in names {
            self.print(&format!("    {name}\n"));
        }
    }

    fn paint(&self, color: &str, text: &str) -> String {
        match self.style.color {
            true => format!("\x1b[{color}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }

    fn print(&mut self, text: &str) {
        self.print_bytes(text.as_bytes());
    }

    fn print_bytes(&mut self, text: &[u8]) {
        if !self.failed_to_print {
            self.failed_to_print = self.out.write_all(text).and_then(|()| self.out.flush()).is_err();
        }
    }
}

impl<W: Write> Reporter for Printer<W> {
    /// Prints the names of tests and, unless the format is terse, their number.
    fn list(&mut self, tests: &[&Test]) {
        let count = tests.len();
        for test in tests {
            self.print(&format!("{}: test\n", line(&test.name)));
        }
        if self.style.format == TestFormat::Pretty {
            let gap = if count > 0 { "\n" } else { "" };
            self.print(&format!("{gap}{}, 0 benchmarks\n", tests_text(count)));
        }
    }

    fn begin(&mut self, total: usize) {
        self.total = total;
        self.print(&format!("\nrunning {}\n", tests_text(total)));
    }

    fn test_begun(&mut self, test: &Test) {
        if self.style.names_first && self.style.format == TestFormat::Pretty {
            self.print(&format!("test {} ... ", title(test, test.should_panic.is_some())));
        }
    }

    fn test_slow(&mut self, test: &Test) {
        let text = format!(
            "test {} has been running for over {} seconds\n",
            line(&test.name),
            SLOW.as_secs()
        );
        self.print(&text);
    }

    fn test_ended(&mut self, test: &Test, outcome: &Outcome, _: Duration) {
        match self.style.format {
            TestFormat::Terse => self.terse_result(test, &outcome.verdict),
            TestFormat::Pretty | TestFormat::Json => self.pretty_result(test, outcome),
        }
        let name = line(&test.name).to_string();
        match &outcome.verdict {
            Verdict::Passed => {
                let shown = if self.style.show_output {
                    &*outcome.output
                } else {
                    &b""[..]
                };
                self.passed.push((name, shown.to_vec()));
            }
            Verdict::Failed(note) => {
                let mut output = outcome.output.clone();
                if let Some(note) = note {
                    end_line(&mut output);
                    output.extend_from_slice(format!("note: {}\n", lines(note)).as_bytes());
                }
                self.failed.push((name, output));
            }
            Verdict::Ignored(_) => self.ignored += 1,
        }
    }

    fn end(&mut self, filtered_out: usize, time: Duration) {
        if self.style.show_output {
            let passed = std::mem::take(&mut self.passed);
            self.outputs("successes", &passed);
            self.passed = passed;
        }
        let failed = std::mem::take(&mut self.failed);
        if !failed.is_empty() {
            self.outputs("failures", &failed);
        }
        let result = match failed.is_empty() {
            true => self.paint(GREEN, "ok"),
            false => self.paint(RED, "FAILED"),
        };
        self.print(&format!(
            "\ntest result: {result}. {} passed; {} failed; {} ignored; 0 measured; {filtered_out} filtered out; \
             finished in {:.2}s\n\n",
            self.passed.len(),
            failed.len(),
            self.ignored,
            time.as_secs_f64(),
        ));
    }
}

fn tests_text(count: usize) -> String {
    format!("{count} test{}", if count == 1 { "" } else { "s" })
}

fn title(test: &Test, should_panic: bool) -> String {
    format!(
        "{}{}",
        line(&test.name),
        if should_panic { " - should panic" } else { "" }
    )
}

fn end_line(text: &mut Vec<u8>) {
    if text.last().is_some_and(|last| *last != b'\n') {
        text.push(b'\n');
    }
}

/// Writes texts as reports on an [`Output`] that tests also write to: in whole lines.
pub(super) struct Lines(pub(super) Output);

impl Write for Lines {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.report(&String::from_utf8_lossy(text));
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::discover::Origin;
    use super::*;

    fn test(name: &str, should_panic: bool) -> Test {
        Test {
            name: name.to_owned(),
            path: name.to_owned(),
            ignored: false,
            reason: None,
            should_panic: should_panic.then(String::new),
            origin: Origin::Libtest,
        }
    }

    fn outcome(verdict: Verdict, output: &str) -> Outcome {
        Outcome {
            verdict,
            should_panic: false,
            output: output.into(),
        }
    }

    /// Prints what happens to these tests.
    fn printed(style: Style, tests: Vec<(Test, Outcome)>) -> String {
        let mut out = Vec::new();
        let mut printer = Printer::new(&mut out, style);
        printer.begin(tests.len());
        for (test, outcome) in tests {
            printer.test_begun(&test);
            printer.test_ended(&test, &outcome, Duration::ZERO);
        }
        printer.end(3, Duration::from_millis(1234));
        String::from_utf8(out).unwrap()
    }

    fn one_of_each() -> Vec<(Test, Outcome)> {
        let panics = Outcome {
            should_panic: true,
            ..outcome(Verdict::Passed, "expected\n")
        };
        vec![
            (test("a", false), outcome(Verdict::Passed, "hello\n")),
            (
                test("c", false),
                outcome(Verdict::Failed(Some("timed out".into())), "no newline"),
            ),
            (
                test("b", false),
                outcome(Verdict::Failed(None), "process #1 (main) panicked: no\n"),
            ),
            (test("d", true), panics),
            (test("e", false), outcome(Verdict::Ignored(None), "")),
            (test("f", false), outcome(Verdict::Ignored(Some("slow".into())), "")),
            (test("g", false), outcome(Verdict::Failed(None), "")),
        ]
    }

    const FAILURES: &str = "
failures:

---- c stdout ----
no newline
note: timed out

---- b stdout ----
process #1 (main) panicked: no


failures:
    b
    c
    g

test result: FAILED. 2 passed; 3 failed; 2 ignored; 0 measured; 3 filtered out; finished in 1.23s

";

    const RESULTS: &str = "
running 7 tests
test a ... ok
test c ... FAILED
test b ... FAILED
test d - should panic ... ok
test e ... ignored
test f ... ignored, slow
test g ... FAILED
";

    #[test]
    fn a_run_looks_as_libtests() {
        assert_eq!(printed(Style::default(), one_of_each()), format!("{RESULTS}{FAILURES}"));
        let names_first = Style {
            names_first: true,
            ..Style::default()
        };
        assert_eq!(printed(names_first, one_of_each()), format!("{RESULTS}{FAILURES}"));
        let none = "\nrunning 0 tests\n\ntest result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out; \
                    finished in 1.23s\n\n";
        assert_eq!(printed(Style::default(), Vec::new()), none);
    }

    #[test]
    fn output_of_tests_that_passed_is_shown_if_wanted() {
        let style = Style {
            show_output: true,
            ..Style::default()
        };
        let successes = "
successes:

---- a stdout ----
hello

---- d stdout ----
expected


successes:
    a
    d
";
        assert_eq!(printed(style, one_of_each()), format!("{RESULTS}{successes}{FAILURES}"));
    }

    #[test]
    fn terse_results_are_single_letters() {
        let style = Style {
            format: TestFormat::Terse,
            ..Style::default()
        };
        let expected = format!("\nrunning 7 tests\n.\nc --- FAILED\nb --- FAILED\n.ii\ng --- FAILED\n{FAILURES}");
        assert_eq!(printed(style, one_of_each()), expected);
        let many = (0..90).map(|number| (test(&number.to_string(), false), outcome(Verdict::Passed, "")));
        let text = printed(style, many.collect());
        assert!(
            text.starts_with(&format!(
                "\nrunning 90 tests\n{} 88/90\n..\n\ntest result",
                ".".repeat(88)
            )),
            "{text}"
        );
    }

    #[test]
    fn colors_are_for_results() {
        let style = Style {
            color: true,
            ..Style::default()
        };
        let text = printed(style, one_of_each());
        for expected in [
            "test a ... \x1b[32mok\x1b[0m\n",
            "\x1b[31mFAILED\x1b[0m. 2 passed",
            "\x1b[33mignored, slow\x1b[0m\n",
        ] {
            assert!(text.contains(expected), "{text}");
        }
    }

    #[test]
    fn lists_are_libtests() {
        let list = |format, names: &[&str]| {
            let tests: Vec<_> = names.iter().map(|name| test(name, true)).collect();
            let mut out = Vec::new();
            Printer::new(
                &mut out,
                Style {
                    format,
                    ..Style::default()
                },
            )
            .list(&tests.iter().collect::<Vec<_>>());
            String::from_utf8(out).unwrap()
        };
        assert_eq!(
            list(TestFormat::Pretty, &["a", "b"]),
            "a: test\nb: test\n\n2 tests, 0 benchmarks\n"
        );
        assert_eq!(list(TestFormat::Pretty, &["a"]), "a: test\n\n1 test, 0 benchmarks\n");
        assert_eq!(list(TestFormat::Pretty, &[]), "0 tests, 0 benchmarks\n");
        assert_eq!(list(TestFormat::Terse, &["a", "b"]), "a: test\nb: test\n");
    }

    #[test]
    fn a_reader_that_has_gone_is_no_reason_to_fail() {
        struct Gone;
        impl Write for Gone {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut printer = Printer::new(Gone, Style::default());
        printer.begin(1);
        printer.test_ended(&test("a", false), &outcome(Verdict::Passed, ""), Duration::ZERO);
        printer.end(0, Duration::ZERO);
        assert!(printer.failed_to_print);
    }
}
