//! Clients that are plain TCP streams.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use lunatic_tests::serving::Serving;

/// An answer: status, headers, body. The body is `None` if it is not complete.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: Option<String>,
}

impl Answer {
    #[track_caller]
    pub(super) fn check(&self, status: u16, body: &str) {
        assert_eq!(
            (self.status, self.body.as_deref()),
            (status, Some(body)),
            "{}",
            self.head
        );
    }
}

/// Sends a request without a body, or with the body and headers in `rest`.
pub(super) fn send(stream: &mut TcpStream, method: &str, path: &str, rest: &str) {
    let rest = if rest.is_empty() { "\r\n" } else { rest };
    let request = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\n{rest}");
    stream.write_all(request.as_bytes()).unwrap();
}

/// Reads until `end`, which is included.
pub(super) fn read_until(stream: &mut TcpStream, end: &str) -> Option<String> {
    let mut text = Vec::new();
    while !text.ends_with(end.as_bytes()) {
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(1) => text.extend(byte),
            _ => return None,
        }
    }
    Some(String::from_utf8(text).unwrap())
}

/// A part of a body in chunks; `None` if the connection ends instead. The last one is empty.
pub(super) fn read_chunk(stream: &mut TcpStream) -> Option<String> {
    let len = read_until(stream, "\r\n")?;
    let len = usize::from_str_radix(len.trim(), 16).unwrap();
    let mut bytes = vec![0; len];
    stream.read_exact(&mut bytes).ok()?;
    if len > 0 {
        read_until(stream, "\r\n")?;
    }
    Some(String::from_utf8(bytes).unwrap())
}

/// Reads an answer, but not trailers.
pub(super) fn receive(stream: &mut TcpStream, has_body: bool) -> Answer {
    let head = read_until(stream, "\r\n\r\n")
        .expect("there is an answer")
        .to_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    let len = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let body = match len {
        _ if !has_body => Some(String::new()),
        Some(len) => {
            let mut bytes = vec![0; len.parse().unwrap()];
            let read = stream.read_exact(&mut bytes).ok();
            read.map(|()| String::from_utf8(bytes).unwrap())
        }
        None => {
            assert!(head.contains("transfer-encoding: chunked"), "{head}");
            let mut all = String::new();
            loop {
                match read_chunk(stream) {
                    Some(chunk) if chunk.is_empty() => {
                        let end = if head.contains("trailer: ") { "\r\n\r\n" } else { "\r\n" };
                        break read_until(stream, end).map(|_| all);
                    }
                    Some(chunk) => all += &chunk,
                    None => break None,
                }
            }
        }
    };
    Answer { status, head, body }
}

pub(super) fn get(serving: &Serving, path: &str) -> Answer {
    let mut stream = serving.connect();
    send(&mut stream, "GET", path, "");
    receive(&mut stream, true)
}

/// Whether the other side has closed the connection, or does so soon.
pub(super) fn is_closed(stream: &mut TcpStream) -> bool {
    !matches!(stream.read(&mut [0]), Ok(1))
}
