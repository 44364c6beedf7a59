//! `lunatic serve`: components that handle HTTP requests. The handler is `guests/components/handler.rs`; clients are
//! plain TCP streams, so that they can misbehave.

mod client;
mod requests;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use lunatic_tests::components::{command, handler, orphan};
use lunatic_tests::host::PATIENCE;
use lunatic_tests::programs::{Finished, lunatic};
use lunatic_tests::serving::Serving;

use self::client::{get, is_closed, read_chunk, read_until, receive, send};

/// The file of the handler.
fn file() -> &'static str {
    static FILE: OnceLock<String> = OnceLock::new();
    FILE.get_or_init(|| written("handler.wasm", &handler(false)))
}

fn written(name: &str, bytes: &[u8]) -> String {
    let path = tempfile::tempdir().unwrap().keep().join(name);
    std::fs::write(&path, bytes).unwrap();
    path.to_str().unwrap().to_owned()
}

fn serving(flags: &[&str]) -> Serving {
    let before = ["serve", "--addr", "127.0.0.1:0"];
    Serving::start(lunatic([&before[..], flags, &[file()]].concat()))
}

#[test]
fn a_component_answers_http_requests() {
    let serving = serving(&[]);
    get(&serving, "/hello").check(200, "hello\n");
    get(&serving, "/nowhere").check(404, "nothing here\n");
    get(&serving, "/length").check(200, "7 bytes");
    let answer = get(&serving, "/status?418");
    answer.check(418, "a status\n");

    let mut stream = serving.connect();
    send(&mut stream, "QUERY", "/request?a=b", "X-One: 1\r\nX-One: 2\r\n\r\n");
    let answer = receive(&mut stream, true);
    let expected = "QUERY Some(\"/request?a=b\") Some(Scheme::Http) Some(\"localhost\")\nx-one=1\nx-one=2\n";
    answer.check(200, expected);
    assert!(answer.head.contains("x-handler: yes"), "{}", answer.head);

    // On the same connection.
    send(&mut stream, "HEAD", "/length", "");
    let answer = receive(&mut stream, false);
    assert!(
        answer.status == 200 && answer.head.contains("content-length: 7"),
        "{}",
        answer.head
    );
    send(&mut stream, "GET", "/status?204", "");
    assert_eq!(receive(&mut stream, false).status, 204);
    send(&mut stream, "GET", "/trailers", "TE: trailers\r\n\r\n");
    receive(&mut stream, true).check(200, "with trailers\n");
    send(&mut stream, "GET", "/hello", "Connection: close\r\n\r\n");
    receive(&mut stream, true).check(200, "hello\n");
    assert!(is_closed(&mut stream));

    let mut old = serving.connect();
    old.write_all(b"GET /hello HTTP/1.0\r\n\r\n").unwrap();
    let mut text = String::new();
    old.read_to_string(&mut text).unwrap();
    assert!(
        text.starts_with("HTTP/1.0 200") && text.ends_with("\r\n\r\nhello\n"),
        "{text}"
    );
}

#[test]
fn bodies_are_passed_on_in_parts_both_ways() {
    let serving = serving(&[]);
    let mut stream = serving.connect();
    send(&mut stream, "POST", "/echo", "Transfer-Encoding: chunked\r\n\r\n");
    stream.write_all(b"5\r\nfirst\r\n").unwrap();
    let head = read_until(&mut stream, "\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!(read_chunk(&mut stream).as_deref(), Some("first"));
    stream.write_all(b"6\r\nsecond\r\n").unwrap();
    assert_eq!(read_chunk(&mut stream).as_deref(), Some("second"));
    stream.write_all(b"0\r\n\r\n").unwrap();
    assert_eq!(read_chunk(&mut stream).as_deref(), Some(""));

    // More than is kept anywhere.
    let mut stream = serving.connect();
    let len = 4 << 20;
    send(&mut stream, "POST", "/echo", &format!("Content-Length: {len}\r\n\r\n"));
    let mut writer = stream.try_clone().unwrap();
    let writes = std::thread::spawn(move || writer.write_all(&vec![b'y'; len]).unwrap());
    let answer = receive(&mut stream, true);
    writes.join().unwrap();
    assert_eq!((answer.status, answer.body.unwrap().len()), (200, len));
}

#[test]
fn many_requests_are_answered_at_a_time() {
    let serving = serving(&["--max-requests", "8"]);
    let sleeping: Vec<TcpStream> = (0..4)
        .map(|_| {
            let mut stream = serving.connect();
            send(&mut stream, "GET", "/sleeps", "");
            stream
        })
        .collect();
    let address = serving.address();
    std::thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| {
                let mut stream = TcpStream::connect(address).unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                for _ in 0..10 {
                    send(&mut stream, "GET", "/hello", "");
                    receive(&mut stream, true).check(200, "hello\n");
                }
            });
        }
    });
    drop(sleeping);
}

#[test]
fn a_handler_that_fails_affects_no_other_request() {
    let mut serving = serving(&[]);
    let mut other = serving.connect();
    send(&mut other, "POST", "/echo", "Content-Length: 5\r\n\r\nof");
    for (path, report) in [
        ("/traps", "unreachable"),
        ("/panics", "on purpose"),
        ("/silent", "returned without an answer"),
        ("/errors", "answered with the error"),
    ] {
        assert_eq!(get(&serving, path).status, 500, "{path}");
        serving.reports(report);
    }
    assert_eq!(get(&serving, "/gives-up").status, 500);
    other.write_all(b"him").unwrap();
    receive(&mut other, true).check(200, "ofhim");
    // The report names the process.
    assert_eq!(get(&serving, "/traps").status, 500);
    serving.reports("process ");
}

#[test]
fn an_answer_that_breaks_off_is_not_complete() {
    let mut serving = serving(&[]);
    let answer = get(&serving, "/breaks-off");
    assert_eq!((answer.status, answer.body), (200, None));
    serving.reports("in the middle of an answer");
    let answer = get(&serving, "/too-long");
    assert_eq!((answer.status, answer.body), (200, None));
    get(&serving, "/hello").check(200, "hello\n");
}

#[test]
fn a_handler_that_computes_for_ever_is_ended_at_its_limit() {
    let mut serving = serving(&["--workers", "1", "--max-request-cpu", "0.5"]);
    let mut spinning = serving.connect();
    send(&mut spinning, "GET", "/spins", "");
    // Preempted meanwhile.
    get(&serving, "/hello").check(200, "hello\n");
    assert_eq!(receive(&mut spinning, true).status, 500);
    serving.reports("used up its budget");
    get(&serving, "/hello").check(200, "hello\n");
}

#[test]
fn the_memory_of_a_handler_is_limited() {
    let mut serving = serving(&["--max-memory", "32M"]);
    get(&serving, "/allocates?10").check(200, "10\n");
    assert_eq!(get(&serving, "/allocates?100").status, 500);
    serving.reports("memory");
    get(&serving, "/hello").check(200, "hello\n");
}

#[test]
fn what_a_handler_keeps_in_the_host_is_charged() {
    let mut serving = serving(&["--max-total-memory", "64M"]);
    for path in ["/floods-fields", "/floods-bodies"] {
        assert_eq!(get(&serving, path).status, 500, "{path}");
        serving.reports("memory");
        // The memory is paid back when its pages are gone. Until then, there may be none for a connection.
        let start = Instant::now();
        while !is_answered(&serving, "/hello") {
            assert!(start.elapsed() < PATIENCE, "{path}: the memory is not given back");
        }
    }
}

/// Whether a request is answered with status 200. Without memory for it, its connection is closed.
fn is_answered(serving: &Serving, path: &str) -> bool {
    let mut stream = serving.connect();
    let sent = write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    sent.is_ok() && read_until(&mut stream, "\r\n\r\n").is_some_and(|head| head.contains(" 200 "))
}

/// The end of an answer is its promised length or its trailers: what the handler does afterwards is not cut off.
#[test]
fn a_handler_continues_after_the_end_of_its_answer() {
    let mut serving = serving(&[]);
    for (path, body) in [
        ("/continues-length", "an answer\n"),
        ("/continues-empty", ""),
        ("/continues-trailers", "with trailers\n"),
    ] {
        let mut stream = serving.connect();
        send(&mut stream, "GET", path, "TE: trailers\r\n\r\n");
        receive(&mut stream, true).check(200, body);
        // The connection is free again while the handler continues.
        send(&mut stream, "GET", "/hello", "");
        receive(&mut stream, true).check(200, "hello\n");
        serving.reports(&format!("{path} has continued"));
    }
}

/// With a handle of the main process, it could kill the server.
#[test]
fn a_handler_has_no_parent() {
    let orphan = written("orphan.wasm", &orphan());
    let serving = Serving::start(lunatic(["serve", "--addr", "127.0.0.1:0", &orphan]));
    let mut stream = serving.connect();
    send(&mut stream, "GET", "/", "");
    assert_eq!(receive(&mut stream, false).status, 204);
}

#[test]
fn a_handler_that_does_not_answer_is_killed() {
    let mut serving = serving(&["--request-timeout", "0.5", "--max-requests", "1"]);
    assert_eq!(get(&serving, "/sleeps").status, 504);
    serving.reports("did not answer within 500ms");
    assert_eq!(get(&serving, "/stops-writing").body, None);
    serving.reports("wrote nothing of its answer for 500ms");
    get(&serving, "/continues").check(200, "an answer\n");
    serving.reports("did not end within 500ms after its answer");
    get(&serving, "/hello").check(200, "hello\n");
}

/// With a single place, the second request is answered only if the process of the first has ended.
#[test]
fn a_client_that_disconnects_ends_the_process_of_its_request() {
    let serving = serving(&["--max-requests", "1"]);
    let mut gone = serving.connect();
    send(&mut gone, "GET", "/sleeps", "");
    drop(gone);
    get(&serving, "/hello").check(200, "hello\n");
    let mut gone = serving.connect();
    send(&mut gone, "GET", "/stops-writing", "");
    assert!(read_until(&mut gone, "half of it").is_some());
    drop(gone);
    get(&serving, "/hello").check(200, "hello\n");
    // Nor does it matter that the handler has not read the body of the request.
    let mut gone = serving.connect();
    send(&mut gone, "POST", "/sleeps", "Content-Length: 10\r\n\r\nhalf");
    drop(gone);
    get(&serving, "/hello").check(200, "hello\n");
}

#[test]
fn slow_clients_are_disconnected() {
    let serving = serving(&["--client-timeout", "0.5", "--max-requests", "1"]);
    // The head does not arrive.
    let mut slow = serving.connect();
    slow.write_all(b"GET /hello HT").unwrap();
    assert!(is_closed(&mut slow));
    // Nothing is sent at all.
    assert!(is_closed(&mut serving.connect()));
    // The body does not arrive: the handler sees an error.
    let mut slow = serving.connect();
    send(&mut slow, "POST", "/echo", "Content-Length: 5\r\n\r\nof");
    assert_eq!(receive(&mut slow, true).body, None);
    // The answer is not read.
    let mut slow = serving.connect();
    send(&mut slow, "GET", "/pours", "");
    get(&serving, "/hello").check(200, "hello\n");
    drop(slow);
}

#[test]
fn a_connection_too_many_waits_for_another_to_end() {
    let serving = serving(&["--max-connections", "1"]);
    let mut first = serving.connect();
    send(&mut first, "GET", "/hello", "");
    receive(&mut first, true).check(200, "hello\n");
    let mut second = serving.connect();
    send(&mut second, "GET", "/hello", "");
    second.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert!(second.peek(&mut [0]).is_err());
    second.set_read_timeout(Some(PATIENCE)).unwrap();
    drop(first);
    receive(&mut second, true).check(200, "hello\n");
}

fn terminate(serving: &Serving) {
    let sent = Command::new("kill")
        .args(["-TERM", &serving.pid().to_string()])
        .status();
    assert!(sent.unwrap().success());
}

#[test]
fn a_server_that_is_asked_to_stop_answers_what_has_begun() {
    let serving = serving(&[]);
    let mut idle = serving.connect();
    send(&mut idle, "GET", "/hello", "");
    receive(&mut idle, true).check(200, "hello\n");
    let mut begun = serving.connect();
    send(&mut begun, "POST", "/echo", "Content-Length: 5\r\n\r\nof");
    assert!(read_until(&mut begun, "of").is_some());
    terminate(&serving);
    // Idle connections are closed, and there are no new ones.
    assert!(is_closed(&mut idle));
    let start = Instant::now();
    while TcpStream::connect(serving.address()).is_ok() {
        assert!(start.elapsed() < PATIENCE);
    }
    begun.write_all(b"him").unwrap();
    assert!(read_until(&mut begun, "0\r\n\r\n").unwrap().contains("him"));
    let (code, _, stderr) = serving.wait();
    assert_eq!(code, Some(0), "{stderr}");
}

#[test]
fn a_server_that_cannot_stop_in_time_is_ended() {
    let serving = serving(&["--shutdown-timeout", "0.5"]);
    let mut begun = serving.connect();
    send(&mut begun, "GET", "/stops-writing", "");
    assert!(read_until(&mut begun, "half of it").is_some());
    terminate(&serving);
    let (code, _, stderr) = serving.wait();
    assert!(
        code == Some(137) && stderr.contains("did not end within"),
        "{code:?} {stderr}"
    );
}

#[test]
fn handlers_have_the_rights_of_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("given"), "given\n").unwrap();
    let dir = format!("{}::/data:ro", folder.path().display());
    let mut serving = serving(&["--dir", &dir, "--log-denials"]);
    get(&serving, "/file").check(200, "given\n");
    get(&serving, "/sends").check(200, "ErrorCode::HttpRequestDenied\n");
    serving.reports("may not send an HTTP request to \"example.com:80\" (--allow-net example.com:80 would allow it)");
}

#[test]
fn requests_that_no_handler_gets_are_refused() {
    let serving = serving(&[]);
    let check = |request: &[u8], status: u16| {
        let mut stream = serving.connect();
        stream.write_all(request).unwrap();
        assert_eq!(
            receive(&mut stream, true).status,
            status,
            "{}",
            String::from_utf8_lossy(request)
        );
    };
    check(b"GET /hello HTTP/1.1\r\n\r\n", 400);
    check(b"GET /hello HTTP/1.1\r\nHost: \xff\r\n\r\n", 400);
    check(b"GET /hello HTTP/1.1\r\nHost: a b\r\n\r\n", 400);
    check(b"GET /hello HTTP/1.1\r\nHost: user@localhost\r\n\r\n", 400);
    check(b"GET /hello HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400);
    check(b"GET http://localhost/hello HTTP/1.1\r\n\r\n", 400);
    check(b"CONNECT example.com:80 HTTP/1.1\r\nHost: example.com\r\n\r\n", 501);
    check(b"nonsense\r\n\r\n", 400);
    let long = format!(
        "GET /hello HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n",
        "x".repeat(100 << 10)
    );
    let mut stream = serving.connect();
    // The server may close the connection before it has read all of it.
    let _ = stream.write_all(long.as_bytes());
    assert!(read_until(&mut stream, "\r\n").is_none_or(|line| line.contains("431")));
    get(&serving, "/hello").check(200, "hello\n");
}

#[test]
fn a_file_says_by_which_command_it_is_run() {
    let run = |arguments: &[&str]| -> Finished { lunatic(arguments).run() };
    let handler_only = run(&[file()]);
    assert!(
        handler_only.code == Some(1) && handler_only.stderr.contains("lunatic serve"),
        "{handler_only}"
    );
    let program = written("program.wasm", &command("", "(i32.const 0)"));
    let refused = run(&["serve", "--addr", "127.0.0.1:0", &program]);
    assert!(
        refused.code == Some(1) && refused.stderr.contains("does not handle HTTP"),
        "{refused}"
    );
    let both = written("both.wasm", &handler(true));
    assert_eq!(run(&[&both]).code(0).stdout, "the program\n");
    let serving = Serving::start(lunatic(["serve", "--addr", "127.0.0.1:0", &both]));
    get(&serving, "/hello").check(200, "hello\n");
}
