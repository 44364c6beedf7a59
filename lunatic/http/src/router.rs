//! Handlers, and which of them a request goes to.

use std::fmt;

use http::header::{ALLOW, HeaderValue};
use http::{Method, StatusCode};

use crate::middleware::{Layered, Middleware};
use crate::percent::decode;
use crate::request::Request;
use crate::response::Response;

/// Answers requests. Closures and functions do that take a [`Request`] and return what can be made into a [`Response`];
/// and so does a [`Router`].
///
/// A handler is copied into the process of each connection, so what it captures must be `Copy`: numbers, channels,
/// addresses of actors. State belongs to a process that the handlers ask.
pub trait Handler: Copy + Send + 'static {
    /// Answers one request.
    fn handle(&self, request: Request) -> Response;

    /// Wraps this handler in a [`Middleware`]: the handler of one route, or a router with all its routes. The layer that is added
    /// last is the outermost: it sees each request first and each response last.
    ///
    /// # Examples
    ///
    /// ```
    /// use lunatic_http::{BodyLimit, Handler, Request, RequestLog, Router};
    ///
    /// fn upload(mut request: Request) -> std::io::Result<String> {
    ///     Ok(format!("{} bytes\n", request.read_bytes()?.len()))
    /// }
    ///
    /// let app = Router::new()
    ///     .get("/", |_| "home")
    ///     .post("/upload", upload.layer(BodyLimit(64 << 20)))
    ///     .layer(RequestLog::new());
    /// # let _ = app;
    /// ```
    fn layer<M: Middleware>(self, middleware: M) -> Layered<Self, M> {
        Layered::new(self, middleware)
    }
}

impl<F, R> Handler for F
where
    F: Fn(Request) -> R + Copy + Send + 'static,
    R: Into<Response>,
{
    fn handle(&self, request: Request) -> Response {
        self(request).into()
    }
}

/// Sends requests to handlers by method and path.
///
/// A pattern is a path whose segments are words, `{name}` for any one segment, or at the end `{name*}` for all that is left.
/// The first route that matches takes the request. A request that no route takes is answered as RFC 9110 asks:
///
/// | request | answer |
/// |---|---|
/// | `HEAD`, where the path has a route for `GET` | the response of that route, without its body |
/// | `OPTIONS`, where the path has any route | 204, and the methods of the path in `Allow` |
/// | `OPTIONS *`, which asks about the whole server | 204, and the methods of all routes in `Allow` |
/// | another method than those of the path | 405, and the methods of the path in `Allow` |
/// | a path that no route matches | 404 |
///
/// # Examples
///
/// ```
/// use lunatic_http::{Request, Router};
///
/// fn user(request: Request) -> String {
///     format!("user {}", request.param("id"))
/// }
///
/// let started = 7; // what is `Copy` can be captured
/// let app = Router::new()
///     .get("/", |_| "home")
///     .get("/users/{id}", user)
///     .post("/users", move |_| format!("created after {started}"));
/// # let _ = app;
/// ```
#[derive(Clone, Copy)]
pub struct Router<R = End> {
    routes: R,
}

/// A router's end: no more routes.
#[derive(Clone, Copy, Debug)]
pub struct End;

/// A router's last route, and those before it.
#[derive(Clone, Copy)]
pub struct Route<R, H> {
    before: R,
    method: Verb,
    pattern: &'static str,
    handler: H,
}

/// [`Method`] is not `Copy`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Any,
    Named(&'static str),
}

impl Router {
    /// One without routes.
    #[must_use]
    pub fn new() -> Self {
        Self { routes: End }
    }
}

impl Default for Router {
    fn default() -> Self {
        Self::new()
    }
}

impl<R: Routes> Router<R> {
    fn with<H: Handler>(self, method: Verb, pattern: &'static str, handler: H) -> Router<Route<R, H>> {
        check(pattern);
        Router {
            routes: Route {
                before: self.routes,
                method,
                pattern,
                handler,
            },
        }
    }

    /// Adds a route for a method.
    ///
    /// # Panics
    ///
    /// If the pattern does not begin with a slash, or a `{name*}` is not at its end.
    pub fn route<H: Handler>(self, method: &'static str, pattern: &'static str, handler: H) -> Router<Route<R, H>> {
        self.with(Verb::Named(method), pattern, handler)
    }

    /// Adds a route for all methods. Panics as [`route`](Self::route).
    pub fn any<H: Handler>(self, pattern: &'static str, handler: H) -> Router<Route<R, H>> {
        self.with(Verb::Any, pattern, handler)
    }

    /// Adds a route for `GET`, and `HEAD`. Panics as [`route`](Self::route).
    pub fn get<H: Handler>(self, pattern: &'static str, handler: H) -> Router<Route<R, H>> {
        self.route("GET", pattern, handler)
    }

    /// Adds a route for `POST`. Panics as [`route`](Self::route).
    pub fn post<H: Handler>(self, pattern: &'static str, handler: H) -> Router<Route<R, H>> {
        self.route("POST", pattern, handler)
    }

    /// Adds a route for `PUT`. Panics as [`route`](Self::route).
    pub fn put<H: Handler>(self, pattern: &'static str, handler: H) -> Router<Route<R, H>> {
        self.route("PUT", pattern, handler)
    }

    /// Adds a route for `PATCH` (RFC 5789). Panics as [`route`](Self::route).
    pub fn patch<H: Handler>(self, pattern: &'static str, handler: H) -> Router<Route<R, H>> {
        self.route("PATCH", pattern, handler)
    }

    /// Adds a route for `HEAD`, in place of the one that the route for `GET` has. Panics as [`route`](Self::route).
    pub fn head<H: Handler>(self, pattern: &'static str, handler: H) -> Router<Route<R, H>> {
        self.route("HEAD", pattern, handler)
    }

    /// Adds a route for `OPTIONS`, in place of the answer that the router gives. Panics as [`route`](Self::route).
    pub fn options<H: Handler>(self, pattern: &'static str, handler: H) -> Router<Route<R, H>> {
        self.route("OPTIONS", pattern, handler)
    }

    /// Adds a route for `DELETE`. Panics as [`route`](Self::route).
    pub fn delete<H: Handler>(self, pattern: &'static str, handler: H) -> Router<Route<R, H>> {
        self.route("DELETE", pattern, handler)
    }
}

fn check(pattern: &str) {
    assert!(pattern.starts_with('/'), "a pattern begins with a slash: `{pattern}`");
    let segments = pattern.split('/').count();
    let rest = pattern
        .split('/')
        .position(|segment| matches!(Piece::of(segment), Piece::Rest(_)));
    assert!(
        rest.is_none_or(|at| at + 1 == segments),
        "a parameter for the rest of a path must be at its end: `{pattern}`"
    );
}

impl<R: Routes> Handler for Router<R> {
    fn handle(&self, request: Request) -> Response {
        let mut allowed = Vec::new();
        if *request.method() == Method::OPTIONS && request.path() == "*" {
            self.routes.methods(&mut allowed);
            return allowing(StatusCode::NO_CONTENT, allowed);
        }
        match self.routes.try_handle(request, false, &mut allowed) {
            Ok(response) => response,
            Err(request) if *request.method() == Method::HEAD && allowed.contains(&"GET") => self
                .routes
                .try_handle(request, true, &mut Vec::new())
                .unwrap_or_else(|_| StatusCode::NOT_FOUND.into()),
            Err(_) if allowed.is_empty() => StatusCode::NOT_FOUND.into(),
            Err(request) if *request.method() == Method::OPTIONS => allowing(StatusCode::NO_CONTENT, allowed),
            Err(_) => allowing(StatusCode::METHOD_NOT_ALLOWED, allowed),
        }
    }
}

/// A response that says which methods there are.
fn allowing(status: StatusCode, allowed: Vec<&'static str>) -> Response {
    let mut response: Response = match status {
        StatusCode::NO_CONTENT => Response::new(()).with_status(status),
        status => status.into(),
    };
    if let Ok(value) = HeaderValue::from_str(&all_allowed(allowed).join(", ")) {
        response.headers_mut().insert(ALLOW, value);
    }
    response
}

/// The methods of a path, including those that the router answers itself.
fn all_allowed(mut allowed: Vec<&'static str>) -> Vec<&'static str> {
    if let Some(at) = allowed.iter().position(|method| *method == "GET")
        && !allowed.contains(&"HEAD")
    {
        allowed.insert(at + 1, "HEAD");
    }
    if !allowed.contains(&"OPTIONS") {
        allowed.push("OPTIONS");
    }
    allowed
}

/// A router's list of routes; there is nothing to implement.
pub trait Routes: Copy + Send + 'static + private::Sealed {
    /// Answers a request by the first route that matches it (one for `GET`, if `as_get`), else gives it back and notes
    /// the methods that the path has.
    #[doc(hidden)]
    #[expect(
        clippy::result_large_err,
        reason = "what comes back is moved on, not carried through layers"
    )]
    fn try_handle(&self, request: Request, as_get: bool, allowed: &mut Vec<&'static str>) -> Result<Response, Request>;

    /// Notes the methods of all routes.
    #[doc(hidden)]
    fn methods(&self, all: &mut Vec<&'static str>);
}

mod private {
    pub trait Sealed {}
    impl Sealed for super::End {}
    impl<R, H> Sealed for super::Route<R, H> {}
}

impl Routes for End {
    fn try_handle(&self, request: Request, _: bool, _: &mut Vec<&'static str>) -> Result<Response, Request> {
        Err(request)
    }

    fn methods(&self, _: &mut Vec<&'static str>) {}
}

impl<R: Routes, H: Handler> Routes for Route<R, H> {
    fn try_handle(&self, request: Request, as_get: bool, allowed: &mut Vec<&'static str>) -> Result<Response, Request> {
        let mut request = match self.before.try_handle(request, as_get, allowed) {
            Err(request) => request,
            answered => return answered,
        };
        let Some(params) = matches(self.pattern, request.path()) else {
            return Err(request);
        };
        let method = if as_get { "GET" } else { request.method().as_str() };
        match self.method {
            Verb::Named(own) if own != method => {
                if !allowed.contains(&own) {
                    allowed.push(own);
                }
                Err(request)
            }
            _ => {
                request.params = params;
                let response = self.handler.handle(request);
                Ok(Response {
                    route: Some(self.pattern),
                    ..response
                })
            }
        }
    }

    fn methods(&self, all: &mut Vec<&'static str>) {
        self.before.methods(all);
        if let Verb::Named(own) = self.method
            && !all.contains(&own)
        {
            all.push(own);
        }
    }
}

/// What stood in the path in place of a pattern's names.
#[derive(Debug, Default)]
pub(crate) struct Params(Vec<(&'static str, String)>);

impl Params {
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The last parameter of the pattern.
    pub(crate) fn last(&self) -> Option<&str> {
        self.0.last().map(|(_, value)| value.as_str())
    }
}

/// A segment of a pattern.
#[derive(Debug, PartialEq, Eq)]
enum Piece<'a> {
    Word(&'a str),
    One(&'a str),
    Rest(&'a str),
}

impl<'a> Piece<'a> {
    fn of(segment: &'a str) -> Self {
        match segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            None => Self::Word(segment),
            Some(name) => name.strip_suffix('*').map_or(Self::One(name), Self::Rest),
        }
    }
}

/// The parameters, if the path is one of the pattern's.
fn matches(pattern: &'static str, path: &str) -> Option<Params> {
    let mut params = Params::default();
    let mut rest = path.strip_prefix('/')?;
    let mut pieces = pattern[1..].split('/').peekable();
    while let Some(piece) = pieces.next() {
        let (segment, after) = rest
            .split_once('/')
            .map_or((rest, None), |(segment, after)| (segment, Some(after)));
        match Piece::of(piece) {
            Piece::Rest(name) => {
                params.0.push((name, decode(rest)?));
                return Some(params);
            }
            Piece::One(_) if segment.is_empty() => return None,
            Piece::One(name) => params.0.push((name, decode(segment)?)),
            Piece::Word(word) if word != segment => return None,
            Piece::Word(_) => {}
        }
        match (after, pieces.peek()) {
            (Some(after), Some(_)) => rest = after,
            (None, None) => return Some(params),
            _ => return None,
        }
    }
    None
}

impl<R> fmt::Debug for Router<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Router")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::Body;

    fn ask(app: impl Handler, method: &str, path: &str) -> (u16, String, Option<String>) {
        let request = Request::new(method.parse().unwrap(), path.parse().unwrap(), Body::empty());
        let mut response = app.handle(request);
        let allow = response.header_text("allow").map(str::to_owned);
        (response.status().as_u16(), response.read_text().unwrap(), allow)
    }

    #[test]
    fn requests_go_to_the_first_route_that_matches() {
        let captured = 7;
        let app = Router::new()
            .get("/", |_| "home")
            .get("/users/me", |_| "me")
            .get("/users/{id}", |request: Request| {
                format!("user {}", request.param("id"))
            })
            .post("/users", move |_| format!("new {captured}"))
            .put("/users/{id}/name/{kind}", |r: Request| {
                format!("{}-{}", r.param("id"), r.param("kind"))
            })
            .any("/files/{path*}", |r: Request| {
                format!("{} {}{}", r.method(), r.param("path"), r.param("none"))
            });
        let text = |method, path| ask(app, method, path).1;
        assert_eq!(text("GET", "/"), "home");
        assert_eq!(text("GET", "/users/me"), "me");
        assert_eq!(text("GET", "/users/you?x=1"), "user you");
        assert_eq!(text("GET", "/users/a%2Fb%20c"), "user a/b c");
        assert_eq!(text("POST", "/users"), "new 7");
        assert_eq!(text("PUT", "/users/1/name/first"), "1-first");
        assert_eq!(text("PATCH", "/files/a/b//c"), "PATCH a/b//c");
        assert_eq!(text("GET", "/files/"), "GET ");
        for path in [
            "/users/",
            "/users/1/",
            "/users/1/name",
            "//",
            "/files",
            "/x",
            "/users/%ff",
            "/users/%4",
        ] {
            assert_eq!(ask(app, "GET", path).0, 404, "{path}");
        }
    }

    #[test]
    fn what_a_path_does_not_have_is_said() {
        let app = Router::new()
            .get("/a", |_| "a")
            .post("/a", |_| "b")
            .delete("/b", |_| "c");
        assert_eq!(ask(app, "HEAD", "/a").1, "a");
        assert_eq!(
            ask(app, "DELETE", "/a"),
            (
                405,
                "405 Method Not Allowed\n".into(),
                Some("GET, HEAD, POST, OPTIONS".into())
            )
        );
        assert_eq!(
            ask(app, "OPTIONS", "/a"),
            (204, String::new(), Some("GET, HEAD, POST, OPTIONS".into()))
        );
        assert_eq!(
            ask(app, "HEAD", "/b"),
            (405, "405 Method Not Allowed\n".into(), Some("DELETE, OPTIONS".into()))
        );
        let app = Router::new()
            .options("/a", |_| "own")
            .head("/a", |_| "brief")
            .patch("/a", |_| "patched")
            .get("/a", |_| "a");
        for (method, text) in [
            ("OPTIONS", "own"),
            ("HEAD", "brief"),
            ("PATCH", "patched"),
            ("GET", "a"),
        ] {
            assert_eq!(ask(app, method, "/a").1, text);
        }
        assert_eq!(ask(app, "PUT", "/a").2, Some("OPTIONS, HEAD, PATCH, GET".into()));
    }

    #[test]
    fn options_of_the_whole_server_are_those_of_all_routes() {
        let app = Router::new().get("/a", |_| "a").post("/b", |_| "b").any("/c", |_| "c");
        assert_eq!(
            ask(app, "OPTIONS", "*"),
            (204, String::new(), Some("GET, HEAD, POST, OPTIONS".into()))
        );
        assert_eq!(ask(Router::new(), "OPTIONS", "*").2, Some("OPTIONS".into()));
    }

    #[test]
    #[should_panic(expected = "must be at its end")]
    fn nothing_follows_the_rest() {
        let _ = Router::new().get("/{a*}/b", |_| "");
    }

    #[test]
    #[should_panic(expected = "begins with a slash")]
    fn patterns_begin_with_a_slash() {
        let _ = Router::new().get("a", |_| "");
    }
}
