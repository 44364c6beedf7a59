//! Entries of spawned processes: table elements of another type or none, and the call that asks the host for the next
//! entry.

use std::fmt::Write;

use lunatic_host::ExitReason;
use lunatic_tests::host::Host;

use super::{check, prelude};

#[test]
fn an_entry_that_is_no_function_of_the_right_type_traps_the_child() {
    let table = "8 funcref) (elem (i32.const 0) $good $takes $returns) (func $good) (func $takes (param i64)) \
                 (func $returns (result i32) i32.const 0) (func $nothing";
    let mut cases = String::new();
    for (entry, reason) in [
        (0_i32, 0),
        (1, 3),
        (2, 3),
        (3, 3),
        (7, 3),
        (8, 3),
        (1_000_000, 3),
        (i32::MAX, 3),
        (i32::MIN, 3),
        (-2, 3),
        (-1, 3),
    ] {
        // Twice: in an instance made for it, and where one is used again.
        for _ in 0..2 {
            let _ = writeln!(
                cases,
                "(call $spawn (i32.const {entry}) (i32.const 0))
                (call $expect (call $join) (i32.const {reason}) (i32.const {}))",
                100 - entry.clamp(-3, 60)
            );
        }
    }
    check(
        &Host::with_one_worker(),
        table,
        &format!("(func (export \"main\") {cases})"),
    );
    check(Host::shared(), table, &format!("(func (export \"main\") {cases})"));
}

#[test]
fn wrong_entries_among_good_ones_harm_nobody() {
    // 1,000 processes are queued before the first one runs, each third with a wrong entry: all good ones are heard.
    let functions = r#"
        (func $good
            (call $process.captured (i32.const 0) (i32.const 16))
            (call $expect (call $channel.try_send (i64.load (i32.const 0)) (i64.load (i32.const 8)) (i32.const 0) (i32.const 1)) (i32.const 0) (i32.const 1)))
        (func (export "main") (local $left i32) (local $heard i32)
            (drop (call $channel.new (i64.const 0) (i32.const 0)))
            (local.set $left (i32.const 1000))
            (loop $again
                (local.set $left (i32.sub (local.get $left) (i32.const 1)))
                (call $spawn (i32.sub (i32.rem_u (local.get $left) (i32.const 3)) (i32.const 1)) (i32.const 16))
                (br_if $again (local.get $left)))
            (loop $hear
                (call $expect
                    (call $channel.receive (i64.load (i32.const 0)) (i64.load (i32.const 8)) (i32.const 512) (i32.const 1) (i64.const -1))
                    (i32.const 1) (i32.const 2))
                (local.set $heard (i32.add (local.get $heard) (i32.const 1)))
                (br_if $hear (i32.lt_u (local.get $heard) (i32.const 333))))
            (call $expect
                (call $channel.receive (i64.load (i32.const 0)) (i64.load (i32.const 8)) (i32.const 512) (i32.const 1) (i64.const 1000000))
                (i32.const -5) (i32.const 3)))
    "#;
    // Entry -1 is beyond the table, 0 is good, 1 is none.
    check(
        &Host::with_one_worker(),
        "2 funcref) (elem (i32.const 0) $good) (func $nothing",
        functions,
    );
    check(
        Host::shared(),
        "2 funcref) (elem (i32.const 0) $good) (func $nothing",
        functions,
    );
}

#[test]
fn next_gives_a_guest_nothing() {
    let functions = r#"
        ;; Asks the host for entries as the host's own loop does, while processes wait to run.
        (func $ask (local $left i32)
            (local.set $left (i32.const 1000))
            (loop $again
                (call $expect (call $process.next) (i32.const -1) (i32.const 1))
                (local.set $left (i32.sub (local.get $left) (i32.const 1)))
                (br_if $again (local.get $left))))
        (func $child
            (call $ask)
            (call $process.captured (i32.const 0) (i32.const 16))
            (drop (call $channel.try_send (i64.load (i32.const 0)) (i64.load (i32.const 8)) (i32.const 0) (i32.const 1)))
            (call $ask))
        (func (export "main") (local $left i32)
            (call $ask)
            (drop (call $channel.new (i64.const 0) (i32.const 0)))
            (local.set $left (i32.const 100))
            (loop $again
                (call $spawn (i32.const 0) (i32.const 16))
                (call $ask)
                (local.set $left (i32.sub (local.get $left) (i32.const 1)))
                (br_if $again (local.get $left)))
            (local.set $left (i32.const 100))
            (loop $hear
                (call $expect
                    (call $channel.receive (i64.load (i32.const 0)) (i64.load (i32.const 8)) (i32.const 512) (i32.const 1) (i64.const -1))
                    (i32.const 1) (i32.const 2))
                (local.set $left (i32.sub (local.get $left) (i32.const 1)))
                (br_if $hear (local.get $left)))
            (call $expect (call $join) (i32.const 0) (i32.const 3)))
    "#;
    check(&Host::with_one_worker(), "funcref (elem $child)", functions);
    check(Host::shared(), "funcref (elem $child)", functions);
}

#[test]
fn what_a_module_without_next_spawns_traps_and_says_what_is_missing() {
    let wat = r#"(module
        (import "lunatic::process" "spawn_closure" (func $spawn (param i32 i32 i32 i32) (result i32)))
        (import "lunatic::process" "join" (func $join (param i64 i64 i64) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1)
        (table funcref (elem $nothing))
        (func $nothing)
        (func (export "_start")
            (if (call $spawn (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 64)) (then (call $exit (i32.const 100))))
            (call $exit (call $join (i64.load (i32.const 64)) (i64.load (i32.const 72)) (i64.const -1)))))"#;
    let ended = Host::shared().program(wat.as_bytes()).run();
    assert_eq!(ended.reason, ExitReason::Exit(3), "{ended}");
    ended.reports("it does not import lunatic::process::next");
}

/// A child of one system leaves its instance to the main process of the next system of the same module.
#[test]
fn the_main_process_finds_nothing_in_an_instance_that_was_used() {
    let text = format!(
        r#"(module {}
        (table funcref (elem $stain))
        (func $stain
            (i32.store (i32.const 1000) (i32.const 1))
            (i32.store (i32.const 40000) (i32.const 1)))
        (func (export "_start")
            (call $expect (i32.load (i32.const 1000)) (i32.const 0) (i32.const 1))
            (call $expect (i32.load (i32.const 40000)) (i32.const 0) (i32.const 2))
            (call $expect
                (call $process.spawn_closure (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 64))
                (i32.const 0) (i32.const 3))
            (drop (call $process.join (i64.load (i32.const 64)) (i64.load (i32.const 72)) (i64.const -1)))))"#,
        prelude()
    );
    let host = Host::with_one_worker();
    let module = host.load(text.as_bytes()).unwrap();
    for _ in 0..20 {
        host.loaded(&module).run().normal();
    }
}
