//! The flags of the test runner; they are those of libtest.

use std::path::PathBuf;

use crate::Junit;

/// The options of the test runner: the flags of libtest, `cargo test`'s own runner, that make sense here.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct TestArgs {
    /// Run only tests whose name contains this, or one of these
    #[arg(value_name = "FILTER")]
    pub filters: Vec<String>,

    /// Match filters against whole names
    #[arg(long)]
    pub exact: bool,

    /// Run only tests marked `#[ignore]`
    #[arg(long, conflicts_with = "include_ignored")]
    pub ignored: bool,

    /// Also run tests marked `#[ignore]`
    #[arg(long)]
    pub include_ignored: bool,

    /// Skip tests whose name contains this
    #[arg(long, value_name = "FILTER")]
    pub skip: Vec<String>,

    /// Show the output of tests while they run
    #[arg(long, alias = "no-capture")]
    pub nocapture: bool,

    /// Show the output of passing tests at the end
    #[arg(long)]
    pub show_output: bool,

    /// List the names of all tests and exit
    #[arg(long)]
    pub list: bool,

    /// The format of results and lists
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub format: TestFormat,

    /// Print one character per test, like `--format terse`
    #[arg(short, long)]
    pub quiet: bool,

    /// When to use colours
    #[arg(long, value_enum, value_name = "WHEN", default_value_t)]
    pub color: TestColor,

    /// Also write the results to this file, in the format of JUnit
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,

    /// Where results are collected instead, if several test programs are run; the caller of the runner sets it.
    #[arg(skip)]
    pub report: Option<Junit>,

    /// The name of the test program in the results; the caller of the runner sets it. [default: that of the file]
    #[arg(skip)]
    pub suite: Option<String>,

    /// How many tests run in parallel [default: RUST_TEST_THREADS, else one per worker]
    #[arg(long, value_name = "N")]
    pub test_threads: Option<usize>,

    /// Arguments for the tests; the caller of the runner sets them.
    #[arg(skip)]
    pub guest_args: Vec<String>,

    /// Unstable flags of libtest, which editors pass: what they unlock is stable here.
    #[arg(short = 'Z', value_name = "FLAG", hide = true)]
    pub unstable: Vec<String>,

    /// A flag of libtest: benchmarks are not run in any case.
    #[arg(long, hide = true)]
    pub test: bool,

    /// A flag of libtest, which is ignored: the results of each format say how long tests took, if it has a place for that.
    #[arg(long, value_name = "HOW", num_args = 0..=1, require_equals = true, default_missing_value = "", hide = true)]
    pub report_time: Option<String>,

    /// Fail a test that runs longer than this many seconds; 0 for no limit [default: 60]
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<u64>,
}

/// The format of the test runner's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum TestFormat {
    /// One line per test.
    #[default]
    Pretty,
    /// One character per test.
    Terse,
    /// One JSON object per event, as of libtest.
    Json,
}

/// When the test runner uses colors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum TestColor {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl TestArgs {
    /// The format of results and lists, which `quiet` also sets.
    pub(crate) fn format(&self) -> TestFormat {
        if self.quiet { TestFormat::Terse } else { self.format }
    }

    /// The same flags for a test program that parses libtest's flags itself.
    pub(crate) fn to_libtest(&self) -> Vec<String> {
        let flags = [
            (self.exact, "--exact"),
            (self.ignored, "--ignored"),
            (self.include_ignored, "--include-ignored"),
            (self.nocapture, "--nocapture"),
            (self.show_output, "--show-output"),
            (self.list, "--list"),
            (self.format() == TestFormat::Terse, "--format=terse"),
            (self.format() == TestFormat::Json, "--format=json"),
            (self.color == TestColor::Always, "--color=always"),
            (self.color == TestColor::Never, "--color=never"),
        ];
        let flags = flags
            .into_iter()
            .filter(|(is_set, _)| *is_set)
            .map(|(_, flag)| flag.to_owned());
        let skip = self.skip.iter().map(|skip| format!("--skip={skip}"));
        let unstable = self.unstable.iter().map(|flag| format!("-Z{flag}"));
        let threads = self.test_threads.map(|threads| format!("--test-threads={threads}"));
        flags
            .chain(unstable)
            .chain(skip)
            .chain(threads)
            .chain(self.filters.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, clap::Parser)]
    #[command(no_binary_name = true)]
    struct Line {
        #[command(flatten)]
        test: TestArgs,
    }

    #[test]
    fn test_programs_of_their_own_get_libtests_flags() {
        #[track_caller]
        fn check(line: &str, expected: &str) {
            let Line { test } = clap::Parser::try_parse_from(line.split_whitespace()).unwrap();
            assert_eq!(test.to_libtest().join(" "), expected);
        }
        check("", "");
        check("a --exact b", "--exact a b");
        check("sorts --exact --skip=a --skip b", "--exact --skip=a --skip=b sorts");
        check(
            "--no-capture --list -q --test-threads 3 --timeout 5",
            "--nocapture --list --format=terse --test-threads=3",
        );
        check(
            "--ignored --show-output --color=never",
            "--ignored --show-output --color=never",
        );
        check(
            "--include-ignored --color=always --format pretty",
            "--include-ignored --color=always",
        );
        check("--format json --junit results.xml", "--format=json");
        // As editors call `cargo test`.
        check(
            "-Z unstable-options --format=json --report-time --test a",
            "--format=json -Zunstable-options a",
        );
    }

    #[test]
    fn flags_of_tests_that_make_no_sense_are_refused() {
        for line in [
            "--ignored --include-ignored",
            "--timeout=soon",
            "--format=xml",
            "--junit",
            "--test-threads",
        ] {
            assert!(
                <Line as clap::Parser>::try_parse_from(line.split_whitespace()).is_err(),
                "{line}"
            );
        }
    }
}
