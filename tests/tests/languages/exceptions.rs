//! Exceptions of WebAssembly, and what they cost.

use lunatic_host::ExitReason;
use lunatic_tests::host::{Ended, Host, Program};

const TAG: &str = "(tag $tag (param i32)) (memory (export \"memory\") 4)";

fn program(code: &str) -> Program<'static> {
    let wasm = wat::parse_str(format!("(module {code} {TAG})")).unwrap_or_else(|error| panic!("{error}"));
    Host::shared().program(&wasm)
}

#[track_caller]
fn traps_with(ended: &Ended, part: &str) {
    match &ended.reason {
        ExitReason::Trap(trap) if trap.text.contains(part) => {}
        reason => panic!("{reason:?} in place of {part:?}\n{ended}"),
    }
}

/// More exceptions than a heap of the process's limit could hold if nobody collected them.
#[test]
fn exceptions_are_caught_and_forgotten() {
    let program = program(
        r#"(func $throw (param i32) (throw $tag (local.get 0)))
        (func (export "_start") (local $i i32)
            (loop $again
                (block $caught (result i32)
                    (try_table (catch $tag $caught) (call $throw (local.get $i)))
                    (unreachable))
                (if (i32.ne (local.get $i)) (then (unreachable)))
                (local.set $i (i32.add (local.get $i) (i32.const 1)))
                (br_if $again (i32.lt_u (local.get $i) (i32.const 200000)))))"#,
    );
    program.max_memory(1 << 20).run().normal();
}

#[test]
fn an_exception_that_nobody_catches_ends_the_process() {
    let ended = program(r#"(func (export "_start") (throw $tag (i32.const 7)))"#).run();
    traps_with(&ended, "an exception was thrown and not caught");
}

/// What a process keeps of exceptions counts as its memory.
#[test]
fn exceptions_that_are_kept_hit_the_limit_of_the_memory() {
    let program = program(
        r#"(table $kept 1 exnref)
        (func (export "_start") (local $exception exnref)
            (loop $again
                (block $caught (result i32 exnref)
                    (try_table (catch_ref $tag $caught) (throw $tag (i32.const 1)))
                    (unreachable))
                (local.set $exception) (drop)
                (br_if $again (i32.ne (i32.const -1) (table.grow $kept (local.get $exception) (i32.const 1))))
                (unreachable)))"#,
    );
    let ended = program.max_memory(1 << 20).run();
    let is_limit = matches!(ended.reason, ExitReason::OutOfMemory(_));
    assert!(is_limit, "{ended}");
}

/// A module whose exceptions live in the engine is not recycled: each child begins with a fresh instance.
#[test]
fn processes_with_exceptions_do_not_see_each_others() {
    let program = program(
        r#"(import "lunatic::process" "next" (func $next (result i32)))
        (import "lunatic::process" "spawn_closure" (func $spawn (param i32 i32 i32 i32) (result i32)))
        (import "lunatic::process" "join" (func $join (param i64 i64 i64) (result i32)))
        (table 1 funcref) (elem (i32.const 0) $child)
        (global $seen (mut i32) (i32.const 0))
        (func $child
            (block $caught (result i32)
                (try_table (catch $tag $caught) (throw $tag (i32.const 1)))
                (unreachable))
            (global.set $seen (i32.add (global.get $seen)))
            (if (i32.ne (global.get $seen) (i32.const 1)) (then (unreachable)))
            (throw $tag (i32.const 2)))
        (func (export "_start") (local $i i32)
            (drop (call $next))
            (loop $again
                (if (call $spawn (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 16)) (then (unreachable)))
                ;; Each ends by a trap, as nobody catches its second exception.
                (if (i32.ne (i32.const 3) (call $join (i64.load (i32.const 16)) (i64.load (i32.const 24)) (i64.const -1)))
                    (then (unreachable)))
                (local.set $i (i32.add (local.get $i) (i32.const 1)))
                (br_if $again (i32.lt_u (local.get $i) (i32.const 100)))))"#,
    );
    program.run().normal();
}

/// More processes than the fast layout has memories for, each with a heap for its exceptions beside its memory.
#[test]
fn processes_with_exceptions_run_in_each_layout() {
    let program = program(
        r#"(import "lunatic::process" "next" (func $next (result i32)))
        (import "lunatic::process" "spawn_closure" (func $spawn (param i32 i32 i32 i32) (result i32)))
        (import "lunatic::process" "join" (func $join (param i64 i64 i64) (result i32)))
        (import "lunatic::mailbox" "send" (func $send (param i64 i64 i64 i32 i32) (result i32)))
        (import "lunatic::mailbox" "receive" (func $receive (param i32 i32 i32 i32 i32 i64) (result i32)))
        (table 1 funcref) (elem (i32.const 0) $child)
        (func $child (local $i i32)
          (drop (call $receive (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 64) (i32.const 0) (i64.const -1)))
          (loop $again
            (block $caught (result i32)
              (try_table (catch $tag $caught) (throw $tag (local.get $i)))
              (unreachable))
            (if (i32.ne (local.get $i)) (then (unreachable)))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $again (i32.lt_u (local.get $i) (i32.const 100)))))
        (func $at (param i32) (result i32) (i32.add (i32.const 1024) (i32.mul (local.get 0) (i32.const 16))))
        (func (export "_start") (local $i i32)
          (drop (call $next))
          (loop $again
            (if (call $spawn (i32.const 0) (i32.const 0) (i32.const 0) (call $at (local.get $i))) (then (unreachable)))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $again (i32.lt_u (local.get $i) (i32.const 1200))))
          (loop $again
            (local.set $i (i32.sub (local.get $i) (i32.const 1)))
            (if (call $send (i64.load (call $at (local.get $i))) (i64.load offset=8 (call $at (local.get $i))) (i64.const 16) (i32.const 0) (i32.const 0)) (then (unreachable)))
            (br_if $again (local.get $i)))
          (loop $again
            (if (call $join (i64.load (call $at (local.get $i))) (i64.load offset=8 (call $at (local.get $i))) (i64.const -1)) (then (unreachable)))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if $again (i32.lt_u (local.get $i) (i32.const 1200)))))"#,
    );
    program.run().normal();
}
