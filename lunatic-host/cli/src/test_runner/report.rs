//! What is told of a run of tests, to whoever reports it.

use std::time::Duration;

use super::discover::Test;
use super::execute::Outcome;

/// Receives the events of a run of tests, in their order.
pub(super) trait Reporter {
    /// Tests are listed, and not run.
    fn list(&mut self, _tests: &[&Test]) {}

    /// A run of `total` tests begins, ignored ones included.
    fn begin(&mut self, _total: usize) {}

    /// A test begins.
    fn test_begun(&mut self, _test: &Test) {}

    /// A test has been running for [`SLOW`](super::execute::SLOW).
    fn test_slow(&mut self, _test: &Test) {}

    /// A test has ended after this time.
    fn test_ended(&mut self, test: &Test, outcome: &Outcome, time: Duration);

    /// The run has ended after this time; so many tests were not selected.
    fn end(&mut self, _filtered_out: usize, _time: Duration) {}
}

/// A run that all reporters are tested with.
#[cfg(test)]
pub(super) mod samples {
    use super::super::discover::Origin;
    use super::super::verdict::Verdict;
    use super::*;

    pub(in super::super) fn test(name: &str, ignored: Option<&str>) -> Test {
        Test {
            name: name.to_owned(),
            path: name.to_owned(),
            ignored: ignored.is_some(),
            reason: ignored.map(str::to_owned),
            should_panic: None,
            origin: Origin::Libtest,
        }
    }

    /// One test passes, one fails, one is ignored.
    pub(in super::super) fn run(reporter: &mut dyn Reporter) {
        let tests = [test("a", None), test("b<\"&>", None), test("c", Some("slow"))];
        let outcome = |verdict, output: &str| Outcome {
            verdict,
            should_panic: false,
            output: output.into(),
        };
        reporter.begin(tests.len());
        reporter.test_begun(&tests[0]);
        reporter.test_ended(&tests[0], &outcome(Verdict::Passed, ""), Duration::from_millis(250));
        reporter.test_begun(&tests[1]);
        let failed = outcome(Verdict::Failed(Some("timed out".into())), "said \x1b[31m]]>\n");
        reporter.test_ended(&tests[1], &failed, Duration::from_millis(1500));
        let ignored = outcome(Verdict::Ignored(Some("slow".into())), "");
        reporter.test_ended(&tests[2], &ignored, Duration::ZERO);
        reporter.end(4, Duration::from_secs(2));
    }
}
