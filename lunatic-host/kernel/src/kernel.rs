//! The kernel: the tables and queues that all processes share, and access to them.
//!
//! Its functions are spread over modules: `spawn` (how processes begin), `remains` (what happens to what they leave),
//! `signals`, `calls`, `mail`, `timers`, `idle`, `snapshot`.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Instant;

use parking_lot::Mutex;

use crate::address::{Id, Keys, Node};
use crate::arrivals::Moment;
use crate::aside::Aside;
use crate::budget::{Budget, Caps, Resource};
use crate::channel::Channels;
use crate::clock::Clock;
use crate::coarse::Coarse;
use crate::counts::{Counts, Ends};
use crate::desk::Desk;
use crate::environment::Environment;
use crate::errand::ChannelWaiter;
use crate::events::{Event, Events};
use crate::exit::ExitReason;
use crate::exits::Exits;
use crate::host::Host;
use crate::outstanding::Outstanding;
use crate::peers::Peers;
use crate::post::Post;
use crate::process::Process;
use crate::scheduler::{Queues, Scheduler, Seat};
use crate::system::System;
use crate::table::Table;

/// The size of a kernel.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// The number of workers, at least one.
    pub workers: usize,
    /// The most processes that are alive at a time.
    pub processes_max: u32,
    /// The most channels that are open at a time.
    pub channels_max: u32,
    /// The most bytes of queued messages.
    pub queued_max: usize,
    /// The most bytes of everything that is kept for processes except their memories, including queued messages.
    pub kept_max: usize,
}

/// A worker's place, for one thread.
pub type WorkerSeat<H> = Seat<Process<H>>;

/// The channels of a kernel. Processes wait on them, and errands of other nodes.
pub type AllChannels<H> = Channels<ChannelWaiter<Arc<Process<H>>>, Arc<Process<H>>>;

/// What all processes of a host share.
pub struct Kernel<H: Host> {
    /// The embedder of the kernel.
    pub host: H,
    pub(crate) machine: Arc<dyn Environment>,
    pub(crate) scheduler: Scheduler<Process<H>>,
    pub(crate) clock: Clock<Arc<Process<H>>>,
    /// The time, for messages.
    pub(crate) coarse: Coarse,
    pub(crate) post: Post,
    pub(crate) processes: Table<Arc<Process<H>>>,
    pub(crate) channels: AllChannels<H>,
    /// The errands of other nodes at these channels.
    pub(crate) desk: Mutex<Desk>,
    /// The errands of processes at channels of other nodes.
    pub(crate) outstanding: Outstanding,
    /// What is kept for all processes, except their memories.
    pub(crate) kept: Arc<Budget>,
    pub(crate) process_keys: Keys,
    pub(crate) channel_keys: Keys,
    pub(crate) exits: Exits,
    pub(crate) aside: Arc<Aside>,
    pub(crate) peers: Peers,
    pub(crate) events: Events,
    pub(crate) counts: Counts,
    /// The number of processes that wait for something outside: input, files.
    pub(crate) outside: AtomicUsize,
    pub(crate) systems: Mutex<Vec<Arc<System<H>>>>,
    /// Held while paused clocks are moved, which one worker does at a time.
    pub(crate) moving: Mutex<()>,
}

impl<H: Host> Kernel<H> {
    /// Returns a kernel of the node, and the seats of its workers, which [`start`](Self::start) gives to threads.
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
        let process_keys = Keys::new(node, || machine.random());
        let channel_keys = process_keys.of_channels();
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
                coarse: Coarse::new(machine.clone()),
                post: Post::new(),
                processes: Table::new(settings.processes_max),
                channels: Channels::new(settings.channels_max),
                desk: Mutex::default(),
                outstanding: Outstanding::default(),
                kept,
                process_keys,
                channel_keys,
                exits: Exits::default(),
                aside: Aside::new(machine.clone()),
                peers: Peers::default(),
                events: Events::default(),
                counts: Counts::default(),
                outside: AtomicUsize::new(0),
                systems: Mutex::default(),
                moving: Mutex::default(),
                machine,
                host,
            }
        });
        (kernel, seats)
    }

    /// Returns the machine: time, random numbers, threads.
    pub fn machine(&self) -> &Arc<dyn Environment> {
        &self.machine
    }

    /// Returns the machine's time.
    pub fn now(&self) -> Instant {
        self.machine.now()
    }

    /// Returns the time for a message that is being sent: up to a time slice late, but without reading a clock while any
    /// worker is awake.
    #[inline]
    pub fn moment(&self) -> Moment {
        self.coarse.read()
    }

    /// Returns a random number that nobody can guess.
    pub fn random(&self) -> u64 {
        self.machine.random()
    }

    /// Returns keys for another kind of thing that the host names by handles.
    pub fn new_keys(&self) -> Keys {
        Keys::new(self.process_keys.node(), || self.random())
    }

    /// Returns the keys of processes' addresses.
    pub fn process_keys(&self) -> &Keys {
        &self.process_keys
    }

    /// Returns the keys of channels' addresses.
    pub fn channel_keys(&self) -> &Keys {
        &self.channel_keys
    }

    /// Returns all channels.
    pub fn channels(&self) -> &AllChannels<H> {
        &self.channels
    }

    /// Returns the budget of what is kept for all processes, except their memories.
    pub fn kept(&self) -> &Arc<Budget> {
        &self.kept
    }

    /// Returns the bytes of messages in all channels and mailboxes.
    pub fn queued(&self) -> u64 {
        self.kept.used(Resource::Messages)
    }

    /// Wakes a process that must end, so that a worker notices.
    pub fn wake_doomed(&self, process: &Arc<Process<H>>) {
        if process.is_doomed() {
            self.scheduler.wake(process);
        }
    }

    /// Returns the machine's clock. Sleepers use [the clock of their system](crate::time::Time::clock).
    pub fn clock(&self) -> &Clock<Arc<Process<H>>> {
        &self.clock
    }

    /// Returns the machine's post. Timers of processes use [the post of their system](crate::time::Time::post).
    pub fn post(&self) -> &Post {
        &self.post
    }

    /// Returns the number of processes that were spawned so far, and of those that have ended, by reason. Neither ever
    /// decreases.
    pub fn counts(&self) -> (u64, Ends) {
        self.counts.read()
    }

    /// Returns how many processes wait for a worker, per kind of queue.
    pub fn queues(&self) -> Queues {
        self.scheduler.queues()
    }

    /// Returns how many processes wait in the queues of each worker.
    pub fn queues_of_workers(&self) -> Vec<Queues> {
        self.scheduler.queues_of_workers()
    }

    /// Returns how often each worker has taken processes from the queues of another.
    pub fn steals(&self) -> Vec<u64> {
        self.scheduler.steals()
    }

    /// Returns whether any worker is awake.
    pub fn is_awake(&self) -> bool {
        self.scheduler.is_busy()
    }

    /// Returns the number of time slices so far.
    pub fn slices(&self) -> u64 {
        self.clock.slices()
    }

    /// Returns the number of the calling worker; 0 for other threads.
    pub fn worker(&self) -> usize {
        self.scheduler.worker()
    }

    /// Returns the process, while it is alive in this kernel.
    pub fn find(&self, id: Id) -> Option<Arc<Process<H>>> {
        self.processes.get(id).map(|process| Arc::clone(&process))
    }

    /// Returns whether the process is alive in this kernel.
    pub fn is_alive(&self, id: Id) -> bool {
        self.processes.get(id).is_some()
    }

    /// Returns how a process ended that is not alive any more.
    pub fn exit_reason(&self, id: Id) -> ExitReason {
        self.exits.of(id)
    }

    /// Returns the end of the table of processes, in slots: at most this many were ever alive at a time.
    pub fn process_slots(&self) -> u32 {
        self.processes.end()
    }

    /// Calls `visit` for each process in these slots of the table. Processes that begin or end meanwhile may be missed.
    pub fn for_each_process_in(&self, slots: std::ops::Range<u32>, mut visit: impl FnMut(&Arc<Process<H>>)) {
        self.processes.for_each_in(slots, |_, process| visit(process));
    }

    /// Calls `visit` for each process. Processes that begin or end meanwhile may be missed.
    pub fn for_each_process(&self, visit: impl FnMut(&Arc<Process<H>>)) {
        self.for_each_process_in(1..self.processes.end(), visit);
    }

    /// Queues a process if it is blocked.
    pub fn wake(&self, process: &Arc<Process<H>>) {
        self.scheduler.wake(process);
    }

    /// [`wake`](Self::wake) for a caller that does not need the process any more.
    pub fn wake_owned(&self, process: Arc<Process<H>>) {
        self.scheduler.wake_owned(process);
    }

    /// Calls `f` with the body of a blocked process; `None` if it is not blocked, or has not begun. A wake-up that
    /// comes meanwhile takes effect afterwards, so the process is not affected. `f` must be quick.
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
        // SAFETY: the process cannot be woken until `_back` is dropped.
        unsafe { process.with_suspended(f) }
    }

    /// Queues a process that was woken while nobody could run it, or that is to begin in another body.
    pub fn requeue(&self, process: Arc<Process<H>>) {
        self.scheduler.requeue(process);
    }

    /// Returns a fresh process that may run immediately on the calling worker in place of one that has just ended;
    /// `None` if others should go first, or if it does not fit.
    pub fn next_fresh(&self, fits: impl FnOnce(&Process<H>) -> bool) -> Option<Arc<Process<H>>> {
        self.scheduler
            .next_fresh(|process| !process.is_killed() && fits(process))
            .filter(|process| process.claim())
    }

    /// Returns a fresh process that the caller was given and does not run.
    pub fn leave_fresh(&self, process: Arc<Process<H>>) {
        process.set_queued();
        self.scheduler.requeue(process);
    }

    /// Records that the calling worker starts to run a process: for a body that continues with a
    /// [fresh](Self::next_fresh) one.
    pub fn runs(&self, process: &Process<H>) {
        process.set_running(self.slices());
        self.events
            .tell(|| (process.system.main(), Event::Runs { id: process.id }));
    }

    /// Wakes a worker even though there is nothing to run, so that it asks its host for [spare](Host::spare) work.
    pub fn wake_spare(&self) {
        self.scheduler.wake_spare();
    }
}
