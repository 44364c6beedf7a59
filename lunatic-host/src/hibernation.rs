//! Hibernation: waiting processes give their memory back.
//!
//! Of a blocked process, only its changes are needed. So its memory is compared with the module's image and its stack
//! with zeros, the differences are kept (some hundred bytes), and the pages are returned to the operating system.
//! Before the process runs again, or is unwound, everything is restored at the same addresses. Only the time that this
//! takes is noticeable.
//!
//! This happens to *cold* processes, which have waited for [`COLD`], as most connections of a server do. It also
//! happens under pressure, while the host holds more memory than [`Hibernation::resident_max`]. Processes that block
//! under pressure become *candidates*, and are frozen in the order in which they blocked, by the hibernation thread and
//! by workers: each sixteenth new instance waits until thirty-two candidates are frozen, so instances are never made
//! faster than they are frozen. Workers pass over large processes. Processes that had blocked before the pressure began are found by scanning the table of
//! processes; those that have not run for the longest time come first.
//!
//! # Who may touch what
//!
//! Only blocked processes are frozen, and only those that wait in the host's own calls. [`Process::set_freezing`]
//! ensures that a process cannot be woken meanwhile; wake-ups that arrive are delivered afterwards.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use lunatic_kernel::{Host, Kernel, Process};
use lunatic_memory::Pages;
use parking_lot::{Condvar, Mutex, MutexGuard};

/// A round freezes processes that have not run for this many time slices. If it finds none, the next round takes
/// younger ones.
const AGES: [u32; 3] = [1000, 100, REST];
/// No process is frozen until it has not run for this many time slices: one that is about to be woken again, such as
/// one that serves many others, would be thawed immediately. Its memory may be large, too.
const REST: u32 = 20;
/// How many processes are frozen together: giving pages back interrupts all workers, however many pages there are.
const TOGETHER: usize = 32;
/// The most pages with data of processes that are frozen together: none of them can be woken until all have been
/// packed. A process with more pages is frozen alone.
const TOGETHER_PAGES_MAX: usize = 512;
/// A worker leaves processes with more pages than this to the hibernation thread: nothing else runs on the worker while
/// it packs them.
const WORKER_PAGES_MAX: usize = TOGETHER_PAGES_MAX;
/// The pages with data that a process usually has, at most: a call that freezes candidates ends early if it has packed
/// more in total.
const USUAL_PAGES: usize = 16;
/// How many processes a worker looks at for each that it is to freeze, because some are too large.
const LOOKED_AT_FOR_EACH: usize = 4;
/// How many processes are frozen before the resident memory is checked again.
const BATCH: usize = 256;
/// How many time slices pass after unsuccessful rounds of all ages before the next round.
const PAUSE: u64 = 1000;
/// After any other round, the pause is this many times its duration: under lasting pressure, blocking processes are
/// frozen as candidates, and a round finds little more.
const ROUND_PAUSE: u64 = 8;

/// A process that has waited for this long is frozen even without pressure. Thawing it costs some ten microseconds, at
/// most once in this time.
const COLD: Duration = Duration::from_secs(5);
/// Unless it holds more pages than this: it cannot be woken while it is being packed.
const COLD_PAGES_MAX: usize = 64;
/// The pause after each batch of cold processes, which leaves the processor to running processes.
const COLD_PAUSE: Duration = Duration::from_millis(20);

/// A body whose pages can be packed while it is suspended.
pub(crate) trait Freezable {
    /// Packs the changes of the body. Its pages are added to `released`, and must still be released. Returns false if
    /// this is not possible, or has already been done.
    ///
    /// # Safety
    ///
    /// The body is neither run nor dropped before the added pages have been given to [`Pages::release_all`].
    unsafe fn freeze_into(&mut self, released: &mut Vec<Pages<'static>>) -> bool;

    /// The number of pages of its memory that hold data; 0 if they have been packed.
    fn resident_pages(&mut self) -> usize;
}

pub(crate) struct Hibernation<H: Host> {
    /// The resident memory in bytes above which processes are frozen.
    resident_max: usize,
    pressure: AtomicBool,
    /// Instances that were made under pressure.
    made: AtomicU64,
    /// Each with the time slice in which it last ran.
    candidates: Mutex<VecDeque<(Arc<Process<H>>, u32)>>,
    /// The time slice before which no round begins.
    paused_until: AtomicU64,
    /// Nothing has run since all cold processes were frozen: the thread sleeps until it is called.
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

    /// Whether every process is frozen whenever it blocks: with a limit of 0 bytes, for tests.
    pub(crate) fn is_eager(&self) -> bool {
        self.resident_max == 0
    }

    /// Whether the host holds more memory than it should.
    pub(crate) fn is_under_pressure(&self) -> bool {
        self.pressure.load(Ordering::Relaxed)
    }

    /// Called before a worker makes an instance.
    pub(crate) fn makes_instance(&self, kernel: &Kernel<H>) {
        if self.is_under_pressure()
            && self
                .made
                .fetch_add(1, Ordering::Relaxed)
                .is_multiple_of(TOGETHER as u64 / 2)
        {
            self.freeze_candidates(kernel, TOGETHER, WORKER_PAGES_MAX);
        }
    }

    /// Records that a process has blocked under pressure.
    pub(crate) fn add_candidate(&self, process: &Arc<Process<H>>) {
        if process.wait().0.is_freezable() {
            self.candidates.lock().push_back((process.clone(), process.ran()));
        }
    }

    /// Checks how much memory the host holds, and calls the thread if that is too much or if processes run again.
    /// Called by the clock.
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

    /// The thread: freezes until there is room, each time it is called, and freezes cold processes from time to time.
    pub(crate) fn run(&self, kernel: &Kernel<H>) {
        let mut state = self.state.lock();
        // A process that last ran before this time slice has been waiting since `begun`.
        let (mut slice, mut begun) = (kernel.clock().begin_slice(), kernel.now());
        while !state.stopped {
            if !state.called {
                // While nothing runs, no further process becomes cold, so there is no reason to wake up.
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
        while self.measure() && (self.freeze_candidates(kernel, BATCH, usize::MAX) > 0 || self.freeze_round(kernel)) {}
        if !self.is_under_pressure() {
            // The list keeps processes alive. Those that are still blocked are in the table as well.
            self.candidates.lock().clear();
        }
    }

    /// Freezes processes that have not run since that time slice, one part of the table after another, until there is
    /// pressure.
    fn freeze_cold(&self, kernel: &Kernel<H>, slice: u32, state: &mut MutexGuard<'_, State>) {
        let mut next = 0;
        while !state.called && !state.stopped && next < kernel.process_slots() {
            let part = next..next.saturating_add(BATCH as u32);
            next = part.end;
            // Without the lock, which the clock needs for each of its checks.
            let frozen = MutexGuard::unlocked(state, || {
                let mut cold = Vec::new();
                kernel.for_each_process_in(part, |process| {
                    let age = slice.wrapping_sub(process.ran()).cast_signed();
                    if age > 0 && process.is_freezable() {
                        cold.push(process.clone());
                    }
                });
                freeze(kernel, &cold, COLD_PAGES_MAX)
            });
            if frozen > 0 && !state.called && !state.stopped {
                self.changed.wait_for(state, COLD_PAUSE);
            }
        }
    }

    /// Freezes up to `count` of the processes that blocked first under pressure, and returns how many; fewer if these
    /// have many pages. Passes over those with more than `pages_max` pages, which the rounds find.
    fn freeze_candidates(&self, kernel: &Kernel<H>, count: usize, pages_max: usize) -> usize {
        let now = kernel.slices() as u32;
        let mut batch = Batch::new(kernel, pages_max);
        let mut looked_at = 0;
        while batch.frozen < count
            && looked_at < count * LOOKED_AT_FOR_EACH
            && batch.packed < count * USUAL_PAGES
            && let Some(process) = self.next_candidate(now)
        {
            batch.add(process);
            looked_at += 1;
        }
        batch.frozen
    }

    /// The next candidate that has rested for long enough.
    fn next_candidate(&self, now: u32) -> Option<Arc<Process<H>>> {
        let mut candidates = self.candidates.lock();
        loop {
            let (process, ran) = candidates.front()?;
            // A process that has run since is in the list again, further back.
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

    /// Scans the table once per age, until some process was frozen.
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

/// Freezes those of the processes that are still blocked and hold at most this many pages, and returns how many.
fn freeze<H: Host<Body: Freezable>>(kernel: &Kernel<H>, processes: &[Arc<Process<H>>], pages_max: usize) -> usize {
    let mut batch = Batch::new(kernel, pages_max);
    processes.iter().for_each(|process| batch.add(process.clone()));
    batch.frozen
}

/// Freezes processes, some of them together. Those that have been packed last cannot be woken until the batch ends, at
/// the latest when it is dropped.
struct Batch<'a, H: Host<Body: Freezable>> {
    kernel: &'a Kernel<H>,
    /// Larger processes are left alone.
    pages_max: usize,
    /// The processes that cannot be woken, and the pages of theirs that must still be released.
    together: Vec<Arc<Process<H>>>,
    released: Vec<Pages<'static>>,
    /// The number of pages with data that these processes had.
    together_pages: usize,
    /// How many processes have been frozen so far, and how many pages with data they had.
    frozen: usize,
    packed: usize,
}

impl<'a, H: Host<Body: Freezable>> Batch<'a, H> {
    fn new(kernel: &'a Kernel<H>, pages_max: usize) -> Self {
        Self {
            kernel,
            pages_max,
            together: Vec::new(),
            released: Vec::new(),
            together_pages: 0,
            frozen: 0,
            packed: 0,
        }
    }

    /// Freezes a process if it is still blocked and not too large.
    fn add(&mut self, process: Arc<Process<H>>) {
        if !process.is_freezable() || !process.set_freezing() {
            return;
        }
        let look = |body: &mut H::Body| process.wait().0.is_freezable().then(|| body.resident_pages());
        // SAFETY: the process cannot be woken until `let_go`, so no worker takes its body to run or drop it: the body
        // belongs to this thread.
        let pages = unsafe { process.with_suspended(look) }.flatten();
        let Some(pages) = pages.filter(|pages| *pages <= self.pages_max) else {
            return self.let_go(process);
        };
        if self.together.len() == TOGETHER || self.together_pages + pages > TOGETHER_PAGES_MAX {
            self.end();
        }
        let released = &mut self.released;
        // SAFETY: for the same reason, nobody runs or drops the body before `end` releases the pages and lets the process
        // go; until then, `together` keeps it alive.
        let freeze = |body: &mut H::Body| unsafe { body.freeze_into(released) };
        // SAFETY: as above, the body belongs to this thread.
        if unsafe { process.with_suspended(freeze) } == Some(true) {
            process.set_frozen();
            self.frozen += 1;
            self.packed += pages;
        }
        self.together_pages += pages;
        self.together.push(process);
    }

    /// Releases the pages that have been packed, and then lets their processes be woken again.
    fn end(&mut self) {
        // Before any of them can run again, and write to pages that are about to be released.
        Pages::release_all(std::mem::take(&mut self.released));
        self.together_pages = 0;
        for process in std::mem::take(&mut self.together) {
            self.let_go(process);
        }
    }

    fn let_go(&self, process: Arc<Process<H>>) {
        // It was woken meanwhile, and is in no queue yet.
        if !process.set_blocked_again() {
            self.kernel.requeue(process);
        }
    }
}

impl<H: Host<Body: Freezable>> Drop for Batch<'_, H> {
    fn drop(&mut self) {
        self.end();
    }
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

    /// A system whose main process writes to a given number of pages and sleeps.
    fn asleep(runtime: &Runtime, pages: usize) -> (RunningSystem, Arc<Process>) {
        let program = format!(
            r#"(module
                (import "lunatic::process" "sleep_ns" (func $sleep (param i64)))
                (memory (export "memory") 64)
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
    fn a_worker_leaves_a_large_process_to_the_thread() {
        let runtime = Runtime::builder().workers(1).resident_max(usize::MAX).build().unwrap();
        let (_large, large) = asleep(&runtime, WORKER_PAGES_MAX + 1);
        let all = [large.clone()];
        assert_eq!(freeze(&runtime.kernel, &all, WORKER_PAGES_MAX), 0);
        assert!(large.is_freezable());
        assert_eq!(freeze(&runtime.kernel, &all, usize::MAX), 1);
        assert!(!large.is_freezable() && large.is_blocked());
    }

    /// Whether this blocked process can be woken, because no batch holds it.
    fn can_be_woken(process: &Process) -> bool {
        let is_free = process.set_freezing();
        assert!(!is_free || process.set_blocked_again(), "nobody wakes it");
        is_free
    }

    #[test]
    fn processes_with_many_pages_do_not_wait_for_each_other() {
        let runtime = Runtime::builder().workers(1).resident_max(usize::MAX).build().unwrap();
        let [(_one, one), (_two, two), (_three, three)] =
            [(); 3].map(|()| asleep(&runtime, TOGETHER_PAGES_MAX * 2 / 5));
        let mut batch = Batch::new(&runtime.kernel, usize::MAX);
        for process in [&one, &two] {
            batch.add(process.clone());
        }
        assert!(!can_be_woken(&one) && !can_be_woken(&two), "they are released together");
        batch.add(three.clone());
        assert!(can_be_woken(&one) && can_be_woken(&two) && !can_be_woken(&three));
        assert_eq!(batch.frozen, 3);
        drop(batch);
        assert!(can_be_woken(&three));
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
