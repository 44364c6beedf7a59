//! Cross-origin resource sharing (CORS), as defined by the Fetch Standard of WHATWG.

use std::time::Duration;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD,
    HeaderMap, HeaderName, HeaderValue, ORIGIN, VARY,
};
use http::{Method, StatusCode};

use crate::middleware::{Middleware, Next};
use crate::request::Request;
use crate::response::Response;

/// Middleware that lets scripts from other origins use a server. It says which origins, methods and headers are allowed, and
/// whether cookies are. Without it, browsers do not show the responses to such scripts.
///
/// CORS does not keep requests out: only browsers obey it, and simple requests reach the handler in any case. A *preflight*,
/// by which a browser asks for permission (`OPTIONS` with `Origin` and `Access-Control-Request-Method`), is answered here
/// with 204 and does not reach the handler.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use lunatic_http::{Cors, Handler, Router};
///
/// let cors = Cors::origins(&["https://app.example", "http://localhost:3000"])
///     .methods(&["GET", "POST", "DELETE"])
///     .headers(&["content-type", "authorization"])
///     .credentials()
///     .max_age(Duration::from_secs(3600));
/// let app = Router::new().get("/", |_| "home").layer(cors);
/// # let _ = app;
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Cors {
    /// `None` allows any origin.
    origins: Option<&'static [&'static str]>,
    methods: &'static [&'static str],
    headers: &'static [&'static str],
    exposed: &'static [&'static str],
    credentials: bool,
    max_age: Option<Duration>,
}

impl Cors {
    /// Allows scripts from any origin, with the methods `GET`, `HEAD` and `POST`, without custom headers and without cookies. For
    /// public data.
    #[must_use]
    pub fn any_origin() -> Self {
        Self {
            origins: None,
            methods: &["GET", "HEAD", "POST"],
            headers: &[],
            exposed: &[],
            credentials: false,
            max_age: None,
        }
    }

    /// Allows scripts from these origins, such as `https://app.example` or `http://localhost:3000`, and otherwise the same as
    /// [`any_origin`](Self::any_origin).
    ///
    /// # Panics
    ///
    /// If an origin has no scheme, or has a path, a slash at its end, or upper-case letters. Browsers never send such origins.
    #[must_use]
    pub fn origins(origins: &'static [&'static str]) -> Self {
        for origin in origins {
            let host = origin.split_once("://").map_or("", |(_, host)| host);
            let is_one = !host.is_empty()
                && !host.contains('/')
                && origin
                    .bytes()
                    .all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase());
            assert!(
                is_one,
                "`{origin}` is not an origin; write it like `https://app.example:8080`"
            );
        }
        Self {
            origins: Some(origins),
            ..Self::any_origin()
        }
    }

    /// Sets the methods that scripts may use.
    ///
    /// # Panics
    ///
    /// If one is not a valid method.
    #[must_use]
    pub fn methods(self, methods: &'static [&'static str]) -> Self {
        for method in methods {
            assert!(
                Method::from_bytes(method.as_bytes()).is_ok(),
                "`{method}` is not a valid method"
            );
        }
        Self { methods, ..self }
    }

    /// Sets the request headers that scripts may use, in addition to the few that are always allowed. For JSON, list
    /// `content-type`: it is always allowed for forms and plain text only.
    ///
    /// # Panics
    ///
    /// If one is not a valid header name.
    #[must_use]
    pub fn headers(self, headers: &'static [&'static str]) -> Self {
        check(headers);
        Self { headers, ..self }
    }

    /// Sets the response headers that scripts may read, in addition to the few that are always allowed.
    ///
    /// # Panics
    ///
    /// If one is not a valid header name.
    #[must_use]
    pub fn exposed(self, exposed: &'static [&'static str]) -> Self {
        check(exposed);
        Self { exposed, ..self }
    }

    /// Allows requests with cookies.
    ///
    /// # Panics
    ///
    /// With [`any_origin`](Self::any_origin), because then every site could act in the name of its visitors.
    #[must_use]
    pub fn credentials(self) -> Self {
        assert!(
            self.origins.is_some(),
            "cookies need a list of origins: `Cors::origins`"
        );
        Self {
            credentials: true,
            ..self
        }
    }

    /// Sets how long a browser may remember the answer to a preflight. Browsers limit this to between 2 and 24 hours; the
    /// default is 5 s.
    #[must_use]
    pub fn max_age(self, age: Duration) -> Self {
        Self {
            max_age: Some(age),
            ..self
        }
    }

    /// The value of `Access-Control-Allow-Origin` for this origin; `None` if the origin is not allowed.
    fn allowed(&self, origin: &HeaderValue) -> Option<HeaderValue> {
        match self.origins {
            None => Some(HeaderValue::from_static("*")),
            Some(origins) => origins
                .iter()
                .any(|known| known.as_bytes() == origin.as_bytes())
                .then(|| origin.clone()),
        }
    }

    fn permit(&self, headers: &mut HeaderMap, allowed: Option<HeaderValue>) -> bool {
        if self.origins.is_some() {
            // A cache must not give one origin the response that was meant for another.
            headers.append(VARY, HeaderValue::from_static("origin"));
        }
        let Some(allowed) = allowed else { return false };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        if self.credentials {
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        true
    }

    fn preflight(&self, allowed: Option<HeaderValue>) -> Response {
        let mut response = Response::new(()).with_status(StatusCode::NO_CONTENT);
        let headers = response.headers_mut();
        if self.permit(headers, allowed) {
            list(headers, ACCESS_CONTROL_ALLOW_METHODS, self.methods);
            list(headers, ACCESS_CONTROL_ALLOW_HEADERS, self.headers);
            if let Some(age) = self.max_age {
                headers.insert(ACCESS_CONTROL_MAX_AGE, age.as_secs().into());
            }
        }
        response
    }
}

fn check(headers: &[&str]) {
    for header in headers {
        assert!(
            HeaderName::from_bytes(header.as_bytes()).is_ok(),
            "`{header}` is not a valid header name"
        );
    }
}

fn list(headers: &mut HeaderMap, name: HeaderName, items: &[&str]) {
    if let (false, Ok(value)) = (items.is_empty(), HeaderValue::from_str(&items.join(", "))) {
        headers.insert(name, value);
    }
}

impl Middleware for Cors {
    fn around(&self, request: Request, next: Next<'_>) -> Response {
        let origin = request.headers().get(ORIGIN);
        let is_preflight = *request.method() == Method::OPTIONS
            && origin.is_some()
            && request.headers().contains_key(ACCESS_CONTROL_REQUEST_METHOD);
        let allowed = origin.and_then(|origin| self.allowed(origin));
        if is_preflight {
            return self.preflight(allowed);
        }
        let mut response = next.run(request);
        if self.permit(response.headers_mut(), allowed) {
            list(response.headers_mut(), ACCESS_CONTROL_EXPOSE_HEADERS, self.exposed);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::{Handler, Router};

    fn ask(cors: Cors, method: &str, headers: &[(&'static str, &str)]) -> (u16, String) {
        let app = Router::new().get("/", |_| "home").layer(cors);
        let mut request = Request::new(method.parse().unwrap(), "/".parse().unwrap(), ());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let response = app.handle(request);
        let shown = response
            .headers()
            .iter()
            .filter(|(name, _)| name.as_str() != "content-type");
        let mut shown: Vec<_> = shown
            .map(|(name, value)| {
                let name = name.as_str();
                let name = name.strip_prefix("access-control-").unwrap_or(name);
                format!("{name}: {}", value.to_str().unwrap())
            })
            .collect();
        shown.sort();
        (response.status().as_u16(), shown.join("; "))
    }

    #[test]
    fn any_origin_is_a_star() {
        let cors = Cors::any_origin();
        assert_eq!(
            ask(cors, "GET", &[("origin", "https://a")]),
            (200, "allow-origin: *".into())
        );
        // A request without an origin is not changed.
        assert_eq!(ask(cors, "GET", &[]), (200, String::new()));
        assert_eq!(
            ask(
                cors,
                "OPTIONS",
                &[("origin", "https://a"), ("access-control-request-method", "POST")]
            ),
            (204, "allow-methods: GET, HEAD, POST; allow-origin: *".into())
        );
        // No preflight.
        let plain = ask(cors, "OPTIONS", &[("origin", "https://a")]);
        assert_eq!(plain, (204, "allow-origin: *; allow: GET, HEAD, OPTIONS".into()));
    }

    #[test]
    fn only_these_origins() {
        let cors = Cors::origins(&["https://a.example", "http://localhost:1"])
            .methods(&["GET", "PATCH"])
            .headers(&["x-a", "content-type"])
            .exposed(&["x-b"])
            .credentials()
            .max_age(Duration::from_secs(60));
        assert_eq!(
            ask(cors, "GET", &[("origin", "http://localhost:1")]).1,
            "allow-credentials: true; allow-origin: http://localhost:1; expose-headers: x-b; vary: origin"
        );
        assert_eq!(
            ask(
                cors,
                "OPTIONS",
                &[("origin", "https://a.example"), ("access-control-request-method", "X")]
            )
            .1,
            "allow-credentials: true; allow-headers: x-a, content-type; allow-methods: GET, PATCH; \
             allow-origin: https://a.example; max-age: 60; vary: origin"
        );
        for origin in [
            "https://a.example.evil",
            "http://a.example",
            "null",
            "https://A.example",
            "",
        ] {
            assert_eq!(
                ask(cors, "GET", &[("origin", origin)]),
                (200, "vary: origin".into()),
                "{origin}"
            );
            let asked = [("origin", origin), ("access-control-request-method", "GET")];
            assert_eq!(ask(cors, "OPTIONS", &asked), (204, "vary: origin".into()), "{origin}");
        }
    }

    #[test]
    fn what_cannot_work_panics() {
        let wrong: [fn() -> Cors; 8] = [
            || Cors::any_origin().credentials(),
            || Cors::origins(&["a.example"]),
            || Cors::origins(&["https://a.example/"]),
            || Cors::origins(&["https://A.example"]),
            || Cors::origins(&["https://"]),
            || Cors::any_origin().methods(&["G T"]),
            || Cors::any_origin().headers(&["a b"]),
            || Cors::any_origin().exposed(&[""]),
        ];
        for wrong in wrong {
            assert!(std::panic::catch_unwind(wrong).is_err());
        }
    }
}
