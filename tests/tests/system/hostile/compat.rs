//! The interface of Lunatic 0.13: bad pointers, and numbers of resources that do not exist.

use std::fmt::Write;

use lunatic_host::ExitReason;
use lunatic_tests::host::Host;

use super::{BAD_RANGES, arguments, bad_places, call};
use crate::imports::{self, Import, Kind};

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
