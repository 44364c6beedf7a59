//! An HTTP request on its way to the process that answers it, and the answer on its way back.
//!
//! The process owns a [`Request`] from its beginning. Whatever ends the process drops what is left of it, so whoever waits
//! for the answer or for the end learns of it, even if the process never ran.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};

/// The name of the entry of processes that answer requests.
pub(crate) const ENTRY: &str = "handle";

/// The body of a request or of an answer.
pub(crate) type Body = UnsyncBoxBody<Bytes, BodyError>;

/// Why a body ends before it is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// The other side has gone.
    Gone,
    /// The other side has sent or taken nothing for too long.
    TooSlow,
    /// The process did not write all of it.
    Incomplete,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gone => "the connection was closed",
            Self::TooSlow => "nothing more arrived in time",
            Self::Incomplete => "the handler did not finish the body",
        })
    }
}

impl std::error::Error for BodyError {}

/// A request, for the process that answers it.
pub struct Request {
    /// In a lock only because a body cannot be shared by threads, and whatever a process begins with must be.
    pub(crate) request: Mutex<http::Request<Body>>,
    pub(crate) answer: oneshot::Sender<Answer>,
    /// Dropped when the process has ended.
    pub(crate) lifeline: Lifeline,
}

/// What the process has answered, or the error that it reported in place of an answer.
pub(crate) type Answer = Result<Answered, String>;

/// An answer.
pub(crate) struct Answered {
    pub(crate) response: http::Response<Body>,
    pub(crate) completion: Completion,
}

/// Whether the process has finished the body of its answer. A body that merely stops is incomplete.
#[derive(Debug, Clone, Default)]
pub(crate) struct Completion(Arc<AtomicBool>);

impl Completion {
    /// That of an answer without a body.
    pub(crate) fn complete() -> Self {
        let completion = Self::default();
        completion.finish();
        completion
    }

    pub(crate) fn finish(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Kept with the process; whoever holds the other end is notified when it is dropped. It also holds the place of the
/// process among those that answer requests.
pub(crate) struct Lifeline {
    pub(crate) _ends: oneshot::Sender<()>,
    pub(crate) _place: tokio::sync::OwnedSemaphorePermit,
}

/// The most bytes of the fields of one handle, as wasmtime-wasi-http counts them: with 40 bytes for each value, and 32 for
/// each name.
pub(crate) const FIELDS_SIZE_MAX: usize = 64 << 10;

/// What a request takes up in the host, in addition to its texts.
const REQUEST_SIZE: usize = 4 << 10;
/// A field in a map of fields, in addition to its texts.
pub(crate) const FIELD_SIZE: usize = 192;

/// The bytes that the host keeps for fields.
pub(crate) fn fields_size(fields: &http::HeaderMap) -> usize {
    let sizes = fields
        .iter()
        .map(|(name, value)| FIELD_SIZE + name.as_str().len() + value.len());
    sizes.sum()
}

impl Request {
    /// The bytes that the host keeps for it, without those of its body that have arrived.
    pub(crate) fn size(&self) -> usize {
        let request = self.request.lock();
        let uri = request.uri();
        let path = uri.path_and_query().map_or(0, |path| path.as_str().len());
        let authority = uri.authority().map_or(0, |authority| authority.as_str().len());
        REQUEST_SIZE + 2 * (path + authority) + request.method().as_str().len() + fields_size(request.headers())
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("request", &self.request)
            .finish_non_exhaustive()
    }
}

/// How far a system that answers requests has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It answers requests.
    Open,
    /// It answers the requests that have begun, and admits no other.
    Draining,
    /// It has ended.
    Over,
}

/// Kept with a system that answers requests: the way to close it.
#[derive(Debug)]
pub(crate) struct Door(pub(crate) watch::Sender<Phase>);

impl Door {
    /// Goes on to a later phase.
    pub(crate) fn advance(&self, to: Phase) {
        self.0.send_if_modified(|phase| {
            let is_later = (*phase as u8) < to as u8;
            if is_later {
                *phase = to;
            }
            is_later
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_only_advance() {
        let (phase, seen) = watch::channel(Phase::Open);
        let door = Door(phase);
        for (to, expected) in [
            (Phase::Draining, Phase::Draining),
            (Phase::Open, Phase::Draining),
            (Phase::Over, Phase::Over),
            (Phase::Draining, Phase::Over),
        ] {
            door.advance(to);
            assert_eq!(*seen.borrow(), expected);
        }
    }

    #[test]
    fn fields_are_sized_with_their_overhead() {
        let mut fields = http::HeaderMap::new();
        assert_eq!(fields_size(&fields), 0);
        fields.append("name", http::HeaderValue::from_static("value"));
        fields.append("name", http::HeaderValue::from_static(""));
        assert_eq!(fields_size(&fields), 2 * FIELD_SIZE + 4 + 5 + 4);
    }
}
