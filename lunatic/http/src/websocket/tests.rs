use std::io::{self, Read, Write};
use std::net::TcpStream;

use proptest::prelude::*;

use super::*;
use crate::Request;
use crate::client::ClientError;
use crate::client::tests::{client, serve};
use crate::router::Router;
use crate::transport::Transport;

fn url() -> String {
    let app = Router::new()
        .get("/echo", |request| {
            upgrade(request, |mut socket: WebSocket| {
                while let Ok(message) = socket.receive() {
                    if socket.send(message).is_err() {
                        break;
                    }
                }
            })
        })
        .get("/small", |request| {
            upgrade(request, |mut socket: WebSocket| {
                socket.set_limits(WebSocketLimits {
                    message_len: 10,
                    ..WebSocketLimits::default()
                });
                while let Ok(message) = socket.receive() {
                    let _ = socket.send(message);
                }
            })
        })
        .get("/impatient", |request| {
            upgrade(request, |mut socket: WebSocket| {
                socket.set_limits(WebSocketLimits {
                    // Long enough for the test to answer in time on a busy machine.
                    ping_interval: Duration::from_millis(500),
                    ..WebSocketLimits::default()
                });
                while socket.receive().is_ok() {}
            })
        })
        .get("/bye", |request| {
            upgrade(request, |socket: WebSocket| {
                let _ = socket.close(4321, "bye");
            })
        })
        .get("/drop", |request| upgrade(request, drop))
        .get("/plain", |_| "no socket here");
    serve(app)
}

#[test]
fn messages_go_both_ways() {
    let mut socket = client().0.websocket(&(url() + "/echo")).unwrap();
    for message in [
        Message::from("hello"),
        Message::from(""),
        Message::from("äöü€😀"),
        Message::from(vec![]),
        Message::from(vec![0, 255, 128]),
        Message::from("x".repeat(200)),
        Message::from(vec![7; 300_000]),
    ] {
        socket.send(message.clone()).unwrap();
        assert_eq!(socket.receive().unwrap(), message);
    }
    assert_eq!(socket.receive_timeout(Duration::from_millis(1)).unwrap(), None);
    socket.send("still there").unwrap();
    assert_eq!(socket.receive().unwrap(), "still there".into());
    socket.close(1000, "done").unwrap();
}

#[test]
fn ends_are_told() {
    let url = url();
    let mut socket = client().0.websocket(&(url.clone() + "/bye")).unwrap();
    let close = Close {
        code: 4321,
        reason: "bye".into(),
    };
    assert_eq!(socket.receive(), Err(WebSocketError::Closed(close)));
    assert_eq!(socket.receive(), Err(WebSocketError::Over));
    assert_eq!(socket.send("x"), Err(WebSocketError::Over));
    let mut socket = client().0.websocket(&(url + "/drop")).unwrap();
    assert_eq!(
        socket.receive(),
        Err(WebSocketError::Closed(Close {
            code: 1000,
            reason: String::new()
        }))
    );
}

#[test]
fn who_does_not_want_a_websocket_says_so() {
    let url = url();
    match client().0.websocket(&(url.clone() + "/plain")) {
        Err(ClientError::Refused(mut response)) => assert_eq!(response.read_text().unwrap(), "no socket here"),
        other => panic!("{other:?}"),
    }
    let ask = |headers: &[(&'static str, &str)]| {
        let mut request = Request::new(http::Method::GET, (url.clone() + "/echo").parse().unwrap(), ());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        client().0.send(request).unwrap().status().as_u16()
    };
    let key = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let up = [("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")];
    assert_eq!(ask(&[]), 426);
    assert_eq!(
        ask(&[up[0], ("upgrade", "h2c"), ("sec-websocket-version", "13"), key]),
        426
    );
    assert_eq!(ask(&[up[0], up[1], key]), 426);
    assert_eq!(ask(&[up[0], up[1], ("sec-websocket-version", "8"), key]), 426);
    assert_eq!(ask(&[up[0], up[1], ("sec-websocket-version", "13")]), 400);
    assert_eq!(
        ask(&[
            up[0],
            up[1],
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "short")
        ]),
        400
    );
}

/// A connection to the server that speaks by itself: what the server sends after its response.
struct Raw(TcpStream);

impl Raw {
    fn open(path: &str) -> Self {
        let url = url();
        let mut stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
        stream.set_nodelay(true).unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        .unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.extend(byte);
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        // The example of the standard.
        assert!(
            head.contains("\r\nsec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"),
            "{head}"
        );
        Self(stream)
    }

    /// A frame as clients send it, masked.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first];
        match payload.len() {
            len @ ..126 => bytes.push(0x80 | len as u8),
            len => bytes.extend([0x80 | 126, (len >> 8) as u8, len as u8]),
        }
        let mask = [1, 2, 3, 4];
        bytes.extend(mask);
        bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        bytes
    }

    fn send(&mut self, first: u8, payload: &[u8]) {
        self.0.write_all(&Self::frame(first, payload)).unwrap();
    }

    /// The next frame: its first byte and its payload; none at the end of the stream.
    fn receive(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 2];
        self.0.read_exact(&mut head).ok()?;
        assert!(head[1] < 126, "a server does not mask, and these are short");
        let mut payload = vec![0; head[1].into()];
        self.0.read_exact(&mut payload).ok()?;
        Some((head[0], payload))
    }

    /// The server closes with this code, and then the connection.
    #[track_caller]
    fn is_closed_with(&mut self, code: u16) {
        loop {
            match self.receive() {
                Some((0x88, payload)) => {
                    assert_eq!(
                        payload.get(..2),
                        Some(&code.to_be_bytes()[..]),
                        "{:?}",
                        String::from_utf8_lossy(&payload)
                    );
                    break;
                }
                Some(_) => {}
                None => panic!("the connection ended without a close"),
            }
        }
        assert_eq!(self.receive(), None);
    }
}

#[test]
fn fragments_are_put_together_around_control_frames() {
    let mut raw = Raw::open("/echo");
    raw.send(0x01, "h€".as_bytes().split_at(2).0);
    raw.send(0x89, b"ping");
    raw.send(0x00, "h€".as_bytes().split_at(2).1);
    raw.send(0x8a, b"a pong that nobody asked for");
    raw.send(0x80, b"!");
    assert_eq!(raw.receive(), Some((0x8a, b"ping".to_vec())));
    assert_eq!(raw.receive(), Some((0x81, "h€!".as_bytes().to_vec())));
    raw.send(0x88, &1000_u16.to_be_bytes());
    raw.is_closed_with(1000);
}

#[test]
fn a_close_without_a_code_is_answered() {
    let mut raw = Raw::open("/echo");
    raw.send(0x88, b"");
    assert_eq!(raw.receive(), Some((0x88, vec![])));
    assert_eq!(raw.receive(), None);
}

#[test]
fn who_breaks_the_protocol_is_told_with_the_right_code() {
    let long = [b'x'; 126];
    for (name, frames, code) in [
        ("a frame without a mask", vec![vec![0x81, 0x01, b'x']], 1002),
        ("a reserved bit", vec![Raw::frame(0xc1, b"x")], 1002),
        ("a reserved opcode", vec![Raw::frame(0x83, b"x")], 1002),
        ("a reserved control opcode", vec![Raw::frame(0x8b, b"x")], 1002),
        ("a fragmented ping", vec![Raw::frame(0x09, b"x")], 1002),
        ("a long ping", vec![Raw::frame(0x89, &long)], 1002),
        ("a continuation of nothing", vec![Raw::frame(0x80, b"x")], 1002),
        (
            "a text within a text",
            vec![Raw::frame(0x01, b"x"), Raw::frame(0x81, b"x")],
            1002,
        ),
        ("half a close code", vec![Raw::frame(0x88, b"x")], 1002),
        (
            "a close code that is none",
            vec![Raw::frame(0x88, &1005_u16.to_be_bytes())],
            1002,
        ),
        (
            "a length in 2 bytes that fits into the short form",
            vec![vec![0x81, 0xfe, 0, 1, 0, 0, 0, 0, b'x']],
            1002,
        ),
        (
            "a length in 8 bytes that fits into 2",
            vec![vec![0x82, 0xff, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0]],
            1002,
        ),
        (
            "a length with its highest bit set",
            vec![vec![0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]],
            1002,
        ),
        (
            "such a length behind a ping",
            vec![Raw::frame(0x89, b"x"), vec![0x81, 0xfe, 0, 125]],
            1002,
        ),
        ("a text that is not UTF-8", vec![Raw::frame(0x81, b"\xff")], 1007),
        ("a text that is cut", vec![Raw::frame(0x81, b"\xe2\x82")], 1007),
        (
            "fragments that are not UTF-8",
            vec![Raw::frame(0x01, b"a\xe2"), Raw::frame(0x80, b"\x28")],
            1007,
        ),
    ] {
        println!("{name}");
        let mut raw = Raw::open("/echo");
        raw.0.write_all(&frames.concat()).unwrap();
        raw.is_closed_with(code);
    }
}

#[test]
fn too_long_a_message_is_refused() {
    let mut raw = Raw::open("/small");
    raw.send(0x81, b"0123456789");
    assert_eq!(raw.receive(), Some((0x81, b"0123456789".to_vec())));
    raw.send(0x81, b"0123456789a");
    raw.is_closed_with(1009);
    // Also one whose pieces are short, and one that only says that it is long.
    let mut raw = Raw::open("/small");
    raw.send(0x01, b"012345678");
    raw.send(0x80, b"9ab");
    raw.is_closed_with(1009);
    let mut raw = Raw::open("/small");
    raw.0
        .write_all(&[0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4])
        .unwrap();
    raw.is_closed_with(1009);
}

#[test]
fn who_is_silent_is_asked_and_then_closed() {
    let mut raw = Raw::open("/impatient");
    assert_eq!(raw.receive(), Some((0x89, vec![])));
    raw.send(0x8a, b"");
    // Answered in time, it is asked again.
    assert_eq!(raw.receive(), Some((0x89, vec![])));
    raw.is_closed_with(1001);
}

/// A peer that always has something: first these bytes, then these again and again. It ends after many reads, so that no test
/// hangs.
struct Endless {
    first: Vec<u8>,
    again: Vec<u8>,
    /// How much comes at once, and how long that takes.
    at_once: usize,
    pause: Duration,
    reads: usize,
}

impl Endless {
    /// A message of which a byte comes now and then.
    fn drip() -> Self {
        Self {
            first: vec![0x82, 127, 0, 0, 0, 0, 0, 0x0f, 0, 0],
            again: vec![b'x'],
            at_once: 1,
            pause: Duration::from_millis(1),
            reads: 0,
        }
    }

    /// Pings, as fast as they are taken.
    fn pings() -> Self {
        Self {
            first: Vec::new(),
            again: vec![0x89, 0],
            at_once: usize::MAX,
            pause: Duration::ZERO,
            reads: 0,
        }
    }

    fn socket(self) -> WebSocket {
        let upgraded = Upgraded {
            transport: Box::new(self),
            input: Default::default(),
            is_draining: Box::new(|| false),
        };
        WebSocket::new(upgraded, Role::Client, WebSocketLimits::default())
    }
}

impl Transport for Endless {
    fn receive(&mut self, buffer: &mut [u8], timeout: Duration) -> io::Result<usize> {
        std::thread::sleep(self.pause.min(timeout));
        if timeout < self.pause {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.reads += 1;
        if self.reads > 3_000 {
            return Ok(0);
        }
        let len = buffer.len().min(self.at_once);
        for byte in &mut buffer[..len] {
            if self.first.is_empty() {
                *byte = self.again[0];
                self.again.rotate_left(1);
            } else {
                *byte = self.first.remove(0);
            }
        }
        Ok(len)
    }

    fn send(&mut self, bytes: &[u8], _: Duration) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn finish(&mut self) {}
}

#[test]
fn a_time_is_over_whatever_comes() {
    let short = Duration::from_millis(50);
    for peer in [Endless::drip, Endless::pings] {
        let mut socket = peer().socket();
        assert_eq!(socket.receive_timeout(short), Ok(None));
        // It goes on from where it was.
        assert_eq!(socket.receive_timeout(Duration::ZERO), Ok(None));
        let mut socket = peer().socket();
        socket.set_limits(WebSocketLimits {
            close_timeout: short,
            ..WebSocketLimits::default()
        });
        assert_eq!(socket.close(1000, ""), Err(WebSocketError::Silent));
    }
}

#[test]
fn a_connection_that_ends_is_no_hang() {
    let mut raw = Raw::open("/echo");
    raw.0.write_all(&[0x81, 0x85, 1]).unwrap();
    raw.0.shutdown(std::net::Shutdown::Write).unwrap();
    let mut rest = Vec::new();
    raw.0.read_to_end(&mut rest).unwrap();
}

#[test]
fn what_came_before_a_bad_length_is_answered() {
    let mut raw = Raw::open("/echo");
    let frames = [
        Raw::frame(0x81, b"first"),
        vec![0x81, 0xfe, 0, 5],
        Raw::frame(0x81, b"lost"),
    ];
    raw.0.write_all(&frames.concat()).unwrap();
    assert_eq!(raw.receive(), Some((0x81, b"first".to_vec())));
    raw.is_closed_with(1002);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn whatever_comes_the_server_ends_it(garbage in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut raw = Raw::open("/echo");
        // The server may have closed before all is written.
        let _ = raw.0.write_all(&garbage);
        let _ = raw.0.shutdown(std::net::Shutdown::Write);
        let _ = raw.0.read_to_end(&mut Vec::new());
    }
}
