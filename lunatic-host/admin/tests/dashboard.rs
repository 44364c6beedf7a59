//! The dashboard's port, asked by good clients and bad ones: with no token or a wrong one, as another host, from strangers' pages.

mod opened;

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use lunatic_admin::view::{PageView, SystemView};
use lunatic_admin::{Dashboard, Program, Token};
use lunatic_host::ExitReason;
use opened::Opened;

/// Sleeps for an hour.
const PROGRAM: &str = r#"(module
    (import "lunatic::process" "sleep_ns" (func $sleep (param i64)))
    (memory (export "memory") 1)
    (func (export "_start") (call $sleep (i64.const 3600000000000))))"#;

/// A program with a dashboard.
struct Shown {
    opened: Opened,
    port: Port,
}

/// A port that wants a token.
struct Port {
    address: SocketAddr,
    token: Token,
}

fn dashboard() -> (Dashboard, Port) {
    let token = Token::draw().unwrap();
    let dashboard = Dashboard::open("127.0.0.1:0".parse().unwrap(), token.clone()).unwrap();
    let address = dashboard.address();
    (dashboard, Port { address, token })
}

/// In the process that runs the program.
fn here() -> Shown {
    let opened = opened::open(PROGRAM);
    let (dashboard, port) = dashboard();
    let program = Program {
        runtime: opened.runtime.clone(),
        system: opened.system.clone(),
        name: "test.wasm".into(),
        start: Instant::now(),
    };
    dashboard.serve(program).unwrap();
    Shown { opened, port }
}

/// By the door of the program.
fn beside() -> Shown {
    let opened = opened::open(PROGRAM);
    let (dashboard, port) = dashboard();
    let socket = opened.path.clone();
    thread::spawn(move || dashboard.serve_beside(&socket).unwrap());
    Shown { opened, port }
}

impl Port {
    /// What comes back for these bytes, if nothing follows them.
    fn send(&self, bytes: &[u8]) -> String {
        self.exchange(bytes, true)
    }

    /// What comes back for these bytes. Who is gone before it is answered is not answered: a request asks for the end of the
    /// connection instead.
    fn exchange(&self, bytes: &[u8], is_all: bool) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        // The door may have closed before all is read.
        let _ = stream.write_all(bytes);
        if is_all {
            let _ = stream.shutdown(Shutdown::Write);
        }
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// The status, head and body of the answer to a request with these headers, and no others.
    fn ask(&self, request: &str, headers: &[(&str, &str)]) -> (u16, String, String) {
        let headers: String = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let request = format!("{request} HTTP/1.1\r\nconnection: close\r\n{headers}\r\n");
        let answer = self.exchange(request.as_bytes(), false);
        let (head, body) = answer
            .split_once("\r\n\r\n")
            .unwrap_or_else(|| panic!("{request}: {answer:?}"));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        (
            status.unwrap_or_else(|| panic!("{head}")),
            head.to_owned(),
            body.to_owned(),
        )
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.token.reveal())
    }

    /// As the dashboard's own pages ask.
    fn ask_well(&self, request: &str) -> (u16, String, String) {
        let (host, bearer) = (self.address.to_string(), self.bearer());
        let origin = format!("http://{host}");
        self.ask(
            request,
            &[("host", &host), ("authorization", &bearer), ("origin", &origin)],
        )
    }

    fn still_answers(&self) {
        let (status, _, body) = self.ask_well("GET /v1/system");
        assert_eq!(status, 200, "{body}");
        let view: SystemView = serde_json::from_str(&body).unwrap();
        assert_eq!((&*view.program, view.processes, view.spawned), ("test.wasm", 1, 1));
    }
}

#[test]
fn who_knows_the_token_sees_the_program_and_steers_it() {
    for shown in [here(), beside()] {
        shown.port.still_answers();
        let (_, _, body) = shown.port.ask_well("GET /v1/processes?parent=none&children=count");
        let page: PageView = serde_json::from_str(&body).unwrap();
        assert_eq!((page.matched, page.processes[0].children_len), (1, Some(0)));
        assert_eq!(shown.port.ask_well("GET /v1/processes/77").0, 404);
        assert!(
            shown
                .port
                .ask_well("GET /metrics")
                .2
                .contains("\nlunatic_processes 1\n")
        );
        assert_eq!(shown.port.ask_well("POST /v1/processes/1/exit?reason=enough").0, 200);
        assert_eq!(shown.opened.system.wait(), ExitReason::Error("enough".into()));
    }
}

#[test]
fn who_does_not_know_the_token_gets_pages_and_nothing_else() {
    let Shown { opened, port } = here();
    let host = port.address.to_string();
    for page in [
        "/",
        "/app.js",
        "/views/tree.js",
        "/style.css",
        "/vendor/uPlot.iife.min.js",
        "/icon.svg",
    ] {
        let (status, head, body) = port.ask(&format!("GET {page}"), &[("host", &host)]);
        assert!(status == 200 && !body.is_empty(), "{page}: {head}");
        assert_eq!(port.ask(&format!("POST {page}"), &[("host", &host)]).0, 405);
    }
    let wrong = Token::draw().unwrap();
    let almost = &port.token.reveal()[1..];
    for said in [
        String::new(),
        "Bearer".into(),
        port.token.reveal().into(),
        format!("Bearer {}", wrong.reveal()),
        format!("Bearer {almost}"),
        format!("Bearer {}x", port.token.reveal()),
        format!("Basic {}", port.token.reveal()),
    ] {
        for request in [
            "GET /v1/system",
            "GET /v1",
            "GET /metrics",
            "GET /v1/events?limit=1",
            "GET /nothing",
            "POST /v1/shutdown",
            "POST /v1/processes/1/kill",
        ] {
            let (status, head, body) = port.ask(request, &[("host", &host), ("authorization", &said)]);
            assert_eq!(status, 401, "{request} {said}: {head}");
            assert!(
                head.contains("www-authenticate: Bearer") && body.contains("token"),
                "{head}"
            );
        }
    }
    // Nor in the query, where it would be in logs; nor twice; nor in a cookie.
    let (token, bearer) = (port.token.reveal(), port.bearer());
    let twice = [
        ("host", &*host),
        ("authorization", &*bearer),
        ("authorization", &*bearer),
    ];
    assert_eq!(port.ask("GET /v1/system", &twice).0, 401);
    assert_eq!(
        port.ask(&format!("GET /v1/system?token={token}"), &[("host", &host)]).0,
        401
    );
    let cookie = format!("token={token}");
    assert_eq!(
        port.ask("GET /v1/system", &[("host", &host), ("cookie", &cookie)]).0,
        401
    );
    port.still_answers();
    assert!(opened.system.main().is_some());
}

#[test]
fn another_host_is_not_answered() {
    let Shown { opened, port } = here();
    let bearer = port.bearer();
    for host in [
        "evil.example",
        "127.0.0.1.evil.example:4040",
        "192.168.1.1",
        "0.0.0.0:4040",
        "",
    ] {
        for request in ["GET /", "GET /v1/system", "POST /v1/shutdown"] {
            let (status, _, body) = port.ask(request, &[("host", host), ("authorization", &bearer)]);
            assert!(status == 403 && body.contains("localhost"), "{host} {request}: {body}");
        }
    }
    assert_eq!(port.ask("GET /v1/system", &[("authorization", &bearer)]).0, 403);
    let tunnel = [("host", "localhost:9999"), ("authorization", &*bearer)];
    assert_eq!(port.ask("GET /v1/system", &tunnel).0, 200);
    assert!(opened.system.main().is_some());
}

#[test]
fn pages_of_strangers_are_not_answered() {
    let Shown { opened, port } = here();
    let (host, bearer) = (port.address.to_string(), port.bearer());
    for origin in [
        "http://evil.example",
        "null",
        "http://127.0.0.1:1",
        &format!("https://{host}"),
    ] {
        for request in [
            "POST /v1/shutdown",
            "POST /v1/processes/1/kill",
            "GET /v1/system",
            "OPTIONS /v1/shutdown",
        ] {
            let headers = [("host", &*host), ("authorization", &*bearer), ("origin", origin)];
            let (status, head, _) = port.ask(request, &headers);
            assert_eq!(status, 403, "{origin} {request}: {head}");
            assert!(!head.contains("access-control-"), "{head}");
        }
    }
    port.still_answers();
    assert!(opened.system.main().is_some());
}

#[test]
fn all_answers_say_what_a_browser_may_do_with_them() {
    let Shown { opened: _opened, port } = here();
    let host = port.address.to_string();
    for (request, headers, status) in [
        ("GET /", vec![("host", &*host)], 200),
        ("GET /v1/system", vec![("host", &*host)], 401),
        ("GET /", vec![("host", "evil.example")], 403),
        ("PUT /", vec![("host", &*host)], 405),
    ] {
        let (answered, head, _) = port.ask(request, &headers);
        assert_eq!(answered, status, "{head}");
        for header in [
            "content-security-policy: default-src 'none'; script-src 'self'",
            "frame-ancestors 'none'",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "cross-origin-resource-policy: same-origin",
            "cache-control: no-store",
        ] {
            assert!(head.contains(header), "{request}: {header} is not in {head}");
        }
        assert!(!head.contains("set-cookie"), "{head}");
    }
}

#[test]
fn requests_that_are_none_harm_nobody() {
    let Shown { opened, port } = here();
    let long = [b"GET /v1/system?x=".to_vec(), vec![b'y'; 1 << 20]].concat();
    let headers = (0..10_000).fold(b"GET / HTTP/1.1\r\nhost: localhost\r\n".to_vec(), |mut head, number| {
        head.extend(format!("x-{number}: 1\r\n").bytes());
        head
    });
    for bytes in [
        &b""[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET",
        b"GET / HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /../../etc/passwd HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: localhost\r\nhost: evil.example\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        &long,
        &headers,
    ] {
        let answer = port.send(bytes);
        assert!(!answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    port.still_answers();
    assert!(opened.system.main().is_some());
}

#[test]
fn clients_that_say_nothing_keep_others_waiting_for_some_seconds_at_most() {
    for shown in [here(), beside()] {
        let connect = || TcpStream::connect(shown.port.address).unwrap();
        let silent: Vec<_> = (0..100).map(|_| connect()).collect();
        shown.port.still_answers();
        drop(silent);
    }
}

#[test]
fn an_address_that_others_reach_is_refused_in_words() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:4040"] {
        let refused = Dashboard::open(address.parse().unwrap(), Token::draw().unwrap()).unwrap_err();
        assert!(refused.to_string().contains("ssh -L"), "{refused}");
    }
}

#[test]
fn a_client_that_goes_away_ends_the_observation() {
    for shown in [here(), beside()] {
        let runtime = &shown.opened.runtime;
        let late = Instant::now() + Duration::from_secs(60);
        let has_observers = |observers| {
            while runtime.figures().observers != observers {
                assert!(Instant::now() < late, "{:?}", runtime.figures());
                thread::yield_now();
            }
        };
        let mut client = TcpStream::connect(shown.port.address).unwrap();
        let bearer = shown.port.bearer();
        let query = "kinds=ended&failures=only&seconds=3600";
        write!(
            client,
            "GET /v1/events?{query} HTTP/1.1\r\nhost: localhost\r\nauthorization: {bearer}\r\n\r\n"
        )
        .unwrap();
        has_observers(1);
        drop(client);
        has_observers(0);
    }
}

#[test]
fn a_program_that_has_ended_is_said_to_have() {
    let (dashboard, port) = dashboard();
    thread::spawn(move || dashboard.serve_beside(Path::new("/nowhere/door.sock")).unwrap());
    let (status, _, body) = port.ask_well("GET /v1/system");
    assert!(
        status == 502 && body.contains("no program listens there"),
        "{status} {body}"
    );
    assert_eq!(port.ask_well("GET /").0, 200);
}
