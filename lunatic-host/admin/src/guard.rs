//! Access control for TCP, where any program of the machine can connect, and any page in the user's browser can send
//! requests.
//!
//! On a port that only this machine can reach:
//!
//! - Every request to the program must present the [`Token`]. The dashboard sends it in a header: a cookie would also
//!   be sent with requests of strangers' pages, and to every other port of the machine.
//! - The requested host must be this machine, not a name that someone has pointed at it (DNS rebinding).
//! - A page that sends a request must belong to the dashboard.
//!
//! On a port with certificates, TLS admits only clients with a certificate. A browser also presents that certificate
//! for strangers' pages, so the last point applies there too. A page can also request without naming its origin, such
//! as for a picture; then the browser tells where the request comes from (`Sec-Fetch-Site`).

use std::net::IpAddr;

use http::header::{AUTHORIZATION, HOST, HeaderName, HeaderValue, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, StatusCode};

use crate::token::Token;

/// Headers of all answers, which restrict what a browser does with them.
const HEADERS: [(&str, &str); 6] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("x-frame-options", "DENY"),
];

/// What a client must present.
pub(crate) enum Check {
    Token(Token),
    /// Nothing more: it has a certificate.
    Certificate,
}

impl Check {
    /// Checks that the request is for this machine and does not come from another page.
    pub(crate) fn place(&self, headers: &HeaderMap) -> Result<(), Denied> {
        match self {
            Self::Token(_) => check_host(headers).and_then(|host| check_origin(headers, "http://", host)),
            Self::Certificate => {
                let host = one(headers, &HOST).ok_or(Denied::Host)?;
                check_site(headers)?;
                check_origin(headers, "https://", host)
            }
        }
    }

    /// Checks that the client may access the program.
    pub(crate) fn client(&self, headers: &HeaderMap) -> Result<(), Denied> {
        match self {
            Self::Token(token) => check_token(token, headers),
            Self::Certificate => Ok(()),
        }
    }
}

/// Why a request is not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denied {
    Host,
    Origin,
    Token,
}

impl Denied {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Host | Self::Origin => StatusCode::FORBIDDEN,
            Self::Token => StatusCode::UNAUTHORIZED,
        }
    }

    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Host => "the dashboard can only be reached as localhost, 127.0.0.1 or [::1]",
            Self::Origin => "the dashboard answers only its own pages",
            Self::Token => {
                "this request needs the token that the program printed at its start: `Authorization: Bearer TOKEN`"
            }
        }
    }
}

fn check_host(headers: &HeaderMap) -> Result<&str, Denied> {
    let host = one(headers, &HOST).filter(|host| is_this_machine(host));
    host.ok_or(Denied::Host)
}

fn check_origin(headers: &HeaderMap, scheme: &str, host: &str) -> Result<(), Denied> {
    if !headers.contains_key(ORIGIN) {
        return Ok(());
    }
    let origin = one(headers, &ORIGIN).and_then(|origin| origin.strip_prefix(scheme));
    match origin.is_some_and(|origin| origin.eq_ignore_ascii_case(host)) {
        true => Ok(()),
        false => Err(Denied::Origin),
    }
}

/// Checks that a browser requests this for a page of the dashboard, or for its user (`none`). Other clients do not say.
fn check_site(headers: &HeaderMap) -> Result<(), Denied> {
    const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
    if !headers.contains_key(SITE) {
        return Ok(());
    }
    match one(headers, &SITE) {
        Some("same-origin" | "none") => Ok(()),
        _ => Err(Denied::Origin),
    }
}

/// Checks that the token was presented.
fn check_token(token: &Token, headers: &HeaderMap) -> Result<(), Denied> {
    let said = one(headers, &AUTHORIZATION).and_then(|said| said.split_once(' '));
    let is_right =
        said.is_some_and(|(scheme, said)| scheme.eq_ignore_ascii_case("bearer") && token.is(said.trim().as_bytes()));
    if is_right { Ok(()) } else { Err(Denied::Token) }
}

/// Adds the headers of all answers.
pub(crate) fn protect(headers: &mut HeaderMap) {
    for (name, value) in HEADERS {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
}

/// The text of a header that occurs exactly once.
fn one<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// Whether a host, with or without a port, is a name or address of this machine. The port may differ, for example
/// behind a tunnel.
fn is_this_machine(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else {
        return false;
    };
    let name = authority.host();
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    !host.contains('@')
        && (name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        let header = |(name, value): &(&'static str, &str)| (HeaderName::from_static(name), value.parse().unwrap());
        list.iter().map(header).collect()
    }

    #[test]
    fn only_this_machine_is_asked() {
        let check = Check::Token(Token::draw().unwrap());
        let check_place = |headers: &HeaderMap| check.place(headers);
        for host in ["localhost", "LOCALHOST:4040", "127.0.0.1:4040", "127.1.2.3", "[::1]:80"] {
            assert_eq!(check_place(&headers(&[("host", host)])), Ok(()), "{host}");
        }
        for host in [
            "",
            "evil.example:4040",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "evil.example@127.0.0.1",
            "localhost@evil.example",
            "192.168.0.1",
            "0.0.0.0:4040",
            "[::2]",
            "2130706433",
        ] {
            assert_eq!(check_place(&headers(&[("host", host)])), Err(Denied::Host), "{host}");
        }
        assert_eq!(check_place(&HeaderMap::new()), Err(Denied::Host));
        let mut two = headers(&[("host", "localhost")]);
        two.append(HOST, HeaderValue::from_static("evil.example"));
        assert_eq!(check_place(&two), Err(Denied::Host));
    }

    #[test]
    fn only_its_own_pages_ask() {
        let check = Check::Token(Token::draw().unwrap());
        let asks = |origin| check.place(&headers(&[("host", "127.0.0.1:4040"), ("origin", origin)]));
        assert_eq!(asks("http://127.0.0.1:4040"), Ok(()));
        for origin in [
            "null",
            "http://evil.example",
            "http://127.0.0.1:8080",
            "http://localhost:4040",
            "https://127.0.0.1:4040",
            "http://127.0.0.1:4040.evil.example",
        ] {
            assert_eq!(asks(origin), Err(Denied::Origin), "{origin}");
        }
    }

    #[test]
    fn the_token_is_said() {
        let token = Token::draw().unwrap();
        let said = |text: &str| check_token(&token, &headers(&[("authorization", text)]));
        assert_eq!(said(&format!("Bearer {}", token.reveal())), Ok(()));
        assert_eq!(said(&format!("bearer  {}", token.reveal())), Ok(()));
        for text in [
            "",
            "Bearer",
            "Bearer ",
            token.reveal(),
            &format!("Basic {}", token.reveal()),
            "Bearer x",
        ] {
            assert_eq!(said(text), Err(Denied::Token), "{text}");
        }
        assert_eq!(check_token(&token, &HeaderMap::new()), Err(Denied::Token));
    }
}
