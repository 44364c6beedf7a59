//! A worker: takes a process from the scheduler, runs it until it blocks, yields or ends, and handles the result.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::environment::Thread;
use crate::events::Event;
use crate::host::{Body, Host, Local, Progress};
use crate::kernel::{Kernel, WorkerSeat};
use crate::process::{Process, Task};

/// The threads of a kernel.
#[derive(Debug)]
pub struct Threads {
    workers: Vec<Thread>,
    clock: Option<Thread>,
    post: Option<Thread>,
}

impl<H: Host> Kernel<H> {
    /// Starts a thread for each seat, one for the clock and one for the post.
    ///
    /// # Errors
    ///
    /// If the machine refuses a thread. Threads that have started continue: [`stop`](Self::stop) ends them.
    pub fn start(self: &Arc<Self>, seats: Vec<WorkerSeat<H>>) -> (Threads, io::Result<()>) {
        let mut threads = Threads {
            workers: Vec::new(),
            clock: None,
            post: None,
        };
        let result = self.start_all(seats, &mut threads);
        (threads, result)
    }

    fn start_all(self: &Arc<Self>, seats: Vec<WorkerSeat<H>>, threads: &mut Threads) -> io::Result<()> {
        for (index, seat) in seats.into_iter().enumerate() {
            let kernel = self.clone();
            let run = Box::new(move || kernel.work(seat));
            let name = format!("lunatic-worker-{index}");
            threads.workers.push(self.machine.spawn(name, run)?);
        }
        let kernel = self.clone();
        let run = Box::new(move || kernel.clock.run(&*kernel, &*kernel.machine));
        threads.clock = Some(self.machine.spawn("lunatic-clock".into(), run)?);
        let kernel = self.clone();
        let run = Box::new(move || kernel.post.run(&*kernel, &*kernel.machine));
        threads.post = Some(self.machine.spawn("lunatic-post".into(), run)?);
        Ok(())
    }

    /// Ends all workers and waits for them; the processes are left as they are. Then calls `between`, and ends the post
    /// and the clock, which must run until then because it interrupts running processes.
    pub fn stop(&self, threads: Threads, between: impl FnOnce()) {
        self.scheduler.stop();
        threads.workers.into_iter().for_each(Thread::join);
        between();
        self.clock.stop();
        self.post.stop();
        [threads.clock, threads.post]
            .into_iter()
            .flatten()
            .for_each(Thread::join);
    }

    fn work(self: &Arc<Self>, seat: WorkerSeat<H>) {
        let number = seat.number();
        let mut seat = Some(seat);
        self.host.on_worker(number, &mut || {
            let Some(seat) = seat.take() else { return };
            let mut worker = Worker::with_pool(self, H::Pool::default());
            self.scheduler
                .run(seat, || H::spare(self), |process| worker.run(process));
        });
    }
}

/// The state of a worker: the bodies that it keeps.
pub(crate) struct Worker<'a, H: Host> {
    kernel: &'a Arc<Kernel<H>>,
    pool: H::Pool,
}

impl<'a, H: Host> Worker<'a, H> {
    /// A worker that keeps the bodies in `pool`.
    pub(crate) fn with_pool(kernel: &'a Arc<Kernel<H>>, pool: H::Pool) -> Self {
        Self { kernel, pool }
    }

    pub(crate) fn into_pool(self) -> H::Pool {
        self.pool
    }

    /// Runs a process that the scheduler has handed out.
    pub(crate) fn run(&mut self, process: Arc<Process<H>>) {
        let kernel = self.kernel;
        if !process.claim() {
            return;
        }
        process.set_running(kernel.slices());
        // While it waited for something outside, deadlocks were not searched for.
        if process.take_outside() {
            kernel.outside.fetch_sub(1, Ordering::SeqCst);
        }
        // SAFETY: this worker has claimed the process.
        let task = unsafe { process.take_task() };
        let budget = process.local.budget().cloned();
        // A kill only wakes the process; it takes effect here.
        if process.is_killed() || (budget.is_some() && process.is_out_of_budget()) {
            self.kill(&process, task);
            return;
        }
        if let Some(budget) = &budget {
            let now = kernel.now();
            if let Some(wait) = budget.must_wait(now) {
                self.throttle(process, task, now + wait);
                return;
            }
        }
        kernel
            .events
            .tell(|| (process.system.main(), Event::Runs { id: process.id }));
        let body = match task {
            Task::Suspended(body) => body,
            Task::Fresh(entry) => {
                let mut body = H::body(kernel, &mut self.pool, &process);
                body.assign(process.clone(), entry);
                body
            }
            Task::Taken => {
                unreachable!("a process is in one queue at most, and its task is put back before it is queued")
            }
        };
        // CPU time, not elapsed time: when the machine is busy otherwise, the process pays only for what it got.
        let start = budget.as_ref().map(|_| kernel.machine.time_on_core());
        // The only call, so that it is inlined: the processor cannot predict the return of a function in which the
        // stack was switched.
        self.drive(process, body);
        if let (Some(budget), Some(start)) = (budget, start) {
            budget.spend(kernel.machine.time_on_core().saturating_sub(start));
        }
    }

    /// Puts a process aside whose share of a core is used up for now.
    fn throttle(&self, process: Arc<Process<H>>, task: Task<H>, until: Instant) {
        // SAFETY: this worker has claimed the process, and blocks it below.
        unsafe { process.put_task(task) };
        process.set_throttled();
        self.kernel.clock.set(until, process.clone());
        self.block(process);
    }

    fn drive(&mut self, process: Arc<Process<H>>, mut body: H::Body) {
        let kernel = self.kernel;
        let slice = kernel.slices();
        // A panic in a host function unwinds through the body up to here. The body is not used again.
        match catch_unwind(AssertUnwindSafe(|| body.run(kernel, process, slice))) {
            Ok(Progress::Blocked(process)) => self.suspend(process, body, slice, false),
            Ok(Progress::Preempted(process)) => self.suspend(process, body, slice, true),
            // The process has ended, and the body can run another.
            Ok(Progress::Idle) => kernel.host.keep(&mut self.pool, body),
            Ok(Progress::Over) => self.discard(Task::Suspended(body)),
            Err(payload) => {
                let process = body.current();
                // The output of the process comes before reports about it.
                if let Some(process) = &process {
                    process.system.process_ends(process.id);
                }
                // Destructors run before anyone is notified of the end, so that what the process owned is free by then.
                self.discard(Task::Suspended(body));
                if let Some(process) = process {
                    let reason = kernel.host.panicked(&process, &*payload);
                    kernel.end(&process, reason);
                }
            }
        }
    }

    fn suspend(&mut self, process: Arc<Process<H>>, mut body: H::Body, slice: u64, preempted: bool) {
        let kernel = self.kernel;
        process.add_slices(kernel.slices() - slice);
        process.set_stopped(kernel.moment());
        // It was killed while it ran. Queueing it would only bring it back here.
        if process.is_killed() {
            self.kill(&process, Task::Suspended(body));
            return;
        }
        if preempted {
            process.count_preempted();
            // SAFETY: this worker has claimed the process, and moves it on below.
            unsafe { process.put_task(Task::Suspended(body)) };
            let now = kernel.slices();
            let is_short = now != slice && process.set_preempted(now);
            process.set_queued();
            if is_short {
                kernel.scheduler.interrupted(process);
            } else {
                kernel.scheduler.preempted(process);
            }
            return;
        }
        let (wait, what) = process.wait();
        // While nobody else can reach the body.
        kernel.host.suspends(&process, &mut body, wait);
        // SAFETY: as above; it is blocked below.
        unsafe { process.put_task(Task::Suspended(body)) };
        // Counted before it blocks: a worker that becomes idle in between must not see a deadlock.
        if wait.is_outside() {
            process.set_outside();
            kernel.outside.fetch_add(1, Ordering::SeqCst);
        }
        kernel.host.suspended(&process);
        kernel.events.tell(|| {
            let id = process.id;
            (process.system.main(), Event::Waits { id, wait, what })
        });
        self.block(process);
    }

    /// Blocks a process whose task has been put back.
    fn block(&self, process: Arc<Process<H>>) {
        // It was woken while it was still running.
        if !process.set_blocked() {
            self.kernel.scheduler.requeue(process);
        } else if process.is_killed() {
            // The killer may have assumed that it was about to run.
            self.kernel.scheduler.wake(&process);
        }
    }

    fn kill(&self, process: &Arc<Process<H>>, task: Task<H>) {
        process.system.process_ends(process.id);
        self.discard(task);
        let reason = process.doom();
        self.kernel.host.was_ended(process, &reason);
        self.kernel.end(process, reason);
    }

    /// Drops a body. This runs destructors of futures, which must not end the worker.
    fn discard(&self, task: Task<H>) {
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(task))) {
            self.kernel.host.left_behind(&*payload);
        }
    }
}
