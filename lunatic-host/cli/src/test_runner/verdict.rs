//! What the end of a test's main process means for the test.

use std::time::Duration;

use lunatic_host::ExitReason;

/// How the run of a test's main process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    Reason(ExitReason),
    /// It was killed after this time.
    TimedOut(Duration),
    /// It could not be started; the text says why.
    NotStarted(String),
}

/// The verdict on a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Passed,
    /// It failed; the text says why, unless its output already does.
    Failed(Option<String>),
    /// It did not run; the text says why, if that is known.
    Ignored(Option<String>),
}

impl Verdict {
    fn failed(why: impl Into<String>) -> Self {
        Self::Failed(Some(why.into()))
    }
}

/// The verdict on an exported test. `should_panic` is what its panic message must contain, if it must panic.
pub(super) fn of_export(ended: &Ended, should_panic: Option<&str>) -> Verdict {
    match (ended, should_panic) {
        (Ended::Reason(ExitReason::Normal), None) => Verdict::Passed,
        (Ended::Reason(ExitReason::Normal), Some(_)) => Verdict::failed("test did not panic as expected"),
        (Ended::Reason(ExitReason::Panic(message)), Some(expected)) => match message.contains(expected) {
            true => Verdict::Passed,
            false => Verdict::failed(format!(
                "panic did not contain expected string\n      panic message: {message:?}\n expected substring: {expected:?}"
            )),
        },
        // In other languages, and in Rust without a message, a panic is a trap.
        (Ended::Reason(ExitReason::Trap(_) | ExitReason::OutOfMemory(_) | ExitReason::Killed), Some("")) => {
            Verdict::Passed
        }
        (Ended::Reason(ExitReason::Trap(reason)), Some(expected)) => Verdict::failed(format!(
            "the test trapped without a panic message\n               trap: {reason:?}\n expected substring: {expected:?}"
        )),
        (ended, _) => Verdict::Failed(why(ended)),
    }
}

/// Why a test failed whose main process ended this way; `None` if a crash report already says it.
pub(super) fn why(ended: &Ended) -> Option<String> {
    Some(match ended {
        Ended::Reason(reason) => match reason {
            ExitReason::Panic(_)
            | ExitReason::Trap(_)
            | ExitReason::OutOfMemory(_)
            | ExitReason::Error(_)
            | ExitReason::HostBug(_) => return None,
            ExitReason::Normal => "the test ended the program with exit code 0".into(),
            ExitReason::Exit(code) => format!("the test ended the program with exit code {code}"),
            ExitReason::Killed => "the main process of the test was killed".into(),
            ExitReason::Deadlock(report) => report.trim_end().to_owned(),
            reason => format!("the main process of the test {reason}"),
        },
        Ended::TimedOut(limit) => {
            let seconds = limit.as_secs_f64();
            format!("timed out: the test was killed after {seconds} seconds; `--timeout` sets another limit")
        }
        Ended::NotStarted(text) => format!("the test could not be started: {text}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_pass_when_they_end_as_they_should() {
        #[track_caller]
        fn check(reason: ExitReason, plain: bool, any_panic: bool, some_panic: bool) {
            let passed = |should_panic| {
                let verdict = of_export(&Ended::Reason(reason.clone()), should_panic);
                matches!(verdict, Verdict::Passed)
            };
            assert_eq!(
                [passed(None), passed(Some("")), passed(Some("boom"))],
                [plain, any_panic, some_panic],
                "{reason}"
            );
        }
        check(ExitReason::Normal, true, false, false);
        check(ExitReason::Exit(1), false, false, false);
        check(ExitReason::Panic("a boom, twice".into()), false, true, true);
        check(ExitReason::Panic("quiet".into()), false, true, false);
        check(ExitReason::Panic(String::new()), false, true, false);
        check(ExitReason::Trap("boom".into()), false, true, false);
        check(ExitReason::Killed, false, true, false);
        check(ExitReason::Deadlock("boom".into()), false, false, false);
        check(ExitReason::HostBug("boom".into()), false, false, false);
    }

    #[test]
    fn a_failure_says_why_unless_a_crash_report_did() {
        #[track_caller]
        fn check(ended: Ended, should_panic: Option<&str>, why: Option<&str>) {
            assert_eq!(of_export(&ended, should_panic), Verdict::Failed(why.map(str::to_owned)));
        }
        let reason = |reason| Ended::Reason(reason);
        check(reason(ExitReason::Panic("boom".into())), None, None);
        check(reason(ExitReason::Trap("boom".into())), None, None);
        check(
            reason(ExitReason::Exit(3)),
            None,
            Some("the test ended the program with exit code 3"),
        );
        check(
            reason(ExitReason::Deadlock("all wait\n".into())),
            Some(""),
            Some("all wait"),
        );
        check(
            reason(ExitReason::Normal),
            Some("boom"),
            Some("test did not panic as expected"),
        );
        check(
            reason(ExitReason::Panic("a \"b\"".into())),
            Some("boom"),
            Some(
                "panic did not contain expected string\n      panic message: \"a \\\"b\\\"\"\n \
                 expected substring: \"boom\"",
            ),
        );
        check(
            Ended::TimedOut(Duration::from_secs(60)),
            Some(""),
            Some("timed out: the test was killed after 60 seconds; `--timeout` sets another limit"),
        );
        check(
            Ended::NotStarted("no room".into()),
            None,
            Some("the test could not be started: no room"),
        );
    }
}
