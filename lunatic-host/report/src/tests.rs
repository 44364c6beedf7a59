//! Reports of real traps: small modules, compiled and run.

use super::*;
use std::num::NonZeroUsize;
use wasmtime::{Caller, Config, Engine, Extern, Linker, Module, Store};

const STACK_LEN: usize = 256 << 10;

struct Run {
    error: wasmtime::Error,
    panic: Option<Panic>,
    symbols: Symbols,
    /// What the host would have printed by the time it writes the report.
    printed: String,
}

/// Standard error of the module.
#[derive(Default)]
struct Stderr {
    panic: PanicCapture,
    printed: Vec<u8>,
}

/// Runs a module's `_start` to its bad end.
fn run(wasm: &[u8]) -> Run {
    let mut config = Config::new();
    config.wasm_backtrace_max_frames(NonZeroUsize::new(FRAMES_MAX));
    config.wasm_backtrace_details(wasmtime::WasmBacktraceDetails::Disable);
    config.max_wasm_stack(STACK_LEN);
    let engine = Engine::new(&config).unwrap();
    let module = Module::new(&engine, wasm).unwrap();
    let mut store = Store::new(&engine, Stderr::default());
    let error = host(&engine)
        .instantiate(&mut store, &module)
        .and_then(|instance| instance.get_typed_func::<(), ()>(&mut store, "_start"))
        .and_then(|start| start.call(&mut store, ()))
        .unwrap_err();
    let Stderr {
        panic: capture,
        mut printed,
    } = store.into_data();
    let panic = panic_of(&error, &capture);
    // What is left of the text comes out when the process is taken apart, as from the host's streams.
    printed.extend(capture.release());
    Run {
        error,
        panic,
        symbols: Symbols::new(wasm),
        printed: String::from_utf8(printed).unwrap(),
    }
}

/// The functions that the modules of these tests import, as little of them as these need.
fn host(engine: &Engine) -> Linker<Stderr> {
    let mut linker = Linker::new(engine);
    linker
        .func_wrap("host", "fail", || -> wasmtime::Result<()> {
            Err(wasmtime::Error::msg("the host says no"))
        })
        .unwrap();
    let wasi = "wasi_snapshot_preview1";
    linker
        .func_wrap(wasi, "proc_exit", |code: i32| -> wasmtime::Result<()> {
            Err(I32Exit(code).into())
        })
        .unwrap();
    linker.func_wrap(wasi, "fd_write", fd_write).unwrap();
    linker
}

/// `fd_write` of WASI with one buffer, to standard error.
fn fd_write(mut caller: Caller<'_, Stderr>, fd: i32, buffers: i32, count: i32, _written: i32) -> i32 {
    assert_eq!((fd, count), (2, 1));
    let Some(Extern::Memory(memory)) = caller.get_export("memory") else {
        panic!("the module exports no memory");
    };
    let (memory, stderr) = memory.data_and_store_mut(&mut caller);
    let word = |at: usize| u32::from_le_bytes(memory[at..at + 4].try_into().unwrap()) as usize;
    let (text, len) = (word(buffers as usize), word(buffers as usize + 4));
    let shown = stderr.panic.filter(&memory[text..text + len]);
    stderr.printed.extend_from_slice(&shown);
    0
}

/// The whole text of a report, for a module in text format.
#[track_caller]
fn check(module: &str, expected: &str) -> Ended {
    let run = run(&wat::parse_str(module).unwrap());
    let report = CrashReport::new(
        "#17",
        &run.error,
        run.panic.as_ref(),
        Some(&run.symbols),
        Some(STACK_LEN),
    );
    assert_eq!(format!("{}{report}", run.printed), expected);
    classify(&run.error, run.panic.as_ref())
}

fn trapped(reason: &str) -> Ended {
    Ended::Trap(reason.into())
}

#[test]
fn traps_in_plain_words() {
    #[track_caller]
    fn check_body(body: &str, reason: &str) {
        let module = format!(
            r#"(module (type $type (func (param i32))) (memory 1) (table 2 funcref) (elem (i32.const 1) $_start)
                (func $_start (export "_start") {body}))"#
        );
        let ended = check(&module, &format!("process #17 trapped: {reason}\n  0: _start\n"));
        assert_eq!(ended, trapped(reason));
    }
    check_body("unreachable", "an `unreachable` instruction was executed");
    check_body(
        "(drop (i32.div_s (i32.const 1) (i32.const 0)))",
        "integer division by zero",
    );
    check_body(
        "(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))",
        "integer overflow in a division or a conversion",
    );
    check_body(
        "(drop (i32.trunc_f64_s (f64.const 1e99)))",
        "integer overflow in a division or a conversion",
    );
    check_body(
        "(drop (i32.trunc_f64_s (f64.const nan)))",
        "a float that is not a number was converted to an integer",
    );
    check_body(
        "(drop (i32.load (i32.const 0x20000)))",
        "out-of-bounds memory access at address 0x20000, the memory ends at 0x10000",
    );
    check_body(
        "(drop (i32.load (i32.const -4)))",
        "out-of-bounds memory access at address 0xfffffffc, the memory ends at 0x10000",
    );
    check_body("(call_indirect (i32.const 0))", "a null function pointer was called");
    check_body(
        "(call_indirect (type $type) (i32.const 0) (i32.const 1))",
        "a function pointer was called as if it had another type",
    );
    check_body(
        "(call_indirect (i32.const 7))",
        "a function pointer that does not refer to a function was called (beyond the function table)",
    );
}

#[test]
fn a_stack_overflow_is_folded() {
    let module = r#"(module (func $deep (export "_start") (call $deep) (call $deep)))"#;
    let more = FRAMES_MAX - 1;
    let ended = check(
        module,
        &format!(
            "process #17 trapped: stack overflow: the process used its whole stack of 256 KB\n  0: deep\n  \
             … {more} more like the last\n  … the frames that called these were not recorded\n"
        ),
    );
    assert_eq!(ended, trapped("stack overflow: the process used its whole stack"));
}

#[test]
fn a_guests_own_stack_that_overflows() {
    let module = r#"(module (memory 1) (global $sp (mut i32) (i32.const 1024))
        (func $deep (export "_start")
            (global.set $sp (i32.sub (global.get $sp) (i32.const 16)))
            (i32.store (global.get $sp) (i32.const 1))
            (call $deep)))"#;
    let more = 1024 / 16;
    let reason = "stack overflow: endless or too deep recursion (out-of-bounds memory access at address 0xfffffff0, the \
                  memory ends at 0x10000)";
    check(
        module,
        &format!("process #17 trapped: {reason}\n  0: deep\n  … {more} more like the last\n"),
    );
}

/// A module that writes the text to standard error and then executes `unreachable`.
fn panics(text: &str) -> String {
    let len = text.len();
    let text: String = text.bytes().map(|byte| format!("\\{byte:02x}")).collect();
    format!(
        r#"(module
            (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (data (i32.const 0) "\10\00\00\00")
            (data (i32.const 16) "{text}")
            (func $core::panicking::panic (export "panic")
                (i32.store (i32.const 4) (i32.const {len}))
                (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8)))
                unreachable)
            (func $app::work (call $core::panicking::panic))
            (func $_start (export "_start") (call $app::work)))"#
    )
}

#[test]
fn a_panic_is_told_once() {
    let module = panics(
        "\nthread 'main' (1) panicked at src/main.rs:3:5:\nfirst\n\nsecond\nnote: run with `RUST_BACKTRACE=1` x\n",
    );
    let ended = check(
        &module,
        "process #17 panicked: first\n\n    second\n    at src/main.rs:3:5\n  0: app::work\n  \
         … 2 frames hidden; LUNATIC_BACKTRACE=full shows them\n",
    );
    assert_eq!(ended, Ended::Panic("first\n\nsecond".into()));
}

#[test]
fn other_text_is_printed_before_the_report() {
    let ended = check(
        &panics("oh no\n"),
        "oh no\nprocess #17 trapped: an `unreachable` instruction was executed\n  0: app::work\n  \
         … 2 frames hidden; LUNATIC_BACKTRACE=full shows them\n",
    );
    assert_eq!(ended, trapped("an `unreachable` instruction was executed"));
}

#[test]
fn out_of_memory() {
    let ended = check(
        &panics("memory allocation of 7 bytes failed\n"),
        "process #17 trapped: out of memory: memory allocation of 7 bytes failed\n  0: app::work\n  \
         … 2 frames hidden; LUNATIC_BACKTRACE=full shows them\n",
    );
    assert_eq!(ended, trapped("out of memory: memory allocation of 7 bytes failed"));
}

#[test]
fn a_panic_hook_of_the_programs_own() {
    let module = r#"(module
        (func $__rust_start_panic unreachable)
        (func $rust_panic (call $__rust_start_panic))
        (func $_start (export "_start") (call $rust_panic)))"#;
    let run = run(&wat::parse_str(module).unwrap());
    let ended = classify(&run.error, run.panic.as_ref());
    assert_eq!(
        ended,
        Ended::Panic("the program's own panic hook has the message".into())
    );
}

#[test]
fn errors_of_host_functions() {
    let module = r#"(module (import "host" "fail" (func $fail)) (func $_start (export "_start") (call $fail)))"#;
    let ended = check(module, "process #17 trapped: the host says no\n  0: _start\n");
    assert_eq!(ended, trapped("the host says no"));
}

#[test]
fn exit_codes() {
    #[track_caller]
    fn check(code: i32) {
        let module = format!(
            r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
                (memory (export "memory") 1) (func (export "_start") (call $exit (i32.const {code}))))"#
        );
        let run = run(&wat::parse_str(module).unwrap());
        assert_eq!(classify(&run.error, run.panic.as_ref()), Ended::Exit(code));
    }
    check(0);
    check(7);
    check(125);
}

#[test]
fn a_module_without_names_is_reported_with_advice_once() {
    let module = r#"(module (func (call 1)) (func unreachable) (func (call 0)) (start 2) (func (export "_start")))"#;
    let run = run(&wat::parse_str(module).unwrap());
    let report = || CrashReport::new("#1", &run.error, None, Some(&run.symbols), None).to_string();
    let text = "process #1 trapped: an `unreachable` instruction was executed\n  0: function 1\n  1: function 0\n  2: function 2\n";
    let advice = "  the module has no names: build it without `strip`, and with debug info to see lines\n";
    assert_eq!(report(), format!("{text}{advice}"));
    assert_eq!(report(), text);
}

#[test]
fn a_bug_of_the_host() {
    let payload = std::panic::catch_unwind(|| panic!("index {} is wrong", 3)).unwrap_err();
    assert_eq!(host_bug(&*payload), Ended::HostBug("index 3 is wrong".into()));
    let text = CrashReport::host_bug("#4", &*payload).to_string();
    assert!(
        text.starts_with("process #4 was ended by a bug in Lunatic: index 3 is wrong\n"),
        "{text}"
    );
}

#[test]
fn lines_and_inlined_functions() {
    let wasm = include_bytes!("testdata/lines.wasm");
    let run = run(wasm);
    let mut report = CrashReport::new("#1", &run.error, None, Some(&run.symbols), None);
    report.full = true;
    assert_eq!(
        report.to_string(),
        "process #1 trapped: an `unreachable` instruction was executed\n  0: lines::divide  /src/lines.rs:10:8\n  \
         1: lines::half    /src/lines.rs:18:5\n  2: _start         /src/lines.rs:23:27\n"
    );
}

/// Debug information that is damaged costs the lines, not the report.
#[test]
fn damaged_debug_information() {
    let wasm = include_bytes!("testdata/lines.wasm");
    let run = run(wasm);
    for at in (0..wasm.len()).step_by(7) {
        let mut damaged = wasm.to_vec();
        damaged[at] ^= 0xff;
        let symbols = Symbols::new(damaged);
        let report = CrashReport::new("#1", &run.error, None, Some(&symbols), None).to_string();
        assert!(
            report.starts_with("process #1 trapped: an `unreachable` instruction was executed\n"),
            "{report}"
        );
    }
}

/// Names of functions and messages come from the guest: a terminal obeys nothing of them, and they begin no line.
#[test]
fn what_a_guest_wrote_is_not_obeyed() {
    let name = "\u{1b}[2J\u{202e}\nprocess #1 (main) panicked: all is lost";
    let mut module = wat::parse_str(r#"(module (func (export "_start") unreachable))"#).unwrap();
    // The section of names, with one for the function.
    let mut names = vec![4];
    names.extend(b"name");
    let mut functions = vec![1, 0, name.len() as u8];
    functions.extend(name.as_bytes());
    names.extend([1, functions.len() as u8]);
    names.extend(functions);
    module.extend([0, names.len() as u8]);
    module.extend(names);
    let run = run(&module);
    let mut report = CrashReport::new("#2 `\u{9b}`", &run.error, None, Some(&run.symbols), None);
    report.reason = "a\u{1b}]0;title\u{7}\nb\rc".into();
    report.location = Some("a\u{2066}.rs:1:1".into());
    report.full = true;
    let text = report.to_string();
    assert!(
        text.starts_with("process #2 `\\u{9b}` trapped: a\\u{1b}]0;title\\u{7}\n    b\\rc\n    at a\\u{2066}.rs:1:1\n"),
        "{text}"
    );
    assert!(
        text.ends_with("  0: \\u{1b}[2J\\u{202e}\\nprocess #1 (main) panicked: all is lost\n"),
        "{text}"
    );
}
