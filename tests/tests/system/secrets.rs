//! What a process leaves behind, no later process finds: not in an instance that is used again, not in a memory that is
//! given out again, on whichever worker either of them ran, and however the former one ended.

use lunatic_host::ExitReason;
use lunatic_tests::host::{Host, Program};

/// Pages of 64 KiB in the memory of the guest.
const PAGES: u32 = 8;
/// Pages that some of the processes add.
const GROWTH: u32 = 4;

/// The guest: processes that leave secrets, and between them processes that look for any.
///
/// A process that leaves secrets writes them to a place of its own choice that is mostly new to its instance, to all
/// globals and to its buffer; before and after that it waits for the main process, so that it may be moved to another
/// worker and back while it lives. Then it returns, traps, grows its memory and leaves more, or is killed, by turns. A
/// process that looks reads all its memory and all its globals and the length of the buffer, each second one also what it
/// gets when its memory grows, and says what it found.
///
/// The main process first spawns `crowd` processes that only wait, so that the host has to use all kinds of memories that
/// it has; then `rounds` times four processes of the one kind and four of the other.
fn guest(crowd: u32, rounds: u32) -> String {
    let (memory, grown) = (PAGES << 16, (PAGES + GROWTH) << 16);
    format!(
        r#"(module
        (import "lunatic::process" "spawn_closure" (func $spawn (param i32 i32 i32 i32) (result i32)))
        (import "lunatic::process" "captured" (func $captured (param i32 i32)))
        (import "lunatic::process" "next" (func $next (result i32)))
        (import "lunatic::process" "kill_handle" (func $kill (param i64 i64) (result i32)))
        (import "lunatic::channel" "new" (func $new (param i64 i32) (result i32)))
        (import "lunatic::channel" "try_send" (func $try_send (param i64 i64 i32 i32) (result i32)))
        (import "lunatic::channel" "try_receive" (func $try_receive (param i64 i64 i32 i32) (result i32)))
        (import "lunatic::channel" "receive" (func $receive (param i64 i64 i32 i32 i64) (result i32)))
        (import "lunatic::buffer" "len" (func $len (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") {PAGES})
        (table funcref (elem $leave $look $wait))
        (global $a (mut i32) (i32.const 7))
        (global $b (mut i64) (i64.const 8))
        (global $c (export "shown") (mut f64) (f64.const 9))
        (data (i32.const 200) "what every process may see")

        (func $expect (param $good i32) (param $code i32)
            (if (i32.eqz (local.get $good)) (then (call $exit (local.get $code)))))

        ;; The captured bytes: where to wait (0), whom to tell (16), the number of the round (32) and of the child (36).
        (func $begin (call $captured (i32.const 0) (i32.const 40)))
        (func $wait_once
            (call $expect
                (i32.eq
                    (call $receive (i64.load (i32.const 0)) (i64.load (i32.const 8)) (i32.const 40) (i32.const 1) (i64.const -1))
                    (i32.const 1))
                (i32.const 101)))
        (func $wait (call $begin) (call $wait_once))
        (func $tell (param $finding i32)
            (i32.store (i32.const 44) (local.get $finding))
            (call $expect
                (i32.eqz (call $try_send (i64.load (i32.const 16)) (i64.load (i32.const 24)) (i32.const 44) (i32.const 4)))
                (i32.const 102)))
        ;; Each 64 bytes a secret.
        (func $write (param $at i32) (param $len i32) (local $end i32)
            (local.set $end (i32.add (local.get $at) (local.get $len)))
            (loop $more
                (i64.store (local.get $at) (i64.const 0x5ec2e75ec2e75ec2))
                (local.set $at (i32.add (local.get $at) (i32.const 64)))
                (br_if $more (i32.lt_u (local.get $at) (local.get $end)))))

        (func $leave (local $end i32)
            (call $begin)
            (call $tell (i32.const 0))
            (call $wait_once)
            ;; 4 KiB somewhere behind the first page, most times where nobody has written before.
            (call $write
                (i32.add (i32.const 65536)
                    (i32.mul
                        (i32.rem_u
                            (i32.add (i32.mul (i32.load (i32.const 32)) (i32.const 7)) (i32.load (i32.const 36)))
                            (i32.const {slots}))
                        (i32.const 4096)))
                (i32.const 4096))
            (call $write (i32.const 320) (i32.const 64))
            (global.set $a (i32.const 0x5ec2e75e))
            (global.set $b (i64.const 0x5ec2e75ec2e75ec2))
            (global.set $c (f64.const 1234.5))
            ;; A message that does not fit stays in the buffer.
            (drop (call $new (i64.const 0) (i32.const 48)))
            (drop (call $try_send (i64.load (i32.const 48)) (i64.load (i32.const 56)) (i32.const 320) (i32.const 64)))
            (drop (call $try_receive (i64.load (i32.const 48)) (i64.load (i32.const 56)) (i32.const 0) (i32.const 0)))
            (call $tell (i32.const 0))
            (call $wait_once)
            (local.set $end (i32.rem_u (i32.add (i32.load (i32.const 32)) (i32.load (i32.const 36))) (i32.const 8)))
            (if (i32.eq (local.get $end) (i32.const 1)) (then
                (if (i32.ne (memory.grow (i32.const {GROWTH})) (i32.const -1)) (then
                    (call $write (i32.const {memory}) (i32.const {growth}))))))
            (call $tell (i32.const 0))
            (if (i32.eq (local.get $end) (i32.const 2)) (then unreachable))
            ;; Waits for a message that nobody sends.
            (if (i32.eq (local.get $end) (i32.const 3)) (then
                (drop (call $receive (i64.load (i32.const 48)) (i64.load (i32.const 56)) (i32.const 0) (i32.const 0) (i64.const -1))))))

        ;; Ends with 1 if any of these bytes is not 0.
        (func $scan (param $at i32) (param $end i32) (result i32)
            (loop $more
                (if (i64.ne (i64.load (local.get $at)) (i64.const 0)) (then (return (i32.const 1))))
                (local.set $at (i32.add (local.get $at) (i32.const 8)))
                (br_if $more (i32.lt_u (local.get $at) (local.get $end))))
            (i32.const 0))

        (func $look (local $found i32)
            ;; Before it writes anything itself: all but the words that every process may see.
            (local.set $found (i32.or
                (call $scan (i32.const 0) (i32.const 200))
                (call $scan (i32.const 232) (i32.const {memory}))))
            (call $begin)
            (if (local.get $found) (then (call $tell (i32.const 1)) (return)))
            (if (i32.ne (global.get $a) (i32.const 7)) (then (call $tell (i32.const 2)) (return)))
            (if (i64.ne (global.get $b) (i64.const 8)) (then (call $tell (i32.const 3)) (return)))
            (if (f64.ne (global.get $c) (f64.const 9)) (then (call $tell (i32.const 4)) (return)))
            (if (call $len) (then (call $tell (i32.const 5)) (return)))
            (if (i32.ne (memory.size) (i32.const {PAGES})) (then (call $tell (i32.const 6)) (return)))
            (if (i32.and (i32.load (i32.const 36)) (i32.const 1)) (then
                (if (i32.ne (memory.grow (i32.const {GROWTH})) (i32.const -1)) (then
                    (if (call $scan (i32.const {memory}) (i32.const {grown})) (then
                        (call $tell (i32.const 7))
                        (return)))))))
            (call $tell (i32.const 0)))

        ;; Hears from four; whoever has found anything ends the program with what it was.
        (func $hear (local $left i32)
            (local.set $left (i32.const 4))
            (loop $again
                (call $expect
                    (i32.eq
                        (call $receive (i64.load (i32.const 16)) (i64.load (i32.const 24)) (i32.const 48) (i32.const 4) (i64.const -1))
                        (i32.const 4))
                    (i32.const 103))
                (if (i32.load (i32.const 48)) (then (call $exit (i32.load (i32.const 48)))))
                (local.set $left (i32.sub (local.get $left) (i32.const 1)))
                (br_if $again (local.get $left))))
        ;; Lets four go on.
        (func $release (local $left i32)
            (local.set $left (i32.const 4))
            (loop $again
                (call $expect
                    (i32.eqz (call $try_send (i64.load (i32.const 0)) (i64.load (i32.const 8)) (i32.const 0) (i32.const 1)))
                    (i32.const 104))
                (local.set $left (i32.sub (local.get $left) (i32.const 1)))
                (br_if $again (local.get $left))))
        ;; Spawns four of them; their handles go to 1024 and behind it.
        (func $spawn_four (param $entry i32) (local $child i32)
            (loop $again
                (i32.store (i32.const 36) (local.get $child))
                (call $expect
                    (i32.eqz
                        (call $spawn (local.get $entry) (i32.const 0) (i32.const 40)
                            (i32.add (i32.const 1024) (i32.mul (local.get $child) (i32.const 16)))))
                    (i32.const 105))
                (local.set $child (i32.add (local.get $child) (i32.const 1)))
                (br_if $again (i32.lt_u (local.get $child) (i32.const 4)))))
        ;; Those that are still there. It is not waited for their end: they may well be found by the next ones.
        (func $kill_four (local $at i32)
            (local.set $at (i32.const 1024))
            (loop $again
                (drop (call $kill (i64.load (local.get $at)) (i64.load offset=8 (local.get $at))))
                (local.set $at (i32.add (local.get $at) (i32.const 16)))
                (br_if $again (i32.lt_u (local.get $at) (i32.const 1088)))))

        (func (export "_start") (local $left i32)
            ;; The crowd waits for a channel of its own.
            (call $expect (i32.eqz (call $new (i64.const 0) (i32.const 0))) (i32.const 106))
            (local.set $left (i32.const {crowd}))
            (block $done (loop $again
                (br_if $done (i32.eqz (local.get $left)))
                (call $expect (i32.eqz (call $spawn (i32.const 2) (i32.const 0) (i32.const 40) (i32.const 1024))) (i32.const 107))
                (local.set $left (i32.sub (local.get $left) (i32.const 1)))
                (br $again)))
            (call $expect (i32.eqz (call $new (i64.const 0) (i32.const 0))) (i32.const 108))
            (call $expect (i32.eqz (call $new (i64.const 0) (i32.const 16))) (i32.const 109))
            (local.set $left (i32.const {rounds}))
            (loop $rounds
                (i32.store (i32.const 32) (local.get $left))
                (call $spawn_four (i32.const 0))
                (call $hear)
                (call $release)
                (call $hear)
                (call $release)
                (call $hear)
                (call $kill_four)
                (call $spawn_four (i32.const 1))
                (call $hear)
                (local.set $left (i32.sub (local.get $left) (i32.const 1)))
                (br_if $rounds (local.get $left)))))"#,
        slots = (PAGES - 1) * 16,
        growth = GROWTH << 16,
    )
}

#[track_caller]
fn check(program: Program<'_>) {
    let ended = program.quiet().run();
    let what = match &ended.reason {
        ExitReason::Exit(1) => "a secret in memory",
        ExitReason::Exit(2..=4) => "a secret in a global",
        ExitReason::Exit(5) => "a secret in the buffer",
        ExitReason::Exit(6) => "a memory that has another size",
        ExitReason::Exit(7) => "a secret in memory that was added",
        _ => "another end than was expected",
    };
    assert_eq!(ended.reason, ExitReason::Normal, "{what}: {ended}");
}

#[test]
fn no_process_finds_what_another_left_in_its_instance() {
    for workers in [1, 2, 3] {
        println!("{workers} workers");
        let host = Host::with(|builder| builder.workers(workers));
        check(host.program(guest(0, 5000).as_bytes()));
    }
}

/// With so many processes at once, the host takes other memories than for few.
#[test]
fn no_process_finds_what_another_left_when_there_are_many() {
    let host = Host::with(|builder| builder.workers(3));
    check(host.program(guest(3000, 2000).as_bytes()));
}

/// Frozen processes leave and take memories, too.
#[test]
fn no_process_finds_what_another_left_when_every_wait_freezes() {
    let host = Host::with(|builder| builder.workers(3).resident_max(0));
    check(host.program(guest(100, 2000).as_bytes()));
}

/// Systems of different modules, one after the other and side by side, on one host.
#[test]
fn no_system_finds_what_another_left() {
    let host = Host::with(|builder| builder.workers(3));
    let modules = [10, 11, 12].map(|crowd| host.load(guest(crowd, 500).as_bytes()).unwrap());
    std::thread::scope(|scope| {
        for module in &modules {
            scope.spawn(|| (0..4).for_each(|_| check(host.loaded(module))));
        }
    });
}
