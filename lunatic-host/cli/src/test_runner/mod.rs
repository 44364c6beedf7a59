//! Runs the tests in a module and prints what libtest would print.
//!
//! A module has tests of two kinds: exported functions with special names ([`names`]), and plain `#[test]`s, which only
//! the libtest inside the module knows ([`libtest`]). Each test is a system of its own, with its own processes and
//! output: whatever it does, it affects no other test.
//!
//! | module | purpose |
//! |---|---|
//! | [`names`] | parses the names of exported tests |
//! | [`libtest`] | talks to libtest in the module |
//! | `discover` | finds the tests |
//! | `select` | selects the tests to run |
//! | [`program`] | one run of the module, as a system of its own |
//! | [`execute`] | runs tests, several in parallel |
//! | [`verdict`] | what the end of a test's main process means |
//! | `report` | what is told of a run |
//! | `print`, `json` | prints the results, for people and for programs |
//! | `junit` | writes them to a file |

mod discover;
mod execute;
mod json;
mod junit;
mod libtest;
mod names;
mod print;
mod program;
mod report;
mod select;
#[cfg(test)]
mod tests;
mod verdict;

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use lunatic_host::ExitReason;
use lunatic_host::report::untrusted::lines;
use lunatic_host::wasi::Output;

use self::discover::{Found, discover};
use self::execute::{Event, Streams, run_all};
use self::json::JsonPrinter;
pub use self::junit::Junit;
use self::junit::Suite;
use self::print::{Lines, Printer, Style};
use self::program::Program;
use self::report::Reporter;
use self::select::{Selected, select};
use self::verdict::{Ended, Verdict};
use crate::advice::explained;
use crate::run::{load, read};
use crate::{HostArgs, TestArgs, TestColor, TestFormat};

/// The exit code if a test has failed, as for libtest.
const FAILED: i32 = 101;

/// The same for tests of the interface of Lunatic 0.13, as its runner had it.
const COMPAT_FAILED: i32 = 1;

/// How many of those run in parallel: their former runner ran all of them, and some do little but wait.
const COMPAT_THREADS: usize = 64;

/// How long a test may run, unless `--timeout` is given.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Runs the tests in the module `file`, prints what libtest would print, and returns the exit code for the shell: 0;
/// 101 if a test failed; 1 if nothing could be run.
///
/// Tests are the exported functions that `#[lunatic::test]` makes, and the plain `#[test]`s of a Rust test binary. Each
/// is a system of its own, with the environment of the host and its current folder, so a panic, a trap, a deadlock, a
/// lack of memory or a timeout affects no other test. A test program that is neither (`harness = false`) is run once,
/// with the flags in `args`, and its exit code is returned.
pub fn test(file: &Path, args: &TestArgs, host: &HostArgs) -> i32 {
    match try_test(file, args, host) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", lines(explained(&error)));
            1
        }
    }
}

/// Runs the tests in the module `file` and returns the exit code for the shell: 0, 101 if a test failed, or that of a
/// test program without libtest.
///
/// # Errors
///
/// If nothing could be run at all.
fn try_test(file: &Path, args: &TestArgs, host: &HostArgs) -> anyhow::Result<i32> {
    let streams = Streams {
        stdout: Output::stdout(),
        stderr: Output::stderr(),
    };
    let color = match args.color {
        TestColor::Auto => streams.stdout.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
        TestColor::Always => true,
        TestColor::Never => false,
    };
    let nocapture = args.nocapture || variable("RUST_TEST_NOCAPTURE").is_some_and(|value| value != "0");
    // Tests write to the same stream, and must not break into a line.
    let out: Box<dyn Write> = match nocapture {
        true => Box::new(Lines(streams.stdout.clone())),
        false => Box::new(std::io::stdout()),
    };
    let code = run_to(
        out,
        color,
        file,
        &TestArgs {
            nocapture,
            ..args.clone()
        },
        host,
        &streams,
    );
    streams.stdout.finish();
    streams.stderr.finish();
    code
}

/// [`try_test`], which prints to `out`; tests whose output is shown while they run write to the host's streams.
fn run_to(
    out: impl Write,
    color: bool,
    file: &Path,
    args: &TestArgs,
    host: &HostArgs,
    streams: &Streams,
) -> anyhow::Result<i32> {
    let junit = match (&args.report, &args.junit) {
        (Some(report), _) => Some(report.clone()),
        (None, Some(path)) => {
            let created = Junit::create(path);
            Some(created.with_context(|| format!("could not create {} for the results", path.display()))?)
        }
        (None, None) => None,
    };
    host.confine.tests()?;
    let runtime = host.runtime()?.build()?;
    let module = load(&runtime, file, &read(file)?)?;
    let is_compat = crate::compat::is_compat(&module);
    let threads = threads(args, host, is_compat)?;
    let timeout = match args.timeout {
        Some(0) => None,
        Some(seconds) => Some(Duration::from_secs(seconds)),
        None => (!is_compat).then_some(TIMEOUT),
    };
    if module.tests().is_empty() && !module.has_start() {
        let file = file.display();
        bail!("there are no tests in {file}, and no `_start`: build it with `cargo test --no-run`");
    }
    let program = Program::new(&runtime, module, file, host, &args.guest_args, timeout)?;
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    let mut suite = Suite::new(args.suite.as_deref().unwrap_or(&name));
    let mut code = run_found(out, color, &program, args, threads, streams, &mut suite);
    if let Some(junit) = junit.filter(|_| code.is_ok() && !args.list) {
        junit
            .add(&suite)
            .context("could not write the results to the JUnit file")?;
    }
    if let Ok(FAILED) = code
        && is_compat
    {
        code = Ok(COMPAT_FAILED);
    }
    drop(program);
    // Tests that were killed may still be ending, and the caller is about to exit.
    std::mem::forget(runtime);
    code
}

/// Finds the tests and runs those that `args` select, `threads` in parallel.
fn run_found(
    out: impl Write,
    color: bool,
    program: &Program,
    args: &TestArgs,
    threads: usize,
    streams: &Streams,
    suite: &mut Suite,
) -> anyhow::Result<i32> {
    let Found { tests, own_main } = discover(program);
    let has_tests = !tests.is_empty();
    let (selected, filtered_out) = select(tests, args);
    let mut code = 0;
    if has_tests || !own_main {
        let style = Style {
            format: args.format(),
            color,
            names_first: threads == 1 && !args.nocapture,
            show_output: args.show_output,
        };
        let mut printer: Box<dyn Reporter + '_> = match args.format() {
            TestFormat::Json => Box::new(JsonPrinter::new(out)),
            TestFormat::Pretty | TestFormat::Terse => Box::new(Printer::new(out, style)),
        };
        let reporters: &mut [&mut dyn Reporter] = &mut [&mut *printer, &mut *suite];
        let streams = args.nocapture.then_some(streams);
        if !run_selected(reporters, program, &selected, filtered_out, args, threads, streams)? {
            code = FAILED;
        }
    }
    if own_main {
        let start = Instant::now();
        let main = run_main(program, args.to_libtest(), streams);
        suite.add_main(main, start.elapsed());
        code = if code == 0 { main } else { FAILED };
    }
    Ok(code)
}

/// Runs or lists tests; returns false if one has failed.
fn run_selected(
    reporters: &mut [&mut dyn Reporter],
    program: &Program,
    selected: &[Selected],
    filtered_out: usize,
    args: &TestArgs,
    threads: usize,
    streams: Option<&Streams>,
) -> anyhow::Result<bool> {
    let mut tell = |event: &dyn Fn(&mut dyn Reporter)| reporters.iter_mut().for_each(|reporter| event(&mut **reporter));
    if args.list {
        let tests: Vec<_> = selected.iter().map(|selected| &selected.test).collect();
        tell(&|reporter| reporter.list(&tests));
        return Ok(true);
    }
    let (start, mut have_passed) = (Instant::now(), true);
    tell(&|reporter| reporter.begin(selected.len()));
    run_all(program, selected, threads, streams, |event| match event {
        Event::Begun(index) => tell(&|reporter| reporter.test_begun(&selected[index].test)),
        Event::Slow(index) => tell(&|reporter| reporter.test_slow(&selected[index].test)),
        Event::Ended(index, outcome, time) => {
            have_passed &= !matches!(outcome.verdict, Verdict::Failed(_));
            tell(&|reporter| reporter.test_ended(&selected[index].test, &outcome, time));
        }
    })
    .context("could not start a thread to run tests on")?;
    let time = start.elapsed();
    tell(&|reporter| reporter.end(filtered_out, time));
    Ok(have_passed)
}

/// Runs the benchmarks in the module `file`, with the environment of the host and its current folder, and returns the
/// exit code for the shell. As cargo does, it passes `--bench` and then `args` to the program.
pub fn bench(file: &Path, args: &[String], host: &HostArgs) -> i32 {
    match try_bench(file, args, host) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", lines(explained(&error)));
            1
        }
    }
}

fn try_bench(file: &Path, args: &[String], host: &HostArgs) -> anyhow::Result<i32> {
    host.confine.tests()?;
    let runtime = host.runtime()?.build()?;
    let module = load(&runtime, file, &read(file)?)?;
    if !module.has_start() {
        bail!("{} is not a program: it has no function `_start`", file.display());
    }
    let streams = Streams {
        stdout: Output::stdout(),
        stderr: Output::stderr(),
    };
    let program = Program::new(&runtime, module, file, host, &[], None)?;
    let args = ["--bench".to_owned()].into_iter().chain(args.iter().cloned());
    let code = run_main(&program, args.collect(), &streams);
    drop(program);
    std::mem::forget(runtime);
    streams.stdout.finish();
    streams.stderr.finish();
    Ok(code)
}

/// Runs a program without libtest, as `cargo test` and `cargo bench` do: with these arguments, and with its output shown.
fn run_main(program: &Program, args: Vec<String>, streams: &Streams) -> i32 {
    let Streams { stdout, stderr } = streams;
    let ended = program.run("_start", args, (stdout.clone(), stderr.clone()), |_| {});
    // The program itself has printed why it ends.
    let has_said = matches!(ended, Ended::Reason(ExitReason::Normal | ExitReason::Exit(_)));
    if let Some(why) = verdict::why(&ended).filter(|_| !has_said) {
        stderr.report(&format!("{}\n", lines(why)));
        stderr.finish();
    }
    match ended {
        Ended::Reason(reason) => reason.exit_code(),
        Ended::TimedOut(_) | Ended::NotStarted(_) => FAILED,
    }
}

/// How many tests run in parallel.
fn threads(args: &TestArgs, host: &HostArgs, is_compat: bool) -> anyhow::Result<usize> {
    let from_variable = || {
        let Some(value) = variable("RUST_TEST_THREADS") else {
            return Ok(None);
        };
        let number: Option<usize> = value.to_str().and_then(|value| value.parse().ok());
        number
            .map(Some)
            .with_context(|| format!("RUST_TEST_THREADS is {value:?}: set it to a number, 1 or larger"))
    };
    let asked = match args.test_threads {
        Some(threads) => Some(threads),
        None => from_variable()?,
    };
    match asked {
        Some(0) => bail!("no test could run on 0 threads: give at least 1"),
        Some(threads) => Ok(threads),
        None if is_compat => Ok(COMPAT_THREADS),
        None => Ok(host
            .workers
            .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))),
    }
}

fn variable(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}
