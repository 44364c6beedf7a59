//! Waits during which the stack of a process can be inspected.
//!
//! Only code that runs on the stack of a process can walk it. So to inspect a waiting process, a thread polls its
//! coroutine, as a worker would ([`Runner::look`](super::Runner::look)). The wait notices this, records the stack, and
//! stays pending. What it waits for is not polled, so nobody is woken, nothing is received, and its position and
//! deadline are kept.

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

// SAFETY: the values in a `Ctx` need not be `Sync`, so a thread must not use a reference to the caller while another
// uses the caller. None does: a `Here` stays in the coroutine of the process, whose stack also contains the caller, and
// only one thread polls the coroutine at a time. A `Here` moves between threads only with the whole coroutine, which is
// `Send`.
unsafe impl Send for Here<'_> {}

impl<'a> Here<'a> {
    pub(crate) fn of(caller: &'a Caller<'_, Ctx>) -> Self {
        let seat = &caller.data().seat;
        Self { caller, seat }
    }

    /// Waits for `future`, and shows the stack to a thread that inspects it meanwhile.
    pub(crate) fn show<F: Future>(self, future: F) -> Shown<'a, F> {
        Shown { here: self, future }
    }

    #[cold]
    fn write_down(self) {
        self.seat.show(WasmBacktrace::capture(self.caller));
    }
}

/// A wait that can be inspected.
///
/// Not an `async` block, which would move the future once more, to another place.
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
