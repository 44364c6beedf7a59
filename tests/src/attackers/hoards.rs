//! Guests that make the host keep as much as possible for them, and go on until their budget terminates them.

use crate::imports;

/// A hoard: what the main process does before and in an endless loop, and what its children do. At 1024 is a handle of
/// the main process, at 1040 of a channel without a bound, at 1056 of a child that waits; from 2048 on a reason with a
/// text of 65,536 bytes, from 1600 to 1608 a name that differs each time.
pub struct Hoard {
    /// What the host keeps.
    pub what: &'static str,
    before: &'static str,
    again: &'static str,
    child: &'static str,
}

const WAITS: &str = "(call $process.sleep_ns (i64.const -1))";
const SPAWN: &str = "(drop (call $process.spawn_closure (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 1056)))";

/// The hoards, one for each way.
pub const HOARDS: &[Hoard] = &[
    Hoard {
        what: "exit signals to itself",
        before: "(drop (call $process.trap_exit (i32.const 1)))",
        again: "(drop (call $process.exit_signal (i64.load (i32.const 1024)) (i64.load (i32.const 1032)) (i32.const 2048) (i32.const 65544)))",
        child: "",
    },
    Hoard {
        what: "exit signals from children that end",
        before: "(drop (call $process.trap_exit (i32.const 1)))",
        again: SPAWN,
        child: "(call $reason) (drop (call $process.parent (i32.const 1024)))
            (drop (call $process.exit_signal (i64.load (i32.const 1024)) (i64.load (i32.const 1032)) (i32.const 2048) (i32.const 65544)))",
    },
    Hoard {
        what: "links to processes that have ended",
        before: "(drop (call $process.trap_exit (i32.const 1))) (call $spawn) (call $join)",
        again: "(drop (call $process.link (i64.load (i32.const 1056)) (i64.load (i32.const 1064))))",
        child: "",
    },
    Hoard {
        what: "channels",
        before: "",
        again: "(drop (call $channel.new (i64.const 0) (i32.const 1040)))",
        child: "",
    },
    Hoard {
        what: "messages in a channel",
        before: "",
        again: "(drop (call $channel.try_send (i64.load (i32.const 1040)) (i64.load (i32.const 1048)) (i32.const 2048) (i32.const 60000)))",
        child: "",
    },
    Hoard {
        what: "short messages in a channel",
        before: "",
        again: "(drop (call $channel.try_send (i64.load (i32.const 1040)) (i64.load (i32.const 1048)) (i32.const 2048) (i32.const 8)))",
        child: "",
    },
    Hoard {
        what: "messages to itself",
        before: "",
        again: "(drop (call $mailbox.send (i64.load (i32.const 1024)) (i64.load (i32.const 1032)) (i64.const 7) (i32.const 2048) (i32.const 60000)))",
        child: "",
    },
    Hoard {
        what: "messages with a tag of their own each",
        before: "",
        again: "(call $name) (drop (call $mailbox.send (i64.load (i32.const 1024)) (i64.load (i32.const 1032)) (i64.load (i32.const 1600)) (i32.const 2048) (i32.const 8)))",
        child: "",
    },
    Hoard {
        what: "references",
        before: "",
        again: "(drop (call $mailbox.reference (i32.const 1056)))",
        child: "",
    },
    Hoard {
        what: "monitors of one process",
        before: "(call $spawn)",
        again: "(drop (call $process.monitor (i64.load (i32.const 1056)) (i64.load (i32.const 1064)) (i64.const 3) (i32.const 1072)))",
        child: WAITS,
    },
    Hoard {
        what: "monitors of a process that has ended",
        before: "(call $spawn) (call $join)",
        again: "(drop (call $process.monitor (i64.load (i32.const 1056)) (i64.load (i32.const 1064)) (i64.const 3) (i32.const 1072)))",
        child: "",
    },
    Hoard {
        what: "names",
        before: "",
        again: "(call $name) (drop (call $registry.register (i32.const 1600) (i32.const 200) (i64.load (i32.const 1024)) (i64.load (i32.const 1032))))",
        child: "",
    },
    Hoard {
        what: "groups",
        before: "",
        again: "(call $name) (drop (call $registry.join_group (i32.const 1600) (i32.const 200) (i64.load (i32.const 1024)) (i64.load (i32.const 1032))))",
        child: "",
    },
    Hoard {
        what: "timers far away",
        before: "",
        again: "(drop (call $timer.send_after (i64.load (i32.const 1024)) (i64.load (i32.const 1032)) (i64.const 7) (i32.const 2048) (i32.const 1000) (i64.const 1000000000000) (i64.const 0) (i32.const 1072)))",
        child: "",
    },
    Hoard {
        what: "captured values of children that have not run",
        before: "",
        again: "(drop (call $process.spawn_closure (i32.const 1) (i32.const 2048) (i32.const 65536) (i32.const 1056)))",
        child: WAITS,
    },
    Hoard {
        what: "captured output of children",
        // The configuration `stdout=capture`, with its zero byte, and where the options of the spawn say that it is.
        before: "(i64.store (i32.const 70000) (i64.const 0x633d74756f647473))
            (i64.store (i32.const 70008) (i64.const 0x657275747061))
            (i64.store (i32.const 70140) (i64.const 70000)) (i32.store (i32.const 70148) (i32.const 15))",
        again: "(drop (call $process.spawn (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 70100) (i32.const 70200)))",
        child: WAITS,
    },
    Hoard {
        what: "results that nobody fetches",
        before: "",
        again: SPAWN,
        child: "(call $reason) (drop (call $channel.new (i64.const 0) (i32.const 1040)))
            (drop (call $channel.try_send (i64.load (i32.const 1040)) (i64.load (i32.const 1048)) (i32.const 2048) (i32.const 65536)))
            (drop (call $channel.try_receive (i64.load (i32.const 1040)) (i64.load (i32.const 1048)) (i32.const 0) (i32.const 0)))
            (call $process.sleep_ns (i64.const -1))",
    },
    Hoard {
        what: "tables",
        before: "",
        again: "(drop (table.grow (ref.null func) (i32.const 1000)))",
        child: "",
    },
    Hoard {
        what: "tables of many children",
        before: "",
        again: SPAWN,
        child: "(drop (table.grow (ref.null func) (i32.const 100000))) (call $process.sleep_ns (i64.const -1))",
    },
    Hoard {
        what: "long reasons of children that end",
        before: "",
        again: SPAWN,
        child: "(call $reason) (call $process.exit (i32.const 2048) (i32.const 65544))",
    },
    Hoard {
        what: "messages that children are about to send",
        before: "",
        again: SPAWN,
        child: "(drop (call $buffer.put (i32.const 0) (i32.const 65536))) (call $process.sleep_ns (i64.const -1))",
    },
];

/// The main process: it gets a handle of itself and of a channel, and then repeats something for ever.
pub(super) fn endlessly(before: &str, again: &str) -> String {
    format!(
        "(call $process.this (i32.const 1024))
        (drop (call $channel.new (i64.const 0) (i32.const 1040)))
        {before}
        (loop $again {again} (br $again))"
    )
}

/// The module of a hoard.
pub fn module(hoard: &Hoard) -> Vec<u8> {
    let Hoard {
        what,
        before,
        again,
        child,
    } = hoard;
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
            {}))"#,
        imports::declarations(),
        endlessly(before, again)
    );
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{what}: {error}"))
}

/// Hoards of the interface of Lunatic 0.13. At 1400 the host writes numbers; from 4096 on are 140,000 bytes `a`, at
/// 2400 the beginning of a certificate, from 1600 to 1608 a name that differs each time.
pub const COMPAT_HOARDS: &[Hoard] = &[
    Hoard {
        what: "errors with long texts",
        before: "",
        again: "(drop (call $networking.tls_connect (i32.const 4096) (i32.const 140000) (i32.const 443) (i64.const 0) (i32.const 1400) (i32.const 0) (i32.const 0)))",
        child: "",
    },
    Hoard {
        what: "errors",
        before: "",
        again: "(drop (call $networking.resolve (i32.const 4096) (i32.const 1) (i64.const 0) (i32.const 1400)))",
        child: "",
    },
    Hoard {
        what: "configurations",
        before: "",
        again: "(drop (call $process.create_config))",
        child: "",
    },
    Hoard {
        what: "configurations with texts",
        before: "",
        again: "(call $wasi.config_add_command_line_argument (call $process.create_config) (i32.const 4096) (i32.const 140000))",
        child: "",
    },
    Hoard {
        what: "queries for nodes",
        before: "",
        again: "(drop (call $distributed.exec_lookup_nodes (i32.const 4096) (i32.const 0) (i32.const 1400) (i32.const 1408) (i32.const 1416)))",
        child: "",
    },
    Hoard {
        what: "addresses",
        before: "",
        again: "(drop (call $networking.resolve (i32.const 2300) (i32.const 12) (i64.const 0) (i32.const 1400)))",
        child: "",
    },
    Hoard {
        what: "names of the old registry",
        before: "",
        again: "(call $name) (call $registry.put (i32.const 1600) (i32.const 400) (i64.const 1) (i64.const 1))",
        child: "",
    },
    Hoard {
        what: "modules in a message",
        // An empty module.
        before: "(i64.store (i32.const 2500) (i64.const 0x16d736100))
            (drop (call $process.compile_module (i32.const 2500) (i32.const 8) (i32.const 1400)))
            (call $message.create_data (i64.const 7) (i64.const 0))",
        again: "(drop (call $message.push_module (i64.load (i32.const 1400))))",
        child: "",
    },
    Hoard {
        what: "drafts of children",
        before: "",
        again: SPAWN_COMPAT,
        child: "(call $message.create_data (i64.const 7) (i64.const 0))
            (drop (call $message.write_data (i32.const 4096) (i32.const 140000)))
            (call $process.sleep_ms (i64.const -1))",
    },
    Hoard {
        what: "arguments of children that have not run",
        before: "",
        // 8,000 arguments of type i32.
        again: "(drop (call $process.spawn (i64.const 0) (i64.const -1) (i64.const -1) (i32.const 1700) (i32.const 5) (i32.const 200000) (i32.const 136000) (i32.const 1400)))",
        child: "",
    },
    Hoard {
        what: "ends of processes that there are not",
        before: "(call $process.die_when_link_dies (i32.const 0))",
        again: "(call $process.link (i64.const 1) (i64.const 0))",
        child: "",
    },
    Hoard {
        what: "ends under a tag of their own each",
        before: "(call $process.die_when_link_dies (i32.const 0))",
        again: "(call $name) (call $process.link (i64.load (i32.const 1600)) (i64.const 0))",
        child: "",
    },
    Hoard {
        what: "roots that lie over each other",
        // 1,024 times almost the same 140,000 bytes.
        before: "(memory.copy (i32.const 4096) (i32.const 2400) (i32.const 27))
            (local.set $at (i32.const 340000))
            (loop $roots
                (i64.store (local.get $at) (i64.const 597000454148096))
                (br_if $roots (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 8))) (i32.const 348192))))",
        again: "(drop (call $networking.tls_connect (i32.const 4096) (i32.const 1) (i32.const 443) (i64.const 0) (i32.const 1400) (i32.const 340000) (i32.const 1024)))",
        child: "",
    },
    Hoard {
        what: "names of functions that there are not",
        before: "",
        again: "(drop (call $process.spawn (i64.const 0) (i64.const -1) (i64.const -1) (i32.const 4096) (i32.const 140000) (i32.const 0) (i32.const 0) (i32.const 1400)))",
        child: "",
    },
    Hoard {
        what: "names of 4 MiB of functions that there are not",
        before: "(drop (memory.grow (i32.const 64)))",
        again: "(drop (call $process.spawn (i64.const 0) (i64.const -1) (i64.const -1) (i32.const 4096) (i32.const 4190000) (i32.const 0) (i32.const 0) (i32.const 1400)))",
        child: "",
    },
];

const SPAWN_COMPAT: &str = "(drop (call $process.spawn (i64.const 0) (i64.const -1) (i64.const -1) (i32.const 1700) (i32.const 5) (i32.const 0) (i32.const 0) (i32.const 1400)))";

/// The module of one of these hoards.
pub fn compat_module(hoard: &Hoard) -> Vec<u8> {
    let Hoard {
        what,
        before,
        again,
        child,
    } = hoard;
    let text = format!(
        r#"(module
        {}
        (memory (export "memory") 6 80)
        (data (i32.const 1700) "child")
        (data (i32.const 2300) "127.0.0.1:80")
        (data (i32.const 2400) "-----BEGIN CERTIFICATE-----")
        (global $number (mut i64) (i64.const 0))
        (func $name
            (global.set $number (i64.add (global.get $number) (i64.const 1)))
            (i64.store (i32.const 1600)
                (i64.or (i64.const 0x6161616161616161)
                    (i64.and (i64.mul (global.get $number) (i64.const 0x9e3779b97f4a7c15)) (i64.const 0x1e1e1e1e1e1e1e1e)))))
        (func (export "lunatic_alloc") (param i32) (result i32) (i32.const 4096))
        (func (export "child") {child})
        (func (export "_start") (local $at i32)
            (memory.fill (i32.const 1600) (i32.const 97) (i32.const 64))
            (memory.fill (i32.const 4096) (i32.const 97) (i32.const 140000))
            (local.set $at (i32.const 200000))
            (loop $arguments
                (i32.store8 (local.get $at) (i32.const 0x7f))
                (br_if $arguments (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 17))) (i32.const 336000))))
            {before}
            (loop $again {again} (br $again))))"#,
        imports::declarations_of(imports::compat())
    );
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{what}: {error}"))
}
