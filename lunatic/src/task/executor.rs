//! The executor of a process: runs futures until all of them wait, and then waits as a process does.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use super::waits;

/// The number of the future of [`block_on`].
const MAIN: u64 = 0;

thread_local! {
    static EXECUTOR: Executor = Executor::default();
}

#[derive(Default)]
struct Executor {
    ready: Arc<Ready>,
    tasks: RefCell<BTreeMap<u64, Local>>,
    /// The number of the task that was spawned last.
    last: Cell<u64>,
    runs: Cell<bool>,
}

/// The numbers of the tasks that are to be polled. A waker must be `Send`, so this is locked, which costs little where there is
/// one thread.
#[derive(Default)]
struct Ready(Mutex<VecDeque<u64>>);

impl Ready {
    fn push(&self, id: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(id);
    }

    fn pop(&self) -> Option<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// Wakes a task.
struct Alarm {
    id: u64,
    is_ready: AtomicBool,
    ready: Arc<Ready>,
}

impl Alarm {
    fn new(id: u64, ready: &Arc<Ready>) -> Arc<Self> {
        Arc::new(Self {
            id,
            is_ready: AtomicBool::new(false),
            ready: ready.clone(),
        })
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.is_ready.swap(true, Ordering::Relaxed) {
            self.ready.push(self.id);
        }
    }
}

/// A task.
struct Local {
    /// Absent while it is polled.
    future: Option<Pin<Box<dyn Future<Output = ()>>>>,
    alarm: Arc<Alarm>,
}

impl Executor {
    /// Polls a task, unless it has ended.
    fn poll(&self, id: u64) {
        let taken = self.tasks.borrow_mut().get_mut(&id).and_then(|task| {
            task.alarm.is_ready.store(false, Ordering::Relaxed);
            Some((task.future.take()?, task.alarm.clone()))
        });
        let Some((mut future, alarm)) = taken else { return };
        let waker = Waker::from(alarm);
        let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
        let mut tasks = self.tasks.borrow_mut();
        let left = match tasks.get_mut(&id) {
            Some(task) if polled.is_pending() => {
                task.future = Some(future);
                return;
            }
            Some(_) => tasks.remove(&id).and(Some(future)),
            // It was cancelled meanwhile.
            None => Some(future),
        };
        drop(tasks);
        // What it drops may use the executor.
        drop(left);
    }
}

/// Ends the time in which the executor runs.
struct Running<'a>(&'a Executor);

impl<'a> Running<'a> {
    fn begin(executor: &'a Executor) -> Self {
        assert!(
            !executor.runs.replace(true),
            "`block_on` was called inside of `block_on`: await the future instead"
        );
        Self(executor)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.runs.set(false);
    }
}

/// Runs a future to its end, and returns its output. Meanwhile, also the tasks of [`spawn_local`] run.
///
/// The process waits while the future and all tasks wait: other processes run, and the time slice of this one is not used up.
/// Only the futures of this crate wake a process that waits ([`sleep`](super::sleep()),
/// [`Channel::receive_async`](crate::Channel::receive_async), [`Mailbox::receive_async`](crate::Mailbox::receive_async),
/// [`TcpStream::read_async`](crate::net::TcpStream::read_async) and its like), and those that are made of them and of each other: channels, locks and combinators of crates that need no executor of their own.
///
/// Calls that block, such as [`Channel::receive`](crate::Channel::receive) or
/// [`TcpStream::connect`](crate::net::TcpStream::connect), block all futures of the process.
///
/// # Panics
///
/// If it is called by a future that it runs; or if the future waits and nothing can ever wake it, because nothing of this
/// process waits for a time, a channel, the mailbox or a socket.
///
/// # Examples
///
/// ```no_run
/// use std::time::Duration;
///
/// use lunatic::{Channel, task};
///
/// let (orders, results) = (Channel::<u32>::new(0), Channel::<u32>::new(0));
/// task::block_on(async {
///     let both = task::join(orders.receive_async(), results.receive_async());
///     if task::timeout(Duration::from_secs(1), both).await.is_none() {
///         println!("not both have come within a second");
///     }
/// });
/// ```
pub fn block_on<F: Future>(future: F) -> F::Output {
    EXECUTOR.with(|executor| {
        let _running = Running::begin(executor);
        let ready = &executor.ready;
        let alarm = Alarm::new(MAIN, ready);
        let waker = Waker::from(alarm.clone());
        let mut future = pin!(future);
        waker.wake_by_ref();
        loop {
            // Those that become ready meanwhile come after what has happened outside: a task that never waits would delay that.
            for _ in 0..ready.len() {
                match ready.pop() {
                    Some(MAIN) => {
                        alarm.is_ready.store(false, Ordering::Relaxed);
                        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                            return output;
                        }
                    }
                    Some(id) => executor.poll(id),
                    None => break,
                }
            }
            waits::look(ready.len() == 0);
        }
    })
}

/// Whether [`block_on`] runs, which futures of this crate need.
pub(crate) fn check_running() {
    assert!(
        EXECUTOR.with(|executor| executor.runs.get()),
        "a future of lunatic was polled outside of `lunatic::task::block_on`"
    );
}

/// Runs a future beside others in this process, whenever [`block_on`] runs. It is polled for the first time after the caller has
/// waited.
///
/// It shares the memory, the time slice and the fate of the process with the others: if it panics, the process exits. To isolate
/// a computation, spawn a process ([`Task::spawn`](super::Task::spawn)). If the handle is dropped, the future goes on.
///
/// # Examples
///
/// ```no_run
/// use std::time::Duration;
///
/// use lunatic::task;
///
/// let sum = task::block_on(async {
///     let tasks: Vec<_> = (1..=3_u64)
///         .map(|n| task::spawn_local(async move {
///             task::sleep(Duration::from_millis(n)).await;
///             n
///         }))
///         .collect();
///     let mut sum = 0;
///     for task in tasks {
///         sum += task.await;
///     }
///     sum
/// });
/// assert_eq!(sum, 6);
/// ```
pub fn spawn_local<F: Future + 'static>(future: F) -> LocalTask<F::Output> {
    let result = Rc::new(Outcome::default());
    let own = result.clone();
    let future = Box::pin(async move {
        let output = future.await;
        own.output.set(Some(output));
        if let Some(waiter) = own.waiter.take() {
            waiter.wake();
        }
    });
    EXECUTOR.with(|executor| {
        let id = executor.last.get() + 1;
        executor.last.set(id);
        let alarm = Alarm::new(id, &executor.ready);
        let task = Local {
            future: Some(future),
            alarm: alarm.clone(),
        };
        executor.tasks.borrow_mut().insert(id, task);
        alarm.wake_by_ref();
        LocalTask { id, result }
    })
}

/// Where a task leaves its output.
struct Outcome<T> {
    output: Cell<Option<T>>,
    waiter: Cell<Option<Waker>>,
}

impl<T> Default for Outcome<T> {
    fn default() -> Self {
        Self {
            output: Cell::new(None),
            waiter: Cell::new(None),
        }
    }
}

/// A future that [`spawn_local`] runs. As a future, this waits for its output.
#[must_use = "a task runs without its handle, but nobody gets its output"]
pub struct LocalTask<T> {
    id: u64,
    result: Rc<Outcome<T>>,
}

impl<T> LocalTask<T> {
    /// Drops the future, wherever it waits. Returns its output, if it has ended before.
    pub fn cancel(self) -> Option<T> {
        let task = EXECUTOR.with(|executor| executor.tasks.borrow_mut().remove(&self.id));
        // What it drops may use the executor.
        drop(task);
        self.result.output.take()
    }

    /// Whether the future has ended, and its output was not fetched.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        let output = self.result.output.take();
        let is_finished = output.is_some();
        self.result.output.set(output);
        is_finished
    }
}

impl<T> Future for LocalTask<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        match self.result.output.take() {
            Some(output) => Poll::Ready(output),
            None => {
                self.result.waiter.set(Some(context.waker().clone()));
                Poll::Pending
            }
        }
    }
}

impl<T> fmt::Debug for LocalTask<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LocalTask<{}>({})", std::any::type_name::<T>(), self.id)
    }
}
