//! Several systems on one host, and hosts that come and go.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lunatic_host::ExitReason;
use lunatic_host::wasi::{Capture, Output};
use lunatic_tests::host::{Host, PATIENCE, Program};

/// A program of processes that never end, and one that needs room for as many.
const CROWDS: &str = r#"(module
    (import "lunatic::process" "spawn_closure" (func $spawn (param i32 i32 i32 i32) (result i32)))
    (import "lunatic::process" "kill_handle" (func $kill (param i64 i64) (result i32)))
    (import "lunatic::process" "join" (func $join (param i64 i64 i64) (result i32)))
    (import "lunatic::process" "sleep_ns" (func $sleep (param i64)))
    (import "lunatic::process" "yield_now" (func $yield))
    (import "lunatic::process" "next" (func (result i32)))
    (import "lunatic::channel" "new" (func $new (param i64 i32) (result i32)))
    (import "lunatic::channel" "receive" (func $receive (param i64 i64 i32 i32 i64) (result i32)))
    (import "lunatic::buffer" "len" (func $len (result i32)))
    (import "lunatic::buffer" "take" (func $take (param i32 i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (memory (export "memory") 1)
    (table funcref (elem $burn $wait))
    (func $burn (loop $again (br $again)))
    (func $wait (call $sleep (i64.const -1)))
    ;; Spawns `count` processes, half of which never wait and half of which never do anything else. When there is no room
    ;; it gives way and tries again.
    (func $crowd (param $count i32)
        (loop $again
            (if (call $spawn (i32.and (local.get $count) (i32.const 1)) (i32.const 0) (i32.const 0) (i32.const 64))
                (then (call $yield) (br $again)))
            (local.set $count (i32.sub (local.get $count) (i32.const 1)))
            (br_if $again (local.get $count))))
    (func (export "crowd") (call $crowd (i32.const 127)))
    (func (export "endless crowd") (call $crowd (i32.const 127)) (call $burn))
    (func (export "waiting crowd") (call $crowd (i32.const 127)) (call $wait))
    ;; Spawns until there is no room, prints which limit it was, makes room for one, and spawns one.
    (func (export "until the limit") (local $result i32)
        (loop $again
            (local.set $result (call $spawn (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 64)))
            (br_if $again (i32.eqz (local.get $result))))
        (if (i32.ne (local.get $result) (i32.const -6)) (then (call $exit (i32.const 1))))
        (i32.store (i32.const 0) (i32.const 1024))
        (i32.store (i32.const 4) (call $len))
        (call $take (i32.const 1024) (call $len))
        (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
        (if (i32.ne (call $kill (i64.load (i32.const 64)) (i64.load (i32.const 72))) (i32.const 0)) (then (call $exit (i32.const 2))))
        (if (i32.ne (call $join (i64.load (i32.const 64)) (i64.load (i32.const 72)) (i64.const -1)) (i32.const 4))
            (then (call $exit (i32.const 3))))
        (if (call $spawn (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 64)) (then (call $exit (i32.const 4)))))
    (func (export "receives for ever")
        (drop (call $new (i64.const 0) (i32.const 0)))
        (drop (call $receive (i64.load (i32.const 0)) (i64.load (i32.const 8)) (i32.const 64) (i32.const 8) (i64.const -1))))
    ;; Prints one line after the other.
    (func (export "prints for ever")
        (i32.store (i32.const 0) (i32.const 16))
        (i32.store (i32.const 4) (i32.const 2))
        (i32.store16 (i32.const 16) (i32.const 0x0a2e))
        (loop $again
            (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
            (br $again)))
    (func (export "nothing")))"#;

#[test]
fn the_largest_number_of_processes_is_an_error_that_says_so() {
    let host = Host::with(|builder| builder.processes_max(1000));
    for _ in 0..3 {
        let ended = host.program(CROWDS.as_bytes()).entry("until the limit").run().normal();
        assert!(ended.stdout.contains("process"), "{ended}");
    }
}

/// Starts the program as soon as those that were ended before have made room for its main process, and waits for its end.
#[track_caller]
fn run_in_turn(program: Program<'_>, entry: &str) {
    let deadline = Instant::now() + PATIENCE;
    let system = loop {
        match program.clone().entry(entry).try_start() {
            Ok(system) => break system,
            Err(error) => assert!(error.contains("number of processes"), "{error}"),
        }
        assert!(Instant::now() < deadline, "there is no room for a single process");
        std::thread::yield_now();
    };
    assert_eq!(
        system.wait_timeout(PATIENCE),
        Some(ExitReason::Normal),
        "there is no room for all"
    );
}

/// A host with room for 128 processes: one crowd and its main process, and not one more.
fn host_for_one() -> Host {
    Host::with(|builder| builder.workers(2).processes_max(128))
}

/// Each child is there when its parent gives way, and has ended when that goes on.
#[test]
fn who_is_ready_runs_before_one_that_yields() {
    const YIELDS: &str = r#"(module
        (import "lunatic::process" "spawn_closure" (func $spawn (param i32 i32 i32 i32) (result i32)))
        (import "lunatic::process" "join" (func $join (param i64 i64 i64) (result i32)))
        (import "lunatic::process" "yield_now" (func $yield))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1)
        (table funcref (elem $child))
        (func $child)
        (func (export "_start") (local $left i32)
            (local.set $left (i32.const 1000))
            (loop $again
                (if (call $spawn (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 64)) (then (unreachable)))
                (call $yield)
                (if (i32.lt_s (call $join (i64.load (i32.const 64)) (i64.load (i32.const 72)) (i64.const 0)) (i32.const 0))
                    (then (call $exit (local.get $left))))
                (local.set $left (i32.sub (local.get $left) (i32.const 1)))
                (br_if $again (local.get $left)))))"#;
    Host::with(|builder| builder.workers(1))
        .program(YIELDS.as_bytes())
        .run()
        .normal();
}

/// There is room for one crowd, so that each can only be whole when all of the former are gone.
#[test]
fn no_process_outlives_its_system() {
    let host = host_for_one();
    let program = host.program(CROWDS.as_bytes());
    for _ in 0..50 {
        run_in_turn(program.clone(), "crowd");
    }
}

#[test]
fn dropping_a_system_ends_it() {
    let host = host_for_one();
    let program = host.program(CROWDS.as_bytes());
    for entry in ["endless crowd", "waiting crowd", "receives for ever"] {
        for round in 0..200 {
            // If there is no room yet, this one has nothing to leave behind.
            let system = program.clone().entry(entry).try_start();
            // It is dropped at any time: before its main process runs, while it spawns, when it has spawned all.
            (0..round * 20).for_each(|_| std::hint::spin_loop());
            drop(system);
        }
        run_in_turn(program.clone(), "crowd");
    }
}

/// Each process holds the module, wherever the host keeps it: in the table, in a queue or in an instance. Once only the
/// test holds the module, no process is left. (Threads cannot be counted: other tests run hosts in the same program.)
#[test]
fn dropping_a_host_ends_all_that_runs_on_it() {
    for round in 0..20 {
        let host = Host::with(|builder| builder.workers(1 + round % 3));
        let module = host.load(CROWDS.as_bytes()).unwrap();
        let (stdout, printed) = Output::captured();
        let start = |entry| host.loaded(&module).entry(entry).stdout(stdout.clone()).start();
        let endless = ["endless crowd", "waiting crowd", "prints for ever"].map(start);
        let short = start("nothing");
        wait_for_text(&printed);

        drop(host);

        for system in &endless {
            assert_eq!(system.wait_timeout(Duration::ZERO), Some(ExitReason::Killed));
        }
        // Whether it had its turn before the host was dropped is not known.
        let ended = short.wait_timeout(Duration::ZERO);
        assert!(
            matches!(ended, Some(ExitReason::Normal | ExitReason::Killed)),
            "{ended:?}"
        );
        printed.take();
        // Several time slices: a process that still ran would have printed.
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!(String::from_utf8_lossy(&printed.take()), "", "a process still prints");
        drop((endless, short));
        assert_eq!(Arc::strong_count(&module), 1, "something still holds the module");
    }
}

/// Waits until a process has printed something.
#[track_caller]
fn wait_for_text(printed: &Capture) {
    let deadline = Instant::now() + PATIENCE;
    while printed.take().is_empty() {
        assert!(Instant::now() < deadline, "nobody prints");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn systems_that_wait_for_nothing_are_found_when_no_other_has_anything_to_do() {
    let host = Host::with(|builder| builder);
    let program = host.program(CROWDS.as_bytes()).entry("receives for ever");
    let systems: Vec<_> = (0..10).map(|_| program.clone().start()).collect();
    for system in systems {
        assert!(matches!(system.wait(), ExitReason::Deadlock(_)));
    }
}

#[test]
fn many_systems_run_at_once() {
    let host = Host::with(|builder| builder);
    let program = host.program(CROWDS.as_bytes());
    let systems: Vec<_> = (0..200)
        .map(|number| {
            program
                .clone()
                .entry(if number % 2 == 0 { "crowd" } else { "nothing" })
                .start()
        })
        .collect();
    for system in systems {
        assert_eq!(system.wait(), ExitReason::Normal);
    }
}
