//! Middleware: code that runs around handlers.

use std::fmt;

use crate::request::Request;
use crate::response::Response;
use crate::router::Handler;

/// Code that runs around a [`Handler`]: it receives each request first, and the handler's response afterwards. Every closure
/// or function that takes a [`Request`] and a [`Next`] is middleware.
///
/// Like a handler, middleware is copied into the process of each connection, so it can capture only `Copy` values.
/// [`Handler::layer`] wraps a handler in it.
///
/// # Examples
///
/// ```
/// use lunatic_http::{Body, Handler, Method, Next, Request, Response, Router, StatusCode, Uri};
///
/// /// Rejects requests without the password.
/// fn guarded(request: Request, next: Next<'_>) -> Response {
///     match request.header_text("authorization") {
///         Some("Bearer open sesame") => next.run(request),
///         _ => StatusCode::UNAUTHORIZED.into(),
///     }
/// }
///
/// let app = Router::new()
///     .get("/", |_| "everybody")
///     .get("/treasure", (|_: Request| "gold").layer(guarded));
///
/// let ask = |path| app.handle(Request::new(Method::GET, Uri::from_static(path), Body::empty())).status();
/// assert_eq!(ask("/"), 200);
/// assert_eq!(ask("/treasure"), 401);
/// ```
pub trait Middleware: Copy + Send + 'static {
    /// Answers one request. It can pass the request on with [`Next::run`], or answer it alone.
    fn around(&self, request: Request, next: Next<'_>) -> Response;
}

impl<F, R> Middleware for F
where
    F: Fn(Request, Next<'_>) -> R + Copy + Send + 'static,
    R: Into<Response>,
{
    fn around(&self, request: Request, next: Next<'_>) -> Response {
        self(request, next).into()
    }
}

/// The handler inside a [`Middleware`].
pub struct Next<'a>(&'a dyn Fn(Request) -> Response);

impl Next<'_> {
    /// Passes the request to the handler and returns its response.
    #[must_use]
    pub fn run(self, request: Request) -> Response {
        (self.0)(request)
    }
}

impl fmt::Debug for Next<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Next")
    }
}

/// A handler wrapped in middleware. [`Handler::layer`] makes it.
#[derive(Debug, Clone, Copy)]
pub struct Layered<H, M> {
    handler: H,
    middleware: M,
}

impl<H, M> Layered<H, M> {
    pub(crate) fn new(handler: H, middleware: M) -> Self {
        Self { handler, middleware }
    }
}

impl<H: Handler, M: Middleware> Handler for Layered<H, M> {
    fn handle(&self, request: Request) -> Response {
        self.middleware
            .around(request, Next(&|request| self.handler.handle(request)))
    }
}

/// Middleware that limits the body of a request to this many bytes, in place of
/// [`Limits::body_len`](crate::Limits::body_len). Use it to allow uploads on some routes, or to allow less than the default.
///
/// A longer body is answered with 413. If the client announced the length, no byte of the body is read.
///
/// # Examples
///
/// ```
/// use lunatic_http::{BodyLimit, Handler, Request, Router};
///
/// fn upload(mut request: Request) -> std::io::Result<String> {
///     Ok(format!("{} bytes\n", request.read_bytes()?.len()))
/// }
///
/// let app = Router::new().post("/photos", upload.layer(BodyLimit(20 << 20)));
/// # let _ = app;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyLimit(pub u64);

impl Middleware for BodyLimit {
    fn around(&self, mut request: Request, next: Next<'_>) -> Response {
        request.body_mut().set_limit(self.0);
        next.run(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::Body;
    use crate::router::Router;

    fn ask(app: impl Handler, path: &str) -> String {
        let request = Request::new("GET".parse().unwrap(), path.parse().unwrap(), Body::empty());
        app.handle(request).read_text().unwrap()
    }

    /// Writes its name around the text of a response.
    fn named(name: &'static str) -> impl Middleware {
        move |request: Request, next: Next<'_>| -> Response {
            let mut response = next.run(request);
            format!("{name}({})", response.read_text().unwrap()).into()
        }
    }

    #[test]
    fn the_layer_that_was_added_last_is_outermost() {
        let app = Router::new()
            .get("/a", (|_: Request| "a").layer(named("route")))
            .get("/b", |_| "b")
            .layer(named("inner"))
            .layer(named("outer"));
        assert_eq!(ask(app, "/a"), "outer(inner(route(a)))");
        assert_eq!(ask(app, "/b"), "outer(inner(b))");
        // A request that no route matches passes through the layers, too.
        assert_eq!(ask(app, "/c"), "outer(inner(404 Not Found\n))");
    }

    #[test]
    fn a_layer_may_answer_alone() {
        let app = (|_: Request| -> &'static str { unreachable!() }).layer(|_: Request, _: Next<'_>| "closed");
        assert_eq!(ask(app, "/"), "closed");
    }
}
