//! What ends a connection or a server: a handler that fails or takes too long, and a drain.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use lunatic_tests::guests::Profile;
use lunatic_tests::serving::guest;

use super::{GET, curl, response, rest, talk, web};

#[test]
fn a_handler_that_fails_ends_its_own_connection() {
    let mut server = guest("web", Profile::Debug, &["--max-memory", "32M"], &[]);
    let mut other = server.connect();
    other.write_all(GET).unwrap();
    assert_eq!(response(&mut other).1, "hello");
    let answer = talk(&server, b"GET /panic HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 500 Internal Server Error\r\n"), "{answer}");
    assert!(!answer.contains("as you wish"), "{answer}");
    let (_, id) = answer.split_once("request id: ").unwrap_or_else(|| panic!("{answer}"));
    let failed = format!("request {} failed: GET \"/panic\"", id.trim_end());
    // A trap is not a panic.
    assert_eq!(talk(&server, b"GET /exhaust HTTP/1.1\r\nHost: a\r\n\r\n"), "");
    let mut busy = server.connect();
    busy.write_all(b"GET /loop HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    other.write_all(b"GET /panics HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(response(&mut other).1, "1");
    server.reports(&failed);
    server.reports("panicked: as you wish");
}

#[test]
fn a_time_limit_answers_for_a_handler_that_does_not() {
    let mut server = guest("web", Profile::Debug, &["--max-memory", "32M"], &[]);
    let ask = |path: &str| talk(&server, format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
    for (path, status) in [
        ("/limited/loop", "503 Service Unavailable"),
        ("/limited/loop/within", "503 Service Unavailable"),
        ("/limited/exhaust", "500 Internal Server Error"),
        ("/limited/panic", "500 Internal Server Error"),
    ] {
        let answer = ask(path);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}\r\n")),
            "{path}: {answer}"
        );
        // One response, by whoever writes it.
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{path}: {answer}");
        assert!(answer.contains(&format!("{status}\nrequest id: ")), "{path}: {answer}");
    }
    // A handler that is in time leaves the connection as it was.
    let mut stream = server.connect();
    for _ in 0..3 {
        stream
            .write_all(b"GET /limited/quick HTTP/1.1\r\nHost: a\r\n\r\n")
            .unwrap();
        assert_eq!(response(&mut stream).1, "in time");
    }
    stream.write_all(GET).unwrap();
    assert_eq!(response(&mut stream).1, "hello");
    server.reports("panicked: under a limit");
    // The program ends by itself; after that, all its reports have arrived.
    assert!(curl(&["--request", "POST"], &server.url("/drain/60000"), b"").starts_with("draining"));
    let (_, _, reports) = server.wait();
    assert_eq!(
        reports
            .matches(" took too long and was stopped: GET \"/limited/loop")
            .count(),
        2,
        "{reports}"
    );
    assert!(
        reports.contains(" failed: GET \"/limited/exhaust\": its process "),
        "{reports}"
    );
    assert_eq!(reports.matches("panicked: under a limit").count(), 1, "{reports}");
}

#[test]
fn a_drain_ends_idle_connections_finishes_requests_and_then_the_server() {
    let server = web(&[]);
    let mut idle = server.connect();
    idle.write_all(GET).unwrap();
    assert_eq!(response(&mut idle).1, "hello");
    // In progress: the handler reads, because it has asked for more.
    let mut busy = server.connect();
    let head = "POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    busy.write_all(head.as_bytes()).unwrap();
    assert_eq!(response(&mut busy).0, "HTTP/1.1 100 Continue\r\n\r\n");
    let mut orders = server.connect();
    orders
        .write_all(b"POST /drain/60000 HTTP/1.1\r\nHost: a\r\n\r\n")
        .unwrap();
    assert_eq!(response(&mut orders).1, "draining");
    assert_eq!(rest(&mut idle), "");
    assert_eq!(rest(&mut orders), "");
    assert_eq!(
        TcpStream::connect(server.address()).unwrap_err().kind(),
        io::ErrorKind::ConnectionRefused
    );
    busy.write_all(b"hello").unwrap();
    assert_eq!(response(&mut busy).1, "hello");
    assert_eq!(rest(&mut busy), "");
    assert_eq!(server.wait(), (Some(0), "drained\n".into(), String::new()));
}

#[test]
fn a_drain_waits_for_connections_whose_handshake_is_not_over() {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate can be made");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("root.pem");
    std::fs::write(&file, cert.pem()).unwrap();
    let certificate = format!("CERTIFICATE={}", cert.pem());
    let key = format!("KEY={}", signing_key.serialize_pem());
    let flags = ["--env", &certificate, "--env", &key];
    let server = guest("web", Profile::Debug, &flags, &["head_timeout=60000"]);
    let mut silent = server.connect();
    let url = server.url("/drain/60000").replacen("http", "https", 1);
    let args = ["--request", "POST", "--cacert", &file.to_string_lossy()];
    assert!(curl(&args, &url, b"").starts_with("draining"));
    // The server would have ended by now.
    let timeout = silent.read_timeout().unwrap();
    silent.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let kind = silent.read(&mut [0]).unwrap_err().kind();
    assert!(
        matches!(kind, io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut),
        "{kind}"
    );
    silent.set_read_timeout(timeout).unwrap();
    // This is no TLS, so the connection ends, and with it the server.
    silent.write_all(GET).unwrap();
    assert!(!rest(&mut silent).contains("HTTP"));
    assert_eq!(server.wait().0, Some(0));
}

#[test]
fn what_does_not_end_in_time_is_closed_by_a_drain() {
    let server = web(&[]);
    let mut busy = server.connect();
    let head = "POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n";
    busy.write_all(head.as_bytes()).unwrap();
    assert_eq!(response(&mut busy).0, "HTTP/1.1 100 Continue\r\n\r\n");
    let mut looping = server.connect();
    looping.write_all(b"GET /loop HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert!(curl(&["--request", "POST"], &server.url("/drain/300"), b"").starts_with("draining"));
    assert_eq!(rest(&mut busy), "");
    assert_eq!(rest(&mut looping), "");
    assert_eq!(server.wait().0, Some(0));
}
