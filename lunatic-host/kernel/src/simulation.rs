//! A kernel in one thread, with virtual time and an order of ready processes that a seed decides.
//!
//! The kernel is the one that runs in production, with another [`Environment`]. While processes run, time advances only
//! by a microsecond per step; when none is ready, it jumps to the next timer. The next process is drawn from the ready
//! ones with the seed. So each seed yields another interleaving, and the same seed always yields the same one, as long
//! as bodies depend only on the kernel.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::address::Node;
use crate::environment::{Environment, Parking, Thread, now};
use crate::host::Host;
use crate::kernel::{Kernel, Settings, WorkerSeat};
use crate::process::Process;
use crate::worker::Worker;

/// How far each step advances the time.
const STEP: Duration = Duration::from_micros(1);

/// A machine with virtual time and pseudorandom numbers.
struct Virtual {
    start: Instant,
    passed_ns: AtomicU64,
    random: Mutex<Random>,
}

impl Virtual {
    fn pass(&self, time: Duration) {
        let ns = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.passed_ns.fetch_add(ns, Ordering::Relaxed);
    }

    fn passed(&self) -> Duration {
        Duration::from_nanos(self.passed_ns.load(Ordering::Relaxed))
    }
}

impl Environment for Virtual {
    fn now(&self) -> Instant {
        self.start + self.passed()
    }

    fn time_on_core(&self) -> Duration {
        self.passed()
    }

    fn random(&self) -> u64 {
        self.random.lock().next()
    }

    fn spawn(&self, _: String, run: Box<dyn FnOnce() + Send>) -> io::Result<Thread> {
        run();
        Ok(Thread::ended())
    }

    fn parking(&self, _: usize) -> Box<dyn Parking> {
        Box::new(Awake)
    }
}

/// The only worker never sleeps: the simulation asks it for its next step.
struct Awake;

impl Parking for Awake {
    fn park(&self, _: usize, _: &dyn Fn() -> bool, _: &dyn Fn()) {}

    fn wake_one(&self) {}

    fn wake_all(&self) {}

    fn all_asleep(&self) -> bool {
        false
    }
}

/// SplitMix64: random enough for choices, and the same everywhere. (Steele, Lea and Flood, "Fast splittable
/// pseudorandom number generators", 2014.)
#[derive(Debug, Clone)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, count: usize) -> usize {
        ((u128::from(self.next()) * count as u128) >> 64) as usize
    }
}

/// Advances the time of a simulation: for a body that simulates computing for a while.
#[derive(Clone)]
pub struct Passing(Arc<Virtual>);

impl Passing {
    /// Advances the time; if a process runs, it has computed for that long.
    pub fn pass(&self, time: Duration) {
        self.0.pass(time);
    }
}

/// A kernel that runs only step by step, in the calling thread.
pub struct Simulation<H: Host> {
    machine: Arc<Virtual>,
    kernel: Arc<Kernel<H>>,
    pool: H::Pool,
    /// Processes that the worker has taken and has not run.
    ready: Vec<Arc<Process<H>>>,
    order: Random,
    /// The place in the scheduler, while the calling thread does not hold it.
    seat: Option<WorkerSeat<H>>,
}

impl<H: Host> Simulation<H> {
    /// Returns a kernel with one worker, which is the calling thread while it runs the simulation.
    pub fn new(settings: Settings, seed: u64, host: H) -> Self {
        let mut order = Random(seed);
        let machine = Arc::new(Virtual {
            start: now(),
            passed_ns: AtomicU64::new(0),
            random: Mutex::new(Random(order.next())),
        });
        let settings = Settings { workers: 1, ..settings };
        let (kernel, mut seats) = Kernel::new(settings, Node::draw(order.next()), machine.clone(), host);
        Self {
            seat: seats.pop(),
            machine,
            kernel,
            pool: H::Pool::default(),
            ready: Vec::new(),
            order,
        }
    }

    /// Returns the kernel.
    pub fn kernel(&self) -> &Arc<Kernel<H>> {
        &self.kernel
    }

    /// Returns a handle that advances the time.
    pub fn passing(&self) -> Passing {
        Passing(self.machine.clone())
    }

    /// Returns how much time has passed since the start.
    pub fn passed(&self) -> Duration {
        self.machine.passed()
    }

    /// Runs one of the ready processes until it blocks, yields or ends. If none is ready, fires the next timer, or
    /// looks for deadlocks. Returns false if nothing can happen any more.
    pub fn step(&mut self) -> bool {
        if let Some(seat) = self.seat.take() {
            self.kernel.scheduler.enter(seat);
        }
        let goes_on = self.step_as_worker();
        self.seat = self.kernel.scheduler.leave();
        goes_on
    }

    fn step_as_worker(&mut self) -> bool {
        self.gather();
        if self.ready.is_empty() && !self.wake_somebody() {
            return false;
        }
        if !self.ready.is_empty() {
            let process = self.ready.swap_remove(self.order.below(self.ready.len()));
            self.machine.pass(STEP);
            let mut worker = Worker::with_pool(&self.kernel, std::mem::take(&mut self.pool));
            worker.run(process);
            self.pool = worker.into_pool();
        }
        true
    }

    /// Steps until nothing can happen any more, but at most `steps_max` times; returns the number of steps.
    pub fn run(&mut self, steps_max: usize) -> usize {
        (0..steps_max).take_while(|_| self.step()).count()
    }

    /// Takes everything from the worker's queues.
    fn gather(&mut self) {
        while let Some(process) = self.kernel.scheduler.next() {
            self.ready.push(process);
        }
    }

    /// Called when nothing is ready; returns true if something may be now.
    fn wake_somebody(&mut self) -> bool {
        let kernel = &self.kernel;
        if let Some(due) = [kernel.clock.next_due(), kernel.post.next_due()]
            .into_iter()
            .flatten()
            .min()
        {
            self.machine.pass(due.saturating_duration_since(self.machine.now()));
            kernel.clock.wake_due(&**kernel, self.machine.now());
            kernel.post.fire_due(&**kernel, &*self.machine, self.machine.now());
            self.gather();
            return true;
        }
        self.kernel.on_idle();
        self.gather();
        !self.ready.is_empty()
    }
}

impl<H: Host> Drop for Simulation<H> {
    fn drop(&mut self) {
        self.ready.clear();
        self.kernel.take_apart();
    }
}
