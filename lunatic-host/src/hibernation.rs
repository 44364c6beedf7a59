//! Hibernation: processes that wait give their memory back.
//!
//! A process that is blocked needs nothing but what it changed: its memory is compared with the module's image, its stack
//! with zeros, the differences are kept (some hundred bytes), and the pages go back to the system. Before the process
//! runs again, or is unwound, all is put back at the same addresses. Nobody can tell, except by the time it takes.
//!
//! This happens to processes that are *cold*: that have waited for [`COLD`], as most connections of a server do. And it
//! happens by pressure, while the host holds more memory than [`Hibernation::resident_max`]. Processes that block then
//! become *candidates*, in the order in which they blocked, and are frozen in that order by the hibernation's
//! thread, and by workers: each sixteenth new instance waits until thirty-two candidates are frozen, so instances are never
//! made faster than they are frozen. Processes that blocked before the pressure began are found by going round the table of
//! processes, those first that have not run for the longest time.
//!
//! # Who may touch what
//!
//! Only blocked processes are frozen, and only those that wait in the host's own calls. [`Process::set_freezing`] takes a
//! process out of reach of wake-ups for that time; one that comes meanwhile is made good afterwards.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use lunatic_kernel::{Host, Kernel, Process};
use lunatic_memory::Pages;
use parking_lot::{Condvar, Mutex, MutexGuard};

/// A round takes processes that have not run for so many time slices; if it finds none, the next takes younger ones.
const AGES: [u32; 3] = [1000, 100, REST];
/// None is frozen before it has not run for so many time slices: one that is about to be woken again, as those do that
/// serve many others, would only be unpacked again. Its memory may be large, too.
const REST: u32 = 20;
/// So many processes are frozen together: giving pages back interrupts all workers, however many pages these are.
const TOGETHER: usize = 32;
/// So many processes are frozen before the resident memory is looked at again.
const BATCH: usize = 256;
/// After rounds of all ages in vain, so many time slices pass before the next.
const PAUSE: u64 = 1000;
/// And after any other round, so many times as it took: under lasting pressure, what blocks is frozen as a candidate, and a
/// round finds little more.
const ROUND_PAUSE: u64 = 8;

/// Who waits for longer is frozen, whether there is pressure or not. To unpack it then costs some ten microseconds, at most
/// once in that time.
const COLD: Duration = Duration::from_secs(5);
/// Unless it holds more pages than this: while it is packed it cannot be woken.
const COLD_PAGES_MAX: usize = 64;
/// The pause after each batch of cold processes, which leaves the processor to those that run.
const COLD_PAUSE: Duration = Duration::from_millis(20);

/// A body whose pages can be packed while it is suspended.
pub(crate) trait Freezable {
    /// Packs what the body has changed; its pages are still to be released, and are added to `released`. False if that
    /// cannot be done or has been done.
    ///
    /// # Safety
    ///
    /// The body is not run and not dropped before what was added has been given to [`Pages::release_all`].
    unsafe fn freeze_into(&mut self, released: &mut Vec<Pages<'static>>) -> bool;

    /// Whether it has more pages that hold data.
    fn holds_more_than(&mut self, pages_max: usize) -> bool;
}

pub(crate) struct Hibernation<H: Host> {
    /// Bytes of resident memory from which on processes are frozen.
    resident_max: usize,
    pressure: AtomicBool,
    /// Instances that were made under pressure.
    made: AtomicU64,
    /// With the time slice in which each last ran.
    candidates: Mutex<VecDeque<(Arc<Process<H>>, u32)>>,
    /// The time slice before which no round begins.
    paused_until: AtomicU64,
    /// Nothing has run since all that was cold was frozen: the thread sleeps until it is called.
    dormant: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    called: bool,
    stopped: bool,
}

impl<H: Host<Body: Freezable>> Hibernation<H> {
    pub(crate) fn new(resident_max: usize) -> Self {
        Self {
            resident_max,
            pressure: AtomicBool::new(false),
            made: AtomicU64::new(0),
            candidates: Mutex::default(),
            paused_until: AtomicU64::new(0),
            dormant: AtomicBool::new(false),
            state: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// True if every process is to be frozen whenever it blocks: with a limit of 0 bytes, for tests.
    pub(crate) fn is_eager(&self) -> bool {
        self.resident_max == 0
    }

    /// True while the host holds more memory than it should.
    pub(crate) fn is_under_pressure(&self) -> bool {
        self.pressure.load(Ordering::Relaxed)
    }

    /// A worker is about to make an instance.
    pub(crate) fn makes_instance(&self, kernel: &Kernel<H>) {
        if self.is_under_pressure()
            && self
                .made
                .fetch_add(1, Ordering::Relaxed)
                .is_multiple_of(TOGETHER as u64 / 2)
        {
            self.freeze_candidates(kernel, TOGETHER);
        }
    }

    /// A process has blocked under pressure.
    pub(crate) fn add_candidate(&self, process: &Arc<Process<H>>) {
        if process.wait().0.is_freezable() {
            self.candidates.lock().push_back((process.clone(), process.ran()));
        }
    }

    /// Looks how much memory the host holds, and calls the thread if it is too much, or if something runs again. For the
    /// clock.
    pub(crate) fn look(&self) {
        if self.measure() || self.dormant.load(Ordering::Relaxed) {
            self.state.lock().called = true;
            self.changed.notify_one();
        }
    }

    pub(crate) fn stop(&self) {
        self.state.lock().stopped = true;
        self.changed.notify_one();
    }

    /// The thread: freezes until there is room, each time it is called, and what is cold, from time to time.
    pub(crate) fn run(&self, kernel: &Kernel<H>) {
        let mut state = self.state.lock();
        // What ran last before this time slice has been waiting since `begun`.
        let (mut slice, mut begun) = (kernel.clock().begin_slice(), kernel.now());
        while !state.stopped {
            if !state.called {
                // While nothing runs, nothing more gets cold, and there is no reason to wake up.
                if self.dormant.load(Ordering::Relaxed) {
                    self.changed.wait(&mut state);
                } else {
                    self.changed.wait_until(&mut state, begun + COLD);
                }
            }
            let is_called = std::mem::take(&mut state.called);
            if is_called {
                if self.dormant.swap(false, Ordering::Relaxed) {
                    (slice, begun) = (kernel.clock().begin_slice(), kernel.now());
                }
                MutexGuard::unlocked(&mut state, || self.relieve(kernel));
            } else if !state.stopped && kernel.now().saturating_duration_since(begun) >= COLD {
                self.freeze_cold(kernel, slice as u32, &mut state);
                let is_idle = kernel.slices() == slice;
                self.dormant.store(is_idle, Ordering::Relaxed);
                (slice, begun) = (kernel.clock().begin_slice(), kernel.now());
            }
        }
    }

    /// Freezes until there is room.
    fn relieve(&self, kernel: &Kernel<H>) {
        while self.measure() && (self.freeze_candidates(kernel, BATCH) > 0 || self.freeze_round(kernel)) {}
        if !self.is_under_pressure() {
            // They keep the processes alive. Those that are still blocked are in the table, too.
            self.candidates.lock().clear();
        }
    }

    /// Freezes what has not run since that time slice, one part of the table after the other, until there is pressure.
    fn freeze_cold(&self, kernel: &Kernel<H>, slice: u32, state: &mut MutexGuard<'_, State>) {
        let mut next = 0;
        while !state.called && !state.stopped && next < kernel.process_slots() {
            let part = next..next.saturating_add(BATCH as u32);
            next = part.end;
            // Without the lock, which the clock needs at each of its looks.
            let frozen = MutexGuard::unlocked(state, || {
                let mut cold = Vec::new();
                kernel.for_each_process_in(part, |process| {
                    let age = slice.wrapping_sub(process.ran()).cast_signed();
                    if age > 0 && process.is_freezable() {
                        cold.push(process.clone());
                    }
                });
                let parts = cold.chunks(TOGETHER);
                parts.map(|part| freeze(kernel, part, COLD_PAGES_MAX)).sum::<usize>()
            });
            if frozen > 0 && !state.called && !state.stopped {
                self.changed.wait_for(state, COLD_PAUSE);
            }
        }
    }

    /// Freezes up to `count` of the processes that blocked first under pressure, and tells how many.
    pub(crate) fn freeze_candidates(&self, kernel: &Kernel<H>, count: usize) -> usize {
        let now = kernel.slices() as u32;
        let mut candidates = std::iter::from_fn(|| self.next_candidate(now));
        let mut frozen = 0;
        while frozen < count {
            let together: Vec<_> = candidates.by_ref().take(TOGETHER.min(count - frozen)).collect();
            if together.is_empty() {
                break;
            }
            frozen += freeze(kernel, &together, usize::MAX);
        }
        frozen
    }

    /// The next candidate that has rested for long enough.
    fn next_candidate(&self, now: u32) -> Option<Arc<Process<H>>> {
        let mut candidates = self.candidates.lock();
        loop {
            let (process, ran) = candidates.front()?;
            // One that has run since is in the list again, further behind.
            let is_stale = process.ran() != *ran;
            if !is_stale && now.wrapping_sub(*ran) < REST {
                return None;
            }
            let (process, _) = candidates.pop_front()?;
            if !is_stale {
                return Some(process);
            }
        }
    }

    /// Goes round the table once for each age, until some process was frozen.
    fn freeze_round(&self, kernel: &Kernel<H>) -> bool {
        let now = kernel.slices();
        if now < self.paused_until.load(Ordering::Relaxed) {
            return false;
        }
        let found = AGES.iter().any(|age| {
            let mut old = Vec::new();
            kernel.for_each_process(|process| {
                if process.is_freezable() && (now as u32).wrapping_sub(process.ran()) >= *age {
                    old.push(process.clone());
                }
            });
            let parts = old.chunks(TOGETHER).take_while(|_| self.measure());
            parts.map(|part| freeze(kernel, part, usize::MAX)).sum::<usize>() > 0
        });
        let pause = match found {
            true => ROUND_PAUSE * (kernel.slices() - now),
            false => PAUSE,
        };
        self.paused_until.store(kernel.slices() + pause, Ordering::Relaxed);
        found
    }

    fn measure(&self) -> bool {
        let pressure = lunatic_memory::resident_memory().is_some_and(|bytes| bytes > self.resident_max);
        self.pressure.store(pressure, Ordering::Relaxed);
        pressure
    }
}

/// Freezes those of the processes that are still blocked and hold at most so many pages, and tells how many.
fn freeze<H: Host<Body: Freezable>>(kernel: &Kernel<H>, processes: &[Arc<Process<H>>], pages_max: usize) -> usize {
    let mut pages = Vec::with_capacity(2 * processes.len());
    let freezing: Vec<_> = processes
        .iter()
        .filter(|process| process.is_freezable() && process.set_freezing())
        .collect();
    let mut count = 0;
    for process in &freezing {
        let freeze = |body: &mut H::Body| {
            let is_small = process.wait().0.is_freezable() && !body.holds_more_than(pages_max);
            // SAFETY: the process is out of reach of wake-ups until `set_blocked_again`, below, so no worker takes its
            // body to run or drop it, and `processes` keeps it alive.
            is_small && unsafe { body.freeze_into(&mut pages) }
        };
        // SAFETY: for the same reason its body belongs to this thread.
        let frozen = unsafe { process.with_suspended(freeze) };
        if frozen == Some(true) {
            process.set_frozen();
            count += 1;
        }
    }
    // Before any of them can run again, which would write to pages that are about to go.
    Pages::release_all(pages);
    for process in freezing {
        // It was woken meanwhile, and is in no queue yet.
        if !process.set_blocked_again() {
            kernel.requeue(process.clone());
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::running::RunningSystem;
    use crate::runtime::Runtime;
    use crate::system::SystemConfig;
    use crate::wasm::Process;

    /// Freezes what has not run since the slice.
    fn freeze_cold(runtime: &Runtime, slice: u64) {
        let hibernation = &runtime.kernel.host.hibernation;
        hibernation.freeze_cold(&runtime.kernel, slice as u32, &mut hibernation.state.lock());
    }

    /// A system whose main process writes to so many pages and sleeps.
    fn asleep(runtime: &Runtime, pages: usize) -> (RunningSystem, Arc<Process>) {
        let program = format!(
            r#"(module
                (import "lunatic::process" "sleep_ns" (func $sleep (param i64)))
                (memory (export "memory") 8)
                (func (export "_start") (local $at i32)
                    (loop $more
                        (i32.store (local.get $at) (i32.const 1))
                        (local.set $at (i32.add (local.get $at) (i32.const {page})))
                        (br_if $more (i32.lt_u (local.get $at) (i32.const {end}))))
                    (call $sleep (i64.const -1))))"#,
            page = lunatic_memory::page_size(),
            end = pages * lunatic_memory::page_size(),
        );
        let module = runtime.load(program.as_bytes()).unwrap();
        let system = runtime.start(&module, SystemConfig::default()).unwrap();
        let process = system.main_process().unwrap();
        while !process.is_freezable() {
            std::thread::yield_now();
        }
        (system, process)
    }

    #[test]
    fn who_waits_for_long_is_frozen_without_pressure_unless_it_is_large() {
        let runtime = Runtime::builder().workers(1).resident_max(usize::MAX).build().unwrap();
        let before = runtime.kernel.clock().begin_slice();
        let (_small, small) = asleep(&runtime, 3);
        let (_large, large) = asleep(&runtime, COLD_PAGES_MAX + 1);
        freeze_cold(&runtime, before);
        assert!(small.is_freezable(), "it has run since");
        freeze_cold(&runtime, runtime.kernel.clock().begin_slice());
        assert!(!small.is_freezable() && small.is_blocked());
        assert!(large.is_freezable());
    }

    #[test]
    fn when_nothing_runs_the_thread_sleeps_until_something_does() {
        let runtime = Runtime::builder().workers(1).resident_max(usize::MAX).build().unwrap();
        let hibernation = &runtime.kernel.host.hibernation;
        hibernation.dormant.store(true, Ordering::Relaxed);
        hibernation.look();
        // The thread takes the call, and says that it is awake again.
        while hibernation.state.lock().called || hibernation.dormant.load(Ordering::Relaxed) {
            std::thread::yield_now();
        }
    }
}
