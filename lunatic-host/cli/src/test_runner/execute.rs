//! Runs selected tests, several in parallel, and reports their outcomes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use lunatic_host::wasi::Output;

use super::discover::{Origin, Test};
use super::libtest::{self, Frame};
use super::program::Program;
use super::select::Selected;
use super::verdict::{self, Verdict};

/// A test that runs this long is mentioned.
pub(super) const SLOW: Duration = Duration::from_secs(60);

/// The outcome of a test.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) verdict: Verdict,
    /// Whether it is marked `#[should_panic]`.
    pub(super) should_panic: bool,
    /// Its output; empty if that was shown while the test ran.
    pub(super) output: Vec<u8>,
}

/// An event of the test with this index.
#[derive(Debug)]
pub(super) enum Event {
    Begun(usize),
    /// It has been running for [`SLOW`].
    Slow(usize),
    /// It has ended after this time.
    Ended(usize, Outcome, Duration),
}

/// Where the output of running tests goes if it is not captured.
#[derive(Clone)]
pub(super) struct Streams {
    pub(super) stdout: Output,
    pub(super) stderr: Output,
}

/// Runs the tests in their order, `threads` in parallel, and calls `on_event` until the last has ended.
///
/// # Errors
///
/// If the machine provides no thread to run tests on.
pub(super) fn run_all(
    program: &Program,
    tests: &[Selected],
    threads: usize,
    streams: Option<&Streams>,
    mut on_event: impl FnMut(Event),
) -> std::io::Result<()> {
    let next = AtomicUsize::new(0);
    let (events, queue) = mpsc::channel();
    std::thread::scope(|scope| {
        for thread in 0..threads.clamp(1, tests.len().max(1)) {
            let (next, events) = (&next, events.clone());
            let run = move || {
                while let Some((index, selected)) = take(tests, next) {
                    // The receiver lives until the last sender is gone.
                    let _ = events.send(Event::Begun(index));
                    let slow = || drop(events.send(Event::Slow(index)));
                    let start = Instant::now();
                    let outcome = run(program, selected, streams, slow);
                    let _ = events.send(Event::Ended(index, outcome, start.elapsed()));
                }
            };
            match std::thread::Builder::new()
                .name(format!("lunatic-test-{thread}"))
                .spawn_scoped(scope, run)
            {
                Err(error) if thread == 0 => return Err(error),
                // The threads that exist must do.
                Err(_) => break,
                Ok(_) => {}
            }
        }
        drop(events);
        queue.into_iter().for_each(&mut on_event);
        Ok(())
    })
}

fn take<'a>(tests: &'a [Selected], next: &AtomicUsize) -> Option<(usize, &'a Selected)> {
    let index = next.fetch_add(1, Ordering::Relaxed);
    tests.get(index).map(|selected| (index, selected))
}

/// Runs one test. Calls `slow` once if the test takes long.
fn run(program: &Program, selected: &Selected, streams: Option<&Streams>, slow: impl FnOnce()) -> Outcome {
    let test = &selected.test;
    if !selected.runs {
        let verdict = Verdict::Ignored(test.reason.clone());
        return Outcome {
            verdict,
            should_panic: test.should_panic.is_some(),
            output: Vec::new(),
        };
    }
    let mut slow = Some(slow);
    let watch = |time| {
        if time >= SLOW
            && let Some(slow) = slow.take()
        {
            slow();
        }
    };
    match &test.origin {
        Origin::Export(export) => run_export(program, test, export, streams, watch),
        Origin::Libtest => run_by_libtest(program, test, streams, watch),
    }
}

fn run_export(
    program: &Program,
    test: &Test,
    export: &str,
    streams: Option<&Streams>,
    watch: impl FnMut(Duration),
) -> Outcome {
    let (output, capture) = Output::captured();
    let outputs = match streams {
        Some(Streams { stdout, stderr }) => (stdout.clone(), stderr.clone()),
        None => (output.clone(), output),
    };
    let ended = program.run(export, Vec::new(), outputs, watch);
    let verdict = verdict::of_export(&ended, test.should_panic.as_deref());
    Outcome {
        verdict,
        should_panic: test.should_panic.is_some(),
        output: capture.take(),
    }
}

fn run_by_libtest(
    program: &Program,
    test: &Test,
    streams: Option<&Streams>,
    mut watch: impl FnMut(Duration),
) -> Outcome {
    // One capture for both streams, so that the output is shown in the order in which it was written.
    let (output, capture) = Output::captured();
    let mut frame = Frame::new(&test.path);
    let show = |text: &[u8]| {
        if let Some(streams) = streams.filter(|_| !text.is_empty()) {
            streams.stdout.report(&String::from_utf8_lossy(text));
            // A test that prints faster than its output can be shown must wait.
            streams.stdout.finish();
        }
    };
    let ended = program.run(
        "_start",
        libtest::run_args(&test.path),
        (output.clone(), output),
        |time| {
            watch(time);
            if streams.is_some() {
                show(&frame.push(&capture.take()));
            }
        },
    );
    let mut output = frame.push(&capture.take());
    let answer = frame.end(&ended);
    output.extend(answer.output);
    show(&output);
    let output = if streams.is_some() { Vec::new() } else { output };
    Outcome {
        verdict: answer.verdict,
        should_panic: answer.should_panic,
        output,
    }
}
