//! Requests.

use std::io;
use std::net::SocketAddr;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, Uri, Version};

use crate::body::Body;
use crate::request_id::RequestId;
use crate::router::Params;

/// A request: to a server's handler, or of a client.
///
/// The types of its parts are those of the crate [`http`].
///
/// # Examples
///
/// ```
/// use lunatic_http::{Request, Response, StatusCode};
///
/// fn greet(mut request: Request) -> Response {
///     match request.read_text() {
///         Ok(name) => format!("Hello, {name}").into(),
///         Err(_) => StatusCode::BAD_REQUEST.into(),
///     }
/// }
/// ```
#[derive(Debug)]
pub struct Request {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
    pub(crate) params: Params,
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) id: RequestId,
}

impl Request {
    /// A request for a client to send, or for a test to [handle](crate::Handler::handle).
    pub fn new(method: Method, uri: Uri, body: impl Into<Body>) -> Self {
        Self {
            method,
            uri,
            version: Version::HTTP_11,
            headers: HeaderMap::new(),
            body: body.into(),
            params: Params::default(),
            peer: None,
            id: RequestId::next(),
        }
    }

    /// The same with a header, beside those of this name that it has.
    ///
    /// # Panics
    ///
    /// If `name` is not the name of a header, or `value` has control characters; see [`headers_mut`](Self::headers_mut) for
    /// those that come from outside.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl AsRef<str>) -> Self {
        append(&mut self.headers, name, value.as_ref());
        self
    }

    /// `GET`, `POST` and so on.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// What is asked for, as it was sent: a path with a query, or with a scheme and a host too.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The path, as it was sent: percent signs are not decoded.
    #[must_use]
    pub fn path(&self) -> &str {
        self.uri.path()
    }

    /// The text after the question mark, as it was sent. [`query`](Self::query) reads it into a type.
    #[must_use]
    pub fn query_text(&self) -> Option<&str> {
        self.uri.query()
    }

    /// HTTP/1.1 or HTTP/1.0.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// All headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// All headers, to change them.
    pub fn headers_mut(&mut self) -> &mut HeaderMap {
        &mut self.headers
    }

    /// The first header of that name, if it is there and visible ASCII.
    #[must_use]
    pub fn header_text(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// What stands in the path in place of `{name}` in the [route](crate::Router) that was taken, decoded. Empty if the
    /// route has no such name.
    #[must_use]
    pub fn param(&self, name: &str) -> &str {
        self.params.get(name).unwrap_or_default()
    }

    /// The id of this request, which error pages and log lines show.
    #[must_use]
    pub fn id(&self) -> RequestId {
        self.id
    }

    /// The address of the client, if the request came by TCP. A proxy between is the client here.
    #[must_use]
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// The body, to read from.
    pub fn body_mut(&mut self) -> &mut Body {
        &mut self.body
    }

    /// The body alone: what a response that is [streamed](Body::stream) needs to read while it is written.
    #[must_use]
    pub fn into_body(self) -> Body {
        self.body
    }

    /// The whole body, which has at most [`Limits::body_len`](crate::Limits::body_len) bytes.
    ///
    /// # Errors
    ///
    /// As reading the [`Body`]. When a body cannot be read, the server answers with the status for that, whatever the
    /// handler returns.
    pub fn read_bytes(&mut self) -> io::Result<Vec<u8>> {
        self.body.read_bytes()
    }

    /// The whole body as text.
    ///
    /// # Errors
    ///
    /// As [`read_bytes`](Self::read_bytes), and [`InvalidData`](io::ErrorKind::InvalidData) if it is not UTF-8.
    pub fn read_text(&mut self) -> io::Result<String> {
        self.body.read_text()
    }
}

/// Adds a header.
///
/// # Panics
///
/// If it is none.
pub(crate) fn append(headers: &mut HeaderMap, name: &'static str, value: &str) {
    let name: HeaderName = match name.parse() {
        Ok(name) => name,
        Err(_) => panic!("`{name}` is not the name of a header"),
    };
    match HeaderValue::from_str(value) {
        Ok(value) => headers.append(name, value),
        Err(_) => panic!("the value of the header `{name}` has control characters: {value:?}"),
    };
}
