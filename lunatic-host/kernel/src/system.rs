//! Systems: a main process and its descendants, and how they end together.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::address::Id;
use crate::budget::Budget;
use crate::environment::Environment;
use crate::exit::ExitReason;
use crate::host::Host;
use crate::process::Process;
use crate::stop::Stop;
use crate::time::Time;

/// A main process and its descendants. It ends when the main process ends, or in an orderly stop a little later.
pub struct System<H: Host> {
    /// What the host keeps for it.
    pub data: H::System,
    /// The time for its processes.
    pub time: Time<Arc<Process<H>>>,
    /// The host's budget for everything that it keeps for processes.
    pub(crate) host: Arc<Budget>,
    main: OnceLock<Id>,
    /// The main process has ended or is about to: no other process of the system runs any more.
    over: AtomicBool,
    pub(crate) stop: Stop,
    /// How many outside may still send to its processes.
    senders: AtomicUsize,
    exit: Mutex<Exit>,
    ended: Condvar,
}

/// How a system ended, and the tasks that wait for this.
#[derive(Default)]
struct Exit {
    reason: Option<ExitReason>,
    wakers: Vec<Waker>,
}

impl<H: Host> System<H> {
    pub(crate) fn new(data: H::System, machine: Arc<dyn Environment>, host: Arc<Budget>) -> Arc<Self> {
        Arc::new(Self {
            data,
            time: Time::new(machine),
            host,
            main: OnceLock::new(),
            over: AtomicBool::new(false),
            stop: Stop::default(),
            senders: AtomicUsize::new(0),
            exit: Mutex::default(),
            ended: Condvar::new(),
        })
    }

    /// Returns the main process, once there is one.
    pub fn main(&self) -> Option<Id> {
        self.main.get().copied()
    }

    pub(crate) fn set_main(&self, id: Id) {
        // A system is given one main process, before anyone else knows it.
        let _ = self.main.set(id);
    }

    /// Returns whether this is the main process.
    pub fn is_main(&self, id: Id) -> bool {
        self.main.get() == Some(&id)
    }

    /// Returns whether the main process has ended or is about to.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }

    /// From now on, no process of the system runs.
    pub(crate) fn set_over(&self) {
        self.over.store(true, Ordering::Release);
    }

    /// Called when a process is about to end. If it is the main process, the others do not run from now on: they would
    /// only see the main process's channels close. In an orderly stop they continue, to end in order.
    pub fn process_ends(&self, id: Id) {
        if self.is_main(id) && !self.stop.is_asked_for() {
            self.set_over();
        }
    }

    /// Ends the system with this reason, unless it has ended.
    pub fn end(&self, reason: ExitReason) {
        self.set_over();
        let wakers = {
            let mut exit = self.exit.lock();
            exit.reason.get_or_insert(reason);
            std::mem::take(&mut exit.wakers)
        };
        self.ended.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Returns how the system ended, if it has.
    pub fn exit_reason(&self) -> Option<ExitReason> {
        self.exit.lock().reason.clone()
    }

    /// Returns how the system ended; if it has not, the task of `context` is woken when it does.
    pub fn poll_ended(&self, context: &Context<'_>) -> Poll<ExitReason> {
        let mut exit = self.exit.lock();
        if let Some(reason) = &exit.reason {
            return Poll::Ready(reason.clone());
        }
        if !exit.wakers.iter().any(|waker| waker.will_wake(context.waker())) {
            exit.wakers.push(context.waker().clone());
        }
        Poll::Pending
    }

    /// Records that someone outside may send to the system's processes from now on: it is then no deadlock if all of
    /// them wait.
    pub fn add_sender(&self) {
        self.senders.fetch_add(1, Ordering::SeqCst);
    }

    /// Undoes [`add_sender`](Self::add_sender). `Kernel::wake_spare` then makes a worker check whether the waiting
    /// processes wait for each other.
    pub fn remove_sender(&self) {
        self.senders.fetch_sub(1, Ordering::SeqCst);
    }

    /// Returns whether anyone outside may send to its processes.
    pub fn has_senders(&self) -> bool {
        self.senders.load(Ordering::SeqCst) > 0
    }

    /// Waits until the system has ended, and returns how.
    pub fn wait(&self) -> ExitReason {
        let mut exit = self.exit.lock();
        loop {
            if let Some(reason) = &exit.reason {
                return reason.clone();
            }
            self.ended.wait(&mut exit);
        }
    }

    /// [`wait`](Self::wait) until `deadline`. `None` if the system has not ended by then.
    pub fn wait_until(&self, deadline: Instant) -> Option<ExitReason> {
        let mut exit = self.exit.lock();
        while exit.reason.is_none() {
            if self.ended.wait_until(&mut exit, deadline).timed_out() {
                break;
            }
        }
        exit.reason.clone()
    }

    /// [`wait`](Self::wait) until `timeout` has passed since `now`; forever, if that time is not representable.
    pub fn wait_timeout(&self, now: Instant, timeout: Duration) -> Option<ExitReason> {
        match now.checked_add(timeout) {
            Some(deadline) => self.wait_until(deadline),
            None => Some(self.wait()),
        }
    }
}
