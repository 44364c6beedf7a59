//! A plugin host: modules that strangers wrote run in processes that may print, compute for a moment, and do nothing else.
//!
//! Run it with `cargo lunatic run --example plugin_host`.

use std::time::Duration;

use lunatic::{ExitReason, Module, Process, ProcessConfig, TrapCode};

// ANCHOR: host
/// Runs a plugin, a module with an exported function `run`: what it has printed, or what is wrong with it.
fn run(plugin: &[u8]) -> Result<String, String> {
    let module = Module::compile(plugin).map_err(|_| "is no module that can run here")?;
    let config = ProcessConfig::new()
        .capture_stdout()
        .discard_stderr()
        .max_memory(1 << 20)
        .cpu_time(Duration::from_millis(50));
    let process = Process::builder().config(&config).spawn_export(module, "run");
    let process = process.map_err(|error| error.to_string())?;
    match process.join() {
        ExitReason::Normal => Ok(String::from_utf8_lossy(&process.take_stdout()).into_owned()),
        ExitReason::Trap {
            code: TrapCode::OutOfBounds,
            ..
        } => Err("used memory that it does not have".to_owned()),
        reason => Err(reason.to_string()),
    }
}
// ANCHOR_END: host

/// Plugins as a compiler would make them, here in WebAssembly's text format.
const PLUGINS: [(&str, &str); 4] = [
    (
        "polite",
        r#"(module
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            ;; Where the text begins, its length, and the text.
            (data (i32.const 0) "\08\00\00\00\09\00\00\00good day\n")
            (func (export "run")
                (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 64)))))"#,
    ),
    ("endless", r#"(module (func (export "run") (loop $again (br $again))))"#),
    (
        "careless",
        r#"(module
            (memory (export "memory") 1)
            (func (export "run") (drop (i32.load (i32.const 0x10000000)))))"#,
    ),
    (
        "curious",
        r#"(module
            (import "system" "shell" (func $shell))
            (func (export "run") (call $shell)))"#,
    ),
];

fn main() {
    for (name, plugin) in PLUGINS {
        match run(plugin.as_bytes()) {
            Ok(text) => println!("{name} says: {}", text.trim_end()),
            Err(why) => println!("{name} {why}"),
        }
    }
}
