//! The runner with small modules, each test of which does one thing.

use std::mem::ManuallyDrop;
use std::path::Path;
use std::time::Duration;

use lunatic_host::{Module, Runtime};

use super::*;

/// What the modules of these tests begin with: imports, memory, and a function that prints.
const PRELUDE: &str = r##"
    (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
    (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes_get (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
    (import "lunatic::channel" "new" (func $channel_new (param i64 i32) (result i32)))
    (import "lunatic::channel" "receive"
        (func $channel_receive (param i64 i64 i32 i32 i64) (result i32)))
    (memory (export "memory") 1)
    (func $print (param $fd i32) (param $text i32) (param $len i32)
        (i32.store (i32.const 0) (local.get $text))
        (i32.store (i32.const 4) (local.get $len))
        (drop (call $fd_write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8))))
"##;

/// What came out of a run.
struct Run {
    code: i32,
    /// What the runner printed.
    printed: String,
    /// What tests wrote to the streams of the host.
    streams: String,
}

/// A runner for one module, with two workers and without a cache.
struct Bench {
    /// Never dropped: see [`run_to`].
    runtime: ManuallyDrop<Runtime>,
    module: std::sync::Arc<Module>,
}

impl Bench {
    /// `code` follows [`PRELUDE`].
    fn new(code: &str) -> Self {
        let runtime = Runtime::builder().workers(2).cache(None).build().unwrap();
        let module = runtime.load(format!("(module {PRELUDE} {code})").as_bytes()).unwrap();
        Self {
            runtime: ManuallyDrop::new(runtime),
            module,
        }
    }

    fn run(&self, threads: usize, args: TestArgs) -> Run {
        self.run_for(None, threads, args)
    }

    fn run_for(&self, timeout: Option<Duration>, threads: usize, args: TestArgs) -> Run {
        let (output, capture) = Output::captured();
        let streams = Streams {
            stdout: output.clone(),
            stderr: output,
        };
        let host = HostArgs {
            max_memory: Some("1M".into()),
            ..HostArgs::default()
        };
        let program = Program::new(
            &self.runtime,
            self.module.clone(),
            Path::new("demo.wasm"),
            &host,
            &[],
            timeout,
        )
        .unwrap();
        let mut printed = Vec::new();
        let mut suite = Suite::new("demo");
        let code = run_found(&mut printed, false, &program, &args, threads, &streams, &mut suite).unwrap();
        Run {
            code,
            printed: String::from_utf8(printed).unwrap(),
            streams: String::from_utf8(capture.take()).unwrap(),
        }
    }
}

/// The text without how long all took.
#[track_caller]
fn without_time(text: &str) -> String {
    let (before, after) = text.rsplit_once("; finished in ").expect("a result");
    let (seconds, rest) = after.split_once('s').expect("seconds");
    assert!(seconds.parse::<f64>().is_ok(), "{seconds}");
    format!("{before}{rest}")
}

/// A test for each way to end.
const ONE_OF_EACH: &str = r##"
    (data (i32.const 100) "hello\n")
    (data (i32.const 200) "thread 'main' panicked at src/a.rs:1:2:\nboom\n")
    (func $recurse (export "recurse") (call $recurse))
    (func (export "#lunatic_test_passes") (call $print (i32.const 1) (i32.const 100) (i32.const 6)))
    (func (export "#lunatic_test_traps")
        (call $print (i32.const 1) (i32.const 100) (i32.const 6)) (unreachable))
    (func $panic (call $print (i32.const 2) (i32.const 200) (i32.const 45)) (unreachable))
    (func (export "#lunatic_test_panics") (call $panic))
    (func (export "#lunatic_test_#panic_boo#panics_as_expected") (call $panic))
    (func (export "#lunatic_test_#panic_bang#panics_otherwise") (call $panic))
    (func (export "#lunatic_test_#panic_#does_not_panic"))
    (func (export "#lunatic_test_#ignore_ignored") (unreachable))
    (func (export "#lunatic_test_exits") (call $proc_exit (i32.const 3)))
    (func (export "#lunatic_test_overflows") (call $recurse))
    (func (export "#lunatic_test_grows")
        (loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
        (i32.store (i32.shl (memory.size) (i32.const 16)) (i32.const 1)))
    (func (export "#lunatic_test_waits")
        (drop (call $channel_new (i64.const 0) (i32.const 16)))
        (drop (call $channel_receive (i64.load (i32.const 16)) (i64.load (i32.const 24))
            (i32.const 32) (i32.const 8) (i64.const -1))))"##;

#[test]
fn each_test_fails_alone_and_says_why() {
    let bench = Bench::new(ONE_OF_EACH);
    let run = bench.run(1, TestArgs::default());
    assert_eq!((run.code, run.streams.as_str()), (101, ""));
    let text = without_time(&run.printed);
    let results = "\nrunning 11 tests
test does_not_panic - should panic ... FAILED
test exits ... FAILED
test grows ... FAILED
test ignored ... ignored
test overflows ... FAILED
test panics ... FAILED
test panics_as_expected - should panic ... ok
test panics_otherwise - should panic ... FAILED
test passes ... ok
test traps ... FAILED
test waits ... FAILED

failures:
";
    assert!(text.starts_with(results), "{text}");
    let end = "
failures:
    does_not_panic
    exits
    grows
    overflows
    panics
    panics_otherwise
    traps
    waits

test result: FAILED. 2 passed; 8 failed; 1 ignored; 0 measured; 0 filtered out

";
    assert!(text.ends_with(end), "{text}");
    for (name, expected) in [
        ("does_not_panic", &["note: test did not panic as expected\n"][..]),
        ("exits", &["note: the test ended the program with exit code 3\n"]),
        ("grows", &["trapped: out-of-bounds memory access"]),
        ("overflows", &["trapped: stack overflow"]),
        ("panics", &["(main) panicked: boom\n", "at src/a.rs:1:2\n"]),
        (
            "panics_otherwise",
            &[
                "note: panic did not contain expected string\n      panic message: \"boom\"\n expected substring: \"bang\"\n",
            ],
        ),
        (
            "traps",
            &["hello\n", "trapped: an `unreachable` instruction was executed"],
        ),
        ("waits", &["note: ", "deadlock", "waits to receive"]),
    ] {
        let section = format!("{}\n", section(&text, name));
        for expected in expected {
            assert!(section.contains(expected), "{name}: {section}");
        }
    }
    assert!(!text.contains("---- passes"), "{text}");
}

/// The output of a test that failed.
#[track_caller]
fn section<'a>(text: &'a str, name: &str) -> &'a str {
    let (_, section) = text
        .split_once(&format!("---- {name} stdout ----\n"))
        .expect("a section");
    section.split_once("\n\n").expect("an end").0
}

#[test]
fn a_test_that_never_ends_is_killed() {
    let bench = Bench::new(
        r##"
        (func (export "#lunatic_test_loops") (loop (br 0)))
        (func (export "#lunatic_test_passes"))"##,
    );
    for nocapture in [false, true] {
        let args = TestArgs {
            nocapture,
            ..TestArgs::default()
        };
        let run = bench.run_for(Some(Duration::from_millis(500)), 2, args);
        assert_eq!(run.code, 101);
        for expected in [
            "test loops ... FAILED\n",
            "test passes ... ok\n",
            "---- loops stdout ----\nnote: timed out: the test was killed after 0.5 seconds; `--timeout` sets",
        ] {
            assert!(run.printed.contains(expected), "{}", run.printed);
        }
    }
}

#[test]
fn many_tests_at_once_are_all_run_once() {
    let tests = (0..500).map(|number| {
        let panics = if number % 2 == 0 { "" } else { "#panic_#" };
        let body = if number % 2 == 0 { "" } else { "(unreachable)" };
        format!("(func (export \"#lunatic_test_{panics}number_{number}\") {body})\n")
    });
    let bench = Bench::new(&tests.collect::<String>());
    let run = bench.run(8, TestArgs::default());
    let bad: Vec<_> = run.printed.lines().filter(|line| !line.ends_with(" ... ok")).collect();
    assert_eq!(run.code, 0, "{bad:#?}");
    for number in 0..500 {
        let panics = if number % 2 == 0 { "" } else { " - should panic" };
        assert_eq!(
            run.printed
                .matches(&format!("test number_{number}{panics} ... ok\n"))
                .count(),
            1,
            "{}",
            run.printed
        );
    }
    let result = "\ntest result: ok. 500 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out";
    assert!(run.printed.contains(result), "{}", run.printed);
}

#[test]
fn filters_choose_what_runs_and_what_is_listed() {
    let bench = Bench::new(
        r##"
        (func (export "#lunatic_test_sort::up"))
        (func (export "#lunatic_test_#ignore_sort::down"))
        (func (export "#lunatic_test_#panic_#map") (unreachable))"##,
    );
    let args = TestArgs {
        filters: vec!["sort".into()],
        ..TestArgs::default()
    };
    let expected = "
running 2 tests
test sort::down ... ignored
test sort::up ... ok

test result: ok. 1 passed; 0 failed; 1 ignored; 0 measured; 1 filtered out

";
    assert_eq!(without_time(&bench.run(1, args.clone()).printed), expected);
    let list = bench.run(1, TestArgs { list: true, ..args });
    assert_eq!(
        (list.code, list.printed.as_str()),
        (0, "sort::down: test\nsort::up: test\n\n2 tests, 0 benchmarks\n")
    );
    let args = TestArgs {
        ignored: true,
        list: true,
        quiet: true,
        ..TestArgs::default()
    };
    assert_eq!(bench.run(1, args).printed, "sort::down: test\n");
    let args = TestArgs {
        include_ignored: true,
        quiet: true,
        ..TestArgs::default()
    };
    let run = bench.run(2, args);
    assert!(
        run.printed
            .starts_with("\nrunning 3 tests\n...\n\ntest result: ok. 3 passed"),
        "{}",
        run.printed
    );
}

#[test]
fn output_is_shown_when_asked_for() {
    let bench = Bench::new(
        r##"
        (data (i32.const 100) "to stdout\nto stderr\n")
        (func (export "#lunatic_test_prints")
            (call $print (i32.const 1) (i32.const 100) (i32.const 10))
            (call $print (i32.const 2) (i32.const 110) (i32.const 10)))"##,
    );
    let run = bench.run(
        1,
        TestArgs {
            show_output: true,
            ..TestArgs::default()
        },
    );
    let successes = "\nsuccesses:\n\n---- prints stdout ----\nto stdout\nto stderr\n\n\nsuccesses:\n    prints\n";
    assert!(run.printed.contains(successes), "{}", run.printed);
    assert_eq!(run.streams, "");
    let run = bench.run(
        1,
        TestArgs {
            nocapture: true,
            ..TestArgs::default()
        },
    );
    assert_eq!(run.streams, "to stdout\nto stderr\n");
    assert!(run.printed.contains("\ntest prints ... ok\n"), "{}", run.printed);
}

/// A `_start` that answers as libtest does, by the number of its arguments. Of the tests `a` and `b`, `b` is ignored; `a`
/// prints a line. There is an exported test as well.
const LIKE_LIBTEST: &str = r##"
    (data (i32.const 1000) "a: test\nb: test\n\n2 tests, 0 benchmarks\n")
    (data (i32.const 1100) "b: test\n\n1 test, 0 benchmarks\n")
    (data (i32.const 1200) "\nrunning 1 test\ntest b ... ignored, too slow\n\ntest result: ok. 0 passed; 0 failed; 1 ignored\n\n")
    (data (i32.const 1300) "\nrunning 1 test\nhello\ntest a ... ok\n\ntest result: ok. 1 passed; 0 failed; 0 ignored\n\n")
    (func (export "#lunatic_test_demo::c"))
    (func (export "_start") (local $count i32)
        (drop (call $args_sizes_get (i32.const 16) (i32.const 20)))
        (local.set $count (i32.load (i32.const 16)))
        (if (i32.eq (local.get $count) (i32.const 3))
            (then (call $print (i32.const 1) (i32.const 1000) (i32.const 39))))
        (if (i32.eq (local.get $count) (i32.const 4))
            (then (call $print (i32.const 1) (i32.const 1100) (i32.const 30))))
        (if (i32.eq (local.get $count) (i32.const 7))
            (then (call $print (i32.const 1) (i32.const 1200) (i32.const 94))))
        (if (i32.eq (local.get $count) (i32.const 9))
            (then (call $print (i32.const 1) (i32.const 1300) (i32.const 85)))))"##;

#[test]
fn plain_tests_are_run_by_libtest_one_at_a_time() {
    let bench = Bench::new(LIKE_LIBTEST);
    let run = bench.run(
        1,
        TestArgs {
            show_output: true,
            ..TestArgs::default()
        },
    );
    let expected = "
running 3 tests
test a ... ok
test b ... ignored, too slow
test c ... ok

successes:

---- a stdout ----
hello


successes:
    a
    c

test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out

";
    assert_eq!(without_time(&run.printed), expected);
    assert_eq!(run.code, 0);
    let run = bench.run(
        1,
        TestArgs {
            nocapture: true,
            filters: vec!["a".into()],
            ..TestArgs::default()
        },
    );
    assert_eq!(run.streams, "hello\n");
    assert!(run.printed.contains("\ntest a ... ok\n"), "{}", run.printed);
}

#[test]
fn a_test_program_of_its_own_is_run_once_as_it_is() {
    let bench = Bench::new(
        r##"
        (func (export "_start") (local $len i32)
            (drop (call $args_sizes_get (i32.const 16) (i32.const 20)))
            (drop (call $args_get (i32.const 2000) (i32.const 1000)))
            (call $print (i32.const 1) (i32.const 1000) (i32.load (i32.const 20)))
            (call $proc_exit (i32.const 3)))"##,
    );
    let args = TestArgs {
        filters: vec!["some".into()],
        exact: true,
        ..TestArgs::default()
    };
    let run = bench.run(1, args);
    assert_eq!((run.code, run.printed.as_str()), (3, ""));
    assert_eq!(run.streams, "demo.wasm\0--exact\0some\0");
}

#[test]
fn a_test_program_of_its_own_that_never_ends_is_killed() {
    let bench = Bench::new(r##"(func (export "_start") (loop (br 0)))"##);
    let run = bench.run_for(Some(Duration::from_millis(200)), 1, TestArgs::default());
    assert_eq!((run.code, run.printed.as_str()), (101, ""));
    assert!(run.streams.starts_with("timed out: "), "{}", run.streams);
}

#[test]
fn what_is_no_test_binary_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    #[track_caller]
    fn check(file: &Path, expected: &str) {
        let streams = Streams {
            stdout: Output::discard(),
            stderr: Output::discard(),
        };
        let result = run_to(
            std::io::sink(),
            false,
            file,
            &TestArgs::default(),
            &HostArgs::default(),
            &streams,
        );
        let text = format!("{:#}", result.expect_err("it should be refused"));
        assert!(text.contains(expected), "{text}");
    }
    let file = folder.path().join("library.wasm");
    std::fs::write(&file, "(module (func (export \"add\")))").unwrap();
    check(&file, "build it with `cargo test --no-run`");
    std::fs::write(&file, "no module").unwrap();
    check(&file, "cannot run ");
    check(&folder.path().join("missing.wasm"), "could not read ");
}
