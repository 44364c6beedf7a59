//! Waits inside a body, for another process or until a time: futures that a body polls when a worker runs it.
//!
//! Each wait follows the same steps: try; if that is not possible now, leave a waiter; block; when woken, withdraw the
//! waiter and try again. The waiter is withdrawn however the wait ends, even if the process is killed meanwhile.

use std::future::{Future, poll_fn};
use std::ops::Deref;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use lunatic_sys::codes::NO_TIMEOUT;

use crate::address::Id;
use crate::clock::TimerId;
use crate::host::Host;
use crate::kernel::Kernel;
use crate::process::{Process, WaitFor};

/// One wait of a process. Its timer, if there is one, lives as long as this value.
pub struct Wait<'a, H: Host> {
    /// The kernel of the process.
    pub kernel: Held<'a, Kernel<H>>,
    /// The process that waits.
    pub process: Held<'a, Process<H>>,
    deadline: Option<Deadline>,
    kind: WaitFor,
    what: Id,
}

/// Something that is kept for as long as the wait: owned, or borrowed from the caller, which saves reference counting.
pub enum Held<'a, T> {
    /// A separate reference.
    Owned(Arc<T>),
    /// The caller's reference.
    Borrowed(&'a Arc<T>),
}

impl<T> Deref for Held<'_, T> {
    type Target = Arc<T>;

    fn deref(&self) -> &Arc<T> {
        match self {
            Self::Owned(value) => value,
            Self::Borrowed(value) => value,
        }
    }
}

struct Deadline {
    due: Instant,
    timer: TimerId,
    /// Whether it is on the system's own clock, which is paused.
    is_paused: bool,
}

impl<'a, H: Host> Wait<'a, H> {
    /// Begins a wait of `process` that gives up after `timeout_ns` nanoseconds; [`NO_TIMEOUT`] means never. `kind` and
    /// `what` are for reports.
    pub fn new(
        kernel: Held<'a, Kernel<H>>,
        process: Held<'a, Process<H>>,
        kind: WaitFor,
        what: Id,
        timeout_ns: u64,
    ) -> Self {
        let deadline = (timeout_ns != NO_TIMEOUT)
            .then(|| Deadline::new(&kernel, &process, timeout_ns))
            .flatten();
        Self {
            kernel,
            process,
            deadline,
            kind,
            what,
        }
    }

    /// [`new`](Self::new), but by the clock of the machine, even if the time of the system is paused.
    pub fn by_machine(
        kernel: Held<'a, Kernel<H>>,
        process: Held<'a, Process<H>>,
        kind: WaitFor,
        what: Id,
        timeout: Duration,
    ) -> Self {
        let mut wait = Self::new(kernel, process, kind, what, NO_TIMEOUT);
        // A time too far away to be represented is as good as never.
        let due = wait.kernel.now().checked_add(timeout);
        wait.deadline = due.map(|due| Deadline {
            due,
            timer: wait.kernel.clock.set(due, wait.process.clone()),
            is_paused: false,
        });
        wait
    }

    /// The time by the clock that the timer is on.
    fn now(&self, deadline: &Deadline) -> Instant {
        if deadline.is_paused {
            self.process.system.time.now()
        } else {
            self.kernel.now()
        }
    }

    /// Returns the time that is left, in nanoseconds, as a timeout for another wait.
    pub fn rest_ns(&self) -> u64 {
        let Some(deadline) = &self.deadline else {
            return NO_TIMEOUT;
        };
        let rest = deadline.due.saturating_duration_since(self.now(deadline));
        // A timeout has at most so many.
        u64::try_from(rest.as_nanos()).unwrap_or(NO_TIMEOUT)
    }

    /// Returns whether the time has passed.
    pub fn is_late(&self) -> bool {
        self.deadline
            .as_ref()
            .is_some_and(|deadline| self.now(deadline) >= deadline.due)
    }
}

impl Deadline {
    /// `None` if the time is not representable, which is as good as never.
    fn new<H: Host>(kernel: &Kernel<H>, process: &Arc<Process<H>>, timeout_ns: u64) -> Option<Self> {
        // Asked once: the time may be paused meanwhile, and a sleeper of one clock is not woken by the other.
        let paused = process.system.time.paused();
        let (now, clock) = match paused {
            Some(paused) => (paused.now(), paused.clock()),
            None => (kernel.now(), &kernel.clock),
        };
        let due = now.checked_add(Duration::from_nanos(timeout_ns))?;
        Some(Self {
            due,
            timer: clock.set(due, process.clone()),
            is_paused: paused.is_some(),
        })
    }
}

impl<H: Host> Drop for Wait<'_, H> {
    fn drop(&mut self) {
        if let Some(deadline) = &self.deadline {
            let time = &self.process.system.time;
            let clock = if deadline.is_paused {
                time.clock(&self.kernel.clock)
            } else {
                &self.kernel.clock
            };
            clock.cancel(deadline.timer);
        }
    }
}

/// Blocks once. `enter` leaves a waiter, with the ticket of the former time, and returns `None` to try again
/// immediately. `leave` withdraws it; its argument is whether the process continues, and it returns the process to wake in its
/// place. Returns false if the time has passed.
pub async fn until<H: Host, Ticket: Copy>(
    wait: &Wait<'_, H>,
    former: &mut Option<Ticket>,
    enter: impl Fn(&Arc<Process<H>>, Option<Ticket>) -> Option<Ticket>,
    leave: impl Fn(Ticket, bool) -> Option<Arc<Process<H>>>,
) -> bool {
    if wait.is_late() {
        return false;
    }
    let Some(ticket) = enter(&wait.process, *former) else {
        return true;
    };
    *former = Some(ticket);
    let waiter = Waiter::new(wait, |looks| leave(ticket, looks));
    block(wait).await;
    waiter.leave();
    true
}

/// Blocks until the process is woken, for any reason.
pub async fn block<H: Host>(wait: &Wait<'_, H>) {
    let mut blocked = false;
    poll_fn(|_| {
        if blocked {
            wait.process.set_wait(WaitFor::Outside, Id::NONE);
            return Poll::Ready(());
        }
        blocked = true;
        wait.process.set_wait(wait.kind, wait.what);
        Poll::Pending
    })
    .await;
}

/// Blocks until `future` is ready, which wakes the process by itself. Ignores the timeout of `wait`.
pub async fn ready<H: Host, F: Future>(wait: &Wait<'_, H>, future: F) -> F::Output {
    let mut future = pin!(future);
    poll_fn(|context| {
        let polled = future.as_mut().poll(context);
        let (kind, what) = match polled {
            Poll::Ready(_) => (WaitFor::Outside, Id::NONE),
            Poll::Pending => (wait.kind, wait.what),
        };
        wait.process.set_wait(kind, what);
        polled
    })
    .await
}

/// Withdraws a waiter, whatever happens to the process that left it.
pub struct Waiter<'a, H: Host, Leave: FnOnce(bool) -> Option<Arc<Process<H>>>> {
    kernel: &'a Kernel<H>,
    leave: Option<Leave>,
}

impl<'a, H: Host, Leave: FnOnce(bool) -> Option<Arc<Process<H>>>> Waiter<'a, H, Leave> {
    /// `leave` withdraws it; its argument is whether the process continues, and it returns the process to wake in its place.
    pub fn new(wait: &'a Wait<'_, H>, leave: Leave) -> Self {
        Self {
            kernel: &wait.kernel,
            leave: Some(leave),
        }
    }

    /// Called when the process was woken and continues, so that it will try again.
    pub fn leave(mut self) {
        self.take_back(true);
    }

    /// The same, if the attempt itself withdraws the waiter.
    pub fn forget(mut self) {
        self.leave = None;
    }

    fn take_back(&mut self, looks: bool) {
        if let Some(next) = self.leave.take().and_then(|leave| leave(looks)) {
            self.kernel.scheduler.wake_owned(next);
        }
    }
}

impl<H: Host, Leave: FnOnce(bool) -> Option<Arc<Process<H>>>> Drop for Waiter<'_, H, Leave> {
    fn drop(&mut self) {
        self.take_back(false);
    }
}

/// Blocks until the timeout of `wait`; forever if it has none.
pub async fn sleep<H: Host>(wait: &Wait<'_, H>) {
    while !wait.is_late() {
        block(wait).await;
    }
}

/// Blocks until `ended` returns a value; returns false if the time has passed first. `ended` registers the process to
/// be woken.
pub async fn poll_until<H: Host, T>(
    wait: &Wait<'_, H>,
    mut ended: impl FnMut(&Arc<Process<H>>) -> Option<T>,
) -> Option<T> {
    loop {
        if let Some(answer) = ended(&wait.process) {
            return Some(answer);
        }
        if wait.is_late() {
            return None;
        }
        block(wait).await;
    }
}
