//! Detects whether a runtime makes progress, for a supervisor that restarts a program that does not.
//!
//! A worker is stuck if it does not return from a process. Guests are interrupted after a time slice, but a bug of the
//! host, or a host function that blocks its thread, is not. Running processes do not count anything for this. Existing
//! data is read twice; if something has not changed although it should have, this is a symptom.

use std::collections::HashMap;
use std::thread;
use std::time::Duration;

use lunatic_kernel::address::Id;
use lunatic_kernel::process::state::Phase;

use crate::runtime::Runtime;
use crate::wasm::Kernel;

/// Longer than any step of a process: it gets at most a time slice of a millisecond, and the longest host calls take
/// some hundred.
const STEP_MAX: u32 = 1000;
/// The interval of checks, and how many of them must show a symptom.
const INTERVAL: Duration = Duration::from_millis(50);
const LOOKS: u32 = 20;

/// The state at one moment.
struct Look {
    is_awake: bool,
    slices: u64,
    queued: usize,
    /// Processes that run for longer than allowed, with the time slice in which they began.
    running: HashMap<Id, u32>,
}

impl Look {
    fn at(kernel: &Kernel) -> Self {
        let (is_awake, slices) = (kernel.is_awake(), kernel.slices());
        let mut running = HashMap::new();
        if is_awake {
            kernel.for_each_process(|process| {
                let ran = process.ran();
                // Time slices are counted in 32 bits here, and wrap around.
                if process.phase() == Phase::Running && (slices as u32).wrapping_sub(ran) > STEP_MAX {
                    running.insert(process.id, ran);
                }
            });
        }
        let queues = kernel.queues();
        Self {
            is_awake,
            slices,
            queued: queues.len(),
            running,
        }
    }

    fn may_be_stuck(&self) -> bool {
        self.is_awake || self.queued > 0
    }

    /// Whether something that should have changed since `before` has not.
    fn is_stuck_since(&self, before: &Self) -> bool {
        let clock = self.is_awake && before.is_awake && self.slices == before.slices;
        let nobody_wakes = !self.is_awake && !before.is_awake && self.queued > 0 && before.queued > 0;
        let worker = self.running.iter().any(|(id, ran)| before.running.get(id) == Some(ran));
        clock || nobody_wakes || worker
    }
}

impl Runtime {
    /// Returns whether the workers make progress, as far as there is something to do: whether each returns from the
    /// process that it runs, time slices end, and runnable processes are taken. Stops no process. Takes a few
    /// nanoseconds per process, and some milliseconds of the calling thread if processes are running; a second if it
    /// turns out that nothing moves.
    #[must_use]
    pub fn makes_progress(&self) -> bool {
        let mut before = Look::at(&self.kernel);
        if !before.may_be_stuck() {
            return true;
        }
        (0..LOOKS).any(|_| {
            thread::sleep(INTERVAL);
            let now = Look::at(&self.kernel);
            let is_stuck = now.is_stuck_since(&before);
            before = now;
            !is_stuck
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, Sender, channel};

    use parking_lot::Mutex;
    use wasmtime::{Linker, Result};

    use super::*;
    use crate::{Ctx, Extension, SystemConfig};

    /// Blocks its worker until the test lets it go on.
    struct Block {
        blocked: Sender<()>,
        go_on: Arc<Mutex<Receiver<()>>>,
    }

    impl Extension for Block {
        fn name(&self) -> &str {
            "block"
        }

        fn link(&self, linker: &mut Linker<Ctx>) -> Result<()> {
            let (blocked, go_on) = (self.blocked.clone(), self.go_on.clone());
            linker.func_wrap("block", "block", move || {
                blocked.send(()).unwrap();
                go_on.lock().recv().unwrap();
            })?;
            Ok(())
        }
    }

    const PROGRAM: &str = r#"(module
        (import "block" "block" (func $block))
        (memory (export "memory") 1)
        (func (export "block") (call $block))
        (func (export "spin") (loop $again (br $again))))"#;

    #[test]
    fn a_worker_that_does_not_come_back_is_noticed_and_one_that_computes_is_not() {
        let ((blocked, is_blocked), (go_on, waits)) = (channel(), channel());
        let extension = Block {
            blocked,
            go_on: Arc::new(Mutex::new(waits)),
        };
        let runtime = Runtime::builder()
            .workers(2)
            .cache(None)
            .extension(extension)
            .build()
            .unwrap();
        assert!(runtime.makes_progress());
        let module = runtime.load(PROGRAM.as_bytes()).unwrap();
        let start = |entry: &str| {
            let config = SystemConfig {
                entry: entry.into(),
                ..SystemConfig::default()
            };
            runtime.start(&module, config).unwrap()
        };
        let spinning = start("spin");
        // Longer than a step may take.
        while runtime.kernel.slices() <= u64::from(STEP_MAX) * 2 {
            assert!(runtime.makes_progress());
        }
        let blocking = start("block");
        is_blocked.recv().unwrap();
        // The clock goes on, as the other worker computes.
        let since = runtime.kernel.slices();
        while runtime.kernel.slices() <= since + u64::from(STEP_MAX) {
            thread::sleep(INTERVAL);
        }
        assert!(!runtime.makes_progress());
        go_on.send(()).unwrap();
        blocking.wait();
        assert!(runtime.makes_progress());
        drop(spinning);
    }
}
