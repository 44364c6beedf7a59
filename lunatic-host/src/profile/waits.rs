//! Samples processes that wait: what they wait for, and where.
//!
//! The thread that has asked for the profile does this, so workers and processes do not notice. Between two rounds, it
//! rests for many times as long as a round took.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lunatic_kernel::WaitFor;
use lunatic_kernel::address::Id;
use lunatic_kernel::process::state::Phase;

use super::{PROCESSES_MAX, Profiler, REST};
use crate::instance::Runner;
use crate::wasm::{Kernel, Process};

/// The shortest time between two rounds.
const EVERY: Duration = Duration::from_millis(10);
/// The most stacks that are read in a round.
const LOOKS_MAX: usize = 1024;

/// Rounds of samples.
pub(crate) struct Waits<'a> {
    kernel: &'a Kernel,
    last: Instant,
    /// For each process: how often it had run when its stack was read, and the places of that stack.
    stacks: HashMap<Id, (u32, Arc<[u32]>)>,
}

impl<'a> Waits<'a> {
    pub(crate) fn new(kernel: &'a Kernel) -> Self {
        Self {
            kernel,
            last: Instant::now(),
            stacks: HashMap::new(),
        }
    }

    /// Takes a round of samples: each counts for the time since the last round. Returns when the next round may be.
    pub(crate) fn round(&mut self) -> Duration {
        let start = Instant::now();
        let passed = u64::try_from((start - self.last).as_millis()).unwrap_or(u64::MAX);
        if passed == 0 {
            return EVERY;
        }
        self.last = start;
        let Some(profiler) = self.kernel.host.states.find::<Profiler>() else {
            return EVERY;
        };
        let profiler = &*profiler;
        if self.stacks.len() >= PROCESSES_MAX {
            self.stacks.clear();
        }
        let mut looks = 0;
        let kernel = self.kernel;
        kernel.visit_processes(|process| {
            if process.phase() != Phase::Blocked {
                return;
            }
            let wants = profiler
                .sampling
                .lock()
                .as_mut()
                .is_some_and(|all| all.includes(process));
            if !wants {
                return;
            }
            let reason = reason(process);
            let places = self.places(profiler, process, &mut looks);
            if let Some(sampling) = profiler.sampling.lock().as_mut() {
                sampling.add_wait(process, places.as_deref().unwrap_or_default(), &reason, passed);
            }
        });
        EVERY.max(start.elapsed() * REST)
    }

    /// The places of the stack of a process that waits, if it shows it. They stay the same until the process runs again.
    fn places(&mut self, profiler: &Profiler, process: &Arc<Process>, looks: &mut usize) -> Option<Arc<[u32]>> {
        let runs = process.runs();
        if let Some((then, places)) = self.stacks.get(&process.id)
            && *then == runs
        {
            return Some(places.clone());
        }
        // A frozen process is thawed for it, and frozen again.
        if *looks >= LOOKS_MAX {
            return None;
        }
        *looks += 1;
        let recorded = self.kernel.with_blocked(process, Runner::look).flatten()?;
        let mut sampling = profiler.sampling.lock();
        let places: Arc<[u32]> = sampling.as_mut()?.stack(process, &recorded)?.into();
        self.stacks.insert(process.id, (runs, places.clone()));
        Some(places)
    }
}

/// What a process waits for.
fn reason(process: &Process) -> String {
    if process.is_throttled() {
        return "its share of a core".to_owned();
    }
    let (wait, what) = process.wait();
    match wait {
        WaitFor::Receive => format!("a message on channel {what}"),
        WaitFor::Send => format!("room in channel {what}"),
        WaitFor::Join => format!("the end of {what}"),
        WaitFor::Call => format!("an answer of {what}"),
        WaitFor::Sleep => "a point in time".to_owned(),
        WaitFor::Mail => "mail".to_owned(),
        WaitFor::Select => "one of several things".to_owned(),
        WaitFor::Outside => "input or output".to_owned(),
        WaitFor::Socket => "the network".to_owned(),
        WaitFor::File => "a file".to_owned(),
    }
}
