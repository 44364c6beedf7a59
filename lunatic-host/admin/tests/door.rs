//! The door of a program in this test, opened by good clients and bad ones.

mod opened;

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use lunatic_admin::stack::{ProfileView, StackView};
use lunatic_admin::view::{PageView, ProcessView, SystemView};
use lunatic_admin::{Client, Door, Trouble};
use lunatic_host::ExitReason;
use opened::Opened;

/// Sleeps for an hour.
const PROGRAM: &str = r#"(module
    (import "lunatic::process" "sleep_ns" (func $sleep (param i64)))
    (memory (export "memory") 1)
    (func $rests (export "_start") (call $sleep (i64.const 3600000000000))))"#;

/// Registers itself under the names `a` to `t`, and sleeps for an hour.
const MANY_NAMES: &str = r#"(module
    (import "lunatic::process" "sleep_ns" (func $sleep (param i64)))
    (import "lunatic::process" "this" (func $this (param i32)))
    (import "lunatic::registry" "register" (func $register (param i32 i32 i64 i64) (result i32)))
    (memory (export "memory") 1)
    (func (export "_start")
        (call $this (i32.const 16))
        (i32.store8 (i32.const 0) (i32.const 97))
        (loop $next
            (if (call $register (i32.const 0) (i32.const 1) (i64.load (i32.const 16)) (i64.load (i32.const 24)))
                (then unreachable))
            (i32.store8 (i32.const 0) (i32.add (i32.load8_u (i32.const 0)) (i32.const 1)))
            (br_if $next (i32.lt_u (i32.load8_u (i32.const 0)) (i32.const 117))))
        (call $sleep (i64.const 3600000000000))))"#;

fn open() -> Opened {
    opened::open(PROGRAM)
}

impl Opened {
    fn client(&self) -> Client {
        Client::new(&self.path)
    }

    /// What comes back for these bytes.
    fn send(&self, bytes: &[u8]) -> String {
        let mut stream = UnixStream::connect(&self.path).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        // The door may have closed before all is read.
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn still_answers(&self) {
        let view: SystemView = self.client().get("/v1/system").unwrap();
        assert_eq!((&*view.program, view.processes), ("test.wasm", 1));
    }
}

#[test]
fn a_program_is_shown() {
    let opened = open();
    opened.still_answers();
    let page: PageView = opened.client().get("/v1/processes").unwrap();
    assert_eq!(page.matched, 1);
    let process = &page.processes[0];
    assert!(process.is_main && process.relations.is_none());
    let whole: ProcessView = opened.client().get("/v1/processes/1").unwrap();
    assert_eq!((&*whole.id, &*whole.title), ("#1", "main"));
    assert_eq!(whole.relations.unwrap().links, [""; 0]);
}

#[test]
fn stacks_and_profiles_are_shown() {
    let opened = open();
    let client = opened.client();
    let start = Instant::now();
    let stack = loop {
        let stack: StackView = client.get("/v1/processes/1/stack").unwrap();
        // It may not have begun.
        if stack.unseen.is_none() || start.elapsed() > Duration::from_secs(60) {
            break stack;
        }
    };
    assert_eq!(stack.frames[0].function, "rests", "{stack:?}");
    let profile: ProfileView = client.post("/v1/profile?seconds=0.05&name=_start").unwrap();
    assert_eq!((profile.samples, &*profile.folded), (0, ""));
    assert!(client.get::<StackView>("/v1/processes/77/stack").is_err());
}

#[test]
fn only_the_user_may_open_the_socket() {
    let opened = open();
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&opened.path), 0o600);
    assert_eq!(mode(opened.path.parent().unwrap()), 0o700);
}

#[test]
fn a_socket_in_use_is_not_taken_and_one_left_behind_is() {
    let opened = open();
    let error = Door::open(&opened.path).unwrap_err();
    assert!(error.to_string().contains("another program"), "{error}");
    opened.still_answers();
    let left = opened.path.with_file_name("left.sock");
    drop(std::os::unix::net::UnixListener::bind(&left).unwrap());
    assert!(left.exists());
    Door::open(&left).unwrap();
}

#[test]
fn what_is_no_socket_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let (file, link) = (folder.path().join("notes.txt"), folder.path().join("link"));
    std::fs::write(&file, "important").unwrap();
    std::os::unix::fs::symlink(&file, &link).unwrap();
    for path in [&file, &link, &folder.path().to_owned()] {
        let error = Door::open(path).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists, "{error}");
    }
    assert_eq!(std::fs::read_to_string(&link).unwrap(), "important");
}

#[test]
fn lists_have_the_first_names_of_a_process() {
    let opened = opened::open(MANY_NAMES);
    let client = opened.client();
    let start = Instant::now();
    let page = loop {
        let page: PageView = client.get("/v1/processes").unwrap();
        // It may not have begun.
        if page.processes[0].names_len == 20 || start.elapsed() > Duration::from_secs(60) {
            break page;
        }
    };
    let process = &page.processes[0];
    assert_eq!((process.names.len(), process.names_len), (8, 20));
    assert_eq!(process.title, process.names[0]);
    let whole: ProcessView = client.get("/v1/processes/1").unwrap();
    assert_eq!(
        (whole.names.len(), whole.names_len, whole.title),
        (20, 20, process.title.clone())
    );
}

#[test]
fn what_cannot_be_done_is_said() {
    let opened = open();
    let client = opened.client();
    for (path, status) in [
        ("/v1/processes/77", 404),
        ("/v1/no", 404),
        ("/v1/processes?limit=x", 400),
        ("/v1/shutdown", 405),
    ] {
        match client.get::<()>(path) {
            Err(Trouble::Refused(refused, text)) => {
                assert!(refused.as_u16() == status && !text.is_empty(), "{path}: {text}")
            }
            other => panic!("{path}: {other:?}"),
        }
    }
}

#[test]
fn a_process_is_ended_by_signal_and_kill() {
    let opened = open();
    opened
        .client()
        .post::<()>("/v1/processes/1/exit?reason=enough")
        .unwrap();
    assert_eq!(opened.system.wait(), ExitReason::Error("enough".into()));
    let opened = open();
    opened.client().post::<()>("/v1/processes/1/kill").unwrap();
    assert_eq!(opened.system.wait(), ExitReason::Killed);
    let opened = open();
    opened.client().post::<()>("/v1/shutdown").unwrap();
    assert_eq!(opened.system.wait(), ExitReason::Shutdown);
}

#[test]
fn requests_that_are_none_harm_nobody() {
    let opened = open();
    let long = [b"GET /v1/system?x=".to_vec(), vec![b'y'; 1 << 20]].concat();
    let headers = (0..10_000).fold(b"GET / HTTP/1.1\r\n".to_vec(), |mut head, number| {
        head.extend(format!("x-{number}: 1\r\n").bytes());
        head
    });
    for bytes in [
        &b""[..],
        b"\0\0\0\0",
        b"GET",
        b"GET / HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"POST /v1/shutdown HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999\r\n\r\n",
        b"GET /../../etc/passwd HTTP/1.1\r\nhost: x\r\n\r\n",
        &long,
        &headers,
    ] {
        let answer = opened.send(bytes);
        assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    opened.still_answers();
    assert!(opened.system.main().is_some());
}

#[test]
fn clients_that_say_nothing_keep_others_waiting_for_some_seconds_at_most() {
    let opened = open();
    let silent: Vec<_> = (0..200).map(|_| UnixStream::connect(&opened.path).unwrap()).collect();
    opened.still_answers();
    drop(silent);
}
