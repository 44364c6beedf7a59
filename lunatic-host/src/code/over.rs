//! Lets tasks wait until something is over.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;

/// Something that will be over, and the tasks that wait for that.
#[derive(Default)]
pub(super) struct Over(Mutex<State>);

#[derive(Default)]
struct State {
    is_over: bool,
    /// The tasks that wait, by the number of their wait. A waker keeps its process, so it is removed when the wait ends.
    waiting: BTreeMap<u64, Waker>,
    last: u64,
}

impl Over {
    /// It is over: wakes all tasks that wait.
    pub(super) fn set(&self) {
        let waiting = {
            let mut state = self.0.lock();
            state.is_over = true;
            std::mem::take(&mut state.waiting)
        };
        waiting.into_values().for_each(Waker::wake);
    }

    /// Waits until it is over.
    pub(super) fn wait(&self) -> impl Future<Output = ()> + '_ {
        Waiting {
            over: self,
            number: None,
        }
    }
}

/// One wait. It can be dropped before it ends.
struct Waiting<'a> {
    over: &'a Over,
    /// Its number, once it has been polled.
    number: Option<u64>,
}

impl Future for Waiting<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.over.0.lock();
        if state.is_over {
            return Poll::Ready(());
        }
        let number = self.number.unwrap_or_else(|| {
            state.last += 1;
            state.last
        });
        let former = state.waiting.insert(number, context.waker().clone());
        drop(state);
        // Without the lock: it may be the last to keep something.
        drop(former);
        self.number = Some(number);
        Poll::Pending
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let waker = self
            .number
            .and_then(|number| self.over.0.lock().waiting.remove(&number));
        drop(waker);
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn waits_that_end_early_leave_no_waker() {
        let over = Over::default();
        let tasks: Vec<Arc<Task>> = (0..1000).map(|_| Arc::default()).collect();
        for task in &tasks {
            let waker = Waker::from(task.clone());
            let mut wait = pin!(over.wait());
            for _ in 0..2 {
                assert!(wait.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
            }
        }
        assert!(over.0.lock().waiting.is_empty());
        assert!(tasks.iter().all(|task| Arc::strong_count(task) == 1));
    }

    #[test]
    fn who_still_waits_is_woken_once() {
        let over = Over::default();
        let task: Arc<Task> = Arc::default();
        let waker = Waker::from(task.clone());
        let mut context = Context::from_waker(&waker);
        let (mut one, mut other) = (pin!(over.wait()), pin!(over.wait()));
        for _ in 0..2 {
            assert!(one.as_mut().poll(&mut context).is_pending());
            assert!(other.as_mut().poll(&mut context).is_pending());
        }
        over.set();
        assert_eq!(task.0.load(Ordering::Relaxed), 2, "one wake-up for each wait");
        assert!(one.as_mut().poll(&mut context).is_ready());
        assert!(pin!(over.wait()).as_mut().poll(&mut context).is_ready());
    }
}
