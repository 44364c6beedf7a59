//! One request: the process that answers it, its time, and its answer.
//!
//! The task that waits for the answer holds a [`Handler`], which kills the process when it is dropped. So a client that
//! disconnects ends the process of its request. When all of an answer is there, the process may continue for a while.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST};
use http::uri::Authority;
use http::{HeaderValue, Method, Response, StatusCode, Version};
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::body::{Body as _, Incoming};
use lunatic_kernel::budget::{Budget, Caps};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::time::timeout;

use super::Server;
use super::received::Received;
use super::sent::Sent;
use crate::ending;
use crate::request::{Answered, Body, BodyError, Lifeline, Request};
use crate::rights::Rights;
use crate::spawning::new_visitor;
use crate::wasm::{Entry, Process};

/// Answers a request, if need be with an error of its own.
pub(super) async fn answer(server: &Arc<Server>, request: http::Request<Incoming>) -> Response<Body> {
    exchange(server, request).await.unwrap_or_else(refusal)
}

async fn exchange(server: &Arc<Server>, mut request: http::Request<Incoming>) -> Result<Response<Body>, StatusCode> {
    check(&request)?;
    // Before HTTP/1.1, clients need not name the host. A handler always gets a name.
    let host = request.headers_mut().entry(HOST);
    host.or_insert(HeaderValue::from_static("localhost"));
    let (method, time) = (request.method().clone(), server.config.handler_time);
    let place = timeout(time, server.requests.clone().acquire_owned()).await;
    let Ok(Ok(place)) = place else {
        return Err(StatusCode::SERVICE_UNAVAILABLE);
    };
    let (answer, answered) = oneshot::channel();
    let (ends, end) = oneshot::channel();
    let client_time = server.config.client_time;
    let request = Request {
        request: Mutex::new(request.map(|body| Received::new(body, client_time).boxed_unsync())),
        answer,
        lifeline: Lifeline {
            _ends: ends,
            _place: place,
        },
    };
    let process = server.spawn(request).ok_or(StatusCode::SERVICE_UNAVAILABLE)?;
    let handler = Handler {
        server: server.clone(),
        process,
        end,
        has_ended: false,
    };
    match timeout(time, answered).await {
        Ok(Ok(Ok(answered))) => respond(handler, &method, answered),
        Ok(Ok(Err(error))) => {
            handler.report(&format!("answered with the error {error}"));
            handler.release();
            Err(StatusCode::INTERNAL_SERVER_ERROR)
        }
        // The process has ended, which is reported elsewhere, or has given up the place for the answer.
        Ok(Err(_)) => {
            handler.release();
            Err(StatusCode::INTERNAL_SERVER_ERROR)
        }
        Err(_) => {
            handler.report(&format!("did not answer within {time:?}, and was killed"));
            Err(StatusCode::GATEWAY_TIMEOUT)
        }
    }
}

/// Refuses what no handler gets.
fn check(request: &http::Request<Incoming>) -> Result<(), StatusCode> {
    // There is no connection to pass on.
    if request.method() == Method::CONNECT {
        return Err(StatusCode::NOT_IMPLEMENTED);
    }
    // One line with a valid host, RFC 9112, 3.2. Before HTTP/1.1 there were none.
    let mut hosts = request.headers().get_all(HOST).iter();
    let is_valid = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host.is_empty() || Authority::try_from(host.as_bytes()).is_ok_and(|host| is_host(&host)),
        (None, _) => request.version() < Version::HTTP_11,
        _ => false,
    };
    if is_valid { Ok(()) } else { Err(StatusCode::BAD_REQUEST) }
}

/// Whether this is a host, with or without a port, but without the name of a user.
fn is_host(authority: &Authority) -> bool {
    !authority.as_str().contains('@')
}

/// What is sent of the answer of a handler.
fn respond(handler: Handler, method: &Method, answered: Answered) -> Result<Response<Body>, StatusCode> {
    let Answered { response, completion } = answered;
    let (mut parts, body) = response.into_parts();
    let status = parts.status;
    if status.is_informational() {
        handler.report(&format!(
            "answered with the status {status}, which is not that of a response"
        ));
        handler.release();
        return Err(StatusCode::INTERNAL_SERVER_ERROR);
    }
    let sends_only_head = method == Method::HEAD || status == StatusCode::NOT_MODIFIED;
    if !sends_only_head && (status == StatusCode::NO_CONTENT || body.is_end_stream()) {
        parts.headers.remove(CONTENT_LENGTH);
    }
    if body.is_end_stream() && completion.is_complete() {
        handler.release();
        return Ok(Response::from_parts(parts, empty()));
    }
    let length = parts
        .headers
        .get(CONTENT_LENGTH)
        .and_then(|len| len.to_str().ok()?.parse().ok());
    let sent = Sent::new(body, length, completion, handler);
    if sends_only_head || status == StatusCode::NO_CONTENT || length == Some(0) {
        // Nobody gets the body that the handler writes.
        tokio::spawn(sent.discard());
        return Ok(Response::from_parts(parts, empty()));
    }
    Ok(Response::from_parts(parts, sent.boxed_unsync()))
}

fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// An answer of the host in place of one of a handler.
fn refusal(status: StatusCode) -> Response<Body> {
    let text = format!("{status}\n");
    let body = Full::new(Bytes::from(text)).map_err(|never: std::convert::Infallible| -> BodyError { match never {} });
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

impl Server {
    /// Makes the process for a request; `None` if a limit prevents it. It has no parent: a handle of the main process would let
    /// a handler kill the server, and send it messages that nobody receives.
    fn spawn(&self, request: Request) -> Option<Arc<Process>> {
        let keeper = self.kernel.find(self.system.main()?)?;
        let entry = Entry::Request(Box::new(request));
        let rights = self.rights(&keeper);
        let process = new_visitor(&self.kernel, &keeper, None, rights, self.module.clone(), entry, None).ok()?;
        self.kernel.begin(process.clone());
        Some(process)
    }

    fn rights(&self, keeper: &Process) -> Arc<Rights> {
        let own = &keeper.local.rights;
        let Some(cpu) = self.config.request_cpu else {
            return own.clone();
        };
        let caps = Caps {
            cpu: Some(cpu),
            ..Caps::default()
        };
        let budget = Budget::new(own.budget.clone(), caps, self.kernel.now());
        let budget = budget.expect("it is within the budget of the system, which is the outermost");
        Arc::new(Rights {
            budget: Some(budget),
            ..Rights::clone(own)
        })
    }
}

/// A process that answers a request. It is killed when this is dropped, unless it has ended.
pub(super) struct Handler {
    server: Arc<Server>,
    process: Arc<Process>,
    /// Becomes ready when the process has ended.
    end: oneshot::Receiver<()>,
    has_ended: bool,
}

impl Handler {
    /// The time that it has for each step of its answer.
    pub(super) fn time(&self) -> Duration {
        self.server.config.handler_time
    }

    /// Lets the process continue, but not for ever.
    pub(super) fn release(mut self) {
        self.has_ended = self.end.try_recv() == Err(TryRecvError::Closed);
        if self.has_ended {
            return;
        }
        tokio::spawn(async move {
            let time = self.time();
            self.has_ended = timeout(time, &mut self.end).await.is_ok();
            if !self.has_ended {
                self.report(&format!("did not end within {time:?} after its answer, and was killed"));
            }
        });
    }

    /// Reports something about the process.
    pub(super) fn report(&self, what: &str) {
        ending::request_failed(&self.process, what);
    }
}

impl Drop for Handler {
    fn drop(&mut self) {
        let kernel = &self.server.kernel;
        if !self.has_ended && kernel.is_alive(self.process.id) {
            kernel.kill(&self.process);
        }
    }
}
