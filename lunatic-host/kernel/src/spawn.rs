//! How processes and systems begin and end.

use std::fmt;
use std::sync::Arc;

use crate::address::Id;
use crate::budget::{Budget, Exhausted, Resource};
use crate::events::Event;
use crate::exit::ExitReason;
use crate::host::{Host, Local};
use crate::kernel::Kernel;
use crate::process::{Process, Seed};
use crate::system::System;
use crate::table::Full;

/// The charge to a budget for each living process, in bytes: for its record, its place in the table, and the host's
/// data.
pub const RECORD_SIZE: u64 = 2 << 10;

/// The limit of the host that prevents a spawn.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpawnLimit {
    /// The largest number of processes is reached.
    Processes,
    /// A budget does not have enough left.
    Budget(Exhausted),
    /// A budget has no CPU time left.
    Spent,
    /// The machine has run out of something; in words.
    Machine(Arc<str>),
}

impl fmt::Display for SpawnLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Processes => write!(f, "the largest number of processes is alive"),
            Self::Budget(exhausted) => exhausted.fmt(f),
            Self::Spent => write!(f, "its budget of CPU time is used up"),
            Self::Machine(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for SpawnLimit {}

impl<H: Host> Kernel<H> {
    /// Spawns a process, which begins to run as soon as a worker has time for it.
    ///
    /// # Errors
    ///
    /// [`SpawnLimit`] says what prevents it; then nothing has happened.
    pub fn spawn(&self, parent: &Process<H>, seed: Seed<H>) -> Result<Id, SpawnLimit> {
        let process = self.new_process(parent, seed)?;
        let id = process.id;
        self.begin(process);
        Ok(id)
    }

    /// Makes a process that is in no queue yet: [`begin`](Self::begin) lets it run.
    ///
    /// # Errors
    ///
    /// [`SpawnLimit`] says what prevents it; then nothing has happened.
    pub fn new_process(&self, parent: &Process<H>, seed: Seed<H>) -> Result<Arc<Process<H>>, SpawnLimit> {
        if let Some(what) = self.host.shortage(self) {
            return Err(SpawnLimit::Machine(what));
        }
        self.insert(Some(parent.id), &parent.system, seed)
    }

    /// [`new_process`](Self::new_process) for a parent on another node, or without a parent: the process belongs to the system
    /// of `keeper`.
    ///
    /// # Errors
    ///
    /// As there.
    pub fn new_process_for(
        &self,
        parent: Option<Id>,
        keeper: &Process<H>,
        seed: Seed<H>,
    ) -> Result<Arc<Process<H>>, SpawnLimit> {
        if let Some(what) = self.host.shortage(self) {
            return Err(SpawnLimit::Machine(what));
        }
        self.insert(parent, &keeper.system, seed)
    }

    /// Lets a new process run.
    pub fn begin(&self, process: Arc<Process<H>>) {
        process.set_queued();
        self.scheduler.spawn(process);
    }

    /// Starts a system.
    ///
    /// # Errors
    ///
    /// [`SpawnLimit`] says what prevents its main process.
    pub fn start_system(
        &self,
        data: H::System,
        seed: impl FnOnce(&H::System) -> Seed<H>,
    ) -> Result<Arc<System<H>>, SpawnLimit> {
        let seed = seed(&data);
        let is_sent_to = H::is_sent_to(&data);
        let system = System::new(data, self.machine.clone(), self.kept.clone());
        if is_sent_to {
            system.add_sender();
        }
        // Before anything runs: only the systems of this list are searched for deadlocks.
        self.systems.lock().push(system.clone());
        match self.insert(None, &system, seed) {
            Ok(main) => self.begin(main),
            Err(limit) => {
                self.forget_system(&system);
                return Err(limit);
            }
        }
        Ok(system)
    }

    fn insert(
        &self,
        parent: Option<Id>,
        system: &Arc<System<H>>,
        seed: Seed<H>,
    ) -> Result<Arc<Process<H>>, SpawnLimit> {
        let budget = seed.local.budget().cloned();
        // Before the insert: after that, others can find the process, and it could not be removed unnoticed.
        if let Some(budget) = &budget {
            // The spawning process must end for this reason, and would only cause more work.
            if budget.is_spent() {
                return Err(SpawnLimit::Spent);
            }
            Self::charge_process(budget).map_err(SpawnLimit::Budget)?;
        }
        let mut process = None;
        let result = self.processes.insert(self.scheduler.worker(), |id| {
            // While the slot is locked: nobody can find the process before its system knows that it is the main one.
            if parent.is_none() {
                system.set_main(id);
            }
            let new = Process::new(id, parent, system.clone(), seed, self.slices());
            process.insert(Arc::new(new)).clone()
        });
        result.map_err(|Full| {
            if let Some(budget) = &budget {
                Self::give_process_back(budget);
            }
            SpawnLimit::Processes
        })?;
        let process = process.expect("an inserted process was made");
        self.counts.spawned(self.scheduler.worker());
        self.events
            .tell(|| (system.main(), Event::Spawned { id: process.id, parent }));
        Ok(process)
    }

    fn charge_process(budget: &Budget) -> Result<(), Exhausted> {
        budget.charge(Resource::Processes, 1)?;
        budget
            .charge(Resource::Bodies, RECORD_SIZE)
            .inspect_err(|_| budget.give_back(Resource::Processes, 1))
    }

    /// Gives back the charge for a process that has ended.
    pub(crate) fn give_process_back(budget: &Budget) {
        budget.give_back(Resource::Bodies, RECORD_SIZE);
        budget.give_back(Resource::Processes, 1);
    }

    /// Kills the rest of a system that nobody waits for any more.
    pub fn sweep(&self, system: &Arc<System<H>>) {
        // Processes that are spawned meanwhile are stopped when a worker takes them.
        system.set_over();
        let mut left = Vec::new();
        self.for_each_process(|process| {
            if Arc::ptr_eq(&process.system, system) {
                left.push(process.clone());
            }
        });
        for process in left {
            self.kill(&process);
        }
        self.forget_system(system);
    }

    fn forget_system(&self, system: &Arc<System<H>>) {
        self.systems.lock().retain(|other| !Arc::ptr_eq(other, system));
    }

    /// Drops all bodies, when no worker is left: they hold a reference to the kernel, and would keep it alive forever.
    pub fn take_apart(&self) {
        let mut all = Vec::new();
        self.for_each_process(|process| all.push(process.clone()));
        for process in all {
            self.processes.remove(0, process.id);
            // Otherwise, whoever waits for the system would wait forever.
            process.system.end(ExitReason::Killed);
            drop(process.take_apart());
        }
    }
}
