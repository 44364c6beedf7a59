//! TLS on a connection, or none.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use lunatic_net::tls::client;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;

use super::{SendError, Target};

/// A connection with TLS or without it.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Does the handshake with the server, which must prove that it has this name or address; without a name, there is no TLS.
pub(super) async fn wrap(stream: TcpStream, server: Option<&Target>) -> Result<Stream, SendError> {
    let Some(server) = server else {
        return Ok(Stream::Plain(stream));
    };
    let name = match server {
        Target::Address(address) => ServerName::from(address.ip()),
        Target::Name(name, _) => ServerName::try_from(name.clone()).map_err(|_| SendError::Certificate)?,
    };
    let config = match client::http() {
        Some(config) => config,
        None => spawn_blocking(client::read_http)
            .await
            .map_err(|_| SendError::NoTls("the certificates of the system could not be read".into()))?,
    };
    let config = config.map_err(|why| SendError::NoTls(why.to_string()))?;
    let connected = TlsConnector::from(config).connect(name, stream).await;
    let connected = connected.map_err(|error| SendError::of_tls(&error))?;
    Ok(Stream::Tls(Box::new(connected)))
}

/// Calls a function of the stream, of whichever kind it is.
macro_rules! call {
    ($stream:expr, $name:ident($($argument:expr),*)) => {
        match $stream.get_mut() {
            Stream::Plain(stream) => Pin::new(stream).$name($($argument),*),
            Stream::Tls(stream) => Pin::new(&mut **stream).$name($($argument),*),
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        call!(self, poll_read(context, to))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        call!(self, poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        call!(self, poll_write_vectored(context, parts))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        call!(self, poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        call!(self, poll_shutdown(context))
    }
}
