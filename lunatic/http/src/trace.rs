//! Traces of requests: the context comes and goes in the headers `traceparent` and `tracestate` (W3C, *Trace Context*), and each
//! request is a span, of a server or of a client, by the names of OpenTelemetry.
//!
//! What the span of a request tells is collected only if somebody records it.

use std::net::SocketAddr;

use http::header::HeaderMap;
use http::{HeaderValue, Method, StatusCode, Uri};
use lunatic::trace::{self, Builder, Context, Kind, Span};

use crate::client::Target;

const PARENT: &str = "traceparent";
const STATE: &str = "tracestate";

/// Longer ones are not read.
const STATE_LEN_MAX: usize = 4 << 10;

/// The context that headers bring. A bad one is none, and so are two.
pub(crate) fn extract(headers: &HeaderMap) -> Option<Context> {
    let mut parents = headers.get_all(PARENT).iter();
    let (parent, None) = (parents.next()?, parents.next()) else {
        return None;
    };
    let mut state = String::new();
    for value in headers.get_all(STATE) {
        let value = value.to_str().unwrap_or_default();
        if state.len() + value.len() > STATE_LEN_MAX {
            state.clear();
            break;
        }
        if !state.is_empty() {
            state.push(',');
        }
        state.push_str(value);
    }
    Context::parse(parent.to_str().ok()?, &state)
}

/// Puts the context of the process into headers, in place of what they had; if it has none, they stay as they are.
pub(crate) fn inject(headers: &mut HeaderMap) {
    let Some(context) = trace::current() else { return };
    put(headers, &context);
}

fn put(headers: &mut HeaderMap, context: &Context) {
    headers.remove(STATE);
    if let Ok(parent) = HeaderValue::try_from(context.to_string()) {
        headers.insert(PARENT, parent);
    }
    if let (false, Ok(state)) = (context.state.is_empty(), HeaderValue::from_str(&context.state)) {
        headers.insert(STATE, state);
    }
}

/// A request that is being answered. Afterwards, the process works for nobody.
pub(crate) struct Answering {
    span: Span,
    /// A context came with the request.
    given: bool,
}

impl Answering {
    pub(crate) fn begin(method: &Method, uri: &Uri, headers: &HeaderMap, peer: Option<SocketAddr>) -> Self {
        let context = extract(headers);
        let given = context.is_some() && trace::set(context.as_ref());
        let mut span = Builder::new(method.as_str()).kind(Kind::Server).begin();
        if span.is_recorded() {
            span.record("http.request.method", method.as_str());
            span.record("url.path", uri.path());
            if let Some(peer) = peer {
                span.record("client.address", peer.ip().to_string());
            }
        }
        Self { span, given }
    }

    /// This is the answer, by the route with this pattern if it was one.
    pub(crate) fn answered(&mut self, method: &Method, status: StatusCode, route: Option<&str>) {
        if !self.span.is_recorded() {
            return;
        }
        if let Some(route) = route {
            self.span.record("http.route", route);
            self.span.record("otel.name", format!("{method} {route}"));
        }
        self.span.record("http.response.status_code", status.as_u16());
        if status.is_server_error() {
            self.span.record("error.type", status.as_str());
            self.span.fail(status.canonical_reason().unwrap_or(status.as_str()));
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        // The span ends after this, and shows what stands behind it.
        if self.given {
            trace::set(None);
        }
    }
}

/// A request that is being made.
pub(crate) struct Asking(Span);

impl Asking {
    pub(crate) fn begin(method: &Method, uri: &Uri, target: &Target) -> Self {
        let mut span = Builder::new(method.as_str()).kind(Kind::Client).begin();
        if span.is_recorded() {
            span.record("http.request.method", method.as_str());
            span.record("server.address", target.host());
            span.record("server.port", target.port());
            // Without a query, in which secrets may stand.
            span.record("url.full", format!("{target}{}", uri.path()));
        }
        Self(span)
    }

    pub(crate) fn answered(&mut self, status: StatusCode) {
        if self.0.is_recorded() {
            self.0.record("http.response.status_code", status.as_u16());
            if status.is_client_error() || status.is_server_error() {
                self.0.record("error.type", status.as_str());
                self.0.fail(status.canonical_reason().unwrap_or(status.as_str()));
            }
        }
    }

    pub(crate) fn failed(&mut self, why: &dyn std::error::Error) {
        if self.0.is_recorded() {
            self.0.fail(&why.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn a_context_comes_and_goes_in_headers() {
        let came = headers(&[(PARENT, ONE), (STATE, "a=1"), ("x", "y"), (STATE, "b=2")]);
        let context = extract(&came).unwrap();
        assert_eq!((context.to_string().as_str(), &*context.state), (ONE, "a=1,b=2"));
        let mut goes = headers(&[(PARENT, "old"), (STATE, "old=1"), (STATE, "older=1"), ("x", "y")]);
        put(&mut goes, &context);
        assert_eq!(goes, headers(&[(PARENT, ONE), (STATE, "a=1,b=2"), ("x", "y")]));
        // There is no process here, and so no context.
        inject(&mut goes);
        assert_eq!(extract(&goes), Some(context));
    }

    #[test]
    fn bad_headers_are_passed_over() {
        assert_eq!(extract(&headers(&[])), None);
        assert_eq!(extract(&headers(&[(STATE, "a=1")])), None);
        assert_eq!(extract(&headers(&[(PARENT, "00-1-2-01")])), None);
        assert_eq!(extract(&headers(&[(PARENT, ONE), (PARENT, ONE)])), None);
        let long = format!("a={}", "1".repeat(STATE_LEN_MAX));
        assert_eq!(&*extract(&headers(&[(PARENT, ONE), (STATE, &long)])).unwrap().state, "");
    }
}
