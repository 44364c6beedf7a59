//! Waiting in a host function, for another process or until a time.
//!
//! Each wait follows the same steps: try; if it cannot be done now, leave a waiter; block; when woken, take the waiter
//! back and try again. The waiter is taken back however the wait ends, also when the process is killed meanwhile.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use lunatic_sys::codes::NO_TIMEOUT;
use wasmtime::Caller;

use crate::clock::TimerId;
use crate::instance::{self, Ctx};
use crate::process::{self, Process};
use crate::runtime::Shared;

/// One wait of one process: its timer, if it has one, lives as long as this.
pub(crate) struct Wait {
    pub(crate) shared: Arc<Shared>,
    pub(crate) process: Arc<Process>,
    deadline: Option<Deadline>,
    kind: process::Wait,
    what: u64,
}

struct Deadline {
    due: Instant,
    timer: TimerId,
    /// It is on the system's own clock, which stands still.
    is_paused: bool,
}

impl Wait {
    /// `kind` and `what` are for reports.
    pub(crate) fn new(caller: &mut Caller<'_, Ctx>, kind: process::Wait, what: u64, timeout_ns: u64) -> Self {
        instance::note_place(&mut *caller);
        let ctx = caller.data();
        let (shared, process) = (ctx.shared.clone(), ctx.process().clone());
        let time = &process.system.time;
        // A time that is too far away to be told is as good as never.
        let due = (timeout_ns != NO_TIMEOUT).then(|| time.now().checked_add(Duration::from_nanos(timeout_ns)));
        let deadline = due.flatten().map(|due| Deadline {
            due,
            timer: time.clock(&shared.clock).set(due, process.clone()),
            is_paused: time.paused().is_some(),
        });
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

impl Drop for Wait {
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
    wait: &Wait,
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
    let mut waiter = Waiter {
        wait,
        ticket,
        leave,
        looks: false,
    };
    block(wait).await;
    waiter.looks = true;
    true
}

/// Blocks until the process is woken, by whomever.
pub(crate) async fn block(wait: &Wait) {
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

struct Waiter<'a, Ticket: Copy, Leave: Fn(Ticket, bool) -> Option<Arc<Process>>> {
    wait: &'a Wait,
    ticket: Ticket,
    leave: Leave,
    /// The process was woken and goes on, so it will look whether it can do now what it waits for.
    looks: bool,
}

impl<Ticket: Copy, Leave: Fn(Ticket, bool) -> Option<Arc<Process>>> Drop for Waiter<'_, Ticket, Leave> {
    fn drop(&mut self) {
        if let Some(next) = (self.leave)(self.ticket, self.looks) {
            self.wait.shared.scheduler.wake(&next);
        }
    }
}

/// Blocks until the time of `wait` has come; for ever if it has none.
pub(crate) async fn sleep(wait: &Wait) {
    while !wait.is_late() {
        block(wait).await;
    }
}

/// Blocks until `ended` gives an answer; false if the time has passed first. `ended` registers the process to be woken.
pub(crate) async fn poll_until<T>(wait: &Wait, mut ended: impl FnMut(&Arc<Process>) -> Option<T>) -> Option<T> {
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
