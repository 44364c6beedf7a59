//! What all parts of a runtime share: its tables, limits and queues; and how processes begin and end there.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::channel::{Channels, SendRefusal};
use crate::clock::{Clock, TimedMail, Timekeeper};
use crate::engine::{Engines, Layout};
use crate::hibernation::Hibernation;
use crate::instance::Runner;
use crate::instance::ahead::Ahead;
use crate::module::Module;
use crate::module::cache::Cache;
use crate::process::exit::{ExitReason, Exits};
use crate::process::id::{Id, Keys};
use crate::process::table::{Full, Table};
use crate::process::{Entry, Process, Task};
use crate::quota::Quota;
use crate::rights::Rights;
use crate::rights::budget::{Exhausted, Resource};
use crate::scheduler::Scheduler;
use crate::shortage::Shortage;
use crate::system::System;

/// A worker drops a mailbox with so many messages by itself, in some ten microseconds.
const MAIL_DROPPED_MAX: usize = 2000;
/// The resident memory is looked at each so many time slices.
const HIBERNATION_LOOK: u64 = 10;

/// What all parts of a runtime share.
pub(crate) struct Shared {
    pub(crate) scheduler: Scheduler,
    pub(crate) clock: Clock,
    pub(crate) processes: Table<Arc<Process>>,
    pub(crate) channels: Channels,
    /// What messages hold in all channels and mailboxes.
    pub(crate) queued: Arc<Quota>,
    pub(crate) process_keys: Keys,
    pub(crate) channel_keys: Keys,
    /// Modules that guests compiled.
    pub(crate) modules: Table<Arc<Module>>,
    pub(crate) module_keys: Keys,
    pub(crate) exits: Exits,
    pub(crate) net: crate::net::Net,
    pub(crate) hibernation: Hibernation,
    pub(crate) ahead: Ahead,
    pub(crate) shortage: Shortage,
    pub(crate) cache: Cache,
    pub(crate) engines: Engines,
    /// Processes that wait for something outside: input, files.
    pub(crate) outside: AtomicUsize,
    pub(crate) systems: Mutex<Vec<Arc<System>>>,
    /// Files and terminals of guests; timers are the clock's.
    pub(crate) io: tokio::runtime::Runtime,
}

/// A limit of the host stands in the way of a spawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SpawnLimit {
    Processes,
    Budget(Exhausted),
    /// What the machine has run out of, in words.
    Machine(Arc<str>),
}

impl fmt::Display for SpawnLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Processes => write!(f, "the largest number of processes is alive"),
            Self::Budget(exhausted) => exhausted.fmt(f),
            Self::Machine(what) => f.write_str(what),
        }
    }
}

impl Shared {
    pub(crate) fn spawn(&self, parent: &Process, entry: Entry) -> Result<Id, SpawnLimit> {
        let process = self.new_process(parent, parent.rights.clone(), parent.module.clone(), entry)?;
        let id = process.id;
        self.scheduler.spawn(process);
        Ok(id)
    }

    /// A process that is in no queue yet.
    pub(crate) fn new_process(
        &self,
        parent: &Process,
        rights: Arc<Rights>,
        module: Arc<Module>,
        entry: Entry,
    ) -> Result<Arc<Process>, SpawnLimit> {
        if let Some(what) = self.shortage.refuses(self.clock.slices(), self.processes.end()) {
            return Err(SpawnLimit::Machine(what));
        }
        let budget = rights.budget.clone();
        if let Some(budget) = &budget {
            budget.charge(Resource::Processes, 1).map_err(SpawnLimit::Budget)?;
        }
        let mut rights = rights;
        if module.is_compat() && rights.environment.is_none() {
            Arc::make_mut(&mut rights).environment = Some(Arc::default());
        }
        let mut process = None;
        let result = self.processes.insert(self.scheduler.worker(), |id| {
            let system = parent.system.clone();
            let new = Arc::new(Process::new(id, Some(parent.id), rights, system, module, entry));
            process.insert(new).clone()
        });
        result.map_err(|Full| {
            if let Some(budget) = &budget {
                budget.give_back(Resource::Processes, 1);
            }
            SpawnLimit::Processes
        })?;
        Ok(process.expect("an inserted process was made"))
    }

    /// `metered`: for a process that may run only so many instructions.
    /// A runner for a process that none that has been used fits.
    pub(crate) fn runner(self: &Arc<Self>, module: &Arc<Module>, metered: bool) -> Runner {
        if metered {
            return self.new_runner(module, Layout::Metered);
        }
        let ready = self.ahead.take(module);
        if self.ahead.want(module) {
            self.scheduler.wake_spare();
        }
        ready.unwrap_or_else(|| self.new_runner(module, self.engines.choose()))
    }

    /// Makes an instance that will be needed soon; false if there is none. For a worker that has nothing else to do.
    pub(crate) fn make_ahead(self: &Arc<Self>) -> bool {
        let Some(module) = self.ahead.next() else { return false };
        let make = || {
            let mut runner = self.new_runner(&module, self.engines.choose());
            if runner.prepare(self.clock.slices()) {
                self.ahead.put(runner);
            }
        };
        // If it fails, it fails again where it is needed, and is reported there.
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(make)).is_ok()
    }

    fn new_runner(self: &Arc<Self>, module: &Arc<Module>, layout: Layout) -> Runner {
        self.hibernation.makes_instance(self);
        if layout != Layout::Metered && self.engines.dense_is_near() && module.claim_preparation() {
            let (shared, module) = (self.clone(), module.clone());
            // If this fails, it fails again where it is needed, and is reported there. So does it if there is no thread:
            // tokio, asked for one, would panic.
            let prepare = move || drop(module.pre(&shared, Layout::Dense).map(drop));
            let thread = std::thread::Builder::new().name("lunatic-prepare".into());
            drop(thread.spawn(prepare));
        }
        Runner::new(self, module, layout)
    }

    /// A process has ended, and holds nothing any more: writes down how, and tells who waits for that.
    pub(crate) fn end(&self, process: &Arc<Process>, reason: ExitReason) {
        self.exits.remember(process.id, &reason);
        let (mut relations, sockets) = process.set_ending(reason.clone());
        for socket in sockets.into_iter().flat_map(|sockets| *sockets) {
            self.net.handles.close_of(self.scheduler.worker(), process.id, socket);
        }
        if let Some(relations) = &mut relations {
            relations.names_fall(process.id);
            self.tell_of_end(&process.system, process.id, relations, &reason);
        }
        self.processes.remove(self.scheduler.worker(), process.id);
        if let Some(budget) = &process.rights.budget {
            budget.give_back(Resource::Processes, 1);
        }
        if process.system.is_main(process.id) {
            process.system.end(reason);
        }
        for joiner in process.set_ended() {
            self.scheduler.wake(&joiner);
        }
        if let Some(relations) = relations.filter(|relations| relations.mailbox.len() > MAIL_DROPPED_MAX) {
            // Who was woken runs next on this worker, and shall not wait for that. If there is no thread, it is done here.
            let thread = std::thread::Builder::new().name("lunatic-drop".into());
            drop(thread.spawn(move || drop(relations)));
        }
    }

    pub(crate) fn went_outside(&self) {
        self.outside.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn left_outside(&self) {
        self.outside.fetch_sub(1, Ordering::SeqCst);
    }

    /// No worker has anything to do. If nothing outside will change that, the systems that are left never end.
    pub(crate) fn on_idle(&self) {
        self.engines.trim();
        if self.outside.load(Ordering::SeqCst) > 0 {
            return;
        }
        let systems = self.systems.lock().clone();
        let paused = systems.iter().filter_map(|system| system.time.paused());
        // One step in each: what it wakes has to run before the next.
        let moved = paused.filter(|paused| paused.advance(self)).count();
        if moved > 0 || self.clock.has_timers() {
            return;
        }
        for system in systems.iter().filter(|system| system.exit.lock().is_none()) {
            if let Some(report) = crate::ending::deadlock(self, system) {
                system.end(ExitReason::Deadlock(report));
            }
        }
    }
}

impl Timekeeper for Shared {
    fn is_busy(&self) -> bool {
        self.scheduler.is_busy()
    }

    fn tick(&self, slice: u64) {
        self.engines.tick();
        if slice.is_multiple_of(HIBERNATION_LOOK) {
            self.hibernation.look();
        }
    }

    fn wake(&self, process: &Arc<Process>) {
        self.scheduler.wake(process);
    }

    fn send(&self, timer: u64, mail: &TimedMail, is_last: bool) -> bool {
        if is_last {
            self.queued.give_back(mail.size());
        }
        let Some(process) = self.find(mail.to) else {
            return false;
        };
        if is_last {
            let _ = process.relate(|relations| relations.timers.remove(&timer));
        }
        if let Some(parcel) = &mail.parcel {
            let letter = parcel.lock().take();
            if let Some(letter) = letter {
                self.send_letter(&process, letter);
            }
            return true;
        }
        // A mailbox that is full misses what a timer sends, as it would miss what a process sends.
        self.send_mail(process, mail.tag, &mail.body) != Err(SendRefusal::Closed)
    }

    fn give_back(&self, mail: &TimedMail) {
        self.queued.give_back(mail.size());
    }
}

impl Shared {
    /// Drops all instances, when no worker is left: they hold what all parts share, and would keep it for ever.
    pub(crate) fn take_apart(&self) {
        let mut all = Vec::new();
        self.processes.for_each(|id, process| all.push((id, process.clone())));
        for (id, process) in all {
            self.processes.remove(0, id);
            process.system.end(ExitReason::Killed);
            drop(std::mem::replace(&mut *process.task.lock(), Task::Taken));
        }
    }
}
