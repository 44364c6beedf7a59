//! Redirects: what is asked for next.

use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, HeaderMap, LOCATION};
use http::{Method, StatusCode, Uri};

use super::{ClientError, Target};
use crate::body::{Body, Kind};
use crate::request::Request;
use crate::response::Response;

/// What of a request is needed to send it again elsewhere.
pub(super) struct Copy {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    /// None if the body was a stream.
    body: Option<Body>,
}

impl Copy {
    pub(super) fn of(request: &mut Request) -> Self {
        Self {
            method: request.method.clone(),
            uri: request.uri.clone(),
            headers: request.headers.clone(),
            body: request.body.again(),
        }
    }

    /// The request that a response asks for, if it does.
    pub(super) fn follow(self, response: &Response) -> Result<Option<Request>, ClientError> {
        if !is_one(response) {
            return Ok(None);
        }
        let Some(location) = response.header_text(LOCATION.as_str()) else {
            return Ok(None);
        };
        let uri = resolve(&self.uri, location)
            .ok_or_else(|| ClientError::Protocol(format!("it redirects to `{location}`, which is not a URL")))?;
        let mut headers = self.headers;
        headers.remove(HOST);
        if Target::of(&uri)? != Target::of(&self.uri)? {
            // What was meant for one server is not for another one.
            headers.remove(AUTHORIZATION);
            headers.remove(COOKIE);
        }
        let keeps_method = matches!(
            response.status(),
            StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT
        ) || self.method == Method::HEAD;
        let (method, body) = match (keeps_method, self.body) {
            (true, Some(body)) => (self.method, body),
            // A stream cannot be sent twice: who has it gets to see the redirect.
            (true, None) => return Ok(None),
            (false, _) if self.method == Method::POST || response.status() == StatusCode::SEE_OTHER => {
                headers.remove(CONTENT_TYPE);
                headers.remove(CONTENT_LENGTH);
                (Method::GET, Body::empty())
            }
            (false, Some(body)) => (self.method, body),
            (false, None) => return Ok(None),
        };
        let mut request = Request::new(method, uri, body);
        request.headers = headers;
        Ok(Some(request))
    }
}

/// Whether a response is a redirect that is to be followed.
pub(super) fn is_one(response: &Response) -> bool {
    matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) && response.headers().contains_key(LOCATION)
}

impl Body {
    /// The same body, if it is no stream.
    fn again(&self) -> Option<Self> {
        match &self.0 {
            Kind::Empty => Some(Self::empty()),
            Kind::Bytes(bytes) => Some(bytes.clone().into()),
            _ => None,
        }
    }
}

/// What a reference means beside this URL, as RFC 3986 (5.2) has it.
fn resolve(base: &Uri, reference: &str) -> Option<Uri> {
    let reference = reference.split('#').next().unwrap_or_default();
    let scheme = base.scheme_str()?;
    let authority = base.authority()?;
    let text = match reference {
        _ if has_scheme(reference) => reference.to_owned(),
        _ if reference.starts_with("//") => format!("{scheme}:{reference}"),
        "" => base.to_string(),
        _ => {
            let (path, query) = reference
                .split_once('?')
                .map_or((reference, None), |(path, query)| (path, Some(query)));
            let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
            let path = match path {
                "" => base.path().to_owned(),
                path if path.starts_with('/') => without_dots(path),
                path => without_dots(&format!("{folder}/{path}")),
            };
            let query = query.map_or_else(String::new, |query| format!("?{query}"));
            format!("{scheme}://{authority}{path}{query}")
        }
    };
    text.parse().ok()
}

fn has_scheme(reference: &str) -> bool {
    let Some((scheme, _)) = reference.split_once(':') else {
        return false;
    };
    scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

/// A path with `.` and `..` taken out.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if is_last {
                    kept.push("");
                }
            }
            segment => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_mean_what_the_standard_says() {
        let base: Uri = "http://a:8/b/c/d?q".parse().unwrap();
        for (reference, expected) in [
            ("g", "http://a:8/b/c/g"),
            ("./g", "http://a:8/b/c/g"),
            ("g/", "http://a:8/b/c/g/"),
            ("/g", "http://a:8/g"),
            ("//g", "http://g/"),
            ("?y", "http://a:8/b/c/d?y"),
            ("g?y", "http://a:8/b/c/g?y"),
            ("g#s", "http://a:8/b/c/g"),
            ("", "http://a:8/b/c/d?q"),
            (".", "http://a:8/b/c/"),
            ("..", "http://a:8/b/"),
            ("../g", "http://a:8/b/g"),
            ("../../../g", "http://a:8/g"),
            ("/./g", "http://a:8/g"),
            ("g;x=1/../y", "http://a:8/b/c/y"),
            ("https://h/i", "https://h/i"),
        ] {
            assert_eq!(resolve(&base, reference).unwrap().to_string(), expected, "{reference}");
        }
        assert_eq!(resolve(&base, "a b"), None);
    }
}
