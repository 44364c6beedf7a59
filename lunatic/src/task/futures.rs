//! Futures: sleeping, and waiting for two things.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use super::waits::Wait;

/// Waits for at least `duration`, inside of [`block_on`](super::block_on). A duration that is too long to be represented never
/// ends.
pub fn sleep(duration: Duration) -> Sleep {
    Sleep {
        due: Instant::now().checked_add(duration),
        wait: Wait::default(),
    }
}

/// Waits until a time, inside of [`block_on`](super::block_on).
pub fn sleep_until(due: Instant) -> Sleep {
    Sleep {
        due: Some(due),
        wait: Wait::default(),
    }
}

/// The future of [`sleep`] and [`sleep_until`].
#[must_use = "a future does nothing before it is awaited"]
pub struct Sleep {
    /// `None` is never.
    due: Option<Instant>,
    wait: Wait,
}

/// About a hundred years: as good as never.
const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let now = Instant::now();
        let due = *self.due.get_or_insert(now + NEVER);
        if due <= now {
            return Poll::Ready(());
        }
        self.wait.until(due, context.waker());
        Poll::Pending
    }
}

impl std::fmt::Debug for Sleep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sleep").field("due", &self.due).finish_non_exhaustive()
    }
}

/// Waits for a future, for at most `limit`. After that, the future is dropped, and the result is `None`.
pub async fn timeout<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    match select(future, sleep(limit)).await {
        Either::First(output) => Some(output),
        Either::Second(()) => None,
    }
}

/// Waits for both of two futures.
pub async fn join<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
    let (mut a, mut b) = (pin!(a), pin!(b));
    let (mut first, mut second) = (None, None);
    poll_fn(|context| {
        if first.is_none()
            && let Poll::Ready(output) = a.as_mut().poll(context)
        {
            first = Some(output);
        }
        if second.is_none()
            && let Poll::Ready(output) = b.as_mut().poll(context)
        {
            second = Some(output);
        }
        match (first.take(), second.take()) {
            (Some(first), Some(second)) => Poll::Ready((first, second)),
            (one, other) => {
                (first, second) = (one, other);
                Poll::Pending
            }
        }
    })
    .await
}

/// The output of one of two futures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Either<A, B> {
    /// That of the first one.
    First(A),
    /// That of the second one.
    Second(B),
}

/// Waits for one of two futures, and drops the other one. If both are ready, it is the first.
pub async fn select<A: Future, B: Future>(a: A, b: B) -> Either<A::Output, B::Output> {
    let (mut a, mut b) = (pin!(a), pin!(b));
    poll_fn(|context| {
        if let Poll::Ready(output) = a.as_mut().poll(context) {
            return Poll::Ready(Either::First(output));
        }
        b.as_mut().poll(context).map(Either::Second)
    })
    .await
}
