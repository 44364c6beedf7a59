//! The body of an answer, from a handler that may stop writing.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Frame;
use tokio::time::timeout;

use super::exchange::Handler;
use crate::patience::Patience;
use crate::request::{Body, BodyError, Completion};

/// A body that is complete only if the handler says so, and that fails if the handler writes nothing for too long. If it is
/// dropped before its end, because the client has gone, the process is killed.
///
/// Its end is the last byte of the promised length, or the trailers: hyper does not ask for anything behind them, and drops
/// the body.
pub(super) struct Sent {
    body: Body,
    /// The bytes until the promised length is reached, if a length was promised.
    left: Option<u64>,
    completion: Completion,
    patience: Patience,
    handler: Option<Handler>,
    /// The error that comes next.
    failure: Option<BodyError>,
}

type Next = Option<Result<Frame<Bytes>, BodyError>>;

impl Sent {
    /// A body of this length, if the handler promised one.
    pub(super) fn new(body: Body, length: Option<u64>, completion: Completion, handler: Handler) -> Self {
        Self {
            body,
            left: length,
            completion,
            patience: Patience::new(handler.time()),
            handler: Some(handler),
            failure: None,
        }
    }

    /// Takes what the handler writes without passing it on.
    pub(super) async fn discard(mut self) {
        let Some(time) = self.handler.as_ref().map(Handler::time) else {
            return;
        };
        let all = async { while let Some(Ok(_)) = self.frame().await {} };
        let is_late = timeout(time, all).await.is_err();
        if is_late && let Some(handler) = &self.handler {
            handler.report(&format!("did not finish its answer within {time:?}, and was killed"));
        }
    }

    /// Lets the process continue for some time after the end of the body.
    fn release(&mut self) {
        if let Some(handler) = self.handler.take() {
            handler.release();
        }
    }

    /// Releases the process if this is the last frame.
    fn passes(&mut self, frame: &Frame<Bytes>) {
        if let (Some(left), Some(data)) = (&mut self.left, frame.data_ref()) {
            *left = left.saturating_sub(data.len() as u64);
        }
        if frame.is_trailers() || self.left == Some(0) {
            self.release();
        }
    }

    /// Ends the body with an error, but only when it is polled again: with an error, hyper closes the connection immediately,
    /// and before that it sends what it holds of the answer only if it has to wait.
    fn fail(&mut self, error: BodyError, context: &Context<'_>) -> Poll<Next> {
        self.release();
        self.failure = Some(error);
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl hyper::body::Body for Sent {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Next> {
        if let Some(error) = self.failure.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let frame = Pin::new(&mut self.body).poll_frame(context);
        match self.patience.judge(frame, context) {
            Some(Poll::Ready(None)) if self.completion.is_complete() => {
                self.release();
                Poll::Ready(None)
            }
            Some(Poll::Ready(None)) => self.fail(BodyError::Incomplete, context),
            Some(Poll::Ready(Some(Err(error)))) => self.fail(error, context),
            Some(Poll::Ready(Some(Ok(frame)))) => {
                self.passes(&frame);
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Poll::Pending) => Poll::Pending,
            None => {
                if let Some(handler) = self.handler.take() {
                    let time = handler.time();
                    handler.report(&format!("wrote nothing of its answer for {time:?}, and was killed"));
                }
                Poll::Ready(Some(Err(BodyError::TooSlow)))
            }
        }
    }
}
