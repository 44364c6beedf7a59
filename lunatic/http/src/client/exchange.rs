//! One request and its response, on one connection.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use http::header::{ACCEPT, CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, TRANSFER_ENCODING, USER_AGENT};
use http::{Method, StatusCode};

use super::{ClientError, Target};
use crate::body::{self, Body, Kind};
use crate::conn::{Conn, Shared};
use crate::head::{ResponseHead, Scanner, take_response};
use crate::limits::Limits;
use crate::request::Request;
use crate::response::{BodyWriter, decimal, line};
use crate::transport::Transport;

/// So many responses may come that only say that the right one will.
const INTERIM_MAX: usize = 16;

pub(super) fn connection(transport: Box<dyn Transport>, limits: Limits) -> Shared {
    Rc::new(RefCell::new(Conn::new(transport, limits)))
}

pub(super) struct Exchange {
    head: Vec<u8>,
    method: Method,
    /// Taken when it is a stream and was sent.
    body: Option<Body>,
    /// Something of a response has come.
    heard: bool,
}

/// What has come of a response.
pub(super) struct Outcome {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) keep_alive: bool,
    /// The number of the body.
    pub(super) message: u64,
}

impl Exchange {
    pub(super) fn new(request: Request, target: &Target) -> Self {
        Self {
            head: head(&request, target),
            method: request.method,
            body: Some(request.body),
            heard: false,
        }
    }

    /// It does no harm to send it twice.
    pub(super) fn is_repeatable(&self) -> bool {
        let is_stream = self.body.as_ref().is_none_or(Body::is_streamed);
        self.method.is_idempotent() && !is_stream
    }

    /// It was not seen by the server, or does no harm when it is seen again.
    pub(super) fn can_be_repeated(&self, error: &ClientError) -> bool {
        matches!(error, ClientError::Io(_)) && !self.heard && self.is_repeatable()
    }

    /// Sends the request and waits for the head of the response.
    pub(super) fn run(&mut self, conn: &Shared, deadline: Option<Instant>) -> Result<Outcome, ClientError> {
        conn.borrow_mut().send_until(deadline);
        let sent = self.write(conn);
        let is_sent = sent.is_ok();
        if !is_sent {
            // What is left of the request must not be sent before another one.
            conn.borrow_mut().out.clear();
        }
        let sent = match sent {
            // The server waits for the rest of the body, which does not come.
            Err(error) if !conn.borrow().has_failed_to_send() => return Err(ClientError::Body(error)),
            sent => sent,
        };
        // Who refuses a long body says so and closes, which is seen as a failure to write.
        let head = match (self.read_head(conn, deadline), sent) {
            (Ok(head), _) => head,
            (Err(_), Err(error)) => return Err(error.into()),
            (Err(error), Ok(())) => return Err(error),
        };
        let message = conn.borrow_mut().begin_body(head.framing, false, deadline);
        Ok(Outcome {
            status: head.status,
            headers: head.headers,
            keep_alive: head.keep_alive && is_sent,
            message,
        })
    }

    fn write(&mut self, conn: &Shared) -> io::Result<()> {
        conn.borrow_mut().begin_message();
        conn.borrow_mut().out.extend_from_slice(&self.head);
        let len = self.body.as_ref().and_then(Body::len);
        match self.body.as_ref().map(|body| &body.0) {
            None | Some(Kind::Empty) => return conn.borrow_mut().flush(),
            Some(Kind::Bytes(bytes)) => return conn.borrow_mut().write(bytes),
            Some(_) => {}
        }
        let mut writer = BodyWriter::of_request(conn, len);
        match self.body.take().map(|body| body.0) {
            Some(Kind::Producer(produce)) => produce(&mut writer)?,
            Some(kind) => body::copy(&mut Body(kind), &mut writer)?,
            None => {}
        }
        writer.finish()
    }

    fn read_head(&mut self, conn: &Shared, deadline: Option<Instant>) -> Result<ResponseHead, ClientError> {
        let mut conn = conn.borrow_mut();
        let conn = &mut *conn;
        let (limits, mut scanner) = (conn.limits, Scanner::default());
        for _ in 0..INTERIM_MAX {
            let head = loop {
                if let Some(head) = take_response(&mut conn.input, &mut scanner, &limits, &self.method)? {
                    break head;
                }
                let left = deadline.map_or(Duration::MAX, |deadline| {
                    deadline.saturating_duration_since(Instant::now())
                });
                if left.is_zero() {
                    return Err(ClientError::TimedOut);
                }
                if conn.fill(left)? == 0 {
                    let text = "the server closed the connection without a response";
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text).into());
                }
                self.heard = true;
            };
            if !head.status.is_informational() || head.status == StatusCode::SWITCHING_PROTOCOLS {
                return Ok(head);
            }
        }
        Err(ClientError::Protocol(
            "the server has sent only interim responses".into(),
        ))
    }
}

fn head(request: &Request, target: &Target) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    out.extend_from_slice(request.method.as_str().as_bytes());
    out.push(b' ');
    let path = request.uri.path_and_query().map_or("/", |path| path.as_str());
    if path.starts_with('?') {
        out.push(b'/');
    }
    out.extend_from_slice(path.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let headers = &request.headers;
    if !headers.contains_key(HOST) {
        line(&mut out, "host", target.host_header().as_bytes());
    }
    if !headers.contains_key(ACCEPT) {
        line(&mut out, "accept", b"*/*");
    }
    if !headers.contains_key(USER_AGENT) {
        line(
            &mut out,
            "user-agent",
            concat!("lunatic-http/", env!("CARGO_PKG_VERSION")).as_bytes(),
        );
    }
    for (name, value) in headers {
        if *name != CONTENT_LENGTH && *name != TRANSFER_ENCODING {
            line(&mut out, name.as_str(), value.as_bytes());
        }
    }
    let has_body = !matches!(
        request.method,
        Method::GET | Method::HEAD | Method::DELETE | Method::OPTIONS
    );
    match request.body.len() {
        Some(0) if !has_body || headers.contains_key(CONNECTION) => {}
        Some(len) => line(&mut out, "content-length", decimal(len, &mut [0; 20])),
        None => line(&mut out, "transfer-encoding", b"chunked"),
    }
    out.extend_from_slice(b"\r\n");
    out
}
