//! A process: its identity, its life, and the task that a worker runs.
//!
//! [`state`] describes its states, and who may change them.

pub(crate) mod life;
mod owned;
pub mod state;
pub(crate) mod waiting;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread::LocalKey;

use self::life::Life;
use self::owned::Owned;
use self::state::State;
pub use self::waiting::WaitFor;
use self::waiting::Waiting;
use crate::address::Id;
use crate::arrivals::Moment;
use crate::budget::{Exhausted, Payer, Purse};
use crate::exit::ExitReason;
use crate::host::{Host, Local};
use crate::latch::Latch;
use crate::relations::{Intake, Relations};
use crate::scheduler::{Place, Runnable};
use crate::system::System;

/// What a worker needs to run a process.
pub(crate) enum Task<H: Host> {
    /// It has not run yet, and has no body: it costs only its entry.
    Fresh(H::Entry),
    /// It was stopped inside a host call, or was preempted.
    Suspended(H::Body),
    /// A worker has it, or it has ended.
    Taken,
}

/// If this many of its last runs all ended in a wait, a process is considered to have short runs;
const SHORT_RUNS: u32 = 8;
/// and if none of its runs exceeded any of this many last time slices, to compute little.
const IDLE_SLICES: u32 = 64;

/// A process is assumed to be in the cache of its worker until the worker has run this many others.
const NEAR_RUNS: u32 = 32;

/// A process.
pub struct Process<H: Host> {
    /// Its name in the kernel.
    pub id: Id,
    /// The process that spawned it; `None` for the main process.
    pub parent: Option<Id>,
    /// What the host keeps for it.
    pub local: H::Local,
    /// Its system.
    pub system: Arc<System<H>>,
    task: Owned<Task<H>>,
    state: State,
    waiting: Waiting,
    /// Whether it counts as waiting for something outside.
    outside: AtomicBool,
    /// The time slice in which it last began to run.
    ran: AtomicU32,
    /// The time slice in which it was spawned.
    born: u32,
    /// How often a worker has started to run it.
    runs: AtomicU32,
    /// The number of its last run that used up its time slice, and the number of that slice.
    preempted_run: AtomicU32,
    preempted_slice: AtomicU32,
    /// How many processes its worker had taken from its queues when it took this one last.
    picked: AtomicU32,
    /// How often a run ended with its time slice, and not in a wait.
    preempted: AtomicU32,
    /// When it last stopped running, in milliseconds modulo 2³².
    stopped: AtomicU32,
    /// The number of time slices that ended while it ran.
    slices: AtomicU64,
    frozen: AtomicBool,
    /// Whether it waits only for its share of a core: it stopped at the end of a time slice, not in a host call.
    throttled: AtomicBool,
    pub(crate) life: Latch<Life<Process<H>, H::Belongings>>,
}

/// What a new process is made of, except its id.
pub struct Seed<H: Host> {
    /// How it begins.
    pub entry: H::Entry,
    /// What the host keeps for it.
    pub local: H::Local,
    /// What replaces its mailbox, if anything does.
    pub intake: Option<Box<dyn Intake>>,
}

impl<H: Host> Process<H> {
    pub(crate) fn new(id: Id, parent: Option<Id>, system: Arc<System<H>>, seed: Seed<H>, slice: u64) -> Self {
        let relations = seed.intake.map(|intake| Box::new(Relations::with_intake(intake)));
        Self {
            id,
            parent,
            local: seed.local,
            system,
            task: Owned::new(Task::Fresh(seed.entry)),
            state: State::new(),
            waiting: Waiting::default(),
            outside: AtomicBool::new(false),
            ran: AtomicU32::new(0),
            born: slice as u32,
            runs: AtomicU32::new(0),
            preempted_run: AtomicU32::new(0),
            preempted_slice: AtomicU32::new(slice as u32),
            picked: AtomicU32::new(0),
            preempted: AtomicU32::new(0),
            stopped: AtomicU32::new(0),
            slices: AtomicU64::new(0),
            frozen: AtomicBool::new(false),
            throttled: AtomicBool::new(false),
            life: Latch::new(Life::new(relations)),
        }
    }

    /// Called by a worker that took the process from a queue; false if the worker must leave it alone.
    pub(crate) fn claim(&self) -> bool {
        self.state.claim()
    }

    /// Takes the task, for the worker that has claimed the process.
    ///
    /// # Safety
    ///
    /// The caller owns the process, as [`Owned::with`] describes.
    pub(crate) unsafe fn take_task(&self) -> Task<H> {
        // SAFETY: the caller owns the process.
        unsafe { self.task.with(|task| std::mem::replace(task, Task::Taken)) }
    }

    /// Puts back the task that was [taken](Self::take_task).
    ///
    /// # Safety
    ///
    /// As for [`take_task`](Self::take_task).
    pub(crate) unsafe fn put_task(&self, task: Task<H>) {
        // SAFETY: the caller owns the process.
        unsafe { self.task.with(|place| *place = task) }
    }

    /// Takes the task of a process that has not ended, when no worker is left, so that nobody else can reach it.
    pub(crate) fn take_apart(&self) -> Option<Task<H>> {
        // SAFETY: from now on, the process has ended for everyone else.
        self.state.seize().then(|| unsafe { self.take_task() })
    }

    /// The worker that has claimed the process starts to run it.
    pub(crate) fn set_running(&self, slice: u64) {
        self.ran.store(slice as u32, Ordering::Relaxed);
        // Only the worker that has the process counts. It never becomes 0 again, which marks a process that has not
        // begun.
        let runs = self.runs.load(Ordering::Relaxed).wrapping_add(1).max(1);
        self.runs.store(runs, Ordering::Relaxed);
        self.frozen.store(false, Ordering::Relaxed);
        self.throttled.store(false, Ordering::Relaxed);
    }

    /// The worker that has the process stops running it.
    pub(crate) fn set_stopped(&self, now: Moment) {
        self.stopped.store(now.0 as u32, Ordering::Relaxed);
    }

    /// How long ago it last stopped running, in milliseconds modulo 2³².
    pub(crate) fn stopped_for(&self, now: Moment) -> u32 {
        (now.0 as u32).wrapping_sub(self.stopped.load(Ordering::Relaxed))
    }

    /// Called by its worker when its time slice is over: returns whether this was an exception, in the middle of a
    /// short run of a process that computes little.
    ///
    /// Every second end of a slice hits a process that computes half of the time; one in a hundred hits a process that
    /// computes for a hundredth.
    pub(crate) fn set_preempted(&self, slice: u64) -> bool {
        let (run, slice) = (self.runs(), slice as u32);
        let runs = run.wrapping_sub(self.preempted_run.swap(run, Ordering::Relaxed));
        let slices = slice.wrapping_sub(self.preempted_slice.swap(slice, Ordering::Relaxed));
        runs > SHORT_RUNS && slices > IDLE_SLICES
    }

    /// Makes the next end of a time slice count as an exception: someone waits for the process, as if it had just been
    /// woken. Must be called by the worker that has it.
    pub fn excuse(&self, slice: u64) {
        let (run, slice) = (self.runs(), slice as u32);
        self.preempted_run
            .store(run.wrapping_sub(SHORT_RUNS + 1), Ordering::Relaxed);
        self.preempted_slice
            .store(slice.wrapping_sub(IDLE_SLICES + 1), Ordering::Relaxed);
    }

    /// Adds ends of time slices while it ran. Must be called by the worker that has it.
    pub(crate) fn add_slices(&self, slices: u64) {
        if slices > 0 {
            self.slices
                .store(self.slices.load(Ordering::Relaxed) + slices, Ordering::Relaxed);
        }
    }

    /// Called when the worker has put the task back. True if the process is blocked now, and the caller must check
    /// whether it has been killed; false if it was woken meanwhile, and the caller must queue it.
    pub(crate) fn set_blocked(&self) -> bool {
        self.state.block()
    }

    /// Prevents a blocked process from being woken, so that its memory can be frozen; false if it is not blocked.
    pub fn set_freezing(&self) -> bool {
        self.state.freeze()
    }

    /// Makes the process blocked as before; false if it was woken meanwhile and the caller must
    /// [queue](crate::kernel::Kernel::requeue) it.
    pub fn set_blocked_again(&self) -> bool {
        self.state.block_again()
    }

    /// Called before the process, which is new or whose task has been put back, is queued.
    pub(crate) fn set_queued(&self) {
        self.state.queue();
    }

    /// Asks the process to end. The caller wakes it, so that a worker notices.
    pub(crate) fn kill(&self) {
        self.state.kill();
    }

    /// Called after it was killed. True if it is queued, and the caller must queue it once more.
    pub(crate) fn hurry(&self) -> bool {
        self.state.hurry()
    }

    /// Returns whether it was killed, alone or with its whole system, and does not run any more.
    pub fn is_killed(&self) -> bool {
        self.state.is_killed() || self.system.is_over()
    }

    /// Whether it was itself told to end: whatever is sent to it from now on is too late.
    pub(crate) fn is_doomed(&self) -> bool {
        self.state.is_killed()
    }

    /// Records what the process is about to wait for: `what` is the id of the channel or process.
    pub fn set_wait(&self, kind: WaitFor, what: Id) {
        self.waiting.set(kind, what);
    }

    /// Returns what it waits for, or waited for last.
    pub fn wait(&self) -> (WaitFor, Id) {
        self.waiting.get()
    }

    pub(crate) fn set_outside(&self) {
        self.outside.store(true, Ordering::Relaxed);
    }

    pub(crate) fn take_outside(&self) -> bool {
        self.outside.load(Ordering::Relaxed) && self.outside.swap(false, Ordering::Relaxed)
    }

    /// Takes the entry of a process that has not run yet, if it `fits`.
    ///
    /// # Safety
    ///
    /// The caller has claimed the process, as [`Kernel::next_fresh`] does, and has not moved it on.
    ///
    /// [`Kernel::next_fresh`]: crate::kernel::Kernel::next_fresh
    pub unsafe fn take_fresh(&self, fits: impl FnOnce(&H::Entry) -> bool) -> Option<H::Entry> {
        let take = |task: &mut Task<H>| match std::mem::replace(task, Task::Taken) {
            Task::Fresh(entry) if fits(&entry) => Some(entry),
            other => {
                *task = other;
                None
            }
        };
        // SAFETY: the caller has claimed the process.
        unsafe { self.task.with(take) }
    }

    /// Returns whether a worker has started to run it, even if only to end it.
    pub fn has_begun(&self) -> bool {
        self.runs() > 0
    }

    /// Calls `f` with the body of a suspended process.
    ///
    /// # Safety
    ///
    /// The caller has [prevented the process from being woken](Self::set_freezing), and has not [moved it
    /// on](Self::set_blocked_again). `f` does not call this for the same process.
    pub unsafe fn with_suspended<T>(&self, f: impl FnOnce(&mut H::Body) -> T) -> Option<T> {
        let with_body = |task: &mut Task<H>| match task {
            Task::Suspended(body) => Some(f(body)),
            _ => None,
        };
        // SAFETY: nobody else can move the process on, so it belongs to the caller.
        unsafe { self.task.with(with_body) }
    }

    /// Returns the time slice in which it last began to run.
    pub fn ran(&self) -> u32 {
        self.ran.load(Ordering::Relaxed)
    }

    /// The time slice in which it was spawned.
    pub(crate) fn born(&self) -> u32 {
        self.born
    }

    /// Returns how often it has begun to run, modulo 2³².
    pub fn runs(&self) -> u32 {
        self.runs.load(Ordering::Relaxed)
    }

    /// Counts a run that ended with its time slice. Must be called by the worker that has it.
    pub(crate) fn count_preempted(&self) {
        let preempted = self.preempted.load(Ordering::Relaxed);
        self.preempted.store(preempted.wrapping_add(1), Ordering::Relaxed);
    }

    /// Returns how often it has waited, or was about to, modulo 2³²; one more while it runs.
    pub fn waits(&self) -> u32 {
        self.runs().wrapping_sub(self.preempted.load(Ordering::Relaxed))
    }

    /// The number of time slices that ended while it ran.
    pub(crate) fn slices(&self) -> u64 {
        self.slices.load(Ordering::Relaxed)
    }

    /// Returns whether it waits and has not been woken.
    pub fn is_blocked(&self) -> bool {
        self.state.is_waiting()
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// Returns whether it is blocked in a call of the host itself, and not frozen yet.
    pub fn is_freezable(&self) -> bool {
        self.state.is_blocked() && self.is_at_rest() && !self.is_frozen()
    }

    /// Returns whether, if it is blocked, it waits in a call of the host itself, where nobody else uses its memory.
    pub fn is_at_rest(&self) -> bool {
        self.wait().0.is_freezable() && !self.throttled.load(Ordering::Relaxed)
    }

    /// Records that it waits only for its share of a core. Must be called before it is blocked.
    pub(crate) fn set_throttled(&self) {
        self.throttled.store(true, Ordering::Relaxed);
    }

    /// Returns whether, if it is blocked, it waits only for its share of a core.
    pub fn is_throttled(&self) -> bool {
        self.throttled.load(Ordering::Relaxed)
    }

    /// Records that its memory has been frozen.
    pub fn set_frozen(&self) {
        self.frozen.store(true, Ordering::Relaxed);
    }

    /// Returns whether its memory is frozen.
    pub fn is_frozen(&self) -> bool {
        self.frozen.load(Ordering::Relaxed)
    }

    /// Registers `joiner` to be woken at the end of this process, or returns how it ended.
    pub fn join(&self, joiner: &Arc<Self>) -> Option<ExitReason> {
        self.life.lock().join(joiner)
    }

    /// Undoes `join`.
    pub fn unjoin(&self, joiner: &Arc<Self>) {
        self.life.lock().unjoin(joiner);
    }

    /// Calls `f` with the belongings of the process; `None` if it has ended.
    pub fn with_belongings<T>(&self, f: impl FnOnce(&mut H::Belongings) -> T) -> Option<T> {
        match &mut *self.life.lock() {
            Life::Alive { belongings, .. } => Some(f(belongings)),
            Life::Ending { .. } | Life::Ended(_) => None,
        }
    }

    /// Calls `f` with the relations of the process, and then charges the process for their growth. If it cannot pay, it
    /// must end; a caller that is another process then wakes it ([`Kernel::wake_doomed`]).
    ///
    /// [`Kernel::wake_doomed`]: crate::kernel::Kernel::wake_doomed
    ///
    /// # Errors
    ///
    /// The exit reason of the process, if it has ended.
    pub fn relate<T>(&self, f: impl FnOnce(&mut Relations) -> T) -> Result<T, ExitReason> {
        self.relate_paid(|relations| {
            let result = f(relations);
            self.settle(relations);
            result
        })
    }

    /// [`relate`](Self::relate), where `f` itself charges the process.
    pub(crate) fn relate_paid<T>(&self, f: impl FnOnce(&mut Relations) -> T) -> Result<T, ExitReason> {
        match &mut *self.life.lock() {
            Life::Alive { relations, .. } => Ok(f(relations.get_or_insert_default())),
            Life::Ending { reason, .. } | Life::Ended(reason) => Err(reason.clone()),
        }
    }

    /// Whether the process can pay for one more relation. If not, it must end.
    pub(crate) fn has_room(&self, relations: &mut Relations) -> bool {
        match relations.check_room(self.purse()) {
            Ok(()) => true,
            Err(exhausted) => {
                self.run_out(relations, exhausted);
                false
            }
        }
    }

    /// Charges the process for the growth of its relations; if it cannot pay, it must end.
    pub(crate) fn settle(&self, relations: &mut Relations) {
        if let Err(exhausted) = relations.settle(self.purse()) {
            self.run_out(relations, exhausted);
        }
    }

    /// Records that the process cannot pay for what was sent to it, and must end.
    pub(crate) fn run_out(&self, relations: &mut Relations, exhausted: Exhausted) {
        // The first reason stands, also that of a kill.
        if !self.is_doomed() {
            let reason = || {
                ExitReason::OutOfMemory(format!(
                    "the memory that the host keeps for it exceeds its budget: {exhausted}"
                ))
            };
            relations.doom.get_or_insert_with(reason);
        }
        self.kill();
    }

    /// [`relate`](Self::relate), for the running process.
    ///
    /// # Panics
    ///
    /// If the process has ended.
    pub fn relate_self<T>(&self, f: impl FnOnce(&mut Relations) -> T) -> T {
        let result = self.relate(f);
        result.unwrap_or_else(|_| unreachable!("a process that runs has not ended"))
    }

    /// [`relate_self`](Self::relate_self), where `f` changes only messages.
    ///
    /// # Panics
    ///
    /// If the process has ended.
    pub(crate) fn relate_messages<T>(&self, f: impl FnOnce(&mut Relations) -> T) -> T {
        let result = self.relate_paid(|relations| {
            let result = f(relations);
            if let Err(exhausted) = relations.settle_messages(self.purse()) {
                self.run_out(relations, exhausted);
            }
            result
        });
        result.unwrap_or_else(|_| unreachable!("a process that runs has not ended"))
    }

    /// Calls `f` with the relations of the process, if it is alive and has any.
    pub(crate) fn peek<T>(&self, f: impl FnOnce(&Relations) -> T) -> Option<T> {
        match &*self.life.lock() {
            Life::Alive {
                relations: Some(relations),
                ..
            } => Some(f(relations)),
            _ => None,
        }
    }

    /// Whether the process has used up its CPU time, and must end for that reason.
    pub(crate) fn is_out_of_budget(&self) -> bool {
        let spent = self.local.budget().is_some_and(|budget| budget.is_spent());
        if spent && !self.is_killed() {
            let _ = self.relate(|relations| relations.doom.get_or_insert(ExitReason::OutOfBudget).clone());
            self.kill();
        }
        spent
    }

    /// The exit reason of a process that must end.
    pub(crate) fn doom(&self) -> ExitReason {
        let doom = match &mut *self.life.lock() {
            Life::Alive {
                relations: Some(relations),
                ..
            } => relations.doom.take(),
            _ => None,
        };
        doom.unwrap_or(ExitReason::Killed)
    }

    /// Sets whether exit signals become mail; returns whether they did before.
    pub fn trap_exits(&self, on: bool) -> bool {
        self.relate_self(|relations| std::mem::replace(&mut relations.traps_exits, on))
    }

    /// Returns a name under which the process is registered.
    pub fn first_name(&self) -> Option<String> {
        self.peek(|relations| relations.membership.first_name()).flatten()
    }

    /// Returns a name and the links of the process, for reports.
    pub fn acquaintances(&self) -> (Option<String>, (Vec<Id>, usize)) {
        let known = self.peek(|relations| (relations.membership.first_name(), relations.some_links()));
        known.unwrap_or_default()
    }

    /// Begins the end: returns the relations, whose processes must be notified, and the belongings, which must be
    /// released. `None` if the end has already begun.
    pub(crate) fn set_ending(&self, reason: ExitReason) -> Option<(Option<Box<Relations>>, H::Belongings)> {
        self.state.end();
        self.life.lock().begin_end(reason)
    }

    /// Completes the end, after all have been notified: returns the joiners.
    pub(crate) fn set_ended(&self) -> Vec<Arc<Self>> {
        self.life.lock().complete_end()
    }
}

impl<H: Host> Payer for Process<H> {
    fn purse(&self) -> Purse<'_> {
        Purse::new(self.local.budget(), &self.system.host)
    }
}

impl<H: Host> Payer for Arc<Process<H>> {
    fn purse(&self) -> Purse<'_> {
        (**self).purse()
    }
}

impl<H: Host> Runnable for Process<H> {
    fn set_woken(&self) -> bool {
        self.state.wake()
    }

    fn expect_run(&self, picks: u32) {
        if picks.wrapping_sub(self.picked.load(Ordering::Relaxed)) > NEAR_RUNS {
            H::expect_run(self);
        }
    }

    fn set_picked(&self, picks: u32) {
        self.picked.store(picks, Ordering::Relaxed);
    }

    fn place() -> &'static LocalKey<Place<Self>> {
        H::place()
    }
}
