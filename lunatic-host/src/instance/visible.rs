//! Waits in which the stack of a process can be seen.
//!
//! Only code that runs on the stack of a process can walk it. So whoever looks at a process that waits polls its coroutine, as a
//! worker would ([`Runner::look`](super::Runner::look)). The wait sees that it is looked at, writes down the stack, and stays
//! pending: what it waits for is not polled, so nobody is woken, nothing is received, and its place and its deadline stay.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use wasmtime::{Caller, WasmBacktrace};

use super::Ctx;

/// A call of a host function that shows the stack while it waits.
#[derive(Clone, Copy)]
pub(crate) struct Here<'a>(&'a Caller<'a, Ctx>);

// SAFETY: what a `Ctx` keeps need not be `Sync`, so a reference to the caller must not be used by a thread while another uses the
// caller. It is not: a `Here` stays in the coroutine of the process, whose stack has the caller as well, and whoever polls the
// coroutine has all of that alone. It goes from thread to thread only with the whole coroutine, which is `Send`.
unsafe impl Send for Here<'_> {}

impl<'a> Here<'a> {
    pub(crate) fn of(caller: &'a Caller<'_, Ctx>) -> Self {
        Self(caller)
    }

    /// Waits for `future`, and shows the stack to whoever looks meanwhile.
    pub(crate) async fn show<F: Future>(self, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(move |context| self.poll(future.as_mut(), context)).await
    }

    fn poll<F: Future>(self, future: Pin<&mut F>, context: &mut Context<'_>) -> Poll<F::Output> {
        let seat = &self.0.data().seat;
        if seat.is_looked_at() {
            seat.show(WasmBacktrace::capture(self.0));
            return Poll::Pending;
        }
        let polled = future.poll(context);
        seat.set_visible(polled.is_pending());
        polled
    }
}
