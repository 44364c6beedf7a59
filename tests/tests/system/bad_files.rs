//! Files that are no good: each is refused with one line that says what is wrong and what to do, exit code 1, and without
//! anything like a panic.

use std::path::Path;

use lunatic_tests::guests::{self, Profile};
use lunatic_tests::host::Host;
use lunatic_tests::programs::{Finished, lunatic};

/// What `lunatic` says of a file, which must be one line and exit code 1.
#[track_caller]
fn refused(file: &Path) -> String {
    let finished = lunatic([file]).run().code(1);
    assert_refusal(&finished);
    assert!(
        finished.stderr.contains(&file.display().to_string()),
        "it should name the file: {finished}"
    );
    finished.stderr
}

#[track_caller]
fn assert_refusal(finished: &Finished) {
    let Finished { stdout, stderr, .. } = finished;
    assert_eq!(stdout, "", "{finished}");
    assert!(
        stderr.starts_with("error: ") && stderr.ends_with('\n') && stderr.lines().count() == 1,
        "{finished}"
    );
    assert!(
        !stderr.contains("panicked") && !stderr.contains("RUST_BACKTRACE"),
        "{finished}"
    );
}

/// Writes `bytes` to a file and has it refused, with all of `texts` in the message.
#[track_caller]
fn check(bytes: &[u8], texts: &[&str]) {
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("program.wasm");
    std::fs::write(&file, bytes).unwrap();
    let error = refused(&file);
    for text in texts {
        assert!(error.contains(text), "{text:?} is missing: {error}");
    }
}

/// A module in the text format, as a file of the binary format.
#[track_caller]
fn check_module(wat: &str, texts: &[&str]) {
    check(&wat::parse_str(wat).unwrap(), texts);
}

#[test]
fn what_is_no_module_is_named() {
    check(b"", &["empty file", "build it again"]);
    check(b"hello, world\n", &["not a WebAssembly module"]);
    check(b"\x7fELF\x02\x01\x01", &["native program", "wasm32-wasip1"]);
    check(b"#!/bin/sh\nexit 0\n", &["a script", ".wasm"]);
    check(b"PK\x03\x04", &["archive", "unpack"]);
    check(b"\x1f\x8b\x08", &["compressed", "unpack"]);
    check(b"!<arch>\n", &["library", "program"]);
    check(&[0xff; 5000], &["not a WebAssembly module"]);
    check(&[0; 5000], &["not a WebAssembly module"]);
    check(b"\0asm\x02\0\0\0", &["version 2"]);
}

#[test]
fn what_is_wrong_in_the_text_format_is_shown() {
    let error = |text: &str| {
        Host::shared()
            .load(text.as_bytes())
            .err()
            .expect("it is no module")
            .to_string()
    };
    assert!(error("(module (func unknown.instruction))").contains("unknown.instruction"));
    assert!(error("(module").contains('('));
    Host::shared()
        .program(b" ;; a comment\n(module (func (export \"_start\")))")
        .run()
        .normal();
}

#[test]
fn a_component_is_named_with_the_target_to_build_for() {
    let texts = ["component", "wasi:cli/run@0.2", "wasm32-wasip1"];
    check(&wat::parse_str("(component)").unwrap(), &texts);
    check(
        &wat::parse_str("(component (core module (func (export \"_start\"))))").unwrap(),
        &texts,
    );
}

#[test]
fn what_is_no_file_is_named() {
    let temp = tempfile::tempdir().unwrap();
    let error = refused(&temp.path().join("missing.wasm"));
    assert!(error.to_lowercase().contains("no such file"), "{error}");
    let error = refused(temp.path());
    assert!(
        error.to_lowercase().contains("directory") || error.contains("folder"),
        "{error}"
    );
}

#[cfg(unix)]
#[test]
fn a_file_that_may_not_be_read_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let temp = tempfile::tempdir().unwrap();
    let file = temp.path().join("secret.wasm");
    std::fs::write(&file, b"\0asm\x01\0\0\0").unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o000)).unwrap();
    if std::fs::read(&file).is_ok() {
        // The super-user may read everything.
        return;
    }
    let error = refused(&file);
    assert!(error.to_lowercase().contains("permission"), "{error}");
}

#[test]
fn wrong_imports_are_named() {
    let module =
        |imports: &str| format!("(module {imports} (memory (export \"memory\") 1) (func (export \"_start\")))");
    for (import, texts) in [
        (
            "(import \"lunatic::process\" \"no_such\" (func))",
            ["lunatic::process", "no_such"],
        ),
        (
            "(import \"lunatic::nothing\" \"new\" (func))",
            ["lunatic::nothing", "new"],
        ),
        (
            "(import \"env\" \"console_log\" (func (param i32)))",
            ["env", "console_log"],
        ),
        (
            "(import \"wasi_snapshot_preview1\" \"sock_invent\" (func))",
            ["wasi_snapshot_preview1", "sock_invent"],
        ),
        // The right name with another type, or of another kind.
        (
            "(import \"lunatic::channel\" \"new\" (func (param i32 i32) (result i32)))",
            ["lunatic::channel", "new"],
        ),
        (
            "(import \"lunatic::process\" \"yield_now\" (func (result i32)))",
            ["lunatic::process", "yield_now"],
        ),
        (
            "(import \"lunatic::buffer\" \"len\" (global i32))",
            ["lunatic::buffer", "len"],
        ),
        (
            "(import \"wasi_snapshot_preview1\" \"proc_exit\" (func (param i64)))",
            ["wasi_snapshot_preview1", "proc_exit"],
        ),
        ("(import \"env\" \"table\" (table 1 funcref))", ["env", "table"]),
        ("(import \"env\" \"global\" (global (mut i32)))", ["env", "global"]),
        ("(import \"\" \"\" (func))", ["import", "`::`"]),
    ] {
        check_module(&module(import), &texts);
    }
    check_module(
        "(module (import \"env\" \"memory\" (memory 1)) (func (export \"_start\")))",
        &["env", "memory"],
    );
}

#[test]
fn a_module_without_an_entry_is_named() {
    let library =
        "(module (memory (export \"memory\") 1) (func (export \"add\") (param i32) (result i32) local.get 0))";
    check_module(library, &["_start"]);
    check_module("(module)", &["_start"]);
    // There is something of that name, but no function that can be called so.
    check_module("(module (memory (export \"_start\") 1))", &["_start"]);
    check_module(
        "(module (memory (export \"memory\") 1) (func (export \"_start\") (param i32)))",
        &["_start"],
    );
    check_module(
        "(module (memory (export \"memory\") 1) (func (export \"_start\") (result i32) i32.const 0))",
        &["_start"],
    );
}

#[test]
fn a_module_whose_memory_calls_cannot_find_traps_and_says_so() {
    for memory in ["", "(memory 1)", "(memory (export \"other\") 1)"] {
        let wat = format!(
            "(module (import \"lunatic::process\" \"this\" (func $this (param i32))) {memory}
             (func (export \"_start\") (call $this (i32.const 0))))"
        );
        let ended = Host::shared().program(wat.as_bytes()).run();
        assert!(ended.trap().contains("memory"), "{ended}");
    }
    let wasi = "(module (import \"wasi_snapshot_preview1\" \"args_sizes_get\" (func $f (param i32 i32) (result i32)))
        (func (export \"_start\") (drop (call $f (i32.const 0) (i32.const 0)))))";
    let ended = Host::shared().program(wasi.as_bytes()).run();
    assert!(ended.trap().contains("memory"), "{ended}");
    // One that makes no such call needs none.
    Host::shared()
        .program(b"(module (func (export \"_start\")))")
        .run()
        .normal();
}

#[test]
fn names_of_the_host_cannot_be_taken() {
    check_module(
        "(module (func (export \"_start\")) (func (export \"lunatic:run\")))",
        &["lunatic:run", "another"],
    );
    check_module(
        "(module (func (export \"_start\")) (global (export \"lunatic:gate\") (mut i32) (i32.const 1)))",
        &["lunatic:gate"],
    );
}

#[test]
fn features_that_are_not_offered_are_named() {
    check_module(
        "(module (memory (export \"memory\") i64 1) (func (export \"_start\")))",
        &["memory64", "feature"],
    );
    check_module(
        "(module (memory (export \"memory\") 1) (memory 1) (func (export \"_start\")))",
        &["memor"],
    );
    check_module(
        "(module (memory (export \"memory\") 1 1 shared) (func (export \"_start\")))",
        &["thread", "feature"],
    );
}

#[test]
fn a_program_that_is_cut_anywhere_is_refused() {
    for name in ["power", "channels"] {
        let whole = guests::bytes(name, Profile::Debug);
        for part in 0..50 {
            let cut = &whole[..whole.len() * part / 50];
            let error = Host::shared().load(cut).err();
            let error = error
                .unwrap_or_else(|| panic!("{part}/50 of {name} is a module"))
                .to_string();
            assert!(
                error.lines().count() == 1 && error.len() > 10,
                "{part}/50 of {name}: {error:?}"
            );
        }
        check(&whole[..whole.len() / 2], &["truncated", "build or copy it again"]);
    }
}

#[test]
fn a_program_with_a_changed_byte_is_refused_or_runs_and_harms_nobody() {
    // What it does then is its own affair, but it ends (its own loops apart, none of which a byte makes here).
    let whole = wat::parse_str(
        "(module (import \"wasi_snapshot_preview1\" \"proc_exit\" (func $exit (param i32)))
         (memory (export \"memory\") 1) (table 2 funcref) (elem (i32.const 0) $f) (global (mut i32) (i32.const 5))
         (func $f (export \"_start\") (call $exit (i32.add (i32.const 1) (i32.load (i32.const 16)))))
         (data (i32.const 16) \"\\02\\00\\00\\00\"))",
    )
    .unwrap();
    for at in 0..whole.len() {
        for change in [0x01, 0x40, 0x80, 0xff] {
            let mut changed = whole.clone();
            changed[at] ^= change;
            if let Ok(module) = Host::shared().load(&changed) {
                // Whether it can be started depends on what the byte was.
                let _ = Host::shared().loaded(&module).try_run();
            }
        }
    }
    assert_eq!(Host::shared().program(&whole).run().reason.exit_code(), 3);
}

#[test]
fn a_start_function_that_traps_ends_the_main_process() {
    let ended = Host::shared()
        .program(b"(module (func $f unreachable) (start $f) (func (export \"_start\")))")
        .run();
    assert!(ended.trap().contains("unreachable"), "{ended}");
}

#[test]
fn a_start_function_that_never_ends_can_still_be_ended() {
    let host = Host::with(|builder| builder.workers(1));
    let endless = host.program(b"(module (func $f (loop $again (br $again))) (start $f) (func (export \"_start\")))");
    // They are dropped at once, while they wait for the only worker or have it.
    for _ in 0..20 {
        drop(endless.clone().start());
    }
    host.program(b"(module (func (export \"_start\")))").run().normal();
}
