//! Why a message is refused, and with which status.

use std::error::Error;
use std::fmt;
use std::io;

use http::StatusCode;

/// A message that breaks the protocol or a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reject {
    status: StatusCode,
    why: &'static str,
}

impl Reject {
    pub(crate) const fn new(status: StatusCode, why: &'static str) -> Self {
        Self { status, why }
    }

    pub(crate) const fn bad(why: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, why)
    }

    /// What a server answers to it.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// As an error of reading a body.
    pub(crate) fn into_io(self) -> io::Error {
        let kind = match self.status {
            StatusCode::REQUEST_TIMEOUT => io::ErrorKind::TimedOut,
            StatusCode::PAYLOAD_TOO_LARGE => io::ErrorKind::FileTooLarge,
            _ => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, self)
    }
}

impl fmt::Display for Reject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.why)
    }
}

impl Error for Reject {}
