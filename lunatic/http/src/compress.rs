//! Compression of responses (RFC 9110, 8.4 and 12.5.3; RFC 1950 and 1952).

use std::io::{self, Write};
use std::{fmt, mem};

use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};
use http::StatusCode;
use http::header::{
    ACCEPT_ENCODING, ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderMap,
    HeaderValue, VARY,
};

use crate::accept;
use crate::body::{self, Body, Kind};
use crate::middleware::{Middleware, Next};
use crate::request::Request;
use crate::response::{BodyWriter, Filter, Response};

/// Shorter bodies are not compressed: they fit into one packet in any case.
const LEN_MIN: usize = 1 << 10;
/// Up to this length, a body is compressed before it is sent, so that its length is known. Longer bodies are compressed while they
/// are sent.
const WHOLE_MAX: usize = 256 << 10;

/// Middleware that compresses responses with gzip or deflate for clients that accept it. Needs the feature `compression`, which is
/// on by default.
///
/// It compresses text types: `text/…`, JSON, XML, SVG and a few more. It does not change bodies of less than 1 KiB, other types
/// such as pictures and archives, responses that have a `Content-Encoding`, ranges (206), server-sent events, and responses
/// with `Cache-Control: no-transform`. A stream is compressed as it is written, and flushing it sends all bytes written so far.
///
/// The process of the connection needs a few hundred KiB more memory while it compresses.
///
/// Do not compress pages that contain both a secret and text chosen by strangers: the length of the page helps them to guess the
/// secret (the BREACH attack).
///
/// # Examples
///
/// ```
/// use lunatic_http::{Body, Compress, Handler, Method, Request, Router, Uri};
///
/// let app = Router::new().get("/", |_| "All work and no play. ".repeat(1000)).layer(Compress);
/// let request = Request::new(Method::GET, Uri::from_static("/"), Body::empty()).header("accept-encoding", "gzip, br");
/// let mut response = app.handle(request);
/// assert_eq!(response.header_text("content-encoding"), Some("gzip"));
/// assert!(response.read_bytes().unwrap().len() < 1000);
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Compress;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Gzip,
    /// In the zlib format, as the RFC requires. The second choice, because some old clients expect raw deflate.
    Deflate,
}

impl Coding {
    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }
}

/// The coding that the client prefers; `None` if it prefers no coding.
fn negotiate(headers: &HeaderMap) -> Option<Coding> {
    let weight = |names: &[&str]| {
        let of = |wanted: &str| {
            let mut items = accept::items(headers, ACCEPT_ENCODING);
            items
                .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
                .map(|(_, weight)| weight)
        };
        names.iter().find_map(|name| of(name)).or_else(|| of("*"))
    };
    let (gzip, deflate) = (
        weight(&["gzip", "x-gzip"]).unwrap_or(0),
        weight(&["deflate"]).unwrap_or(0),
    );
    // If the client does not mention `identity`, any coding that it accepts is better.
    let identity = accept::items(headers, ACCEPT_ENCODING)
        .find(|(name, _)| name.eq_ignore_ascii_case("identity"))
        .map_or(0, |(_, weight)| weight);
    match gzip.max(deflate) {
        0 => None,
        best if best < identity => None,
        best if best == gzip => Some(Coding::Gzip),
        _ => Some(Coding::Deflate),
    }
}

impl Middleware for Compress {
    fn around(&self, request: Request, next: Next<'_>) -> Response {
        let coding = negotiate(request.headers());
        let mut response = next.run(request);
        // A cache updates its copy with the headers of a 304, which does not tell what it would compress.
        let is_same = response.status() == StatusCode::NOT_MODIFIED;
        if !is_same && !is_candidate(&response) {
            return response;
        }
        // Caches need this header even if this response is not compressed.
        response
            .headers_mut()
            .append(VARY, HeaderValue::from_static("accept-encoding"));
        if is_same {
            return response;
        }
        match coding {
            Some(coding) => compressed(response, coding),
            None => response,
        }
    }
}

fn is_candidate(response: &Response) -> bool {
    let headers = &response.headers;
    let is_whole = !response.status().is_informational()
        && !matches!(
            response.status(),
            StatusCode::PARTIAL_CONTENT | StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
        );
    let has_body = match &response.body.0 {
        Kind::Empty | Kind::Upgrade(_) => false,
        _ => response.body.len().is_none_or(|len| len >= LEN_MIN as u64),
    };
    let kind = headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or_default();
    let may_change = headers.get_all(CACHE_CONTROL).into_iter().all(|line| {
        let mut parts = line.to_str().unwrap_or_default().split(',');
        !parts.any(|part| part.trim().eq_ignore_ascii_case("no-transform"))
    });
    is_whole && has_body && may_change && is_compressible(kind) && !headers.contains_key(CONTENT_ENCODING)
}

/// Whether compression makes bodies of this type shorter.
fn is_compressible(kind: &str) -> bool {
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    const OTHERS: [&str; 8] = [
        "application/javascript",
        "application/json",
        "application/manifest+json",
        "application/wasm",
        "application/xml",
        "application/x-ndjson",
        "image/bmp",
        "image/x-icon",
    ];
    // Each event is flushed, and compressed flushes of a few bytes are longer than the bytes.
    (essence.starts_with("text/") && essence != "text/event-stream")
        || essence.ends_with("+json")
        || essence.ends_with("+xml")
        || OTHERS.contains(&essence.as_str())
}

fn compressed(mut response: Response, coding: Coding) -> Response {
    let headers = response.headers_mut();
    headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    headers.remove(CONTENT_LENGTH);
    // Ranges would refer to the compressed bytes, which can only be produced from the beginning.
    headers.remove(ACCEPT_RANGES);
    weaken(headers);
    response.body = match mem::take(&mut response.body.0) {
        Kind::Bytes(bytes) if bytes.len() <= WHOLE_MAX => {
            let mut encoder = Encoder::new(coding);
            let mut out = Vec::new();
            encoder
                .push(&bytes, &mut out)
                .and_then(|()| encoder.finish(&mut out))
                .expect("writing to memory does not fail");
            out.into()
        }
        Kind::Producer(produce) => stream(coding, produce),
        kind => stream(coding, move |out| body::copy(&mut Body(kind), out)),
    };
    response
}

fn stream(coding: Coding, produce: impl FnOnce(&mut BodyWriter) -> io::Result<()> + 'static) -> Body {
    Body::stream(move |out| out.through(Box::new(Encoder::new(coding)), Box::new(produce)))
}

/// Makes the entity tag weak: the compressed bytes are not the ones that the tag was made for.
fn weaken(headers: &mut HeaderMap) {
    let tag = headers.get(ETAG).and_then(|tag| tag.to_str().ok());
    if let Some(tag) = tag.filter(|tag| !tag.starts_with("W/"))
        && let Ok(weak) = HeaderValue::from_str(&format!("W/{tag}"))
    {
        headers.insert(ETAG, weak);
    }
}

enum Encoder {
    Gzip(GzEncoder<Vec<u8>>),
    Deflate(ZlibEncoder<Vec<u8>>),
}

impl Encoder {
    fn new(coding: Coding) -> Self {
        let level = Compression::default();
        match coding {
            Coding::Gzip => Self::Gzip(GzEncoder::new(Vec::new(), level)),
            Coding::Deflate => Self::Deflate(ZlibEncoder::new(Vec::new(), level)),
        }
    }

    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::Gzip(encoder) => encoder,
            Self::Deflate(encoder) => encoder,
        }
    }

    fn take(&mut self, out: &mut Vec<u8>) {
        let made = match self {
            Self::Gzip(encoder) => encoder.get_mut(),
            Self::Deflate(encoder) => encoder.get_mut(),
        };
        out.append(made);
    }
}

impl Filter for Encoder {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        self.writer().write_all(bytes)?;
        self.take(out);
        Ok(())
    }

    fn flush(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        self.writer().flush()?;
        self.take(out);
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::Gzip(encoder) => encoder.try_finish()?,
            Self::Deflate(encoder) => encoder.try_finish()?,
        }
        self.take(out);
        Ok(())
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Encoder")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::router::{Handler, Router};
    use flate2::read::{GzDecoder, ZlibDecoder};
    use proptest::prelude::*;
    use std::io::Read;

    fn accepting(line: &str) -> Request {
        let request = Request::new("GET".parse().unwrap(), "/".parse().unwrap(), ());
        request.header("accept-encoding", line)
    }

    #[test]
    fn the_client_chooses() {
        for (line, expected) in [
            ("gzip", Some(Coding::Gzip)),
            ("br, GZIP;q=0.5, deflate;q=0.5", Some(Coding::Gzip)),
            ("gzip;q=0.5, deflate", Some(Coding::Deflate)),
            ("*", Some(Coding::Gzip)),
            ("gzip;q=0, *", Some(Coding::Deflate)),
            ("x-gzip", Some(Coding::Gzip)),
            ("identity, gzip;q=0.5", None),
            ("identity;q=0.5, gzip;q=0.5", Some(Coding::Gzip)),
            ("identity;q=0, gzip;q=0", None),
            ("*;q=0", None),
            ("br", None),
            ("", None),
        ] {
            assert_eq!(negotiate(accepting(line).headers()), expected, "{line}");
        }
    }

    fn ask(line: &str, handler: impl Handler) -> Response {
        handler.layer(Compress).handle(accepting(line))
    }

    const LONG: usize = LEN_MIN * 2;

    #[test]
    fn text_is_compressed() {
        let text = || {
            Response::text("x".repeat(LONG))
                .header("etag", "\"a\"")
                .header("accept-ranges", "bytes")
        };
        let mut response = ask("gzip", move |_: Request| text());
        assert_eq!(response.header_text("content-encoding"), Some("gzip"));
        assert_eq!(response.header_text("vary"), Some("accept-encoding"));
        assert_eq!(response.header_text("etag"), Some("W/\"a\""));
        assert_eq!(response.header_text("accept-ranges"), None);
        let bytes = response.read_bytes().unwrap();
        let mut read = String::new();
        GzDecoder::new(&*bytes).read_to_string(&mut read).unwrap();
        assert_eq!(read, "x".repeat(LONG));
        let mut response = ask("deflate", move |_: Request| text());
        let bytes = response.read_bytes().unwrap();
        let mut read = String::new();
        ZlibDecoder::new(&*bytes).read_to_string(&mut read).unwrap();
        assert_eq!(read, "x".repeat(LONG));
        // A cache that has the compressed response updates its headers with these.
        let response = ask("gzip", |_: Request| {
            Response::new(()).with_status(StatusCode::NOT_MODIFIED)
        });
        assert_eq!(response.header_text("vary"), Some("accept-encoding"));
        assert_eq!(response.header_text("content-encoding"), None);
        let response = ask("br", move |_: Request| text());
        assert_eq!(response.header_text("vary"), Some("accept-encoding"));
        assert_eq!(response.header_text("etag"), Some("\"a\""));
    }

    #[test]
    fn what_gains_nothing_stays() {
        let long = |kind: &'static str| Response::new("x".repeat(LONG)).header("content-type", kind);
        let app = Router::new()
            .get("/short", |_| "x".repeat(LEN_MIN - 1))
            .get("/picture", move |_| long("image/png"))
            .get("/encoded", move |_| long("text/css").header("content-encoding", "br"))
            .get("/part", move |_| {
                long("text/css").with_status(StatusCode::PARTIAL_CONTENT)
            })
            .get("/sealed", move |_| {
                long("text/css").header("cache-control", "private, No-Transform")
            })
            .get("/events", |_| Response::events(|_| Ok(())))
            .get("/empty", |_| Response::new(()).header("content-type", "text/css"))
            .layer(Compress);
        for path in [
            "/short", "/picture", "/encoded", "/part", "/sealed", "/events", "/empty",
        ] {
            let mut request = accepting("gzip");
            request.uri = path.parse().unwrap();
            let response = app.handle(request);
            assert_ne!(response.header_text("content-encoding"), Some("gzip"), "{path}");
            assert_eq!(response.header_text("vary"), None, "{path}");
        }
    }

    #[test]
    fn text_is_compressible() {
        for (kind, expected) in [
            ("text/plain; charset=utf-8", true),
            ("Application/JSON", true),
            ("image/svg+xml", true),
            ("application/problem+json", true),
            ("text/event-stream", false),
            ("image/png", false),
            ("application/gzip", false),
            ("application/octet-stream", false),
            ("", false),
        ] {
            assert_eq!(is_compressible(kind), expected, "{kind}");
        }
    }

    proptest! {
        #[test]
        fn pieces_and_flushes_give_the_same(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..50), 0..10)) {
            for coding in [Coding::Gzip, Coding::Deflate] {
                let (mut encoder, mut out) = (Encoder::new(coding), Vec::new());
                for piece in &pieces {
                    encoder.push(piece, &mut out).unwrap();
                    encoder.flush(&mut out).unwrap();
                }
                encoder.finish(&mut out).unwrap();
                let mut read = Vec::new();
                match coding {
                    Coding::Gzip => GzDecoder::new(&*out).read_to_end(&mut read).unwrap(),
                    Coding::Deflate => ZlibDecoder::new(&*out).read_to_end(&mut read).unwrap(),
                };
                prop_assert_eq!(&read, &pieces.concat());
            }
        }
    }
}
