//! Answers 500 when a handler panics.
//!
//! On WebAssembly a panic cannot be caught: it ends the process. But the panic hook runs first, in the same process, while the
//! socket is still open. The hook writes the response, unless part of another response has been sent. Then the process exits
//! as it would without the hook.

use std::cell::{Cell, RefCell};
use std::panic::{self, PanicHookInfo};
use std::sync::Once;

use http::header::{ACCEPT, HeaderMap, HeaderValue};
use http::{Method, StatusCode, Uri};
use lunatic::Process;

use crate::accept::wants_html;
use crate::conn::{Conn, HURRY, Shared};
use crate::error_page::{self, Failed};
use crate::head::RequestHead;
use crate::limits::Limits;
use crate::request_id::RequestId;
use crate::response::{Asked, Response, respond};
use crate::server::Stream;
use crate::time_limit;

thread_local! {
    /// The request that this process is answering.
    static CURRENT: RefCell<Option<Current>> = const { RefCell::new(None) };
    /// Whether the response may say why the request failed.
    static IS_DEVELOPMENT: Cell<bool> = const { Cell::new(false) };
}

/// A request that is being answered.
pub(crate) struct Current {
    pub(crate) conn: Shared,
    pub(crate) asked: Asked,
    pub(crate) id: RequestId,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    accept: Option<HeaderValue>,
}

impl Current {
    pub(crate) fn prefers_html(&self) -> bool {
        wants_html(&HeaderMap::from_iter(
            self.accept.clone().map(|accept| (ACCEPT, accept)),
        ))
    }
}

/// Calls a function with the request that this process is answering, if there is one.
pub(crate) fn with_current<T>(use_it: impl FnOnce(&Current) -> T) -> Option<T> {
    CURRENT.with_borrow(|current| current.as_ref().map(use_it))
}

/// Marks a request as being answered until it is dropped.
pub(crate) struct Watched {
    /// The request before, if its handler itself serves a connection.
    outer: Option<Current>,
}

/// Marks the beginning of a request on this connection.
pub(crate) fn watch(conn: &Shared, asked: Asked, id: RequestId, head: &RequestHead) -> Watched {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let current = CURRENT.try_with(|current| current.take()).ok().flatten();
            if let Some(current) = &current {
                let Current { id, method, uri, .. } = current;
                eprintln!("request {id} failed: {method} {:?}", uri.path());
            }
            others(info);
            if let Some(current) = current {
                answer(&current, info);
            }
        }));
    });
    IS_DEVELOPMENT.set(false);
    let current = Current {
        conn: conn.clone(),
        asked,
        id,
        method: head.method.clone(),
        uri: head.uri.clone(),
        accept: head.headers.get(ACCEPT).cloned(),
    };
    Watched {
        outer: CURRENT.replace(Some(current)),
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // A native thread may have destroyed this by now.
        let _ = CURRENT.try_with(|current| *current.borrow_mut() = self.outer.take());
    }
}

/// Allows the response to the current request to say why it failed.
pub(crate) fn tell_details() {
    IS_DEVELOPMENT.set(true);
}

/// Answers a request whose handler has panicked, if nothing has been sent yet, and closes the connection.
fn answer(current: &Current, info: &PanicHookInfo<'_>) {
    let Ok(mut conn) = current.conn.try_borrow_mut() else {
        // This crate itself panicked while it used the connection.
        return;
    };
    if conn.has_answered() || conn.is_broken() {
        return;
    }
    conn.out.clear();
    conn.hurry();
    let reject = conn.body_failure();
    drop(conn);
    // Otherwise the watcher of a time limit would answer, too.
    time_limit::release();
    let response = match reject {
        // The handler panicked because the body could not be read, which is the client's fault.
        Some(reject) => (&reject).into(),
        None => failed(current, info),
    };
    let asked = Asked {
        keep_alive: false,
        ..current.asked
    };
    if respond(&current.conn, asked, response).is_ok() {
        close(&mut current.conn.borrow_mut());
    }
}

/// Closes the connection without keeping the process, whose crash is reported only when it has ended. If the client may still
/// be sending, another process listens until it has received the response.
fn close(conn: &mut Conn) {
    if conn.has_read_all() {
        return conn.finish();
    }
    let entry = |(stream, limits): (Stream, Limits)| Conn::new(stream.into_transport(), limits).close();
    let spawned = conn
        .share()
        .is_ok_and(|stream| Process::spawn_with((stream, conn.limits), entry).is_ok());
    if !spawned {
        conn.close_within(HURRY);
    }
}

fn failed(current: &Current, info: &PanicHookInfo<'_>) -> Response {
    let details = IS_DEVELOPMENT.get().then(|| {
        let message = info.payload_as_str().unwrap_or("the panic has no message");
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        format!("the handler panicked at {place}: {message}")
    });
    let mut response = error_page::response(&Failed {
        status: StatusCode::INTERNAL_SERVER_ERROR,
        id: &current.id,
        what: details.as_deref().map(|why| error_page::Details {
            method: &current.method,
            uri: &current.uri,
            why,
        }),
        as_html: current.prefers_html(),
    });
    if let Ok(id) = HeaderValue::from_str(&current.id.to_string()) {
        response.headers_mut().insert("x-request-id", id);
    }
    response
}
