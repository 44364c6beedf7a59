//! Guests that make the host keep as much for them as they can, one way each: under a budget of a few megabytes, what the host
//! keeps stays within it, and all of it is given back.
//!
//! A test program of its own: what is resident is measured for the whole program, and no other test may run beside it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lunatic_host::ExitReason;
use lunatic_host::budget::Caps;
use lunatic_tests::host::Host;
use lunatic_tests::imports;
use lunatic_tests::resident::resident;

/// What the budget of each attacker allows, its memory and all that is kept for it together.
const BUDGET: usize = 8 << 20;
/// What one call may add before its process ends for it.
const ONE_STEP: usize = 64 << 10;
/// What the whole program may grow by beside the budget: the memory of ends, allocator, stacks, compiled code.
const RESIDENT_SLACK: usize = 64 << 20;

/// An attack: what the main process does before and in an endless loop, and what its children do. 1024 is a handle of the main
/// process, 1040 of a channel without a bound, 1056 one of a child that waits, 2048 and on are a reason with a text of
/// 65,536 bytes, 1600 to 1608 a name that differs each time.
struct Attack {
    what: &'static str,
    before: &'static str,
    again: &'static str,
    child: &'static str,
}

const WAITS: &str = "(call $process.sleep_ns (i64.const -1))";
const SPAWN: &str = "(drop (call $process.spawn_closure (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 1056)))";

const ATTACKS: &[Attack] = &[
    Attack {
        what: "exit signals to itself",
        before: "(drop (call $process.trap_exit (i32.const 1)))",
        again: "(drop (call $process.exit_signal (i64.load (i32.const 1024)) (i64.load (i32.const 1032)) (i32.const 2048) (i32.const 65544)))",
        child: "",
    },
    Attack {
        what: "exit signals from children that end",
        before: "(drop (call $process.trap_exit (i32.const 1)))",
        again: SPAWN,
        child: "(call $reason) (drop (call $process.parent (i32.const 1024)))
            (drop (call $process.exit_signal (i64.load (i32.const 1024)) (i64.load (i32.const 1032)) (i32.const 2048) (i32.const 65544)))",
    },
    Attack {
        what: "links to processes that have ended",
        before: "(drop (call $process.trap_exit (i32.const 1))) (call $spawn) (call $join)",
        again: "(drop (call $process.link (i64.load (i32.const 1056)) (i64.load (i32.const 1064))))",
        child: "",
    },
    Attack {
        what: "channels",
        before: "",
        again: "(drop (call $channel.new (i64.const 0) (i32.const 1040)))",
        child: "",
    },
    Attack {
        what: "messages in a channel",
        before: "",
        again: "(drop (call $channel.try_send (i64.load (i32.const 1040)) (i64.load (i32.const 1048)) (i32.const 2048) (i32.const 60000)))",
        child: "",
    },
    Attack {
        what: "short messages in a channel",
        before: "",
        again: "(drop (call $channel.try_send (i64.load (i32.const 1040)) (i64.load (i32.const 1048)) (i32.const 2048) (i32.const 8)))",
        child: "",
    },
    Attack {
        what: "messages to itself",
        before: "",
        again: "(drop (call $mailbox.send (i64.load (i32.const 1024)) (i64.load (i32.const 1032)) (i64.const 7) (i32.const 2048) (i32.const 60000)))",
        child: "",
    },
    Attack {
        what: "messages with a tag of their own each",
        before: "",
        again: "(call $name) (drop (call $mailbox.send (i64.load (i32.const 1024)) (i64.load (i32.const 1032)) (i64.load (i32.const 1600)) (i32.const 2048) (i32.const 8)))",
        child: "",
    },
    Attack {
        what: "references",
        before: "",
        again: "(drop (call $mailbox.reference (i32.const 1056)))",
        child: "",
    },
    Attack {
        what: "monitors of one process",
        before: "(call $spawn)",
        again: "(drop (call $process.monitor (i64.load (i32.const 1056)) (i64.load (i32.const 1064)) (i64.const 3) (i32.const 1072)))",
        child: WAITS,
    },
    Attack {
        what: "monitors of a process that has ended",
        before: "(call $spawn) (call $join)",
        again: "(drop (call $process.monitor (i64.load (i32.const 1056)) (i64.load (i32.const 1064)) (i64.const 3) (i32.const 1072)))",
        child: "",
    },
    Attack {
        what: "names",
        before: "",
        again: "(call $name) (drop (call $registry.register (i32.const 1600) (i32.const 200) (i64.load (i32.const 1024)) (i64.load (i32.const 1032))))",
        child: "",
    },
    Attack {
        what: "groups",
        before: "",
        again: "(call $name) (drop (call $registry.join_group (i32.const 1600) (i32.const 200) (i64.load (i32.const 1024)) (i64.load (i32.const 1032))))",
        child: "",
    },
    Attack {
        what: "timers far away",
        before: "",
        again: "(drop (call $timer.send_after (i64.load (i32.const 1024)) (i64.load (i32.const 1032)) (i64.const 7) (i32.const 2048) (i32.const 1000) (i64.const 1000000000000) (i64.const 0) (i32.const 1072)))",
        child: "",
    },
    Attack {
        what: "captured values of children that have not run",
        before: "",
        again: "(drop (call $process.spawn_closure (i32.const 1) (i32.const 2048) (i32.const 65536) (i32.const 1056)))",
        child: WAITS,
    },
    Attack {
        what: "results that nobody fetches",
        before: "",
        again: SPAWN,
        child: "(call $reason) (drop (call $channel.new (i64.const 0) (i32.const 1040)))
            (drop (call $channel.try_send (i64.load (i32.const 1040)) (i64.load (i32.const 1048)) (i32.const 2048) (i32.const 65536)))
            (drop (call $channel.try_receive (i64.load (i32.const 1040)) (i64.load (i32.const 1048)) (i32.const 0) (i32.const 0)))
            (call $process.sleep_ns (i64.const -1))",
    },
    Attack {
        what: "tables",
        before: "",
        again: "(drop (table.grow (ref.null func) (i32.const 1000)))",
        child: "",
    },
    Attack {
        what: "tables of many children",
        before: "",
        again: SPAWN,
        child: "(drop (table.grow (ref.null func) (i32.const 100000))) (call $process.sleep_ns (i64.const -1))",
    },
    Attack {
        what: "long reasons of children that end",
        before: "",
        again: SPAWN,
        child: "(call $reason) (call $process.exit (i32.const 2048) (i32.const 65544))",
    },
    Attack {
        what: "messages that children are about to send",
        before: "",
        again: SPAWN,
        child: "(drop (call $buffer.put (i32.const 0) (i32.const 65536))) (call $process.sleep_ns (i64.const -1))",
    },
];

fn module(attack: &Attack) -> Vec<u8> {
    let Attack {
        what,
        before,
        again,
        child,
    } = attack;
    let text = format!(
        r#"(module
        {}
        (memory (export "memory") 3 16)
        (table 2 1000000 funcref)
        (elem (i32.const 1) $child)
        (global $number (mut i64) (i64.const 0))
        (func $reason (i32.store (i32.const 2048) (i32.const 7)))
        (func $name
            (global.set $number (i64.add (global.get $number) (i64.const 1)))
            (i64.store (i32.const 1600) (global.get $number)))
        (func $spawn {SPAWN})
        (func $join (drop (call $process.join (i64.load (i32.const 1056)) (i64.load (i32.const 1064)) (i64.const -1))))
        (func $child {child})
        (func (export "_start")
            (call $reason)
            (call $process.this (i32.const 1024))
            (drop (call $channel.new (i64.const 0) (i32.const 1040)))
            {before}
            (loop $again {again} (br $again))))"#,
        imports::declarations()
    );
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{what}: {error}"))
}

/// The most that was kept beside memories, and that the program grew by, while `run` ran.
fn watch<T>(host: &Host, run: impl FnOnce() -> T + Send) -> (usize, usize, T)
where
    T: Send,
{
    let (before, over) = (resident(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let (mut kept, mut grown) = (0, 0);
            while !over.load(Ordering::Relaxed) {
                kept = kept.max(host.figures().kept_bytes);
                grown = grown.max(resident().saturating_sub(before));
                std::thread::sleep(Duration::from_millis(1));
            }
            (kept, grown)
        });
        let result = run();
        over.store(true, Ordering::Relaxed);
        let (kept, grown) = watching.join().unwrap();
        (kept, grown, result)
    })
}

#[test]
fn what_is_kept_for_a_process_stays_within_its_budget_and_is_given_back() {
    let host = Host::with(|builder| builder.workers(2));
    for attack in ATTACKS {
        let caps = Caps {
            processes: Some(200),
            memory: Some(BUDGET as u64),
            cpu: Some(Duration::from_millis(500)),
            ..Caps::default()
        };
        let program = module(attack);
        let attacker = || host.program(&program).quiet().caps(caps).run().reason;
        let (kept, grown, reason) = watch(&host, attacker);
        let what = attack.what;
        let is_refused = matches!(reason, ExitReason::OutOfBudget | ExitReason::OutOfMemory(_));
        assert!(is_refused, "{what}: it {reason}");
        assert!(kept <= BUDGET + ONE_STEP, "{what}: {kept} bytes are kept");
        assert!(
            grown <= BUDGET + RESIDENT_SLACK,
            "{what}: {grown} bytes more are resident"
        );
        // The children of a system that has ended may still be about to.
        let mut left = usize::MAX;
        for _ in 0..10_000 {
            left = host.figures().kept_bytes;
            if left == 0 {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(left, 0, "{what}: not all is given back");
        println!("{what}: at most {kept} bytes kept, {grown} more resident; it {reason}");
    }
}
