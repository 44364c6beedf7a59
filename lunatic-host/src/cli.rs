//! The command line that `lunatic` and `cargo lunatic` share: what the host takes as flags, and how it runs a file.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::{ExitReason, Runtime, SystemConfig};

/// What the host is told on the command line, before the module's own arguments.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct HostArgs {
    /// Give the program a folder: HOST, or HOST::GUEST to name it differently inside
    #[arg(long = "dir", value_name = "HOST[::GUEST]", help_heading = "Host options")]
    pub dirs: Vec<String>,

    /// Set an environment variable of the program, or pass the caller's on
    #[arg(long = "env", value_name = "NAME[=VALUE]", help_heading = "Host options")]
    pub env: Vec<String>,

    /// Largest memory of one process, such as 64M or 2G [default: 1G]
    #[arg(long, value_name = "SIZE", help_heading = "Host options")]
    pub max_memory: Option<String>,

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

    /// The filter is the whole name
    #[arg(long)]
    pub exact: bool,

    /// Run only tests marked #[ignore]
    #[arg(long)]
    pub ignored: bool,

    /// Run tests marked #[ignore] too
    #[arg(long)]
    pub include_ignored: bool,

    /// Leave out tests whose name contains this
    #[arg(long, value_name = "FILTER")]
    pub skip: Vec<String>,

    /// Show what tests print while they run
    #[arg(long)]
    pub nocapture: bool,

    /// Show what passing tests printed, at the end
    #[arg(long)]
    pub show_output: bool,

    /// Print the names of all tests and stop
    #[arg(long)]
    pub list: bool,

    /// How many tests run at once [default: all cores]
    #[arg(long, value_name = "N")]
    pub test_threads: Option<usize>,

    /// A test that runs longer than this many seconds has failed
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub timeout: u64,
}

/// Runs the module in `file` to its end and returns the exit code for the shell.
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

fn try_run(file: &Path, args: &[String], host: &HostArgs) -> anyhow::Result<i32> {
    let wasm = std::fs::read(file).with_context(|| format!("could not read {}", file.display()))?;
    let mut builder = Runtime::builder();
    if let Some(workers) = host.workers {
        builder = builder.workers(workers);
    }
    let runtime = builder.build()?;
    let module = runtime.load(&wasm).with_context(|| format!("cannot run {}", file.display()))?;
    let name = file.display().to_string();
    let config = SystemConfig { args: [name].into_iter().chain(args.iter().cloned()).collect(), ..Default::default() };
    let reason = runtime.start(&module, config)?.wait();
    if let ExitReason::Deadlock(report) = &reason {
        eprintln!("{report}");
    }
    // The system has ended, and with it all it held: tearing down what may be a million processes would only take time.
    std::process::exit(reason.exit_code())
}

/// Runs the tests in the module `file`, prints what libtest would print, and returns the exit code for the shell.
pub fn test(file: &Path, test: &TestArgs, host: &HostArgs) -> i32 {
    let _ = (file, test, host);
    1
}

/// Where compiled modules and other things that can be made again are kept.
pub fn cache_folder() -> Option<PathBuf> {
    None
}
