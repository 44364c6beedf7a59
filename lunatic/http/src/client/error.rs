//! Why there is no response.

use std::error::Error;
use std::fmt;
use std::io;

use crate::reject::Reject;
use crate::response::Response;
use crate::transport::is_timeout;

/// Why a client got no response.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClientError {
    /// This is no URL of a server: `http://HOST[:PORT]/PATH`, or with `https`, `ws` or `wss`.
    Url(String),
    /// There is no connection to this server.
    Connect(String, io::Error),
    /// The connection failed, or ended before the response was there.
    Io(io::Error),
    /// The body of the request cannot be read, or its producer has failed; the connection is not used again.
    Body(io::Error),
    /// The response is none, or over the limits; the text says why.
    Protocol(String),
    /// The time for the whole request is over.
    TimedOut,
    /// One redirect follows the other.
    TooManyRedirects,
    /// The server does not want a WebSocket there; this is what it says.
    Refused(Box<Response>),
}

impl From<Reject> for ClientError {
    fn from(reject: Reject) -> Self {
        Self::Protocol(reject.to_string())
    }
}

impl From<io::Error> for ClientError {
    fn from(error: io::Error) -> Self {
        match is_timeout(&error) {
            true => Self::TimedOut,
            false => Self::Io(error),
        }
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => write!(
                f,
                "`{url}` is not a URL: write `http://HOST[:PORT]/PATH`, without a user's name"
            ),
            Self::Connect(target, _) => write!(f, "cannot connect to {target}"),
            Self::Io(_) => f.write_str("the connection failed before the response had arrived"),
            Self::Body(_) => f.write_str(
                "the body of the request could not be sent completely, because reading or producing it failed",
            ),
            Self::Protocol(why) => write!(f, "the server's response cannot be used: {why}"),
            Self::TimedOut => f.write_str("the response did not arrive in time"),
            Self::TooManyRedirects => f.write_str("the server redirects again and again"),
            Self::Refused(response) => write!(f, "the server does not accept a WebSocket there: {}", response.status()),
        }
    }
}

impl Error for ClientError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Connect(_, error) | Self::Io(error) | Self::Body(error) => Some(error),
            _ => None,
        }
    }
}
