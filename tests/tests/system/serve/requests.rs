//! Requests that components send. The other server is one of the test, which does what no good one does.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};

use lunatic_tests::guests::Profile;
use lunatic_tests::host::PATIENCE;
use lunatic_tests::programs::lunatic;
use lunatic_tests::serving::{Serving, guest};

use super::client::{get, is_closed, read_chunk, read_until, send};
use super::{file, serving};

/// A server that does this with each connection, on a thread of its own.
fn server(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let serve = std::sync::Arc::new(serve);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, serve) = (stream.unwrap(), serve.clone());
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            std::thread::spawn(move || serve(stream));
        }
    });
    address
}

/// A server that answers each request in this way.
fn answering(answer: &'static str) -> SocketAddr {
    server(move |mut stream| {
        if read_until(&mut stream, "\r\n\r\n").is_some() {
            let _ = stream.write_all(answer.as_bytes());
        }
    })
}

fn path(what: &str, to: SocketAddr) -> String {
    format!("/{what}?http://{to}/path?a=b")
}

fn allowed() -> Serving {
    serving(&["--allow-net", "127.0.0.1"])
}

const ANSWER: &str = "HTTP/1.1 200 OK\r\nX-Answer: yes\r\nContent-Length: 5\r\n\r\nhello";

#[test]
fn a_component_sends_http_requests() {
    let serving = allowed();
    let (seen, heads) = channel();
    let seen = std::sync::Mutex::new(seen);
    let other = server(move |mut stream| {
        // One that is given up may send nothing.
        let Some(head) = read_until(&mut stream, "\r\n\r\n") else {
            return;
        };
        seen.lock().unwrap().send(head).unwrap();
        stream.write_all(ANSWER.as_bytes()).unwrap();
    });
    get(&serving, &path("fetches", other)).check(200, "200 yes\nhello");
    let head = heads.recv().unwrap().to_lowercase();
    let expected = format!("get /path?a=b http/1.1\r\nhost: {other}\r\nx-request: yes\r\n\r\n");
    assert_eq!(head, expected);

    let chunked = "HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n\
        3\r\none\r\n3\r\ntwo\r\n0\r\nx-sum: 6\r\n\r\n";
    get(&serving, &path("fetches", answering(chunked))).check(200, "201 \nonetwo6");

    let reading = server(|mut stream| {
        let head = read_until(&mut stream, "\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /path?a=b "), "{head}");
        let mut len = 0;
        while let Some(part) = read_chunk_and_end(&mut stream) {
            len += part;
        }
        let text = len.to_string();
        write!(
            stream,
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}",
            text.len()
        )
        .unwrap();
    });
    get(&serving, &path("posts", reading)).check(200, &format!("200 \n{}", 5 + (1 << 20)));
    get(&serving, &path("gives-up-request", other)).check(200, "200 yes\nhello");
}

/// The length of a chunk; `None` after the last one and its trailers.
fn read_chunk_and_end(stream: &mut TcpStream) -> Option<usize> {
    match read_chunk(stream)? {
        part if part.is_empty() => {
            read_until(stream, "\r\n\r\n");
            None
        }
        part => Some(part.len()),
    }
}

#[test]
fn a_request_needs_the_right_to_connect() {
    let other = answering(ANSWER);
    let port = other.port();
    let denied = "ErrorCode::HttpRequestDenied\n";
    let check = |rules: &[&str], host: &str, expected: &str| {
        let flags: Vec<_> = rules.iter().flat_map(|rule| ["--allow-net", rule]).collect();
        let serving = serving(&[&flags[..], &["--log-denials"]].concat());
        get(&serving, &format!("/fetches?http://{host}:{port}/")).check(200, expected);
        serving
    };
    let mut serving = check(&[], "127.0.0.1", denied);
    serving.reports(&format!(
        "may not send an HTTP request to \"{other}\" (--allow-net {other} would allow it)"
    ));
    check(&["127.0.0.1:1"], "127.0.0.1", denied);
    check(&["127.0.0.2"], "127.0.0.1", denied);
    check(&["127.0.0.1"], "127.0.0.1", "200 yes\nhello");
    // The rule for a name does not include its addresses, and the right to look it up is none to connect.
    check(&["localhost"], "localhost", "200 yes\nhello");
    check(&["localhost"], "127.0.0.1", denied);
    let mut serving = check(&["resolve:localhost", "127.0.0.2"], "localhost", denied);
    serving.reports(&format!("may not send an HTTP request to \"localhost:{port}\""));
    check(
        &["resolve:localhost", "127.0.0.1", "::1"],
        "LOCALHOST",
        "200 yes\nhello",
    );
}

#[test]
fn requests_go_over_tls_too() {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate can be made");
    let (certificate, key) = (
        format!("CERTIFICATE={}", cert.pem()),
        format!("KEY={}", signing_key.serialize_pem()),
    );
    let other = guest("web", Profile::Debug, &["--env", &certificate, "--env", &key], &[]);
    let folder = tempfile::tempdir().unwrap();
    let roots = folder.path().join("roots.pem");
    std::fs::write(&roots, cert.pem()).unwrap();
    let flags = [
        "serve",
        "--addr",
        "127.0.0.1:0",
        "--allow-net",
        "127.0.0.1",
        "--allow-net",
        "localhost",
        file(),
    ];
    let serving = Serving::start(lunatic(flags).env("SSL_CERT_FILE", &roots));
    let (address, port) = (other.address(), other.address().port());
    get(&serving, &format!("/fetches?https://{address}/")).check(200, "200 \nhello");
    // The certificate is for another name.
    get(&serving, &format!("/fetches?https://localhost:{port}/")).check(200, "ErrorCode::TlsCertificateError\n");
    // This server does not speak TLS.
    let plain = server(|mut stream| stream.write_all(ANSWER.as_bytes()).unwrap());
    let failed = get(&serving, &format!("/fetches?https://{plain}/")).body.unwrap();
    assert!(
        ["ErrorCode::TlsProtocolError\n", "ErrorCode::ConnectionTerminated\n"].contains(&&*failed),
        "{failed}"
    );
    // The system's roots did not sign the certificate.
    let other_root = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(&roots, other_root.cert.pem()).unwrap();
    let serving = Serving::start(lunatic(flags).env("SSL_CERT_FILE", &roots));
    get(&serving, &format!("/fetches?https://{address}/")).check(200, "ErrorCode::TlsCertificateError\n");
}

#[test]
fn a_request_that_fails_says_why() {
    let serving = allowed();
    let fails = |to: SocketAddr, expected: &str| {
        get(&serving, &path("fetches", to)).check(200, &format!("ErrorCode::{expected}\n"));
    };
    let gone = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .local_addr()
        .unwrap();
    fails(gone, "ConnectionRefused");
    fails(server(drop), "ConnectionTerminated");
    fails(answering("HTTP/1.1 200 OK\r\nX-Half"), "ConnectionTerminated");
    fails(answering("nonsense\r\n\r\n"), "HttpProtocolError");
    let long: &'static str = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(100 << 10)).leak();
    fails(answering(long), "HttpResponseHeaderSectionSize(None)");
    let cut = answering("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    get(&serving, &path("fetches", cut)).check(200, "200 \nhalf, then Some(ErrorCode::ConnectionTerminated)\n");
    let expected = [
        "HttpRequestMethodInvalid",
        "HttpRequestUriInvalid",
        "HttpRequestUriInvalid",
        "HttpProtocolError",
    ];
    let mut expected: String = expected.map(|code| format!("ErrorCode::{code}\n")).concat();
    expected += "ErrorCode::HttpRequestBodySize(Some(0))\n";
    get(&serving, &path("malformed", gone)).check(200, &expected);
}

#[test]
fn a_request_has_time_limits() {
    let serving = allowed();
    let silent = server(|mut stream| assert!(is_closed_after_head(&mut stream)));
    get(&serving, &path("fetches-in-time", silent)).check(200, "ErrorCode::HttpResponseTimeout\n");
    let stops = server(|mut stream| {
        read_until(&mut stream, "\r\n\r\n").unwrap();
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
            .unwrap();
        assert!(is_closed(&mut stream));
    });
    let expected = "200 \nhalf, then Some(ErrorCode::ConnectionReadTimeout)\n";
    get(&serving, &path("fetches-in-time", stops)).check(200, expected);
    get(&serving, &path("fetches-in-time", answering(ANSWER))).check(200, "200 yes\nhello");
}

fn is_closed_after_head(stream: &mut TcpStream) -> bool {
    read_until(stream, "\r\n\r\n").is_some() && is_closed(stream)
}

/// A server that tells when it has got the head of a request, begins its answer, and tells what came after the head before the
/// connection was closed.
fn watching() -> (SocketAddr, Receiver<Option<String>>) {
    let (tell, told): (Sender<Option<String>>, _) = channel();
    let tell = std::sync::Mutex::new(tell);
    let other = server(move |mut stream| {
        read_until(&mut stream, "\r\n\r\n").unwrap();
        let tell = tell.lock().unwrap().clone();
        tell.send(None).unwrap();
        // The process may be gone.
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
        let mut rest = Vec::new();
        // The connection may be reset.
        let _ = stream.read_to_end(&mut rest);
        let _ = tell.send(Some(String::from_utf8(rest).unwrap()));
    });
    (other, told)
}

#[test]
fn a_request_is_given_up_with_its_process() {
    let mut serving = allowed();
    let (other, told) = watching();
    let mut client = serving.connect();
    send(&mut client, "GET", &path("fetches", other), "");
    assert_eq!(told.recv_timeout(PATIENCE), Ok(None));
    // This kills the process.
    drop(client);
    assert_eq!(told.recv_timeout(PATIENCE), Ok(Some(String::new())));

    // The server does not take half a request for a whole one.
    assert_eq!(get(&serving, &path("posts-half", other)).status, 500);
    serving.reports("in the middle of a request");
    assert_eq!(told.recv_timeout(PATIENCE), Ok(None));
    let rest = told.recv_timeout(PATIENCE).unwrap().unwrap();
    assert!(!rest.contains("0\r\n\r\n"), "{rest:?}");
}

#[test]
fn requests_of_a_component_are_limited_and_charged() {
    let (other, _told) = watching();
    let serving = serving(&["--allow-net", "127.0.0.1", "--max-files", "10"]);
    get(&serving, &path("floods-requests", other)).check(200, "10 ErrorCode::ConnectionLimitReached\n");
    // And again: the former ones have ended with their process.
    get(&serving, &path("floods-requests", other)).check(200, "10 ErrorCode::ConnectionLimitReached\n");
    let serving = self::serving(&["--allow-net", "127.0.0.1", "--max-total-memory", "64M"]);
    let text = get(&serving, &path("floods-requests", other)).body.unwrap();
    let (count, code) = text.split_once(' ').unwrap();
    assert_eq!(code, "ErrorCode::ConnectionLimitReached\n");
    let count: usize = count.parse().unwrap();
    assert!((20..400).contains(&count), "{count}");
}
