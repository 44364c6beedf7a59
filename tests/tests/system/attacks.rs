//! Guests that try to take the host down with them, one way each. Each attack runs in a system with a budget; whatever
//! becomes of it, another system on the same host must be well meanwhile, and afterwards.

use std::time::{Duration, Instant};

use lunatic_host::ExitReason;
use lunatic_host::budget::Caps;
use lunatic_sys::codes::LIMIT;
use lunatic_tests::attackers::attacks::{ATTACKS, module};
use lunatic_tests::host::Host;
use lunatic_tests::imports;

const MS: Duration = Duration::from_millis(1);

#[test]
fn no_attack_takes_the_host_down() {
    let host = Host::with(|builder| builder.workers(2));
    let well = br#"(module (import "lunatic::process" "sleep_ns" (func $sleep (param i64)))
        (func (export "_start") (call $sleep (i64.const 1000000))))"#;
    let well = host.load(well).unwrap();
    for (what, judge, attack) in ATTACKS {
        let caps = Caps {
            processes: Some(500),
            memory: Some(64 << 20),
            cpu: Some(Duration::from_millis(150)),
            ..Caps::default()
        };
        let attacker = host.program(&module(attack)).quiet().max_memory(16 << 20).caps(caps);
        std::thread::scope(|scope| {
            let attacking = scope.spawn(|| attacker.run().reason);
            for _ in 0..5 {
                host.loaded(&well).run().normal();
            }
            let reason = attacking
                .join()
                .unwrap_or_else(|_| panic!("{what}: it hangs, or could not be run"));
            assert!(judge(&reason), "{what}: it {reason}");
        });
        host.loaded(&well).run().normal();
    }
}

/// A program that sets so many timers, and sleeps.
fn timers(count: u32, delay: Duration, interval: Duration) -> Vec<u8> {
    let [delay, interval] = [delay, interval].map(|time| time.as_nanos());
    let text = format!(
        r#"(module
        (import "lunatic::process" "this" (func $this (param i32)))
        (import "lunatic::process" "sleep_ns" (func $sleep (param i64)))
        (import "lunatic::timer" "send_after"
            (func $send_after (param i64 i64 i64 i32 i32 i64 i64 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "_start") (local $left i32)
            (call $this (i32.const 1024))
            (local.set $left (i32.const {count}))
            (loop $again
                (if (call $send_after (i64.load (i32.const 1024)) (i64.load (i32.const 1032)) (i64.const 5)
                    (i32.const 0) (i32.const 8) (i64.const {delay}) (i64.const {interval}) (i32.const 2048))
                    (then unreachable))
                (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
            (call $sleep (i64.const -1))))"#
    );
    wat::parse_str(&text).unwrap()
}

/// What timers send takes the host longer than it has for it: as intervals, for ever; as many at once, for a while.
#[test]
fn intervals_make_nobodys_sleep_late() {
    const ATTACKERS: u32 = 4;
    const PER_ATTACKER: u32 = 30_000;
    let host = Host::with(|builder| builder.workers(2).queued_max(256 << 20));
    let sleeper = br#"(module (import "lunatic::process" "sleep_ns" (func $sleep (param i64)))
        (func (export "_start") (local $left i32)
            (local.set $left (i32.const 20))
            (loop $again
                (call $sleep (i64.const 5000000))
                (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))))"#;
    let sleeper = host.load(sleeper).unwrap();
    let sleep = || {
        let start = Instant::now();
        host.loaded(&sleeper).run().normal();
        start.elapsed()
    };
    let alone = sleep();
    let intervals = timers(PER_ATTACKER, MS, MS);
    let at_once = timers(PER_ATTACKER, 2000 * MS, Duration::ZERO);
    for attack in [intervals, at_once] {
        let running: Vec<_> = (0..ATTACKERS).map(|_| host.program(&attack).quiet().start()).collect();
        // Until they have set all of their timers, and while those send.
        let mut beside = Vec::new();
        let is_set = || host.figures().timers == (ATTACKERS * PER_ATTACKER) as usize;
        while beside.len() < 20 || (beside.len() < 200 && !is_set()) {
            beside.push(sleep());
        }
        beside.sort();
        let median = beside[beside.len() / 2];
        assert!(median < 5 * alone + 1000 * MS, "{median:?} in place of {alone:?}");
        drop(running);
    }
    assert!(host.figures().timers_skipped > 0);
}

fn is_memory(reason: &ExitReason) -> bool {
    matches!(reason, ExitReason::OutOfMemory(_) | ExitReason::Trap(_))
}

#[test]
fn memory_is_refused_before_the_limit_is_passed() {
    // The largest that fits is given, one page more is not, however it is asked for.
    let text = r#"(module (memory (export "memory") 1)
        (func (export "_start")
            (if (i32.ne (memory.grow (i32.const 15)) (i32.const 1)) (then unreachable))
            (if (i32.ne (memory.grow (i32.const 1)) (i32.const -1)) (then unreachable))
            (i32.store (i32.const 1048572) (i32.const 1))))"#;
    let host = Host::shared();
    host.program(text.as_bytes()).max_memory(1 << 20).run().normal();
    let reason = host
        .program(text.as_bytes())
        .quiet()
        .max_memory((1 << 20) - 1)
        .run()
        .reason;
    assert!(is_memory(&reason), "{reason}");
}

/// A process without memory left for a name spawns a child with one: that is refused, and no child is left behind.
#[test]
fn a_child_whose_name_cannot_be_paid_for_is_not_spawned() {
    let text = format!(
        r#"(module
        {}
        (memory (export "memory") 1)
        (table 2 funcref)
        (elem (i32.const 1) $child)
        (global $number (mut i64) (i64.const 0))
        (func $child)
        (func (export "_start")
            (call $process.this (i32.const 1024))
            (loop $again
                (global.set $number (i64.add (global.get $number) (i64.const 1)))
                (i64.store (i32.const 1600) (global.get $number))
                (br_if $again (i32.eqz (call $registry.register (i32.const 1600) (i32.const 8)
                    (i64.load (i32.const 1024)) (i64.load (i32.const 1032))))))
            (i32.store (i32.const 1104) (i32.const 8))
            (i64.store (i32.const 1108) (i64.const 1600))
            (if (i32.ne (i32.const {LIMIT}) (call $process.spawn (i32.const 1)
                    (i32.const 0) (i32.const 0) (i32.const 1100) (i32.const 1200))) (then unreachable))))"#,
        imports::declarations()
    );
    let host = Host::with(|builder| builder.workers(2));
    let caps = Caps {
        memory: Some(1 << 20),
        ..Caps::default()
    };
    host.program(text.as_bytes()).caps(caps).run().normal();
    assert_eq!(host.figures().processes, 0);
    assert_eq!(host.figures().kept_bytes, 0);
}
