//! Limits of memory. The scenarios are in `guests/memory.rs`.

use lunatic_host::ExitReason;
use lunatic_tests::guests::{Profile, bytes, path};
use lunatic_tests::host::{Host, Program};
use lunatic_tests::programs::lunatic;

/// What one process may have here, in bytes.
const ONE: usize = 32 << 20;

fn limited(program: Program<'_>) -> Program<'_> {
    program.max_memory(ONE)
}

crate::scenarios! {
    "memory":
    exhausted_memory_ends_one_process => |program| _ = limited(program).run().normal(),
    a_hundred_greedy_processes_exhaust_themselves => |_| {
        // All together may have less than a tenth of what they want.
        let host = Host::with(|builder| builder.memory_max(256 << 20));
        let program = host.program(&bytes("memory", Profile::Debug)).max_memory(ONE);
        program.args(["a_hundred_greedy_processes_exhaust_themselves"]).run().normal();
    },
    memory_of_ended_processes_can_be_used_again => |_| {
        let host = Host::with(|builder| builder.memory_max(64 << 20));
        let program = host.program(&bytes("memory", Profile::Debug)).max_memory(ONE);
        program.args(["memory_of_ended_processes_can_be_used_again"]).run().normal();
    },
    the_main_process_exhausts_its_memory => |program| {
        let ended = limited(program).run();
        assert!(ended.trap().contains("out of memory"), "{ended}");
        assert_eq!(ended.reason.exit_code(), 134);
        ended.reports("out of memory");
    },
    a_refused_allocation_can_be_handled => |program| _ = limited(program).run().normal(),
    spawn_says_what_the_machine_lacks => |_| {
        // The host has a gigabyte of address space: not even one memory of the fast layout fits into that.
        let guest = path("memory", Profile::Debug);
        let call = |scenario: &str| lunatic(["--no-alarms".as_ref(), guest.as_os_str(), scenario.as_ref()]);
        // The allocator of glibc would take up to 64 MiB of it for each of the host's threads, more or less by chance. Compiling
        // takes address space, too: that is over, and the code in the cache, before there is little.
        call("a_refused_allocation_can_be_handled").run().code(0);
        let call = call("spawn_says_what_the_machine_lacks").env("MALLOC_ARENA_MAX", "1");
        call.ulimit("-v 1000000").run().code(0);
    },
}

/// A module whose memory begins with 2 MB, is said to be as large as `pages` at most, and grows as far as it can: it ends
/// with the number of megabytes it has got.
fn grower() -> &'static [u8] {
    br#"(module
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 32)
        (func (export "_start")
            (loop $more (br_if $more (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))
            (call $exit (i32.div_u (memory.size) (i32.const 16)))))"#
}

#[test]
fn the_limit_of_a_process_is_exact() {
    for megabytes in [2, 3, 64, 100] {
        let ended = Host::shared().program(grower()).max_memory(megabytes << 20).run();
        assert_eq!(ended.reason, ExitReason::Exit(megabytes as i32), "{ended}");
    }
}

#[test]
fn a_module_that_begins_larger_than_the_limit_is_refused_with_a_reason() {
    let started = Host::shared().program(grower()).max_memory(1 << 20).try_run();
    let text = match &started {
        Err(error) => error.clone(),
        Ok(ended) => ended.trap().to_owned(),
    };
    assert!(text.contains("memory"), "{text}");
}

#[test]
fn the_limit_of_a_process_is_1_gib_unless_said_otherwise() {
    assert_eq!(Host::shared().program(grower()).run().reason, ExitReason::Exit(1024));
}

/// Each of these processes begins with 8 MB, and there are 20 for all: some cannot begin, and the others never notice.
#[test]
fn a_process_that_cannot_get_its_first_memory_is_out_of_memory() {
    let wat = r#"(module
        (import "lunatic::process" "spawn_closure" (func $spawn (param i32 i32 i32 i32) (result i32)))
        (import "lunatic::process" "join" (func $join (param i64 i64 i64) (result i32)))
        (import "lunatic::process" "kill_handle" (func $kill (param i64 i64) (result i32)))
        (import "lunatic::process" "captured" (func $captured (param i32 i32)))
        (import "lunatic::process" "sleep_ns" (func $sleep (param i64)))
        (import "lunatic::process" "next" (func (result i32)))
        (import "lunatic::process" "yield_now" (func $yield))
        (import "lunatic::channel" "new" (func $new (param i64 i32) (result i32)))
        (import "lunatic::channel" "try_send" (func $try_send (param i64 i64 i32 i32) (result i32)))
        (import "lunatic::channel" "try_receive" (func $try_receive (param i64 i64 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 128)
        (table funcref (elem $begin))
        ;; Says that it has begun, and waits to be killed.
        (func $begin
            (call $captured (i32.const 0) (i32.const 16))
            (drop (call $try_send (i64.load (i32.const 0)) (i64.load (i32.const 8)) (i32.const 0) (i32.const 1)))
            (call $sleep (i64.const -1)))
        ;; 1 if the child has begun, 0 if it was out of memory: one or the other happens.
        (func $begins (result i32) (local $reason i32)
            (loop $again
                (if (i32.eq
                        (call $try_receive (i64.load (i32.const 0)) (i64.load (i32.const 8)) (i32.const 128) (i32.const 1))
                        (i32.const 1))
                    (then (return (i32.const 1))))
                (local.set $reason (call $join (i64.load (i32.const 64)) (i64.load (i32.const 72)) (i64.const 0)))
                (if (i32.eq (local.get $reason) (i32.const 8)) (then (return (i32.const 0))))
                (if (i32.ne (local.get $reason) (i32.const -5)) (then (call $exit (i32.const 100))))
                (call $yield)
                (br $again))
            unreachable)
        (func (export "_start") (local $left i32) (local $begun i32)
            (drop (call $new (i64.const 0) (i32.const 0)))
            (local.set $left (i32.const 10))
            (loop $again
                (if (call $spawn (i32.const 0) (i32.const 0) (i32.const 16) (i32.const 64)) (then (call $exit (i32.const 101))))
                (if (call $begins) (then
                    (local.set $begun (i32.add (local.get $begun) (i32.const 1)))
                    ;; The first one that has begun is remembered.
                    (if (i32.eq (local.get $begun) (i32.const 1)) (then
                        (memory.copy (i32.const 96) (i32.const 64) (i32.const 16))))))
                (local.set $left (i32.sub (local.get $left) (i32.const 1)))
                (br_if $again (local.get $left)))
            ;; When it is gone, there is room for another one.
            (drop (call $kill (i64.load (i32.const 96)) (i64.load (i32.const 104))))
            (drop (call $join (i64.load (i32.const 96)) (i64.load (i32.const 104)) (i64.const -1)))
            (loop $again
                (drop (call $spawn (i32.const 0) (i32.const 0) (i32.const 16) (i32.const 64)))
                (br_if $again (i32.eqz (call $begins))))
            (call $exit (local.get $begun))))"#;
    let host = Host::with(|builder| builder.memory_max(20 << 20));
    let ended = host.program(wat.as_bytes()).run();
    assert!(matches!(ended.reason, ExitReason::Exit(1..=4)), "{ended}");
    ended.reports("memory");
}
