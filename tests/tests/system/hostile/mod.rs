//! Guests that call the host as no compiler would: what a call may not do, it does not, and nobody but the caller is
//! harmed.

#[cfg(feature = "compat")]
mod compat;
mod entries;
mod handles;
mod order;
mod pointers;
mod transfers;

use lunatic_host::ExitReason;
use lunatic_tests::host::Host;

use crate::imports::{self, Import, Kind};

/// What all modules here begin with: the contract, one page of memory (64 KiB) and a way to end with a code.
fn prelude() -> String {
    let exit = "(import \"wasi_snapshot_preview1\" \"proc_exit\" (func $exit (param i32)))\n";
    let declarations = imports::declarations();
    format!(
        r#"{exit}{declarations}
        (memory (export "memory") 1)
        ;; Ends the process with `code` unless the two are equal.
        (func $expect (param $found i32) (param $expected i32) (param $code i32)
            (if (i32.ne (local.get $found) (local.get $expected)) (then (call $exit (local.get $code)))))
        "#
    )
}

/// Ranges that are not wholly inside a memory of 64 KiB, as pointer and length.
const BAD_RANGES: [(u32, u32); 11] = [
    (0x1_0000, 1),
    (0x1_0001, 0),
    (0xffff, 2),
    (0, 0x1_0001),
    (1, 0xffff_ffff),
    (0xffff_ffff, 0),
    (0xffff_ffff, 1),
    (0xffff_ffff, 0xffff_ffff),
    (0xffff_fff0, 0x20),
    (0x8000_0000, 0x8000_0000),
    (0x7fff_ffff, 0x7fff_ffff),
];

/// Places where so many bytes are not wholly inside a memory of 64 KiB.
fn bad_places(size: u32) -> [u32; 7] {
    [
        0x1_0001 - size,
        0xffff,
        0x1_0000,
        0x7fff_ffff,
        0x8000_0000,
        0xffff_fff0,
        0xffff_ffff,
    ]
}

/// The arguments of a call in the text format. `handle` stands in place of the first two if the function takes one; the
/// pointer that is parameter number `at`, with its length, becomes `range`. Everything else is harmless: 16 bytes at
/// 1024, a handle at 2048, no waiting, no bound, entry 1 of the table.
fn arguments(import: &Import, handle: &str, at: Option<usize>, range: (u32, u32)) -> String {
    let mut text = String::new();
    let mut parameters = import.parameters.iter().enumerate();
    if import.takes_handle() {
        text.push_str(handle);
        parameters.nth(1);
    }
    while let Some((index, parameter)) = parameters.next() {
        let bad = at == Some(index);
        let values = match parameter.kind {
            Kind::Elements => {
                parameters.next().expect("bytes have a length");
                let (pointer, len) = if bad { range } else { (1024, 16) };
                format!(" (i32.const {pointer}) (i32.const {len})")
            }
            Kind::Place(_) => format!(" (i32.const {})", if bad { range.0 } else { 2048 }),
            Kind::Word => " (i32.const 1)".to_owned(),
            Kind::Long => " (i64.const 0)".to_owned(),
            Kind::Double => " (f64.const 0)".to_owned(),
        };
        text.push_str(&values);
    }
    text
}

/// A call whose result does not matter.
fn call(import: &Import, arguments: &str) -> String {
    let call = format!("(call ${}{arguments})", import.label());
    if import.result.is_empty() {
        call
    } else {
        format!("(drop {call})")
    }
}

/// The handle in the first 16 bytes, as arguments.
const GIVEN: &str = " (i64.load (i32.const 0)) (i64.load (i32.const 8))";
/// One that differs from it in one bit, and so was never given out.
const FORGED: &str = " (i64.load (i32.const 0)) (i64.xor (i64.load (i32.const 8)) (i64.const 1))";

/// Runs `main` of a module whose table has these entries.
#[track_caller]
fn check(host: &Host, table: &str, functions: &str) {
    let spawn = r#"
        ;; Spawns `entry` with the first `len` bytes of the memory; its handle goes to 64.
        (func $spawn (param $entry i32) (param $len i32)
            (call $expect
                (call $process.spawn_closure (local.get $entry) (i32.const 0) (local.get $len) (i32.const 64))
                (i32.const 0) (i32.const 101)))
        ;; Waits for its end.
        (func $join (result i32)
            (call $process.join (i64.load (i32.const 64)) (i64.load (i32.const 72)) (i64.const -1)))
    "#;
    let text = format!("(module {}{spawn}(table {table}){functions})", prelude());
    let ended = host.program(text.as_bytes()).entry("main").run();
    assert_eq!(ended.reason, ExitReason::Normal, "{ended}");
}
