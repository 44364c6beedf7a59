//! Which server a URL means.

use std::fmt;

use http::Uri;

use super::ClientError;

/// A server: what a client connects to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    secure: bool,
    host: String,
    port: u16,
}

impl Target {
    /// The server of a URL with `http`, `https`, `ws` or `wss`.
    ///
    /// # Errors
    ///
    /// [`ClientError::Url`] if it has another scheme, no host, or a user's name.
    pub fn of(uri: &Uri) -> Result<Self, ClientError> {
        let wrong = || ClientError::Url(uri.to_string());
        let secure = match uri.scheme_str() {
            Some("http" | "ws") => false,
            Some("https" | "wss") => true,
            _ => return Err(wrong()),
        };
        let authority = uri.authority().ok_or_else(wrong)?;
        let host = authority.host();
        if host.is_empty() || authority.as_str().contains('@') {
            return Err(wrong());
        }
        Ok(Self {
            secure,
            host: host.to_ascii_lowercase(),
            port: authority.port_u16().unwrap_or(if secure { 443 } else { 80 }),
        })
    }

    /// Whether the connection is to be encrypted.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// Its name or address; one of IPv6 without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// As the header `Host` has it.
    pub(super) fn host_header(&self) -> String {
        match (self.secure, self.port) {
            (false, 80) | (true, 443) => self.host.clone(),
            (_, port) => format!("{}:{port}", self.host),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}
