//! WebSockets, in one process and split between two.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use lunatic_http::websocket::{Close, Message, WebSocket, WebSocketError};
use lunatic_tests::guests::Profile;
use lunatic_tests::serving::{Serving, client, guest};

use super::{curl, is_well, response, rest, web};

fn open(server: &Serving, path: &str) -> WebSocket {
    let url = server.url(path).replacen("http", "ws", 1);
    let socket = client().websocket(&url);
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

/// A WebSocket connection on which the test itself writes the frames.
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

/// The next frame that is not a ping: its first byte and its payload.
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
        // A ping and two close frames, each with a mask of zeros.
        (&[0x89, 0x82, 0, 0, 0, 0, b'h', b'i'][..], 0x8a, &b"hi"[..]),
        (&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8], 0x88, &[0x03, 0xe8]),
        (&[0x88, 0x80, 0, 0, 0, 0], 0x88, &[]),
    ] {
        let mut stream = raw(&server, "/split");
        stream.write_all(bytes).unwrap();
        assert_eq!(frame(&mut stream), (first, payload.to_vec()));
    }
    for (bytes, code) in [
        // A frame without a mask, a continuation of nothing, and a text that is not UTF-8.
        (&[0x81, 0x01, b'x'][..], 1002_u16),
        (&[0x80, 0x81, 0, 0, 0, 0, b'x'], 1002),
        (&[0x81, 0x81, 0, 0, 0, 0, 0xff], 1007),
        // Nothing at all: the server pings, and gets no answer.
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
    // The client reads nothing, so the server cannot send either, and must not collect what it receives.
    stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut sent = 0_u64;
    while stream.write_all(&many).is_ok() {
        sent += many.len() as u64;
        assert!(sent < 1 << 30, "it keeps accepting what it cannot answer");
    }
    is_well(&server);
}

/// Pings are cheap to send, and each is answered.
#[test]
fn who_floods_a_split_websocket_with_pings_is_held_up() {
    let server = guest("web", Profile::Debug, &["--max-memory", "32M"], &[]);
    let mut stream = raw(&server, "/split");
    let many = [0x89_u8, 0x80, 0, 0, 0, 0].repeat(10_000);
    stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut sent = 0_u64;
    while stream.write_all(&many).is_ok() {
        sent += many.len() as u64;
        assert!(sent < 64 << 20, "it continues to read what it cannot answer");
    }
    is_well(&server);
}

#[test]
fn a_split_websocket_whose_mail_has_no_room_ends_with_a_reason() {
    let mut server = guest("web", Profile::Debug, &["--env", "MAILBOX_MAX=2"], &[]);
    let mut stream = raw(&server, "/split");
    let many = [0x82_u8, 0x81, 0, 0, 0, 0, b'x'].repeat(10_000);
    // Nothing is read of what comes back, until the server's process cannot go on and its mailbox is full.
    while stream.write_all(&many).is_ok() {}
    is_well(&server);
    server.reports("a split WebSocket cannot send a received message to the mailbox");
}

/// The answer of a peer that sends many pings before it agrees is read, too.
#[test]
fn a_split_websocket_reads_on_after_its_close() {
    let server = web(&[]);
    let mut stream = raw(&server, "/split");
    // A text `bye`, on which the server closes, then more pings than are read ahead, and the close.
    let mut bytes = vec![0x81, 0x83, 0, 0, 0, 0, b'b', b'y', b'e'];
    bytes.extend([0x89_u8, 0x80, 0, 0, 0, 0].repeat(100));
    bytes.extend([0x88, 0x82, 0, 0, 0, 0, 0x0f, 0xa0]);
    stream.write_all(&bytes).unwrap();
    loop {
        let (first, payload) = frame(&mut stream);
        if first == 0x88 {
            assert_eq!(payload[..2], 4000_u16.to_be_bytes());
            break;
        }
    }
    assert_eq!(rest(&mut stream), "");
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
