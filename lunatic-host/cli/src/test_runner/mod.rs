//! Runs the tests in a module and prints what libtest would print.
//!
//! A module has tests of two kinds: exported functions with names that say so ([`names`]), and plain `#[test]`s that only
//! libtest inside the module knows ([`libtest`]). Each test is a system of its own, with its own processes and output: it
//! fails alone, whatever it does.
//!
//! | module | what it is about |
//! |---|---|
//! | [`names`] | what the names of exported tests say |
//! | [`libtest`] | talks to libtest in the module |
//! | `discover` | which tests there are |
//! | `select` | which of them are to run |
//! | [`program`] | one run of the module, as a system of its own |
//! | [`execute`] | runs tests, some at once |
//! | [`verdict`] | what the end of a test's main process means |
//! | `print` | how it is shown |

mod discover;
mod execute;
mod libtest;
mod names;
mod print;
mod program;
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
use self::print::{Lines, Printer, Style};
use self::program::Program;
use self::select::{Selected, select};
use self::verdict::Ended;
use crate::run::{load, read};
use crate::{HostArgs, TestArgs, TestColor};

/// The exit code when a test has failed, as that of libtest.
const FAILED: i32 = 101;

/// The same for tests of the interface of Lunatic 0.13, whose runner said so.
const COMPAT_FAILED: i32 = 1;

/// So many of those run at once: there they all did, and some do little but wait.
const COMPAT_THREADS: usize = 64;

/// How long a test may run, if nothing else is said.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Runs the tests in the module `file`, prints what libtest would print, and returns the exit code for the shell: 0; 101
/// if a test failed; 1 if nothing could be run.
///
/// Tests are the exported functions that `#[lunatic::test]` makes and the plain `#[test]`s of a Rust test binary. Each is
/// a system of its own, with the environment of the host and its current folder, so that it can fail alone: by a panic or
/// a trap, in a deadlock, out of memory, out of time. A test program that is neither (`harness = false`) is run once, with
/// the flags in `args`, and its exit code is returned.
pub fn test(file: &Path, args: &TestArgs, host: &HostArgs) -> i32 {
    match try_test(file, args, host) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", lines(format!("{error:#}")));
            1
        }
    }
}

/// Runs the tests in the module `file` and returns the exit code for the shell: 0, or 101 if a test failed. That of a
/// test program without libtest is its own.
///
/// # Errors
///
/// When nothing could be run at all.
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
    // Tests that write to the same stream must not come between the parts of a line.
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

/// [`try_test`], printing to `out`, with the host's streams for tests that are shown while they run.
fn run_to(
    out: impl Write,
    color: bool,
    file: &Path,
    args: &TestArgs,
    host: &HostArgs,
    streams: &Streams,
) -> anyhow::Result<i32> {
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
    let mut code = run_found(out, color, &program, args, threads, streams);
    if let Ok(FAILED) = code
        && is_compat
    {
        code = Ok(COMPAT_FAILED);
    }
    drop(program);
    // Tests that were killed may still be on their way out, and whoever called this is about to end.
    std::mem::forget(runtime);
    code
}

/// Finds the tests and runs those that `args` ask for, `threads` at once.
fn run_found(
    out: impl Write,
    color: bool,
    program: &Program,
    args: &TestArgs,
    threads: usize,
    streams: &Streams,
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
        let printer = Printer::new(out, style);
        let streams = args.nocapture.then_some(streams);
        if !run_selected(printer, program, &selected, filtered_out, args, threads, streams)? {
            code = FAILED;
        }
    }
    if own_main {
        let main = run_main(program, args, streams);
        code = if code == 0 { main } else { FAILED };
    }
    Ok(code)
}

/// Runs or lists tests; false if one has failed.
fn run_selected<W: Write>(
    mut printer: Printer<W>,
    program: &Program,
    selected: &[Selected],
    filtered_out: usize,
    args: &TestArgs,
    threads: usize,
    streams: Option<&Streams>,
) -> anyhow::Result<bool> {
    if args.list {
        printer.list(selected.iter().map(|selected| &selected.test));
        return Ok(true);
    }
    let start = Instant::now();
    printer.begin(selected.len());
    run_all(program, selected, threads, streams, |event| match event {
        Event::Begun(index) => printer.test_begun(&selected[index].test),
        Event::Slow(index) => printer.test_slow(&selected[index].test),
        Event::Ended(index, outcome) => printer.test_ended(&selected[index].test, outcome),
    })
    .context("could not start a thread to run tests on")?;
    Ok(printer.end(filtered_out, start.elapsed()))
}

/// Runs a test program that is not libtest, as `cargo test` does: with the arguments of libtest, and to be seen.
fn run_main(program: &Program, args: &TestArgs, streams: &Streams) -> i32 {
    let Streams { stdout, stderr } = streams;
    let ended = program.run("_start", args.to_libtest(), (stdout.clone(), stderr.clone()), |_| {});
    // It has said itself why it ends.
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

/// How many tests run at once.
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
