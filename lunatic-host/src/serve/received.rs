//! The body of a request, from a client that may stop sending.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming};

use crate::patience::Patience;
use crate::request::BodyError;

/// A body that ends with an error if the client sends nothing for too long while the handler waits.
pub(super) struct Received {
    body: Incoming,
    patience: Patience,
}

impl Received {
    pub(super) fn new(body: Incoming, limit: Duration) -> Self {
        Self {
            body,
            patience: Patience::new(limit),
        }
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        match self.patience.judge(frame, context) {
            Some(frame) => frame.map(|frame| frame.map(|frame| frame.map_err(|_| BodyError::Gone))),
            None => Poll::Ready(Some(Err(BodyError::TooSlow))),
        }
    }
}
