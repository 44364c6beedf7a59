//! Why a request of a process fails.

use std::error::Error as _;
use std::io;

use tokio_rustls::rustls;

use crate::request::BodyError;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum SendError {
    /// The process may not connect to any address of the server.
    Denied,
    /// The server has no address, or its name could not be looked up.
    NoHost,
    Refused,
    Unroutable,
    /// No connection, for another reason.
    Unavailable,
    ConnectTimeout,
    /// No answer has begun in time.
    AnswerTimeout,
    /// The certificate of the server is not valid, or not for its name.
    Certificate,
    /// The server has ended TLS with this alert.
    Alert(u8, String),
    Tls,
    /// The host cannot use TLS: the text says why.
    NoTls(String),
    /// The server has closed the connection before its answer was complete.
    Closed,
    /// The head of the answer is too long.
    HeadTooLong,
    /// What the server has sent is not HTTP.
    Protocol,
    /// The process did not finish the body of its request.
    Unfinished,
}

impl SendError {
    /// Why there is no TCP connection.
    pub(super) fn of_connect(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Self::Unroutable,
            io::ErrorKind::TimedOut => Self::ConnectTimeout,
            _ => Self::Unavailable,
        }
    }

    /// Why a TLS handshake failed.
    pub(super) fn of_tls(error: &io::Error) -> Self {
        match error.get_ref().and_then(|error| error.downcast_ref()) {
            Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => Self::Certificate,
            Some(rustls::Error::AlertReceived(alert)) => Self::Alert((*alert).into(), format!("{alert:?}")),
            Some(_) => Self::Tls,
            None => Self::Closed,
        }
    }
}

impl From<hyper::Error> for SendError {
    fn from(error: hyper::Error) -> Self {
        let unfinished = error.source().and_then(|source| source.downcast_ref()) == Some(&BodyError::Incomplete);
        match () {
            () if unfinished => Self::Unfinished,
            () if error.is_parse_too_large() => Self::HeadTooLong,
            () if error.is_parse() => Self::Protocol,
            () => Self::Closed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_keep_their_meaning() {
        let of_connect = |kind: io::ErrorKind| SendError::of_connect(&kind.into());
        assert_eq!(of_connect(io::ErrorKind::ConnectionRefused), SendError::Refused);
        assert_eq!(of_connect(io::ErrorKind::NetworkUnreachable), SendError::Unroutable);
        assert_eq!(of_connect(io::ErrorKind::PermissionDenied), SendError::Unavailable);
        let of_tls = |error: rustls::Error| SendError::of_tls(&io::Error::new(io::ErrorKind::InvalidData, error));
        let expired = rustls::Error::InvalidCertificate(rustls::CertificateError::Expired);
        assert_eq!(of_tls(expired), SendError::Certificate);
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::HandshakeFailure);
        assert_eq!(of_tls(alert), SendError::Alert(40, "HandshakeFailure".into()));
        assert_eq!(of_tls(rustls::Error::DecryptError), SendError::Tls);
        assert_eq!(
            SendError::of_tls(&io::ErrorKind::UnexpectedEof.into()),
            SendError::Closed
        );
    }
}
