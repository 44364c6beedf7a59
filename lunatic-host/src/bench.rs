//! Steps for the micro-benchmarks in `benches/` that no public call takes alone. Not part of the interface.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::instance::Runner;
use crate::running::RunningSystem;
use crate::wasm::Process;

/// A system whose main process is asleep.
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
    pub fn new(system: RunningSystem) -> Self {
        let process = system.main_process().expect("the main process sleeps");
        while !process.is_freezable() {
            std::thread::yield_now();
        }
        Self {
            process,
            _system: system,
        }
    }

    /// Freezes the process and thaws it again; returns how long each took.
    ///
    /// # Panics
    ///
    /// If it does not sleep any more.
    pub fn freeze_and_thaw(&self) -> (Duration, Duration) {
        assert!(self.process.set_freezing(), "the process sleeps");
        let measure = |runner: &mut Runner| {
            let start = Instant::now();
            assert!(runner.freeze(), "it was not frozen");
            let frozen = start.elapsed();
            runner.thaw();
            (frozen, start.elapsed() - frozen)
        };
        // SAFETY: the process is out of reach of wake-ups until it is blocked again, below.
        let times = unsafe { self.process.with_suspended(measure) };
        assert!(self.process.set_blocked_again(), "nobody wakes it");
        times.expect("a process that sleeps is suspended")
    }
}
