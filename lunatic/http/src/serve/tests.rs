use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;

use super::*;
use crate::response::BodyWriter;
use crate::router::Router;

mod panics;

/// A peer that sends these pieces, and then nothing more: at its end a read times out, or the stream ends.
struct Script {
    pieces: VecDeque<Vec<u8>>,
    ends: bool,
    written: Rc<RefCell<Vec<u8>>>,
    /// How much one write takes.
    takes: usize,
}

impl Transport for Script {
    fn receive(&mut self, buffer: &mut [u8], _: Duration) -> io::Result<usize> {
        let Some(piece) = self.pieces.front_mut() else {
            return if self.ends {
                Ok(0)
            } else {
                Err(io::ErrorKind::TimedOut.into())
            };
        };
        let len = piece.len().min(buffer.len());
        buffer[..len].copy_from_slice(&piece[..len]);
        piece.drain(..len);
        if piece.is_empty() {
            self.pieces.pop_front();
        }
        Ok(len)
    }

    fn send(&mut self, bytes: &[u8], _: Duration) -> io::Result<usize> {
        let len = bytes.len().min(self.takes);
        self.written.borrow_mut().extend_from_slice(&bytes[..len]);
        Ok(len)
    }

    fn finish(&mut self) {}
}

/// A peer that takes some writes, and is gone then.
struct Leaver {
    script: Script,
    writes: u32,
}

impl Transport for Leaver {
    fn receive(&mut self, buffer: &mut [u8], timeout: Duration) -> io::Result<usize> {
        self.script.receive(buffer, timeout)
    }

    fn send(&mut self, bytes: &[u8], timeout: Duration) -> io::Result<usize> {
        self.writes = self.writes.checked_sub(1).ok_or(io::ErrorKind::ConnectionReset)?;
        self.script.send(bytes, timeout)
    }

    fn finish(&mut self) {}
}

/// What a server with this handler answers to these pieces, without its headers `date`.
fn talk_with(handler: impl Handler, limits: Limits, pieces: &[&[u8]], ends: bool) -> String {
    let written = Rc::new(RefCell::new(Vec::new()));
    let script = Script {
        pieces: pieces
            .iter()
            .filter(|piece| !piece.is_empty())
            .map(|piece| piece.to_vec())
            .collect(),
        ends,
        written: written.clone(),
        takes: 1000,
    };
    serve_connection(script, limits, handler);
    let text = String::from_utf8_lossy(&written.borrow()).into_owned();
    let lines = text.split_inclusive("\r\n").filter(|line| !line.starts_with("date: "));
    lines.collect()
}

fn app() -> impl Handler {
    Router::new()
        .get("/", |_| "hello")
        .post("/echo", |mut request: Request| request.read_bytes())
        .post("/stream", |request: Request| Response::new(request.into_body()))
        .post("/ignore", |_| "ignored")
        .get("/chunks", |_| {
            Response::new(Body::stream(|out| {
                out.write_all(b"one")?;
                out.flush()?;
                out.flush()?;
                out.write_all(b"two")
            }))
        })
        .get("/short", |_| {
            Response::new(Body::stream(|out| out.write_all(b"one"))).header("content-length", "4")
        })
        .get("/exact", |_| {
            Response::new(Body::stream(|out| out.write_all(b"four"))).header("content-length", "4")
        })
        .get("/fails", |_| {
            Response::new(Body::stream(|_| Err(io::ErrorKind::Other.into())))
        })
        .get("/fails-late", |_| {
            Response::new(Body::stream(|out| {
                out.write_all(b"begun")?;
                out.flush()?;
                Err(io::ErrorKind::Other.into())
            }))
        })
        .get("/empty", |_| StatusCode::NO_CONTENT)
        .get("/same", |_| StatusCode::NOT_MODIFIED)
        .get("/same-chunks", |_| {
            Response::new(Body::stream(|out| out.write_all(b"one"))).with_status(StatusCode::NOT_MODIFIED)
        })
        .get("/continue", |_| StatusCode::CONTINUE)
        .get("/close", |_| {
            Response::text("bye")
                .header("connection", "close")
                .header("transfer-encoding", "gzip")
        })
        .get("/large", |_| "x".repeat(100_000))
}

#[track_caller]
fn check(input: &str, expected: &str) {
    assert_eq!(
        talk_with(app(), Limits::default(), &[input.as_bytes()], true),
        expected,
        "{input:?}"
    );
}

const OK: &str = "HTTP/1.1 200 OK\r\n";
const TEXT: &str = "content-type: text/plain; charset=utf-8\r\n";

fn hello() -> String {
    format!("{OK}{TEXT}content-length: 5\r\n\r\nhello")
}

#[test]
fn requests_are_answered_in_order() {
    check("GET / HTTP/1.1\r\nHost: a\r\n\r\n", &hello());
    check(&"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3), &hello().repeat(3));
    check(
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        &format!(
            "{OK}content-type: application/octet-stream\r\ncontent-length: 3\r\n\r\nabc{}",
            hello()
        ),
    );
}

#[test]
fn a_connection_is_kept_as_both_sides_want() {
    let closed = hello().replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n");
    check(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        &closed,
    );
    check("GET / HTTP/1.0\r\n\r\nGET / HTTP/1.0\r\n\r\n", &closed);
    let kept = hello().replace("\r\n\r\n", "\r\nconnection: keep-alive\r\n\r\n");
    check(
        &"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n".repeat(2),
        &kept.repeat(2),
    );
    check(
        &"GET /close HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2),
        &format!("{OK}{TEXT}content-length: 3\r\nconnection: close\r\n\r\nbye"),
    );
    let limits = Limits {
        requests: 2,
        ..Limits::default()
    };
    let input = "GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3);
    assert_eq!(talk_with(app(), limits, &[input.as_bytes()], true), hello() + &closed);
}

#[test]
fn bodies_come_in_chunks_too() {
    check(
        "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\nt: u\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        &format!(
            "{OK}content-type: application/octet-stream\r\ncontent-length: 3\r\n\r\nabc{}",
            hello()
        ),
    );
    check(
        "POST /stream HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        &format!("{OK}transfer-encoding: chunked\r\n\r\n0003\r\nabc\r\n0\r\n\r\n"),
    );
    check(
        "GET /chunks HTTP/1.1\r\nHost: a\r\n\r\n",
        &format!("{OK}transfer-encoding: chunked\r\n\r\n0003\r\none\r\n0003\r\ntwo\r\n0\r\n\r\n"),
    );
    check(
        "GET /chunks HTTP/1.0\r\n\r\n",
        &format!("{OK}connection: close\r\n\r\nonetwo"),
    );
    check(
        "GET /exact HTTP/1.1\r\nHost: a\r\n\r\n",
        &format!("{OK}content-length: 4\r\n\r\nfour"),
    );
    let large = talk_with(
        app(),
        Limits::default(),
        &[b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n"],
        true,
    );
    assert!(large.ends_with(&format!("content-length: 100000\r\n\r\n{}", "x".repeat(100_000))));
}

#[test]
fn what_fails_in_time_is_an_answer_and_what_fails_late_ends_the_connection() {
    let failed = "HTTP/1.1 500 Internal Server Error\r\ncontent-type: text/plain; charset=utf-8\r\ncontent-length: 26\r\nconnection: close\r\n\r\n500 Internal Server Error\n";
    check("GET /fails HTTP/1.1\r\nHost: a\r\n\r\n", failed);
    check("GET /short HTTP/1.1\r\nHost: a\r\n\r\n", failed);
    check(
        "GET /continue HTTP/1.1\r\nHost: a\r\n\r\n",
        &failed.replace("connection: close\r\n", ""),
    );
    check(
        &"GET /fails-late HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2),
        &format!("{OK}transfer-encoding: chunked\r\n\r\n0005\r\nbegun\r\n"),
    );
}

#[test]
fn a_producer_may_end_normally_when_its_client_is_gone() {
    let producers: [fn(&mut BodyWriter) -> io::Result<()>; 4] = [
        |out| {
            while out.write_all(b"more").and_then(|()| out.flush()).is_ok() {}
            Ok(())
        },
        |out| {
            for _ in 0..5 {
                let _ = out.write_all(b"more");
                let _ = out.flush();
            }
            Ok(())
        },
        |out| {
            while out.write_all(&[b'x'; 1000]).is_ok() {}
            assert_eq!(out.write_all(b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
            let _ = out.flush();
            Ok(())
        },
        |out| {
            let _ = out.write_all(&vec![b'x'; 100_000]);
            out.write_all(b"x")
        },
    ];
    for writes in [0, 1, 2] {
        for produce in producers {
            let written = Rc::new(RefCell::new(Vec::new()));
            let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
            let script = Script {
                pieces: [request.repeat(2)].into(),
                ends: true,
                written: written.clone(),
                takes: usize::MAX,
            };
            let requests: &AtomicU32 = Box::leak(Box::default());
            let handler = move |_: Request| {
                requests.fetch_add(1, Ordering::Relaxed);
                Response::new(Body::stream(produce))
            };
            serve(
                Box::new(Leaver { script, writes }),
                Limits::default(),
                &handler,
                Box::new(Alone),
            );
            // The second request is not answered.
            assert_eq!(requests.load(Ordering::Relaxed), 1);
            assert!(!String::from_utf8_lossy(&written.borrow()).contains("\r\n0\r\n"));
        }
    }
}

/// What a server of WebSockets answers.
fn ask_for_websocket(head: &str) -> String {
    let handler = |request: Request| crate::websocket::upgrade(request, |_| ());
    talk_with(handler, Limits::default(), &[format!("GET / {head}").as_bytes()], true)
}

#[test]
fn where_there_is_a_websocket_others_are_told_to_upgrade() {
    let websocket = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 8\r\n";
    for (head, connection) in [
        ("HTTP/1.1\r\nHost: a\r\n\r\n", "upgrade"),
        (&*format!("HTTP/1.1\r\nHost: a\r\n{websocket}\r\n"), "upgrade"),
        ("HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "close, upgrade"),
        ("HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "keep-alive, upgrade"),
    ] {
        let answer = ask_for_websocket(head);
        assert!(answer.starts_with("HTTP/1.1 426 Upgrade Required\r\n"), "{answer}");
        assert!(answer.contains("\r\nupgrade: websocket\r\n"), "{answer}");
        assert!(
            answer.contains(&format!("\r\nconnection: {connection}\r\n")),
            "{answer}"
        );
    }
}

#[test]
fn a_websocket_begins_with_a_request_without_a_body() {
    let websocket = "HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";
    for (body, status) in [
        ("\r\n", "101"),
        ("Content-Length: 0\r\n\r\n", "101"),
        ("Content-Length: 2\r\n\r\n\u{1}\u{0}", "400"),
        ("Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"),
    ] {
        let answer = ask_for_websocket(&format!("{websocket}{body}"));
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{body:?}: {answer}");
    }
}

#[test]
fn some_responses_have_no_body() {
    check(
        "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
        &format!("{OK}{TEXT}content-length: 5\r\n\r\n"),
    );
    check(
        "HEAD /chunks HTTP/1.1\r\nHost: a\r\n\r\n",
        &format!("{OK}transfer-encoding: chunked\r\n\r\n"),
    );
    check(
        "HEAD /exact HTTP/1.1\r\nHost: a\r\n\r\n",
        &format!("{OK}content-length: 4\r\n\r\n"),
    );
    check(
        "GET /empty HTTP/1.1\r\nHost: a\r\n\r\n",
        "HTTP/1.1 204 No Content\r\ncontent-type: text/plain; charset=utf-8\r\n\r\n",
    );
    let two = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    check(
        &two("/same"),
        &format!(
            "HTTP/1.1 304 Not Modified\r\n{TEXT}content-length: 17\r\n\r\n{}",
            hello()
        ),
    );
    check(
        &two("/same-chunks"),
        &format!("HTTP/1.1 304 Not Modified\r\n\r\n{}", hello()),
    );
}

#[test]
fn a_body_that_nobody_read_is_skipped_or_ends_the_connection() {
    let ignored = format!("{OK}{TEXT}content-length: 7\r\n\r\nignored");
    check(
        "POST /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        &(ignored.clone() + &hello()),
    );
    let closed = ignored.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n");
    let long = format!(
        "POST /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n{}GET /",
        "x".repeat(100_000)
    );
    check(&long, &closed);
    // An endless one cannot be seen to be so.
    let chunks = "400\r\n".to_owned() + &"x".repeat(1024) + "\r\n";
    let long = format!(
        "POST /ignore HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        chunks.repeat(100)
    );
    check(&long, &ignored);
}

#[test]
fn leave_to_send_a_body_is_given_when_it_is_read() {
    const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";
    let post =
        |path: &str| format!("POST {path} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    let talk = |path: &str| talk_with(app(), Limits::default(), &[post(path).as_bytes(), b"abc"], true);
    assert_eq!(
        talk("/echo"),
        format!("{CONTINUE}{OK}content-type: application/octet-stream\r\ncontent-length: 3\r\n\r\nabc")
    );
    assert_eq!(
        talk("/stream"),
        format!("{CONTINUE}{OK}transfer-encoding: chunked\r\n\r\n0003\r\nabc\r\n0\r\n\r\n")
    );
    assert_eq!(
        talk("/ignore"),
        format!("{OK}{TEXT}content-length: 7\r\nconnection: close\r\n\r\nignored")
    );
    let limits = Limits {
        body_len: 2,
        ..Limits::default()
    };
    let refused = talk_with(app(), limits, &[post("/echo").as_bytes(), b"abc"], true);
    assert!(refused.starts_with("HTTP/1.1 413 "), "{refused}");
}

#[test]
fn a_bad_body_is_the_clients_fault_whatever_the_handler_returns() {
    let status = |input: &str, ends: bool| {
        let limits = Limits {
            body_len: 10,
            ..Limits::default()
        };
        let answer = talk_with(app(), limits, &[input.as_bytes()], ends);
        assert!(
            answer.is_empty() || answer.contains("\r\nconnection: close\r\n"),
            "{answer}"
        );
        answer.get(9..12).unwrap_or("").to_owned()
    };
    for path in ["/echo", "/stream"] {
        let post = |rest: &str| format!("POST {path} HTTP/1.1\r\nHost: a\r\n{rest}");
        assert_eq!(
            status(&post("Content-Length: 11\r\n\r\n12345678901"), true),
            "413",
            "{path}"
        );
        assert_eq!(
            status(
                &post("Transfer-Encoding: chunked\r\n\r\nb\r\n12345678901\r\n0\r\n\r\n"),
                true
            ),
            "413"
        );
        assert_eq!(status(&post("Transfer-Encoding: chunked\r\n\r\nx\r\n"), true), "400");
        assert_eq!(status(&post("Content-Length: 5\r\n\r\n123"), false), "408");
    }
    // Nobody is there to get an answer.
    assert_eq!(
        status("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n123", true),
        ""
    );
    assert_eq!(status("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Le", true), "");
}

#[test]
fn bad_requests_get_their_status_and_nothing_after_them_is_read() {
    for (input, status) in [
        ("GET / HTTP/1.1\r\n\r\n", "400"),
        ("hello\r\n\r\n", "400"),
        ("GET / HTTP/3.0\r\n\r\n", "505"),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", "501"),
        ("POST / HTTP/1.1\r\nHost: a\r\nExpect: x\r\n\r\n", "417"),
        ("GET /nowhere HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "404"),
        ("PUT / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "405"),
    ] {
        let answer = talk_with(
            app(),
            Limits::default(),
            &[input.as_bytes(), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"],
            true,
        );
        assert_eq!(&answer[9..12], status, "{input:?}");
        assert_eq!(answer.matches("content-length: ").count(), 1, "{answer}");
        assert!(answer.contains("connection: close\r\n"), "{answer}");
    }
    assert!(talk_with(app(), Limits::default(), &[b"GET / HTTP/1.1\r\nHo"], false).starts_with("HTTP/1.1 408 "));
    assert_eq!(talk_with(app(), Limits::default(), &[], false), "");
}

#[test]
fn a_full_server_says_so() {
    let written = Rc::new(RefCell::new(Vec::new()));
    let script = Script {
        pieces: [b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()].into(),
        ends: true,
        written: written.clone(),
        takes: 7,
    };
    refuse(Box::new(script), Limits::default());
    let text = String::from_utf8_lossy(&written.borrow()).into_owned();
    assert!(
        text.starts_with("HTTP/1.1 503 ") && text.contains("retry-after: 1\r\n"),
        "{text}"
    );
}

#[test]
fn a_body_that_is_kept_too_long_says_so() {
    thread_local! {
        static KEPT: RefCell<Option<Body>> = const { RefCell::new(None) };
    }
    let handler = |request: Request| {
        let old = KEPT.with_borrow_mut(|kept| kept.replace(request.into_body()));
        old.map_or_else(String::new, |mut old| old.read_bytes().unwrap_err().to_string())
    };
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    let answer = talk_with(handler, Limits::default(), &[post.as_bytes(), post.as_bytes()], true);
    assert!(answer.ends_with("nothing more can be read of the request"), "{answer}");
}

/// A peer of which a byte comes now and then, a thousand times.
struct Trickle {
    /// So many bytes are there at once.
    request: &'static [u8],
    reads: Rc<std::cell::Cell<usize>>,
}

impl Transport for Trickle {
    fn receive(&mut self, buffer: &mut [u8], timeout: Duration) -> io::Result<usize> {
        let len = self.request.len().min(buffer.len());
        if len > 0 {
            buffer[..len].copy_from_slice(&self.request[..len]);
            self.request = &self.request[len..];
            return Ok(len);
        }
        self.reads.set(self.reads.get() + 1);
        if self.reads.get() > 1_000 {
            return Ok(0);
        }
        std::thread::sleep(timeout.min(Duration::from_millis(500)));
        buffer[0] = b'x';
        Ok(1)
    }

    fn send(&mut self, bytes: &[u8], _: Duration) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn finish(&mut self) {}
}

#[test]
fn who_goes_on_to_send_slowly_is_cut_off_after_a_close() {
    let reads = Rc::default();
    let peer = Trickle {
        request: b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        reads: Rc::clone(&reads),
    };
    serve_connection(peer, Limits::default(), app());
    // Two seconds are over after four reads; a little more, as the last one may be short.
    assert!((1..=6).contains(&reads.get()), "{} reads", reads.get());
}

#[test]
fn over_real_sockets_too() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        serve_connection(stream, Limits::default(), |request: Request| {
            request.peer_addr().unwrap().ip().to_string()
        });
    });
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("\r\n\r\n127.0.0.1"), "{answer}");
    drop(stream);
    server.join().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn however_requests_are_cut_the_answers_are_the_same(cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20)) {
        let input = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\
            POST /stream HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n\
            POST /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\
            HEAD / HTTP/1.1\r\nHost: a\r\n\r\n\
            GET /bad HTTP/9.9\r\n\r\n".as_bytes();
        let whole = talk_with(app(), Limits::default(), &[input], true);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(input.len())).chain([0, input.len()]).collect();
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &input[cut[0]..cut[1]]).collect();
        // How a streamed body is cut into chunks is up to the server.
        let joined = talk_with(app(), Limits::default(), &pieces, true);
        prop_assert_eq!(joined.replace("0001\r\na\r\n0002\r\nbc\r\n", "0003\r\nabc\r\n"), whole);
    }

    #[test]
    fn whatever_comes_the_server_answers_or_closes(
        garbage in prop::collection::vec(any::<u8>(), 0..100),
        at in any::<prop::sample::Index>(),
        ends in any::<bool>(),
    ) {
        let mut input = b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec();
        let at = at.index(input.len());
        input.splice(at..at, garbage);
        let answer = talk_with(app(), Limits::default(), &[&input], ends);
        prop_assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 "));
    }
}

#[test]
fn each_request_has_an_id_of_its_own() {
    let shown = talk_with(
        |request: Request| request.id().to_string(),
        Limits::default(),
        &[b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2).as_slice()],
        true,
    );
    let ids: Vec<_> = shown
        .split("\r\n\r\n")
        .skip(1)
        .map(|text| text.split("HTTP").next().unwrap())
        .collect();
    assert_ne!(ids[0], ids[1]);
    assert_eq!(ids[0][..16], ids[1][..16]);
}

#[test]
fn a_limit_of_a_route_holds_before_the_body_is_read() {
    let read = |mut request: Request| request.read_text();
    let app = Router::new()
        .post("/small", read.layer(crate::BodyLimit(3)))
        .post("/large", read.layer(crate::BodyLimit(3_000)));
    let limits = Limits {
        body_len: 1_000,
        ..Limits::default()
    };
    for (path, len, status) in [
        ("/small", 3, 200),
        ("/small", 4, 413),
        ("/large", 3_000, 200),
        ("/large", 3_001, 413),
    ] {
        let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n");
        let answer = talk_with(app, limits, &[head.as_bytes(), "x".repeat(len).as_bytes()], true);
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{path} {len}: {answer}"
        );
    }
}

#[cfg(feature = "compression")]
#[test]
fn a_stream_is_compressed_as_it_is_flushed() {
    use flate2::write::GzDecoder;

    let lines = |_: Request| {
        Response::new(Body::stream(|out| {
            for number in 0..3 {
                writeln!(out, "line {number}")?;
                out.flush()?;
            }
            out.write_all("long ".repeat(100_000).as_bytes())
        }))
        .header("content-type", "text/plain")
        .header("content-length", "500021")
    };
    let written = Rc::new(RefCell::new(Vec::new()));
    let script = Script {
        pieces: [b"GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n".to_vec()].into(),
        ends: true,
        written: written.clone(),
        takes: 1000,
    };
    serve_connection(script, Limits::default(), lines.layer(crate::Compress));
    let written = written.take();
    let end = memchr::memmem::find(&written, b"\r\n\r\n").unwrap() + 4;
    let head = std::str::from_utf8(&written[..end]).unwrap();
    assert!(
        head.contains("content-encoding: gzip\r\n") && head.contains("transfer-encoding: chunked\r\n"),
        "{head}"
    );
    assert!(!head.contains("content-length"), "{head}");
    let (mut rest, mut decoder, mut chunks) = (&written[end..], GzDecoder::new(Vec::new()), 0);
    loop {
        let at = memchr::memmem::find(rest, b"\r\n").unwrap();
        let len = usize::from_str_radix(std::str::from_utf8(&rest[..at]).unwrap(), 16).unwrap();
        if len == 0 {
            break;
        }
        decoder.write_all(&rest[at + 2..at + 2 + len]).unwrap();
        rest = &rest[at + 2 + len + 2..];
        if chunks < 3 {
            // What was flushed can be read by now.
            decoder.flush().unwrap();
            assert!(decoder.get_ref().ends_with(format!("line {chunks}\n").as_bytes()));
        }
        chunks += 1;
    }
    let text = decoder.finish().unwrap();
    assert_eq!(text.len(), 500_021);
}

#[test]
fn events_are_sent_one_by_one() {
    let news = |_: Request| {
        Response::events(|stream| {
            stream.send(&crate::Event::new("one"))?;
            stream.keep_alive()?;
            let wrong = stream.send(&crate::Event::new("lost").id("a\nb")).unwrap_err();
            assert_eq!(wrong.kind(), io::ErrorKind::InvalidInput);
            Ok(())
        })
    };
    assert_eq!(
        talk_with(news, Limits::default(), &[b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"], true),
        format!(
            "{OK}content-type: text/event-stream\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n\
             000b\r\ndata: one\n\n\r\n0003\r\n:\n\n\r\n0\r\n\r\n"
        )
    );
}
