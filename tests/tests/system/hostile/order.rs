//! The order of events on a host with one worker, where nothing interrupts a process between two calls.

use lunatic_tests::host::Host;

use super::check;

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
