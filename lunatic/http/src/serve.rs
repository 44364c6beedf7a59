//! Serves one connection: request after request, in order.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use http::{Method, StatusCode, Version};

use crate::body::Body;
use crate::conn::{Conn, Shared};
use crate::head::{Framing, RequestHead, Scanner, take_request};
use crate::limits::Limits;
use crate::panics;
use crate::reject::Reject;
use crate::request::Request;
use crate::request_id::RequestId;
use crate::response::{After, Asked, Failure, Response, respond};
use crate::router::{Handler, Params};
use crate::trace::Answering;
use crate::transport::{Transport, is_timeout};
use crate::upgrade::Upgraded;

/// So much of a body that a handler did not read is read to keep the connection; one with more is closed.
const SKIP_MAX: usize = 64 << 10;
/// A connection on which so long nothing came is idle: until then nobody has to know.
const IDLE_AFTER: Duration = Duration::from_millis(100);

/// What the server around a connection tells it, and is told.
pub(crate) trait Around {
    /// Whether the server wants no more requests after the current one.
    fn is_draining(&mut self) -> bool;
    /// Nothing has come for a while. The connection may be closed at any time from now on. False: now.
    fn idle(&mut self) -> bool;
    /// Something has come. False: the connection is being closed, and the request must not be begun.
    fn busy(&mut self) -> bool;
    /// A request has begun to come, the `served`th: the connection may go on in another version of the program, and then this does
    /// not return.
    fn begins(&mut self, _conn: &Conn, _served: u64) {}
    /// It is waited for the `served`th request: the same holds, and the wait may be interrupted for that.
    fn waits(&mut self, _conn: &Conn, _served: u64) {}
    /// The connection goes on with another protocol, and not in another version of the program.
    fn leaves(&mut self) {}
}

/// No server: a connection alone.
struct Alone;

impl Around for Alone {
    fn is_draining(&mut self) -> bool {
        false
    }

    fn idle(&mut self) -> bool {
        true
    }

    fn busy(&mut self) -> bool {
        true
    }
}

/// Serves one connection until it ends, over any stream: a [`Server`](crate::Server) does this in a process for each
/// connection. Here for streams that come from elsewhere, and for tests that run natively.
///
/// The first call installs a panic hook around the one that the program has, so that a handler that panics answers 500.
///
/// # Examples
///
/// ```no_run
/// use std::net::TcpListener;
///
/// use lunatic_http::{Limits, serve_connection};
///
/// // A server of threads, with std alone.
/// let listener = TcpListener::bind("127.0.0.1:8080").unwrap();
/// for stream in listener.incoming() {
///     let stream = stream.unwrap();
///     std::thread::spawn(move || serve_connection(stream, Limits::default(), |_| "Hello!\n"));
/// }
/// ```
pub fn serve_connection(transport: impl Transport + 'static, limits: Limits, handler: impl Handler) {
    serve(Box::new(transport), limits, &handler, Box::new(Alone));
}

/// Answers the one request that comes with 503, and ends.
pub(crate) fn refuse(transport: Box<dyn Transport>, limits: Limits) {
    let limits = Limits {
        requests: 1,
        idle_timeout: Duration::from_secs(2).min(limits.idle_timeout),
        head_timeout: Duration::from_secs(2).min(limits.head_timeout),
        ..limits
    };
    let full = |_| {
        let response: Response = StatusCode::SERVICE_UNAVAILABLE.into();
        response.header("retry-after", "1").header("connection", "close")
    };
    serve(transport, limits, &full, Box::new(Alone));
}

/// A closure that needs not be `Copy` would do here, but one that is costs nothing.
pub(crate) fn serve(transport: Box<dyn Transport>, limits: Limits, handler: &impl Handler, around: Box<dyn Around>) {
    let conn = Conn::new(transport, limits);
    serve_from(1, conn, handler, around);
}

/// Goes on with a connection of which `served - 1` requests were served, and these bytes were read.
pub(crate) fn go_on(
    served: u64,
    (transport, input): (Box<dyn Transport>, &[u8]),
    limits: Limits,
    handler: &impl Handler,
    around: Box<dyn Around>,
) {
    let mut conn = Conn::new(transport, limits);
    conn.input.extend_from_slice(input);
    serve_from(served, conn, handler, around);
}

fn serve_from(first: u64, conn: Conn, handler: &impl Handler, mut around: Box<dyn Around>) {
    let limits = conn.limits;
    let conn: Shared = Rc::new(RefCell::new(conn));
    for served in first..=limits.requests.max(1) {
        let head = match next_head(&conn, served, &mut *around) {
            Ok(Some(head)) => head,
            Ok(None) => return,
            Err(reject) => return refuse_request(&conn, reject),
        };
        let asked = Asked {
            head_only: head.method == Method::HEAD,
            version: head.version,
            keep_alive: head.keep_alive && served < limits.requests,
        };
        match exchange(&conn, head, asked, handler, &mut *around) {
            Ok(After::KeepAlive) => {}
            Ok(After::Close) => return conn.borrow_mut().close(),
            Ok(After::Upgrade(then)) => {
                let (transport, input) = conn.borrow_mut().take_apart();
                drop(conn);
                around.leaves();
                return then(Upgraded {
                    transport,
                    input,
                    is_draining: Box::new(move || around.is_draining()),
                });
            }
            // What the peer sees is a connection that ends too early, which is what happened.
            Err(_) => return,
        }
    }
}

/// One request and its response.
fn exchange(
    conn: &Shared,
    head: RequestHead,
    asked: Asked,
    handler: &impl Handler,
    around: &mut dyn Around,
) -> io::Result<After> {
    let (body, peer) = {
        let mut borrowed = conn.borrow_mut();
        let message = borrowed.begin_body(head.framing, head.expects_continue, None);
        let body = match head.framing {
            Framing::Length(0) => Body::empty(),
            _ => Body::incoming(conn, message),
        };
        (body, borrowed.peer)
    };
    let method = head.method.clone();
    let id = RequestId::next();
    let _watched = panics::watch(conn, asked, id, &head);
    let mut answering = Answering::begin(&method, &head.uri, &head.headers, peer);
    let response = handler.handle(Request {
        method: head.method,
        uri: head.uri,
        version: head.version,
        headers: head.headers,
        body,
        params: Params::default(),
        peer,
        id,
    });
    answering.answered(&method, response.status, response.route);
    // A body that could not be read is the client's fault, and what the handler made of half of it is worth nothing.
    let failure = conn.borrow().body_failure();
    if let Some(reject) = failure {
        return answer(conn, (&reject).into(), asked);
    }
    if conn.borrow().is_broken() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let may_read = response.body.is_streamed() && !asked.head_only;
    if may_read {
        // It may read the request's body, and once the response has begun it is too late to ask for it.
        conn.borrow_mut().allow_body();
    }
    let asked = Asked {
        keep_alive: asked.keep_alive && (may_read || is_worth_skipping(&conn.borrow())) && !around.is_draining(),
        ..asked
    };
    let after = match respond(conn, asked, response) {
        Ok(after) => after,
        Err(Failure::Unsent(_)) => {
            let failure = conn.borrow().body_failure();
            return answer(
                conn,
                failure
                    .as_ref()
                    .map_or(StatusCode::INTERNAL_SERVER_ERROR.into(), Into::into),
                asked,
            );
        }
        Err(Failure::Broken(error)) => return Err(error),
    };
    match after {
        After::KeepAlive if !conn.borrow_mut().skip_body(SKIP_MAX) => Ok(After::Close),
        after => Ok(after),
    }
}

/// Whether the rest of the body is so short that reading it is cheaper than a new connection.
fn is_worth_skipping(conn: &Conn) -> bool {
    conn.body_is_done() || (!conn.waits_for_continue() && conn.body_left().is_none_or(|left| left <= SKIP_MAX as u64))
}

/// Answers with this in place of what the handler wanted, and closes.
fn answer(conn: &Shared, response: Response, asked: Asked) -> io::Result<After> {
    let asked = Asked {
        keep_alive: false,
        ..asked
    };
    match respond(conn, asked, response) {
        Ok(_) => Ok(After::Close),
        Err(Failure::Unsent(error) | Failure::Broken(error)) => Err(error),
    }
}

/// Answers what is no request, or one that is not served.
fn refuse_request(conn: &Shared, reject: Reject) {
    let asked = Asked {
        head_only: false,
        version: Version::HTTP_11,
        keep_alive: false,
    };
    if answer(conn, (&reject).into(), asked).is_ok() {
        conn.borrow_mut().close();
    }
}

/// Waits for the head of the next request; none if the connection is over.
fn next_head(conn: &Shared, served: u64, around: &mut dyn Around) -> Result<Option<RequestHead>, Reject> {
    let mut conn = conn.borrow_mut();
    let conn = &mut *conn;
    if conn.input.is_empty() && !wait(conn, served, around) {
        return Ok(None);
    }
    around.begins(conn, served);
    let (limits, mut scanner, mut start) = (conn.limits, Scanner::default(), None);
    loop {
        if let Some(head) = take_request(&mut conn.input, &mut scanner, &limits)? {
            return Ok(Some(head));
        }
        const SLOW: Reject = Reject::new(StatusCode::REQUEST_TIMEOUT, "the head arrives too slowly");
        let start = *start.get_or_insert_with(Instant::now);
        let left = limits.head_timeout.saturating_sub(start.elapsed());
        if left.is_zero() {
            return Err(SLOW);
        }
        match conn.fill(left) {
            Ok(0) => return Ok(None),
            Ok(_) => {}
            Err(error) if is_timeout(&error) => return Err(SLOW),
            Err(_) => return Ok(None),
        }
    }
}

/// Waits for the first byte of a request; false if the connection is over.
fn wait(conn: &mut Conn, served: u64, around: &mut dyn Around) -> bool {
    let timeout = conn.limits.idle_timeout;
    let first = timeout.min(IDLE_AFTER);
    loop {
        around.waits(conn, served);
        match conn.fill_once(first) {
            Ok(read) => return read > 0,
            Err(error) if is_interrupt(&error) => continue,
            Err(error) if is_timeout(&error) && timeout > first => {}
            Err(_) => return false,
        }
        // Before it is idle: a connection that others may close does not change.
        around.waits(conn, served);
        if !around.idle() {
            return false;
        }
        let filled = conn.fill_once(timeout - first);
        if !around.busy() {
            return false;
        }
        match filled {
            Err(error) if is_interrupt(&error) => {}
            filled => return filled.is_ok_and(|read| read > 0),
        }
    }
}

fn is_interrupt(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::Interrupted
}

#[cfg(test)]
mod tests;
