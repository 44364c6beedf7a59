//! Signed cookies, which clients cannot change.

use std::fmt;

use hmac_sha256::HMAC;

use super::Cookie;
use crate::request::Request;

/// A key that signs cookies (HMAC-SHA256, RFC 2104). A client can read a signed cookie, but it can neither change the value nor
/// use it under another name.
///
/// Handlers can capture the key. All servers of a site need the same key. A signature never expires: if a value must expire, put
/// the time into the value; if it must be revocable, sign only an id and keep the state in a process.
///
/// # Examples
///
/// ```
/// use lunatic_http::{Cookie, CookieKey, Request, Response, Router, StatusCode};
///
/// // In production, read the secret from a file or the environment: `CookieKey::from_secret(&bytes)`.
/// let key = CookieKey::random();
/// let app = Router::new()
///     .post("/login/{name}", move |request: Request| {
///         Response::text("Welcome!\n").cookie(&Cookie::signed("user", request.param("name"), &key))
///     })
///     .get("/", move |request: Request| match request.signed_cookie("user", &key) {
///         Some(name) => format!("Hello, {name}!\n").into(),
///         None => Response::from(StatusCode::UNAUTHORIZED),
///     });
/// # let _ = app;
/// ```
#[derive(Clone, Copy)]
pub struct CookieKey([u8; 32]);

/// The least bytes of a secret that nobody can guess.
const SECRET_LEN_MIN: usize = 32;

impl CookieKey {
    /// Makes a key from a secret, which should be random bytes and not a password.
    ///
    /// # Panics
    ///
    /// If the secret has fewer than 32 bytes.
    #[must_use]
    pub fn from_secret(secret: &[u8]) -> Self {
        assert!(
            secret.len() >= SECRET_LEN_MIN,
            "the secret for cookies has {} bytes; use at least {SECRET_LEN_MIN} random bytes",
            secret.len()
        );
        Self(HMAC::mac(b"lunatic-http cookie", secret))
    }

    /// Makes a random key. Cookies signed with it are invalid after the program exits.
    #[must_use]
    pub fn random() -> Self {
        Self(rand::random())
    }

    fn signed(&self, name: &str, value: &str) -> String {
        // A name contains no `=`, so no two pairs of a name and a value give the same text.
        let mac = HMAC::mac(format!("{name}={value}"), self.0);
        mac.iter().fold(format!("{value}."), |mut text, byte| {
            for digit in [byte >> 4, byte & 15] {
                text.extend(char::from_digit(digit.into(), 16));
            }
            text
        })
    }

    fn checked(&self, name: &str, signed: &str) -> Option<String> {
        let (value, digits) = signed.rsplit_once('.')?;
        let digits = digits.as_bytes();
        if digits.len() != 64 {
            return None;
        }
        let mut mac = [0; 32];
        for (byte, pair) in mac.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |digit: u8| (digit as char).to_digit(16);
            *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
        }
        // Compares in constant time.
        HMAC::verify(format!("{name}={value}"), self.0, &mac).then(|| value.to_owned())
    }
}

/// Leaves out the key.
impl fmt::Debug for CookieKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CookieKey")
    }
}

impl Cookie {
    /// A cookie with this name, this value and a signature, which adds 65 bytes.
    ///
    /// # Panics
    ///
    /// As [`new`](Self::new).
    #[must_use]
    pub fn signed(name: &'static str, value: impl AsRef<str>, key: &CookieKey) -> Self {
        Self::new(name, key.signed(name, value.as_ref()))
    }
}

impl Request {
    /// The value of the first cookie of this name, if this key has signed it for this name.
    #[must_use]
    pub fn signed_cookie(&self, name: &str, key: &CookieKey) -> Option<String> {
        key.checked(name, &self.cookie(name)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn with(cookie: &str) -> Request {
        Request::new("GET".parse().unwrap(), "/".parse().unwrap(), ()).header("cookie", cookie)
    }

    #[test]
    fn what_was_signed_is_believed_and_nothing_else() {
        let (key, other) = (CookieKey::from_secret(&[7; 32]), CookieKey::from_secret(&[8; 32]));
        let line = Cookie::signed("user", "Jürgen; a.b", &key).to_string();
        let pair = line.split("; ").next().unwrap();
        assert_eq!(with(pair).signed_cookie("user", &key).as_deref(), Some("Jürgen; a.b"));
        assert_eq!(with(pair).signed_cookie("user", &other), None);
        // Not under another name, not changed, and not without a signature.
        assert_eq!(with(&pair.replace("user", "admin")).signed_cookie("admin", &key), None);
        assert_eq!(with(&pair.replace("a.b", "a.c")).signed_cookie("user", &key), None);
        assert_eq!(with(&pair[..pair.len() - 1]).signed_cookie("user", &key), None);
        assert_eq!(with("user=a; x=y").signed_cookie("user", &key), None);
        assert_eq!(
            with(&format!("user=.{}", "é".repeat(32))).signed_cookie("user", &key),
            None
        );
        assert_eq!(format!("{key:?}"), "CookieKey");
        assert_ne!(CookieKey::random().0, CookieKey::random().0);
    }

    #[test]
    #[should_panic(expected = "the secret for cookies has 8 bytes; use at least 32")]
    fn a_short_secret_is_refused() {
        let _ = CookieKey::from_secret(b"password");
    }

    proptest! {
        #[test]
        fn any_value_comes_back(value in proptest::collection::vec(any::<char>(), 0..20), at in any::<usize>()) {
            let (key, value) = (CookieKey([1; 32]), String::from_iter(value));
            let signed = key.signed("a", &value);
            prop_assert_eq!(key.checked("a", &signed), Some(value));
            let mut bytes = signed.into_bytes();
            let at = at % bytes.len();
            bytes[at] ^= 1;
            if let Ok(changed) = String::from_utf8(bytes) {
                prop_assert_eq!(key.checked("a", &changed), None);
            }
        }
    }
}
