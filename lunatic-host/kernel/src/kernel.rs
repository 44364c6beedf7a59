//! The kernel: the tables and queues that all processes share, and who may reach them.
//!
//! What it does is spread over modules that each add a part of its functions: `spawn` (how processes begin),
//! `remains` (what becomes of what they leave), `signals`, `calls`, `mail`, `timers`, `idle`, `snapshot`.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

use parking_lot::Mutex;

use crate::address::{Id, Keys, Node};
use crate::aside::Aside;
use crate::budget::{Budget, Caps, Resource};
use crate::channel::Channels;
use crate::clock::Clock;
use crate::counts::{Counts, Ends};
use crate::environment::Environment;
use crate::events::{Event, Events};
use crate::exit::ExitReason;
use crate::exits::Exits;
use crate::host::Host;
use crate::peers::Peers;
use crate::post::Post;
use crate::process::Process;
use crate::scheduler::{Queues, Scheduler, Seat};
use crate::system::System;
use crate::table::Table;

/// How large a kernel may become.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// The number of workers, at least one.
    pub workers: usize,
    /// The most processes that live at once.
    pub processes_max: u32,
    /// The most channels that are open at once.
    pub channels_max: u32,
    /// The bytes that queued messages hold together.
    pub queued_max: usize,
    /// The bytes of all that is kept for processes, but for their memories: of queued messages, too.
    pub kept_max: usize,
}

/// A worker's place, to be taken by one thread.
pub type WorkerSeat<H> = Seat<Process<H>>;

/// What all processes of a host share.
pub struct Kernel<H: Host> {
    /// Who embeds the kernel.
    pub host: H,
    pub(crate) machine: Arc<dyn Environment>,
    pub(crate) scheduler: Scheduler<Process<H>>,
    pub(crate) clock: Clock<Arc<Process<H>>>,
    pub(crate) post: Post,
    pub(crate) processes: Table<Arc<Process<H>>>,
    pub(crate) channels: Channels<Arc<Process<H>>>,
    /// What is kept for all processes, but for their memories.
    pub(crate) kept: Arc<Budget>,
    pub(crate) process_keys: Keys,
    pub(crate) channel_keys: Keys,
    pub(crate) exits: Exits,
    pub(crate) aside: Arc<Aside>,
    pub(crate) peers: Peers,
    pub(crate) events: Events,
    pub(crate) counts: Counts,
    /// Processes that wait for something outside: input, files.
    pub(crate) outside: AtomicUsize,
    pub(crate) systems: Mutex<Vec<Arc<System<H>>>>,
}

impl<H: Host> Kernel<H> {
    /// A kernel of the node, and the seats of its workers, which [`start`](Self::start) gives to threads.
    pub fn new(
        settings: Settings,
        node: Node,
        machine: Arc<dyn Environment>,
        host: H,
    ) -> (Arc<Self>, Vec<WorkerSeat<H>>) {
        let caps = Caps {
            messages: Some(settings.queued_max as u64),
            memory: Some(settings.kept_max as u64),
            ..Caps::default()
        };
        let kept = Budget::outermost(caps, machine.now());
        let mut seats = Vec::new();
        let kernel = Arc::new_cyclic(|kernel: &std::sync::Weak<Self>| {
            let call = |f: fn(&Self)| {
                let kernel = kernel.clone();
                move || {
                    if let Some(kernel) = kernel.upgrade() {
                        f(&kernel);
                    }
                }
            };
            let (on_idle, on_busy) = (call(Self::on_idle), call(|kernel| kernel.clock.call()));
            let (scheduler, all) = Scheduler::new(settings.workers, &machine, on_idle, on_busy);
            seats = all;
            Self {
                scheduler,
                clock: Clock::default(),
                post: Post::new(),
                processes: Table::new(settings.processes_max),
                channels: Channels::new(settings.channels_max),
                kept,
                process_keys: Keys::new(node, || machine.random()),
                channel_keys: Keys::new(node, || machine.random()),
                exits: Exits::default(),
                aside: Aside::new(machine.clone()),
                peers: Peers::default(),
                events: Events::default(),
                counts: Counts::default(),
                outside: AtomicUsize::new(0),
                systems: Mutex::default(),
                machine,
                host,
            }
        });
        (kernel, seats)
    }

    /// The machine: time, random numbers, threads.
    pub fn machine(&self) -> &Arc<dyn Environment> {
        &self.machine
    }

    /// The machine's time.
    pub fn now(&self) -> Instant {
        self.machine.now()
    }

    /// A random number that nobody can guess.
    pub fn random(&self) -> u64 {
        self.machine.random()
    }

    /// Keys for another kind of thing that the host names by handles.
    pub fn new_keys(&self) -> Keys {
        Keys::new(self.process_keys.node(), || self.random())
    }

    /// The keys of processes' addresses.
    pub fn process_keys(&self) -> &Keys {
        &self.process_keys
    }

    /// The keys of channels' addresses.
    pub fn channel_keys(&self) -> &Keys {
        &self.channel_keys
    }

    /// All channels.
    pub fn channels(&self) -> &Channels<Arc<Process<H>>> {
        &self.channels
    }

    /// What is kept for all processes, but for their memories.
    pub fn kept(&self) -> &Arc<Budget> {
        &self.kept
    }

    /// The bytes of messages in all channels and mailboxes.
    pub fn queued(&self) -> u64 {
        self.kept.used(Resource::Messages)
    }

    /// Wakes a process that is to end, so that a worker sees that.
    pub fn wake_doomed(&self, process: &Arc<Process<H>>) {
        if process.is_doomed() {
            self.scheduler.wake(process);
        }
    }

    /// The machine's clock. Sleepers go on [the clock of their system](crate::time::Time::clock).
    pub fn clock(&self) -> &Clock<Arc<Process<H>>> {
        &self.clock
    }

    /// The machine's post. Timers of processes go on [the post of their system](crate::time::Time::post).
    pub fn post(&self) -> &Post {
        &self.post
    }

    /// Processes that were spawned so far, and those that have ended, by how. Neither is ever less than it was before.
    pub fn counts(&self) -> (u64, Ends) {
        self.counts.read()
    }

    /// How many processes wait for a worker, in which queues.
    pub fn queues(&self) -> Queues {
        self.scheduler.queues()
    }

    /// How many of them wait in the queues of each worker.
    pub fn queues_of_workers(&self) -> Vec<Queues> {
        self.scheduler.queues_of_workers()
    }

    /// Whether any worker is awake.
    pub fn is_awake(&self) -> bool {
        self.scheduler.is_busy()
    }

    /// The number of time slices so far.
    pub fn slices(&self) -> u64 {
        self.clock.slices()
    }

    /// The number of the calling worker, 0 for other threads.
    pub fn worker(&self) -> usize {
        self.scheduler.worker()
    }

    /// The process, while it is alive here.
    pub fn find(&self, id: Id) -> Option<Arc<Process<H>>> {
        self.processes.get(id).map(|process| Arc::clone(&process))
    }

    /// Whether the process is alive here.
    pub fn is_alive(&self, id: Id) -> bool {
        self.processes.get(id).is_some()
    }

    /// How a process ended that is not alive any more.
    pub fn exit_reason(&self, id: Id) -> ExitReason {
        self.exits.of(id)
    }

    /// The end of the table of processes, in slots: at most so many were ever alive at once.
    pub fn process_slots(&self) -> u32 {
        self.processes.end()
    }

    /// Calls `visit` for each process in these slots of the table; those that come and go meanwhile may be missed.
    pub fn for_each_process_in(&self, slots: std::ops::Range<u32>, mut visit: impl FnMut(&Arc<Process<H>>)) {
        self.processes.for_each_in(slots, |_, process| visit(process));
    }

    /// Calls `visit` for each process; those that come and go meanwhile may be missed.
    pub fn for_each_process(&self, visit: impl FnMut(&Arc<Process<H>>)) {
        self.for_each_process_in(1..self.processes.end(), visit);
    }

    /// Queues a process if it is blocked.
    pub fn wake(&self, process: &Arc<Process<H>>) {
        self.scheduler.wake(process);
    }

    /// [`wake`](Self::wake) for who has no further use for the process.
    pub fn wake_owned(&self, process: Arc<Process<H>>) {
        self.scheduler.wake_owned(process);
    }

    /// Calls `f` with the body of a blocked process; `None` if it is not blocked, or has not begun. Whoever wakes the process
    /// meanwhile wakes it after that: it notices nothing. Must not take long.
    pub fn with_blocked<T>(&self, process: &Arc<Process<H>>, f: impl FnOnce(&mut H::Body) -> T) -> Option<T> {
        struct Back<'a, H: Host>(&'a Kernel<H>, &'a Arc<Process<H>>);
        impl<H: Host> Drop for Back<'_, H> {
            fn drop(&mut self) {
                let Self(kernel, process) = *self;
                if !process.set_blocked_again() {
                    kernel.requeue(process.clone());
                }
            }
        }
        if !process.set_freezing() {
            return None;
        }
        let _back = Back(self, process);
        // SAFETY: the process is out of reach of wake-ups until `_back` is dropped.
        unsafe { process.with_suspended(f) }
    }

    /// Queues a process that was woken while nobody could run it, or that is to begin in another body.
    pub fn requeue(&self, process: Arc<Process<H>>) {
        self.scheduler.requeue(process);
    }

    /// A fresh process that may run at once on the calling worker in place of one that has just ended; `None` if others
    /// should go first, or if it does not fit.
    pub fn next_fresh(&self, fits: impl FnOnce(&Process<H>) -> bool) -> Option<Arc<Process<H>>> {
        self.scheduler
            .next_fresh(|process| !process.is_killed() && fits(process))
            .filter(|process| process.claim())
    }

    /// The caller does not go on with a fresh process that it was given.
    pub fn leave_fresh(&self, process: Arc<Process<H>>) {
        process.set_queued();
        self.scheduler.requeue(process);
    }

    /// The calling worker begins to run a process: for a body that goes on with a [fresh](Self::next_fresh) one.
    pub fn runs(&self, process: &Process<H>) {
        process.set_running(self.slices());
        self.events
            .tell(|| (process.system.main(), Event::Runs { id: process.id }));
    }

    /// Wakes a worker though there is nothing to run, so that it asks its host for [spare](Host::spare) work.
    pub fn wake_spare(&self) {
        self.scheduler.wake_spare();
    }
}
