//! A process: identity, life and the task that a worker runs.
//!
//! What state it is in, and who may change that: [`state`].

pub(crate) mod exit;
pub(crate) mod hash;
pub(crate) mod id;
mod life;
pub(crate) mod mailbox;
mod outgoing;
pub(crate) mod registry;
pub(crate) mod signals;
mod small_map;
mod state;
pub(crate) mod table;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

use parking_lot::Mutex;
use smallvec::SmallVec;

use self::exit::ExitReason;
use self::hash::NumberSet;
use self::id::Id;
use self::life::Life;
use self::signals::Relations;
use self::state::State;
use crate::instance::Runner;
use crate::module::Module;
use crate::net::handles::Refusal;
use crate::rights::Rights;
use crate::system::System;

/// The values that a spawned closure captured, as bytes.
pub(crate) type Captured = SmallVec<[u8; 48]>;

/// What a process calls first.
#[derive(Debug)]
pub(crate) enum Entry {
    /// An index of the function table, type `() -> ()`.
    Closure(u32, Captured),
    /// An exported function of type `() -> ()`.
    Export(Box<str>),
    /// An exported function with arguments.
    Call(Box<Call>),
}

/// An exported function and what it is called with.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) name: Box<str>,
    pub(crate) arguments: Vec<Argument>,
}

/// A number, as its bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Argument {
    I32(i32),
    I64(i64),
    V128(u128),
}

/// What a worker needs to run a process.
pub(crate) enum Task {
    /// It has not run yet, and has no instance: it costs its captured bytes.
    Fresh(Entry),
    /// It stopped inside a host call or was preempted.
    Suspended(Runner),
    /// A worker has it, or it has ended.
    Taken,
}

/// What a blocked process waits for, for reports and to tell waits that only other processes can end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Wait {
    /// Something outside: a file, a terminal.
    Outside,
    /// A message on the channel.
    Receive,
    /// Room in the channel.
    Send,
    /// The end of the process.
    Join,
    /// A timer.
    Sleep,
    /// Something in its mailbox.
    Mail,
    /// The answer of the process.
    Call,
    /// One of several channels, or its mailbox.
    Select,
    /// A socket: something outside, but in a call of the host's own.
    Socket,
}

impl Wait {
    const ALL: [Self; 9] = [
        Self::Outside,
        Self::Receive,
        Self::Send,
        Self::Join,
        Self::Sleep,
        Self::Mail,
        Self::Call,
        Self::Select,
        Self::Socket,
    ];

    /// No process of the system need do anything to end this wait.
    pub(crate) fn is_outside(self) -> bool {
        matches!(self, Self::Outside | Self::Socket)
    }

    /// The process waits where it can be frozen: nobody else holds addresses in its memory, and its place is known.
    pub(crate) fn is_freezable(self) -> bool {
        self != Self::Outside
    }
}

pub(crate) struct Process {
    pub(crate) id: Id,
    /// Who spawned it; none spawned the main process.
    pub(crate) parent: Option<Id>,
    pub(crate) rights: Arc<Rights>,
    pub(crate) system: Arc<System>,
    pub(crate) module: Arc<Module>,
    pub(crate) task: Mutex<Task>,
    state: State,
    wait: AtomicU8,
    waits_for: AtomicU64,
    /// It is counted among those that wait for something outside.
    outside: AtomicBool,
    /// The time slice in which it last began to run.
    ran: AtomicU32,
    frozen: AtomicBool,
    /// It could run, but for its share of a core: it is where its time slice ended, not in a host call.
    throttled: AtomicBool,
    life: Mutex<Life>,
}

impl Process {
    pub(crate) fn new(
        id: Id,
        parent: Option<Id>,
        rights: Arc<Rights>,
        system: Arc<System>,
        module: Arc<Module>,
        entry: Entry,
    ) -> Self {
        let relations = module.is_compat().then(Relations::compat);
        Self {
            id,
            parent,
            rights,
            system,
            module,
            task: Mutex::new(Task::Fresh(entry)),
            state: State::queued(),
            wait: AtomicU8::new(Wait::Outside as u8),
            waits_for: AtomicU64::new(0),
            outside: AtomicBool::new(false),
            ran: AtomicU32::new(0),
            frozen: AtomicBool::new(false),
            throttled: AtomicBool::new(false),
            life: Mutex::new(Life::new(relations)),
        }
    }

    /// True if the caller must put the process into a queue now.
    pub(crate) fn set_woken(&self) -> bool {
        self.state.wake()
    }

    /// The worker that took the process from a queue starts to run it.
    pub(crate) fn set_running(&self, slice: u64) {
        self.ran.store(slice as u32, Ordering::Relaxed);
        self.frozen.store(false, Ordering::Relaxed);
        self.throttled.store(false, Ordering::Relaxed);
        self.state.run();
    }

    /// The worker has put the task back. True if the process is blocked now, and the caller must look whether it has been
    /// killed; false if it was woken meanwhile and the caller must queue it.
    pub(crate) fn set_blocked(&self) -> bool {
        self.state.block()
    }

    /// Takes a blocked process out of reach of wake-ups, so that its memory can be frozen; false if it is not blocked.
    pub(crate) fn set_freezing(&self) -> bool {
        self.state.freeze()
    }

    /// The process is blocked as before; false if it was woken meanwhile and the caller must queue it.
    pub(crate) fn set_blocked_again(&self) -> bool {
        self.state.block_again()
    }

    /// The worker has put the task back and will queue the process.
    pub(crate) fn set_queued(&self) {
        self.state.queue();
    }

    /// Asks the process to end. The caller wakes it, so that a worker sees that.
    pub(crate) fn kill(&self) {
        self.state.kill();
    }

    /// It was killed, alone or with its whole system, and runs no more.
    pub(crate) fn is_killed(&self) -> bool {
        self.state.is_killed() || self.system.is_over()
    }

    pub(crate) fn set_wait(&self, wait: Wait, what: u64) {
        self.waits_for.store(what, Ordering::Relaxed);
        self.wait.store(wait as u8, Ordering::Relaxed);
    }

    pub(crate) fn wait(&self) -> (Wait, u64) {
        let wait = Wait::ALL[usize::from(self.wait.load(Ordering::Relaxed)) % Wait::ALL.len()];
        (wait, self.waits_for.load(Ordering::Relaxed))
    }

    pub(crate) fn set_outside(&self) {
        self.outside.store(true, Ordering::Relaxed);
    }

    pub(crate) fn take_outside(&self) -> bool {
        self.outside.load(Ordering::Relaxed) && self.outside.swap(false, Ordering::Relaxed)
    }

    /// What a process that has not run yet begins with, if that is a closure.
    pub(crate) fn take_fresh_closure(&self) -> Option<Entry> {
        let mut task = self.task.lock();
        match &*task {
            Task::Fresh(Entry::Closure(..)) => match std::mem::replace(&mut *task, Task::Taken) {
                Task::Fresh(entry) => Some(entry),
                _ => unreachable!("it was a closure just now"),
            },
            _ => None,
        }
    }

    /// The time slice in which it last began to run.
    pub(crate) fn ran(&self) -> u32 {
        self.ran.load(Ordering::Relaxed)
    }

    /// It waits, and nobody has woken it.
    pub(crate) fn is_blocked(&self) -> bool {
        self.state.is_waiting()
    }

    /// It is blocked, in a call of the host's own, and not frozen yet.
    pub(crate) fn is_freezable(&self) -> bool {
        self.state.is_blocked()
            && self.wait().0.is_freezable()
            && !self.frozen.load(Ordering::Relaxed)
            && !self.throttled.load(Ordering::Relaxed)
    }

    /// It waits only for its share of a core. To be called before it is blocked.
    pub(crate) fn set_throttled(&self) {
        self.throttled.store(true, Ordering::Relaxed);
    }

    /// Its memory has been frozen.
    pub(crate) fn set_frozen(&self) {
        self.frozen.store(true, Ordering::Relaxed);
    }

    /// Registers `joiner` to be woken at the end of this process, or tells how it ended.
    pub(crate) fn join(&self, joiner: &Arc<Process>) -> Option<ExitReason> {
        self.life.lock().join(joiner)
    }

    /// Takes back what `join` registered.
    pub(crate) fn unjoin(&self, joiner: &Arc<Process>) {
        self.life.lock().unjoin(joiner);
    }

    /// Adds a socket to those that close at the end of the process.
    pub(crate) fn own_socket(&self, socket: Id) -> Result<(), Refusal> {
        self.life.lock().own_socket(socket, self.rights.files_max)
    }

    /// Takes back what `own_socket` added.
    pub(crate) fn disown_socket(&self, socket: Id) {
        self.life.lock().disown_socket(socket);
    }

    /// The process runs no more: gives back its relations, to tell those of it, and its sockets, to close them.
    pub(crate) fn set_ending(&self, reason: ExitReason) -> (Option<Box<Relations>>, Option<Box<NumberSet<Id>>>) {
        self.state.end();
        self.life.lock().begin_end(reason)
    }

    /// All have been told: gives back who waited for the end.
    pub(crate) fn set_ended(&self) -> Vec<Arc<Process>> {
        self.life.lock().complete_end()
    }
}
