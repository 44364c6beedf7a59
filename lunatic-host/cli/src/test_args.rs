//! The flags of the test runner, which are those of libtest.

/// What the test runner is told: the flags of `cargo test`'s own runner that make sense here.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct TestArgs {
    /// Run only tests whose name contains this
    #[arg(value_name = "FILTER")]
    pub filter: Option<String>,

    /// Filters are whole names
    #[arg(long)]
    pub exact: bool,

    /// Run only tests marked `#[ignore]`
    #[arg(long, conflicts_with = "include_ignored")]
    pub ignored: bool,

    /// Run tests marked `#[ignore]` too
    #[arg(long)]
    pub include_ignored: bool,

    /// Leave out tests whose name contains this
    #[arg(long, value_name = "FILTER")]
    pub skip: Vec<String>,

    /// Show what tests print while they run
    #[arg(long, alias = "no-capture")]
    pub nocapture: bool,

    /// Show what passing tests printed, at the end
    #[arg(long)]
    pub show_output: bool,

    /// Print the names of all tests and stop
    #[arg(long)]
    pub list: bool,

    /// How results and lists are printed
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub format: TestFormat,

    /// Print one character per test, as `--format terse`
    #[arg(short, long)]
    pub quiet: bool,

    /// When to print in colors
    #[arg(long, value_enum, value_name = "WHEN", default_value_t)]
    pub color: TestColor,

    /// How many tests run at once [default: RUST_TEST_THREADS, else one per worker]
    #[arg(long, value_name = "N")]
    pub test_threads: Option<usize>,

    /// What the tests get as their arguments; set by who calls the runner.
    #[arg(skip)]
    pub guest_args: Vec<String>,

    /// A test that runs longer than this many seconds has failed; 0 for no limit [default: 60]
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<u64>,
}

/// How the test runner prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum TestFormat {
    /// A line for each test.
    #[default]
    Pretty,
    /// A character for each test.
    Terse,
}

/// When the test runner prints in colors.
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
    /// How results and lists are printed: `quiet` counts, too.
    pub(crate) fn format(&self) -> TestFormat {
        if self.quiet { TestFormat::Terse } else { self.format }
    }

    /// The same for a test program that reads libtest's flags itself.
    pub(crate) fn to_libtest(&self) -> Vec<String> {
        let flags = [
            (self.exact, "--exact"),
            (self.ignored, "--ignored"),
            (self.include_ignored, "--include-ignored"),
            (self.nocapture, "--nocapture"),
            (self.show_output, "--show-output"),
            (self.list, "--list"),
            (self.format() == TestFormat::Terse, "--format=terse"),
            (self.color == TestColor::Always, "--color=always"),
            (self.color == TestColor::Never, "--color=never"),
        ];
        let flags = flags
            .into_iter()
            .filter(|(is_set, _)| *is_set)
            .map(|(_, flag)| flag.to_owned());
        let skip = self.skip.iter().map(|skip| format!("--skip={skip}"));
        let threads = self.test_threads.map(|threads| format!("--test-threads={threads}"));
        flags.chain(skip).chain(threads).chain(self.filter.clone()).collect()
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
    }

    #[test]
    fn flags_of_tests_that_make_no_sense_are_refused() {
        for line in [
            "--ignored --include-ignored",
            "a b",
            "--timeout=soon",
            "--format=json",
            "--test-threads",
        ] {
            assert!(
                <Line as clap::Parser>::try_parse_from(line.split_whitespace()).is_err(),
                "{line}"
            );
        }
    }
}
