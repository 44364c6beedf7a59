//! Error pages: one for the public, and one with details for developers.

use std::fmt::{Display, Write};

use http::header::HeaderValue;
use http::{Method, StatusCode, Uri};

use crate::accept::wants_html;
use crate::body::Kind;
use crate::middleware::{Middleware, Next};
use crate::panics;
use crate::request::Request;
use crate::response::Response;

/// The longest response text, in bytes, that a page repeats.
const WHY_LEN_MAX: usize = 16 << 10;

/// Middleware for development. It turns each plain-text response with a status of 400 or more into a page with the method,
/// the target, the reason and the request's id. If a handler panics, the page shows the message and the place in the source.
///
/// Clients that do not prefer HTML get the same details as text. Responses of other types, such as JSON, are not changed.
///
/// Do not use it where strangers can reach the server, because panic messages may contain secrets. The type does not know
/// whether the program runs in production; make it conditional, as in the example.
///
/// # Examples
///
/// ```
/// use lunatic_http::{DevelopmentPages, Handler, Next, Request, Router};
///
/// let app = Router::new()
///     .get("/", |_| "home")
///     .layer(|request: Request, next: Next<'_>| match cfg!(debug_assertions) {
///         true => DevelopmentPages.wrap(request, next),
///         false => next.run(request),
///     });
/// # let _ = app;
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct DevelopmentPages;

impl DevelopmentPages {
    /// Answers a request as this middleware does. Call it from middleware that decides when to show details.
    #[must_use]
    pub fn wrap(self, request: Request, next: Next<'_>) -> Response {
        self.around(request, next)
    }
}

impl Middleware for DevelopmentPages {
    fn around(&self, request: Request, next: Next<'_>) -> Response {
        panics::tell_details();
        let (method, uri, id) = (request.method().clone(), request.uri().clone(), request.id());
        let as_html = wants_html(request.headers());
        let response = next.run(request);
        if !(response.status.is_client_error() || response.status.is_server_error()) {
            return response;
        }
        let is_text = response
            .header_text("content-type")
            .is_none_or(|kind| kind.starts_with("text/plain"));
        let Some(why) = text(&response).filter(|_| is_text) else {
            return response;
        };
        let page = self::response(&Failed {
            status: response.status,
            id: &id,
            what: Some(Details {
                method: &method,
                uri: &uri,
                why: &why,
            }),
            as_html,
        });
        // Headers such as `Allow` and `WWW-Authenticate` belong to the status and stay.
        let mut headers = response.headers;
        for (name, value) in &page.headers {
            headers.insert(name, value.clone());
        }
        Response {
            headers,
            body: page.body,
            ..response
        }
    }
}

/// The text of a response; `None` if the body is a stream, too long, or not UTF-8.
fn text(response: &Response) -> Option<String> {
    match &response.body.0 {
        Kind::Empty => Some(String::new()),
        Kind::Bytes(bytes) if bytes.len() <= WHY_LEN_MAX => String::from_utf8(bytes.to_vec()).ok(),
        _ => None,
    }
}

/// A failed request.
pub(crate) struct Failed<'a> {
    pub(crate) status: StatusCode,
    pub(crate) id: &'a dyn Display,
    /// Shown to developers only.
    pub(crate) what: Option<Details<'a>>,
    pub(crate) as_html: bool,
}

pub(crate) struct Details<'a> {
    pub(crate) method: &'a Method,
    pub(crate) uri: &'a Uri,
    pub(crate) why: &'a str,
}

/// The response to a failed request.
pub(crate) fn response(failed: &Failed<'_>) -> Response {
    let Failed { status, id, what, .. } = failed;
    if !failed.as_html {
        let why = what.as_ref().map_or(String::new(), |details| {
            format!(
                "{} {}\n{}\n",
                details.method,
                details.uri.path(),
                details.why.trim_end()
            )
        });
        return Response::from(format!("{status}\n{why}request id: {id}\n")).with_status(*status);
    }
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>{status}</title>\n\
         <style>body {{ font: 16px/1.5 sans-serif; max-width: 50em; margin: 2em auto; padding: 0 1em }} \
         pre {{ background: #f4f4f4; padding: 1em; overflow: auto; white-space: pre-wrap }}</style>\n\
         <h1>{status}</h1>\n"
    );
    if let Some(details) = what {
        let target = details.uri.path_and_query().map_or("", |target| target.as_str());
        // Writing to a `String` does not fail.
        let _ = writeln!(page, "<p><code>{} {}</code></p>", details.method, escaped(target));
        let _ = writeln!(page, "<pre>{}</pre>", escaped(details.why.trim_end()));
    }
    let _ = writeln!(page, "<p>Request id: <code>{id}</code></p>");
    let mut response = Response::html(page).with_status(*status);
    // If escaping ever failed, no script in the page would run.
    response.headers_mut().insert(
        "content-security-policy",
        HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'"),
    );
    response
}

/// Escapes text for HTML.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            char => out.push(char),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::Body;
    use crate::router::{Handler, Router};

    fn ask(path: &str, accept: &str) -> Response {
        let app = Router::new()
            .get("/", |_| "home")
            .get("/why", |_| (StatusCode::BAD_REQUEST, "<b>no</b> & never"))
            .get("/json", |_| {
                Response::new("{}")
                    .with_status(StatusCode::BAD_REQUEST)
                    .header("content-type", "application/json")
            })
            .layer(DevelopmentPages);
        let request = Request::new("GET".parse().unwrap(), path.parse().unwrap(), Body::empty());
        app.handle(request.header("accept", accept))
    }

    #[test]
    fn developers_see_why() {
        let mut page = ask("/why?x=%3C'", "text/html,*/*;q=0.8");
        assert_eq!(page.status(), 400);
        assert_eq!(page.header_text("content-type"), Some("text/html; charset=utf-8"));
        let policy = page.header_text("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none';"), "{policy}");
        let text = page.read_text().unwrap();
        assert!(text.contains("<h1>400 Bad Request</h1>"), "{text}");
        assert!(text.contains("<pre>&lt;b&gt;no&lt;/b&gt; &amp; never</pre>"), "{text}");
        assert!(text.contains("<code>GET /why?x=%3C&#39;</code>"), "{text}");
        let text = ask("/why", "*/*").read_text().unwrap();
        assert!(
            text.starts_with("400 Bad Request\nGET /why\n<b>no</b> & never\nrequest id: "),
            "{text}"
        );
        assert_eq!(ask("/none", "text/html").status(), 404);
    }

    #[test]
    fn what_is_no_plain_text_or_no_failure_stays() {
        assert_eq!(ask("/", "text/html").read_text().unwrap(), "home");
        assert_eq!(ask("/json", "text/html").read_text().unwrap(), "{}");
    }
}
