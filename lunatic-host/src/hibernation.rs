//! Hibernation: processes that wait give their memory back.
//!
//! A process that is blocked needs nothing but what it changed: its memory is compared with the module's image, its stack
//! with zeros, the differences are kept (some hundred bytes), and the pages go back to the system. Before the process
//! runs again, or is unwound, all is put back at the same addresses. Nobody can tell, except by the time it takes.
//!
//! This happens by pressure: while the host holds more memory than [`Hibernation::resident_max`], its thread freezes
//! processes, those first that have not run for the longest time (a hand goes round the table of processes, and takes
//! what has not run for a second, then for less). A worker that makes a new instance under pressure freezes two others,
//! so instances are never made faster than they can be frozen.
//!
//! # Who may touch what
//!
//! Only blocked processes are frozen, and only those that wait in the host's own calls. [`Process::set_freezing`] takes a
//! process out of reach of wake-ups for that time; one that comes meanwhile is made good afterwards.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

use parking_lot::{Condvar, Mutex};

use crate::process::{Process, Task, Wait};
use crate::runtime::Shared;

/// Processes are taken that have not run for so many time slices; if there are none, for fewer.
const AGES: [u32; 4] = [1000, 100, 10, 0];
/// So many processes are frozen before the resident memory is looked at again.
const BATCH: usize = 256;
/// So many slots of the table are looked at in one step.
const STRIDE: u32 = 4096;

pub(crate) struct Hibernation {
    /// Bytes of resident memory from which on processes are frozen.
    resident_max: usize,
    pressure: AtomicBool,
    hand: AtomicU32,
    /// The index into [`AGES`] that the hand goes round with.
    age: AtomicUsize,
    /// Processes frozen by the hand since it last passed the end of the table.
    found: AtomicUsize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    called: bool,
    stopped: bool,
}

impl Hibernation {
    pub(crate) fn new(resident_max: usize) -> Self {
        Self {
            resident_max,
            pressure: AtomicBool::new(false),
            hand: AtomicU32::new(1),
            age: AtomicUsize::new(0),
            found: AtomicUsize::new(0),
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// True while the host holds more memory than it should.
    pub(crate) fn is_under_pressure(&self) -> bool {
        self.pressure.load(Ordering::Relaxed)
    }

    /// Looks how much memory the host holds, and calls the thread if it is too much. For the clock.
    pub(crate) fn look(&self) {
        if !self.measure() {
            return;
        }
        self.state.lock().called = true;
        self.changed.notify_one();
    }

    pub(crate) fn stop(&self) {
        self.state.lock().stopped = true;
        self.changed.notify_one();
    }

    /// The thread: freezes until there is room, each time it is called.
    pub(crate) fn run(&self, shared: &Shared) {
        let mut state = self.state.lock();
        loop {
            while !state.called && !state.stopped {
                self.changed.wait(&mut state);
            }
            if state.stopped {
                return;
            }
            state.called = false;
            parking_lot::MutexGuard::unlocked(&mut state, || while self.measure() && self.freeze(shared, BATCH) > 0 {});
        }
    }

    /// Freezes up to `count` processes and tells how many. It gives up when all ages were tried in vain.
    pub(crate) fn freeze(&self, shared: &Shared, count: usize) -> usize {
        let mut frozen = 0;
        for _ in 0..=AGES.len() {
            loop {
                let start = self.hand.fetch_add(STRIDE, Ordering::Relaxed);
                if start >= shared.processes.end() {
                    break;
                }
                frozen += self.freeze_some(shared, start);
                if frozen >= count {
                    return frozen;
                }
            }
            self.next_round();
        }
        frozen
    }

    fn freeze_some(&self, shared: &Shared, start: u32) -> usize {
        let age = AGES[self.age.load(Ordering::Relaxed) % AGES.len()];
        let now = shared.clock.slices() as u32;
        let mut candidates = Vec::new();
        shared.processes.for_each_in(start..start.saturating_add(STRIDE), |_, process| {
            if process.is_freezable() && now.wrapping_sub(process.ran()) >= age {
                candidates.push(process.clone());
            }
        });
        let frozen = candidates.iter().filter(|process| freeze(shared, process)).count();
        self.found.fetch_add(frozen, Ordering::Relaxed);
        frozen
    }

    /// The hand has passed the end: it starts again, with younger processes if it has found none.
    fn next_round(&self) {
        self.hand.store(1, Ordering::Relaxed);
        let age = if self.found.swap(0, Ordering::Relaxed) > 0 { 0 } else { self.age.load(Ordering::Relaxed) + 1 };
        self.age.store(age % AGES.len(), Ordering::Relaxed);
    }

    fn measure(&self) -> bool {
        let pressure = resident().is_some_and(|bytes| bytes > self.resident_max);
        self.pressure.store(pressure, Ordering::Relaxed);
        pressure
    }
}

/// Freezes one process, if it is still blocked.
fn freeze(shared: &Shared, process: &Arc<Process>) -> bool {
    if !process.set_freezing() {
        return false;
    }
    let frozen = match (&mut *process.task.lock(), process.wait().0) {
        (_, Wait::Outside) => false,
        (Task::Suspended(runner), _) => runner.freeze(),
        _ => false,
    };
    if frozen {
        process.set_frozen();
    }
    if !process.set_blocked_again() {
        shared.scheduler.requeue(process.clone());
    }
    frozen
}

/// The resident memory of the host, in bytes; `None` where the system does not tell.
#[cfg(target_os = "linux")]
fn resident() -> Option<usize> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: usize = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * crate::instance::kernel::page_size())
}

/// The resident memory of the host, in bytes; `None` where the system does not tell.
#[cfg(not(target_os = "linux"))]
fn resident() -> Option<usize> {
    None
}
