//! How long the host waits while nothing happens.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Sleep, sleep};

/// A limit for each wait, which begins when something is asked for that is not there yet, and ends when it is taken. Between
/// two waits, no time counts; within one, all does, even if nobody asks again for a while.
#[derive(Debug)]
pub(crate) struct Patience {
    limit: Duration,
    /// Begins with the wait.
    end: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    pub(crate) fn new(limit: Duration) -> Self {
        Self { limit, end: None }
    }

    /// Must be called with what the other side did: `Pending` begins or continues a wait. Returns `None` if the wait has
    /// lasted too long; otherwise the task is woken when it will have.
    pub(crate) fn judge<T>(&mut self, done: Poll<T>, context: &mut Context<'_>) -> Option<Poll<T>> {
        if done.is_ready() {
            self.end = None;
            return Some(done);
        }
        let limit = self.limit;
        let end = self.end.get_or_insert_with(|| Box::pin(sleep(limit)));
        end.as_mut().poll(context).is_pending().then_some(Poll::Pending)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn each_wait_has_its_own_limit() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let entered = runtime.enter();
        let mut context = Context::from_waker(Waker::noop());
        let mut patient = Patience::new(Duration::from_secs(3600));
        assert_eq!(patient.judge(Poll::<()>::Pending, &mut context), Some(Poll::Pending));
        assert_eq!(patient.judge(Poll::Ready(1), &mut context), Some(Poll::Ready(1)));
        assert!(patient.end.is_none());
        let mut impatient = Patience::new(Duration::ZERO);
        assert_eq!(impatient.judge(Poll::Ready(1), &mut context), Some(Poll::Ready(1)));
        drop(entered);
        runtime.block_on(std::future::poll_fn(|context| {
            match impatient.judge(Poll::<()>::Pending, context) {
                Some(_) => Poll::Pending,
                None => Poll::Ready(()),
            }
        }));
    }
}
