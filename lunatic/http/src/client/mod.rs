//! A client: requests to servers, over connections that are kept.

mod error;
mod exchange;
mod pool;
mod redirect;
mod target;
#[cfg(test)]
pub(crate) mod tests;

use std::cell::RefCell;
use std::fmt;
use std::io;
use std::rc::Rc;
use std::time::{Duration, Instant};

use http::{Method, StatusCode, Uri};
use lunatic::net::tls::{TlsClient, TlsConnector};
use tungstenite::protocol::Role;

pub use error::ClientError;
use exchange::{Exchange, Outcome};
use pool::Pool;
pub use target::Target;

use crate::body::Body;
use crate::conn::Shared;
use crate::limits::Limits;
use crate::request::Request;
use crate::response::Response;
use crate::server::Stream;
use crate::trace::{self, Asking};
use crate::transport::Transport;
use crate::upgrade::Upgraded;
use crate::websocket::{self, WebSocket, WebSocketLimits};

/// The bounds of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientLimits {
    /// Until a connection is there: 10 s.
    pub connect_timeout: Duration,
    /// From the request to the last byte of the response's body, redirects included: 60 s. While nobody reads the body,
    /// this time runs too.
    pub timeout: Duration,
    /// Bytes of a response's head: 64 KiB.
    pub head_len: usize,
    /// Headers of a response: 100, at most [`Limits::HEADERS_MAX`].
    pub headers: usize,
    /// Bytes of a response's body: 64 MiB. [`Body::set_limit`] changes it for one response.
    pub body_len: u64,
    /// Redirects that are followed for one request: 10. With 0, the redirect is the response.
    pub redirects: usize,
    /// Connections to one server that are kept for later: 4.
    pub idle_connections: usize,
    /// How long they are kept: 30 s, less than servers wait.
    pub idle_timeout: Duration,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            timeout: Duration::from_secs(60),
            head_len: 64 << 10,
            headers: 100,
            body_len: 64 << 20,
            redirects: 10,
            idle_connections: 4,
            idle_timeout: Duration::from_secs(30),
        }
    }
}

impl ClientLimits {
    fn of_connection(&self) -> Limits {
        Limits {
            head_len: self.head_len,
            headers: self.headers,
            body_len: self.body_len,
            body_timeout: self.timeout,
            write_timeout: self.timeout,
            // The whole exchange has its time.
            rate_min: u64::MAX,
            ..Limits::default()
        }
    }
}

type Connect = dyn Fn(&Target, Duration) -> io::Result<Box<dyn Transport>>;

/// Sends requests, and keeps connections for those that follow. Each process has clients of its own.
///
/// # Examples
///
/// ```no_run
/// use lunatic_http::Client;
///
/// let client = Client::new();
/// let mut response = client.get("http://127.0.0.1:8080/users/7").unwrap();
/// println!("{}: {}", response.status(), response.read_text().unwrap());
///
/// let created = client.post("http://127.0.0.1:8080/users", "a name").unwrap();
/// assert_eq!(created.status(), 201);
/// ```
#[derive(Clone)]
pub struct Client {
    connect: Rc<Connect>,
    pool: Rc<RefCell<Pool>>,
    limits: ClientLimits,
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

impl Client {
    /// A client whose connections are those of [`lunatic::net`], and who trusts whom the system trusts. Needs the right to
    /// connect (`--allow-net`).
    #[must_use]
    pub fn new() -> Self {
        let connector: RefCell<Option<TlsConnector>> = RefCell::default();
        Self::with_connector(move |target, timeout| {
            // Reading what the system trusts is work that is done once, and only if it is needed.
            let mut connector = connector.borrow_mut();
            if target.is_secure() && connector.is_none() {
                *connector = Some(TlsClient::new().alpn("http/1.1").build()?);
            }
            Ok(Stream::connect(target, *connector, timeout)?.into_transport())
        })
    }

    /// A client who trusts, and shows who it is, as `tls` says.
    #[must_use]
    pub fn with_tls(tls: TlsConnector) -> Self {
        Self::with_connector(move |target, timeout| Ok(Stream::connect(target, Some(tls), timeout)?.into_transport()))
    }

    /// A client whose connections `connect` makes: through a proxy, or natively in a test.
    pub fn with_connector(connect: impl Fn(&Target, Duration) -> io::Result<Box<dyn Transport>> + 'static) -> Self {
        Self {
            connect: Rc::new(connect),
            pool: Rc::default(),
            limits: ClientLimits::default(),
        }
    }

    /// The same with other limits.
    #[must_use]
    pub fn with_limits(self, limits: ClientLimits) -> Self {
        Self { limits, ..self }
    }

    /// Gets what is there.
    ///
    /// # Errors
    ///
    /// [`ClientError`] if there is no response. One with a status such as 404 is a response.
    pub fn get(&self, url: &str) -> Result<Response, ClientError> {
        self.send(Request::new(Method::GET, parse(url)?, ()))
    }

    /// Sends this there. A body without a type of its own has no `Content-Type`: [`send`](Self::send) requests with headers.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn post(&self, url: &str, body: impl Into<Body>) -> Result<Response, ClientError> {
        self.send(Request::new(Method::POST, parse(url)?, body))
    }

    /// Sends a request, whose URI has a scheme and a host, and follows redirects. The body of the response is read from
    /// the connection as it comes; the connection is kept for other requests when the body was read to its end.
    ///
    /// A request that fails on a kept connection before anything of the response has come, because the server has closed
    /// it meanwhile, is sent again on a new one if its method is idempotent and its body is no stream.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn send(&self, mut request: Request) -> Result<Response, ClientError> {
        let deadline = Instant::now().checked_add(self.limits.timeout);
        for _ in 0..self.limits.redirects {
            let again = redirect::Copy::of(&mut request);
            let response = self.send_once(request, deadline)?;
            match again.follow(&response)? {
                Some(next) => request = next,
                None => return Ok(response),
            }
        }
        let response = self.send_once(request, deadline)?;
        match self.limits.redirects > 0 && redirect::is_one(&response) {
            true => Err(ClientError::TooManyRedirects),
            false => Ok(response),
        }
    }

    /// Opens a WebSocket at `ws://…` or `wss://…`.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get), and [`ClientError::Refused`] with the response if that does not agree.
    pub fn websocket(&self, url: &str) -> Result<WebSocket, ClientError> {
        self.websocket_with(Request::new(Method::GET, parse(url)?, ()))
    }

    /// As [`websocket`](Self::websocket), for a request with headers of your own.
    ///
    /// # Errors
    ///
    /// As [`websocket`](Self::websocket).
    pub fn websocket_with(&self, mut request: Request) -> Result<WebSocket, ClientError> {
        let accepted = websocket::ask(request.headers_mut());
        let target = Target::of(request.uri())?;
        trace::inject(&mut request.headers);
        let deadline = Instant::now().checked_add(self.limits.timeout);
        let conn = self.open(&target, deadline)?;
        let outcome = Exchange::new(request, &target).run(&conn, deadline)?;
        if !websocket::is_accepted(outcome.status, &outcome.headers, &accepted) {
            return Err(ClientError::Refused(Box::new(self.response(outcome, conn, None))));
        }
        let (transport, input) = conn.borrow_mut().take_apart();
        let upgraded = Upgraded {
            transport,
            input,
            is_draining: Box::new(|| false),
        };
        Ok(WebSocket::new(upgraded, Role::Client, WebSocketLimits::default()))
    }

    fn send_once(&self, mut request: Request, deadline: Option<Instant>) -> Result<Response, ClientError> {
        let target = Target::of(request.uri())?;
        let mut asking = Asking::begin(&request.method, &request.uri, &target);
        trace::inject(&mut request.headers);
        let response = self.exchange(request, target, deadline);
        match &response {
            Ok(response) => asking.answered(response.status),
            Err(error) => asking.failed(error),
        }
        response
    }

    fn exchange(&self, request: Request, target: Target, deadline: Option<Instant>) -> Result<Response, ClientError> {
        let mut exchange = Exchange::new(request, &target);
        loop {
            let kept = self
                .pool
                .borrow_mut()
                .take(&target, &self.limits, exchange.is_repeatable());
            let is_new = kept.is_none();
            let conn = kept.map_or_else(|| self.open(&target, deadline), Ok)?;
            match exchange.run(&conn, deadline) {
                Ok(outcome) => {
                    if outcome.status == StatusCode::SWITCHING_PROTOCOLS {
                        return Err(ClientError::Protocol(
                            "the server switches to a protocol that was not asked for".into(),
                        ));
                    }
                    return Ok(self.response(outcome, conn, Some(target)));
                }
                Err(error) if is_new || !exchange.can_be_repeated(&error) => return Err(error),
                Err(_) => {}
            }
        }
    }

    fn open(&self, target: &Target, deadline: Option<Instant>) -> Result<Shared, ClientError> {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let timeout = left.map_or(self.limits.connect_timeout, |left| {
            left.min(self.limits.connect_timeout)
        });
        if timeout.is_zero() {
            return Err(ClientError::TimedOut);
        }
        let transport =
            (self.connect)(target, timeout).map_err(|error| ClientError::Connect(target.to_string(), error))?;
        Ok(exchange::connection(transport, self.limits.of_connection()))
    }

    /// The response, which gives the connection to the pool when its body is over.
    fn response(&self, outcome: Outcome, conn: Shared, target: Option<Target>) -> Response {
        let (pool, limits) = (self.pool.clone(), self.limits);
        let after = move |conn: &Shared| {
            let usable = outcome.keep_alive && conn.borrow().body_is_done() && conn.borrow().input.is_empty();
            if let (Some(target), true) = (target, usable) {
                pool.borrow_mut().put(target, conn.clone(), &limits);
            }
        };
        let body = Body::incoming_then(&conn, outcome.message, after);
        Response {
            status: outcome.status,
            headers: outcome.headers,
            body,
            route: None,
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

fn parse(url: &str) -> Result<Uri, ClientError> {
    url.parse().map_err(|_| ClientError::Url(url.to_owned()))
}
