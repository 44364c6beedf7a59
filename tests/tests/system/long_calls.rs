//! Instructions and host calls whose time grows with what they are asked for. None of them keeps others from running:
//! semantics.md, 3.2.

use std::time::Duration;

use lunatic_host::ExitReason;
use lunatic_host::budget::Caps;
use lunatic_tests::host::{Ended, Host};
use lunatic_tests::imports;

/// Something that could take long, in the text format. The function `$step` does it once. 256 MiB, `$much`, are there from
/// `$low` on, and as many again from `$high` on; at 1024 there is a handle of the process itself.
struct Call {
    what: &'static str,
    step: &'static str,
    /// In so many turns of others it is done, at least: fewer than time slices of one millisecond fit into it. 0 for what is
    /// refused or cut short.
    turns: i32,
}

const CALLS: &[Call] = &[
    Call {
        what: "memory.fill",
        step: "(memory.fill (global.get $low) (i32.const 7) (global.get $much))",
        turns: 5,
    },
    Call {
        what: "memory.copy to a lower address",
        step: "(memory.copy (global.get $low) (global.get $high) (global.get $much))",
        turns: 5,
    },
    Call {
        what: "memory.copy to a higher address, of bytes that overlap",
        step: "(memory.copy (i32.add (global.get $low) (i32.const 100)) (global.get $low) (global.get $much))",
        turns: 5,
    },
    Call {
        what: "random_get of 60 MB",
        step: "(if (call $random (global.get $low) (i32.const 60000000)) (then unreachable))",
        turns: 5,
    },
    Call {
        what: "the largest message, through the mailbox",
        step: "(call $ok (call $buffer.put (global.get $low) (global.get $much)))
            (call $ok (call $mailbox.send (i64.load (i32.const 1024)) (i64.load (i32.const 1032))
                (i64.const 5) (global.get $low) (global.get $much)))
            (call $ok (call $mailbox.receive (i32.const 0) (i32.const 0) (i32.const 2048)
                (global.get $high) (global.get $much) (i64.const -1)))
            (call $buffer.take (global.get $high) (global.get $much))",
        turns: 10,
    },
    Call {
        what: "the largest message, put into the buffer and dropped",
        step: "(call $ok (call $buffer.put (global.get $low) (global.get $much)))
            (call $ok (call $buffer.put (global.get $low) (i32.const 0)))",
        turns: 5,
    },
    Call {
        what: "poll_oneoff with 1.5 million subscriptions",
        step: "(drop (call $poll (global.get $low) (global.get $high) (i32.const 1500000) (i32.const 16)))",
        turns: 0,
    },
    Call {
        what: "fd_write of 100 MiB",
        step: "(i32.store (i32.const 16) (global.get $low))
            (i32.store (i32.const 20) (i32.const 104857600))
            (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 24)))",
        turns: 0,
    },
    Call {
        what: "a path of 256 MiB",
        step: "(drop (call $unlink (i32.const 3) (global.get $low) (global.get $much)))",
        turns: 0,
    },
];

/// Eight megabytes for each of 20 members of a group.
const BROADCAST: &str = "(local $n i32)
    (loop $again
        (call $ok (call $process.spawn_closure (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 2064)))
        (call $ok (call $registry.join_group
            (i32.const 1024) (i32.const 4) (i64.load (i32.const 2064)) (i64.load (i32.const 2072))))
        (br_if $again (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 20))))
    (call $ok (call $buffer.put (global.get $low) (i32.const 8388608)))
    (drop (call $turns))
    (if (i32.ne (i32.const 20)
            (call $registry.broadcast (i32.const 1024) (i32.const 4) (i64.const 5) (global.get $low) (i32.const 8388608)))
        (then unreachable))";

/// A module whose main process does what is in `start`.
fn module(step: &str, start: &str) -> Vec<u8> {
    let text = format!(
        r#"(module
        (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "path_unlink_file" (func $unlink (param i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        {}
        (memory (export "memory") 8193)
        (global $low i32 (i32.const 65536))
        (global $high i32 (i32.const 268500992))
        (global $much i32 (i32.const 268435456))
        (table 4 funcref)
        (elem (i32.const 1) $other $waits $puts)
        (func $ok (param i32) (if (i32.lt_s (local.get 0) (i32.const 0)) (then unreachable)))
        (func $now (result i64)
            (drop (call $clock (i32.const 1) (i64.const 1) (i32.const 256)))
            (i64.load (i32.const 256)))
        (func $step {step})
        ;; Says so, and puts 256 MiB into its buffer again and again.
        (func $puts
            (call $process.captured (i32.const 1040) (i32.const 16))
            (call $ok (call $channel.try_send
                (i64.load (i32.const 1040)) (i64.load (i32.const 1048)) (i32.const 0) (i32.const 1)))
            (loop $again (call $ok (call $buffer.put (global.get $low) (global.get $much))) (br $again)))
        (func $waits (call $process.sleep_ns (i64.const -1)))
        ;; Sends a byte at each of its turns.
        (func $other
            (call $process.captured (i32.const 1040) (i32.const 16))
            (loop $again
                (call $ok (call $channel.try_send
                    (i64.load (i32.const 1040)) (i64.load (i32.const 1048)) (i32.const 0) (i32.const 1)))
                (call $process.yield_now)
                (br $again)))
        ;; Takes what has been sent, and returns how much it was.
        (func $turns (result i32) (local $turns i32)
            (loop $again
                (if (i32.ge_s
                        (call $channel.try_receive
                            (i64.load (i32.const 1040)) (i64.load (i32.const 1048)) (i32.const 0) (i32.const 1))
                        (i32.const 0))
                    (then
                        (local.set $turns (i32.add (local.get $turns) (i32.const 1)))
                        (br $again))))
            (local.get $turns))
        (func (export "_start") (local $at i64) (local $worst i64) (local $n i32)
            (call $process.this (i32.const 1024))
            (call $ok (call $channel.new (i64.const 0) (i32.const 1040)))
            {start}))"#,
        imports::declarations()
    );
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{step}: {error}"))
}

/// What the main process exits with.
#[track_caller]
fn code(ended: &Ended) -> i32 {
    match ended.reason {
        ExitReason::Exit(code) => code,
        ExitReason::Normal => 0,
        _ => panic!("{ended}"),
    }
}

/// How many turns another process has while one takes the step, on one worker: it runs only when that one is interrupted.
fn turns(host: &Host, step: &str) -> i32 {
    let start =
        "(call $ok (call $process.spawn_closure (i32.const 1) (i32.const 1040) (i32.const 16) (i32.const 2048)))
        (call $ok (call $channel.receive
            (i64.load (i32.const 1040)) (i64.load (i32.const 1048)) (i32.const 0) (i32.const 1) (i64.const -1)))
        (drop (call $turns))
        (call $step)
        (call $exit (call $turns))";
    let folder = tempfile::tempdir().unwrap();
    code(&host.program(&module(step, start)).dir(folder.path(), "/", false).run())
}

#[test]
fn others_have_their_turns_during_a_long_call() {
    let host = Host::with_one_worker();
    let mut failures = Vec::new();
    let broadcast = Call {
        what: "a broadcast of 8 MiB to 20 members",
        step: BROADCAST,
        turns: 5,
    };
    for Call { what, step, turns } in CALLS.iter().chain([&broadcast]) {
        let had = self::turns(&host, step);
        println!("{what}: {had} turns");
        if had < *turns {
            failures.push(format!("{what}: only {had} turns of others"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// The worst delay of a process that sleeps 5 ms a hundred times, while two processes take the step again and again.
fn worst_delay(host: &Host, step: &str) -> Duration {
    let attacker = module(step, "(loop $again (call $step) (br $again))");
    let sleeper = module(
        "",
        "(local.set $n (i32.const 100))
        (loop $again
            (local.set $at (call $now))
            (call $process.sleep_ns (i64.const 5000000))
            (local.set $at (i64.sub (i64.sub (call $now) (local.get $at)) (i64.const 5000000)))
            (if (i64.gt_s (local.get $at) (local.get $worst)) (then (local.set $worst (local.get $at))))
            (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (call $exit (i32.wrap_i64 (i64.div_u (local.get $worst) (i64.const 1000))))",
    );
    let folder = tempfile::tempdir().unwrap();
    let attack = || host.program(&attacker).quiet().dir(folder.path(), "/", false).start();
    let attackers = [attack(), attack()];
    let ended = host.program(&sleeper).run();
    for attacker in attackers {
        let reason = attacker.wait_timeout(Duration::ZERO);
        assert_eq!(reason, None, "an attacker has ended: {step}");
    }
    // In microseconds.
    Duration::from_micros(code(&ended).unsigned_abs().into())
}

/// Beside long calls a sleeper wakes about as it does beside loops, at the same time on the same machine. The worst delay of a
/// round is that of the machine as much as of the host: what counts is the best round.
#[test]
fn a_sleeper_is_not_late_beside_long_calls() {
    const ROUNDS: usize = 3;
    const FACTOR: u32 = 5;
    const AT_LEAST: Duration = Duration::from_millis(50);
    let host = Host::with(|builder| builder.workers(2));
    let mut failures = Vec::new();
    for Call { what, step, .. } in CALLS {
        let (mut beside_loops, mut beside_calls) = (Duration::ZERO, Duration::MAX);
        for _ in 0..ROUNDS {
            beside_loops = beside_loops.max(worst_delay(&host, "(loop $again (br $again))"));
            beside_calls = beside_calls.min(worst_delay(&host, step));
        }
        let found = format!("{what}: {beside_calls:?}, beside loops {beside_loops:?}");
        println!("{found}");
        if beside_calls > (beside_loops * FACTOR).max(AT_LEAST) {
            failures.push(found);
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn a_long_fill_that_traps_is_reported_where_it_is() {
    let step = "(memory.fill (global.get $low) (i32.const 7) (i32.sub (i32.const 0) (global.get $much)))";
    let ended = Host::shared().program(&module(step, "(call $step)")).run();
    assert!(ended.trap().contains("out-of-bounds"), "{ended}");
    // The function that fills in pieces is the host's own: the guest's comes first.
    ended.reports("  0: step\n");
}

#[test]
fn calls_for_too_much_are_refused_or_cut_short() {
    let check = |step: &str, expected: i32| {
        let start = format!("(call $exit {step})");
        let folder = tempfile::tempdir().unwrap();
        let program = Host::shared()
            .program(&module("", &start))
            .dir(folder.path(), "/", false);
        assert_eq!(code(&program.run()), expected, "{step}");
    };
    const INVAL: i32 = 28;
    const NAMETOOLONG: i32 = 37;
    let poll =
        |count: u32| format!("(call $poll (global.get $low) (global.get $high) (i32.const {count}) (i32.const 16))");
    // All zeros are waits on the clock for no time.
    check(&poll(4096), 0);
    check(&poll(4097), INVAL);
    let write =
        |count: u32| format!("(call $write (i32.const 1) (global.get $low) (i32.const {count}) (i32.const 16))");
    check(&write(1024), 0);
    check(&write(1025), INVAL);
    let unlink = |len: u32| {
        format!(
            "(memory.fill (global.get $low) (i32.const 47) (i32.const 5000))
            (call $unlink (i32.const 3) (global.get $low) (i32.const {len}))"
        )
    };
    check(&format!("(block (result i32) {})", unlink(4097)), NAMETOOLONG);
    // A megabyte of the ten that were to be written, and another one at the end of the memory.
    let part = |start: &str, len: u32| {
        format!(
            "(block (result i32)
                (i32.store (i32.const 24) {start})
                (i32.store (i32.const 28) (i32.const {len}))
                (call $ok (i32.sub (i32.const 0) (call $write (i32.const 1) (i32.const 16) (i32.const 2) (i32.const 32))))
                (i32.load (i32.const 32)))"
        )
    };
    check(&part("(global.get $low)", 10 << 20), 1 << 20);
    check(&part("(global.get $low)", 1 << 20), 1 << 20);
    check(&part("(global.get $low)", 1000), 1000);
    check(&part("(i32.const 535822336)", (1 << 20) + 65_536), 1 << 20);
}

/// Its memory has 513 MiB, and it has 100 more.
#[test]
fn a_message_is_paid_for_before_it_is_copied() {
    let put = |mib: u32, code: i32| {
        format!(
            "(if (i32.ne (call $buffer.put (global.get $low) (i32.const {})) (i32.const {code})) (then (call $exit (i32.const {mib}))))",
            mib << 20
        )
    };
    let steps = [put(90, 0), put(90, 0), put(110, -6), put(90, 0)].concat();
    let caps = Caps {
        memory: Some(613 << 20),
        ..Caps::default()
    };
    let ended = Host::shared().program(&module("", &steps)).caps(caps).run();
    assert_eq!(code(&ended), 0, "{ended}");
}

/// On one worker, what is killed while it runs is killed where it gives way: in the middle of what it puts.
#[test]
fn who_is_killed_in_the_middle_of_a_message_gives_all_of_it_back() {
    let host = Host::with_one_worker();
    let start = "(local.set $n (i32.const 5))
        (loop $again
        (call $ok (call $process.spawn_closure (i32.const 3) (i32.const 1040) (i32.const 16) (i32.const 2064)))
        (call $ok (call $channel.receive
            (i64.load (i32.const 1040)) (i64.load (i32.const 1048)) (i32.const 0) (i32.const 1) (i64.const -1)))
        (call $ok (call $process.kill_handle (i64.load (i32.const 2064)) (i64.load (i32.const 2072))))
        (call $ok (call $process.join (i64.load (i32.const 2064)) (i64.load (i32.const 2072)) (i64.const -1)))
        (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        ;; Beside two memories of 513 MiB there is room for one message: what five children have put is not there any more.
        (call $ok (call $buffer.put (global.get $low) (global.get $much)))";
    let caps = Caps {
        memory: Some((2 * 513 + 260) << 20),
        ..Caps::default()
    };
    let ended = host.program(&module("", start)).caps(caps).run();
    assert_eq!(code(&ended), 0, "{ended}");
}
