//! A log line for each request.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use http::header::HeaderValue;
use http::{Method, StatusCode};

use crate::middleware::{Middleware, Next};
use crate::request::Request;
use crate::request_id::RequestId;
use crate::response::Response;

/// Middleware that writes a line for each request to standard error, and sends the request's id to the client in the header
/// `X-Request-Id`:
///
/// ```text
/// GET /users/7 200 in 1.4 ms, request 9d2c41f07a3be658-3
/// ```
///
/// The query is left out because it may contain secrets. The time is that of the handler; streams are sent afterwards. If a
/// handler panics, its process exits before the line is written. In that case the server writes `request … failed` before
/// the report of the panic, with or without this middleware.
///
/// # Examples
///
/// ```
/// use lunatic_http::{Handler, RequestLog, Router};
///
/// let app = Router::new().get("/", |_| "home").layer(RequestLog::new());
/// // A format of your own, for slow requests only.
/// let slow = RequestLog::to(|answered| {
///     if answered.time.as_millis() > 100 {
///         eprintln!("slow: {} {}", answered.path, answered.id);
///     }
/// });
/// let app = app.layer(slow);
/// # let _ = app;
/// ```
#[derive(Debug, Clone, Copy)]
pub struct RequestLog {
    write: fn(&Answered<'_>),
}

/// An answered request.
#[derive(Debug)]
#[non_exhaustive]
pub struct Answered<'a> {
    /// The id of the request.
    pub id: RequestId,
    /// The method.
    pub method: &'a Method,
    /// The path, with control characters escaped.
    pub path: &'a str,
    /// The address of the client, if the request came by TCP.
    pub peer: Option<SocketAddr>,
    /// The status of the response.
    pub status: StatusCode,
    /// The pattern of the route that answered, if a router did.
    pub route: Option<&'static str>,
    /// The time that the handler took.
    pub time: Duration,
}

impl RequestLog {
    /// Writes to standard error.
    #[must_use]
    pub fn new() -> Self {
        Self::to(|answered| {
            let Answered {
                id,
                method,
                path,
                status,
                ..
            } = answered;
            let time = answered.time.as_micros() as f64 / 1000.0;
            eprintln!("{method} {path} {} in {time:.1} ms, request {id}", status.as_u16());
        })
    }

    /// Calls this function for each request, for example to use the crate `log` or to update a metric.
    #[must_use]
    pub fn to(write: fn(&Answered<'_>)) -> Self {
        Self { write }
    }
}

impl Default for RequestLog {
    fn default() -> Self {
        Self::new()
    }
}

impl Middleware for RequestLog {
    fn around(&self, request: Request, next: Next<'_>) -> Response {
        let start = Instant::now();
        let (id, peer, method) = (request.id(), request.peer_addr(), request.method().clone());
        let uri = request.uri().clone();
        let mut response = next.run(request);
        // A terminal would obey control characters.
        let path = uri.path();
        let escaped = path
            .contains(char::is_control)
            .then(|| path.escape_default().to_string());
        (self.write)(&Answered {
            id,
            method: &method,
            path: escaped.as_deref().unwrap_or(path),
            peer,
            status: response.status(),
            route: response.route,
            time: start.elapsed(),
        });
        if let Ok(id) = HeaderValue::try_from(id.to_string()) {
            response.headers_mut().insert("x-request-id", id);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::{Handler, Router};
    use std::cell::RefCell;

    thread_local! {
        static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    }

    #[test]
    fn each_request_is_a_line() {
        let app = Router::new()
            .get("/users/{id}", |_| "user")
            .layer(RequestLog::to(|answered| {
                let line = format!(
                    "{} {} {} {:?} {}",
                    answered.method, answered.path, answered.status, answered.route, answered.id
                );
                LINES.with_borrow_mut(|lines| lines.push(line));
            }));
        for path in ["/users/7?password=x", "/none"] {
            let request = Request::new("GET".parse().unwrap(), path.parse().unwrap(), ());
            let id = request.id().to_string();
            assert_eq!(app.handle(request).header_text("x-request-id"), Some(&*id));
            LINES.with_borrow_mut(|lines| {
                let line = lines.last_mut().unwrap();
                *line = line.strip_suffix(&id).unwrap().to_owned();
            });
        }
        let lines = LINES.take();
        assert_eq!(
            lines,
            [
                "GET /users/7 200 OK Some(\"/users/{id}\") ",
                "GET /none 404 Not Found None "
            ]
        );
    }
}
