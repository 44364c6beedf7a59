//! Bytes that a process fetches or sends: captured bytes, the buffer, and the limits of captures and messages.

use lunatic_tests::host::Host;

use super::check;

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
fn a_long_message_is_sent_out_of_the_buffer_or_not_at_all() {
    // One byte more than what is copied in one go.
    const SENDS: [&str; 6] = [
        "(call $mailbox.send (i64.load (i32.const 48)) (i64.load (i32.const 56)) (i64.const 1) (i32.const 0) (i32.const 0x100001))",
        "(call $mailbox.call (i64.load (i32.const 48)) (i64.load (i32.const 56)) (i64.const 1) (i32.const 0) (i32.const 0x100001)
            (i32.const 80) (i32.const 0) (i32.const 0) (i64.const 0))",
        "(call $channel.try_send (i64.load (i32.const 64)) (i64.load (i32.const 72)) (i32.const 0) (i32.const 0x100001))",
        "(call $channel.send (i64.load (i32.const 64)) (i64.load (i32.const 72)) (i32.const 0) (i32.const 0x100001) (i64.const 0))",
        "(call $timer.send_after (i64.load (i32.const 48)) (i64.load (i32.const 56)) (i64.const 1) (i32.const 0) (i32.const 0x100001)
            (i64.const 0) (i64.const 0) (i32.const 80))",
        "(call $registry.broadcast (i32.const 0) (i32.const 1) (i64.const 1) (i32.const 0) (i32.const 0x100001))",
    ];
    for send in SENDS {
        let functions = format!(
            r#"
            (func $prepare
                (drop (memory.grow (i32.const 20)))
                (call $process.this (i32.const 48))
                (drop (call $channel.new (i64.const 0) (i32.const 64)))
                (drop (call $mailbox.reference (i32.const 80))))
            (func $put (param i32)
                (call $expect (call $buffer.put (i32.const 16) (local.get 0)) (i32.const 0) (i32.const 1)))
            (func $good (call $prepare) (call $put (i32.const 0x100001)) (drop {send})
                (call $expect (call $buffer.len) (i32.const 0) (i32.const 2)))
            (func $none (call $prepare) (drop {send}))
            (func $less (call $prepare) (call $put (i32.const 0x100000)) (drop {send}))
            (func $more (call $prepare) (call $put (i32.const 0x100002)) (drop {send}))
            (func $bad (call $prepare) (drop (call $buffer.put (i32.const 16) (i32.const 0x7fffffff))))
            (func (export "main") (local $entry i32)
                (call $spawn (i32.const 0) (i32.const 0))
                (call $expect (call $join) (i32.const 0) (i32.const 3))
                (loop $again
                    (local.set $entry (i32.add (local.get $entry) (i32.const 1)))
                    (call $spawn (local.get $entry) (i32.const 0))
                    (call $expect (call $join) (i32.const 3) (i32.add (i32.const 10) (local.get $entry)))
                    (br_if $again (i32.lt_u (local.get $entry) (i32.const 4)))))
            "#
        );
        check(
            Host::shared(),
            "funcref (elem $good $none $less $more $bad)",
            &functions,
        );
    }
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
            (call $expect (call $buffer.put (i32.const 0) (i32.const 0x10000001)) (i32.const -6) (i32.const 14))
            (call $expect (call $buffer.put (i32.const 0) (i32.const 0x10000000)) (i32.const 0) (i32.const 15))
            (call $expect
                (call $channel.send (i64.load (i32.const 0)) (i64.load (i32.const 8)) (i32.const 0) (i32.const 0x10000000) (i64.const -1))
                (i32.const 0) (i32.const 8))
            (call $expect (call $buffer.len) (i32.const 0) (i32.const 16))
            (call $expect
                (call $channel.receive (i64.load (i32.const 0)) (i64.load (i32.const 8)) (i32.const 0) (i32.const 0x10000000) (i64.const -1))
                (i32.const 0x10000000) (i32.const 9))
            ;; There was room for it, but it is too long to be copied by the receive.
            (call $expect (call $buffer.len) (i32.const 0x10000000) (i32.const 10))
            (call $buffer.take (i32.const 0) (i32.const 0x10000000))
            ;; A message of 1 MiB is not, and one byte more is.
            (call $send_and_receive (i32.const 0x100000))
            (call $expect (call $buffer.len) (i32.const 0) (i32.const 11))
            (drop (call $buffer.put (i32.const 0) (i32.const 0x100001)))
            (call $send_and_receive (i32.const 0x100001))
            (call $expect (call $buffer.len) (i32.const 0x100001) (i32.const 12)))
        (func $send_and_receive (param $len i32)
            (call $expect
                (call $channel.try_send (i64.load (i32.const 0)) (i64.load (i32.const 8)) (i32.const 0) (local.get $len))
                (i32.const 0) (i32.const 13))
            (call $expect
                (call $channel.try_receive
                    (i64.load (i32.const 0)) (i64.load (i32.const 8)) (i32.const 16) (i32.const 0x10000000))
                (local.get $len) (i32.const 14)))
    "#;
    check(Host::shared(), "funcref (elem $nothing)", functions);
}
