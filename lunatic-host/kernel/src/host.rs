//! The side above the kernel: what runs processes, and what happens around them.

use std::any::Any;
use std::sync::Arc;
use std::thread::LocalKey;

use crate::address::Id;
use crate::budget::Budget;
use crate::exit::ExitReason;
use crate::kernel::Kernel;
use crate::process::{Process, WaitFor};
use crate::scheduler::Place;
use crate::system::System;

/// Who embeds a kernel: gives processes something that runs them, and is told what becomes of them.
///
/// All functions are called by workers, but for [`tick`](Self::tick), which the clock calls. None may wait for a process.
pub trait Host: Sized + Send + Sync + 'static {
    /// What runs processes.
    type Body: Body<Self>;
    /// How a process begins.
    type Entry: Send + 'static;
    /// What the host keeps with each process for its whole life.
    type Local: Local;
    /// What belongs to a process and goes when it ends: kept behind the lock that decides whether the process is alive, so
    /// that nothing can be given to a process that has ended.
    type Belongings: Default + Send;
    /// What the host keeps with each system.
    type System: Send + Sync;
    /// The bodies that a worker keeps to use them again.
    type Pool: Default;

    /// What a thread has of the worker that it is: a thread-local of the host's own, that begins as [`Place::new`].
    fn place() -> &'static LocalKey<Place<Process<Self>>>;

    /// A body for a process that is about to run for the first time.
    fn body(kernel: &Arc<Kernel<Self>>, pool: &mut Self::Pool, process: &Arc<Process<Self>>) -> Self::Body;

    /// A body whose process has ended can take another.
    fn keep(&self, pool: &mut Self::Pool, body: Self::Body);

    /// What stands in the way of another process, in words, if the machine has run out of something.
    fn shortage(&self, _kernel: &Kernel<Self>) -> Option<Arc<str>> {
        None
    }

    /// A process that has waited for some time was woken by this worker, which runs it as soon as what runs now waits: what the
    /// process needs may be fetched into the cache meanwhile.
    fn expect_run(_process: &Process<Self>) {}

    /// A process is about to block; its body has not been put aside yet.
    fn suspends(&self, _process: &Arc<Process<Self>>, _body: &mut Self::Body, _wait: WaitFor) {}

    /// A process has blocked, or is about to, and its body has been put aside.
    fn suspended(&self, _process: &Arc<Process<Self>>) {}

    /// A process has ended: gives up what belonged to it. Nobody has been told of the end.
    fn ended(&self, _kernel: &Kernel<Self>, _process: &Process<Self>, _belongings: Self::Belongings) {}

    /// How many things belong to a process: about how many steps [`ended`](Self::ended) takes for them.
    fn count(_belongings: &Self::Belongings) -> usize {
        0
    }

    /// A signal or its budget has ended a process. Its body is gone, and nobody has been told.
    fn was_ended(&self, _process: &Process<Self>, _reason: &ExitReason) {}

    /// Whether messages for the processes of a system that begins come from outside, as from the start: that all of them
    /// wait is no deadlock then.
    fn is_sent_to(_system: &Self::System) -> bool {
        false
    }

    /// A body panicked with this payload: the reason that others see.
    fn panicked(&self, process: &Process<Self>, payload: &(dyn Any + Send)) -> ExitReason;

    /// A body could not be dropped, because that panicked.
    fn left_behind(&self, payload: &(dyn Any + Send));

    /// A time slice has ended; it was the `slice`th. Makes processes that run give way.
    fn tick(&self, _slice: u64) {}

    /// A worker has nothing to run: does something useful for a while, or says that there is nothing.
    fn spare(_kernel: &Arc<Kernel<Self>>) -> bool {
        false
    }

    /// No worker has anything to do.
    fn idle(&self) {}

    /// The report of a system of which each process waits for another one.
    fn deadlock(&self, kernel: &Kernel<Self>, system: &System<Self>, waiting: Vec<(Id, WaitFor, Id)>) -> String;

    /// Calls `run`, the loop of a worker, with whatever the worker's thread needs around it.
    fn on_worker(&self, _number: usize, run: &mut dyn FnMut()) {
        run();
    }
}

/// What runs one process, and another one after its end: an instance of WebAssembly, or a Rust closure.
pub trait Body<H: Host>: Send {
    /// Seats a process that has not run yet.
    fn assign(&mut self, process: Arc<Process<H>>, entry: H::Entry);

    /// Runs `process`, which is in the seat, and those that follow it, until one blocks, is preempted or ends. `slice` is the
    /// number of the time slice in which that begins.
    fn run(&mut self, kernel: &Arc<Kernel<H>>, process: Arc<Process<H>>, slice: u64) -> Progress<H>;

    /// The process in the seat, if there is one.
    fn current(&self) -> Option<Arc<Process<H>>>;
}

/// How it stands with a body after it has run for a while.
pub enum Progress<H: Host> {
    /// The process waits for something.
    Blocked(Arc<Process<H>>),
    /// The process used up its time slice, or gave it up.
    Preempted(Arc<Process<H>>),
    /// The process has ended, the body can take another.
    Idle,
    /// The process has ended, and the body with it.
    Over,
}

/// What the kernel asks of what the host keeps with a process.
pub trait Local: Send + Sync + 'static {
    /// How many entries its mailbox holds at most; signals come in addition.
    fn mailbox_max(&self) -> usize {
        usize::MAX
    }

    /// What it and others may use together.
    fn budget(&self) -> Option<&Arc<Budget>> {
        None
    }
}

impl Local for () {}
