//! Guests that call the host as no compiler would: what a call may not do, it does not, and nobody but the caller is
//! harmed.

use std::fmt::Write;

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

/// A call with one bad pointer.
struct BadCall<'a> {
    import: &'a Import,
    handle: &'static str,
    /// Which parameter is bad.
    at: usize,
    range: (u32, u32),
    /// How many messages the channel holds meanwhile.
    messages: u32,
}

/// Every pointer of every function, with every bad range, on channels with and without messages, with a good handle and
/// a forged one.
fn bad_calls() -> Vec<BadCall<'static>> {
    let mut calls = Vec::new();
    for import in imports::all() {
        for (at, parameter) in import.parameters.iter().enumerate() {
            let ranges = match parameter.kind {
                Kind::Elements => BAD_RANGES.to_vec(),
                Kind::Place(size) => bad_places(size).map(|place| (place, size)).to_vec(),
                Kind::Word | Kind::Long | Kind::Double => continue,
            };
            let states: &[_] = if import.takes_handle() {
                &[(GIVEN, 1), (GIVEN, 0), (FORGED, 1)]
            } else {
                &[(GIVEN, 1)]
            };
            for range in ranges {
                calls.extend(states.iter().map(|&(handle, messages)| BadCall {
                    import,
                    handle,
                    at,
                    range,
                    messages,
                }));
            }
        }
    }
    calls
}

/// A module that makes these calls, each in a child, and looks what has happened: the child must have trapped, the
/// channel must hold what it held before, and nobody may have been spawned. The call number N is the export `case N`.
fn module_of(calls: &[BadCall<'_>]) -> String {
    let mut text = prelude();
    let names: String = (0..calls.len()).map(|number| format!(" $case{number}")).collect();
    let _ = write!(
        text,
        r#"
        (table funcref (elem $nothing $tell{names}))
        (func $nothing)
        ;; Adds a message of 3 bytes to the channel whose handle it was given.
        (func $tell
            (call $process.captured (i32.const 0) (i32.const 16))
            (drop (call $channel.try_send{GIVEN} (i32.const 0) (i32.const 3))))
        ;; Spawns an entry with the channel's handle and waits for its end, which must be `reason`.
        (func $run (param $entry i32) (param $reason i32) (param $code i32)
            (call $expect
                (call $process.spawn_closure (local.get $entry) (i32.const 0) (i32.const 16) (i32.const 64))
                (i32.const 0) (local.get $code))
            (call $expect
                (call $process.join (i64.load (i32.const 64)) (i64.load (i32.const 72)) (i64.const -1))
                (local.get $reason) (local.get $code)))
        (func $check (param $entry i32) (param $messages i32)
            (call $expect (call $channel.new (i64.const 0) (i32.const 0)) (i32.const 0) (i32.const 1))
            (if (local.get $messages) (then
                (call $expect (call $channel.try_send{GIVEN} (i32.const 512) (i32.const 5)) (i32.const 0) (i32.const 2))))
            (call $run (local.get $entry) (i32.const 3) (i32.const 3))
            ;; With one worker, who was spawned first has run first: anyone whom the child spawned, before this one ends.
            (call $run (i32.const 0) (i32.const 0) (i32.const 4))
            (if (local.get $messages) (then
                (call $expect (call $channel.try_receive{GIVEN} (i32.const 256) (i32.const 16)) (i32.const 5) (i32.const 5))))
            (call $expect (call $channel.try_receive{GIVEN} (i32.const 256) (i32.const 16)) (i32.const -4) (i32.const 6)))
        "#
    );
    for (
        number,
        BadCall {
            import,
            handle,
            at,
            range,
            messages,
        },
    ) in calls.iter().enumerate()
    {
        let call = call(import, &arguments(import, handle, Some(*at), *range));
        // What is under test must be the first call that can trap.
        let fetch = match import.name.as_str() {
            "captured" => "",
            _ => "(call $process.captured (i32.const 0) (i32.const 16))",
        };
        let entry = number + 2;
        let _ = write!(
            text,
            r#"
            (func $case{number}
                {fetch}
                (memory.copy (i32.const 1024) (i32.const 0) (i32.const 16))
                {call})
            (func (export "case {number}") (call $check (i32.const {entry}) (i32.const {messages})))
            "#
        );
    }
    format!("(module {text})")
}

/// What the exit codes of the module above mean.
const STEPS: [&str; 7] = [
    "",
    "no channel could be made",
    "no message could be sent",
    "the caller did not trap",
    "nobody could be spawned",
    "the message was lost",
    "something has happened",
];

#[test]
fn a_bad_pointer_traps_the_caller_and_does_nothing_else() {
    let host = Host::with_one_worker();
    let calls = bad_calls();
    assert!(calls.len() > 100);
    let module = host.load(module_of(&calls).as_bytes()).unwrap();
    let mut failures = String::new();
    for (
        number,
        BadCall {
            import,
            at,
            range,
            messages,
            handle,
        },
    ) in calls.iter().enumerate()
    {
        let ended = host.loaded(&module).entry(&format!("case {number}")).run();
        let what = match ended.reason {
            ExitReason::Normal => continue,
            ExitReason::Exit(code) => STEPS.get(code as usize).unwrap_or(&"?").to_string(),
            other => other.to_string(),
        };
        let name = &import.parameters[*at].name;
        let forged = if *handle == FORGED { "forged" } else { "good" };
        let _ = writeln!(
            failures,
            "{}, {name} = {range:#x?}, {forged} handle, {messages} messages: {what}",
            import.label()
        );
    }
    assert!(
        failures.is_empty(),
        "\n{}",
        failures
            .replace("(\n    ", "(")
            .replace(",\n    ", ", ")
            .replace(",\n)", ")")
    );
}

/// Handles that were never given out, made from a good one in the first 16 bytes and one of the other kind behind it.
const FORGERIES: [(&str, &str); 9] = [
    ("a bit of the key", FORGED),
    (
        "another bit of the key",
        " (i64.load (i32.const 0)) (i64.xor (i64.load (i32.const 8)) (i64.const 0x8000000000000000))",
    ),
    (
        "the next id",
        " (i64.add (i64.load (i32.const 0)) (i64.const 1)) (i64.load (i32.const 8))",
    ),
    (
        "the next generation",
        " (i64.add (i64.load (i32.const 0)) (i64.const 0x100000000)) (i64.load (i32.const 8))",
    ),
    ("no key", " (i64.load (i32.const 0)) (i64.const 0)"),
    ("nothing", " (i64.const 0) (i64.const 0)"),
    ("all ones", " (i64.const -1) (i64.const -1)"),
    (
        "id and key exchanged",
        " (i64.load (i32.const 8)) (i64.load (i32.const 0))",
    ),
    ("the other kind", " (i64.load (i32.const 16)) (i64.load (i32.const 24))"),
];

/// The functions that take a handle, and how a module gets the one it takes into the first 16 bytes.
fn with_handles() -> impl Iterator<Item = (&'static Import, String)> {
    imports::all()
        .iter()
        .filter(|import| import.takes_handle())
        .map(|import| {
            let (channel, process) = if import.namespace == "lunatic::channel" {
                (0, 16)
            } else {
                (16, 0)
            };
            let make = format!(
                "(call $expect (call $channel.new (i64.const 1) (i32.const {channel})) (i32.const 0) (i32.const 1))
            (call $process.this (i32.const {process}))"
            );
            (import, make)
        })
}

#[test]
fn a_forged_handle_is_invalid_for_every_function() {
    let mut text = prelude();
    let mut cases = Vec::new();
    for (import, make) in with_handles() {
        for (what, handle) in FORGERIES {
            let call = format!("(call ${}{})", import.label(), arguments(import, handle, None, (0, 0)));
            let number = cases.len();
            let _ = writeln!(
                text,
                "(func (export \"case {number}\") {make} (call $expect {call} (i32.const -1) (i32.const 2)))"
            );
            cases.push((import.label(), what));
        }
    }
    assert!(cases.len() >= 60, "{}", cases.len());
    let host = Host::shared();
    let module = host.load(format!("(module {text})").as_bytes()).unwrap();
    for (number, (function, what)) in cases.iter().enumerate() {
        let ended = host.loaded(&module).entry(&format!("case {number}")).run();
        assert_eq!(
            ended.reason,
            ExitReason::Normal,
            "{function}, forged by {what}: {ended}"
        );
    }
}

#[test]
fn handles_of_what_has_ended_are_known_as_such() {
    // What each function says of a channel whose maker has ended, or of a process that has ended.
    let expected = |import: &Import| match import.label().as_str() {
        "channel.send" | "channel.try_send" | "channel.receive" | "channel.try_receive" => -2,
        "process.is_alive"
        | "process.kill_handle"
        | "process.join"
        | "process.exit_signal"
        | "process.link"
        | "process.unlink"
        | "process.monitor" => 0,
        "rights.usage" => -2,
        "rights.take_output" => -4,
        "mailbox.send" | "registry.register" | "registry.join_group" | "registry.leave_group" | "timer.send_after" => {
            -2
        }
        // It is no handle of a module.
        "module.drop" | "module.spawn_export" => -1,
        // It is no handle of a socket.
        net if net.starts_with("net.") => -1,
        // The reference is none that is open.
        "mailbox.call" => -1,
        other => panic!("what does {other} say of what has ended? docs/abi.md has to tell, and then this test"),
    };
    let mut text = prelude();
    let _ = write!(
        text,
        r#"
        (table funcref (elem $make))
        ;; Makes a channel with a message in it, tells its handle through the channel that it was given, and ends.
        (func $make
            (call $process.captured (i32.const 0) (i32.const 16))
            (drop (call $channel.new (i64.const 1) (i32.const 32)))
            (drop (call $channel.try_send (i64.load (i32.const 32)) (i64.load (i32.const 40)) (i32.const 0) (i32.const 3)))
            (drop (call $channel.try_send{GIVEN} (i32.const 32) (i32.const 16))))
        ;; Puts the handles of that channel and of its maker to 256 and 272.
        (func $ended
            ;; The exit that a link to an ended process causes is not to end this one.
            (drop (call $process.trap_exit (i32.const 1)))
            (call $expect (call $channel.new (i64.const 0) (i32.const 0)) (i32.const 0) (i32.const 1))
            (call $expect
                (call $process.spawn_closure (i32.const 0) (i32.const 0) (i32.const 16) (i32.const 272))
                (i32.const 0) (i32.const 2))
            (call $expect
                (call $process.join (i64.load (i32.const 272)) (i64.load (i32.const 280)) (i64.const -1))
                (i32.const 0) (i32.const 3))
            (call $expect (call $channel.try_receive{GIVEN} (i32.const 256) (i32.const 16)) (i32.const 16) (i32.const 4)))
        "#
    );
    let functions: Vec<_> = with_handles().map(|(import, _)| import).collect();
    for (number, import) in functions.iter().enumerate() {
        let at = if import.namespace == "lunatic::channel" {
            256
        } else {
            272
        };
        let handle = format!(" (i64.load (i32.const {at})) (i64.load (i32.const {}))", at + 8);
        let call = format!("(call ${}{})", import.label(), arguments(import, &handle, None, (0, 0)));
        let _ = writeln!(
            text,
            "(func (export \"case {number}\")
                (call $ended)
                (call $expect {call} (i32.const {code}) (i32.const 5))
                (call $expect {call} (i32.const {code}) (i32.const 6)))",
            code = expected(import)
        );
    }
    let host = Host::shared();
    let module = host.load(format!("(module {text})").as_bytes()).unwrap();
    for (number, import) in functions.iter().enumerate() {
        let ended = host.loaded(&module).entry(&format!("case {number}")).run();
        assert_eq!(ended.reason, ExitReason::Normal, "{}: {ended}", import.label());
    }
}

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

#[test]
fn an_entry_that_is_no_function_of_the_right_type_traps_the_child() {
    let table = "8 funcref) (elem (i32.const 0) $good $takes $returns) (func $good) (func $takes (param i64)) \
                 (func $returns (result i32) i32.const 0) (func $nothing";
    let mut cases = String::new();
    for (entry, reason) in [
        (0_i32, 0),
        (1, 3),
        (2, 3),
        (3, 3),
        (7, 3),
        (8, 3),
        (1_000_000, 3),
        (i32::MAX, 3),
        (i32::MIN, 3),
        (-2, 3),
        (-1, 3),
    ] {
        // Twice: in an instance made for it, and where one is used again.
        for _ in 0..2 {
            let _ = writeln!(
                cases,
                "(call $spawn (i32.const {entry}) (i32.const 0))
                (call $expect (call $join) (i32.const {reason}) (i32.const {}))",
                100 - entry.clamp(-3, 60)
            );
        }
    }
    check(
        &Host::with_one_worker(),
        table,
        &format!("(func (export \"main\") {cases})"),
    );
    check(Host::shared(), table, &format!("(func (export \"main\") {cases})"));
}

#[test]
fn wrong_entries_among_good_ones_harm_nobody() {
    // 1,000 processes are queued before the first one runs, each third with a wrong entry: all good ones are heard.
    let functions = r#"
        (func $good
            (call $process.captured (i32.const 0) (i32.const 16))
            (call $expect (call $channel.try_send (i64.load (i32.const 0)) (i64.load (i32.const 8)) (i32.const 0) (i32.const 1)) (i32.const 0) (i32.const 1)))
        (func (export "main") (local $left i32) (local $heard i32)
            (drop (call $channel.new (i64.const 0) (i32.const 0)))
            (local.set $left (i32.const 1000))
            (loop $again
                (local.set $left (i32.sub (local.get $left) (i32.const 1)))
                (call $spawn (i32.sub (i32.rem_u (local.get $left) (i32.const 3)) (i32.const 1)) (i32.const 16))
                (br_if $again (local.get $left)))
            (loop $hear
                (call $expect
                    (call $channel.receive (i64.load (i32.const 0)) (i64.load (i32.const 8)) (i32.const 512) (i32.const 1) (i64.const -1))
                    (i32.const 1) (i32.const 2))
                (local.set $heard (i32.add (local.get $heard) (i32.const 1)))
                (br_if $hear (i32.lt_u (local.get $heard) (i32.const 333))))
            (call $expect
                (call $channel.receive (i64.load (i32.const 0)) (i64.load (i32.const 8)) (i32.const 512) (i32.const 1) (i64.const 1000000))
                (i32.const -5) (i32.const 3)))
    "#;
    // Entry -1 is beyond the table, 0 is good, 1 is none.
    check(
        &Host::with_one_worker(),
        "2 funcref) (elem (i32.const 0) $good) (func $nothing",
        functions,
    );
    check(
        Host::shared(),
        "2 funcref) (elem (i32.const 0) $good) (func $nothing",
        functions,
    );
}

#[test]
fn next_gives_a_guest_nothing() {
    let functions = r#"
        ;; Asks the host for entries as the host's own loop does, while processes wait to run.
        (func $ask (local $left i32)
            (local.set $left (i32.const 1000))
            (loop $again
                (call $expect (call $process.next) (i32.const -1) (i32.const 1))
                (local.set $left (i32.sub (local.get $left) (i32.const 1)))
                (br_if $again (local.get $left))))
        (func $child
            (call $ask)
            (call $process.captured (i32.const 0) (i32.const 16))
            (drop (call $channel.try_send (i64.load (i32.const 0)) (i64.load (i32.const 8)) (i32.const 0) (i32.const 1)))
            (call $ask))
        (func (export "main") (local $left i32)
            (call $ask)
            (drop (call $channel.new (i64.const 0) (i32.const 0)))
            (local.set $left (i32.const 100))
            (loop $again
                (call $spawn (i32.const 0) (i32.const 16))
                (call $ask)
                (local.set $left (i32.sub (local.get $left) (i32.const 1)))
                (br_if $again (local.get $left)))
            (local.set $left (i32.const 100))
            (loop $hear
                (call $expect
                    (call $channel.receive (i64.load (i32.const 0)) (i64.load (i32.const 8)) (i32.const 512) (i32.const 1) (i64.const -1))
                    (i32.const 1) (i32.const 2))
                (local.set $left (i32.sub (local.get $left) (i32.const 1)))
                (br_if $hear (local.get $left)))
            (call $expect (call $join) (i32.const 0) (i32.const 3)))
    "#;
    check(&Host::with_one_worker(), "funcref (elem $child)", functions);
    check(Host::shared(), "funcref (elem $child)", functions);
}

#[test]
fn captured_bytes_can_be_fetched_again_and_only_whole() {
    let functions = r#"
        (func $twice
            (call $process.captured (i32.const 0) (i32.const 8))
            (call $expect (i32.load (i32.const 0)) (i32.const 0x12345678) (i32.const 1))
            (call $process.captured (i32.const 32) (i32.const 8))
            (call $expect (i32.load (i32.const 32)) (i32.const 0x12345678) (i32.const 2))
            (call $expect (i32.load (i32.const 36)) (i32.const 0x0abcdef0) (i32.const 3)))
        (func $less (call $process.captured (i32.const 0) (i32.const 7)))
        (func $more (call $process.captured (i32.const 0) (i32.const 9)))
        (func $none (call $process.captured (i32.const 0) (i32.const 0)))
        (func $much (call $process.captured (i32.const 0) (i32.const -1)))
        (func (export "main") (local $entry i32)
            ;; The main process was spawned with nothing.
            (call $process.captured (i32.const 0) (i32.const 0))
            (i32.store (i32.const 0) (i32.const 0x12345678))
            (i32.store (i32.const 4) (i32.const 0x0abcdef0))
            (call $spawn (i32.const 0) (i32.const 8))
            (call $expect (call $join) (i32.const 0) (i32.const 4))
            (local.set $entry (i32.const 1))
            (loop $again
                (call $spawn (local.get $entry) (i32.const 8))
                (call $expect (call $join) (i32.const 3) (i32.add (i32.const 10) (local.get $entry)))
                (local.set $entry (i32.add (local.get $entry) (i32.const 1)))
                (br_if $again (i32.lt_u (local.get $entry) (i32.const 5)))))
    "#;
    check(
        Host::shared(),
        "funcref (elem $twice $less $more $none $much)",
        functions,
    );
    check(
        &Host::with_one_worker(),
        "funcref (elem $twice $less $more $none $much)",
        functions,
    );
}

#[test]
fn the_buffer_can_be_taken_once_and_only_whole() {
    let functions = r#"
        ;; Fills the buffer with a message of 8 bytes.
        (func $fill
            (drop (call $channel.new (i64.const 0) (i32.const 0)))
            (i64.store (i32.const 128) (i64.const 0x0102030405060708))
            (drop (call $channel.try_send (i64.load (i32.const 0)) (i64.load (i32.const 8)) (i32.const 128) (i32.const 8)))
            (call $expect (call $buffer.len) (i32.const 0) (i32.const 1))
            (call $expect
                (call $channel.try_receive (i64.load (i32.const 0)) (i64.load (i32.const 8)) (i32.const 256) (i32.const 7))
                (i32.const 8) (i32.const 2))
            (call $expect (call $buffer.len) (i32.const 8) (i32.const 3)))
        (func $good
            (call $fill)
            (call $buffer.take (i32.const 512) (i32.const 8))
            (call $expect (i64.eq (i64.load (i32.const 512)) (i64.const 0x0102030405060708)) (i32.const 1) (i32.const 4))
            (call $expect (call $buffer.len) (i32.const 0) (i32.const 5))
            ;; Empty, it can be taken as such.
            (call $buffer.take (i32.const 512) (i32.const 0)))
        (func $less (call $fill) (call $buffer.take (i32.const 0) (i32.const 7)))
        (func $more (call $fill) (call $buffer.take (i32.const 0) (i32.const 9)))
        (func $none (call $fill) (call $buffer.take (i32.const 0) (i32.const 0)))
        (func $much (call $fill) (call $buffer.take (i32.const 0) (i32.const -1)))
        (func $empty (call $buffer.take (i32.const 0) (i32.const 1)))
        (func $twice (call $good) (call $buffer.take (i32.const 0) (i32.const 8)))
        (func (export "main") (local $entry i32)
            (call $spawn (i32.const 0) (i32.const 0))
            (call $expect (call $join) (i32.const 0) (i32.const 6))
            (local.set $entry (i32.const 1))
            (loop $again
                (call $spawn (local.get $entry) (i32.const 0))
                (call $expect (call $join) (i32.const 3) (i32.add (i32.const 10) (local.get $entry)))
                (local.set $entry (i32.add (local.get $entry) (i32.const 1)))
                (br_if $again (i32.lt_u (local.get $entry) (i32.const 7)))))
    "#;
    check(
        Host::shared(),
        "funcref (elem $good $less $more $none $much $empty $twice)",
        functions,
    );
}

#[test]
fn limits_of_captures_and_messages_are_exact() {
    // 64 KiB and one byte more are captured, 256 MiB and one byte more are sent.
    let functions = r#"
        (func $nothing)
        (func (export "main")
            (call $expect (memory.grow (i32.const 4097)) (i32.const 1) (i32.const 1))
            (call $expect
                (call $process.spawn_closure (i32.const 0) (i32.const 0) (i32.const 65536) (i32.const 64))
                (i32.const 0) (i32.const 2))
            (call $expect (call $join) (i32.const 0) (i32.const 3))
            (call $expect
                (call $process.spawn_closure (i32.const 0) (i32.const 0) (i32.const 65537) (i32.const 64))
                (i32.const -6) (i32.const 4))
            (call $expect (i32.gt_u (call $buffer.len) (i32.const 10)) (i32.const 1) (i32.const 5))
            (drop (call $channel.new (i64.const 0) (i32.const 0)))
            (call $expect
                (call $channel.try_send (i64.load (i32.const 0)) (i64.load (i32.const 8)) (i32.const 0) (i32.const 0x10000001))
                (i32.const -6) (i32.const 6))
            (call $expect
                (call $channel.send (i64.load (i32.const 0)) (i64.load (i32.const 8)) (i32.const 0) (i32.const 0x10000001) (i64.const -1))
                (i32.const -6) (i32.const 7))
            (call $expect
                (call $channel.send (i64.load (i32.const 0)) (i64.load (i32.const 8)) (i32.const 0) (i32.const 0x10000000) (i64.const -1))
                (i32.const 0) (i32.const 8))
            (call $expect
                (call $channel.receive (i64.load (i32.const 0)) (i64.load (i32.const 8)) (i32.const 0) (i32.const 0x10000000) (i64.const -1))
                (i32.const 0x10000000) (i32.const 9)))
    "#;
    check(Host::shared(), "funcref (elem $nothing)", functions);
}

#[test]
fn senders_and_receivers_that_wait_are_served_in_the_order_in_which_they_came() {
    // With one worker nothing interrupts the children between the message that says that they come and their waiting.
    let functions = r#"
        ;; Gets the channel to say that it comes, and the channel to wait for. Sends its number, which follows them.
        (func $sender
            (call $process.captured (i32.const 0) (i32.const 40))
            (drop (call $channel.try_send (i64.load (i32.const 0)) (i64.load (i32.const 8)) (i32.const 32) (i32.const 1)))
            (call $expect
                (call $channel.send (i64.load (i32.const 16)) (i64.load (i32.const 24)) (i32.const 32) (i32.const 1) (i64.const -1))
                (i32.const 0) (i32.const 1)))
        ;; The same, but receives, and says so with its number and what it received.
        (func $receiver
            (call $process.captured (i32.const 0) (i32.const 40))
            (drop (call $channel.try_send (i64.load (i32.const 0)) (i64.load (i32.const 8)) (i32.const 32) (i32.const 1)))
            (call $expect
                (call $channel.receive (i64.load (i32.const 16)) (i64.load (i32.const 24)) (i32.const 33) (i32.const 1) (i64.const -1))
                (i32.const 1) (i32.const 1))
            (drop (call $channel.try_send (i64.load (i32.const 0)) (i64.load (i32.const 8)) (i32.const 32) (i32.const 2))))
        ;; Receives `len` bytes to 256.
        (func $get (param $channel i32) (param $len i32)
            (call $expect
                (call $channel.receive (i64.load (local.get $channel)) (i64.load offset=8 (local.get $channel))
                    (i32.const 256) (i32.const 16) (i64.const -1))
                (local.get $len) (i32.const 2)))
        ;; Spawns 50 children one after the other, each when the former waits.
        (func $spawn_all (param $entry i32) (local $number i32)
            (loop $again
                (i32.store8 (i32.const 32) (local.get $number))
                (call $spawn (local.get $entry) (i32.const 40))
                (call $get (i32.const 0) (i32.const 1))
                (local.set $number (i32.add (local.get $number) (i32.const 1)))
                (br_if $again (i32.lt_u (local.get $number) (i32.const 50)))))
        (func (export "main") (local $number i32)
            (drop (call $channel.new (i64.const 0) (i32.const 0)))
            (drop (call $channel.new (i64.const 1) (i32.const 16)))
            (i32.store8 (i32.const 48) (i32.const 99))
            (drop (call $channel.try_send (i64.load (i32.const 16)) (i64.load (i32.const 24)) (i32.const 48) (i32.const 1)))
            (call $spawn_all (i32.const 0))
            (call $get (i32.const 16) (i32.const 1))
            (loop $again
                (call $get (i32.const 16) (i32.const 1))
                (call $expect (i32.load8_u (i32.const 256)) (local.get $number) (i32.const 10))
                (local.set $number (i32.add (local.get $number) (i32.const 1)))
                (br_if $again (i32.lt_u (local.get $number) (i32.const 50))))
            ;; Now the channel is empty, and all wait to receive from it.
            (call $spawn_all (i32.const 1))
            (local.set $number (i32.const 0))
            (loop $again
                (i32.store8 (i32.const 48) (i32.add (local.get $number) (i32.const 100)))
                (call $expect
                    (call $channel.send (i64.load (i32.const 16)) (i64.load (i32.const 24)) (i32.const 48) (i32.const 1) (i64.const -1))
                    (i32.const 0) (i32.const 11))
                (local.set $number (i32.add (local.get $number) (i32.const 1)))
                (br_if $again (i32.lt_u (local.get $number) (i32.const 50))))
            (local.set $number (i32.const 0))
            (loop $again
                (call $get (i32.const 0) (i32.const 2))
                (call $expect
                    (i32.sub (i32.load8_u (i32.const 257)) (i32.load8_u (i32.const 256)))
                    (i32.const 100) (i32.const 12))
                (local.set $number (i32.add (local.get $number) (i32.const 1)))
                (br_if $again (i32.lt_u (local.get $number) (i32.const 50)))))
    "#;
    check(&Host::with_one_worker(), "funcref (elem $sender $receiver)", functions);
}

#[test]
fn a_process_that_is_killed_before_it_runs_does_nothing() {
    let functions = r#"
        (func $tell
            (call $process.captured (i32.const 0) (i32.const 16))
            (drop (call $channel.try_send (i64.load (i32.const 0)) (i64.load (i32.const 8)) (i32.const 0) (i32.const 1))))
        (func (export "main")
            (drop (call $channel.new (i64.const 0) (i32.const 0)))
            ;; With one worker it cannot run before it is killed.
            (call $spawn (i32.const 0) (i32.const 16))
            (call $expect (call $process.kill_handle (i64.load (i32.const 64)) (i64.load (i32.const 72))) (i32.const 0) (i32.const 1))
            (call $expect (call $join) (i32.const 4) (i32.const 2))
            (call $expect (call $process.is_alive (i64.load (i32.const 64)) (i64.load (i32.const 72))) (i32.const 0) (i32.const 3))
            (call $expect
                (call $channel.try_receive (i64.load (i32.const 0)) (i64.load (i32.const 8)) (i32.const 256) (i32.const 1))
                (i32.const -4) (i32.const 4)))
    "#;
    check(&Host::with_one_worker(), "funcref (elem $tell)", functions);
}

#[test]
fn spawning_does_not_wait_for_the_child() {
    let functions = r#"
        (func $tell
            (call $process.captured (i32.const 0) (i32.const 16))
            (drop (call $channel.try_send (i64.load (i32.const 0)) (i64.load (i32.const 8)) (i32.const 0) (i32.const 1))))
        (func $heard (result i32)
            (call $channel.try_receive (i64.load (i32.const 0)) (i64.load (i32.const 8)) (i32.const 256) (i32.const 1)))
        (func (export "main") (local $heard i32) (local $alive i32)
            (drop (call $channel.new (i64.const 0) (i32.const 0)))
            (call $spawn (i32.const 0) (i32.const 16))
            ;; With one worker it cannot have run yet. A call of a function of its own could end the time slice: there is none.
            (local.set $heard
                (call $channel.try_receive (i64.load (i32.const 0)) (i64.load (i32.const 8)) (i32.const 256) (i32.const 1)))
            (local.set $alive (call $process.is_alive (i64.load (i32.const 64)) (i64.load (i32.const 72))))
            (call $expect (local.get $heard) (i32.const -4) (i32.const 1))
            (call $expect (local.get $alive) (i32.const 1) (i32.const 2))
            ;; Who gives way lets it run, at some time.
            (loop $again
                (call $process.yield_now)
                (br_if $again (i32.eq (call $heard) (i32.const -4)))))
    "#;
    check(&Host::with_one_worker(), "funcref (elem $tell)", functions);
}

#[test]
fn what_a_module_without_next_spawns_traps_and_says_what_is_missing() {
    let wat = r#"(module
        (import "lunatic::process" "spawn_closure" (func $spawn (param i32 i32 i32 i32) (result i32)))
        (import "lunatic::process" "join" (func $join (param i64 i64 i64) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1)
        (table funcref (elem $nothing))
        (func $nothing)
        (func (export "_start")
            (if (call $spawn (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 64)) (then (call $exit (i32.const 100))))
            (call $exit (call $join (i64.load (i32.const 64)) (i64.load (i32.const 72)) (i64.const -1)))))"#;
    let ended = Host::shared().program(wat.as_bytes()).run();
    assert_eq!(ended.reason, ExitReason::Exit(3), "{ended}");
    ended.reports("it does not import lunatic::process::next");
}

/// A child of one system leaves its instance to the main process of the next system of the same module.
#[test]
fn the_main_process_finds_nothing_in_an_instance_that_was_used() {
    let text = format!(
        r#"(module {}
        (table funcref (elem $stain))
        (func $stain
            (i32.store (i32.const 1000) (i32.const 1))
            (i32.store (i32.const 40000) (i32.const 1)))
        (func (export "_start")
            (call $expect (i32.load (i32.const 1000)) (i32.const 0) (i32.const 1))
            (call $expect (i32.load (i32.const 40000)) (i32.const 0) (i32.const 2))
            (call $expect
                (call $process.spawn_closure (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 64))
                (i32.const 0) (i32.const 3))
            (drop (call $process.join (i64.load (i32.const 64)) (i64.load (i32.const 72)) (i64.const -1)))))"#,
        prelude()
    );
    let host = Host::with_one_worker();
    let module = host.load(text.as_bytes()).unwrap();
    for _ in 0..20 {
        host.loaded(&module).run().normal();
    }
}

/// Calls of the interface of Lunatic 0.13 that need not look at a bad pointer, as what they would do with it does not
/// come about.
const UNSEEN: [&str; 4] = [
    // There is nothing to wait for without tags.
    "message.receive",
    // Nothing goes wrong.
    "distributed.exec_lookup_nodes",
    // There is no such query, no such name.
    "distributed.copy_lookup_nodes_results",
    "registry.get",
];

/// One bad pointer of a function of that interface.
fn bad_compat_calls() -> Vec<(&'static Import, usize, (u32, u32))> {
    let mut calls = Vec::new();
    for import in imports::compat() {
        for (at, parameter) in import.parameters.iter().enumerate() {
            let ranges = match parameter.kind {
                Kind::Elements => BAD_RANGES.to_vec(),
                Kind::Place(size) => bad_places(size).map(|place| (place, size)).to_vec(),
                Kind::Word | Kind::Long | Kind::Double => continue,
            };
            calls.extend(ranges.into_iter().map(|range| (import, at, range)));
        }
    }
    calls
}

#[test]
fn a_bad_pointer_traps_the_caller_in_the_old_interface_too() {
    let host = Host::with_one_worker();
    let calls = bad_compat_calls();
    let mut text = imports::declarations_of(imports::compat());
    text += r#"(memory (export "memory") 1)
        (func (export "lunatic_alloc") (param i32) (result i32) (i32.const 512))
        (func (export "_lunatic_catch_trap") (param i32 i32) (result i32) (i32.const 7))"#;
    for (number, (import, at, range)) in calls.iter().enumerate() {
        let call = call(import, &arguments(import, "", Some(*at), *range));
        let _ = write!(
            text,
            r#"(func (export "case {number}")
                (call $message.create_data (i64.const 1) (i64.const 0))
                (drop (call $process.create_config))
                (drop (call $sqlite.open (i32.const 0) (i32.const 0) (i32.const 8)))
                {call})"#
        );
    }
    let module = host.load(format!("(module {text})").as_bytes()).unwrap();
    let mut failures = String::new();
    for (number, (import, at, range)) in calls.iter().enumerate() {
        let ended = host.loaded(&module).entry(&format!("case {number}")).run();
        let is_seen = !UNSEEN.contains(&import.label().as_str());
        match ended.reason {
            ExitReason::Trap(_) => {}
            ExitReason::Normal if !is_seen => {}
            other => {
                let name = &import.parameters[*at].name;
                let _ = writeln!(failures, "{}, {name} = {range:x?}: {other}", import.label());
            }
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
}

/// Numbers of nothing, in each function that takes one.
#[test]
fn a_number_of_nothing_harms_nobody_in_the_old_interface() {
    let host = Host::with_one_worker();
    let mut text = imports::declarations_of(imports::compat());
    text += r#"(memory (export "memory") 1)"#;
    let mut names = Vec::new();
    for import in imports::compat() {
        for number in [0, 1, 7, i64::MAX, i64::MIN, -1] {
            let mut arguments =
                arguments(import, "", None, (0, 0)).replace("(i64.const 0)", &format!("(i64.const {number})"));
            // Nobody waits here.
            if let Some(end) = arguments
                .rfind(" (i64.const")
                .filter(|_| ["receive", "send_receive_skip_search"].contains(&&*import.name))
            {
                arguments.replace_range(end.., " (i64.const 0)");
            }
            if import.name == "sleep_ms" {
                continue;
            }
            let name = format!("{} {number}", import.label());
            let _ = write!(text, "(func (export \"{name}\") {})", call(import, &arguments));
            names.push(name);
        }
    }
    let module = host.load(format!("(module {text})").as_bytes()).unwrap();
    for name in names {
        let ended = host.loaded(&module).entry(&name).run();
        let is_fine = matches!(
            ended.reason,
            ExitReason::Normal
                | ExitReason::Trap(_)
                | ExitReason::Error(_)
                | ExitReason::Killed
                | ExitReason::NoProcess
        );
        assert!(is_fine, "{name}: {}", ended.reason);
    }
}
