//! Handles: forged ones, and those of processes and channels that have ended, for each function that takes a handle.

use std::fmt::Write;

use lunatic_host::ExitReason;
use lunatic_tests::host::Host;

use super::{FORGED, GIVEN, arguments, prelude};
use crate::imports::{self, Import};

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
        "the next use of the slot",
        " (i64.add (i64.load (i32.const 0)) (i64.const 0x4000000)) (i64.load (i32.const 8))",
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
        | "process.monitor"
        | "node.of"
        | "node.is_alive" => 0,
        "rights.usage" | "inspect.process" => -2,
        "rights.take_output" => -4,
        "mailbox.send" | "registry.register" | "registry.join_group" | "registry.leave_group" | "timer.send_after" => {
            -2
        }
        // Without a cluster, no process is on another node, and none has a global name.
        "node.room" | "node.register" | "node.join_group" | "node.leave_group" => -2,
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
