//! The command line that `lunatic` and `cargo lunatic` share: what the host takes as flags, and how it runs a file.

pub mod cargo_runner;
pub mod init;
pub(crate) mod trust;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::rights::budget::Caps;
use crate::wasi::{Output, Stdin, flags};
use crate::{ExitReason, Module, Runtime, SystemConfig, test_runner};

/// What the host is told on the command line, before the module's own arguments.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct HostArgs {
    /// Give the program a folder: HOST, or HOST::GUEST to name it differently inside; with `:ro` to be read only
    #[arg(long = "dir", value_name = "HOST[::GUEST][:ro]", help_heading = "Host options")]
    pub dirs: Vec<String>,

    /// Set an environment variable of the program, or pass the caller's on
    #[arg(long = "env", value_name = "NAME[=VALUE]", help_heading = "Host options")]
    pub env: Vec<String>,

    /// Let the program use the network: HOST, HOST:PORT, 10.0.0.0/8:8000-8099, *.example.com:443, `bind:` and
    /// `resolve:` before it, or '*' for everything
    #[arg(long, value_name = "RULE", help_heading = "Host options")]
    pub allow_net: Vec<String>,

    /// Most files and folders that one process opens at once, and most sockets that it has [default: 1024]
    #[arg(long, value_name = "N", help_heading = "Host options")]
    pub max_files: Option<u32>,

    /// Most processes alive at once [default: 16777216]
    #[arg(long, value_name = "N", help_heading = "Host options")]
    pub max_processes: Option<u64>,

    /// Largest memory of all processes together, such as 4G [default: three quarters of the machine's]
    #[arg(long, value_name = "SIZE", help_heading = "Host options")]
    pub max_total_memory: Option<String>,

    /// Time on a core for all processes together, in seconds; then they are ended [default: no limit]
    #[arg(long, value_name = "SECONDS", help_heading = "Host options")]
    pub max_cpu: Option<f64>,

    /// Say on standard error what a process wanted and may not
    #[arg(long, help_heading = "Host options")]
    pub log_denials: bool,

    /// Largest memory of one process, such as 64M or 2G [default: 1G]
    #[arg(long, value_name = "SIZE", help_heading = "Host options")]
    pub max_memory: Option<String>,

    /// Give the program what a native one has: the current folder, all variables, and the network
    #[arg(long, help_heading = "Host options")]
    pub trust: bool,

    /// At the end, print the numbers that a program of Lunatic 0.13 has counted with `lunatic::metrics`
    #[arg(long, help_heading = "Host options")]
    pub metrics: bool,

    /// When the host holds more memory than this, such as 200M, all processes that wait are packed, not only those that
    /// have waited for five seconds [default: a tenth of the machine's]
    #[arg(long, value_name = "SIZE", help_heading = "Host options")]
    pub max_resident: Option<String>,

    /// Number of worker threads [default: one per core]
    #[arg(long, value_name = "N", help_heading = "Host options")]
    pub workers: Option<usize>,
}

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

/// Runs the module in `file` to its end and returns the exit code for the shell: that of [`ExitReason::exit_code`], or 1
/// if it could not be started.
///
/// `args` are the program's arguments without its name; `args[0]` of the guest is `file`.
pub fn run(file: &Path, args: &[String], host: &HostArgs) -> i32 {
    match try_run(file, args, host) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            1
        }
    }
}

/// Said of programs that may miss what they were used to.
const COMPAT_NOTE: &str = "note: this program was built for Lunatic 0.13, which gave each program the current folder, the \
    environment and the network. Here it has none of them: add `--trust` for all, or `--dir .`, `--env NAME` and \
    `--allow-net '*'`";

fn try_run(file: &Path, args: &[String], host: &HostArgs) -> anyhow::Result<i32> {
    let mut config = host.system()?;
    config.wasi.args = [file.display().to_string()]
        .into_iter()
        .chain(args.iter().cloned())
        .collect();
    let (stdout, stderr) = (Output::stdout(), Output::stderr());
    (config.wasi.stdout, config.wasi.stderr) = (stdout.clone(), stderr.clone());
    config.wasi.stdin = Stdin::Inherit;
    let runtime = host.runtime()?;
    let module = load(&runtime, file)?;
    if host.trust || (module.is_compat() && trust::is_called_by_cargo()) {
        trust::trust(&mut config);
    } else if module.is_compat() && host.grants_nothing() {
        eprintln!("{COMPAT_NOTE}");
    }
    let started = runtime.start(&module, config);
    let system = started.with_context(|| format!("cannot run {}", file.display()))?;
    let reason = system.wait();
    if let ExitReason::Deadlock(report) = &reason {
        stderr.report(report);
    }
    if host.metrics {
        stderr.report(&system.metrics());
    }
    stdout.finish();
    stderr.finish();
    // The system has ended. Taking apart what may be a million processes would only take time: the caller exits.
    std::mem::forget((system, runtime));
    Ok(reason.exit_code())
}

/// Reads and loads the module in `file`.
pub(crate) fn load(runtime: &Runtime, file: &Path) -> anyhow::Result<Arc<Module>> {
    let wasm = std::fs::read(file).with_context(|| format!("could not read {}", file.display()))?;
    runtime
        .load(&wasm)
        .with_context(|| format!("cannot run {}", file.display()))
}

impl HostArgs {
    /// A runtime as these flags want it.
    pub(crate) fn runtime(&self) -> anyhow::Result<Runtime> {
        crate::instance::kernel::forbid_huge_pages();
        let mut builder = Runtime::builder();
        if let Some(size) = &self.max_resident {
            builder = builder.resident_max(parse_size(size).with_context(|| format!("--max-resident {size}"))?);
        }
        match self.workers {
            Some(0) => bail!("--workers 0 could run nothing: give at least 1"),
            Some(workers) => builder.workers(workers).build(),
            None => builder.build(),
        }
    }

    /// Whether a program gets no folder, no variable and no network.
    fn grants_nothing(&self) -> bool {
        self.dirs.is_empty() && self.env.is_empty() && self.allow_net.is_empty()
    }

    /// What these flags say of a system; its arguments and standard streams are not among them.
    pub(crate) fn system(&self) -> anyhow::Result<SystemConfig> {
        let mut config = SystemConfig::default();
        for dir in &self.dirs {
            config.wasi.dirs.push(flags::parse_dir(dir)?);
        }
        for env in &self.env {
            if let Some((name, value)) = flags::parse_env(env, |name| std::env::var_os(name))? {
                flags::set_env(&mut config.wasi.env, name, value);
            }
        }
        if let Some(size) = &self.max_memory {
            config.max_memory = parse_size(size)?;
        }
        for rule in &self.allow_net {
            config
                .net
                .push(rule.parse().with_context(|| format!("--allow-net {rule}"))?);
        }
        if let Some(files) = self.max_files {
            config.max_files = files;
        }
        let cpu = match self.max_cpu {
            Some(seconds) => Some(
                Duration::try_from_secs_f64(seconds)
                    .with_context(|| format!("--max-cpu {seconds}: give a number of seconds, such as 2.5"))?,
            ),
            None => None,
        };
        let caps = Caps {
            processes: self.max_processes,
            memory: match &self.max_total_memory {
                Some(size) => Some(parse_size(size)? as u64),
                None => None,
            },
            cpu,
            ..Caps::default()
        };
        config.caps = (caps != Caps::default()).then_some(caps);
        config.log_denials = self.log_denials;
        Ok(config)
    }
}

/// Reads a number of bytes such as `65536`, `64K`, `100M` or `2G`, with units of 1024.
pub(crate) fn parse_size(text: &str) -> anyhow::Result<usize> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match text[digits.len()..]
        .to_ascii_uppercase()
        .trim_end_matches("IB")
        .trim_end_matches('B')
    {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        _ => bail!("`{text}` is no size: write a number of bytes, or one with K, M or G, such as 64M"),
    };
    let number: Option<usize> = digits.parse().ok();
    let bytes = number.and_then(|number| number.checked_mul(unit));
    bytes.with_context(|| format!("`{text}` is no size: write a number of bytes, or one with K, M or G, such as 64M"))
}

/// Runs the tests in the module `file`, prints what libtest would print, and returns the exit code for the shell: 0; 101
/// if a test failed; 1 if nothing could be run.
///
/// Tests are the exported functions that `#[lunatic::test]` makes and the plain `#[test]`s of a Rust test binary. Each is
/// a system of its own, with the environment of the host and its current folder, so that it can fail alone: by a panic or
/// a trap, in a deadlock, out of memory, out of time. A test program that is neither (`harness = false`) is run once, with
/// the flags of `test`, and its exit code is returned.
pub fn test(file: &Path, test: &TestArgs, host: &HostArgs) -> i32 {
    match test_runner::run(file, test, host) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            1
        }
    }
}

/// Where compiled modules and other things that can be made again are kept.
pub fn cache_folder() -> Option<PathBuf> {
    crate::module::cache::user_folder()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("65536", 65_536),
            ("64K", 64 << 10),
            ("100M", 100 << 20),
            ("2g", 2 << 30),
            ("1GiB", 1 << 30),
        ] {
            assert_eq!(parse_size(text).unwrap(), bytes, "{text}");
        }
        for text in [
            "",
            "K",
            "1T",
            "-1",
            "1.5G",
            "99999999999999999999",
            "99999999999999999G",
        ] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

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
