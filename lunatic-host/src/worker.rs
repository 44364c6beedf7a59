//! A worker: takes a process from the scheduler, runs it until it blocks, gives way or ends, and sees to what comes next.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use crate::ending;
use crate::instance::kernel;
use crate::instance::pool::Pool;
use crate::instance::{Progress, Runner};
use crate::process::{Process, Task};
use crate::shared::Shared;

pub(crate) struct Worker<'a> {
    shared: &'a Arc<Shared>,
    pool: Pool,
}

impl<'a> Worker<'a> {
    pub(crate) fn new(shared: &'a Arc<Shared>) -> Self {
        Self {
            shared,
            pool: Pool::default(),
        }
    }

    /// Runs a process that the scheduler handed out.
    pub(crate) fn run(&mut self, process: Arc<Process>) {
        process.set_running(self.shared.clock.slices());
        if process.take_outside() {
            self.shared.left_outside();
        }
        let task = std::mem::replace(&mut *process.task.lock(), Task::Taken);
        let budget = process.rights.budget.clone();
        if process.is_killed() || (budget.is_some() && process.is_out_of_budget()) {
            self.kill(&process, task);
            return;
        }
        if let Some(wait) = budget.as_ref().and_then(|budget| budget.must_wait(Instant::now())) {
            self.throttle(process, task, Instant::now() + wait);
            return;
        }
        let runner = match task {
            Task::Suspended(runner) => runner,
            Task::Fresh(entry) => {
                let metered = process.rights.fuel.is_some();
                let pooled = if metered { None } else { self.pool.take(&process.module) };
                let mut runner = pooled.unwrap_or_else(|| self.shared.runner(&process.module, metered));
                runner.assign(process.clone(), entry);
                runner
            }
            Task::Taken => {
                unreachable!("a process is in one queue at most, and its task is put back before it is queued")
            }
        };
        let Some(budget) = budget else {
            return self.drive(process, runner);
        };
        // Not the time that passes: when the machine has other things to do, the process pays only for what it got.
        let start = kernel::thread_time();
        self.drive(process, runner);
        budget.spend(kernel::thread_time().saturating_sub(start));
    }

    /// Puts a process aside whose share of a core is used up for now.
    fn throttle(&self, process: Arc<Process>, task: Task, until: Instant) {
        *process.task.lock() = task;
        process.set_throttled();
        self.shared.clock.set(until, process.clone());
        self.block(process);
    }

    fn drive(&mut self, process: Arc<Process>, mut runner: Runner) {
        let slice = self.shared.clock.slices();
        // A panic in a host function unwinds through the instance up to here. The instance is not used again.
        match catch_unwind(AssertUnwindSafe(|| runner.run(process, slice))) {
            Ok(Progress::Blocked(process)) => self.suspend(process, runner, false),
            Ok(Progress::Preempted(process)) => self.suspend(process, runner, true),
            Ok(Progress::Idle) => self.pool.put(runner),
            Ok(Progress::Over) => self.discard(Task::Suspended(runner)),
            Err(panic) => {
                let process = runner.current();
                if let Some(process) = &process {
                    process.system.process_ends(process.id);
                }
                self.discard(Task::Suspended(runner));
                if let Some(process) = process {
                    let reason = ending::host_bug(&process, &*panic);
                    self.shared.end(&process, reason);
                }
            }
        }
    }

    fn suspend(&mut self, process: Arc<Process>, mut runner: Runner, preempted: bool) {
        if process.is_killed() {
            self.kill(&process, Task::Suspended(runner));
            return;
        }
        let wait = process.wait().0;
        let outside = !preempted && wait.is_outside();
        if self.shared.hibernation.is_eager() && !preempted && wait.is_freezable() {
            runner.freeze();
        }
        *process.task.lock() = Task::Suspended(runner);
        if preempted {
            process.set_queued();
            self.shared.scheduler.preempted(process);
            return;
        }
        if outside {
            process.set_outside();
            self.shared.went_outside();
        }
        if self.shared.hibernation.is_under_pressure() {
            self.shared.hibernation.add_candidate(&process);
        }
        self.block(process);
    }

    /// Its task has been put back.
    fn block(&self, process: Arc<Process>) {
        if !process.set_blocked() {
            self.shared.scheduler.requeue(process);
        } else if process.is_killed() {
            // Who killed it may have taken it for one that is about to run.
            self.shared.scheduler.wake(&process);
        }
    }

    fn kill(&self, process: &Arc<Process>, task: Task) {
        process.system.process_ends(process.id);
        self.discard(task);
        let reason = process.doom();
        ending::signalled(process, &reason);
        self.shared.end(process, reason);
    }

    /// Drops an instance. That runs destructors of futures, which must not take the worker with them.
    fn discard(&self, task: Task) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(task))) {
            eprintln!(
                "lunatic: bug: an instance could not be dropped: {}",
                panic_text(&*panic)
            );
        }
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| text.to_string());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without text".to_string())
}
