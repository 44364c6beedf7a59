//! A client of the door.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use crate::view::ErrorView;

/// How long a program may take to answer before it counts as stuck.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A client of one program.
#[derive(Debug, Clone)]
pub struct Client {
    path: PathBuf,
}

/// Why there is no answer.
#[derive(Debug)]
#[non_exhaustive]
pub enum Trouble {
    /// Nobody listens on the socket.
    NobodyThere(io::Error),
    /// The program has not answered, or its answer is not that of a door.
    NoAnswer(String),
    /// The program has refused the request, with this message.
    Refused(StatusCode, String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NobodyThere(error) => write!(f, "no program listens there: {error}"),
            Self::NoAnswer(why) => write!(f, "the program does not answer: {why}"),
            Self::Refused(_, why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Trouble {}

impl Client {
    /// Returns a client of the program with the door at this socket. Does not connect yet.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Returns the path of the socket.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gets `path`, which may contain a query.
    ///
    /// # Errors
    ///
    /// See [`Trouble`].
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Trouble> {
        self.ask(Method::GET, path, TIMEOUT)
    }

    /// Posts to `path`.
    ///
    /// # Errors
    ///
    /// See [`Trouble`].
    pub fn post<T: DeserializeOwned>(&self, path: &str) -> Result<T, Trouble> {
        self.ask(Method::POST, path, TIMEOUT)
    }

    /// Puts to `path`.
    ///
    /// # Errors
    ///
    /// See [`Trouble`].
    pub fn put<T: DeserializeOwned>(&self, path: &str) -> Result<T, Trouble> {
        self.ask(Method::PUT, path, TIMEOUT)
    }

    /// Like [`post`](Self::post), for a request that takes this much longer than others.
    ///
    /// # Errors
    ///
    /// See [`Trouble`].
    pub fn post_long<T: DeserializeOwned>(&self, path: &str, time: Duration) -> Result<T, Trouble> {
        self.ask(Method::POST, path, TIMEOUT.saturating_add(time))
    }

    /// Posts to `path` and returns the bytes of the answer.
    ///
    /// # Errors
    ///
    /// See [`Trouble`].
    pub fn fetch(&self, path: &str) -> Result<Bytes, Trouble> {
        self.ask_for_bytes(Method::POST, path, TIMEOUT)
    }

    /// Posts a body to `path`, for a request that takes this much longer than others.
    ///
    /// # Errors
    ///
    /// See [`Trouble`].
    pub fn post_body<T: DeserializeOwned>(&self, path: &str, body: Vec<u8>, time: Duration) -> Result<T, Trouble> {
        let body = self.ask_with(Method::POST, path, body.into(), TIMEOUT.saturating_add(time))?;
        serde_json::from_slice(&body).map_err(|error| Trouble::NoAnswer(error.to_string()))
    }

    fn ask<T: DeserializeOwned>(&self, method: Method, path: &str, timeout: Duration) -> Result<T, Trouble> {
        let body = self.ask_for_bytes(method, path, timeout)?;
        serde_json::from_slice(&body).map_err(|error| Trouble::NoAnswer(error.to_string()))
    }

    fn ask_for_bytes(&self, method: Method, path: &str, timeout: Duration) -> Result<Bytes, Trouble> {
        self.ask_with(method, path, Bytes::new(), timeout)
    }

    fn ask_with(&self, method: Method, path: &str, body: Bytes, timeout: Duration) -> Result<Bytes, Trouble> {
        let no_answer = |error: &dyn fmt::Display| Trouble::NoAnswer(error.to_string());
        let executor = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let executor = executor.map_err(|error| no_answer(&error))?;
        let exchange = async { tokio::time::timeout(timeout, self.exchange(method, path, body)).await };
        let (status, body) = executor.block_on(exchange).map_err(|late| no_answer(&late))??;
        if !status.is_success() {
            return Err(refused(status, &body));
        }
        Ok(body)
    }

    async fn exchange(&self, method: Method, path: &str, body: Bytes) -> Result<(StatusCode, Bytes), Trouble> {
        let (answer, connection) = self.begin_with(method, path, Full::new(body)).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await;
        let body = body.map_err(|error| Trouble::NoAnswer(error.to_string()))?.to_bytes();
        connection.abort();
        Ok((status, body))
    }

    /// Returns the head of an answer whose body is still to come, and the task of the connection.
    pub(crate) async fn begin(
        &self,
        method: Method,
        path: &str,
    ) -> Result<(Response<Incoming>, JoinHandle<hyper::Result<()>>), Trouble> {
        self.begin_with(method, path, Full::new(Bytes::new())).await
    }

    /// [`begin`](Self::begin), with a body, which is sent as it comes.
    pub(crate) async fn begin_with<B>(
        &self,
        method: Method,
        path: &str,
        body: B,
    ) -> Result<(Response<Incoming>, JoinHandle<hyper::Result<()>>), Trouble>
    where
        B: hyper::body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let no_answer = |error: hyper::Error| Trouble::NoAnswer(error.to_string());
        let stream = UnixStream::connect(&self.path).await.map_err(Trouble::NobodyThere)?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(no_answer)?;
        let connection = tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "lunatic")
            .body(body)
            .map_err(|error| Trouble::NoAnswer(error.to_string()))?;
        let answer = sender.send_request(request).await.map_err(no_answer)?;
        Ok((answer, connection))
    }
}

/// The error in an answer without success.
pub(crate) fn refused(status: StatusCode, body: &[u8]) -> Trouble {
    let said = serde_json::from_slice::<ErrorView>(body);
    Trouble::Refused(status, said.map_or_else(|_| status.to_string(), |view| view.error))
}
