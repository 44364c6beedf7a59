//! Serves HTTP/1.1 to clients that may misbehave: limits their number, and the time of each.

use std::convert::Infallible;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::request;

/// The most clients that are served at a time; more wait.
const CLIENTS_MAX: usize = 64;
/// How long a client may take before it is served, for example for a TLS handshake.
const OPENING_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the head of a request may take to arrive.
const HEAD_TIMEOUT: Duration = Duration::from_secs(2);
/// After this time a client is asked to go, whatever it does; a client that receives events gets this much more.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(120);
/// How much longer an answer that has begun may take.
const LAST_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest head of a request, in bytes.
const HEAD_LEN_MAX: usize = 16 << 10;

/// The body of an answer.
pub(crate) type Body = UnsyncBoxBody<Bytes, hyper::Error>;

/// Answers requests.
pub(crate) trait Service: Send + Sync + 'static {
    fn answer(&self, request: Request<Incoming>) -> impl Future<Output = Response<Body>> + Send;
}

/// A source of clients.
pub(crate) trait Clients {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;
    /// The negotiation with a client before it is served.
    type Opening: Future<Output = io::Result<Self::Stream>> + Send + 'static;

    /// Waits for the next client that may be admitted.
    fn next(&self) -> impl Future<Output = io::Result<Self::Opening>>;
}

/// Admits clients until this program exits.
pub(crate) async fn serve(clients: impl Clients, service: impl Service) {
    let (service, places) = (Arc::new(service), Arc::new(Semaphore::new(CLIENTS_MAX)));
    loop {
        let place = places.clone().acquire_owned().await.expect("it is never closed");
        let Ok(opening) = clients.next().await else {
            // The client is to blame, or descriptors are short; neither lasts forever.
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        let service = service.clone();
        tokio::spawn(async move {
            if let Ok(Ok(stream)) = timeout(OPENING_TIMEOUT, opening).await {
                let _ = serve_one(stream, service).await;
            }
            drop(place);
        });
    }
}

async fn serve_one(stream: impl AsyncRead + AsyncWrite + Unpin, service: Arc<impl Service>) -> hyper::Result<()> {
    let (cut_off, is_cut_off) = watch::channel(Instant::now() + CLIENT_TIMEOUT);
    let service = service_fn(move |request: Request<Incoming>| {
        let (service, cut_off) = (service.clone(), cut_off.clone());
        async move {
            let time = request::time(request.method(), request.uri());
            let answer = service.answer(request).await;
            if answer.status().is_success() && !time.is_zero() {
                cut_off.send_replace(Instant::now() + time + CLIENT_TIMEOUT);
            }
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_LEN_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    loop {
        let end = *is_cut_off.borrow();
        match timeout_at(end, connection.as_mut()).await {
            Ok(served) => return served,
            Err(_) if *is_cut_off.borrow() > end => {}
            Err(_) => break,
        }
    }
    connection.as_mut().graceful_shutdown();
    timeout(LAST_TIMEOUT, connection).await.unwrap_or(Ok(()))
}
