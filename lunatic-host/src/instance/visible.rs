//! Waits in which the stack of a process can be seen.
//!
//! Only code that runs on the stack of a process can walk it. So whoever looks at a process that waits polls its coroutine, as a
//! worker would ([`Runner::look`](super::Runner::look)). The wait sees that it is looked at, writes down the stack, and stays
//! pending: what it waits for is not polled, so nobody is woken, nothing is received, and its place and its deadline stay.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use wasmtime::{Caller, WasmBacktrace};

use super::Ctx;
use super::seat::Seat;

/// A call of a host function that shows the stack while it waits.
#[derive(Clone, Copy)]
pub(crate) struct Here<'a> {
    caller: &'a Caller<'a, Ctx>,
    seat: &'a Seat,
}

// SAFETY: what a `Ctx` keeps need not be `Sync`, so a reference to the caller must not be used by a thread while another uses the
// caller. It is not: a `Here` stays in the coroutine of the process, whose stack has the caller as well, and whoever polls the
// coroutine has all of that alone. It goes from thread to thread only with the whole coroutine, which is `Send`.
unsafe impl Send for Here<'_> {}

impl<'a> Here<'a> {
    pub(crate) fn of(caller: &'a Caller<'_, Ctx>) -> Self {
        let seat = &caller.data().seat;
        Self { caller, seat }
    }

    /// Waits for `future`, and shows the stack to whoever looks meanwhile.
    pub(crate) fn show<F: Future>(self, future: F) -> Shown<'a, F> {
        Shown { here: self, future }
    }

    #[cold]
    fn write_down(self) {
        self.seat.show(WasmBacktrace::capture(self.caller));
    }
}

/// A wait that is seen.
///
/// Not an `async` block: that would move the future once more, into a place of its own.
pub(crate) struct Shown<'a, F> {
    here: Here<'a>,
    future: F,
}

impl<F: Future> Future for Shown<'_, F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        // SAFETY: nothing is moved out of it.
        let this = unsafe { self.get_unchecked_mut() };
        let here = this.here;
        if here.seat.is_looked_at() {
            here.write_down();
            return Poll::Pending;
        }
        // SAFETY: it is pinned as long as `self` is: nobody moves it, there is no `Drop`, and `Shown` is `Unpin` only if it is.
        let polled = unsafe { Pin::new_unchecked(&mut this.future) }.poll(context);
        here.seat.set_visible(polled.is_pending());
        polled
    }
}
