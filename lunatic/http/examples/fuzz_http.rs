//! Damaged requests by the million, for as long as you like:
//! `cargo run --release -p lunatic-http --example fuzz_http -- SECONDS [SEED]`.
//!
//! A case is a conversation of good requests that is cut, flipped, repeated and mixed with garbage, and sent to a server in
//! memory twice: at once, and byte by byte. The server must neither panic nor hang, and its answers must be the same,
//! however what it gets is cut: else two readers of one stream could see different requests in it.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use lunatic_http::websocket::{self, WebSocket};
use lunatic_http::{
    BadInput, Compress, Cookie, CookieKey, Cors, ETags, Handler, Limits, MultipartLimits, Request, Response, Router,
    Transport, serve_connection,
};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// A peer in memory: sends these pieces and then closes.
struct Peer {
    pieces: VecDeque<Vec<u8>>,
    heard: Rc<RefCell<Vec<u8>>>,
}

impl Transport for Peer {
    fn receive(&mut self, buffer: &mut [u8], _: Duration) -> io::Result<usize> {
        let Some(piece) = self.pieces.front_mut() else {
            return Ok(0);
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
        self.heard.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn finish(&mut self) {}
}

type Answer = Result<Response, BadInput>;

/// Reads all that a request can be read into.
fn typed(mut request: Request) -> Answer {
    let number: u8 = request.param_as("number")?;
    let query: BTreeMap<String, Vec<String>> = request.query()?;
    let cookie = request.cookie("a").unwrap_or_default();
    let user = request.signed_cookie("user", &CookieKey::from_secret(&[7; 32]));
    let body = match request.header_text("content-type") {
        Some("application/json") => format!("{:?}", request.json::<Vec<u8>>()?),
        _ => format!("{:?}", request.form::<BTreeMap<String, String>>()?),
    };
    let text = format!("{number} {query:?} {cookie} {user:?} {body}").repeat(10);
    Ok(Response::text(text).cookie(&Cookie::new("seen", &cookie)))
}

/// Reads the parts of a form, and every second one only in part.
fn parts(mut request: Request) -> Answer {
    let mut form = request.multipart(MultipartLimits::default())?;
    let mut text = String::new();
    while let Some(mut part) = form.next_part()? {
        text += &format!("{} {:?} ", part.name(), part.file_name());
        if text.len().is_multiple_of(2) {
            text += &part.read_text()?;
        }
    }
    Ok(text.into())
}

/// What the server answers, without the dates and what it says before its answers.
fn answers(pieces: impl Iterator<Item = Vec<u8>>) -> Vec<u8> {
    let heard = Rc::new(RefCell::new(Vec::new()));
    let peer = Peer {
        pieces: pieces.filter(|piece| !piece.is_empty()).collect(),
        heard: heard.clone(),
    };
    let app = Router::new()
        .any("/read/{name}", |mut request: Request| request.read_bytes())
        .any("/unread", |_| "unread")
        .any("/typed/{number}", typed)
        .post("/parts", parts)
        .get("/ws", |request| {
            websocket::upgrade(request, |mut socket: WebSocket| {
                while let Ok(message) = socket.receive() {
                    if socket.send(message).is_err() {
                        break;
                    }
                }
            })
        })
        .layer(Compress)
        .layer(ETags)
        .layer(Cors::origins(&["https://a.example"]));
    let limits = Limits {
        body_len: 1000,
        head_len: 2000,
        target_len: 500,
        headers: 20,
        ..Limits::default()
    };
    serve_connection(peer, limits, app);
    let heard = heard.take();
    let lines = heard.split_inclusive(|byte| *byte == b'\n');
    let text: Vec<u8> = lines
        .filter(|line| !line.starts_with(b"date: "))
        .flatten()
        .copied()
        .collect();
    // Leave to send a body is given only if the body is not there already.
    let text = String::from_utf8_lossy(&text);
    text.replace("HTTP/1.1 100 Continue\r\n\r\n", "").into_bytes()
}

const GOOD: [&[u8]; 12] = [
    b"GET /read/a HTTP/1.1\r\nHost: a\r\n\r\n",
    b"HEAD /unread HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
    b"POST /read/b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    b"POST /read/%41?q HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0a\r\n0123456789\r\n0\r\nt: u\r\n\r\n",
    b"PUT /unread HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc",
    b"GET /nowhere HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"POST /typed/7?a=1&b=%C3%A9&a=2 HTTP/1.1\r\nHost: a\r\nCookie: a=%C3%A9; user=b.00\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 7\r\n\r\na=1&b=2",
    b"PUT /typed/8 HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip;q=0.5, deflate\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\n[1,2]",
    b"POST /parts HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 107\r\n\r\n--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--x\r\nContent-Disposition: form-data; name=b\r\n\r\n2\r\n--x--\r\n",
    b"GET /unread HTTP/1.1\r\nHost: a\r\nOrigin: https://a.example\r\nIf-None-Match: *\r\nRange: bytes=0-1\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\x81\x82\0\0\0\0hi\x01\x81\0\0\0\0a\x89\x80\0\0\0\0\x80\x81\0\0\0\0b\x88\x80\0\0\0\0",
];

/// Bytes that mean something, where they do not belong.
const SPICES: [&[u8]; 14] = [
    b"\r\n",
    b"\n",
    b"\r",
    b" ",
    b"\t",
    b":",
    b"\0",
    b"0\r\n\r\n",
    b"Content-Length: 3\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip\r\n",
    b"Host: b\r\n",
    b"fffffffffffffffff",
    b"\xff\x80",
];

fn case(random: &mut StdRng) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..random.random_range(1..5) {
        bytes.extend_from_slice(GOOD[random.random_range(0..GOOD.len())]);
    }
    for _ in 0..random.random_range(0..4) {
        let at = random.random_range(0..=bytes.len());
        match random.random_range(0..6) {
            0 => bytes.truncate(at),
            1 if at < bytes.len() => bytes[at] ^= 1 << random.random_range(0..8),
            2 if at < bytes.len() => bytes[at] = random.random(),
            3 => {
                let end = (at + random.random_range(0..40)).min(bytes.len());
                bytes.drain(at..end);
            }
            4 => {
                let end = (at + random.random_range(0..400)).min(bytes.len());
                let copied = bytes[at..end].to_vec();
                bytes.splice(at..at, copied);
            }
            _ => {
                let spice = SPICES[random.random_range(0..SPICES.len())];
                bytes.splice(at..at, spice.iter().copied());
            }
        }
    }
    bytes
}

fn main() {
    let mut args = std::env::args().skip(1).map(|arg| arg.parse::<u64>());
    let (Some(Ok(seconds)), Ok(seed)) = (args.next(), args.next().unwrap_or(Ok(0))) else {
        eprintln!("usage: fuzz_http SECONDS [SEED]");
        std::process::exit(2);
    };
    let end = Instant::now() + Duration::from_secs(seconds);
    let (mut cases, mut answered) = (0_u64, 0_u64);
    while Instant::now() < end {
        let seed = seed.wrapping_add(cases);
        let bytes = case(&mut StdRng::seed_from_u64(seed));
        let whole = answers([bytes.clone()].into_iter());
        let cut = answers(bytes.iter().map(|byte| vec![*byte]));
        assert!(
            whole == cut,
            "seed {seed}: {:?}\nis answered at once with\n{}\nand byte by byte with\n{}",
            String::from_utf8_lossy(&bytes),
            String::from_utf8_lossy(&whole),
            String::from_utf8_lossy(&cut),
        );
        cases += 1;
        answered += u64::from(whole.windows(15).any(|bytes| bytes == b"HTTP/1.1 200 OK"));
    }
    println!("{cases} cases, {answered} of them with a good answer");
}
