//! A deadlock is found, and nothing else is taken for one.

use lunatic_host::ExitReason;
use lunatic_tests::host::Host;

const WAITS: &str = r#"(module
    (import "lunatic::process" "sleep_ns" (func $sleep (param i64)))
    (import "lunatic::process" "yield_now" (func $yield))
    (import "lunatic::process" "this" (func $this (param i32)))
    (import "lunatic::process" "join" (func $join (param i64 i64 i64) (result i32)))
    (import "lunatic::channel" "new" (func $new (param i64 i32) (result i32)))
    (import "lunatic::channel" "send" (func $send (param i64 i64 i32 i32 i64) (result i32)))
    (import "lunatic::channel" "receive" (func $receive (param i64 i64 i32 i32 i64) (result i32)))
    (memory (export "memory") 1)
    (func (export "nothing"))
    ;; Sleeps 2,000 times for 1 to 40 microseconds.
    (func (export "sleeps") (local $left i64)
        (local.set $left (i64.const 2000))
        (loop $again
            (call $sleep (i64.mul (i64.rem_u (local.get $left) (i64.const 40)) (i64.const 1000)))
            (local.set $left (i64.sub (local.get $left) (i64.const 1)))
            (br_if $again (i64.ne (local.get $left) (i64.const 0)))))
    ;; Waits 2,000 times for a message that does not come in time.
    (func (export "times out") (local $left i64)
        (drop (call $new (i64.const 0) (i32.const 0)))
        (local.set $left (i64.const 2000))
        (loop $again
            (if (i32.ne
                    (call $receive (i64.load (i32.const 0)) (i64.load (i32.const 8)) (i32.const 64) (i32.const 8)
                        (i64.mul (i64.rem_u (local.get $left) (i64.const 40)) (i64.const 1000)))
                    (i32.const -5))
                (then unreachable))
            (local.set $left (i64.sub (local.get $left) (i64.const 1)))
            (br_if $again (i64.ne (local.get $left) (i64.const 0)))))
    (func (export "receives for ever")
        (drop (call $new (i64.const 0) (i32.const 0)))
        (drop (call $receive (i64.load (i32.const 0)) (i64.load (i32.const 8)) (i32.const 64) (i32.const 8) (i64.const -1))))
    (func (export "sends for ever")
        (drop (call $new (i64.const 1) (i32.const 0)))
        (drop (call $send (i64.load (i32.const 0)) (i64.load (i32.const 8)) (i32.const 64) (i32.const 8) (i64.const -1)))
        (drop (call $send (i64.load (i32.const 0)) (i64.load (i32.const 8)) (i32.const 64) (i32.const 8) (i64.const -1))))
    (func (export "joins itself")
        (call $this (i32.const 0))
        (drop (call $join (i64.load (i32.const 0)) (i64.load (i32.const 8)) (i64.const -1))))
    (func (export "sleeps for ever") (call $sleep (i64.const -1))))"#;

/// Sends itself two messages of a type, and one whose type the module does not name; then waits for another type.
fn receives_another_type() -> String {
    let [order, topic, number] = [("shop::Order", ""), ("shop::Order", "urgent"), ("u32", "")]
        .map(|(name, topic)| lunatic_sys::tag::of(name, topic));
    format!(
        r#"(module
        (import "lunatic::process" "this" (func $this (param i32)))
        (import "lunatic::mailbox" "send" (func $send (param i64 i64 i64 i32 i32) (result i32)))
        (import "lunatic::mailbox" "receive" (func $receive (param i32 i32 i32 i32 i32 i64) (result i32)))
        (memory (export "memory") 1)
        (data (i32.const 1024) "it failed: shop::Orderu32")
        (func $tell (param $tag i64)
            (drop (call $send (i64.load (i32.const 0)) (i64.load (i32.const 8)) (local.get $tag) (i32.const 0) (i32.const 4))))
        (func (export "waits")
            (call $this (i32.const 0))
            (call $tell (i64.const {order})) (call $tell (i64.const {topic})) (call $tell (i64.const {order}))
            (i64.store (i32.const 16) (i64.const {number}))
            (drop (call $receive (i32.const 16) (i32.const 1) (i32.const 32) (i32.const 128) (i32.const 8) (i64.const -1)))))"#
    )
}

#[test]
fn mail_that_nobody_receives_is_told() {
    let host = Host::with(|builder| builder);
    let ended = host.program(receives_another_type().as_bytes()).entry("waits").run();
    let ExitReason::Deadlock(report) = &ended.reason else {
        panic!("{ended}")
    };
    let urgent = lunatic_sys::tag::of("shop::Order", "urgent");
    let lines: Vec<_> = report.lines().collect();
    let main = lines[1].trim_start().split_once(' ').unwrap().0;
    assert_eq!(lines[1], format!("  {main} (main) waits for mail of type `u32`"));
    let held = format!(
        "    its mailbox holds 3 that it does not receive: 2 of type `shop::Order` from {main} (main), \
         1 of tag {urgent:#x} from {main} (main)"
    );
    assert_eq!(lines[2], held, "{report}");
}

#[test]
fn a_system_that_has_just_been_started_is_no_deadlock() {
    for workers in [1, 2, 4] {
        let host = Host::with(|builder| builder.workers(workers));
        let module = host.load(WAITS.as_bytes()).unwrap();
        for round in 0..1_000 {
            let ended = host.loaded(&module).entry("nothing").run();
            assert_eq!(
                ended.reason,
                ExitReason::Normal,
                "start number {round} with {workers} workers: {ended}"
            );
        }
    }
}

#[test]
fn a_process_that_waits_for_a_time_is_no_deadlock() {
    for workers in [1, 2, 4] {
        for entry in ["sleeps", "times out"] {
            let host = Host::with(|builder| builder.workers(workers));
            let ended = host.program(WAITS.as_bytes()).entry(entry).run();
            assert_eq!(
                ended.reason,
                ExitReason::Normal,
                "{entry} with {workers} workers: {ended}"
            );
        }
    }
}

#[test]
fn a_process_that_can_never_go_on_is_a_deadlock() {
    for (entry, what) in [
        ("receives for ever", "waits to receive on channel #"),
        ("sends for ever", "waits to send on channel #"),
        ("joins itself", "waits to join #"),
        ("sleeps for ever", "sleeps"),
    ] {
        // A host of its own: as long as anything runs, nothing is known of those that wait.
        let host = Host::with(|builder| builder);
        let ended = host.program(WAITS.as_bytes()).entry(entry).run();
        let ExitReason::Deadlock(report) = &ended.reason else {
            panic!("{entry}: {ended}")
        };
        assert!(report.contains("(main)") && report.contains(what), "{entry}: {report}");
        assert_eq!(ended.reason.exit_code(), 70);
    }
}
