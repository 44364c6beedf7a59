//! Conditional requests (RFC 9110, 13): a client asks whether its copy is current, or makes a change only if nobody else has.

use std::time::{Duration, SystemTime};

use hmac_sha256::Hash;
use http::header::{
    CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, HeaderValue,
    IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE, LAST_MODIFIED,
};
use http::{Method, StatusCode};

use crate::body::Kind;
use crate::middleware::{Middleware, Next};
use crate::request::Request;
use crate::response::Response;

/// Identifies a version of a resource: an entity tag, the time of the last change, or both.
///
/// # Examples
///
/// ```
/// use lunatic_http::{Request, Response, StatusCode, Validators};
///
/// /// Changes a document if the client has seen its current version.
/// fn save(mut request: Request) -> Response {
///     let version = 7; // ask the process that owns the document
///     let seen = Validators::new().etag(&version.to_string());
///     if let Some(refused) = request.precondition(&seen) {
///         return refused; // 412: somebody else has changed it
///     }
///     let text = request.read_text();
///     // …
///     Response::from(StatusCode::NO_CONTENT).validators(&Validators::new().etag("8"))
/// }
/// # let _ = lunatic_http::Router::new().put("/document", save);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Validators {
    /// As written in the header.
    etag: Option<String>,
    /// In whole seconds.
    modified: Option<SystemTime>,
    is_absent: bool,
}

impl Validators {
    /// Validators of a resource that exists, without a tag and a time.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Validators of a resource that does not exist. A request with `If-None-Match: *` may create it.
    #[must_use]
    pub fn absent() -> Self {
        Self {
            is_absent: true,
            ..Self::default()
        }
    }

    /// Sets a strong entity tag. Two versions with the same strong tag must be identical byte for byte.
    ///
    /// # Panics
    ///
    /// If the tag contains characters other than visible ASCII, or a quote.
    #[must_use]
    pub fn etag(self, tag: &str) -> Self {
        self.tagged("", tag)
    }

    /// Sets a weak entity tag. Two versions with the same weak tag are equivalent, but may differ in bytes. `Range` and `If-Match`
    /// do not work with weak tags.
    ///
    /// # Panics
    ///
    /// As [`etag`](Self::etag).
    #[must_use]
    pub fn weak_etag(self, tag: &str) -> Self {
        self.tagged("W/", tag)
    }

    fn tagged(self, weak: &str, tag: &str) -> Self {
        let is_tag = tag.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
        assert!(is_tag, "an entity tag must be visible ASCII without quotes: {tag:?}");
        Self {
            etag: Some(format!("{weak}\"{tag}\"")),
            ..self
        }
    }

    /// Sets the time of the last change, rounded down to seconds. Times before 1970 and after
    /// the year 9999 are ignored.
    #[must_use]
    pub fn modified(self, time: SystemTime) -> Self {
        Self {
            modified: whole_seconds(time),
            ..self
        }
    }

    /// The validators of a response.
    fn of(headers: &HeaderMap) -> Self {
        Self {
            etag: headers.get(ETAG).and_then(|tag| tag.to_str().ok()).map(str::to_owned),
            modified: date(headers, LAST_MODIFIED),
            is_absent: false,
        }
    }

    /// Whether this is the version that a client has a part of (`If-Range`, RFC 9110, 13.1.5).
    pub(crate) fn is_same(&self, condition: &HeaderValue) -> bool {
        let Ok(text) = condition.to_str() else { return false };
        if text.ends_with('"') {
            return self.etag.as_deref().is_some_and(|tag| !is_weak(tag) && tag == text);
        }
        self.modified.is_some() && httpdate::parse_http_date(text).ok() == self.modified
    }
}

/// The first second of the year 10000, which the format of dates has no room for.
const YEAR_10000: u64 = 253_402_300_800;

fn whole_seconds(time: SystemTime) -> Option<SystemTime> {
    let age = time.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
    let age = (age < YEAR_10000).then_some(Duration::from_secs(age))?;
    SystemTime::UNIX_EPOCH.checked_add(age)
}

fn date(headers: &HeaderMap, name: HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()
}

fn is_weak(tag: &str) -> bool {
    tag.starts_with("W/")
}

impl Request {
    /// Compares the conditions of the request (`If-Match`, `If-None-Match`, `If-Modified-Since`, `If-Unmodified-Since`) with the
    /// current version of the resource. Returns `None` if the handler should go on, else the response to send: 304 Not Modified if
    /// a client with `GET` or `HEAD` has the current version, and 412 Precondition Failed in all other cases.
    ///
    /// Malformed dates are ignored. Conditions on dates are ignored if there is one on entity tags.
    #[must_use]
    pub fn precondition(&self, validators: &Validators) -> Option<Response> {
        let status = unmet(self.method(), self.headers(), validators)?;
        let response = match status {
            StatusCode::NOT_MODIFIED => Response::new(()).with_status(status),
            status => status.into(),
        };
        Some(response.validators(validators))
    }
}

impl Response {
    /// Sets the headers `ETag` and `Last-Modified` to these validators.
    #[must_use]
    pub fn validators(mut self, validators: &Validators) -> Self {
        if let Some(tag) = validators
            .etag
            .as_deref()
            .and_then(|tag| HeaderValue::from_str(tag).ok())
        {
            self.headers.insert(ETAG, tag);
        }
        if let Some(time) = validators.modified
            && let Ok(date) = HeaderValue::from_str(&httpdate::fmt_http_date(time))
        {
            self.headers.insert(LAST_MODIFIED, date);
        }
        self
    }
}

/// The status for a condition that is false, in the order of RFC 9110, 13.2.2; `None` if all are true.
fn unmet(method: &Method, headers: &HeaderMap, validators: &Validators) -> Option<StatusCode> {
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    if headers.contains_key(IF_MATCH) {
        // The RFC requires strong comparison.
        let fits = names(headers, IF_MATCH, validators, |tag, own| tag == own && !is_weak(own));
        if !fits {
            return Some(StatusCode::PRECONDITION_FAILED);
        }
    } else if let (Some(since), Some(modified)) = (date(headers, IF_UNMODIFIED_SINCE), validators.modified)
        && modified > since
    {
        return Some(StatusCode::PRECONDITION_FAILED);
    }
    let has_copy = if headers.contains_key(IF_NONE_MATCH) {
        // The RFC requires weak comparison.
        let bare = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag).to_owned();
        names(headers, IF_NONE_MATCH, validators, |tag, own| bare(tag) == bare(own))
    } else {
        is_read
            && matches!((date(headers, IF_MODIFIED_SINCE), validators.modified), (Some(since), Some(modified)) if modified <= since)
    };
    has_copy.then_some(match is_read {
        true => StatusCode::NOT_MODIFIED,
        false => StatusCode::PRECONDITION_FAILED,
    })
}

/// Whether a list of entity tags contains that of the resource, or is `*` and the resource exists.
fn names(headers: &HeaderMap, name: HeaderName, validators: &Validators, is_same: impl Fn(&str, &str) -> bool) -> bool {
    headers.get_all(name).into_iter().any(|line| {
        let line = line.to_str().unwrap_or_default().trim();
        if line == "*" {
            return !validators.is_absent;
        }
        let Some(own) = validators.etag.as_deref() else {
            return false;
        };
        tags(line).any(|tag| is_same(tag, own))
    })
}

/// The entity tags of a list, up to the first malformed one.
fn tags(mut rest: &str) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let start = if is_weak(rest) { 2 } else { 0 };
        let inner = rest[start..].strip_prefix('"')?;
        let end = start + 1 + inner.find('"')? + 1;
        let (tag, after) = rest.split_at(end);
        rest = after;
        Some(tag)
    })
}

/// Middleware that answers 304 without a body if the client already has the response. It compares the conditions of `GET` and
/// `HEAD` requests with the `ETag` and `Last-Modified` of responses with status 200. A response without `ETag` gets one, made
/// from the bytes of its body (SHA-256), unless the body is a stream.
///
/// This saves bandwidth, but not the work of the handler; for that, use [`Request::precondition`] in the handler. Add it after
/// `Compress`, so that it is the outer layer.
///
/// # Examples
///
/// ```
/// use lunatic_http::{Body, ETags, Handler, Method, Request, Router, Uri};
///
/// let app = Router::new().get("/", |_| "home").layer(ETags);
/// let ask = |request| app.handle(request);
/// let get = || Request::new(Method::GET, Uri::from_static("/"), Body::empty());
/// let tag = ask(get()).header_text("etag").unwrap().to_owned();
/// assert_eq!(ask(get().header("if-none-match", tag)).status(), 304);
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct ETags;

impl Middleware for ETags {
    fn around(&self, request: Request, next: Next<'_>) -> Response {
        let method = request.method().clone();
        let mut conditions = HeaderMap::new();
        for name in [IF_NONE_MATCH, IF_MODIFIED_SINCE] {
            for value in request.headers().get_all(&name) {
                conditions.append(&name, value.clone());
            }
        }
        let mut response = next.run(request);
        if !matches!(method, Method::GET | Method::HEAD) || response.status() != StatusCode::OK {
            return response;
        }
        if !response.headers().contains_key(ETAG)
            && let Kind::Bytes(bytes) = &response.body.0
        {
            let hash = Hash::hash(&bytes[..]);
            let number = u128::from_be_bytes(*hash.first_chunk().expect("a hash has 32 bytes"));
            response = response.validators(&Validators::new().etag(&format!("{number:032x}")));
        }
        if unmet(&method, &conditions, &Validators::of(response.headers())).is_none() {
            return response;
        }
        for name in [CONTENT_TYPE, CONTENT_LENGTH, CONTENT_ENCODING, CONTENT_LANGUAGE] {
            response.headers_mut().remove(name);
        }
        response.body = ().into();
        response.with_status(StatusCode::NOT_MODIFIED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::Body;
    use crate::router::{Handler, Router};
    use proptest::prelude::*;

    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const THEN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn validators() -> Validators {
        let then = httpdate::parse_http_date(THEN).unwrap();
        Validators::new()
            .etag("a,b")
            .modified(then + Duration::from_millis(900))
    }

    #[track_caller]
    fn check(method: &str, lines: &[(&'static str, &str)], validators: &Validators, expected: Option<u16>) {
        let mut request = Request::new(method.parse().unwrap(), "/".parse().unwrap(), ());
        for (name, value) in lines {
            request = request.header(name, value);
        }
        let status = request
            .precondition(validators)
            .map(|response| response.status().as_u16());
        assert_eq!(status, expected, "{method} {lines:?}");
    }

    #[test]
    fn who_has_a_copy_is_told() {
        let strong = validators();
        let weak = Validators::new().weak_etag("a");
        for (line, own, expected) in [
            ("\"a,b\"", &strong, Some(304)),
            ("\"x\", W/\"a,b\"", &strong, Some(304)),
            (" , \"x\",,\"a,b\"", &strong, Some(304)),
            ("*", &strong, Some(304)),
            ("*", &Validators::absent(), None),
            ("\"a\"", &strong, None),
            ("a,b", &strong, None),
            ("\"a,b", &strong, None),
            ("W/", &strong, None),
            ("\"a\"", &weak, Some(304)),
            ("\"a\"", &Validators::new(), None),
        ] {
            check("GET", &[("if-none-match", line)], own, expected);
            check("PUT", &[("if-none-match", line)], own, expected.map(|_| 412));
        }
        for (line, expected) in [
            (BEFORE, None),
            (THEN, Some(304)),
            (AFTER, Some(304)),
            ("yesterday", None),
        ] {
            check("HEAD", &[("if-modified-since", line)], &strong, expected);
            check("PUT", &[("if-modified-since", line)], &strong, None);
            check(
                "GET",
                &[("if-modified-since", line), ("if-none-match", "\"x\"")],
                &strong,
                None,
            );
        }
    }

    #[test]
    fn who_has_not_seen_the_version_does_not_change_it() {
        let strong = validators();
        for (line, own, expected) in [
            ("\"a,b\"", &strong, None),
            ("\"x\"", &strong, Some(412)),
            ("W/\"a,b\"", &strong, Some(412)),
            ("*", &strong, None),
            ("*", &Validators::absent(), Some(412)),
            ("W/\"a\"", &Validators::new().weak_etag("a"), Some(412)),
        ] {
            check("PUT", &[("if-match", line)], own, expected);
        }
        for (line, expected) in [(BEFORE, Some(412)), (THEN, None), ("", None)] {
            check("PUT", &[("if-unmodified-since", line)], &strong, expected);
            check(
                "PUT",
                &[("if-unmodified-since", line), ("if-match", "*")],
                &strong,
                None,
            );
        }
        check("PUT", &[], &strong, None);
    }

    #[test]
    fn responses_get_tags_and_are_not_sent_twice() {
        let app = Router::new()
            .get("/", |_| Response::text("home").header("vary", "cookie"))
            .get("/own", |_| Response::text("own").validators(&validators()))
            .get("/stream", |_| Response::new(Body::stream(|_| Ok(()))))
            .get("/bad", |_| StatusCode::BAD_REQUEST)
            .layer(ETags);
        let ask = |method: &str, path: &str, line: &str| {
            let request = Request::new(method.parse().unwrap(), path.parse().unwrap(), ());
            app.handle(request.header("if-none-match", line))
        };
        let first = ask("GET", "/", "");
        let tag = first.header_text("etag").unwrap();
        assert_eq!((first.status().as_u16(), tag.len()), (200, 34));
        for method in ["GET", "HEAD"] {
            let mut again = ask(method, "/", tag);
            assert_eq!(
                (again.status().as_u16(), again.read_text().unwrap()),
                (304, String::new())
            );
            assert_eq!(again.header_text("content-type"), None);
            assert_eq!(again.header_text("vary"), Some("cookie"));
            assert_eq!(again.header_text("etag"), Some(tag));
        }
        assert_eq!(ask("GET", "/own", "W/\"a,b\"").status(), 304);
        assert_eq!(ask("GET", "/stream", "*").status(), 304);
        assert_eq!(ask("GET", "/stream", "\"a\"").header_text("etag"), None);
        assert_eq!(ask("GET", "/bad", "*").status(), 400);
    }

    #[test]
    fn times_without_a_date_are_ignored() {
        let at = |seconds| {
            SystemTime::UNIX_EPOCH
                .checked_add(Duration::from_secs(seconds))
                .unwrap()
        };
        let shown = |time| {
            let response = Response::text("").validators(&Validators::new().modified(time));
            response.header_text("last-modified").map(str::to_owned)
        };
        assert_eq!(shown(at(YEAR_10000 - 1)).unwrap(), "Fri, 31 Dec 9999 23:59:59 GMT");
        assert_eq!(shown(at(YEAR_10000)), None);
        assert_eq!(shown(at(i64::MAX as u64)), None);
        assert_eq!(shown(SystemTime::UNIX_EPOCH - Duration::from_secs(1)), None);
    }

    #[test]
    #[should_panic(expected = "without quotes")]
    fn a_tag_has_no_quotes() {
        let _ = Validators::new().etag("a\"b");
    }

    proptest! {
        #[test]
        fn any_list_ends(line in proptest::collection::vec(32_u8..127, 0..60)) {
            let line = String::from_utf8(line).unwrap();
            prop_assert!(tags(&line).count() <= line.len());
        }
    }
}
