//! Waiting in a host function, for another process or until a time.
//!
//! Each wait follows the same steps: try; if it cannot be done now, leave a waiter; block; when woken, take the waiter
//! back and try again. The waiter is taken back however the wait ends, also when the process is killed meanwhile.

use std::future::poll_fn;
use std::ops::Deref;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use lunatic_sys::codes::NO_TIMEOUT;
use wasmtime::Caller;

use crate::clock::TimerId;
use crate::instance::{self, Ctx};
use crate::process::{self, Process};
use crate::shared::Shared;

/// One wait of one process: its timer, if it has one, lives as long as this.
pub(crate) struct Wait<'a> {
    pub(crate) shared: Held<'a, Shared>,
    pub(crate) process: Held<'a, Process>,
    deadline: Option<Deadline>,
    kind: process::Wait,
    what: u64,
}

/// What is kept for as long as the wait: counted, or lent by the caller, which saves the counting.
pub(crate) enum Held<'a, T> {
    Counted(Arc<T>),
    Lent(&'a Arc<T>),
}

impl<T> Deref for Held<'_, T> {
    type Target = Arc<T>;

    fn deref(&self) -> &Arc<T> {
        match self {
            Self::Counted(value) => value,
            Self::Lent(value) => value,
        }
    }
}

struct Deadline {
    due: Instant,
    timer: TimerId,
    /// It is on the system's own clock, which stands still.
    is_paused: bool,
}

impl Wait<'static> {
    /// `kind` and `what` are for reports.
    pub(crate) fn new(caller: &mut Caller<'_, Ctx>, kind: process::Wait, what: u64, timeout_ns: u64) -> Self {
        instance::note_place(&mut *caller);
        let ctx = caller.data();
        let (shared, process) = (ctx.shared.clone(), ctx.process().clone());
        Self::of(Held::Counted(shared), Held::Counted(process), kind, what, timeout_ns)
    }
}

impl<'a> Wait<'a> {
    /// As [`new`](Wait::new), for who needs nothing else of the caller until the wait is over.
    pub(crate) fn lent(caller: &'a mut Caller<'_, Ctx>, kind: process::Wait, what: u64, timeout_ns: u64) -> Self {
        instance::note_place(&mut *caller);
        let ctx = caller.data();
        let (shared, process) = (Held::Lent(&ctx.shared), Held::Lent(ctx.process()));
        Self::of(shared, process, kind, what, timeout_ns)
    }

    fn of(
        shared: Held<'a, Shared>,
        process: Held<'a, Process>,
        kind: process::Wait,
        what: u64,
        timeout_ns: u64,
    ) -> Self {
        let deadline = (timeout_ns != NO_TIMEOUT)
            .then(|| Deadline::new(&shared, &process, timeout_ns))
            .flatten();
        Self {
            shared,
            process,
            deadline,
            kind,
            what,
        }
    }

    /// The time by the clock that the timer is on.
    fn now(&self, deadline: &Deadline) -> Instant {
        if deadline.is_paused {
            self.process.system.time.now()
        } else {
            Instant::now()
        }
    }

    pub(crate) fn is_late(&self) -> bool {
        self.deadline
            .as_ref()
            .is_some_and(|deadline| self.now(deadline) >= deadline.due)
    }
}

impl Deadline {
    /// `None` if the time is too far away to be told: that is as good as never.
    fn new(shared: &Shared, process: &Arc<Process>, timeout_ns: u64) -> Option<Self> {
        let time = &process.system.time;
        let due = time.now().checked_add(Duration::from_nanos(timeout_ns))?;
        Some(Self {
            due,
            timer: time.clock(&shared.clock).set(due, process.clone()),
            is_paused: time.paused().is_some(),
        })
    }
}

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        if let Some(deadline) = &self.deadline {
            let time = &self.process.system.time;
            let clock = if deadline.is_paused {
                time.clock(&self.shared.clock)
            } else {
                &self.shared.clock
            };
            clock.cancel(deadline.timer);
        }
    }
}

/// Blocks once: `enter` leaves a waiter, with the ticket of the former time (`None`: try again at once); `leave` takes it
/// back, told whether the process goes on, and says who is to be woken in its place. False if the time has passed.
pub(crate) async fn until<Ticket: Copy>(
    wait: &Wait<'_>,
    former: &mut Option<Ticket>,
    enter: impl Fn(&Arc<Process>, Option<Ticket>) -> Option<Ticket>,
    leave: impl Fn(Ticket, bool) -> Option<Arc<Process>>,
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

/// Blocks until the process is woken, by whomever.
pub(crate) async fn block(wait: &Wait<'_>) {
    let mut blocked = false;
    poll_fn(|_| {
        if blocked {
            wait.process.set_wait(process::Wait::Outside, 0);
            return Poll::Ready(());
        }
        blocked = true;
        wait.process.set_wait(wait.kind, wait.what);
        Poll::Pending
    })
    .await;
}

/// Takes a waiter back, whatever becomes of the process that left it.
pub(crate) struct Waiter<'a, Leave: FnOnce(bool) -> Option<Arc<Process>>> {
    shared: &'a Shared,
    leave: Option<Leave>,
}

impl<'a, Leave: FnOnce(bool) -> Option<Arc<Process>>> Waiter<'a, Leave> {
    /// `leave` takes it back, told whether the process goes on, and says who is to be woken in its place.
    pub(crate) fn new(wait: &'a Wait<'_>, leave: Leave) -> Self {
        Self {
            shared: &wait.shared,
            leave: Some(leave),
        }
    }

    /// The process was woken and goes on, so it will look whether it can do now what it waits for.
    pub(crate) fn leave(mut self) {
        self.take_back(true);
    }

    /// The same, but the look itself takes the waiter back.
    pub(crate) fn forget(mut self) {
        self.leave = None;
    }

    fn take_back(&mut self, looks: bool) {
        if let Some(next) = self.leave.take().and_then(|leave| leave(looks)) {
            self.shared.scheduler.wake_owned(next);
        }
    }
}

impl<Leave: FnOnce(bool) -> Option<Arc<Process>>> Drop for Waiter<'_, Leave> {
    fn drop(&mut self) {
        self.take_back(false);
    }
}

/// Blocks until the time of `wait` has come; for ever if it has none.
pub(crate) async fn sleep(wait: &Wait<'_>) {
    while !wait.is_late() {
        block(wait).await;
    }
}

/// Blocks until `ended` gives an answer; false if the time has passed first. `ended` registers the process to be woken.
pub(crate) async fn poll_until<T>(wait: &Wait<'_>, mut ended: impl FnMut(&Arc<Process>) -> Option<T>) -> Option<T> {
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
