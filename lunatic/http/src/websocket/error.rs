//! Why a WebSocket is over.

use std::error::Error;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::lengths::BadLength;

/// What the peer said when it closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Close {
    /// 1000 for a normal end, 1001 if the peer goes away, 1005 if it said nothing; see RFC 6455 (7.4).
    pub code: u16,
    /// For people.
    pub reason: String,
}

impl Default for Close {
    fn default() -> Self {
        Self {
            code: 1005,
            reason: String::new(),
        }
    }
}

/// Why a WebSocket is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum WebSocketError {
    /// The peer has closed it, and was answered.
    Closed(Close),
    /// The peer was silent although it was asked.
    Silent,
    /// The server ends its connections.
    Draining,
    /// The peer sent what breaks the protocol or the limits; the text says what.
    Protocol(String),
    /// The connection ended or failed; the text says how.
    Broken(String),
    /// It was over before.
    Over,
}

impl WebSocketError {
    pub(super) fn from_inner(error: tungstenite::Error) -> Self {
        use tungstenite::Error as E;
        use tungstenite::error::ProtocolError;
        match error {
            E::ConnectionClosed => Self::Closed(Close::default()),
            E::AlreadyClosed => Self::Over,
            E::Io(error) if BadLength::is(&error) => Self::Protocol(error.to_string()),
            E::Io(error) => Self::Broken(error.to_string()),
            E::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
                Self::Broken("the connection ended without a close".into())
            }
            E::Protocol(ProtocolError::SendAfterClosing) => Self::Over,
            error => Self::Protocol(error.to_string()),
        }
    }
}

impl fmt::Display for WebSocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(Close { code, reason }) if reason.is_empty() => write!(f, "the peer closed with code {code}"),
            Self::Closed(Close { code, reason }) => write!(f, "the peer closed with code {code}: {reason}"),
            Self::Silent => f.write_str("the peer does not answer"),
            Self::Draining => f.write_str("the server ends its connections"),
            Self::Protocol(what) => write!(f, "the peer violated the protocol: {what}"),
            Self::Broken(how) => write!(f, "the connection failed: {how}"),
            Self::Over => f.write_str("the WebSocket has ended"),
        }
    }
}

impl Error for WebSocketError {}
