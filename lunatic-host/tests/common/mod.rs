//! What tests of the embedding interface share: extensions of a few functions, a log, and guests in the text format.

#![allow(dead_code, reason = "no test needs all of it")]

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use lunatic_host::wasmtime::{Caller, Linker, Result};
use lunatic_host::{Ctx, ExitReason, Extension, Process, RunningSystem, Runtime, RuntimeBuilder, SystemConfig};
use lunatic_host::{WaitFor, guest_memory};

/// Adds functions.
pub(crate) type Link = Box<dyn Fn(&mut Linker<Ctx>) -> Result<()> + Send + Sync>;

/// An extension of this name with these functions.
pub(crate) struct Functions(pub(crate) &'static str, pub(crate) Link);

impl Extension for Functions {
    fn name(&self) -> &str {
        self.0
    }

    fn link(&self, linker: &mut Linker<Ctx>) -> Result<()> {
        (self.1)(linker)
    }
}

/// What was said, in order: an extension with `log.say(text, len)` and `log.number(i32)`.
#[derive(Clone, Default)]
pub(crate) struct Log {
    lines: Arc<(Mutex<Vec<String>>, Condvar)>,
    tells_of_ends: bool,
}

impl Log {
    /// One that says `ended` at the end of each process.
    pub(crate) fn telling_of_ends() -> Self {
        Self {
            tells_of_ends: true,
            ..Self::default()
        }
    }

    pub(crate) fn push(&self, line: impl Into<String>) {
        let (lines, pushed) = &*self.lines;
        lines.lock().unwrap().push(line.into());
        pushed.notify_all();
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.lines.0.lock().unwrap())
    }

    /// Waits until the line has been said.
    pub(crate) fn wait_for(&self, line: &str) {
        let (lines, pushed) = &*self.lines;
        let lines = lines.lock().unwrap();
        let missing = |lines: &mut Vec<String>| !lines.iter().any(|said| said == line);
        let waited = pushed.wait_timeout_while(lines, Duration::from_secs(20), missing);
        assert!(!waited.unwrap().1.timed_out(), "nobody says {line}");
    }
}

impl Extension for Log {
    fn name(&self) -> &str {
        "log"
    }

    fn link(&self, linker: &mut Linker<Ctx>) -> Result<()> {
        let log = self.clone();
        linker.func_wrap("log", "say", move |mut caller: Caller<'_, Ctx>, text: u32, len: u32| {
            log.push(guest_memory::read_string(&mut caller, text, len)?);
            Ok(())
        })?;
        let log = self.clone();
        linker.func_wrap("log", "number", move |number: i32| log.push(number.to_string()))?;
        Ok(())
    }

    fn ended(&self, _: &Process) {
        if self.tells_of_ends {
            self.push("ended");
        }
    }
}

pub(crate) fn runtime(build: impl FnOnce(RuntimeBuilder) -> RuntimeBuilder) -> Runtime {
    build(Runtime::builder().workers(2).cache(None)).build().unwrap()
}

pub(crate) fn start(runtime: &Runtime, text: &str, config: SystemConfig) -> RunningSystem {
    let module = runtime
        .load(text.as_bytes())
        .unwrap_or_else(|error| panic!("{error}\n{text}"));
    runtime.start(&module, config).unwrap()
}

pub(crate) fn run(runtime: &Runtime, text: &str) -> ExitReason {
    let system = start(runtime, text, SystemConfig::default());
    system
        .wait_timeout(Duration::from_secs(60))
        .unwrap_or_else(|| panic!("it hangs:\n{text}"))
}

/// Waits until the main process waits for mail, and nobody does anything.
pub(crate) fn wait_until_idle(system: &RunningSystem) {
    let waits = || {
        let main = system.process(system.main()?)?;
        main.snapshot.wait.filter(|(wait, _)| *wait == WaitFor::Mail)
    };
    until("the main process waits for mail", || waits().is_some());
}

/// Waits until `condition` holds: it looks again each millisecond, as there is no event for the moment after a change.
///
/// # Panics
///
/// When it does not hold within a minute.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(60), "not within a minute: {what}");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// A module with what guests of these tests need beside `functions`. It can do one thing with one child at a time:
///
/// - `$spawn_as(entry, config, config_len)` spawns the function `entry` of the table, and returns the code;
/// - `$join(_)`, `$kill()` and `$sleep(ns)`; what is passed to `$join` is dropped;
/// - `$say(text, len)`, `$number(i32)` and `$say_buffer()` write to the log;
/// - `$receive()` waits for a message and says it.
pub(crate) fn guest(imports: &str, functions: &str) -> String {
    format!(
        r#"(module
        (import "lunatic::process" "next" (func $next (result i32)))
        (import "lunatic::process" "spawn" (func $spawn (param i32 i32 i32 i32 i32) (result i32)))
        (import "lunatic::process" "join" (func $join_handle (param i64 i64 i64) (result i32)))
        (import "lunatic::process" "kill_handle" (func $kill_handle (param i64 i64) (result i32)))
        (import "lunatic::process" "sleep_ns" (func $sleep (param i64)))
        (import "lunatic::mailbox" "receive" (func $receive_to (param i32 i32 i32 i32 i32 i64) (result i32)))
        (import "lunatic::buffer" "len" (func $buffer_len (result i32)))
        (import "lunatic::buffer" "take" (func $buffer_take (param i32 i32)))
        (import "log" "say" (func $say (param i32 i32)))
        (import "log" "number" (func $number (param i32)))
        {imports}
        (memory (export "memory") 1)
        ;; Options of spawns are at 1024, what they answer is at 2048, texts and mail are from 4096 on.
        (func $spawn_as (param $entry i32) (param $config i32) (param $len i32) (result i32)
            (i64.store (i32.const 1064) (i64.extend_i32_u (local.get $config)))
            (i32.store (i32.const 1072) (local.get $len))
            (call $spawn (local.get $entry) (i32.const 0) (i32.const 0) (i32.const 1024) (i32.const 2048)))
        (func $join (param $spawned i32)
            (drop (call $join_handle (i64.load (i32.const 2048)) (i64.load (i32.const 2056)) (i64.const -1))))
        (func $kill
            (drop (call $kill_handle (i64.load (i32.const 2048)) (i64.load (i32.const 2056)))))
        (func $say_buffer (local $len i32)
            (local.set $len (call $buffer_len))
            (call $buffer_take (i32.const 4096) (local.get $len))
            (call $say (i32.const 4096) (local.get $len)))
        (func $receive
            (call $say (i32.const 4200)
                (call $receive_to (i32.const 0) (i32.const 0) (i32.const 4096) (i32.const 4200) (i32.const 4096)
                    (i64.const -1))))
        {functions})"#
    )
}
