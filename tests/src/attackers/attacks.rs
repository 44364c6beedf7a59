//! Guests that try to take the host down, each in one way, and how each may end.

use lunatic_host::ExitReason;

use crate::imports;

/// Whether an attack may end as it did.
pub type Judge = fn(&ExitReason) -> bool;

fn is_trap(reason: &ExitReason) -> bool {
    matches!(reason, ExitReason::Trap(_))
}

fn is_budget(reason: &ExitReason) -> bool {
    *reason == ExitReason::OutOfBudget
}

fn is_normal(reason: &ExitReason) -> bool {
    *reason == ExitReason::Normal
}

/// The body of `_start` of each attack; `$bomb` is entry 1 of the table. At 1024 is a handle of the process itself, at
/// 1040 one of a channel without a bound.
pub const ATTACKS: &[(&str, Judge, &str)] = &[
    (
        "a storm of memory.grow",
        is_budget,
        "(loop $again (drop (memory.grow (i32.const 1))) (br $again))",
    ),
    (
        "growth to 4 GiB at once",
        is_normal,
        "(if (i32.ne (memory.grow (i32.const 65535)) (i32.const -1)) (then unreachable))",
    ),
    (
        "a fill of 4 GiB",
        is_trap,
        "(memory.fill (i32.const 1) (i32.const 7) (i32.const -1))",
    ),
    (
        "a copy of 4 GiB",
        is_trap,
        "(memory.copy (i32.const 0) (i32.const 1) (i32.const -1))",
    ),
    (
        "a copy over the end",
        is_trap,
        "(memory.copy (i32.const 65535) (i32.const 0) (i32.const 2))",
    ),
    (
        "a store at the last address",
        is_trap,
        "(i64.store offset=4294967288 (i32.const -1) (i64.const 7))",
    ),
    (
        "a message of 4 GiB",
        is_trap,
        "(drop (call $channel.try_send (i64.load (i32.const 1040)) (i64.load (i32.const 1048)) (i32.const 16) (i32.const -1)))",
    ),
    (
        "a question of 4 GiB",
        is_trap,
        "(drop (call $rights.allows (i32.const 16) (i32.const -1)))",
    ),
    (
        "a module of 4 GiB",
        is_trap,
        "(drop (call $module.compile (i32.const 16) (i32.const -1) (i32.const 64)))",
    ),
    (
        "random numbers for 4 GiB",
        is_trap,
        "(if (call $random (i32.const 0) (i32.const -1)) (then unreachable))",
    ),
    ("a recursion without an end", is_trap, "(call $deep)"),
    ("an indirect call of nothing", is_trap, "(call_indirect (i32.const 77))"),
    (
        "an indirect call of another type",
        is_trap,
        "(call_indirect (param i64) (i64.const 1) (i32.const 1))",
    ),
    (
        "a table that grows for ever",
        is_budget,
        "(loop $again (drop (table.grow (ref.null func) (i32.const 1000))) (br $again))",
    ),
    (
        "a flood of messages to itself",
        is_budget,
        "(loop $again (drop (call $channel.try_send (i64.load (i32.const 1040)) (i64.load (i32.const 1048)) (i32.const 0) (i32.const 60000))) (br $again))",
    ),
    (
        "a flood of mail to itself",
        is_budget,
        "(loop $again (drop (call $mailbox.send (i64.load (i32.const 1024)) (i64.load (i32.const 1032)) (i64.const 5) (i32.const 0) (i32.const 60000))) (br $again))",
    ),
    (
        "channels without end",
        is_budget,
        "(loop $again (drop (call $channel.new (i64.const 0) (i32.const 2048))) (br $again))",
    ),
    (
        "names without end",
        is_budget,
        "(loop $again (i32.store (i32.const 3000) (i32.add (i32.load (i32.const 3000)) (i32.const 1))) (drop (call $registry.register (i32.const 3000) (i32.const 4) (i64.load (i32.const 1024)) (i64.load (i32.const 1032)))) (br $again))",
    ),
    (
        "timers without end",
        is_budget,
        "(loop $again (drop (call $timer.send_after (i64.load (i32.const 1024)) (i64.load (i32.const 1032)) (i64.const 5) (i32.const 0) (i32.const 8) (i64.const 3600000000000) (i64.const 0) (i32.const 2048))) (br $again))",
    ),
    (
        "intervals of one who sleeps",
        is_budget,
        "(i32.store (i32.const 3000) (i32.const 2000))
        (loop $again
            (drop (call $timer.send_after (i64.load (i32.const 1024)) (i64.load (i32.const 1032)) (i64.const 5) (i32.const 0) (i32.const 8) (i64.const 1000000) (i64.const 1000000) (i32.const 2048)))
            (i32.store (i32.const 3000) (i32.sub (i32.load (i32.const 3000)) (i32.const 1)))
            (br_if $again (i32.load (i32.const 3000))))
        (call $process.sleep_ns (i64.const -1))",
    ),
    (
        "monitors without end",
        is_budget,
        "(loop $again (drop (call $process.monitor (i64.load (i32.const 1024)) (i64.load (i32.const 1032)) (i64.const 0) (i32.const 2048))) (br $again))",
    ),
    ("a spawn bomb", is_budget, "(call $bomb)"),
    ("a loop of nothing", is_budget, "(loop $again (br $again))"),
    (
        "a loop of calls",
        is_budget,
        "(loop $again (call $process.yield_now) (br $again))",
    ),
];

/// The module of an attack.
pub fn module(attack: &str) -> Vec<u8> {
    let text = format!(
        r#"(module
        (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
        {}
        (memory (export "memory") 1)
        (table 2 1000000 funcref)
        (elem (i32.const 1) $bomb)
        (func $deep (call $deep) (call $deep))
        (func $bomb
            (loop $again
                (drop (call $process.spawn_closure (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 2048)))
                (br $again)))
        (func (export "_start")
            (call $process.this (i32.const 1024))
            (drop (call $channel.new (i64.const 0) (i32.const 1040)))
            {attack}))"#,
        imports::declarations()
    );
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{attack}: {error}"))
}
