//! Pointers: each parameter of each function, with ranges that are not inside the memory. The caller traps, and nothing
//! else happens.

use std::fmt::Write;

use lunatic_host::ExitReason;
use lunatic_tests::host::Host;

use super::{BAD_RANGES, FORGED, GIVEN, arguments, bad_places, call, prelude};
use crate::imports::{self, Import, Kind};

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
