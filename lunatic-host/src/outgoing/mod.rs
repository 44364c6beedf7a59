//! HTTP requests that processes send: HTTP/1.1, each on a connection of its own, with TLS if the scheme asks for it.
//!
//! [`send`] runs as a task of the runtime's executor, and so does the [`Connection`] that it returns. Both belong to the
//! process: whoever aborts them when the process ends closes the connection. A connection is paid for before it exists
//! ([`Paid`]), and until it is closed and its answer has been dropped.
//!
//! | module | purpose |
//! |---|---|
//! | `reach` | from a name to a TCP connection that the process may have |
//! | `tls` | TLS on it |
//! | `body` | the bodies of the request and of the answer |
//! | `error` | why a request fails |

mod body;
mod error;
mod reach;
mod tls;

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use lunatic_net::cost;
use lunatic_net::handles::Charge;
use tokio::time::timeout;

use self::body::Received;
pub(crate) use self::body::Whole;
pub(crate) use self::error::SendError;
pub(crate) use self::reach::{Target, deny};
use crate::request::{Body, FIELD_SIZE};
use crate::wasm::{Kernel, Process};

/// The longest head of an answer, in bytes, and the most that hyper reads before someone takes it.
const HEAD_LEN_MAX: usize = 32 << 10;
/// The most fields of an answer, which is hyper's own limit.
const FIELDS_MAX: usize = 100;
/// What a connection holds in the host, without the request: what was read, the part of the body that was read last, what
/// is to be written and the part before it, the head of the answer, and the tasks.
const CONNECTION_SIZE: usize = 5 * HEAD_LEN_MAX + FIELDS_MAX * FIELD_SIZE + (16 << 10);
/// What rustls keeps of data that is to be encrypted, in addition to [`cost::TLS`]: its limit.
const TLS_UNSENT: usize = 64 << 10;
/// The trailers of a body: 16 KiB, which is hyper's limit, and the fields.
pub(crate) const TRAILERS_SIZE: usize = (16 << 10) + FIELDS_MAX * FIELD_SIZE;

/// How long each step may take if the process does not say.
const CONNECT_TIME: Duration = Duration::from_secs(60);
const ANSWER_TIME: Duration = Duration::from_secs(600);

/// A request, and what it takes to send it.
pub(crate) struct Outgoing {
    pub(crate) kernel: Arc<Kernel>,
    pub(crate) process: Arc<Process>,
    pub(crate) target: Target,
    pub(crate) uses_tls: bool,
    pub(crate) request: http::Request<Body>,
    pub(crate) times: Times,
    pub(crate) paid: Paid,
}

/// How long each step may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// Looking up the name, connecting, and TLS, together.
    pub(crate) connect: Duration,
    /// From then to the head of the answer.
    pub(crate) answer: Duration,
    /// Each wait for a part of the body, while the process waits for it.
    pub(crate) part: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self {
            connect: CONNECT_TIME,
            answer: ANSWER_TIME,
            part: ANSWER_TIME,
        }
    }
}

/// What the process pays for a connection, and its place among the connections of the process.
pub(crate) struct Paid {
    pub(crate) _charge: Charge,
    pub(crate) _place: Arc<()>,
}

/// The bytes that a connection costs, without those of the request.
pub(crate) fn connection_size(uses_tls: bool) -> usize {
    CONNECTION_SIZE
        + match uses_tls {
            true => cost::TLS + TLS_UNSENT,
            false => cost::TCP_STREAM,
        }
}

/// The rest of the work for a request, which must run until its answer has been read.
pub(crate) type Connection = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Sends a request, and waits for the head of its answer.
///
/// # Errors
///
/// [`SendError`] says what failed.
pub(crate) async fn send(outgoing: Outgoing) -> Result<(http::Response<Body>, Connection), SendError> {
    let Outgoing {
        kernel,
        process,
        target,
        uses_tls,
        request,
        times,
        paid,
    } = outgoing;
    let paid = Arc::new(paid);
    let opening = async {
        let stream = reach::connect(&kernel, &process, &target).await?;
        // A request that is smaller than a segment must not wait for what has been sent before.
        let _ = stream.set_nodelay(true);
        tls::wrap(stream, uses_tls.then_some(&target)).await
    };
    let stream = timeout(times.connect, opening).await;
    let stream = stream.map_err(|_| SendError::ConnectTimeout)??;
    let begun = http1::Builder::new()
        .max_buf_size(HEAD_LEN_MAX)
        .handshake(TokioIo::new(stream));
    let (mut sender, connection) = begun.await?;
    let held = paid.clone();
    let mut connection: Connection = Box::pin(async move {
        // An error is also that of the answer or of its body.
        let _ = connection.await;
        drop(held);
    });
    let answer = beside(&mut connection, sender.send_request(request));
    let answer = timeout(times.answer, answer).await;
    let answer = answer.map_err(|_| SendError::AnswerTimeout)??;
    let answer = answer.map(|body| Received::new(body, times.part, paid).boxed_unsync());
    Ok((answer, connection))
}

/// Waits for `wanted` while the connection works.
async fn beside<T>(connection: &mut Connection, wanted: impl Future<Output = T>) -> T {
    let mut wanted = pin!(wanted);
    let mut goes_on = true;
    poll_fn(|context| {
        if let Poll::Ready(done) = wanted.as_mut().poll(context) {
            return Poll::Ready(done);
        }
        if goes_on && connection.as_mut().poll(context).is_ready() {
            // It leaves its error for what is wanted. It must not be polled again.
            (goes_on, *connection) = (false, Box::pin(async {}));
            return wanted.as_mut().poll(context);
        }
        Poll::Pending
    })
    .await
}
