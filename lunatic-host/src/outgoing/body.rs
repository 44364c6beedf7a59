//! The bodies of a request and of its answer.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming};

use super::Paid;
use crate::patience::Patience;
use crate::request::{BodyError, Completion};

type Next = Option<Result<Frame<Bytes>, BodyError>>;

/// The body of a request, which is complete only if the process says so. Without that, the server would take what a process
/// has written before its end for all of it.
pub(crate) struct Whole<B> {
    body: B,
    completion: Completion,
}

impl<B> Whole<B> {
    pub(crate) fn new(body: B, completion: Completion) -> Self {
        Self { body, completion }
    }
}

impl<B: Body<Data = Bytes, Error = BodyError> + Unpin> Body for Whole<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Next> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(None) if !self.completion.is_complete() => Poll::Ready(Some(Err(BodyError::Incomplete))),
            frame => frame,
        }
    }
}

/// The body of an answer, which ends with an error if the server sends nothing for too long while the process waits.
pub(super) struct Received {
    body: Incoming,
    patience: Patience,
    /// A part of the body may be left when the connection is gone.
    _paid: Arc<Paid>,
}

impl Received {
    pub(super) fn new(body: Incoming, limit: Duration, paid: Arc<Paid>) -> Self {
        Self {
            body,
            patience: Patience::new(limit),
            _paid: paid,
        }
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Next> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        match self.patience.judge(frame, context) {
            Some(frame) => frame.map(|frame| frame.map(|frame| frame.map_err(|_| BodyError::Gone))),
            None => Poll::Ready(Some(Err(BodyError::TooSlow))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::task::Waker;

    use http_body_util::{BodyExt as _, Full};

    use super::*;

    #[test]
    fn a_body_that_was_not_finished_ends_with_an_error() {
        let mut context = Context::from_waker(Waker::noop());
        for is_finished in [false, true] {
            let completion = Completion::default();
            let part = Full::new(Bytes::from("part")).map_err(|never: Infallible| -> BodyError { match never {} });
            let mut body = Whole::new(part, completion.clone());
            let first = Pin::new(&mut body).poll_frame(&mut context);
            assert!(matches!(first, Poll::Ready(Some(Ok(_)))));
            if is_finished {
                completion.finish();
            }
            let last = Pin::new(&mut body).poll_frame(&mut context);
            match is_finished {
                true => assert!(matches!(last, Poll::Ready(None))),
                false => assert!(matches!(last, Poll::Ready(Some(Err(BodyError::Incomplete))))),
            }
        }
    }
}
