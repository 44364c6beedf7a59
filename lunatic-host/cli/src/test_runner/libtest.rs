//! Plain `#[test]`s: known only to libtest, which is the `main` of a test binary that Rust builds.
//!
//! The runner asks the module for their names (`--list`), and then starts the module once per test, with arguments that
//! select this test alone. It removes what libtest prints around the output of the test:
//!
//! ```text
//!
//! running 1 test
//! (what the test prints)test NAME ... ok
//!
//! test result: ok. 1 passed; …
//! ```
//!
//! libtest prints the name after the output, and not before it, because it is configured with two threads.
//!
//! In WebAssembly, libtest cannot catch a panic. A test that panics ends its system, which shows that it failed;
//! libtest does not run a test that should panic, and reports it as ignored.

use lunatic_host::ExitReason;

use super::verdict::{self, Ended, Verdict};

/// Why a test that should panic does not run.
const CANNOT_CATCH: &str = "libtest cannot catch panics in WebAssembly; `#[lunatic::test]` can";

const RUNNING: &str = "\nrunning 1 test\n";
const RESULT: &[u8] = b"\ntest result: ";
/// The suffix of the name of a test that should panic.
const SHOULD_PANIC: &str = " - should panic";

/// The most bytes that libtest prints after a test, without the name.
const TRAILER_LEN_MAX: usize = 1 << 10;
/// The longest incomplete line that is held back.
const LINE_LEN_MAX: usize = 64 << 10;

/// The arguments to list all tests, or all that are marked `#[ignore]`.
pub(super) fn list_args(ignored: bool) -> Vec<String> {
    let args = ["--list", "--format=pretty"]
        .into_iter()
        .chain(ignored.then_some("--ignored"));
    args.map(str::to_owned).collect()
}

/// The arguments to run one test, ignored or not.
pub(super) fn run_args(name: &str) -> Vec<String> {
    let args = [
        "--exact",
        "--format=pretty",
        "--color=never",
        "--nocapture",
        "--include-ignored",
        "--test-threads=2",
    ];
    args.into_iter().chain(["--", name]).map(str::to_owned).collect()
}

/// The arguments that make libtest print why tests are ignored; they run no test.
pub(super) fn reasons_args<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let args = ["--exact", "--format=pretty", "--color=never", "--test-threads=2", "--"];
    args.into_iter().chain(names).map(str::to_owned).collect()
}

/// The names in a list that libtest printed; `None` if the text is not from libtest.
///
/// Benchmarks are included: without `--bench`, libtest runs them once, as tests.
pub(super) fn parse_list(text: &[u8]) -> Option<Vec<String>> {
    let text = std::str::from_utf8(text).ok()?;
    let (list, summary) = text.trim_end().rsplit_once('\n').unwrap_or(("", text.trim_end()));
    let mut names = Vec::new();
    for line in list.trim_end().lines() {
        names.push(
            line.strip_suffix(": test")
                .or_else(|| line.strip_suffix(": benchmark"))?
                .to_owned(),
        );
    }
    let mut counts = summary.split(", ").zip(["test", "benchmark"]).map(|(count, what)| {
        let (number, noun) = count.split_once(' ')?;
        number
            .parse::<usize>()
            .ok()
            .filter(|_| noun.strip_suffix('s').unwrap_or(noun) == what)
    });
    let total = counts.next()?? + counts.next()??;
    (total == names.len() && summary.split(", ").count() == 2).then_some(names)
}

/// Extracts from libtest's output about ignored tests why the test `name` is ignored.
pub(super) fn reason(text: &str, name: &str) -> Option<String> {
    let start = format!("test {name} ... ignored, ");
    text.lines()
        .find_map(|line| line.strip_prefix(&start))
        .map(str::to_owned)
}

/// The verdict of libtest on a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Ok,
    Failed,
    Ignored,
}

/// The result of one test that libtest ran.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) verdict: Verdict,
    /// Whether the test is marked `#[should_panic]`.
    pub(super) should_panic: bool,
    /// The rest of the test's output.
    pub(super) output: Vec<u8>,
}

/// Removes what libtest prints from the output of a test, as the output arrives.
pub(super) struct Frame {
    /// `test NAME`: the beginning of what libtest prints after the output of the test.
    marker: Vec<u8>,
    /// What has not been passed on yet.
    held: Vec<u8>,
    /// Whether libtest's first words have been removed, or did not come.
    begun: bool,
}

impl Frame {
    pub(super) fn new(name: &str) -> Self {
        Self {
            marker: format!("test {name}").into_bytes(),
            held: Vec::new(),
            begun: false,
        }
    }

    /// Takes more output and returns those whole lines that are certainly the test's. The rest may be libtest's.
    pub(super) fn push(&mut self, text: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(text);
        self.begin();
        if !self.begun {
            return Vec::new();
        }
        let lines_len = line_start(&self.held);
        let trailer_len_max = TRAILER_LEN_MAX + 4 * self.marker.len();
        let len = match rfind(&self.held, &self.marker) {
            Some(at) if self.held.len() - at <= trailer_len_max => line_start(&self.held[..at]),
            _ if self.held.len() - lines_len > LINE_LEN_MAX => self.held.len(),
            _ => lines_len,
        };
        self.held.drain(..len).collect()
    }

    fn begin(&mut self) {
        if self.begun {
            return;
        }
        if self.held.starts_with(RUNNING.as_bytes()) {
            self.held.drain(..RUNNING.len());
            self.begun = true;
        }
        self.begun |= !RUNNING.as_bytes().starts_with(&self.held);
    }

    /// Ends the run.
    pub(super) fn end(mut self, ended: &Ended) -> Answer {
        let said = match ended {
            Ended::Reason(ExitReason::Normal | ExitReason::Exit(_)) => self.take_trailer(),
            // The test ended the program before libtest could report.
            _ => None,
        };
        let (verdict, should_panic) = match (ended, said) {
            (Ended::Reason(ExitReason::Normal), Some((Said::Ok, should_panic))) => (Verdict::Passed, should_panic),
            (Ended::Reason(ExitReason::Normal), Some((Said::Ignored, should_panic))) => (
                Verdict::Ignored(should_panic.then(|| CANNOT_CATCH.to_owned())),
                should_panic,
            ),
            (Ended::Reason(ExitReason::Exit(_)), Some((Said::Failed, should_panic))) => {
                (Verdict::Failed(None), should_panic)
            }
            _ => (Verdict::Failed(verdict::why(ended)), false),
        };
        Answer {
            verdict,
            should_panic,
            output: self.held,
        }
    }

    /// Finds the verdict of libtest, and removes it.
    fn take_trailer(&mut self) -> Option<(Said, bool)> {
        let at = rfind_before(&self.held, &self.marker, rfind(&self.held, RESULT)?)?;
        let rest = &self.held[at + self.marker.len()..];
        let line = &rest[..rest.iter().position(|byte| *byte == b'\n')?];
        let line = std::str::from_utf8(line).ok()?;
        let (mode, said) = line.split_once(" ... ")?;
        let said = match said {
            "ok" => Said::Ok,
            "FAILED" => Said::Failed,
            _ if said.starts_with("ignored") => Said::Ignored,
            _ => return None,
        };
        let should_panic = mode == SHOULD_PANIC;
        self.held.truncate(at);
        Some((said, should_panic))
    }
}

/// Where the last line of `text` begins.
fn line_start(text: &[u8]) -> usize {
    text.iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |newline| newline + 1)
}

/// The last place of `what` in `text`.
fn rfind(text: &[u8], what: &[u8]) -> Option<usize> {
    rfind_before(text, what, text.len())
}

/// The last place of `what` in `text` that ends before `end`.
fn rfind_before(text: &[u8], what: &[u8], end: usize) -> Option<usize> {
    text[..end].windows(what.len()).rposition(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read() {
        #[track_caller]
        fn check(text: &str, expected: Option<&[&str]>) {
            let names = parse_list(text.as_bytes());
            assert_eq!(
                names.as_ref().map(|names| names.iter().map(String::as_str).collect()),
                expected.map(Vec::from)
            );
        }
        check("0 tests, 0 benchmarks\n", Some(&[]));
        check("tests::adds: test\n\n1 test, 0 benchmarks\n", Some(&["tests::adds"]));
        check(
            "a: test\nb: benchmark\nc::d: test\n\n2 tests, 1 benchmark\n",
            Some(&["a", "b", "c::d"]),
        );
        check("", None);
        check("hello\n", None);
        check("a: test\nb: test\n", None);
        check("a: test\n\n2 tests, 0 benchmarks\n", None);
        check("a: test\n\n1 test, 0 benchmarks, 0 surprises\n", None);
        check("a: test\nwarning\n\n2 tests, 0 benchmarks\n", None);
        check("1 test\n", None);
        check("99999999999999999999 tests, 0 benchmarks\n", None);
        assert_eq!(parse_list(b"\xff: test\n\n1 test, 0 benchmarks\n"), None);
    }

    #[test]
    fn reasons_are_read() {
        let text = "\nrunning 2 tests\ntest tests::network ... ignored, needs a network\ntest tests::slow ... ignored\n\n\
                    test result: ok. 0 passed; 0 failed; 2 ignored; 0 measured; 9 filtered out; finished in 0.00s\n\n";
        assert_eq!(reason(text, "tests::network").as_deref(), Some("needs a network"));
        assert_eq!(reason(text, "tests::slow"), None);
        assert_eq!(reason(text, "tests::net"), None);
    }

    const OK: &str = "\n\ntest result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 10 filtered out; finished in \
                      0.00s\n\n";
    const IGNORED: &str = "\n\ntest result: ok. 0 passed; 0 failed; 1 ignored; 0 measured; 10 filtered out; finished \
                           in 0.00s\n\n";
    const FAILED: &str = "\n\nfailures:\n\nfailures:\n    tests::a\n\ntest result: FAILED. 0 passed; 1 failed; \
                          0 ignored; 0 measured; 10 filtered out; finished in 0.00s\n\n";

    /// Reads the text as a whole and in pieces, which are small if the text is short.
    #[track_caller]
    fn check(text: &str, reason: ExitReason, verdict: Verdict, should_panic: bool, output: &str) {
        let ended = Ended::Reason(reason);
        let small = [1, 2, 3, 7, 30].into_iter().filter(|_| text.len() < 2_000);
        for len in small.chain([5_000, text.len()]) {
            let mut frame = Frame::new("tests::a");
            let mut shown = Vec::new();
            for piece in text.as_bytes().chunks(len) {
                shown.extend(frame.push(piece));
            }
            let answer = frame.end(&ended);
            shown.extend(answer.output);
            assert_eq!(
                (answer.verdict, answer.should_panic),
                (verdict.clone(), should_panic),
                "{text}"
            );
            assert_eq!(String::from_utf8_lossy(&shown), output, "in pieces of {len}");
        }
    }

    #[test]
    fn the_words_of_libtest_are_taken_off() {
        let passed = |output: &str| {
            let text = format!("{RUNNING}{output}test tests::a ... ok{OK}");
            check(&text, ExitReason::Normal, Verdict::Passed, false, output);
        };
        passed("");
        passed("hello\n");
        passed("no newline");
        passed("\n\n");
        passed("test tests::a is about to begin\n");
        passed("\nrunning 1 test\ntest tests::a ... FAILED\n");
        passed(&"a long text\n".repeat(1000));
        passed(&"a long line".repeat(10_000));
    }

    #[test]
    fn what_libtest_said_counts() {
        let text = format!("{RUNNING}test tests::a - should panic ... ignored{IGNORED}");
        check(
            &text,
            ExitReason::Normal,
            Verdict::Ignored(Some(CANNOT_CATCH.into())),
            true,
            "",
        );
        let text = format!("{RUNNING}test tests::a ... ignored, slow{IGNORED}");
        check(&text, ExitReason::Normal, Verdict::Ignored(None), false, "");
        let text = format!("{RUNNING}Error: \"no luck\"\ntest tests::a ... FAILED{FAILED}");
        check(
            &text,
            ExitReason::Exit(101),
            Verdict::Failed(None),
            false,
            "Error: \"no luck\"\n",
        );
    }

    #[test]
    fn a_test_that_ends_the_program_has_failed() {
        let why = |reason: &ExitReason| Verdict::Failed(verdict::why(&Ended::Reason(reason.clone())));
        for reason in [
            ExitReason::Normal,
            ExitReason::Exit(101),
            ExitReason::Exit(3),
            ExitReason::Panic("no".into()),
        ] {
            check(
                &format!("{RUNNING}hello\n"),
                reason.clone(),
                why(&reason),
                false,
                "hello\n",
            );
            check(&format!("{RUNNING}hello"), reason.clone(), why(&reason), false, "hello");
        }
        // It can say what it likes before it panics.
        let lie = format!("test tests::a ... ok{OK}");
        let panic = ExitReason::Panic("no".into());
        check(&format!("{RUNNING}{lie}"), panic.clone(), why(&panic), false, &lie);
    }

    #[test]
    fn a_test_that_libtest_does_not_find_has_failed() {
        let text = "\nrunning 0 tests\n\ntest result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 11 filtered out; \
                    finished in 0.00s\n\n";
        let Verdict::Failed(why) = Frame::new("tests::a").end(&Ended::Reason(ExitReason::Normal)).verdict else {
            panic!("nothing was said");
        };
        check(text, ExitReason::Normal, Verdict::Failed(why), false, text);
    }
}
