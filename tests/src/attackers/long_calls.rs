//! Guests that repeat a call that takes the host long.

use std::fmt::Write as _;

use super::Attacker;
use super::hoards::endlessly;
use crate::imports;

/// The call, what is done once, and what is repeated, in the text format. At 1024 is a handle of the main process, at
/// 1040 of a channel without a bound. There are `$much` bytes from `$low` on, and as many from `$high` on.
type Call = (&'static str, &'static str, &'static str);

/// Calls of one process with much memory: 64 MiB and 64 MiB.
const LONG: &[Call] = &[
    (
        "fills of 64 MiB",
        "",
        "(memory.fill (global.get $low) (i32.const 7) (global.get $much))",
    ),
    (
        "copies of 64 MiB",
        "",
        "(memory.copy (global.get $low) (global.get $high) (global.get $much))",
    ),
    (
        "random numbers for 64 MiB",
        "",
        "(drop (call $random (global.get $low) (global.get $much)))",
    ),
    (
        "writes of 64 MiB",
        "(i32.store (i32.const 16) (global.get $low)) (i32.store (i32.const 20) (global.get $much))",
        "(drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 24)))",
    ),
    (
        "writes of a thousand parts",
        "(local.set $n (i32.const 1024))
        (loop $parts
            (i32.store (i32.add (global.get $low) (i32.shl (local.get $n) (i32.const 3))) (global.get $high))
            (i32.store offset=4 (i32.add (global.get $low) (i32.shl (local.get $n) (i32.const 3))) (i32.const 1000))
            (br_if $parts (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))",
        "(drop (call $write (i32.const 1) (i32.add (global.get $low) (i32.const 8)) (i32.const 1024) (i32.const 24)))",
    ),
    (
        "paths of 64 MiB",
        "",
        "(drop (call $unlink (i32.const 3) (global.get $low) (global.get $much)))",
    ),
    (
        "polls of 4,096 clocks",
        "",
        "(drop (call $poll (global.get $low) (global.get $high) (i32.const 4096) (i32.const 16)))",
    ),
    (
        "messages of 64 MiB, sent and received",
        "",
        "(drop (call $mailbox.send (i64.load (i32.const 1024)) (i64.load (i32.const 1032)) (i64.const 5)
            (global.get $low) (global.get $much)))
        (drop (call $mailbox.receive (i32.const 0) (i32.const 0) (i32.const 2048) (global.get $high) (global.get $much) (i64.const 0)))
        (if (call $buffer.len) (then (call $buffer.take (global.get $high) (call $buffer.len))))",
    ),
    (
        "a receive that passes over a million messages",
        "(local.set $n (i32.const 1000000))
        (i64.store (i32.const 2100) (i64.const 99))
        (loop $messages
            (drop (call $mailbox.send (i64.load (i32.const 1024)) (i64.load (i32.const 1032)) (i64.extend_i32_u (local.get $n))
                (global.get $low) (i32.const 0)))
            (br_if $messages (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))",
        "(drop (call $mailbox.receive (i32.const 2100) (i32.const 1) (i32.const 2048) (global.get $high) (i32.const 8) (i64.const 0)))",
    ),
];

/// Calls of processes with 1 MiB and 1 MiB each, so that many fit into a budget.
const MANY: &[Call] = &[
    (
        "broadcasts of 1 MiB to 100 members",
        "(local.set $n (i32.const 100))
        (loop $members
            (drop (call $process.spawn_closure (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 2064)))
            (drop (call $registry.join_group (i32.const 1024) (i32.const 4) (i64.load (i32.const 2064)) (i64.load (i32.const 2072))))
            (br_if $members (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))",
        "(drop (call $registry.broadcast (i32.const 1024) (i32.const 4) (i64.const 5) (global.get $low) (i32.const 1048576)))",
    ),
    (
        "questions of 1 MiB",
        "",
        "(drop (call $rights.allows (global.get $low) (i32.const 1048576)))",
    ),
    (
        "configurations of 64 KiB",
        "(memory.fill (global.get $low) (i32.const 97) (i32.const 65535))
        (i64.store (i32.const 2240) (i64.extend_i32_u (global.get $low)))
        (i32.store (i32.const 2248) (i32.const 65536))",
        "(drop (call $process.spawn (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 2200) (i32.const 2300)))",
    ),
    // `env=aaaa=`, with other letters each, and in the first other letters each time.
    (
        "configurations of 4,000 variables",
        "(local.set $n (i32.const 4000))
        (loop $variables
            (local.set $n (i32.sub (local.get $n) (i32.const 1)))
            (local.set $at (i32.add (global.get $low) (i32.mul (local.get $n) (i32.const 10))))
            (i32.store (local.get $at) (i32.const 0x3d766e65))
            (i32.store offset=4 (local.get $at) (call $letters (local.get $n)))
            (i32.store16 offset=8 (local.get $at) (i32.const 0x3d))
            (br_if $variables (local.get $n)))
        (i64.store (i32.const 2240) (i64.extend_i32_u (global.get $low)))
        (i32.store (i32.const 2248) (i32.const 40000))",
        "(i32.store offset=4 (global.get $low) (call $letters (i32.wrap_i64 (local.get $number))))
        (local.set $number (i64.add (local.get $number) (i64.const 1)))
        (drop (call $process.spawn (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 2200) (i32.const 2300)))",
    ),
    // `dir=/data::/aaaa`.
    (
        "configurations of 1,000 folders",
        "(local.set $n (i32.const 1000))
        (loop $folders
            (local.set $n (i32.sub (local.get $n) (i32.const 1)))
            (local.set $at (i32.add (global.get $low) (i32.mul (local.get $n) (i32.const 17))))
            (i64.store (local.get $at) (i64.const 0x7461642f3d726964))
            (i32.store offset=8 (local.get $at) (i32.const 0x2f3a3a61))
            (i32.store offset=12 (local.get $at) (call $letters (local.get $n)))
            (i32.store8 offset=16 (local.get $at) (i32.const 0))
            (br_if $folders (local.get $n)))
        (i64.store (i32.const 2240) (i64.extend_i32_u (global.get $low)))
        (i32.store (i32.const 2248) (i32.const 17000))",
        "(i32.store offset=12 (global.get $low) (call $letters (i32.wrap_i64 (local.get $number))))
        (local.set $number (i64.add (local.get $number) (i64.const 1)))
        (drop (call $process.spawn (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 2200) (i32.const 2300)))",
    ),
    (
        "processes that are spawned and killed",
        "",
        "(drop (call $process.spawn_closure (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 2064)))
        (drop (call $process.kill_handle (i64.load (i32.const 2064)) (i64.load (i32.const 2072))))",
    ),
    (
        "pairs of sockets, full of bytes",
        "",
        "(drop (call $net.unix_pair (i32.const 2064) (i32.const 2080)))
        (drop (call $net.try_write (i64.load (i32.const 2064)) (i64.load (i32.const 2072)) (global.get $low) (i32.const 1048576)))",
    ),
    (
        "pairs of sockets of a hundred children",
        "(local.set $n (i32.const 100))
        (loop $children
            (drop (call $process.spawn_closure (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 2064)))
            (br_if $children (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))",
        "(call $process.sleep_ns (i64.const -1))",
    ),
    (
        "modules that are compiled",
        "",
        "(i64.store (i32.sub (global.get $module_end) (i32.const 8)) (local.get $number))
        (local.set $number (i64.add (local.get $number) (i64.const 1)))
        (if (i32.eqz (call $module.compile (global.get $module) (i32.sub (global.get $module_end) (global.get $module)) (i32.const 2064)))
            (then (drop (call $module.drop (i64.load (i32.const 2064)) (i64.load (i32.const 2072))))))",
    ),
];

/// The first byte after the area that all of them use.
const LOW: u32 = 65_536;
/// The address of the module that is compiled.
const MODULE: u32 = 4096;
/// The functions of that module: some milliseconds of compiling.
const FUNCTIONS: u32 = 200;

pub(super) fn all() -> impl Iterator<Item = Attacker> {
    let long = LONG.iter().map(|call| (call, 64 << 20));
    let many = MANY.iter().map(|call| (call, 1 << 20));
    long.chain(many)
        .map(|(call, much)| Attacker::new(call.0, module(call, much)))
}

fn module((what, before, again): &Call, much: u32) -> Vec<u8> {
    let high = LOW + much;
    let pages = (high + much) >> 16;
    let compiled = compiled();
    let end = MODULE + compiled.len() as u32;
    let compiled = compiled.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "\\{byte:02x}");
        text
    });
    let text = format!(
        r#"(module
        (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "path_unlink_file" (func $unlink (param i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        {}
        (memory (export "memory") {pages})
        (global $low i32 (i32.const {LOW}))
        (global $high i32 (i32.const {high}))
        (global $much i32 (i32.const {much}))
        (global $module i32 (i32.const {MODULE}))
        (global $module_end i32 (i32.const {end}))
        (data (i32.const {MODULE}) "{compiled}")
        (table 3 funcref)
        (elem (i32.const 1) $waits $sockets)
        (func $waits (call $process.sleep_ns (i64.const -1)))
        (func $sockets (local $n i32)
            (local.set $n (i32.const 2000))
            (loop $again
                (drop (call $net.unix_pair (i32.const 2064) (i32.const 2080)))
                (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
            (call $waits))
        ;; Four letters for each 16 bits.
        (func $letters (param $number i32) (result i32)
            (i32.add (i32.const 0x61616161) (i32.or
                (i32.or (i32.and (local.get $number) (i32.const 0x0f))
                    (i32.shl (i32.and (local.get $number) (i32.const 0xf0)) (i32.const 4)))
                (i32.or (i32.shl (i32.and (local.get $number) (i32.const 0x0f00)) (i32.const 8))
                    (i32.shl (i32.and (local.get $number) (i32.const 0xf000)) (i32.const 12))))))
        (func (export "_start") (local $n i32) (local $at i32) (local $number i64)
            {}))"#,
        imports::declarations(),
        endlessly(before, again)
    );
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{what}: {error}"))
}

/// A module whose last eight bytes have no meaning, so that changing them makes a different module.
fn compiled() -> Vec<u8> {
    let function =
        "(func (param i32) (result i32) (local.get 0) (i32.const 3) (i32.mul) (local.get 0) (i32.xor) (i32.popcnt))";
    let text = format!(
        "(module (func (export \"_start\")) {})",
        function.repeat(FUNCTIONS as usize)
    );
    let mut wasm = wat::parse_str(&text).unwrap_or_else(|error| panic!("what is compiled: {error}"));
    // A section of 9 bytes with an empty name.
    wasm.extend([0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    wasm
}
