//! Cookies (RFC 6265).

mod signed;

use std::fmt::{self, Write};
use std::time::Duration;

use http::header::{COOKIE, HeaderValue, SET_COOKIE};
pub use signed::CookieKey;

use crate::media_type::is_token;
use crate::percent;
use crate::request::Request;
use crate::response::Response;

/// A cookie for a browser to keep. The defaults are safe: the cookie is valid for the whole site (`Path=/`), scripts cannot
/// read it (`HttpOnly`), browsers do not send it with requests that other sites make (`SameSite=Lax`), and it lasts until the
/// browser is closed.
///
/// The value can be any text. Characters that a cookie cannot contain are percent-encoded, and [`Request::cookie`] decodes
/// them. Browsers ignore a cookie whose name, value and attributes have more than 4,096 bytes together.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use lunatic_http::{Cookie, Response};
///
/// let response = Response::text("Hello!").cookie(&Cookie::new("theme", "dark blue").max_age(Duration::from_secs(3600)));
/// assert_eq!(
///     response.header_text("set-cookie"),
///     Some("theme=dark%20blue; Path=/; Max-Age=3600; HttpOnly; SameSite=Lax")
/// );
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Cookie {
    name: &'static str,
    value: String,
    path: &'static str,
    domain: Option<&'static str>,
    max_age: Option<u64>,
    for_scripts: bool,
    secure: bool,
    same_site: SameSite,
}

/// Which requests caused by other sites carry a cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameSite {
    /// None. A visitor who follows a link from another site arrives without the cookie.
    Strict,
    /// Only visits by a link.
    Lax,
    /// All. Browsers require such a cookie to be [`secure`](Cookie::secure), so this makes it secure.
    None,
}

impl Cookie {
    /// A cookie with this name and value.
    ///
    /// # Panics
    ///
    /// If the name is not a token (letters, digits and ``!#$%&'*+-.^_`|~``).
    pub fn new(name: &'static str, value: impl AsRef<str>) -> Self {
        assert!(
            !name.is_empty() && name.bytes().all(is_token),
            "`{name}` is not a valid name for a cookie"
        );
        Self {
            name,
            value: percent::encode(value.as_ref(), is_octet),
            path: "/",
            domain: None,
            max_age: None,
            for_scripts: false,
            // Browsers ignore cookies with these prefixes that are not secure.
            secure: is_prefixed(name, "__secure-") || is_prefixed(name, "__host-"),
            same_site: SameSite::Lax,
        }
    }

    /// A cookie that makes the browser delete the cookie of this name. [`path`](Self::path) and [`domain`](Self::domain) must be
    /// the same as when the cookie was set.
    ///
    /// # Panics
    ///
    /// As [`new`](Self::new).
    #[must_use]
    pub fn removal(name: &'static str) -> Self {
        Self::new(name, "").max_age(Duration::ZERO)
    }

    /// Limits the cookie to this path and the paths below it. This does not protect it from scripts on other paths of the
    /// site.
    ///
    /// # Panics
    ///
    /// If the path does not begin with a slash, or contains a `;` or control characters. If the name begins with `__Host-`, which
    /// requires the path `/`.
    #[must_use]
    pub fn path(mut self, path: &'static str) -> Self {
        assert!(
            path.starts_with('/') && is_attribute(path),
            "`{path}` is not a valid path for a cookie"
        );
        assert!(
            path == "/" || !is_prefixed(self.name, "__host-"),
            "a cookie named `__Host-…` must have the path `/`"
        );
        self.path = path;
        self
    }

    /// Extends the cookie to this domain and its subdomains. Without it, only the host that set the cookie receives it.
    ///
    /// # Panics
    ///
    /// If the domain is empty, or contains a `;` or control characters. If the name begins with `__Host-`, which forbids a
    /// domain.
    #[must_use]
    pub fn domain(mut self, domain: &'static str) -> Self {
        assert!(
            !domain.is_empty() && is_attribute(domain),
            "`{domain}` is not a valid domain for a cookie"
        );
        assert!(
            !is_prefixed(self.name, "__host-"),
            "a cookie named `__Host-…` must not have a domain"
        );
        self.domain = Some(domain);
        self
    }

    /// Keeps the cookie for this long, in whole seconds, even if the browser is closed.
    #[must_use]
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age.as_secs());
        self
    }

    /// Lets scripts of the page read the cookie.
    #[must_use]
    pub fn for_scripts(mut self) -> Self {
        self.for_scripts = true;
        self
    }

    /// Limits the cookie to connections over TLS.
    #[must_use]
    pub fn secure(mut self) -> Self {
        self.secure = true;
        self
    }

    /// Sets which requests caused by other sites carry the cookie.
    #[must_use]
    pub fn same_site(mut self, same_site: SameSite) -> Self {
        self.same_site = same_site;
        self.secure |= same_site == SameSite::None;
        self
    }
}

/// The value of a header `Set-Cookie`.
impl fmt::Display for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}; Path={}", self.name, self.value, self.path)?;
        if let Some(domain) = self.domain {
            write!(f, "; Domain={domain}")?;
        }
        if let Some(seconds) = self.max_age {
            write!(f, "; Max-Age={seconds}")?;
        }
        if self.secure {
            f.write_str("; Secure")?;
        }
        if !self.for_scripts {
            f.write_str("; HttpOnly")?;
        }
        write!(f, "; SameSite={:?}", self.same_site)
    }
}

/// Leaves out the value, which may be a secret.
impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cookie({})", self.name)
    }
}

fn is_prefixed(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// Whether the value of an attribute may be this text.
fn is_attribute(text: &str) -> bool {
    text.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b';')
}

/// Whether a value may contain this byte without encoding: `cookie-octet`, except `%`.
fn is_octet(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\",;\\%".contains(&byte)
}

impl Request {
    /// The value of the first cookie of this name, percent-decoded. A value that cannot be decoded is returned as it was sent.
    ///
    /// The client chooses this value. [`signed_cookie`](Self::signed_cookie) accepts only values that this server has
    /// signed.
    ///
    /// # Examples
    ///
    /// ```
    /// use lunatic_http::{Body, Method, Request, Uri};
    ///
    /// let request = Request::new(Method::GET, Uri::from_static("/"), Body::empty()).header("cookie", "a=1; theme=dark%20blue");
    /// assert_eq!(request.cookie("theme").as_deref(), Some("dark blue"));
    /// assert_eq!(request.cookie("missing"), None);
    /// ```
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<String> {
        let lines = self.headers.get_all(COOKIE).into_iter();
        let mut pairs = lines
            .filter_map(|line| std::str::from_utf8(line.as_bytes()).ok())
            .flat_map(|line| line.split(';'))
            .filter_map(|pair| pair.split_once('='));
        // Only these: to browsers, another blank is part of a name, which may imitate a protected one (`__Host-…`).
        let is_blank = [' ', '\t'];
        let (_, value) = pairs.find(|(known, _)| known.trim_matches(is_blank) == name)?;
        let value = value.trim_matches(is_blank);
        let value = value
            .strip_prefix('"')
            .and_then(|value| value.strip_suffix('"'))
            .unwrap_or(value);
        Some(percent::decode(value).unwrap_or_else(|| value.to_owned()))
    }
}

impl Response {
    /// Adds a cookie for the browser to keep.
    #[must_use]
    pub fn cookie(mut self, cookie: &Cookie) -> Self {
        let mut line = String::new();
        // Writing to a `String` does not fail.
        let _ = write!(line, "{cookie}");
        let value = HeaderValue::from_str(&line).expect("a cookie has only visible ASCII and blanks");
        self.headers.append(SET_COOKIE, value);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn with(lines: &[&str]) -> Request {
        let mut request = Request::new("GET".parse().unwrap(), "/".parse().unwrap(), ());
        for line in lines {
            let value = HeaderValue::from_bytes(line.as_bytes()).unwrap();
            request.headers.append(COOKIE, value);
        }
        request
    }

    #[test]
    fn cookies_are_found() {
        for (lines, expected) in [
            (&["a=1"][..], Some("1")),
            (&["b=2; a=1; a=3"], Some("1")),
            (&["b=2;a= 1 "], Some("1")),
            (&["a=\"1 2\""], Some("1 2")),
            (&["a=x=y=="], Some("x=y==")),
            (&["a="], Some("")),
            (&["a=100%"], Some("100%")),
            (&["a=%FF"], Some("%FF")),
            (&["a=é"], Some("é")),
            (&["a"], None),
            (&["A=1; xa=1; =1; ;"], None),
            (&["b=1", "a=2"], Some("2")),
            (&["b=1;\t a\t=\t1"], Some("1")),
            // A name that looks the same, and is not.
            (&["\u{2000}a=evil; a=1"], Some("1")),
            (&["a\u{a0}=evil"], None),
            (&["a=\u{2000}"], Some("\u{2000}")),
        ] {
            assert_eq!(with(lines).cookie("a").as_deref(), expected, "{lines:?}");
        }
    }

    #[test]
    fn attributes_are_safe_by_default() {
        let shown = |cookie: Cookie| cookie.to_string();
        assert_eq!(shown(Cookie::new("a", "b")), "a=b; Path=/; HttpOnly; SameSite=Lax");
        assert_eq!(
            shown(
                Cookie::new("a", "b")
                    .same_site(SameSite::None)
                    .for_scripts()
                    .domain("x.y")
                    .path("/z")
            ),
            "a=b; Path=/z; Domain=x.y; Secure; SameSite=None"
        );
        assert_eq!(
            shown(Cookie::new("__Host-a", "b")),
            "__Host-a=b; Path=/; Secure; HttpOnly; SameSite=Lax"
        );
        assert_eq!(
            shown(Cookie::removal("a")),
            "a=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax"
        );
        assert_eq!(format!("{:?}", Cookie::new("a", "secret")), "Cookie(a)");
    }

    #[test]
    fn wrong_cookies_panic() {
        let wrong: [fn() -> Cookie; 7] = [
            || Cookie::new("a b", ""),
            || Cookie::new("", ""),
            || Cookie::new("a", "").path("a"),
            || Cookie::new("a", "").path("/;Secure"),
            || Cookie::new("a", "").domain("a\r\n"),
            || Cookie::new("__host-a", "").domain("a.b"),
            || Cookie::new("__Host-a", "").path("/b"),
        ];
        for wrong in wrong {
            assert!(std::panic::catch_unwind(wrong).is_err());
        }
    }

    proptest! {
        #[test]
        fn any_value_comes_back(value in proptest::collection::vec(any::<char>(), 0..40)) {
            let value = String::from_iter(value);
            let response = Response::text("").cookie(&Cookie::new("a", &value)).cookie(&Cookie::new("b", "2"));
            let line = response.header_text("set-cookie").unwrap();
            let pair = line.split("; ").next().unwrap();
            prop_assert_eq!(with(&[pair]).cookie("a"), Some(value));
        }

        #[test]
        fn garbage_is_no_cookie(line in proptest::collection::vec(32_u8..127, 0..60)) {
            let _ = with(&[std::str::from_utf8(&line).unwrap()]).cookie("a");
        }
    }
}
