//! Limits the time of a handler, and answers for a process that ends without a response.
//!
//! A process cannot interrupt itself, and nothing of it runs after a trap. So a handler with a limit has a *watcher*: a
//! process with a second handle of the client's socket. Between the two, only one writes the response: when the handler
//! has returned, its process asks the watcher to end, and writes only after the watcher has agreed. If the time passes
//! first, the watcher kills the process, waits for its end, and answers 503. If the process ends by itself, the watcher
//! answers 500. The states of a watcher are in [`watch`].

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

use http::{StatusCode, Version};
use lunatic::mailbox::{Address, Mail, ReplyTo};
use lunatic::{Mailbox, Process, this_process};
use serde::{Deserialize, Serialize};

use crate::conn::Conn;
use crate::error_page::{self, Failed};
use crate::limits::Limits;
use crate::middleware::{Middleware, Next};
use crate::panics;
use crate::request::Request;
use crate::response::{Asked, Response, respond};
use crate::server::Stream;

/// Middleware that limits the time of a handler: a handler that takes longer is answered for with 503, and its process is
/// killed, wherever its code is. Use it for one route or for all.
///
/// The time begins when the request reaches this layer, and ends when the handler returns its response; sending the response
/// is limited by [`Limits`]. The time includes waiting for the request's body. Limits can be nested: each holds.
///
/// A handler under a limit is also answered for with 500 if its process ends in a way that runs no code of the program, such as
/// a trap, or because its memory is used up. For this alone, use `TimeLimit(Duration::MAX)`.
///
/// Each request under a limit spawns a process, which has a second handle of the socket. If that is impossible because a limit of
/// the host is reached, the request is answered with 503 and the handler is not called. A TLS connection has only one handle, so
/// its client gets no response: the connection is closed. The limit has no effect outside of a Lunatic process, or on a connection
/// over another [`Transport`](crate::Transport).
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use lunatic_http::{Handler, Request, Router, TimeLimit};
///
/// let app = Router::new()
///     .get("/", |_| "home")
///     .get("/report", (|_: Request| "a long report").layer(TimeLimit(Duration::from_secs(30))))
///     .layer(TimeLimit(Duration::from_secs(60)));
/// # let _ = app;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeLimit(pub Duration);

impl Middleware for TimeLimit {
    fn around(&self, request: Request, next: Next<'_>) -> Response {
        match begin(self.0) {
            Begun::Watched => {
                let response = next.run(request);
                end();
                response
            }
            Begun::Unwatched => next.run(request),
            Begun::NoRoom => StatusCode::SERVICE_UNAVAILABLE.into(),
        }
    }
}

thread_local! {
    /// The watcher of the request that this process is answering, and how many limits apply to it now.
    static WATCHER: Cell<Option<(Address<Tell>, usize)>> = const { Cell::new(None) };
}

/// What a process tells its watcher. It goes on when the watcher has answered.
#[derive(Serialize, Deserialize)]
enum Tell {
    /// Another limit applies, within the others.
    Begin(Duration, ReplyTo<()>),
    /// The innermost limit does not apply any more.
    End(ReplyTo<()>),
    /// No limit applies any more, and the process writes the response.
    Release(ReplyTo<()>),
}

enum Begun {
    Watched,
    /// The connection cannot be watched.
    Unwatched,
    /// There is no room for a watcher.
    NoRoom,
}

/// Limits what this process does from now on.
fn begin(limit: Duration) -> Begun {
    if let Some((watcher, depth)) = WATCHER.get() {
        // A watcher that has ended limits nothing: somebody has killed it.
        let _ = watcher.call(|reply| Tell::Begin(limit, reply));
        WATCHER.set(Some((watcher, depth + 1)));
        return Begun::Watched;
    }
    let Some(job) = Job::of_this() else {
        return Begun::Unwatched;
    };
    let Ok(watcher) = Process::spawn_with(job, watch) else {
        return Begun::NoRoom;
    };
    let watcher = Address::of(watcher);
    // When it has answered, it has its memory, and answers even if the handler uses up all that is left.
    if watcher.call(|reply| Tell::Begin(limit, reply)).is_err() {
        return Begun::NoRoom;
    }
    WATCHER.set(Some((watcher, 1)));
    Begun::Watched
}

/// Ends the innermost limit. When this has returned, the watcher writes nothing, unless an outer limit still applies.
fn end() {
    if let Some((watcher, depth)) = WATCHER.get() {
        let _ = watcher.call(Tell::End);
        WATCHER.set((depth > 1).then_some((watcher, depth - 1)));
    }
}

/// Ends all limits, because this process is about to write the response by itself: it has panicked.
pub(crate) fn release() {
    if let Some((watcher, _)) = WATCHER.take() {
        let _ = watcher.call(Tell::Release);
    }
}

/// The longest path in bytes that a watcher is told: a process can be spawned only with so much.
const PATH_LEN_MAX: usize = 1024;

/// The beginning of a path.
fn beginning(path: &str) -> &str {
    &path[..path.floor_char_boundary(PATH_LEN_MAX)]
}

/// What a watcher knows.
#[derive(Serialize, Deserialize)]
struct Job {
    /// The process that it watches.
    process: Process,
    /// The client; `None` if the connection has one handle only.
    stream: Option<Stream>,
    limits: Limits,
    head_only: bool,
    is_http_1_0: bool,
    as_html: bool,
    /// The request's id, method and path.
    id: String,
    request: String,
}

impl Job {
    /// The job to watch this process; `None` if it does not serve a socket of `lunatic::net`.
    fn of_this() -> Option<Self> {
        panics::with_current(|current| {
            let conn = current.conn.try_borrow().ok()?;
            conn.socket()?;
            Some(Self {
                process: this_process(),
                stream: conn.share().ok(),
                limits: conn.limits,
                head_only: current.asked.head_only,
                is_http_1_0: current.asked.version == Version::HTTP_10,
                as_html: current.prefers_html(),
                id: current.id.to_string(),
                request: format!("{} {:?}", current.method, beginning(current.uri.path())),
            })
        })?
    }

    /// Answers in place of the process, which has ended, and closes the connection.
    fn answer(self, status: StatusCode) {
        let Some(stream) = self.stream else { return };
        let mut conn = Conn::new(stream.into_transport(), self.limits);
        // The server does not count watchers, so a client must not hold many.
        conn.hurry();
        let conn = Rc::new(RefCell::new(conn));
        let response = error_page::response(&Failed {
            status,
            id: &self.id,
            what: None,
            as_html: self.as_html,
        });
        let asked = Asked {
            head_only: self.head_only,
            version: if self.is_http_1_0 {
                Version::HTTP_10
            } else {
                Version::HTTP_11
            },
            keep_alive: false,
        };
        if respond(&conn, asked, response).is_ok() {
            conn.borrow_mut().close();
        }
    }
}

/// The watcher. It waits until the process needs it no more, the earliest deadline passes, or the process ends.
fn watch(job: Job) {
    let mailbox = Mailbox::<Tell>::new();
    // There is one monitor, so its number is not needed.
    let _ = job.process.monitor();
    // Those of nested limits, the innermost last. None: never.
    let mut deadlines: Vec<Option<Instant>> = Vec::new();
    loop {
        let earliest = deadlines.iter().flatten().min().copied();
        let left = earliest.map_or(Duration::MAX, |at| at.saturating_duration_since(Instant::now()));
        match mailbox.receive_mail_timeout(left) {
            Some(Mail::Message(Tell::Begin(limit, reply))) => {
                deadlines.push(Instant::now().checked_add(limit));
                reply.send(());
            }
            Some(Mail::Message(Tell::End(reply))) => {
                deadlines.pop();
                reply.send(());
                if deadlines.is_empty() {
                    return;
                }
            }
            Some(Mail::Message(Tell::Release(reply))) => return reply.send(()),
            Some(Mail::Down { reason, .. }) => {
                eprintln!("request {} failed: {}: its process {reason}", job.id, job.request);
                return job.answer(StatusCode::INTERNAL_SERVER_ERROR);
            }
            Some(_) => {}
            None if earliest.is_some_and(|at| Instant::now() >= at) => {
                job.process.kill();
                // Until then it might write.
                job.process.join();
                eprintln!("request {} took too long and was stopped: {}", job.id, job.request);
                return job.answer(StatusCode::SERVICE_UNAVAILABLE);
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::Body;
    use crate::router::Handler;

    #[test]
    fn long_paths_are_cut_between_characters() {
        assert_eq!(beginning("/a"), "/a");
        let long = format!("/{}", "é".repeat(PATH_LEN_MAX));
        assert_eq!(beginning(&long).len(), PATH_LEN_MAX - 1);
    }

    #[test]
    fn a_handler_outside_of_a_connection_is_called_without_a_limit() {
        let handler = (|_: Request| "done").layer(TimeLimit(Duration::ZERO));
        let request = Request::new("GET".parse().unwrap(), "/".parse().unwrap(), Body::empty());
        assert_eq!(handler.handle(request).read_text().unwrap(), "done");
    }
}
