//! Processes that take up as much of the host as they can beside their memory: stacks, instances of large modules, what WASI
//! keeps. The budget holds for that, too.
//!
//! A test program of its own: what is resident is measured for the whole program, and no other test may run beside it.

use std::sync::Mutex;
use std::time::Duration;

use lunatic_host::ExitReason;
use lunatic_host::budget::Caps;
use lunatic_tests::host::Host;
use lunatic_tests::imports;
use lunatic_tests::resident::resident;

/// What the budget of each attacker allows. Not small: what a process takes up that is not counted should show.
const BUDGET: usize = 64 << 20;
/// What the whole program may grow by beside the budget.
const SLACK: usize = BUDGET / 10 + (32 << 20);

/// What all children do, and what the module has for it.
struct Attack {
    what: &'static str,
    child: &'static str,
    has: fn() -> String,
    variables: usize,
}

const ATTACKS: &[Attack] = &[
    Attack {
        what: "children that do nothing",
        child: "",
        has: String::new,
        variables: 0,
    },
    Attack {
        what: "environments that were read",
        child: "(drop (call $environ_sizes_get (i32.const 0) (i32.const 8)))",
        has: String::new,
        variables: 1000,
    },
    Attack {
        what: "stacks that were used",
        child: "(drop (call $deep (i32.const 1800)))",
        has: || {
            // Eight values live across the call: a frame of some hundred bytes.
            let values: String = (0..8).map(|at| format!("(i64.load (i32.const {}))", at * 8)).collect();
            let sum = "(i64.add)".repeat(8);
            format!(
                "(func $deep (param i32) (result i64)
                    {values}
                    (if (result i64) (local.get 0)
                        (then (call $deep (i32.sub (local.get 0) (i32.const 1))))
                        (else (i64.const 0)))
                    {sum})"
            )
        },
        variables: 0,
    },
    Attack {
        what: "instances with many globals",
        child: "",
        has: || "(global (mut i64) (i64.const 1))".repeat(40_000),
        variables: 0,
    },
];

fn module(attack: &Attack) -> Vec<u8> {
    let Attack { what, child, has, .. } = attack;
    let text = format!(
        r#"(module
        {}
        (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ_sizes_get (param i32 i32) (result i32)))
        (memory (export "memory") 1)
        (table 2 funcref)
        (elem (i32.const 1) $child)
        (func $child {child} (call $process.sleep_ns (i64.const -1)))
        (func (export "_start")
            (loop $again
                (br_if $again (i32.eqz
                    (call $process.spawn_closure (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 1056)))))
            (call $process.sleep_ns (i64.const 3000000000)))
        {})"#,
        imports::declarations(),
        has(),
    );
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{what}: {error}"))
}

/// One test at a time: what is resident is that of both.
static ALONE: Mutex<()> = Mutex::new(());

/// What the large memory has, all of which is used.
const LARGE: usize = 400 << 20;

/// How much more was resident when the budget had got half of the memory back.
fn resident_when_paid_back(host: &Host, (end, is_killed): (&str, bool), before: usize) -> usize {
    // So that it is seen that all of it is in use.
    let pause = match is_killed {
        true => "",
        false => "(call $process.sleep_ns (i64.const 1000000000))",
    };
    let text = format!(
        r#"(module
        {}
        (memory (export "memory") {})
        (func (export "_start")
            (memory.fill (i32.const 0) (i32.const 1) (i32.const {LARGE}))
            {pause}
            {end}))"#,
        imports::declarations(),
        LARGE >> 16,
    );
    let caps = Caps {
        memory: Some(2 * LARGE as u64),
        ..Caps::default()
    };
    let module = host.load(&wat::parse_str(&text).unwrap()).unwrap();
    let system = host.loaded(&module).quiet().caps(caps).start();
    let used = || system.usage().unwrap().memory as usize;
    while resident() < before + LARGE * 9 / 10 {
        let reason = system.wait_timeout(Duration::from_millis(1));
        assert!(reason.is_none(), "it ended before its memory was seen: {reason:?}");
    }
    assert!(used() >= LARGE);
    if is_killed {
        system.kill(system.main().unwrap());
    }
    while used() > LARGE / 2 {
        std::hint::spin_loop();
    }
    resident().saturating_sub(before)
}

#[test]
fn memory_is_paid_for_until_its_pages_are_gone() {
    let _alone = ALONE.lock().unwrap();
    let host = Host::with(|builder| builder.workers(2));
    let sleeps = "(call $process.sleep_ns (i64.const -1))";
    let computes = "(loop $again (br $again))";
    for end in [("", false), ("unreachable", false), (sleeps, true), (computes, true)] {
        let before = resident();
        let left = resident_when_paid_back(&host, end, before);
        assert!(left < LARGE / 4, "{end:?}: {left} bytes more are resident");
    }
}

#[test]
fn what_runs_a_process_is_paid_for() {
    let _alone = ALONE.lock().unwrap();
    let host = Host::with(|builder| builder.workers(2));
    for attack in ATTACKS {
        let what = attack.what;
        let caps = Caps {
            memory: Some(BUDGET as u64),
            ..Caps::default()
        };
        let module = host.load(&module(attack)).unwrap();
        let value = "x".repeat(50);
        let program = (0..attack.variables).fold(host.loaded(&module).quiet().caps(caps), |program, at| {
            program.env(&format!("VARIABLE_{at}"), &value)
        });
        let before = resident();
        let system = program.start();
        let grown = std::iter::from_fn(|| {
            let ended = system.wait_timeout(Duration::from_millis(1)).is_some();
            (!ended).then(|| resident().saturating_sub(before))
        });
        let grown = grown.max().unwrap_or(0);
        let reason = system.wait();
        println!("{what}: {grown} bytes more resident; it {reason}");
        assert!(matches!(reason, ExitReason::Normal), "{what}: it {reason}");
        assert!(grown <= BUDGET + SLACK, "{what}: {grown} bytes more are resident");
    }
}
