//! Heads: the first line and the headers of a message. Knows bytes only.
//!
//! `httparse` reads the lines; this file finds where a head ends and is stricter: each line ends with CR LF, no header is
//! folded, and how long the body is must be said in one way only, as RFC 9112 (6.3) asks of servers that do not want to be
//! deceived about where a request ends.

use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, EXPECT, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version};

use crate::limits::Limits;
use crate::reject::Reject;

/// How long a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    Length(u64),
    Chunked,
    /// To the end of the connection; responses only.
    UntilClose,
}

/// The head of a request.
#[derive(Debug)]
pub(crate) struct RequestHead {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) framing: Framing,
    /// The client would like to go on using the connection.
    pub(crate) keep_alive: bool,
    /// It waits for a word before it sends the body.
    pub(crate) expects_continue: bool,
}

/// The head of a response.
#[derive(Debug)]
pub(crate) struct ResponseHead {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) framing: Framing,
    pub(crate) keep_alive: bool,
}

/// Finds the end of a head in input that comes bit by bit, looking at each byte once.
#[derive(Debug, Default)]
pub(crate) struct Scanner {
    looked: usize,
    line_start: usize,
    lines: usize,
}

impl Scanner {
    /// The length of the head at the beginning of `input`, once it is all there. `input` is what it was in the last call,
    /// and perhaps more.
    fn find(&mut self, input: &[u8], limits: &Limits) -> Result<Option<usize>, Reject> {
        while let Some(offset) = input[self.looked..].iter().position(|byte| *byte == b'\n') {
            let end = self.looked + offset;
            if end == 0 || input[end - 1] != b'\r' {
                return Err(Reject::bad("a line does not end with CR LF"));
            }
            let len = (end - 1).saturating_sub(self.line_start);
            self.check_len(end, len, limits)?;
            self.looked = end + 1;
            self.line_start = end + 1;
            self.lines += 1;
            if len == 0 {
                return Ok(Some(end + 1));
            }
        }
        self.looked = input.len();
        self.check_len(input.len(), input.len() - self.line_start, limits)?;
        Ok(None)
    }

    fn check_len(&self, head: usize, line: usize, limits: &Limits) -> Result<(), Reject> {
        // The method and the version have their place beside the target.
        if self.lines == 0 && line > limits.target_len.saturating_add(64) {
            return Err(Reject::new(StatusCode::URI_TOO_LONG, "the target is too long"));
        }
        if head > limits.head_len {
            return Err(Reject::new(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "the headers are too long",
            ));
        }
        Ok(())
    }
}

/// Empty lines before a request are skipped, as old clients send one after a body; so many bytes at most.
const SKIPPED_MAX: usize = 8;

/// Takes the head of a request off `input` when it is all there.
pub(crate) fn take_request(
    input: &mut BytesMut,
    scanner: &mut Scanner,
    limits: &Limits,
) -> Result<Option<RequestHead>, Reject> {
    let mut skipped = 0;
    loop {
        let Some(len) = scanner.find(input, limits)? else {
            return Ok(None);
        };
        let bytes = input.split_to(len).freeze();
        *scanner = Scanner::default();
        if len > 2 {
            return parse_request(&bytes, limits).map(Some);
        }
        skipped += len;
        if skipped > SKIPPED_MAX {
            return Err(Reject::bad("there are only empty lines"));
        }
    }
}

fn parse_request(bytes: &Bytes, limits: &Limits) -> Result<RequestHead, Reject> {
    let mut places = [const { MaybeUninit::uninit() }; Limits::HEADERS_MAX];
    let count = limits.headers.min(Limits::HEADERS_MAX);
    let mut request = httparse::Request::new(&mut []);
    match request.parse_with_uninit_headers(bytes, &mut places[..count]) {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(Reject::bad("the head is not a request")),
        Err(error) => return Err(refused(error, bytes)),
    }
    let (Some(method), Some(target), Some(minor)) = (request.method, request.path, request.version) else {
        return Err(Reject::bad("the head is not a request"));
    };
    let version = version(minor);
    if target.len() > limits.target_len {
        return Err(Reject::new(StatusCode::URI_TOO_LONG, "the target is too long"));
    }
    let method = Method::from_bytes(method.as_bytes()).map_err(|_| Reject::bad("the method is not a token"))?;
    if method == Method::CONNECT {
        return Err(Reject::new(StatusCode::NOT_IMPLEMENTED, "this server is not a proxy"));
    }
    let uri = parse_target(bytes.slice_ref(target.as_bytes()), &method)?;
    let mut headers = header_map(request.headers, bytes)?;
    check_host(&headers, version)?;
    if let Some(authority) = uri.authority() {
        // A handler must not see another host than a proxy that follows the target.
        let host = HeaderValue::from_str(authority.as_str()).map_err(|_| WRONG_TARGET)?;
        headers.insert(HOST, host);
    }
    let keep_alive = keeps_alive(&headers, version);
    let framing = request_framing(&headers, version)?;
    let expects_continue = match headers.get(EXPECT) {
        None => false,
        Some(value) if value.as_bytes().eq_ignore_ascii_case(b"100-continue") => {
            version == Version::HTTP_11 && framing != Framing::Length(0)
        }
        Some(_) => {
            return Err(Reject::new(
                StatusCode::EXPECTATION_FAILED,
                "the only supported expectation is `100-continue`",
            ));
        }
    };
    Ok(RequestHead {
        method,
        uri,
        version,
        headers,
        framing,
        keep_alive,
        expects_continue,
    })
}

fn refused(error: httparse::Error, bytes: &Bytes) -> Reject {
    match error {
        httparse::Error::TooManyHeaders => Reject::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "there are too many headers",
        ),
        httparse::Error::Version => {
            let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
            let word = line.rsplit(|byte| *byte == b' ').next().unwrap_or_default();
            match word.strip_prefix(b"HTTP/") {
                // What is said twice, as in `GET /a b HTTP/1.1`, is another mistake.
                Some(b"1.0" | b"1.1") => Reject::bad("the target has a space"),
                Some([digit, ..]) if digit.is_ascii_digit() => Reject::new(
                    StatusCode::HTTP_VERSION_NOT_SUPPORTED,
                    "only HTTP/1.1 and HTTP/1.0 are supported",
                ),
                _ => Reject::bad("the first line does not end with a version of HTTP"),
            }
        }
        httparse::Error::HeaderName => Reject::bad("the name of a header is not a token, or its line is folded"),
        httparse::Error::HeaderValue => Reject::bad("the value of a header has control characters"),
        _ => Reject::bad("the first line is not a request line"),
    }
}

fn version(minor: u8) -> Version {
    if minor == 0 { Version::HTTP_10 } else { Version::HTTP_11 }
}

const WRONG_TARGET: Reject = Reject::bad("the target is not a URI");

fn parse_target(target: Bytes, method: &Method) -> Result<Uri, Reject> {
    // `Uri` would drop the fragment, and the request would be another one than a proxy in front has seen.
    if target.contains(&b'#') {
        return Err(Reject::bad("the target has a fragment"));
    }
    let asterisk = &target[..] == b"*";
    let origin = target.first() == Some(&b'/');
    let uri = Uri::from_maybe_shared(target).map_err(|_| WRONG_TARGET)?;
    match (asterisk, origin) {
        (true, _) if *method != Method::OPTIONS => Err(Reject::bad("the target `*` is for OPTIONS only")),
        (true, _) | (_, true) => Ok(uri),
        // With a scheme, as to a proxy.
        _ if uri.scheme().is_some() => match uri.authority() {
            Some(authority) if authority.as_str().contains('@') => Err(Reject::bad("the target contains a user name")),
            Some(_) => Ok(uri),
            None => Err(WRONG_TARGET),
        },
        _ => Err(WRONG_TARGET),
    }
}

fn header_map(headers: &[httparse::Header<'_>], bytes: &Bytes) -> Result<HeaderMap, Reject> {
    let mut map = HeaderMap::with_capacity(headers.len());
    for header in headers {
        let name = HeaderName::from_bytes(header.name.as_bytes())
            .map_err(|_| Reject::bad("the name of a header is not a token"))?;
        let value = match header.value {
            [] => HeaderValue::from_static(""),
            value => HeaderValue::from_maybe_shared(bytes.slice_ref(value))
                .map_err(|_| Reject::bad("the value of a header has control characters"))?,
        };
        map.try_append(name, value)
            .map_err(|_| Reject::bad("there are too many headers"))?;
    }
    Ok(map)
}

fn check_host(headers: &HeaderMap, version: Version) -> Result<(), Reject> {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if version == Version::HTTP_11 => Err(Reject::bad("there is no header `Host`")),
        (Some(_), Some(_)) => Err(Reject::bad("there are two headers `Host`")),
        (Some(host), None) if host.as_bytes().iter().any(|byte| b" \t/@,#?".contains(byte)) => {
            Err(Reject::bad("the header `Host` names no host"))
        }
        _ => Ok(()),
    }
}

/// Whether `Connection` has the word.
pub(crate) fn connection_has(headers: &HeaderMap, word: &str) -> bool {
    headers
        .get_all(CONNECTION)
        .iter()
        .any(|value| has_word(value.as_bytes(), word))
}

/// Whether the word is in a list with commas.
pub(crate) fn has_word(list: &[u8], word: &str) -> bool {
    list.split(|byte| *byte == b',')
        .any(|one| one.trim_ascii().eq_ignore_ascii_case(word.as_bytes()))
}

fn keeps_alive(headers: &HeaderMap, version: Version) -> bool {
    match version {
        Version::HTTP_11 => !connection_has(headers, "close"),
        _ => connection_has(headers, "keep-alive") && !connection_has(headers, "close"),
    }
}

fn request_framing(headers: &HeaderMap, version: Version) -> Result<Framing, Reject> {
    match (transfer_encoding(headers, version)?, content_length(headers)?) {
        (true, Some(_)) => Err(Reject::bad("both `Transfer-Encoding` and `Content-Length` are there")),
        (true, None) => Ok(Framing::Chunked),
        (false, length) => Ok(Framing::Length(length.unwrap_or(0))),
    }
}

/// Whether the body is chunked.
fn transfer_encoding(headers: &HeaderMap, version: Version) -> Result<bool, Reject> {
    let mut all = headers.get_all(TRANSFER_ENCODING).iter();
    let Some(encoding) = all.next() else {
        return Ok(false);
    };
    if version != Version::HTTP_11 {
        return Err(Reject::bad("HTTP/1.0 has no `Transfer-Encoding`"));
    }
    if all.next().is_some() {
        return Err(Reject::bad("there are two headers `Transfer-Encoding`"));
    }
    match encoding.as_bytes() {
        encoding if encoding.eq_ignore_ascii_case(b"chunked") => Ok(true),
        encoding
            if encoding
                .split(|byte| *byte == b',')
                .filter(|one| one.trim_ascii().eq_ignore_ascii_case(b"chunked"))
                .count()
                > 1 =>
        {
            Err(Reject::bad("the body is chunked twice"))
        }
        _ => Err(Reject::new(
            StatusCode::NOT_IMPLEMENTED,
            "the only supported transfer encoding is `chunked`",
        )),
    }
}

fn content_length(headers: &HeaderMap) -> Result<Option<u64>, Reject> {
    let mut all = headers.get_all(CONTENT_LENGTH).iter();
    let Some(length) = all.next() else {
        return Ok(None);
    };
    if all.next().is_some() {
        return Err(Reject::bad("there are two headers `Content-Length`"));
    }
    let digits = length.as_bytes();
    let number = match digits.iter().all(u8::is_ascii_digit) && digits.len() <= 19 {
        true => length.to_str().ok().and_then(|digits| digits.parse().ok()),
        false => None,
    };
    number
        .map(Some)
        .ok_or(Reject::bad("the `Content-Length` is not a number"))
}

/// Takes the head of a response to a request of this method off `input` when it is all there.
pub(crate) fn take_response(
    input: &mut BytesMut,
    scanner: &mut Scanner,
    limits: &Limits,
    method: &Method,
) -> Result<Option<ResponseHead>, Reject> {
    // What is said of targets does not hold for the first line of a response.
    let limits = Limits {
        target_len: limits.head_len,
        ..*limits
    };
    let Some(len) = scanner.find(input, &limits)? else {
        return Ok(None);
    };
    let bytes = input.split_to(len).freeze();
    *scanner = Scanner::default();
    let mut places = [const { MaybeUninit::uninit() }; Limits::HEADERS_MAX];
    let count = limits.headers.min(Limits::HEADERS_MAX);
    let mut response = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut response,
        &bytes,
        &mut places[..count],
    );
    match parsed {
        Ok(httparse::Status::Complete(_)) => {}
        Ok(httparse::Status::Partial) => return Err(Reject::bad("the head is not a response")),
        Err(error) => return Err(refused(error, &bytes)),
    }
    let (Some(code), Some(minor)) = (response.code, response.version) else {
        return Err(Reject::bad("the head is not a response"));
    };
    let status = StatusCode::from_u16(code).map_err(|_| Reject::bad("the status is not a number from 100 to 999"))?;
    let headers = header_map(response.headers, &bytes)?;
    let version = version(minor);
    let framing = response_framing(&headers, version, status, method)?;
    Ok(Some(ResponseHead {
        status,
        keep_alive: keeps_alive(&headers, version) && framing != Framing::UntilClose,
        headers,
        framing,
    }))
}

fn response_framing(
    headers: &HeaderMap,
    version: Version,
    status: StatusCode,
    method: &Method,
) -> Result<Framing, Reject> {
    let none = status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED
        || *method == Method::HEAD;
    if none {
        return Ok(Framing::Length(0));
    }
    match (transfer_encoding(headers, version)?, content_length(headers)?) {
        (true, Some(_)) => Err(Reject::bad("both `Transfer-Encoding` and `Content-Length` are there")),
        (true, None) => Ok(Framing::Chunked),
        (false, Some(length)) => Ok(Framing::Length(length)),
        (false, None) => Ok(Framing::UntilClose),
    }
}

#[cfg(test)]
mod tests;
