//! Instructions and host calls whose time grows with what they are asked for. None of them keeps others from running:
//! semantics.md, 3.2.

use std::time::Duration;

use lunatic_host::ExitReason;
use lunatic_host::budget::Caps;
use lunatic_host::trace::Tracer;
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
    Call {
        what: "a host name of 256 MiB",
        step: "(drop (call $net.tcp_connect_host
            (global.get $low) (global.get $much) (i32.const 443) (i64.const 0) (i32.const 2064)))",
        turns: 0,
    },
    Call {
        what: "a path of 256 MiB for a Unix socket",
        step: "(drop (call $net.unix_listen (global.get $low) (global.get $much) (i32.const 2064)))",
        turns: 0,
    },
    Call {
        what: "a name of 256 MiB for a span",
        step: "(drop (call $trace.close
            (call $trace.open (i32.const 1) (global.get $low) (global.get $much) (i32.const 0) (i32.const 0))))",
        turns: 0,
    },
    Call {
        what: "a reason of 256 MiB for the failure of a span",
        step: "(drop (call $trace.fail (i32.const 1) (global.get $low) (global.get $much)))",
        turns: 0,
    },
];

/// The same for the interface of Lunatic 0.13: `step` is repeated after `before`. 64 MiB, `$much`, are there from `$low` on;
/// at 2400 there is the beginning of a certificate, at 2440 an SQL text.
#[cfg(feature = "compat")]
struct CompatCall {
    what: &'static str,
    before: &'static str,
    step: &'static str,
}

#[cfg(feature = "compat")]
const COMPAT_CALLS: &[CompatCall] = &[
    // None of the first is a certificate, but each is searched for one; the last two are too long together.
    CompatCall {
        what: "a client of TLS that trusts 1,024 texts of 1 MiB, which lie over each other",
        before: "(memory.fill (global.get $low) (i32.const 97) (i32.const 3145728))
            (memory.copy (i32.add (global.get $low) (i32.const 2097152)) (i32.const 2400) (i32.const 27))
            (loop $list
                (i64.store (i32.add (i32.const 4096) (i32.shl (local.get $n) (i32.const 3)))
                    (i64.or (i64.extend_i32_u (global.get $low)) (i64.const 0x0010_0000_0000_0000)))
                (br_if $list (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 1022))))
            (i64.store (i32.const 12272) (i64.const 0x000f_ffb4_0021_0000))
            (i64.store (i32.const 12280) (i64.const 0x000f_ffb4_0021_0000))",
        step: "(if (i32.eqz (call $networking.tls_connect (i32.const 2400) (i32.const 1) (i32.const 443) (i64.const 0)
                (i32.const 16) (i32.const 4096) (i32.const 1024))) (then unreachable))
            (call $error.drop (i64.load (i32.const 16)))",
    },
    CompatCall {
        what: "SQL of 16 MiB",
        before: OPEN,
        step: "(drop (call $sqlite.execute (i64.const 0) (global.get $low) (i32.const 16777216)))",
    },
    CompatCall {
        what: "a value of 16 MB that is bound",
        before: BIND,
        step: "(call $sqlite.bind_value (i64.const 0) (global.get $low) (i32.const 16000024))",
    },
    CompatCall {
        what: "a row of 16 MB that is read",
        before: STEP,
        step: "(drop (call $sqlite.read_row (i64.const 0) (i32.const 16)))",
    },
];

/// Opens a database in memory.
#[cfg(feature = "compat")]
const OPEN: &str = "(drop (call $sqlite.open (i32.const 0) (i32.const 0) (i32.const 16)))";
/// And prepares a statement with a parameter, for which there is a blob at `$low`.
#[cfg(feature = "compat")]
const BIND: &str = "(drop (call $sqlite.open (i32.const 0) (i32.const 0) (i32.const 16)))
    (drop (call $sqlite.query_prepare (i64.const 0) (i32.const 2440) (i32.const 9)))
    (i64.store (global.get $low) (i64.const 1))
    (i32.store offset=12 (global.get $low) (i32.const 1))
    (i64.store offset=16 (global.get $low) (i64.const 16000000))";
/// And binds it, and takes the first step.
#[cfg(feature = "compat")]
const STEP: &str = "(drop (call $sqlite.open (i32.const 0) (i32.const 0) (i32.const 16)))
    (drop (call $sqlite.query_prepare (i64.const 0) (i32.const 2440) (i32.const 9)))
    (i64.store (global.get $low) (i64.const 1))
    (i32.store offset=12 (global.get $low) (i32.const 1))
    (i64.store offset=16 (global.get $low) (i64.const 16000000))
    (call $sqlite.bind_value (i64.const 0) (global.get $low) (i32.const 16000024))
    (drop (call $sqlite.sqlite3_step (i64.const 0)))";

#[cfg(feature = "compat")]
fn compat_module(CompatCall { what, before, step }: &CompatCall) -> Vec<u8> {
    let text = format!(
        r#"(module
        {}
        (memory (export "memory") 1025)
        (data (i32.const 2400) "-----BEGIN CERTIFICATE-----")
        (data (i32.const 2440) "SELECT ?1")
        (global $low i32 (i32.const 65536))
        (global $much i32 (i32.const 67108864))
        (func (export "lunatic_alloc") (param i32) (result i32) (global.get $low))
        (func (export "_start") (local $n i32)
            {before}
            (loop $again {step} (br $again))))"#,
        imports::declarations_of(imports::compat())
    );
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{what}: {error}"))
}

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
        (import "wasi_snapshot_preview1" "path_symlink" (func $symlink (param i32 i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "path_readlink" (func $readlink (param i32 i32 i32 i32 i32 i32) (result i32)))
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

/// A module whose main process takes the step again and again.
fn repeated(step: &str) -> Vec<u8> {
    module(step, "(loop $again (call $step) (br $again))")
}

/// The worst delay of a process that sleeps 5 ms a hundred times, while two processes run the module of an attacker.
fn worst_delay(host: &Host, attacker: &[u8]) -> Duration {
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
    let (rules, tracer) = (vec!["resolve:*".parse().unwrap()], Tracer::new(1.0));
    let attack = || {
        let program = host.program(attacker).quiet().net(rules.clone()).tracer(&tracer);
        program.dir(folder.path(), "/", false).start()
    };
    let attackers = [attack(), attack()];
    let ended = host.program(&sleeper).run();
    for attacker in attackers {
        let reason = attacker.wait_timeout(Duration::ZERO);
        assert_eq!(reason, None, "an attacker has ended");
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
    let calls = CALLS.iter().map(|call| (call.what, repeated(call.step)));
    #[cfg(feature = "compat")]
    let calls = calls.chain(COMPAT_CALLS.iter().map(|call| (call.what, compat_module(call))));
    let loops = repeated("(loop $again (br $again))");
    for (what, attacker) in calls {
        let (mut beside_loops, mut beside_calls) = (Duration::ZERO, Duration::MAX);
        for _ in 0..ROUNDS {
            beside_loops = beside_loops.max(worst_delay(&host, &loops));
            beside_calls = beside_calls.min(worst_delay(&host, &attacker));
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
    // A link `m` to `l`, read into more room than the memory has.
    let link = "(block (result i32)
        (i32.store16 (global.get $low) (i32.const 0x6d6c))
        (call $ok (i32.sub (i32.const 0) (call $symlink
            (global.get $low) (i32.const 1) (i32.const 3) (i32.add (global.get $low) (i32.const 1)) (i32.const 1))))
        (call $readlink (i32.const 3) (i32.add (global.get $low) (i32.const 1)) (i32.const 1)
            (global.get $high) (i32.const 0x7fffffff) (i32.const 16)))";
    check(link, 0);
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

/// Two sources, of as many tags as one may have together or one more.
#[test]
fn the_sources_of_a_select_have_so_many_tags_together() {
    let select = |tags: u32| {
        let start = format!(
            "(i32.store (i32.const 4096) (i32.const 1)) (i32.store (i32.const 4100) (i32.const 128))
            (i64.store (i32.const 4104) (i64.const 8192))
            (i32.store (i32.const 4120) (i32.const 1)) (i32.store (i32.const 4124) (i32.const {tags}))
            (i64.store (i32.const 4128) (i64.const 8192))
            (drop (call $mailbox.select (i32.const 4096) (i32.const 2) (i64.const 0)))"
        );
        Host::shared().program(&module("", &start)).run()
    };
    select(128).normal();
    let ended = select(129);
    assert!(ended.trap().contains("at most 256 tags together"), "{ended}");
}

/// 4 MiB for 4,096 subscriptions, beside a memory of 512 MiB; and they are given back.
#[test]
fn polls_are_paid_for_while_they_wait() {
    const NOMEM: i32 = 48;
    let poll = "(call $poll (global.get $low) (global.get $high) (i32.const 4096) (i32.const 16))";
    let twice = format!("(drop {poll}) (call $exit {poll})");
    for (mib, expected) in [(516, NOMEM), (520, 0)] {
        let caps = Caps {
            memory: Some(mib << 20),
            ..Caps::default()
        };
        let ended = Host::shared().program(&module("", &twice)).caps(caps).run();
        assert_eq!(code(&ended), expected, "{mib}: {ended}");
    }
}

/// It has 2 MiB of memory, and writes 1 MiB of it to a file.
#[test]
fn what_is_read_or_written_in_one_call_is_paid_for() {
    let module = wat::parse_str(
        r#"(module
            (import "wasi_snapshot_preview1" "path_open"
                (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (memory (export "memory") 33)
            (data (i32.const 16) "\00\00\01\00\00\00\10\00")
            (data (i32.const 64) "file")
            (func $ok (param i32) (if (local.get 0) (then unreachable)))
            (func (export "_start")
                (call $ok (call $open (i32.const 3) (i32.const 0) (i32.const 64) (i32.const 4) (i32.const 1)
                    (i64.const 66) (i64.const 0) (i32.const 0) (i32.const 32)))
                (call $ok (call $write (i32.load (i32.const 32)) (i32.const 16) (i32.const 1) (i32.const 24)))
                (call $exit (i32.load (i32.const 24)))))"#,
    );
    let module = module.unwrap();
    for (mib, expected) in [(3, 64 << 10), (4, 1 << 20)] {
        let caps = Caps {
            memory: Some(mib << 20),
            ..Caps::default()
        };
        let folder = tempfile::tempdir().unwrap();
        let program = Host::shared().program(&module).dir(folder.path(), "/", false);
        let ended = program.caps(caps).run();
        assert_eq!(code(&ended), expected, "{mib}: {ended}");
        let written = std::fs::metadata(folder.path().join("file")).unwrap().len();
        assert_eq!(written, expected as u64);
    }
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
