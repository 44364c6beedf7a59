//! A process as far as waiting is concerned: the host's state machine and life, a queue, and what only its worker touches.
//!
//! [`Process::wake`], [`run`](Process::run) and [`freeze`](Process::freeze) take the steps that the kernel takes in
//! `scheduler/mod.rs` and `worker.rs`, and hibernation.

#[path = "../../../lunatic-host/kernel/src/process/life.rs"]
mod life;
#[path = "../../../lunatic-host/kernel/src/process/owned.rs"]
mod owned;
#[path = "../../../lunatic-host/kernel/src/process/state.rs"]
mod state;

use std::sync::Arc;
use std::time::Instant;

use self::life::Life;
use self::owned::Owned;
use self::state::State;
use crate::budget::{Budget, Caps, Payer, Purse};
use crate::exit::ExitReason;
use crate::sync::{Condvar, Mutex};

pub(crate) struct Process {
    state: State,
    life: Mutex<Life<Self, ()>>,
    /// How often the process has been run or frozen: stands for its instance, which one thread at most may touch at a time.
    task: Owned<usize>,
    /// How many times it is in the queue of its worker.
    queued: Mutex<usize>,
    changed: Condvar,
    budget: Arc<Budget>,
}

impl Payer for Arc<Process> {
    fn purse(&self) -> Purse<'_> {
        Purse::new(None, &self.budget)
    }
}

/// What a process does when it has run for a while.
pub(crate) enum Step {
    Blocks,
    Ends,
}

impl Process {
    /// A process that is queued.
    pub(crate) fn new() -> Arc<Self> {
        let queued = State::new();
        queued.queue();
        Arc::new(Self {
            state: queued,
            life: Mutex::new(Life::new(None)),
            task: Owned::new(0),
            queued: Mutex::new(1),
            changed: Condvar::new(),
            budget: Budget::outermost(Caps::default(), Instant::now()),
        })
    }

    /// As `Scheduler::wake`.
    pub(crate) fn wake(&self) {
        if self.state.wake() {
            self.queue();
        }
    }

    /// As `Kernel::kill`.
    pub(crate) fn kill(&self) {
        self.state.kill();
        if self.state.hurry() {
            self.queue();
        } else {
            self.wake();
        }
    }

    /// What a worker does to whom this process is one of many: takes it from the queue if it is there, and ends it if it is to
    /// and no other has claimed it. True if it did.
    pub(crate) fn end_if_killed(&self) -> bool {
        let is_queued = {
            let mut queued = self.queued.lock();
            let is_queued = *queued > 0;
            *queued -= usize::from(is_queued);
            is_queued
        };
        if !is_queued || !self.state.claim() {
            return false;
        }
        self.touch();
        if !self.is_killed() {
            self.state.queue();
            self.queue();
            return false;
        }
        self.state.end();
        true
    }

    pub(crate) fn is_killed(&self) -> bool {
        self.state.is_killed()
    }

    /// Takes the process from the queue and calls `step`, again and again until that ends it or it is killed: the loop of
    /// the worker that has this process alone. Hangs, which fails the model, if a wake-up is lost.
    pub(crate) fn run(&self, mut step: impl FnMut() -> Step) {
        loop {
            self.dequeue();
            if !self.state.claim() {
                continue;
            }
            if self.is_killed() {
                break;
            }
            self.touch();
            if let Step::Ends = step() {
                break;
            }
            if !self.state.block() {
                self.queue();
            } else if self.is_killed() {
                self.wake();
            }
        }
        self.touch();
        self.state.end();
    }

    /// As hibernation does; tells whether the process was frozen.
    pub(crate) fn freeze(&self) -> bool {
        if !self.state.freeze() {
            return false;
        }
        self.touch();
        if !self.state.block_again() {
            self.queue();
        }
        true
    }

    pub(crate) fn join(&self, joiner: &Arc<Process>) -> Option<ExitReason> {
        self.life.lock().join(joiner)
    }

    pub(crate) fn unjoin(&self, joiner: &Arc<Process>) {
        self.life.lock().unjoin(joiner);
    }

    /// As `Kernel::end`, for a process that nobody is linked to.
    pub(crate) fn end(&self, reason: ExitReason) {
        self.life.lock().begin_end(reason);
        let joiners = self.life.lock().complete_end();
        joiners.iter().for_each(|joiner| joiner.wake());
    }

    fn touch(&self) {
        // SAFETY: that no two threads touch it at once is what the models are to show; loom fails the model that does.
        unsafe { self.task.with(|task| *task += 1) };
    }

    fn queue(&self) {
        let mut queued = self.queued.lock();
        *queued += 1;
        let most = 1 + usize::from(self.is_killed());
        assert!(
            *queued <= most,
            "a process is in one queue at most, and once more if it was killed"
        );
        self.changed.notify_one();
    }

    fn dequeue(&self) {
        let mut queued = self.queued.lock();
        while *queued == 0 {
            self.changed.wait(&mut queued);
        }
        *queued -= 1;
    }
}
