//! The error for requests that a handler cannot use.

use std::error::Error;
use std::fmt;
use std::io;

use http::StatusCode;

use crate::reject::Reject;
use crate::response::Response;

/// The error for a request that a handler cannot use: a status, and a reason for the client.
///
/// The functions that read a request into types, such as [`query`](crate::Request::query) and
/// [`form`](crate::Request::form), return it. It converts into a [`Response`], so a handler can pass it on with `?`.
///
/// # Examples
///
/// ```
/// use lunatic_http::{BadInput, Request, StatusCode};
///
/// fn double(request: Request) -> Result<String, BadInput> {
///     let number: u32 = request.param_as("number")?;
///     let doubled = number.checked_mul(2);
///     let doubled = doubled.ok_or_else(|| BadInput::new(StatusCode::BAD_REQUEST, "the number is too large"))?;
///     Ok(format!("{doubled}\n"))
/// }
/// # let _ = lunatic_http::Router::new().get("/double/{number}", double);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadInput {
    status: StatusCode,
    why: String,
}

impl BadInput {
    /// An error with this status and this reason.
    pub fn new(status: StatusCode, why: impl Into<String>) -> Self {
        Self {
            status,
            why: why.into(),
        }
    }

    /// 400 Bad Request.
    pub(crate) fn bad(why: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, why)
    }

    /// The status of the response.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }
}

impl fmt::Display for BadInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl Error for BadInput {}

impl From<BadInput> for Response {
    fn from(input: BadInput) -> Self {
        Self::from(format!("{}: {}\n", input.status, input.why)).with_status(input.status)
    }
}

/// Converts an error from reading a body. If the client caused it, the status is that of the mistake (400 for a body that is not
/// UTF-8). For all other errors the status is 500, and the reason does not repeat the error's text.
impl From<io::Error> for BadInput {
    fn from(error: io::Error) -> Self {
        let inner = error.get_ref();
        if let Some(reject) = inner.and_then(|inner| inner.downcast_ref::<Reject>()) {
            return Self::new(reject.status(), reject.to_string());
        }
        if let Some(input) = inner.and_then(|inner| inner.downcast_ref::<BadInput>()) {
            return input.clone();
        }
        if inner.is_some_and(|inner| inner.is::<std::string::FromUtf8Error>()) {
            return Self::bad("the body is not UTF-8");
        }
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "the request cannot be read")
    }
}

/// For implementations of `Read`.
impl From<BadInput> for io::Error {
    fn from(input: BadInput) -> Self {
        let kind = match input.status {
            StatusCode::PAYLOAD_TOO_LARGE => io::ErrorKind::FileTooLarge,
            _ => io::ErrorKind::InvalidData,
        };
        io::Error::new(kind, input)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_keep_their_status() {
        let too_long = BadInput::new(StatusCode::PAYLOAD_TOO_LARGE, "too long");
        let error = io::Error::from(too_long.clone());
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(BadInput::from(error), too_long);
        assert_eq!(BadInput::from(Reject::bad("no").into_io()), BadInput::bad("no"));
        let text = crate::Body::from(&b"\xff"[..]).read_text().unwrap_err();
        assert_eq!(BadInput::from(text).status(), 400);
        assert_eq!(
            BadInput::from(io::Error::other("secret")).to_string(),
            "the request cannot be read"
        );
        let mut response = Response::from(too_long);
        assert_eq!(response.read_text().unwrap(), "413 Payload Too Large: too long\n");
    }
}
