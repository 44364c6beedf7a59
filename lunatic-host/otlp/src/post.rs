//! One request and its answer.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, USER_AGENT};
use http::uri::Scheme;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::config::Config;

/// The most bytes of an answer that are read.
const ANSWER_LEN_MAX: usize = 64 << 10;

/// Why a request did not arrive.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It can be retried.
    Again(String),
    /// It was rejected for good.
    Never(String),
}

/// Sends to one address of a collector, over a persistent connection.
pub(crate) struct Poster {
    config: Arc<Config>,
    address: Uri,
    tls: Option<TlsConnector>,
    connection: Option<SendRequest<Full<Bytes>>>,
}

/// Prepares TLS with the operating system's trusted roots, if the collector uses TLS. Reads files.
pub(crate) fn connector(config: &Config) -> io::Result<Option<TlsConnector>> {
    if config.endpoint.scheme() != Some(&Scheme::HTTPS) {
        return Ok(None);
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let tls = tls.with_safe_default_protocol_versions().map_err(io::Error::other)?;
    let tls = tls.with_root_certificates(roots).with_no_client_auth();
    Ok(Some(TlsConnector::from(Arc::new(tls))))
}

impl Poster {
    pub(crate) fn new(config: &Arc<Config>, what: &str, tls: Option<TlsConnector>) -> Self {
        Self {
            config: config.clone(),
            address: config.address(what),
            tls,
            connection: None,
        }
    }

    /// Sends a protobuf message, and waits until it is accepted, for at most the time of one request.
    pub(crate) async fn post(&mut self, body: Bytes) -> Result<(), Failure> {
        let limit = self.config.timeout;
        let answered = timeout(limit, self.exchange(body)).await;
        let answered = answered.unwrap_or_else(|_| Err(Failure::Again(format!("no answer came within {limit:?}"))));
        if answered.is_err() {
            // A late answer on it would be taken for the answer to the next request.
            self.connection = None;
        }
        answered
    }

    async fn exchange(&mut self, body: Bytes) -> Result<(), Failure> {
        let again = |error: &dyn std::error::Error| Failure::Again(error.to_string());
        let is_open = match &mut self.connection {
            Some(connection) => connection.ready().await.is_ok(),
            None => false,
        };
        if !is_open {
            self.connection = Some(self.connect().await.map_err(|error| again(&error))?);
        }
        let Some(connection) = &mut self.connection else {
            return Err(Failure::Again("there is no connection".into()));
        };
        let mut request = Request::post(self.address.path())
            .header(CONTENT_TYPE, "application/x-protobuf")
            .header(USER_AGENT, concat!("lunatic/", env!("CARGO_PKG_VERSION")))
            .header(
                HOST,
                self.address.authority().map_or("", |authority| authority.as_str()),
            )
            .body(Full::new(body))
            .map_err(|error| Failure::Never(error.to_string()))?;
        request.headers_mut().extend(self.config.headers.clone());
        let answer = connection.send_request(request).await.map_err(|error| again(&error))?;
        let status = answer.status();
        // To its end, so that the connection can be reused.
        if Limited::new(answer.into_body(), ANSWER_LEN_MAX)
            .collect()
            .await
            .is_err()
        {
            self.connection = None;
        }
        match status {
            status if status.is_success() => Ok(()),
            StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Err(Failure::Again(format!("the answer is {status}"))),
            status => Err(Failure::Never(format!("the answer is {status}"))),
        }
    }

    async fn connect(&self) -> io::Result<SendRequest<Full<Bytes>>> {
        let host = self.address.host().unwrap_or_default();
        let name = host.trim_start_matches('[').trim_end_matches(']');
        let default = if self.tls.is_some() { 443 } else { 80 };
        let port = self.address.port_u16().unwrap_or(default);
        let stream = TcpStream::connect((name, port)).await?;
        stream.set_nodelay(true)?;
        match &self.tls {
            None => begin(stream).await,
            Some(tls) => {
                let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
                begin(tls.connect(name, stream).await?).await
            }
        }
    }
}

async fn begin(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> io::Result<SendRequest<Full<Bytes>>> {
    let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    // It ends with the sender, or with the peer; the sender reports errors.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}
