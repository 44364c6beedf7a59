//! The interface of Lunatic 0.13, call by call: what a guest in the text format sees of it. Whole programs are in
//! `published`.

use lunatic_host::ExitReason;
use lunatic_tests::host::{Ended, Host, Program};

use crate::imports;

/// Runs `body` as the main process of a module with all functions of the interface, and ends with code 0 if all that
/// it expects comes true; else the code says what did not.
fn run(items: &str, body: &str) -> Ended {
    program(items, body).run()
}

fn program(items: &str, body: &str) -> Program<'static> {
    let declarations = imports::declarations_of(imports::compat());
    let text = format!(
        r#"(module
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        {declarations}
        (memory (export "memory") 1)
        (data (i32.const 100) "child")
        (data (i32.const 110) "name")
        (func (export "lunatic_alloc") (param i32) (result i32) (i32.const 8192))
        ;; Ends the process with `code` unless the two are equal.
        (func $expect (param $found i32) (param $expected i32) (param $code i32)
            (if (i32.ne (local.get $found) (local.get $expected)) (then (call $exit (local.get $code)))))
        (func $expect_long (param $found i64) (param $expected i64) (param $code i32)
            (if (i64.ne (local.get $found) (local.get $expected)) (then (call $exit (local.get $code)))))
        ;; Sends itself an empty message.
        (func $tell (param $to i64) (param $tag i64)
            (call $message.create_data (local.get $tag) (i64.const 0))
            (call $expect (call $message.send (local.get $to)) (i32.const 0) (i32.const 200)))
        ;; Spawns the export `child` with the parameters from 300 on; its id is at 16.
        (func $spawn (param $tag i64) (param $len i32)
            (call $expect
                (call $process.spawn (local.get $tag) (i64.const -1) (i64.const -1)
                    (i32.const 100) (i32.const 5) (i32.const 300) (local.get $len) (i32.const 16))
                (i32.const 0) (i32.const 201)))
        {items}
        (func (export "_start") {body}))"#
    );
    Host::shared().program(text.as_bytes())
}

#[track_caller]
fn holds(items: &str, body: &str) {
    run(items, body).normal();
}

#[track_caller]
fn traps(items: &str, body: &str, why: &str) {
    let ended = run(items, body);
    assert!(ended.trap().contains(why), "{ended}");
}

#[test]
fn a_message_is_written_at_its_end_and_read_from_where_reading_stopped() {
    holds(
        "",
        r#"
        (call $message.create_data (i64.const 7) (i64.const 1000))
        (call $expect (call $message.write_data (i32.const 100) (i32.const 3)) (i32.const 3) (i32.const 1))
        (call $expect (call $message.read_data (i32.const 200) (i32.const 2)) (i32.const 2) (i32.const 2))
        (call $expect (call $message.write_data (i32.const 103) (i32.const 2)) (i32.const 2) (i32.const 3))
        (call $expect (call $message.read_data (i32.const 202) (i32.const 100)) (i32.const 3) (i32.const 4))
        (call $expect (call $message.read_data (i32.const 202) (i32.const 100)) (i32.const 0) (i32.const 5))
        (call $expect (i32.load (i32.const 200)) (i32.load (i32.const 100)) (i32.const 6))
        (call $expect_long (call $message.data_size) (i64.const 5) (i32.const 7))
        (call $expect_long (call $message.get_tag) (i64.const 7) (i32.const 8))
        (call $expect_long (call $message.get_process_id) (i64.const 0) (i32.const 9))
        ;; It can be forwarded, and the reader goes on where this one stands.
        (call $message.seek_data (i64.const 4))
        (call $expect (call $message.send (call $process.process_id)) (i32.const 0) (i32.const 10))
        (call $expect (call $message.receive (i32.const 0) (i32.const 0) (i64.const 0)) (i32.const 0) (i32.const 11))
        (call $expect (call $message.read_data (i32.const 200) (i32.const 9)) (i32.const 1) (i32.const 12))
        "#,
    );
    let create = "(call $message.create_data (i64.const 0) (i64.const 0))";
    traps(
        "",
        &format!(
            "{create}(call $message.seek_data (i64.const 1))(drop (call $message.read_data (i32.const 0) (i32.const 0)))"
        ),
        "beyond its end",
    );
    traps("", "(drop (call $message.send (i64.const 1)))", "has no message");
    traps(
        "",
        &format!("{create}(drop (call $message.send (i64.const 1)))(drop (call $message.get_tag))"),
        "has no message",
    );
    traps(
        "",
        &format!("{create}(drop (call $message.take_module (i64.const 0)))"),
        "no resource of this kind",
    );
}

#[test]
fn tags_choose_and_a_message_without_one_is_not_chosen() {
    holds(
        "",
        r#"
        (local $me i64)
        (local.set $me (call $process.process_id))
        (call $expect (call $message.receive (i32.const 0) (i32.const 0) (i64.const 0)) (i32.const 9027) (i32.const 1))
        (call $expect (call $message.receive (i32.const 0) (i32.const 0) (i64.const 5)) (i32.const 9027) (i32.const 2))
        (call $tell (local.get $me) (i64.const 0))
        (call $tell (local.get $me) (i64.const -5))
        (call $tell (local.get $me) (i64.const 6))
        (call $tell (local.get $me) (i64.const -5))
        ;; The list holds 6, -5 and 0.
        (i64.store (i32.const 400) (i64.const 6))
        (i64.store (i32.const 408) (i64.const -5))
        (call $expect (call $message.receive (i32.const 400) (i32.const 3) (i64.const 0)) (i32.const 0) (i32.const 3))
        (call $expect_long (call $message.get_tag) (i64.const -5) (i32.const 4))
        (call $expect (call $message.receive (i32.const 400) (i32.const 1) (i64.const -1)) (i32.const 0) (i32.const 5))
        (call $expect_long (call $message.get_tag) (i64.const 6) (i32.const 6))
        (call $expect (call $message.receive (i32.const 416) (i32.const 1) (i64.const 0)) (i32.const 9027) (i32.const 7))
        ;; What was received before is still there.
        (call $expect_long (call $message.get_tag) (i64.const 6) (i32.const 8))
        (call $expect (call $message.receive (i32.const 0) (i32.const 0) (i64.const 0)) (i32.const 0) (i32.const 9))
        (call $expect_long (call $message.get_tag) (i64.const 0) (i32.const 10))
        (call $message.create_data (i64.const 1) (i64.const 0))
        (call $expect
            (call $message.send_receive_skip_search (local.get $me) (i64.const 1) (i64.const -1)) (i32.const 0) (i32.const 11))
        (call $message.create_data (i64.const 1) (i64.const 0))
        (call $expect
            (call $message.send_receive_skip_search (i64.const 12345) (i64.const 2) (i64.const 5)) (i32.const 9027) (i32.const 12))
        "#,
    );
}

#[test]
fn numbers_of_resources_count_from_0_and_are_each_kinds_own() {
    holds(
        "",
        r#"
        (call $expect_long (call $process.create_config) (i64.const 0) (i32.const 1))
        (call $expect_long (call $process.create_config) (i64.const 1) (i32.const 2))
        (call $process.drop_config (i64.const 1))
        (call $expect_long (call $process.create_config) (i64.const 2) (i32.const 3))
        (call $expect_long (call $process.config_get_max_memory (i64.const 0)) (i64.const 4294967295) (i32.const 4))
        (call $expect_long (call $process.config_get_max_fuel (i64.const 0)) (i64.const 0) (i32.const 5))
        (call $process.config_set_can_spawn_processes (i64.const 0) (i32.const 12))
        (call $expect (call $process.config_can_spawn_processes (i64.const 0)) (i32.const 1) (i32.const 6))
        (call $expect (call $process.config_can_create_configs (i64.const 0)) (i32.const 0) (i32.const 7))
        ;; The first error has the number 0, and its text.
        (call $expect (call $process.compile_module (i32.const 100) (i32.const 5) (i32.const 16)) (i32.const 1) (i32.const 8))
        (call $expect_long (i64.load (i32.const 16)) (i64.const 0) (i32.const 9))
        (call $expect (i32.gt_u (call $error.string_size (i64.const 0)) (i32.const 10)) (i32.const 1) (i32.const 10))
        (call $error.to_string (i64.const 0) (i32.const 2000))
        (call $error.drop (i64.const 0))
        ;; A database in memory, wherever its number is written.
        (call $expect_long (call $sqlite.open (i32.const 0) (i32.const 0) (i32.const 0)) (i64.const 0) (i32.const 11))
        (call $expect_long (i64.load (i32.const 0)) (i64.const 0) (i32.const 12))
        "#,
    );
    traps("", "(call $error.drop (i64.const 0))", "has no error 0");
    traps(
        "",
        "(call $process.drop_config (i64.const 3))",
        "has no configuration 3",
    );
    traps(
        "",
        "(call $networking.drop_tcp_stream (i64.const 3))",
        "has no TCP stream 3",
    );
}

#[test]
fn a_name_is_given_once_and_stays_when_its_process_has_ended() {
    holds(
        "(func (export \"child\"))",
        r#"
        (local $child i64)
        (call $expect
            (call $registry.get (i32.const 110) (i32.const 4) (i32.const 16) (i32.const 24)) (i32.const 1) (i32.const 1))
        (call $expect
            (call $process.get_or_spawn (i32.const 110) (i32.const 4) (i64.const 0) (i64.const -1) (i64.const -1)
                (i32.const 100) (i32.const 5) (i32.const 300) (i32.const 0) (i32.const 16) (i32.const 24))
            (i32.const 0) (i32.const 2))
        (call $expect_long (i64.load (i32.const 16)) (call $distributed.node_id) (i32.const 3))
        (local.set $child (i64.load (i32.const 24)))
        (loop $alive
            (call $process.sleep_ms (i64.const 1))
            (br_if $alive (call $process.exists (local.get $child))))
        (call $expect
            (call $process.get_or_spawn (i32.const 110) (i32.const 4) (i64.const 0) (i64.const -1) (i64.const -1)
                (i32.const 100) (i32.const 5) (i32.const 300) (i32.const 0) (i32.const 16) (i32.const 24))
            (i32.const 2) (i32.const 4))
        (call $expect_long (i64.load (i32.const 24)) (local.get $child) (i32.const 5))
        (call $registry.put (i32.const 110) (i32.const 4) (i64.const 77) (i64.const 78))
        (call $expect
            (call $registry.get (i32.const 110) (i32.const 4) (i32.const 16) (i32.const 24)) (i32.const 0) (i32.const 6))
        (call $expect_long (i64.load (i32.const 16)) (i64.const 77) (i32.const 7))
        (call $registry.remove (i32.const 110) (i32.const 4))
        (call $registry.remove (i32.const 110) (i32.const 4))
        "#,
    );
}

#[test]
fn a_trap_is_caught_and_the_process_goes_on() {
    let catch = r#"(func (export "_lunatic_catch_trap") (param $what i32) (param $with i32) (result i32)
        (local $result i32)
        (if (i32.eq (local.get $what) (i32.const 0)) (then unreachable))
        (if (i32.eq (local.get $what) (i32.const 1)) (then (call $exit (i32.const 3))))
        (if (i32.eq (local.get $what) (i32.const 2)) (then (call $error.drop (i64.const 99))))
        ;; Waits for a message, in a call in a call.
        (if (i32.eq (local.get $what) (i32.const 3)) (then
            (if (local.get $with)
                (then (local.set $result
                    (i32.add (i32.const 1) (call $trap.catch (i32.const 3) (i32.sub (local.get $with) (i32.const 1))))))
                (else
                    (call $tell (call $process.process_id) (i64.const 4))
                    (call $expect (call $message.receive (i32.const 0) (i32.const 0) (i64.const -1)) (i32.const 0) (i32.const 50))
                    (call $process.sleep_ms (i64.const 2))
                    (local.set $result (i32.const 5))))))
        (local.get $result))"#;
    holds(
        catch,
        r#"
        (call $message.create_data (i64.const 9) (i64.const 0))
        (call $expect (call $trap.catch (i32.const 0) (i32.const 0)) (i32.const 0) (i32.const 1))
        (call $expect (call $trap.catch (i32.const 1) (i32.const 0)) (i32.const 0) (i32.const 2))
        (call $expect (call $trap.catch (i32.const 2) (i32.const 0)) (i32.const 0) (i32.const 3))
        (call $expect_long (call $message.get_tag) (i64.const 9) (i32.const 4))
        (call $expect (call $trap.catch (i32.const 3) (i32.const 10)) (i32.const 15) (i32.const 5))
        (call $expect_long (call $message.get_tag) (i64.const 4) (i32.const 6))
        ;; Where there is no room for more calls, the innermost trap is caught by the one around it.
        (call $expect (call $trap.catch (i32.const 3) (i32.const 1000)) (i32.const 63) (i32.const 7))
        "#,
    );
    traps(
        "",
        "(drop (call $trap.catch (i32.const 0) (i32.const 0)))",
        "_lunatic_catch_trap",
    );
}

#[test]
fn a_child_gets_its_arguments_or_fails() {
    // Types, and bits of which the lowest count.
    let put = r#"
        (i32.store8 (i32.const 300) (i32.const 0x7f)) (i64.store (i32.const 301) (i64.const -2))
        (i32.store8 (i32.const 317) (i32.const 0x7e)) (i64.store (i32.const 318) (i64.const 0x1_0000_0003))
        (i32.store8 (i32.const 334) (i32.const 0x7b)) (i64.store (i32.const 335) (i64.const 5)) (i64.store (i32.const 343) (i64.const 6))"#;
    let child = r#"(func (export "child") (param $a i32) (param $b i64) (param $c v128)
        (call $expect (local.get $a) (i32.const -2) (i32.const 1))
        (call $expect_long (local.get $b) (i64.const 0x1_0000_0003) (i32.const 1))
        (call $expect_long (i64x2.extract_lane 1 (local.get $c)) (i64.const 6) (i32.const 1))
        (call $tell (i64.const 0) (i64.const 0))
        (unreachable))"#;
    // Each ends in a failure, which the link tells of under its tag: with arguments that do not fit, at once.
    for len in [51, 34, 0] {
        holds(
            child,
            &format!(
                r#"{put}
                (call $process.die_when_link_dies (i32.const 0))
                (call $spawn (i64.const 33) (i32.const {len}))
                (call $expect (call $message.receive (i32.const 0) (i32.const 0) (i64.const -1)) (i32.const 1) (i32.const 2))
                (call $expect_long (call $message.get_tag) (i64.const 33) (i32.const 3))"#
            ),
        );
    }
    traps(child, "(call $spawn (i64.const 0) (i32.const 16))", "17 bytes each");
    traps(
        child,
        "(call $spawn (i64.const 0) (i32.const 17))",
        "argument of type 0x0",
    );
    // Nobody is linked, and nobody hears of it.
    holds("", "(call $spawn (i64.const 0) (i32.const 0))");
    // The other way round, a failure comes without a tag.
    let ended = run(
        "",
        "(call $spawn (i64.const 5) (i32.const 0)) (call $process.sleep_ms (i64.const 60000))",
    );
    assert!(
        matches!(ended.reason, ExitReason::Trap(_) | ExitReason::Error(_)),
        "{ended}"
    );
}

#[test]
fn a_normal_end_is_told_to_monitors_only() {
    holds(
        "(func (export \"child\") (call $process.sleep_ms (i64.const 5)) (call $exit (i32.const 0)))",
        r#"
        (call $process.die_when_link_dies (i32.const 0))
        (call $spawn (i64.const 33) (i32.const 0))
        (call $process.monitor (i64.load (i32.const 16)))
        (call $process.monitor (i64.load (i32.const 16)))
        (call $process.monitor (i64.const 99999))
        (call $expect (call $message.receive (i32.const 0) (i32.const 0) (i64.const -1)) (i32.const 2) (i32.const 1))
        (call $expect_long (call $message.get_process_id) (i64.load (i32.const 16)) (i32.const 2))
        (call $expect (call $message.receive (i32.const 0) (i32.const 0) (i64.const 20)) (i32.const 9027) (i32.const 3))
        ;; A link to what is not there tells of a death.
        (call $process.link (i64.const 44) (i64.load (i32.const 16)))
        (call $expect (call $message.receive (i32.const 0) (i32.const 0) (i64.const 0)) (i32.const 1) (i32.const 4))
        (call $expect_long (call $message.get_tag) (i64.const 44) (i32.const 5))
        "#,
    );
    traps(
        "",
        r#"
        (call $process.die_when_link_dies (i32.const 0))
        (call $process.link (i64.const 44) (i64.const 99999))
        (drop (call $message.receive (i32.const 0) (i32.const 0) (i64.const 0)))
        (drop (call $message.data_size))"#,
        "carries no data",
    );
}

#[test]
fn a_timer_sends_later_or_not_at_all() {
    holds(
        "",
        r#"
        (local $me i64)
        (local.set $me (call $process.process_id))
        (call $message.create_data (i64.const 1) (i64.const 0))
        (call $expect_long (call $timer.send_after (local.get $me) (i64.const 60000)) (i64.const 0) (i32.const 1))
        (call $message.create_data (i64.const 2) (i64.const 0))
        (call $expect_long (call $timer.send_after (local.get $me) (i64.const 5)) (i64.const 1) (i32.const 2))
        (call $expect (call $timer.cancel_timer (i64.const 0)) (i32.const 1) (i32.const 3))
        (call $expect (call $timer.cancel_timer (i64.const 0)) (i32.const 0) (i32.const 4))
        (call $expect (call $message.receive (i32.const 0) (i32.const 0) (i64.const -1)) (i32.const 0) (i32.const 5))
        (call $expect_long (call $message.get_tag) (i64.const 2) (i32.const 6))
        (call $expect (call $timer.cancel_timer (i64.const 1)) (i32.const 0) (i32.const 7))
        ;; To nobody.
        (call $message.create_data (i64.const 2) (i64.const 0))
        (drop (call $timer.send_after (i64.const 99999) (i64.const 0)))
        "#,
    );
}

#[test]
fn timers_are_limited() {
    let set = |count: u32| {
        format!(
            r#"(local $left i32)
            (local.set $left (i32.const {count}))
            (loop $again
                (call $message.create_data (i64.const 1) (i64.const 0))
                (drop (call $timer.send_after (call $process.process_id) (i64.const 3600000)))
                (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))"#
        )
    };
    holds("", &set(65_536));
    traps("", &set(65_537), "the largest number of timers");
}

#[test]
fn there_is_one_node_and_this_is_it() {
    holds(
        "(func (export \"child\"))",
        r#"
        (call $expect (call $distributed.nodes_count) (i32.const 1) (i32.const 1))
        (call $expect (call $distributed.get_nodes (i32.const 16) (i32.const 5)) (i32.const 1) (i32.const 2))
        (call $expect_long (i64.load (i32.const 16)) (call $distributed.node_id) (i32.const 3))
        (call $expect (call $distributed.get_nodes (i32.const 16) (i32.const 0)) (i32.const 0) (i32.const 4))
        (call $expect
            (call $distributed.exec_lookup_nodes (i32.const 0) (i32.const 0) (i32.const 16) (i32.const 24) (i32.const 32))
            (i32.const 0) (i32.const 5))
        (call $expect (i32.load (i32.const 24)) (i32.const 1) (i32.const 6))
        (call $expect
            (call $distributed.copy_lookup_nodes_results (i64.load (i32.const 16)) (i32.const 40) (i32.const 9) (i32.const 32))
            (i32.const 1) (i32.const 7))
        (call $expect
            (call $distributed.copy_lookup_nodes_results (i64.load (i32.const 16)) (i32.const 40) (i32.const 9) (i32.const 32))
            (i32.const -1) (i32.const 8))
        ;; A spawn, on this node, on another one, and of a module that is not known.
        (call $expect
            (call $distributed.spawn (call $distributed.node_id) (i64.const -1) (call $distributed.module_id)
                (i32.const 100) (i32.const 5) (i32.const 0) (i32.const 0) (i32.const 16))
            (i32.const 0) (i32.const 9))
        (call $expect
            (call $distributed.spawn (i64.const 7) (i64.const -1) (call $distributed.module_id)
                (i32.const 100) (i32.const 5) (i32.const 0) (i32.const 0) (i32.const 16))
            (i32.const 1) (i32.const 10))
        (call $expect
            (call $distributed.spawn (call $distributed.node_id) (i64.const -1) (i64.const 7)
                (i32.const 100) (i32.const 5) (i32.const 0) (i32.const 0) (i32.const 16))
            (i32.const 2) (i32.const 11))
        (call $message.create_data (i64.const 1) (i64.const 0))
        (call $expect
            (call $distributed.send (call $distributed.node_id) (call $process.process_id)) (i32.const 0) (i32.const 12))
        (call $message.create_data (i64.const 1) (i64.const 0))
        (call $expect (call $distributed.send (call $distributed.node_id) (i64.const 99999)) (i32.const 1) (i32.const 13))
        (call $message.create_data (i64.const 1) (i64.const 0))
        (call $expect (call $distributed.send (i64.const 7) (call $process.process_id)) (i32.const 2) (i32.const 14))
        (call $expect (call $version.minor) (i32.const 13) (i32.const 15))
        "#,
    );
}

#[test]
fn without_a_rule_there_is_no_network() {
    holds(
        "(data (i32.const 500) \"\\7f\\00\\00\\01\") (data (i32.const 510) \"localhost:80\")",
        r#"
        (call $expect
            (call $networking.tcp_bind (i32.const 4) (i32.const 500) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 16))
            (i32.const 1) (i32.const 1))
        (call $expect
            (call $networking.udp_bind (i32.const 4) (i32.const 500) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 16))
            (i32.const 1) (i32.const 2))
        (call $expect
            (call $networking.tcp_connect (i32.const 4) (i32.const 500) (i32.const 80) (i32.const 0) (i32.const 0) (i64.const 0)
                (i32.const 16))
            (i32.const 1) (i32.const 3))
        (call $expect
            (call $networking.resolve (i32.const 510) (i32.const 12) (i64.const -1) (i32.const 16)) (i32.const 1) (i32.const 4))
        (call $expect_long (i64.load (i32.const 16)) (i64.const 3) (i32.const 5))
        "#,
    );
}

/// Ranges may lie over each other: 1,024 of them name 57 MB in a memory of 64 KiB.
#[test]
fn the_certificates_of_a_connection_have_a_longest_length_together() {
    let body = r#"
        (local $at i32)
        (memory.fill (i32.const 500) (i32.const 97) (i32.const 56000))
        (memory.copy (i32.const 500) (i32.const 400) (i32.const 27))
        ;; 56,000 bytes at 500.
        (loop $list
            (i64.store (i32.add (i32.const 57000) (local.get $at)) (i64.const 0xdac0_0000_01f4))
            (br_if $list (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 8))) (i32.const 8192))))
        (call $expect
            (call $networking.tls_connect (i32.const 110) (i32.const 4) (i32.const 443) (i64.const -1) (i32.const 16)
                (i32.const 57000) (i32.const 1024))
            (i32.const 1) (i32.const 1))
        ;; It begins with "a TLS co".
        (call $error.to_string (i64.load (i32.const 16)) (i32.const 57000))
        (call $expect_long (i64.load (i32.const 57000)) (i64.const 0x6f63_2053_4c54_2061) (i32.const 2))
        ;; So does the error for a server.
        (drop (memory.grow (i32.const 16)))
        (call $expect
            (call $networking.tls_bind (i32.const 4) (i32.const 116) (i32.const 0) (i32.const 0) (i32.const 0)
                (i32.const 16) (i32.const 0) (i32.const 1048570) (i32.const 0) (i32.const 10))
            (i32.const 1) (i32.const 3))
        (call $error.to_string (i64.load (i32.const 16)) (i32.const 57000))
        (call $expect_long (i64.load (i32.const 57000)) (i64.const 0x6f63_2053_4c54_2061) (i32.const 4))"#;
    let items = r#"(data (i32.const 400) "-----BEGIN CERTIFICATE-----") (data (i32.const 116) "\7f\00\00\01")"#;
    let rules = ["resolve:name", "bind:127.0.0.1"].map(|rule| rule.parse().unwrap());
    program(items, body).net(rules.into()).run().normal();
}

#[test]
fn certificates_are_made_aside_and_of_short_texts() {
    let body = r#"
        (local $len i32) (local $key i32)
        ;; The certificate and the key, each with its length before it.
        (drop (call $distributed.test_root_cert (i32.const 16)))
        (local.set $len (i32.load (i32.const 8192)))
        (local.set $key (i32.add (i32.const 8200) (local.get $len)))
        (call $expect
            (call $distributed.default_server_certificates (i32.const 8200) (local.get $len)
                (i32.add (local.get $key) (i32.const 8)) (i32.load (local.get $key)) (i32.const 16))
            (i32.const 8192) (i32.const 1))
        (call $expect (i32.gt_u (i32.load (i32.const 16)) (i32.const 500)) (i32.const 1) (i32.const 2))
        ;; -----
        (call $expect (i32.load (i32.const 8200)) (i32.const 0x2d2d2d2d) (i32.const 3))"#;
    holds("", body);
    let signs = "(drop (call $distributed.sign_node (i32.const 0) (i32.const 65537) (i32.const 0) (i32.const 0) \
                 (i32.const 0) (i32.const 0) (i32.const 16)))";
    traps("", signs, "at most 65536 bytes");
    traps("", &signs.replace("65537", "20"), "not a certificate in PEM");
}

/// Numbers are no handles: they reach those that belong to the same program, and nobody else.
#[test]
fn a_number_reaches_nobody_of_another_program() {
    let host = Host::with_one_worker();
    let other = r#"(module
        (import "lunatic::process" "sleep_ns" (func $sleep (param i64)))
        (func (export "_start") (call $sleep (i64.const 60000000000))))"#;
    let running = host.program(other.as_bytes()).start();
    let declarations = imports::declarations_of(imports::compat());
    let text = format!(
        r#"(module {declarations}
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1)
        (func (export "_start")
            (local $id i64)
            (loop $all
                (if (i64.ne (local.get $id) (call $process.process_id)) (then
                    (if (call $process.exists (local.get $id)) (then (call $exit (i32.const 1))))
                    (call $process.kill (local.get $id))))
                (local.set $id (i64.add (local.get $id) (i64.const 1)))
                (br_if $all (i64.lt_u (local.get $id) (i64.const 10000))))))"#
    );
    host.program(text.as_bytes()).run().normal();
    assert_eq!(running.wait_timeout(std::time::Duration::ZERO), None);
}

#[test]
fn functions_of_both_interfaces_do_not_link() {
    let module = r#"(module
        (import "lunatic::message" "get_tag" (func (result i64)))
        (import "lunatic::process" "next" (func (result i32)))
        (func (export "_start")))"#;
    let error = Host::shared().load(module.as_bytes()).err().unwrap().to_string();
    assert!(error.contains("lunatic::process::next"), "{error}");
}
