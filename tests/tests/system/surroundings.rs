//! Hostile surroundings: files that are not what they seem, projects and caches that strangers made, and other systems in the same
//! host.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lunatic_host::wasi::Output;
use lunatic_sys::codes::{CLOSED, INVALID};
use lunatic_tests::host::{Host, PATIENCE};
use lunatic_tests::imports;
use lunatic_tests::programs::{Finished, cargo_lunatic, lunatic};

fn mkfifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// A program that exits with a code.
fn exits_with(code: i32) -> String {
    format!(
        r#"(module (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (func (export "_start") (call $exit (i32.const {code}))))"#
    )
}

/// Nothing that a terminal would obey.
#[track_caller]
fn check_harmless(finished: &Finished) {
    let shown = finished.stdout.clone() + &finished.stderr;
    let obeyed = shown.chars().find(|c| c.is_control() && !matches!(c, '\n' | '\t'));
    assert_eq!(obeyed, None, "{finished:?}");
}

#[test]
fn a_module_without_an_end_is_given_up() {
    let finished = lunatic(["/dev/zero"]).run().code(1);
    assert!(finished.stderr.contains("too large for a module"), "{finished}");
    let temp = tempfile::tempdir().unwrap();
    for (name, head) in [("binary", &b"\0asm\x01\0\0\0"[..]), ("text", b"(module ")] {
        let file = temp.path().join(name);
        std::fs::write(&file, head).unwrap();
        // 10 GiB that take up nothing.
        std::fs::OpenOptions::new()
            .write(true)
            .open(&file)
            .unwrap()
            .set_len(10 << 30)
            .unwrap();
        let finished = lunatic([&file]).run().code(1);
        assert!(finished.stderr.contains("too large for a module"), "{finished}");
    }
}

#[test]
fn a_module_can_come_through_a_pipe() {
    let temp = tempfile::tempdir().unwrap();
    let pipe = temp.path().join("pipe");
    mkfifo(&pipe);
    let mut child = lunatic([&pipe]).into_command().spawn().unwrap();
    std::fs::write(&pipe, exits_with(7)).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(7));
    // Endless zeros, whose writer is left behind.
    let mut child = lunatic([&pipe]).into_command().stderr(Stdio::piped()).spawn().unwrap();
    let mut zeros = Command::new("dd");
    zeros
        .arg("if=/dev/zero")
        .arg(format!("of={}", pipe.display()))
        .arg("bs=1M")
        .stderr(Stdio::null());
    let mut zeros = zeros.spawn().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    zeros.wait().unwrap();
}

#[test]
fn the_name_of_a_module_is_not_obeyed_by_a_terminal() {
    let temp = tempfile::tempdir().unwrap();
    let name = "\u{1b}]0;mine\u{7}\u{1b}[2J\u{202e}.wasm";
    let file = temp.path().join(name);
    check_harmless(&lunatic([&file]).run().code(1));
    for text in [
        "no module",
        "(module (import \"a\u{1b}[2J\" \"b\u{7}\" (func)) (func (export \"_start\")))",
        "(module (func $\u{202e} (export \"_start\") unreachable))",
    ] {
        std::fs::write(&file, text).unwrap();
        let finished = lunatic([&file]).run();
        assert_ne!(finished.code, Some(0), "{finished}");
        check_harmless(&finished);
    }
}

/// A project of which nothing is built: `doctor` says what `lunatic.toml` would give its programs.
#[test]
fn what_a_strangers_project_would_get_is_told_and_not_obeyed() {
    let temp = tempfile::tempdir().unwrap();
    let package = "[package]\nname = \"project\"\nedition = \"2024\"\n\n[workspace]\n";
    std::fs::write(temp.path().join("Cargo.toml"), package).unwrap();
    let doctor = |text: &str| {
        std::fs::write(temp.path().join("lunatic.toml"), text).unwrap();
        let finished = cargo_lunatic(["doctor"]).current_dir(temp.path()).run();
        check_harmless(&finished);
        finished.stdout
    };
    let told = doctor(
        "dir = ['/etc::/e', '../../..::/up', \"\\u001b[2J\\ncargo  /evil\"]\nenv = ['HOME']\nallow-net = ['*']\n",
    );
    for line in [
        "dir /etc::/e\n",
        "dir ../../..::/up\n",
        "env HOME\n",
        "allow-net *\n",
        "\\u{1b}[2J\\ncargo  /evil",
    ] {
        assert!(told.contains(line), "{line} is not in {told}");
    }
    assert!(!told.contains("\ncargo  /evil"), "{told}");
    assert!(doctor("\u{1b}[2J = 1").contains("unreadable"));
}

/// The entries of a cache.
fn entries(folder: &Path) -> Vec<std::path::PathBuf> {
    let Ok(files) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    files
        .flat_map(|file| {
            let path = file.unwrap().path();
            if path.is_dir() { entries(&path) } else { vec![path] }
        })
        .collect()
}

#[test]
fn an_entry_in_the_place_of_another_is_not_run() {
    let temp = tempfile::tempdir().unwrap();
    let cache = temp.path().join("cache");
    let run = |code: i32| {
        let file = temp.path().join(format!("{code}.wat"));
        std::fs::write(&file, exits_with(code)).unwrap();
        lunatic([&file]).env("LUNATIC_CACHE", &cache).run().code(code);
    };
    run(3);
    let first = entries(&cache);
    run(4);
    let others: Vec<_> = entries(&cache)
        .into_iter()
        .filter(|entry| !first.contains(entry))
        .collect();
    assert!(!first.is_empty() && first.len() == others.len(), "{first:?} {others:?}");
    for (one, other) in first.iter().zip(&others) {
        std::fs::copy(one, other).unwrap();
    }
    run(4);
    run(3);
}

#[test]
fn a_cache_that_others_can_write_to_is_not_used() {
    let temp = tempfile::tempdir().unwrap();
    let (file, cache) = (temp.path().join("program.wat"), temp.path().join("cache"));
    std::fs::write(&file, exits_with(5)).unwrap();
    let modules = cache.join("modules");
    std::fs::create_dir_all(&modules).unwrap();
    std::fs::set_permissions(&modules, std::fs::Permissions::from_mode(0o777)).unwrap();
    let run = || lunatic([&file]).env("LUNATIC_CACHE", &cache).run().code(5);
    run();
    assert_eq!(entries(&cache), [""; 0].map(std::path::PathBuf::from));
    // The same through a link, and in the place of the folder of what guests compile.
    std::fs::rename(&modules, cache.join("open")).unwrap();
    std::os::unix::fs::symlink("open", &modules).unwrap();
    run();
    assert_eq!(entries(&cache), [""; 0].map(std::path::PathBuf::from));
}

/// Has a process, a channel, two sockets, a timer and a name, writes down the handles, and waits for a message. Then it looks at what
/// has become of them, and exits with 0 if all is as it was.
fn owner() -> Vec<u8> {
    let text = format!(
        r#"(module
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        {}
        (memory (export "memory") 1)
        (data (i32.const 0) "\00\04\00\00\48\00\00\00")
        (data (i32.const 16) "mine")
        (func $check (param i32 i32) (if (i32.eqz (local.get 0)) (then (call $exit (local.get 1)))))
        (func (export "_start")
            (call $process.this (i32.const 1024))
            (drop (call $channel.new (i64.const 0) (i32.const 1040)))
            (drop (call $net.unix_pair (i32.const 1056) (i32.const 1072)))
            (drop (call $timer.send_after (i64.load (i32.const 1024)) (i64.load (i32.const 1032)) (i64.const 7)
                (i32.const 0) (i32.const 0) (i64.const 3600000000000) (i64.const 0) (i32.const 1088)))
            (drop (call $registry.register (i32.const 16) (i32.const 4) (i64.load (i32.const 1024)) (i64.load (i32.const 1032))))
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
            (i64.store (i32.const 2000) (i64.const 9))
            (drop (call $mailbox.receive (i32.const 2000) (i32.const 1) (i32.const 2048) (i32.const 3000) (i32.const 0) (i64.const -1)))
            (call $check (i32.eq (call $channel.try_receive (i64.load (i32.const 1040)) (i64.load (i32.const 1048)) (i32.const 3000) (i32.const 9))
                (i32.const -4)) (i32.const 1))
            (call $check (i32.eq (call $net.try_write (i64.load (i32.const 1056)) (i64.load (i32.const 1064)) (i32.const 0) (i32.const 5))
                (i32.const 5)) (i32.const 2))
            (call $check (i32.eq (call $net.read (i64.load (i32.const 1072)) (i64.load (i32.const 1080)) (i32.const 3000) (i32.const 9))
                (i32.const 5)) (i32.const 3))
            (call $check (call $timer.cancel (i64.load (i32.const 1088))) (i32.const 4))
            ;; Nothing was sent to it but what it was to wait for.
            (call $check (i32.eq (call $mailbox.receive (i32.const 0) (i32.const 0) (i32.const 2048) (i32.const 3000) (i32.const 0) (i64.const 0))
                (i32.const -4)) (i32.const 5))))"#,
        imports::declarations()
    );
    wat::parse_str(&text).unwrap()
}

/// A handle at a place, changed in its two words.
fn handle(at: u32, (id, key): (i64, i64)) -> String {
    format!(
        "(i64.xor (i64.load (i32.const {at})) (i64.const {id})) (i64.xor (i64.load (i32.const {})) (i64.const {key}))",
        at + 8
    )
}

/// What somebody else tries who has read the handles of [`owner`], and what each must answer. Sockets, which are one process's at a
/// time, are tried as they are; the others, which are good for whoever has them, with a word changed.
fn attempts() -> Vec<(String, i32)> {
    let forged = [(1, 0), (0, 1), (1 << 32, 0), (2, 1), (0, i64::MIN), (-1, -1)];
    let mut attempts = Vec::new();
    for change in forged {
        let (process, channel) = (handle(1024, change), handle(1040, change));
        for call in [
            format!("process.is_alive {process}"),
            format!("process.kill_handle {process}"),
            format!("process.link {process}"),
            format!("process.monitor {process} (i64.const 0) (i32.const 3000)"),
            format!("process.exit_signal {process} (i32.const 3100) (i32.const 8)"),
            format!("mailbox.send {process} (i64.const 9) (i32.const 0) (i32.const 0)"),
            format!("registry.register (i32.const 16) (i32.const 4) {process}"),
            format!("rights.usage {process} (i32.const 3000)"),
            format!("channel.try_send {channel} (i32.const 0) (i32.const 1)"),
            format!("channel.try_receive {channel} (i32.const 3000) (i32.const 9)"),
        ] {
            attempts.push((call, INVALID));
        }
    }
    for at in [1056, 1072] {
        for change in [(0, 0)].into_iter().chain(forged) {
            let socket = handle(at, change);
            let expected = if change == (0, 0) { CLOSED } else { INVALID };
            for call in [
                format!("net.read {socket} (i32.const 3000) (i32.const 9)"),
                format!("net.try_write {socket} (i32.const 0) (i32.const 5)"),
                format!("net.shutdown {socket} (i32.const 2)"),
                format!("net.close {socket}"),
                format!("net.clone {socket} (i32.const 3000)"),
                format!("net.claim {socket}"),
            ] {
                attempts.push((call, expected));
            }
        }
    }
    for change in [1, -1, i64::MIN, 256] {
        attempts.push((
            format!("timer.cancel (i64.xor (i64.load (i32.const 1088)) (i64.const {change}))"),
            0,
        ));
    }
    attempts.push((
        "registry.lookup (i32.const 16) (i32.const 4) (i32.const 3000)".into(),
        CLOSED,
    ));
    attempts
}

fn stranger(attempts: &[(String, i32)]) -> Vec<u8> {
    let mut calls = String::new();
    for (number, (call, _)) in attempts.iter().enumerate() {
        calls += &format!("(i32.store (i32.const {}) (call ${call}))\n", 8192 + 4 * number);
    }
    let text = format!(
        r#"(module
        (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        {}
        (memory (export "memory") 1)
        (data (i32.const 0) "\00\04\00\00\48\00\00\00")
        (data (i32.const 16) "mine")
        (data (i32.const 3100) "\04\00\00\00\00\00\00\00")
        (func (export "_start")
            ;; Things of its own, by which places in tables could be guessed.
            (drop (call $channel.new (i64.const 0) (i32.const 4000)))
            (drop (call $net.unix_pair (i32.const 4016) (i32.const 4032)))
            (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
            {calls}
            (i32.store (i32.const 0) (i32.const 8192))
            (i32.store (i32.const 4) (i32.const {}))
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#,
        imports::declarations(),
        4 * attempts.len()
    );
    wat::parse_str(&text).unwrap()
}

#[test]
fn a_system_reaches_nothing_of_another_in_the_same_host() {
    let host = Host::with(|builder| builder.workers(2));
    let (output, written) = Output::captured();
    let owner = host.program(&owner()).stdout(output).start();
    let start = Instant::now();
    let mut handles = Vec::new();
    while handles.len() < 72 {
        handles.extend(written.take());
        assert!(start.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(1));
    }
    let attempts = attempts();
    let (output, answers) = Output::captured();
    let program = host
        .program(&stranger(&attempts))
        .stdin(&handles)
        .stdout(output.clone());
    let stranger = program.start();
    let reason = stranger.wait_timeout(PATIENCE).expect("it ends");
    assert_eq!(reason.exit_code(), 0, "{reason}");
    output.finish();
    let answers = answers.take();
    let answers: Vec<i32> = answers
        .as_chunks::<4>()
        .0
        .iter()
        .map(|bytes| i32::from_le_bytes(*bytes))
        .collect();
    assert_eq!(answers.len(), attempts.len());
    let wrong: Vec<_> = attempts
        .iter()
        .zip(&answers)
        .filter(|((_, expected), answer)| expected != *answer)
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    owner.send(owner.main().expect("it is alive"), 9, b"").unwrap();
    let reason = owner.wait_timeout(PATIENCE).expect("it ends");
    assert_eq!(reason.exit_code(), 0, "{reason}");
}
