//! A process: identity, life and the task that a worker runs.
//!
//! What state it is in, and who may change that: [`state`].

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
use crate::budget::{Exhausted, Payer, Purse};
use crate::exit::ExitReason;
use crate::host::{Host, Local};
use crate::latch::Latch;
use crate::relations::{Intake, Relations};
use crate::scheduler::{Place, Runnable};
use crate::system::System;

/// What a worker needs to run a process.
pub(crate) enum Task<H: Host> {
    /// It has not run yet, and has no body: it costs what it begins with.
    Fresh(H::Entry),
    /// It stopped inside a call of the host's or was preempted.
    Suspended(H::Body),
    /// A worker has it, or it has ended.
    Taken,
}

/// A process whose last runs, so many, all ended in a wait, is taken for one whose runs are short,
const SHORT_RUNS: u32 = 8;
/// and if none was over with any of the last time slices, so many, for one that computes little.
const IDLE_SLICES: u32 = 64;

/// A process is taken to be in the cache of its worker while that has run no more than so many since.
const NEAR_RUNS: u32 = 32;

/// One process.
pub struct Process<H: Host> {
    /// Its name in the kernel.
    pub id: Id,
    /// Who spawned it; none spawned the main process.
    pub parent: Option<Id>,
    /// What the host keeps with it.
    pub local: H::Local,
    /// The system that it belongs to.
    pub system: Arc<System<H>>,
    task: Owned<Task<H>>,
    state: State,
    waiting: Waiting,
    /// It is counted among those that wait for something outside.
    outside: AtomicBool,
    /// The time slice in which it last began to run.
    ran: AtomicU32,
    /// The time slice in which it was spawned.
    born: u32,
    /// How often a worker has begun to run it.
    runs: AtomicU32,
    /// Which of these last used up its time slice, and which slice that was.
    preempted_run: AtomicU32,
    preempted_slice: AtomicU32,
    /// How many its worker had taken from its queues when it was taken last.
    picked: AtomicU32,
    /// How often that ended with its time slice, and not because it waited.
    preempted: AtomicU32,
    /// Time slices that ended while it ran.
    slices: AtomicU64,
    frozen: AtomicBool,
    /// It could run, but for its share of a core: it is where its time slice ended, not in a host call.
    throttled: AtomicBool,
    pub(crate) life: Latch<Life<Process<H>, H::Belongings>>,
}

/// What a new process is made of, beside its id.
pub struct Seed<H: Host> {
    /// How it begins.
    pub entry: H::Entry,
    /// What the host keeps with it.
    pub local: H::Local,
    /// What takes the place of its mailbox, if anything does.
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
            slices: AtomicU64::new(0),
            frozen: AtomicBool::new(false),
            throttled: AtomicBool::new(false),
            life: Latch::new(Life::new(relations)),
        }
    }

    /// A worker took the process from a queue and is to run it; false if it is to leave it alone.
    pub(crate) fn claim(&self) -> bool {
        self.state.claim()
    }

    /// Takes the task out, for the worker that has claimed the process.
    ///
    /// # Safety
    ///
    /// The caller owns the process, as [`Owned::with`] says.
    pub(crate) unsafe fn take_task(&self) -> Task<H> {
        // SAFETY: the caller owns the process.
        unsafe { self.task.with(|task| std::mem::replace(task, Task::Taken)) }
    }

    /// Puts the task back that was [taken](Self::take_task).
    ///
    /// # Safety
    ///
    /// As for [`take_task`](Self::take_task).
    pub(crate) unsafe fn put_task(&self, task: Task<H>) {
        // SAFETY: the caller owns the process.
        unsafe { self.task.with(|place| *place = task) }
    }

    /// No worker is left. Takes the task of the process, which has not ended, out of reach of all others.
    pub(crate) fn take_apart(&self) -> Option<Task<H>> {
        // SAFETY: from now on the process has ended for all others.
        self.state.seize().then(|| unsafe { self.take_task() })
    }

    /// The worker that has claimed the process starts to run it.
    pub(crate) fn set_running(&self, slice: u64) {
        self.ran.store(slice as u32, Ordering::Relaxed);
        // Only the worker that has the process counts. Never 0 again: that is a process that has not begun.
        let runs = self.runs.load(Ordering::Relaxed).wrapping_add(1).max(1);
        self.runs.store(runs, Ordering::Relaxed);
        self.frozen.store(false, Ordering::Relaxed);
        self.throttled.store(false, Ordering::Relaxed);
    }

    /// Its time slice is over: whether that came as an exception, in the middle of a short run of a process that computes little.
    /// To be called by the worker that has it.
    ///
    /// Who computes half of the time is hit by every second end of a slice, who computes a hundredth by one in a hundred.
    pub(crate) fn set_preempted(&self, slice: u64) -> bool {
        let (run, slice) = (self.runs(), slice as u32);
        let runs = run.wrapping_sub(self.preempted_run.swap(run, Ordering::Relaxed));
        let slices = slice.wrapping_sub(self.preempted_slice.swap(slice, Ordering::Relaxed));
        runs > SHORT_RUNS && slices > IDLE_SLICES
    }

    /// The next end of a time slice counts as an exception: somebody waits for what it does, as if it had been woken just now. To be
    /// called by the worker that has it.
    pub fn excuse(&self, slice: u64) {
        let (run, slice) = (self.runs(), slice as u32);
        self.preempted_run
            .store(run.wrapping_sub(SHORT_RUNS + 1), Ordering::Relaxed);
        self.preempted_slice
            .store(slice.wrapping_sub(IDLE_SLICES + 1), Ordering::Relaxed);
    }

    /// It ran for so many ends of time slices more. To be called by the worker that has it.
    pub(crate) fn add_slices(&self, slices: u64) {
        if slices > 0 {
            self.slices
                .store(self.slices.load(Ordering::Relaxed) + slices, Ordering::Relaxed);
        }
    }

    /// The worker has put the task back. True if the process is blocked now, and the caller must look whether it has been
    /// killed; false if it was woken meanwhile and the caller must queue it.
    pub(crate) fn set_blocked(&self) -> bool {
        self.state.block()
    }

    /// Takes a blocked process out of reach of wake-ups, so that its memory can be frozen; false if it is not blocked.
    pub fn set_freezing(&self) -> bool {
        self.state.freeze()
    }

    /// The process is blocked as before; false if it was woken meanwhile and the caller must
    /// [queue](crate::kernel::Kernel::requeue) it.
    pub fn set_blocked_again(&self) -> bool {
        self.state.block_again()
    }

    /// Whoever has the process, new or with its task put back, will queue it.
    pub(crate) fn set_queued(&self) {
        self.state.queue();
    }

    /// Asks the process to end. The caller wakes it, so that a worker sees that.
    pub(crate) fn kill(&self) {
        self.state.kill();
    }

    /// It was killed. True if it waits for its turn, and the caller must queue it once more.
    pub(crate) fn hurry(&self) -> bool {
        self.state.hurry()
    }

    /// It was killed, alone or with its whole system, and runs no more.
    pub fn is_killed(&self) -> bool {
        self.state.is_killed() || self.system.is_over()
    }

    /// It was told to end, itself: what is sent to it from now on comes after that.
    pub(crate) fn is_doomed(&self) -> bool {
        self.state.is_killed()
    }

    /// What the process is about to wait for: `what` is the id of the channel or process.
    pub fn set_wait(&self, kind: WaitFor, what: Id) {
        self.waiting.set(kind, what);
    }

    /// What it waits for, or waited for last.
    pub fn wait(&self) -> (WaitFor, Id) {
        self.waiting.get()
    }

    pub(crate) fn set_outside(&self) {
        self.outside.store(true, Ordering::Relaxed);
    }

    pub(crate) fn take_outside(&self) -> bool {
        self.outside.load(Ordering::Relaxed) && self.outside.swap(false, Ordering::Relaxed)
    }

    /// What a process that has not run yet begins with, if it `fits`.
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

    /// Whether a worker has begun to run it, if only to end it.
    pub fn has_begun(&self) -> bool {
        self.runs() > 0
    }

    /// Calls `f` with the body of a process that is suspended.
    ///
    /// # Safety
    ///
    /// The caller has [taken the process out of reach of wake-ups](Self::set_freezing), and has not
    /// [moved it on](Self::set_blocked_again). `f` does not call this for the same process.
    pub unsafe fn with_suspended<T>(&self, f: impl FnOnce(&mut H::Body) -> T) -> Option<T> {
        let with_body = |task: &mut Task<H>| match task {
            Task::Suspended(body) => Some(f(body)),
            _ => None,
        };
        // SAFETY: nobody else can move the process on, so it belongs to the caller.
        unsafe { self.task.with(with_body) }
    }

    /// The time slice in which it last began to run.
    pub fn ran(&self) -> u32 {
        self.ran.load(Ordering::Relaxed)
    }

    /// The time slice in which it was spawned.
    pub(crate) fn born(&self) -> u32 {
        self.born
    }

    /// How often it has begun to run, modulo 2³².
    pub fn runs(&self) -> u32 {
        self.runs.load(Ordering::Relaxed)
    }

    /// A run has ended with its time slice. To be called by the worker that has it.
    pub(crate) fn count_preempted(&self) {
        let preempted = self.preempted.load(Ordering::Relaxed);
        self.preempted.store(preempted.wrapping_add(1), Ordering::Relaxed);
    }

    /// How often it has waited, or was about to, modulo 2³²; one more while it runs.
    pub fn waits(&self) -> u32 {
        self.runs().wrapping_sub(self.preempted.load(Ordering::Relaxed))
    }

    /// Time slices that ended while it ran.
    pub(crate) fn slices(&self) -> u64 {
        self.slices.load(Ordering::Relaxed)
    }

    /// It waits, and nobody has woken it.
    pub fn is_blocked(&self) -> bool {
        self.state.is_waiting()
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// It is blocked, in a call of the host's own, and not frozen yet.
    pub fn is_freezable(&self) -> bool {
        self.state.is_blocked() && self.is_at_rest() && !self.is_frozen()
    }

    /// If it is blocked, it waits in a call of the host's own, where nobody else uses its memory.
    pub fn is_at_rest(&self) -> bool {
        self.wait().0.is_freezable() && !self.throttled.load(Ordering::Relaxed)
    }

    /// It waits only for its share of a core. To be called before it is blocked.
    pub(crate) fn set_throttled(&self) {
        self.throttled.store(true, Ordering::Relaxed);
    }

    /// Whether it waits only for its share of a core, if it is blocked.
    pub fn is_throttled(&self) -> bool {
        self.throttled.load(Ordering::Relaxed)
    }

    /// Its memory has been frozen.
    pub fn set_frozen(&self) {
        self.frozen.store(true, Ordering::Relaxed);
    }

    /// Whether its memory is frozen.
    pub fn is_frozen(&self) -> bool {
        self.frozen.load(Ordering::Relaxed)
    }

    /// Registers `joiner` to be woken at the end of this process, or tells how it ended.
    pub fn join(&self, joiner: &Arc<Self>) -> Option<ExitReason> {
        self.life.lock().join(joiner)
    }

    /// Takes back what `join` registered.
    pub fn unjoin(&self, joiner: &Arc<Self>) {
        self.life.lock().unjoin(joiner);
    }

    /// Calls `f` with what belongs to the process; `None` if it has ended.
    pub fn with_belongings<T>(&self, f: impl FnOnce(&mut H::Belongings) -> T) -> Option<T> {
        match &mut *self.life.lock() {
            Life::Alive { belongings, .. } => Some(f(belongings)),
            Life::Ending { .. } | Life::Ended(_) => None,
        }
    }

    /// Calls `f` with the relations of the process, which then pays for what they have come to take up. If it cannot, it is to
    /// end for that: whoever calls this for another process wakes it then ([`Kernel::wake_doomed`]).
    ///
    /// [`Kernel::wake_doomed`]: crate::kernel::Kernel::wake_doomed
    ///
    /// # Errors
    ///
    /// How the process ended, if it has.
    pub fn relate<T>(&self, f: impl FnOnce(&mut Relations) -> T) -> Result<T, ExitReason> {
        self.relate_paid(|relations| {
            let result = f(relations);
            self.settle(relations);
            result
        })
    }

    /// [`relate`](Self::relate), where `f` itself sees to it that the process pays.
    pub(crate) fn relate_paid<T>(&self, f: impl FnOnce(&mut Relations) -> T) -> Result<T, ExitReason> {
        match &mut *self.life.lock() {
            Life::Alive { relations, .. } => Ok(f(relations.get_or_insert_default())),
            Life::Ending { reason, .. } | Life::Ended(reason) => Err(reason.clone()),
        }
    }

    /// Whether the process can pay for one relation more. If not, it is to end.
    pub(crate) fn has_room(&self, relations: &mut Relations) -> bool {
        match relations.check_room(self.purse()) {
            Ok(()) => true,
            Err(exhausted) => {
                self.run_out(relations, exhausted);
                false
            }
        }
    }

    /// The process pays for what its relations have come to take up, or is to end.
    pub(crate) fn settle(&self, relations: &mut Relations) {
        if let Err(exhausted) = relations.settle(self.purse()) {
            self.run_out(relations, exhausted);
        }
    }

    /// The process cannot pay for what was sent to it: it is to end.
    pub(crate) fn run_out(&self, relations: &mut Relations, exhausted: Exhausted) {
        let reason = || ExitReason::OutOfMemory(format!("it cannot pay for what the host keeps for it: {exhausted}"));
        relations.doom.get_or_insert_with(reason);
        self.kill();
    }

    /// [`relate`](Self::relate), for the process that runs.
    ///
    /// # Panics
    ///
    /// If the process has ended.
    pub fn relate_self<T>(&self, f: impl FnOnce(&mut Relations) -> T) -> T {
        let result = self.relate(f);
        result.unwrap_or_else(|_| unreachable!("a process that runs has not ended"))
    }

    /// [`relate_self`](Self::relate_self), where `f` changes nothing but messages.
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

    /// The process has used up its time on a core, and is to end for that.
    pub(crate) fn is_out_of_budget(&self) -> bool {
        let spent = self.local.budget().is_some_and(|budget| budget.is_spent());
        if spent && !self.is_killed() {
            let _ = self.relate(|relations| relations.doom.get_or_insert(ExitReason::OutOfBudget).clone());
            self.kill();
        }
        spent
    }

    /// The reason that the process, which is to end, ends with.
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

    /// Whether exit signals become mail from now on; tells whether they did.
    pub fn trap_exits(&self, on: bool) -> bool {
        self.relate_self(|relations| std::mem::replace(&mut relations.traps_exits, on))
    }

    /// A name that the process is registered under.
    pub fn first_name(&self) -> Option<String> {
        self.peek(|relations| relations.membership.first_name()).flatten()
    }

    /// A name and the links of the process, for reports.
    pub fn acquaintances(&self) -> (Option<String>, (Vec<Id>, usize)) {
        let known = self.peek(|relations| (relations.membership.first_name(), relations.some_links()));
        known.unwrap_or_default()
    }

    /// The process runs no more: gives back its relations, to tell those of it, and what belonged to it, to give that up.
    pub(crate) fn set_ending(&self, reason: ExitReason) -> (Option<Box<Relations>>, H::Belongings) {
        self.state.end();
        self.life.lock().begin_end(reason)
    }

    /// All have been told: gives back who waited for the end.
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
