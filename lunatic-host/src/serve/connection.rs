//! HTTP/1.1 on one connection.

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::interval;

use super::Server;
use super::exchange;
use super::stream::{LOOKS_EVERY, Stream};
use crate::request::{FIELDS_SIZE_MAX, Phase};

/// The longest head of a request, in bytes, and the most that hyper reads before someone takes it.
const HEAD_LEN_MAX: usize = 32 << 10;
/// What a connection holds in the host: of its request, what hyper has read, the part that waits for the process, and the one
/// that the process has not finished; the longest head of an answer, for which hyper makes up to twice the room that it
/// needs, and which it keeps; two parts of the body; and the task.
pub(super) const CONNECTION_SIZE: usize = 5 * HEAD_LEN_MAX + 2 * FIELDS_SIZE_MAX + (16 << 10);

/// Serves a client until one of both sides closes the connection.
pub(super) async fn serve(server: Arc<Server>, stream: TcpStream) {
    // An answer that is smaller than a segment must not wait for one that has been sent before.
    let _ = stream.set_nodelay(true);
    let (limit, mut phase) = (server.config.client_time, server.phase.clone());
    let service = service_fn(move |request: http::Request<Incoming>| {
        let server = server.clone();
        async move { Ok::<_, Infallible>(exchange::answer(&server, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limit)
        .max_buf_size(HEAD_LEN_MAX)
        .serve_connection(TokioIo::new(Stream::new(stream, limit)), service);
    let mut connection = pin!(connection);
    let mut looks = interval(LOOKS_EVERY);
    loop {
        let is_closing = *phase.borrow_and_update() != Phase::Open;
        if is_closing {
            connection.as_mut().graceful_shutdown();
        }
        let goes_on = {
            let mut change = pin!(phase.changed());
            let next = poll_fn(|context| {
                // The stream looks only when it is polled.
                while looks.poll_tick(context).is_ready() {}
                // An error is that of the client, or of the handler, which has been reported.
                if connection.as_mut().poll(context).is_ready() {
                    return Poll::Ready(false);
                }
                change.as_mut().poll(context).map(|changed| changed.is_ok())
            });
            next.await
        };
        if !goes_on || *phase.borrow() == Phase::Over {
            return;
        }
    }
}
