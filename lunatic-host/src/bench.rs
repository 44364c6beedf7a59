//! For the micro-benchmarks in `benches/`: steps that no public call takes alone. Not part of the interface.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::process::{Process, Task};
use crate::runtime::Runtime;
use crate::system::RunningSystem;

/// The main process of a system, asleep.
pub struct Sleeper {
    process: Arc<Process>,
    _system: RunningSystem,
}

impl Sleeper {
    /// Waits until the main process of the system sleeps.
    ///
    /// # Panics
    ///
    /// If it ends before that.
    pub fn new(runtime: &Runtime, system: RunningSystem) -> Self {
        let process = runtime.main_process(&system).expect("the main process sleeps");
        while !process.is_freezable() {
            std::thread::yield_now();
        }
        Self {
            process,
            _system: system,
        }
    }

    /// Freezes the process and thaws it again: how long each took.
    ///
    /// # Panics
    ///
    /// If it does not sleep any more.
    pub fn freeze_and_thaw(&self) -> (Duration, Duration) {
        assert!(self.process.set_freezing(), "the process sleeps");
        let mut task = self.process.task.lock();
        let Task::Suspended(runner) = &mut *task else {
            unreachable!("a process that sleeps is suspended")
        };
        let start = Instant::now();
        assert!(runner.freeze(), "it was not frozen");
        let frozen = start.elapsed();
        runner.thaw();
        let thawed = start.elapsed() - frozen;
        drop(task);
        assert!(self.process.set_blocked_again(), "nobody wakes it");
        (frozen, thawed)
    }
}
