//! Contexts as guests see them: small modules, compiled and run.

use std::sync::Arc;

use wasmtime::{Engine, Linker, Module, Store};
use wasmtime_wasi::p1::{self, WasiP1Ctx};

use super::*;
use crate::report::{PanicCapture, panic_of};

/// The functions that the modules of these tests use, and a buffer for each purpose.
const HEADER: &str = r#"
    (import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "args_sizes_get" (func $args_sizes_get (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "environ_get" (func $environ_get (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ_sizes_get (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "path_open"
        (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 100) "file.txt")
    (data (i32.const 300) "thread 'main' panicked at a.rs:1:2:\nwhy\n")
    (func $check (param $errno i32) (if (local.get $errno) (then unreachable)))
    (func $write (param $fd i32) (param $at i32) (param $len i32)
        (i32.store (i32.const 0) (local.get $at))
        (i32.store (i32.const 4) (local.get $len))
        (call $check (call $fd_write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8))))
    (func $copy (param $fd i32)
        (i32.store (i32.const 0) (i32.const 1024))
        (i32.store (i32.const 4) (i32.const 1000))
        (call $check (call $fd_read (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8)))
        (call $write (i32.const 1) (i32.const 1024) (i32.load (i32.const 8))))
    (func $open (param $flags i32) (result i32)
        (call $path_open (i32.const 3) (i32.const 0) (i32.const 100) (i32.const 8) (local.get $flags)
            (i64.const 66) (i64.const 0) (i32.const 0) (i32.const 12)))
"#;

/// Runs `body` as a process and returns how it ended.
fn run(wasi: &Wasi, is_main: bool, body: &str) -> wasmtime::Result<()> {
    run_and_keep(wasi, is_main, body, &PanicCapture::default()).1
}

/// The same, with `panic` for the text of a panic. Dropping the store takes the process's context apart.
fn run_and_keep(
    wasi: &Wasi,
    is_main: bool,
    body: &str,
    panic: &PanicCapture,
) -> (Store<WasiP1Ctx>, wasmtime::Result<()>) {
    let engine = Engine::default();
    let module = format!(r#"(module {HEADER} (func (export "_start") {body}))"#);
    let module = Module::new(&engine, wat::parse_str(module).unwrap()).unwrap();
    let mut linker = Linker::<WasiP1Ctx>::new(&engine);
    p1::add_to_linker_async(&mut linker, |context| context).unwrap();
    let context = wasi.context(is_main, panic, super::clocks::FixedClock::new(0));
    let mut store = Store::new(&engine, context);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let ended = runtime.block_on(async {
        let instance = linker.instantiate_async(&mut store, &module).await?;
        instance
            .get_typed_func::<(), ()>(&mut store, "_start")?
            .call_async(&mut store, ())
            .await
    });
    (store, ended)
}

/// Runs `body` in a system with the configuration and returns what it printed.
#[track_caller]
fn printed(config: WasiConfig, is_main: bool, body: &str) -> String {
    let (stdout, capture) = Output::captured();
    let wasi = WasiConfig { stdout, ..config }.open().unwrap();
    run(&wasi, is_main, body).unwrap();
    String::from_utf8(capture.take()).unwrap()
}

#[test]
fn arguments_and_environment() {
    let config = || WasiConfig {
        args: vec!["a.wasm".into(), "x y".into()],
        env: vec![("A".into(), "1".into()), ("B".into(), "=2".into())],
        ..WasiConfig::default()
    };
    let args = "(call $check (call $args_sizes_get (i32.const 8) (i32.const 12)))
        (call $check (call $args_get (i32.const 200) (i32.const 1024)))
        (call $write (i32.const 1) (i32.const 1024) (i32.load (i32.const 12)))";
    assert_eq!(printed(config(), true, args), "a.wasm\0x y\0");
    // Every process sees them.
    let env = args.replace("$args_", "$environ_");
    assert_eq!(printed(config(), false, &env), "A=1\0B==2\0");
}

#[test]
fn standard_input_belongs_to_the_main_process() {
    let config = || WasiConfig {
        stdin: Stdin::Bytes(Arc::from(*b"hello")),
        ..WasiConfig::default()
    };
    // The second read finds the end.
    let body = "(call $copy (i32.const 0)) (call $copy (i32.const 0))";
    assert_eq!(printed(config(), true, body), "hello");
    assert_eq!(printed(config(), false, body), "");
    assert_eq!(printed(WasiConfig::default(), true, body), "");
}

#[test]
fn folders_are_opened_once() {
    let host = tempfile::tempdir().unwrap();
    let (before, after) = (host.path().join("before"), host.path().join("after"));
    std::fs::create_dir(&before).unwrap();
    std::fs::write(before.join("file.txt"), "text").unwrap();
    let (stdout, capture) = Output::captured();
    let dirs = vec![Dir {
        host: before.clone(),
        guest: "/".into(),
        read_only: false,
    }];
    let wasi = WasiConfig {
        dirs,
        stdout,
        ..WasiConfig::default()
    }
    .open()
    .unwrap();
    // Contexts share the open folder: they would not find it at its old place.
    std::fs::rename(before, after).unwrap();
    for is_main in [true, false] {
        let body = "(call $check (call $open (i32.const 0))) (call $copy (i32.load (i32.const 12)))";
        run(&wasi, is_main, body).unwrap();
        assert_eq!(capture.take(), b"text");
    }
}

#[test]
fn a_folder_can_be_read_only() {
    let host = tempfile::tempdir().unwrap();
    // With O_CREAT.
    let body = "(if (i32.eqz (call $open (i32.const 1))) (then unreachable))";
    let dir = |read_only| Dir {
        host: host.path().into(),
        guest: ".".into(),
        read_only,
    };
    printed(
        WasiConfig {
            dirs: vec![dir(true)],
            ..WasiConfig::default()
        },
        true,
        body,
    );
    assert!(!host.path().join("file.txt").exists());
    let body = "(call $check (call $open (i32.const 1)))";
    printed(
        WasiConfig {
            dirs: vec![dir(false)],
            ..WasiConfig::default()
        },
        true,
        body,
    );
    assert!(host.path().join("file.txt").exists());
}

#[test]
fn a_folder_that_was_not_given_is_not_there() {
    // 8 is EBADF: there is no descriptor 3.
    let body = "(if (i32.ne (call $open (i32.const 0)) (i32.const 8)) (then unreachable))";
    assert_eq!(printed(WasiConfig::default(), true, body), "");
}

#[test]
fn a_write_to_standard_error_goes_there() {
    let (stderr, capture) = Output::captured();
    let config = WasiConfig {
        stderr,
        ..WasiConfig::default()
    };
    let body = "(call $write (i32.const 2) (i32.const 100) (i32.const 8))";
    assert_eq!(printed(config, true, body), "");
    assert_eq!(capture.take(), b"file.txt");
}

#[test]
fn a_panic_on_standard_error_is_held_back() {
    let (stderr, capture) = Output::captured();
    let wasi = WasiConfig {
        stderr,
        ..WasiConfig::default()
    }
    .open()
    .unwrap();
    let text = "thread 'main' panicked at a.rs:1:2:\nwhy\n";
    let body = format!("(call $write (i32.const 2) (i32.const 300) (i32.const {}))", text.len());
    // The process ends as if nothing had happened: it is text like any other.
    run(&wasi, true, &body).unwrap();
    assert_eq!(capture.take(), text.as_bytes());
    // The process traps: a report takes the text before the context is taken apart.
    let panic = PanicCapture::default();
    let (store, ended) = run_and_keep(&wasi, true, &format!("{body} unreachable"), &panic);
    let panic = panic_of(&ended.unwrap_err(), &panic).expect("a panic");
    assert_eq!(panic.message, "why");
    drop(store);
    assert_eq!(capture.take(), b"");
}

#[test]
fn a_long_write_is_one_piece() {
    let (stdout, capture) = Output::captured();
    let wasi = WasiConfig {
        stdout: stdout.clone(),
        ..WasiConfig::default()
    }
    .open()
    .unwrap();
    // wasmtime-wasi hands it over in pieces of 4,096 bytes.
    let body = "(memory.fill (i32.const 1024) (i32.const 97) (i32.const 20000))
        (i32.store8 (i32.const 21024) (i32.const 10))
        (call $write (i32.const 1) (i32.const 1024) (i32.const 20001))";
    std::thread::scope(|scope| {
        let guests: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| run(&wasi, false, body).unwrap()))
            .collect();
        guests.into_iter().for_each(|guest| guest.join().unwrap());
    });
    let line = [&[b'a'; 20_000][..], b"\n"].concat();
    assert_eq!(capture.take(), line.repeat(4));
}

#[test]
fn what_cannot_be_opened() {
    #[track_caller]
    fn check(config: WasiConfig, expected: &str) {
        assert_eq!(config.open().map(|_| ()).unwrap_err().to_string(), expected);
    }
    let dir = |host: &str, guest: &str| Dir {
        host: host.into(),
        guest: guest.into(),
        read_only: false,
    };
    let dirs = |dirs: &[Dir]| WasiConfig {
        dirs: dirs.to_vec(),
        ..WasiConfig::default()
    };
    check(
        dirs(&[dir("/no/such", "/")]),
        "cannot give the program the folder /no/such: there is no such folder",
    );
    check(
        dirs(&[dir("/dev/null", "/")]),
        "cannot give the program the folder /dev/null: it is not a folder",
    );
    check(
        dirs(&[dir("/", "/a"), dir("/tmp", "/a")]),
        "two folders would be called /a in the program: rename one with HOST::GUEST",
    );
    let args = WasiConfig {
        args: vec!["a\0".into()],
        ..WasiConfig::default()
    };
    check(
        args,
        "\"a\\0\" contains a zero byte, which cannot be passed to a program: remove it",
    );
    let env = |name: &str| WasiConfig {
        env: vec![(name.into(), "1".into())],
        ..WasiConfig::default()
    };
    check(env("A=B"), "\"A=B\" cannot be the name of an environment variable");
    check(env(""), "\"\" cannot be the name of an environment variable");
}
