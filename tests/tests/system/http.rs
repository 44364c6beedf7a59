//! A web server of a guest, under real sockets: good clients, clumsy ones and hostile ones.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use lunatic_tests::guests::Profile;
use lunatic_tests::programs::cargo_lunatic;
use lunatic_tests::serving::{Serving, guest};

const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn web(args: &[&str]) -> Serving {
    guest("web", Profile::Debug, &[], args)
}

/// What curl prints, with these arguments and the URL behind them; the status is behind it.
#[track_caller]
fn curl(args: &[&str], url: &str, stdin: &[u8]) -> String {
    let mut curl = Command::new("curl");
    curl.args([
        "--silent",
        "--show-error",
        "--max-time",
        "120",
        "--write-out",
        "[%{http_code}]",
    ]);
    let mut child = curl
        .args(args)
        .arg(url)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("could not start curl, install it (`apt-get install curl`): {error}"));
    let mut pipe = child.stdin.take().unwrap();
    let stdin = stdin.to_vec();
    let writer = std::thread::spawn(move || drop(pipe.write_all(&stdin)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(
        output.status.success(),
        "curl {args:?} {url}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Sends these bytes and reads up to the end of the connection.
fn talk(server: &Serving, bytes: &[u8]) -> String {
    let mut stream = server.connect();
    // The server may have answered and closed before all is written.
    let _ = stream.write_all(bytes);
    rest(&mut stream)
}

fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // An answer that was cut off by a reset is seen by what is missing of it.
    let _ = stream.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// One response: its head and its body.
#[track_caller]
fn response(stream: &mut TcpStream) -> (String, String) {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        let mut byte = [0];
        stream
            .read_exact(&mut byte)
            .unwrap_or_else(|error| panic!("{error} after {head:?}"));
        head.push(byte[0] as char);
    }
    let len = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |len| len.parse().unwrap());
    let mut body = vec![0; len];
    stream.read_exact(&mut body).unwrap();
    (head, String::from_utf8(body).unwrap())
}

#[track_caller]
fn is_well(server: &Serving) {
    let mut stream = server.connect();
    stream.write_all(GET).unwrap();
    assert_eq!(response(&mut stream).1, "hello");
}

#[test]
fn cargo_lunatic_run_example_http_server_answers_curl() {
    let server = Serving::start(cargo_lunatic([
        "run",
        "--quiet",
        "--example",
        "http_server",
        "--",
        "127.0.0.1:0",
    ]));
    let ask = |args: &[&str], path: &str| curl(args, &server.url(path), b"");
    assert_eq!(ask(&[], "/"), "Hello from a process of its own!\n[200]");
    assert_eq!(ask(&[], "/hello/J%C3%BCrgen%20K."), "Hello, Jürgen K.!\n[200]");
    assert_eq!(ask(&[], "/nowhere"), "404 Not Found\n[404]");
    assert_eq!(ask(&["--request", "PUT"], "/"), "405 Method Not Allowed\n[405]");
    assert!(ask(&["--head"], "/").contains("\r\ncontent-length: 33\r\n"));
    assert_eq!(ask(&["--http1.0"], "/visits"), "You are visitor 1.\n[200]");
    assert_eq!(ask(&[], "/visits"), "You are visitor 2.\n[200]");
    let squares = ask(&[], "/squares");
    assert!(
        squares.starts_with("0\n1\n4\n9\n16\n") && squares.ends_with("\n9999800001\n[200]"),
        "{}",
        squares.len()
    );
    // Long enough that curl asks for leave to send it; and in chunks.
    let body = "a line of a file\n".repeat(20_000);
    for how in [
        &["--data-binary", "@-"][..],
        &["--header", "Transfer-Encoding: chunked", "--data-binary", "@-"],
    ] {
        assert_eq!(
            curl(how, &server.url("/echo"), body.as_bytes()),
            format!("{body}[200]"),
            "{how:?}"
        );
    }
    let two = [server.url("/hello/a"), server.url("/hello/b")];
    assert_eq!(curl(&[&two[0]], &two[1], b""), "Hello, a!\n[200]Hello, b!\n[200]");
    assert_eq!(ask(&["--request", "POST"], "/drain"), "The server ends.\n[200]");
    assert_eq!(server.wait().0, Some(0));
}

#[test]
fn requests_that_come_at_once_are_answered_in_order() {
    let server = web(&[]);
    let mut stream = server.connect();
    let mut requests = Vec::new();
    for i in 0..500 {
        let body = format!("request {i}");
        write!(requests, "POST /echo HTTP/1.1\r\nHost: a\r\n").unwrap();
        match i % 2 {
            0 => write!(requests, "Content-Length: {}\r\n\r\n{body}", body.len()).unwrap(),
            _ => write!(
                requests,
                "Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
                body.len()
            )
            .unwrap(),
        }
    }
    requests.extend_from_slice(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let mut writer = stream.try_clone().unwrap();
    let writes = std::thread::spawn(move || writer.write_all(&requests).unwrap());
    let text = rest(&mut stream);
    writes.join().unwrap();
    let mut at = 0;
    for i in 0..500 {
        let body = format!("request {i}\r\n");
        at += text[at..].find(&body).unwrap_or_else(|| panic!("no answer {i}")) + body.len();
    }
    assert!(text.ends_with("hello"));
}

#[test]
fn bad_requests_are_answered_and_end_the_connection() {
    let server = web(&["body_len=100"]);
    let head = |line: &str, headers: &str| format!("{line}\r\nHost: a\r\n{headers}\r\n");
    for (request, status) in [
        (
            head("GET / HTTP/1.1", "Content-Length: 1\r\nContent-Length: 1\r\n"),
            "400",
        ),
        (
            head("GET / HTTP/1.1", "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"),
            "400",
        ),
        (head("GET / HTTP/1.1", "A: b\r\n c\r\n"), "400"),
        ("GET / HTTP/1.1\nHost: a\n\n".into(), "400"),
        ("\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\r\n\r\n".into(), "400"),
        (
            head("POST /read HTTP/1.1", "Content-Length: 101\r\n") + &"x".repeat(101),
            "413",
        ),
        (
            head(
                "POST /read HTTP/1.1",
                "Content-Length: 99999999999\r\nExpect: 100-continue\r\n",
            ),
            "413",
        ),
        (
            head("POST /read HTTP/1.1", "Transfer-Encoding: chunked\r\n")
                + "65\r\n"
                + &"x".repeat(101)
                + "\r\n0\r\n\r\n",
            "413",
        ),
        (
            head("POST /read HTTP/1.1", "Transfer-Encoding: chunked\r\n") + "5\nhello",
            "400",
        ),
        (head(&format!("GET /{} HTTP/1.1", "x".repeat(10_000)), ""), "414"),
        (head("GET / HTTP/1.1", "Expect: nothing\r\n"), "417"),
        (
            head("GET / HTTP/1.1", &format!("A: {}\r\n", "x".repeat(100_000))),
            "431",
        ),
        (head("GET / HTTP/1.1", &"A: b\r\n".repeat(200)), "431"),
        (head("GET / HTTP/1.1", "Transfer-Encoding: gzip\r\n"), "501"),
        (head("CONNECT a:1 HTTP/1.1", ""), "501"),
        (head("GET / HTTP/2.0", ""), "505"),
    ] {
        // What comes behind is never taken for a request.
        let answer = talk(&server, &[request.as_bytes(), GET].concat());
        let shown = &request[..request.len().min(100)];
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{shown:?}: {answer:?}"
        );
        assert_eq!(answer.matches("content-length: ").count(), 1, "{shown:?}: {answer}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{shown:?}: {answer}");
    }
    is_well(&server);
}

#[test]
fn who_sends_slowly_is_cut_off_and_keeps_nobody_waiting() {
    let server = web(&["head_timeout=300", "body_timeout=300", "rate_min=1000000"]);
    let mut heads: Vec<TcpStream> = (0..50).map(|_| server.connect()).collect();
    for stream in &mut heads {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n").unwrap();
    }
    let mut bodies: Vec<TcpStream> = (0..50).map(|_| server.connect()).collect();
    for stream in &mut bodies {
        stream
            .write_all(b"POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
            .unwrap();
    }
    // One of each goes on to send a little, for ever.
    let drips: Vec<_> = [&heads[0], &bodies[0]]
        .into_iter()
        .map(|stream| {
            let mut stream = stream.try_clone().unwrap();
            std::thread::spawn(move || {
                let mut sent = 0;
                while stream.write_all(b"x").is_ok() {
                    sent += 1;
                    // Nothing is waited for: being slow is the attack.
                    std::thread::sleep(Duration::from_millis(20));
                }
                sent
            })
        })
        .collect();
    is_well(&server);
    for stream in heads.iter_mut().chain(&mut bodies) {
        let answer = rest(stream);
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer:?}");
    }
    drop((heads, bodies));
    for drip in drips {
        assert!(drip.join().unwrap() > 0);
    }
    is_well(&server);
}

#[test]
fn who_reads_slowly_is_cut_off() {
    let server = web(&["write_timeout=200", "rate_min=1000000000"]);
    let mut stream = server.connect();
    stream.write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut bytes = vec![0; 1 << 16];
    // It ends although the body does not: so much nobody can take at this pace.
    while stream.read(&mut bytes).is_ok_and(|read| read > 0) {
        // Nothing is waited for: reading slowly is what is tried.
        std::thread::sleep(Duration::from_millis(1));
    }
    is_well(&server);
}

#[test]
fn idle_connections_are_closed_in_time() {
    let server = web(&["idle_timeout=200"]);
    let mut silent = server.connect();
    let mut kept = server.connect();
    kept.write_all(GET).unwrap();
    assert_eq!(response(&mut kept).1, "hello");
    assert_eq!(rest(&mut silent), "");
    assert_eq!(rest(&mut kept), "");
}

#[test]
fn halves_and_resets_harm_nobody() {
    let server = web(&[]);
    // Half-closed after the request: the answer comes all the same.
    let mut stream = server.connect();
    stream.write_all(GET).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert!(rest(&mut stream).ends_with("hello"));
    // Half a request, and then nothing.
    for part in [
        &GET[..10],
        b"POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc",
    ] {
        let mut stream = server.connect();
        stream.write_all(part).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rest(&mut stream), "");
    }
    // Closed with an answer unread, which resets the connection, while more is being sent.
    for _ in 0..50 {
        let mut stream = server.connect();
        stream.write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        stream.read_exact(&mut [0; 100]).unwrap();
        drop(stream);
    }
    for _ in 0..50 {
        drop(server.connect());
    }
    is_well(&server);
}

#[test]
fn a_full_server_says_so_and_recovers() {
    let server = web(&["connections=20"]);
    let mut kept: Vec<TcpStream> = (0..20)
        .map(|_| {
            let mut stream = server.connect();
            stream.write_all(GET).unwrap();
            assert_eq!(response(&mut stream).1, "hello");
            stream
        })
        .collect();
    let mut refused = 0;
    let floods: Vec<TcpStream> = (0..300).map(|_| server.connect()).collect();
    for mut stream in floods {
        let _ = stream.write_all(GET);
        match rest(&mut stream) {
            answer if answer.starts_with("HTTP/1.1 503 ") => refused += 1,
            answer => assert_eq!(answer, ""),
        }
    }
    assert!(refused > 0, "nobody was told why");
    // Those that were there first are served on.
    for stream in &mut kept {
        stream.write_all(GET).unwrap();
        assert_eq!(response(stream).1, "hello");
    }
    drop(kept);
    // The server finds out when it looks at the next connections.
    loop {
        let mut stream = server.connect();
        let _ = stream.write_all(GET);
        let _ = stream.shutdown(Shutdown::Write);
        if rest(&mut stream).ends_with("hello") {
            break;
        }
    }
}

#[test]
fn a_handler_that_fails_ends_its_own_connection() {
    let server = guest("web", Profile::Debug, &["--max-memory", "32M"], &[]);
    let mut other = server.connect();
    other.write_all(GET).unwrap();
    assert_eq!(response(&mut other).1, "hello");
    for path in ["/panic", "/exhaust"] {
        assert_eq!(
            talk(&server, format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()),
            ""
        );
    }
    let mut busy = server.connect();
    busy.write_all(b"GET /loop HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    other.write_all(b"GET /panics HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(response(&mut other).1, "1");
    let reports = server.end();
    assert!(reports.contains("panicked: as you wish"), "{reports}");
}

#[test]
fn a_drain_ends_idle_connections_finishes_requests_and_then_the_server() {
    let server = web(&[]);
    let mut idle = server.connect();
    idle.write_all(GET).unwrap();
    assert_eq!(response(&mut idle).1, "hello");
    // In flight: the handler reads, as it has asked for more.
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

#[test]
fn a_guest_is_a_client_too() {
    let (other, server) = (
        web(&[]),
        guest("web", Profile::Debug, &["--allow-net", "127.0.0.1"], &[]),
    );
    let ask = |url: &str| curl(&[], &server.url(&format!("/ask?{url}")), b"");
    assert_eq!(ask(&other.url("/")), "200 OK hello\n200 OK hello\n[200]");
    assert_eq!(
        ask(&other.url("/nowhere")),
        "404 Not Found 404 Not Found\n\n404 Not Found 404 Not Found\n\n[200]"
    );
    let gone = other.url("/");
    drop(other);
    assert!(ask(&gone).starts_with("cannot connect to 127.0.0.1:"));
    // Without the right to connect.
    let server = web(&[]);
    assert!(curl(&[], &server.url(&format!("/ask?{gone}")), b"").starts_with("cannot connect to 127.0.0.1:"));
}

#[test]
fn over_tls_too() {
    let rcgen::CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate can be made");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("root.pem");
    std::fs::write(&file, cert.pem()).unwrap();
    let variables = [
        format!("CERTIFICATE={}", cert.pem()),
        format!("KEY={}", signing_key.serialize_pem()),
        format!("ROOT={}", cert.pem()),
    ];
    let [certificate, key, root] = variables.each_ref().map(String::as_str);
    let server = guest(
        "web",
        Profile::Debug,
        &["--env", certificate, "--env", key],
        &["head_timeout=500"],
    );
    let url = server.url("/").replacen("http", "https", 1);
    let ca = ["--cacert", &file.to_string_lossy()];
    assert_eq!(curl(&ca, &url, b""), "hello[200]");
    let body = "x".repeat(500_000);
    let read = server.url("/echo").replacen("http", "https", 1);
    assert_eq!(
        curl(&[&ca[..], &["--data-binary", "@-"]].concat(), &read, body.as_bytes()),
        format!("{body}[200]")
    );
    // Who does not speak TLS, or nothing, is not waited for.
    assert!(!talk(&server, GET).contains("HTTP"));
    assert_eq!(rest(&mut server.connect()), "");
    let client = guest("web", Profile::Debug, &["--allow-net", "127.0.0.1", "--env", root], &[]);
    let ask = |client: &Serving| curl(&[], &client.url(&format!("/ask?{url}")), b"");
    assert_eq!(ask(&client), "200 OK hello\n200 OK hello\n[200]");
    // It trusts the system's roots, which did not sign this.
    let client = guest("web", Profile::Debug, &["--allow-net", "127.0.0.1"], &[]);
    assert!(ask(&client).starts_with("cannot connect to 127.0.0.1:"));
}

#[test]
fn a_server_without_the_right_to_listen_says_what_is_missing() {
    let path = lunatic_tests::guests::path("web", Profile::Debug).to_string_lossy();
    let finished = lunatic_tests::programs::lunatic(["run", &path, "127.0.0.1:0"]).run();
    assert_ne!(finished.code, Some(0));
    assert!(
        finished
            .stderr
            .contains("no rule that it was given allows `bind:127.0.0.1:0`"),
        "{finished}"
    );
}

mod websockets {
    use lunatic_http::client::{Client, Target};
    use lunatic_http::websocket::{Close, Message, WebSocket, WebSocketError};

    use super::*;

    fn open(server: &Serving, path: &str) -> WebSocket {
        let connect = |target: &Target, _| {
            let stream = TcpStream::connect((target.host(), target.port()))?;
            Ok(Box::new(stream) as Box<dyn lunatic_http::Transport>)
        };
        let url = server.url(path).replacen("http", "ws", 1);
        let socket = Client::with_connector(connect).websocket(&url);
        socket.unwrap_or_else(|error| panic!("{url}: {error}"))
    }

    #[track_caller]
    fn closed_with(socket: &mut WebSocket) -> u16 {
        loop {
            match socket.receive() {
                Ok(_) => {}
                Err(WebSocketError::Closed(Close { code, .. })) => return code,
                Err(error) => panic!("{error}"),
            }
        }
    }

    #[test]
    fn messages_come_back_from_one_process_or_two() {
        let server = web(&[]);
        for path in ["/ws", "/split"] {
            let mut socket = open(&server, path);
            let messages = (0..100).map(|i| match i % 2 {
                0 => Message::Text(format!("number {i} – ä")),
                _ => Message::Binary(vec![i, 255, 0]),
            });
            for message in messages.clone() {
                socket.send(message).unwrap();
            }
            for message in messages {
                assert_eq!(socket.receive().unwrap(), message, "{path}");
            }
            assert_eq!(socket.close(1000, "done"), Ok(()), "{path}");
        }
    }

    /// A connection whose WebSocket is spoken by hand.
    fn raw(server: &Serving, path: &str) -> TcpStream {
        let mut stream = server.connect();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        .unwrap();
        let (head, _) = response(&mut stream);
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        stream
    }

    /// The next frame that is no ping: its first byte and its payload.
    fn frame(stream: &mut TcpStream) -> (u8, Vec<u8>) {
        loop {
            let mut head = [0; 2];
            stream.read_exact(&mut head).unwrap();
            let mut payload = vec![0; head[1].into()];
            stream.read_exact(&mut payload).unwrap();
            if head[0] != 0x89 {
                return (head[0], payload);
            }
        }
    }

    #[test]
    fn a_split_websocket_keeps_the_rules() {
        let server = web(&[]);
        let mut socket = open(&server, "/split");
        socket.send("x".repeat(1001)).unwrap();
        assert_eq!(closed_with(&mut socket), 1009);
        let mut socket = open(&server, "/split");
        socket.send("bye").unwrap();
        assert_eq!(closed_with(&mut socket), 4000);
        for (bytes, first, payload) in [
            // A ping and a close, each with a mask of zeros.
            (&[0x89, 0x82, 0, 0, 0, 0, b'h', b'i'][..], 0x8a, &b"hi"[..]),
            (&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8], 0x88, &[0x03, 0xe8]),
            (&[0x88, 0x80, 0, 0, 0, 0], 0x88, &[]),
        ] {
            let mut stream = raw(&server, "/split");
            stream.write_all(bytes).unwrap();
            assert_eq!(frame(&mut stream), (first, payload.to_vec()));
        }
        for (bytes, code) in [
            // Without a mask; a continuation of nothing; a text that is none.
            (&[0x81, 0x01, b'x'][..], 1002_u16),
            (&[0x80, 0x81, 0, 0, 0, 0, b'x'], 1002),
            (&[0x81, 0x81, 0, 0, 0, 0, 0xff], 1007),
            // Nothing at all: it is asked, and does not answer.
            (&[], 1001),
        ] {
            let mut stream = raw(&server, "/split");
            stream.write_all(bytes).unwrap();
            let (first, payload) = frame(&mut stream);
            assert_eq!((first, &payload[..2]), (0x88, &code.to_be_bytes()[..]), "{bytes:?}");
            assert_eq!(rest(&mut stream), "");
        }
    }

    #[test]
    fn who_floods_a_split_websocket_is_held_up() {
        let server = guest("web", Profile::Debug, &["--max-memory", "32M"], &[]);
        let mut stream = raw(&server, "/split");
        let mut message = vec![0x82, 0xfe, 0x03, 0x84, 0, 0, 0, 0];
        message.resize(8 + 900, b'x');
        let many = message.repeat(100);
        // Nothing is read of what comes back, so the server cannot go on either, and must not collect what it gets.
        stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
        let mut sent = 0_u64;
        while stream.write_all(&many).is_ok() {
            sent += many.len() as u64;
            assert!(sent < 1 << 30, "it goes on to take what it cannot answer");
        }
        is_well(&server);
    }

    #[test]
    fn a_drain_closes_websockets_at_the_deadline() {
        let server = web(&[]);
        let mut socket = open(&server, "/ws");
        socket.send("hello").unwrap();
        assert_eq!(socket.receive().unwrap(), "hello".into());
        curl(&["--request", "POST"], &server.url("/drain/200"), b"");
        assert!(matches!(
            socket.receive(),
            Err(WebSocketError::Closed(_) | WebSocketError::Broken(_))
        ));
        assert_eq!(server.wait().0, Some(0));
    }
}
