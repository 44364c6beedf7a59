//! The interface to the embedder of the kernel: what runs processes, and callbacks.

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

/// The embedder of a kernel: provides what runs processes, and is notified of what happens to them.
///
/// Workers call all functions except [`tick`](Self::tick), which the clock calls. None of them may wait for a process.
pub trait Host: Sized + Send + Sync + 'static {
    /// What runs processes.
    type Body: Body<Self>;
    /// How a process begins.
    type Entry: Send + 'static;
    /// What the host keeps with each process for its whole life.
    type Local: Local;
    /// What belongs to a process and is released when it ends. It is kept behind the lock that decides whether the
    /// process is alive, so that nothing can be given to a process that has ended.
    type Belongings: Default + Send;
    /// What the host keeps with each system.
    type System: Send + Sync;
    /// The bodies that a worker keeps for reuse.
    type Pool: Default;

    /// Returns what a thread keeps as a worker: a thread-local of the host, which begins as [`Place::new`].
    fn place() -> &'static LocalKey<Place<Process<Self>>>;

    /// Returns a body for a process that is about to run for the first time.
    fn body(kernel: &Arc<Kernel<Self>>, pool: &mut Self::Pool, process: &Arc<Process<Self>>) -> Self::Body;

    /// Keeps a body whose process has ended, and which can take another.
    fn keep(&self, pool: &mut Self::Pool, body: Self::Body);

    /// Returns what prevents another process, in words, if the machine has run out of something.
    fn shortage(&self, _kernel: &Kernel<Self>) -> Option<Arc<str>> {
        None
    }

    /// Called when this worker has woken a process that has waited for some time, and that will run as soon as the
    /// current one waits: the data that it needs can be prefetched into the cache.
    fn expect_run(_process: &Process<Self>) {}

    /// Called when a process is about to block, before its body is put aside.
    fn suspends(&self, _process: &Arc<Process<Self>>, _body: &mut Self::Body, _wait: WaitFor) {}

    /// Called when a process has blocked or is about to, after its body has been put aside.
    fn suspended(&self, _process: &Arc<Process<Self>>) {}

    /// Called when a process has ended, before anyone is notified: releases what belonged to it.
    fn ended(&self, _kernel: &Kernel<Self>, _process: &Process<Self>, _belongings: Self::Belongings) {}

    /// Returns the number of belongings of a process: approximately the number of steps that [`ended`](Self::ended)
    /// takes for them.
    fn count(_belongings: &Self::Belongings) -> usize {
        0
    }

    /// Called when a signal or the budget has ended a process, whose body is gone, before anyone is notified.
    fn was_ended(&self, _process: &Process<Self>, _reason: &ExitReason) {}

    /// Returns whether processes of a new system may receive messages from outside: it is then no deadlock if all of
    /// them wait.
    fn is_sent_to(_system: &Self::System) -> bool {
        false
    }

    /// Called when a body has panicked with this payload; returns the exit reason that others see.
    fn panicked(&self, process: &Process<Self>, payload: &(dyn Any + Send)) -> ExitReason;

    /// Called when a body could not be dropped, because that panicked.
    fn left_behind(&self, payload: &(dyn Any + Send));

    /// Returns the budget of a whole system, if it has one.
    fn budget_of(_system: &Self::System) -> Option<&Arc<Budget>> {
        None
    }

    /// Called at the end of each time slice, which was the `slice`th. Makes running processes yield.
    fn tick(&self, _slice: u64) {}

    /// Called when a worker has nothing to run: does useful work for a while, or returns false if there is none.
    fn spare(_kernel: &Arc<Kernel<Self>>) -> bool {
        false
    }

    /// Called when no worker has anything to do.
    fn idle(&self) {}

    /// Returns the report of a system in which every process waits for another.
    fn deadlock(&self, kernel: &Kernel<Self>, system: &System<Self>, waiting: Vec<(Id, WaitFor, Id)>) -> String;

    /// Calls `run`, the loop of a worker, with whatever the worker's thread needs around it.
    fn on_worker(&self, _number: usize, run: &mut dyn FnMut()) {
        run();
    }
}

/// Runs one process, and another after its end: an instance of WebAssembly, or a Rust closure.
pub trait Body<H: Host>: Send {
    /// Seats a process that has not run yet.
    fn assign(&mut self, process: Arc<Process<H>>, entry: H::Entry);

    /// Runs `process`, which is seated, and those that follow it, until one blocks, is preempted or ends. `slice` is
    /// the number of the current time slice.
    fn run(&mut self, kernel: &Arc<Kernel<H>>, process: Arc<Process<H>>, slice: u64) -> Progress<H>;

    /// Returns the seated process, if there is one.
    fn current(&self) -> Option<Arc<Process<H>>>;
}

/// The state of a body after it has run for a while.
pub enum Progress<H: Host> {
    /// The process waits for something.
    Blocked(Arc<Process<H>>),
    /// The process has used up its time slice, or yielded.
    Preempted(Arc<Process<H>>),
    /// The process has ended, and the body can take another.
    Idle,
    /// The process has ended, and the body with it.
    Over,
}

/// What the kernel needs to know of the host's data of a process.
pub trait Local: Send + Sync + 'static {
    /// Returns the most entries of its mailbox; signals are not counted.
    fn mailbox_max(&self) -> usize {
        usize::MAX
    }

    /// Returns the budget that it shares with others.
    fn budget(&self) -> Option<&Arc<Budget>> {
        None
    }
}

impl Local for () {}
