//! What a process leaves behind in its instance, no later process finds, on whichever worker either of them ran.

use lunatic_host::ExitReason;
use lunatic_tests::host::Host;

/// Pages of 64 KiB in the memory of the guest.
const PAGES: u32 = 8;

/// The guest: processes that leave secrets, and between them processes that look for any.
///
/// A process that leaves secrets writes them to a page of its own choice that is mostly new to its instance, to all
/// globals, and to its buffer; before and after that it waits for the main process, so that it may be moved to another
/// worker and back while it lives. A process that looks reads all its memory and all its globals, and the buffer, and
/// says what it found. Both are mixed, 2 to 1, ten at a time, so that instances are used again by the thousand.
fn guest() -> String {
    let memory = PAGES << 16;
    format!(
        r#"(module
        (import "lunatic::process" "spawn_closure" (func $spawn (param i32 i32 i32 i32) (result i32)))
        (import "lunatic::process" "captured" (func $captured (param i32 i32)))
        (import "lunatic::process" "next" (func $next (result i32)))
        (import "lunatic::process" "yield_now" (func $yield))
        (import "lunatic::channel" "new" (func $new (param i64 i32) (result i32)))
        (import "lunatic::channel" "try_send" (func $try_send (param i64 i64 i32 i32) (result i32)))
        (import "lunatic::channel" "try_receive" (func $try_receive (param i64 i64 i32 i32) (result i32)))
        (import "lunatic::channel" "receive" (func $receive (param i64 i64 i32 i32 i64) (result i32)))
        (import "lunatic::buffer" "len" (func $len (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") {PAGES})
        (table funcref (elem $leave $look))
        (global $a (mut i32) (i32.const 7))
        (global $b (mut i64) (i64.const 8))
        (global $c (export "shown") (mut f64) (f64.const 9))
        (data (i32.const 200) "what every process may see")

        (func $expect (param $good i32) (param $code i32)
            (if (i32.eqz (local.get $good)) (then (call $exit (local.get $code)))))

        ;; The captured bytes: where to wait (0), whom to tell (16), and a number (32).
        (func $begin (call $captured (i32.const 0) (i32.const 36)))
        (func $wait
            (call $expect
                (i32.eq (call $receive (i64.load (i32.const 0)) (i64.load (i32.const 8)) (i32.const 40) (i32.const 1) (i64.const -1))
                    (i32.const 1))
                (i32.const 101)))
        (func $tell (param $finding i32)
            (i32.store (i32.const 44) (local.get $finding))
            (call $expect
                (i32.eqz (call $try_send (i64.load (i32.const 16)) (i64.load (i32.const 24)) (i32.const 44) (i32.const 4)))
                (i32.const 102)))

        (func $leave (local $at i32) (local $end i32)
            (call $begin)
            (call $tell (i32.const 0))
            (call $wait)
            ;; 4 KiB somewhere behind the first page, most times where nobody has written before.
            (local.set $at
                (i32.add (i32.const 65536)
                    (i32.mul (i32.rem_u (i32.load (i32.const 32)) (i32.const {slots})) (i32.const 4096))))
            (local.set $end (i32.add (local.get $at) (i32.const 4096)))
            (loop $write
                (i64.store (local.get $at) (i64.const 0x5ec2e75ec2e75ec2))
                (local.set $at (i32.add (local.get $at) (i32.const 64)))
                (br_if $write (i32.lt_u (local.get $at) (local.get $end))))
            (i64.store (i32.const 300) (i64.const 0x5ec2e75ec2e75ec2))
            (global.set $a (i32.const 0x5ec2e75e))
            (global.set $b (i64.const 0x5ec2e75ec2e75ec2))
            (global.set $c (f64.const 1234.5))
            (call $tell (i32.const 0))
            (call $wait)
            (call $tell (i32.const 0)))

        (func $look (local $at i32)
            ;; All but the first 64 bytes, which it has not touched yet, before it fetches what it was given.
            (local.set $at (i32.const 0))
            (loop $read
                (if (i64.ne (i64.load (local.get $at)) (i64.const 0)) (then
                    (if (i32.or (i32.lt_u (local.get $at) (i32.const 200)) (i32.ge_u (local.get $at) (i32.const 226))) (then
                        (call $begin)
                        (call $tell (i32.const 1))
                        (return)))))
                (local.set $at (i32.add (local.get $at) (i32.const 8)))
                (br_if $read (i32.lt_u (local.get $at) (i32.const {memory}))))
            (call $begin)
            (if (i32.ne (global.get $a) (i32.const 7)) (then (call $tell (i32.const 2)) (return)))
            (if (i64.ne (global.get $b) (i64.const 8)) (then (call $tell (i32.const 3)) (return)))
            (if (f64.ne (global.get $c) (f64.const 9)) (then (call $tell (i32.const 4)) (return)))
            (if (call $len) (then (call $tell (i32.const 5)) (return)))
            (if (i32.ne (memory.size) (i32.const {PAGES})) (then (call $tell (i32.const 6)) (return)))
            (call $tell (i32.const 0)))

        ;; Hears from so many; whoever has found anything ends the program with what it was.
        (func $hear (param $left i32)
            (loop $again
                (call $expect
                    (i32.eq (call $receive (i64.load (i32.const 16)) (i64.load (i32.const 24)) (i32.const 48) (i32.const 4) (i64.const -1))
                        (i32.const 4))
                    (i32.const 103))
                (if (i32.load (i32.const 48)) (then (call $exit (i32.load (i32.const 48)))))
                (local.set $left (i32.sub (local.get $left) (i32.const 1)))
                (br_if $again (local.get $left))))
        ;; Lets so many go on.
        (func $release (param $left i32)
            (loop $again
                (call $expect
                    (i32.eqz (call $try_send (i64.load (i32.const 0)) (i64.load (i32.const 8)) (i32.const 0) (i32.const 1)))
                    (i32.const 104))
                (local.set $left (i32.sub (local.get $left) (i32.const 1)))
                (br_if $again (local.get $left))))

        (func (export "_start") (local $round i32) (local $child i32)
            (call $expect (i32.eqz (call $new (i64.const 0) (i32.const 0))) (i32.const 105))
            (call $expect (i32.eqz (call $new (i64.const 0) (i32.const 16))) (i32.const 105))
            (loop $rounds
                (local.set $child (i32.const 0))
                (loop $children
                    (i32.store (i32.const 32) (i32.add (i32.mul (local.get $round) (i32.const 7)) (local.get $child)))
                    (call $expect
                        (i32.eqz (call $spawn (i32.const 0) (i32.const 0) (i32.const 36) (i32.const 64)))
                        (i32.const 106))
                    (local.set $child (i32.add (local.get $child) (i32.const 1)))
                    (br_if $children (i32.lt_u (local.get $child) (i32.const {children}))))
                (call $hear (i32.const {children}))
                (call $release (i32.const {children}))
                (call $hear (i32.const {children}))
                (call $release (i32.const {children}))
                (call $hear (i32.const {children}))
                (local.set $child (i32.const 0))
                (loop $lookers
                    (call $expect
                        (i32.eqz (call $spawn (i32.const 1) (i32.const 0) (i32.const 36) (i32.const 64)))
                        (i32.const 106))
                    (local.set $child (i32.add (local.get $child) (i32.const 1)))
                    (br_if $lookers (i32.lt_u (local.get $child) (i32.const {children}))))
                (call $hear (i32.const {children}))
                (local.set $round (i32.add (local.get $round) (i32.const 1)))
                (br_if $rounds (i32.lt_u (local.get $round) (i32.const {rounds}))))))"#,
        slots = (PAGES - 1) * 16,
        children = 4,
        rounds = 5000,
    )
}

/// What the exit codes of the guest mean.
fn finding(reason: &ExitReason) -> &'static str {
    match reason {
        ExitReason::Exit(1) => "a secret in memory",
        ExitReason::Exit(2..=4) => "a secret in a global",
        ExitReason::Exit(5) => "a secret in the buffer",
        ExitReason::Exit(6) => "a memory that has another size",
        _ => "something else",
    }
}

#[test]
fn no_process_finds_what_another_left_in_its_instance() {
    for workers in [1, 2, 3] {
        let host = Host::with(|builder| builder.workers(workers));
        let ended = host.program(guest().as_bytes()).run();
        assert_eq!(
            ended.reason,
            ExitReason::Normal,
            "{} with {workers} workers: {ended}",
            finding(&ended.reason)
        );
    }
}
