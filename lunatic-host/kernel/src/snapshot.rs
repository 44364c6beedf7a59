//! Snapshots: what a process is and does, read without stopping any process.
//!
//! A snapshot of a process takes that process's lock once, while its lists are copied. Snapshots of many processes are
//! not of the same instant: each is true for its process at some moment between the call and its return.

use std::sync::Arc;
use std::time::Duration;

use crate::address::Id;
use crate::arrivals::Moment;
use crate::clock::TIME_SLICE;
use crate::events::{Interest, Observer};
use crate::first::First;
use crate::host::Host;
use crate::kernel::Kernel;
use crate::process::state::Phase;
use crate::process::{Process, WaitFor};
use crate::registry::{Name, Named};

/// The longest list in a snapshot, so that a snapshot of a process with a million links delays nobody.
pub const LIST_LEN_MAX: usize = 1000;

/// How many slots of the table are scanned in one step.
const SLOTS_AT_ONCE: u32 = 1024;

/// What a process is and does.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// Its id.
    pub id: Id,
    /// The process that spawned it.
    pub parent: Option<Id>,
    /// The names under which it is registered, at most [`LIST_LEN_MAX`] of them.
    pub names: Vec<String>,
    /// The number of its names.
    pub names_len: usize,
    /// What it is doing.
    pub phase: Phase,
    /// If it is blocked: what it waits for, and the channel or process.
    pub wait: Option<(WaitFor, Id)>,
    /// Whether its memory is frozen.
    pub is_frozen: bool,
    /// Entries in its mailbox.
    pub mailbox_len: usize,
    /// The size of its mailbox in bytes, including unused capacity.
    pub mailbox_bytes: usize,
    /// How long its oldest entry has been in the mailbox, in milliseconds; `None` without entries.
    pub oldest_ms: Option<u64>,
    /// How many entries have arrived so far.
    pub mail_total: u64,
    /// Whether exit signals become mail.
    pub traps_exits: bool,
    /// The processes that it is linked to, in the order of their ids, at most [`LIST_LEN_MAX`] of them.
    pub links: Vec<Id>,
    /// The number of its links.
    pub links_len: usize,
    /// The processes that it monitors, at most [`LIST_LEN_MAX`] of them.
    pub monitors: Vec<Id>,
    /// The number of its monitors, including those with an end in the mailbox that it has not received yet.
    pub monitors_len: usize,
    /// The processes that monitor it, at most [`LIST_LEN_MAX`] of them.
    pub monitored_by: Vec<Id>,
    /// The number of monitors of others that watch it.
    pub monitored_by_len: usize,
    /// The timers that send to it.
    pub timers: usize,
    /// How often a worker has started to run it, modulo 2³².
    pub runs: u32,
    /// How long ago it last stopped running, in milliseconds modulo 2³²; `None` if it has not begun, or is running. For a
    /// blocked process: how long it has waited.
    pub stopped_ms: Option<u32>,
    /// Its estimated CPU time: a millisecond for each time slice that ended while it ran. Exact in the long run.
    pub time_on_core: Duration,
    /// How many time slices ago it was spawned, modulo 2³². Time slices pass only while some process runs.
    pub age_slices: u32,
}

impl<H: Host> Kernel<H> {
    /// Returns the snapshot of a process; `None` once it has ended.
    pub fn snapshot(&self, id: Id) -> Option<Snapshot> {
        Some(self.snapshot_of(&*self.find(id)?))
    }

    /// Returns the snapshot of a process that the caller has.
    pub fn snapshot_of(&self, process: &Process<H>) -> Snapshot {
        let phase = process.state().phase();
        let mut snapshot = Snapshot {
            id: process.id,
            parent: process.parent,
            names: Vec::new(),
            names_len: 0,
            phase,
            wait: (phase == Phase::Blocked).then(|| process.wait()),
            is_frozen: process.is_frozen(),
            mailbox_len: 0,
            mailbox_bytes: 0,
            oldest_ms: None,
            mail_total: 0,
            traps_exits: false,
            links: Vec::new(),
            links_len: 0,
            monitors: Vec::new(),
            monitors_len: 0,
            monitored_by: Vec::new(),
            monitored_by_len: 0,
            timers: 0,
            runs: process.runs(),
            stopped_ms: None,
            time_on_core: process.time_on_core(),
            age_slices: (self.slices() as u32).wrapping_sub(process.born()),
        };
        let now = self.moment();
        if phase != Phase::Running && process.has_begun() {
            // It may have run meanwhile, later than `now`.
            snapshot.stopped_ms = Some(process.stopped_for(now))
                .filter(|ms| *ms <= u32::MAX / 2)
                .or(Some(0));
        }
        process.peek(|relations| {
            snapshot.names = relations.membership.names(LIST_LEN_MAX);
            snapshot.names_len = relations.membership.names_len();
            snapshot.mailbox_len = relations.mailbox.len();
            snapshot.mailbox_bytes = relations.size();
            snapshot.oldest_ms = relations.mailbox.oldest().map(|moment| now.ms_since(moment));
            snapshot.mail_total = relations.mailbox.total();
            snapshot.traps_exits = relations.traps_exits;
            snapshot.links = relations.links.keys().take(LIST_LEN_MAX).collect();
            snapshot.links_len = relations.links.len();
            snapshot.monitors = relations
                .monitors
                .iter()
                .filter(|(_, monitor)| monitor.is_active())
                .map(|(_, monitor)| monitor.watched)
                .take(LIST_LEN_MAX)
                .collect();
            snapshot.monitors_len = relations.monitors.len();
            let watchers = relations.watchers.iter().map(|(_, watcher)| *watcher);
            snapshot.monitored_by = watchers.take(LIST_LEN_MAX).collect();
            snapshot.monitored_by_len = relations.watchers.len();
            snapshot.timers = relations.timers.len();
        });
        snapshot.links.sort_unstable();
        snapshot
    }

    /// Returns the snapshots of all processes for which `select` returns true, in the order of their slots.
    pub fn snapshots(&self, select: impl FnMut(&Process<H>) -> bool) -> Vec<Snapshot> {
        self.snapshots_with(select, |_, snapshot| snapshot)
    }

    /// Like [`snapshots`](Self::snapshots); `join` adds what the host knows about each process.
    pub fn snapshots_with<T>(
        &self,
        mut select: impl FnMut(&Process<H>) -> bool,
        join: impl Fn(&Process<H>, Snapshot) -> T,
    ) -> Vec<T> {
        // Not under the lock of the slot: `select` may call the kernel, and each snapshot takes the lock of the
        // process.
        let mut all = Vec::new();
        self.for_each_process(|process| all.push(process.clone()));
        let selected = all.iter().filter(|process| select(process));
        selected
            .map(|process| join(process, self.snapshot_of(process)))
            .collect()
    }

    /// Returns the first `limit` processes after the first `skip`, ordered by the result of `key`, of all for which it
    /// returns a value; and the number of the latter. Equal ones are ordered by their ids.
    ///
    /// Holds only the processes that it returns and those of a thousand slots at a time, so even a million processes
    /// take little memory.
    pub fn first_by<K: Ord>(
        &self,
        skip: usize,
        limit: usize,
        mut key: impl FnMut(&Process<H>) -> Option<K>,
    ) -> (Vec<Arc<Process<H>>>, usize) {
        let mut first = First::new(skip, limit);
        self.visit_processes(|process| {
            if let Some(key) = key(process) {
                first.add((key, process.id), || process.clone());
            }
        });
        first.finish()
    }

    /// Calls `visit` for each process, without holding a lock, so that it may take locks. Processes that begin or end
    /// meanwhile may be missed.
    pub fn visit_processes(&self, mut visit: impl FnMut(&Arc<Process<H>>)) {
        let mut some = Vec::new();
        for slot in (1..self.processes.end()).step_by(SLOTS_AT_ONCE as usize) {
            self.for_each_process_in(slot..slot.saturating_add(SLOTS_AT_ONCE), |process| {
                some.push(process.clone())
            });
            some.drain(..).for_each(|process| visit(&process));
        }
    }

    /// Notifies `observer` of all events from now on.
    pub fn observe(&self, observer: Arc<dyn Observer>) {
        self.observe_some(Interest::default(), observer);
    }

    /// Notifies `observer` of some events from now on.
    pub fn observe_some(&self, interest: Interest, observer: Arc<dyn Observer>) {
        self.events.add(interest, observer);
    }

    /// Returns the number of observers.
    pub fn observers(&self) -> usize {
        self.events.len()
    }

    /// Changes the interest of `observer`. Does nothing if it is not registered.
    pub fn observe_others(&self, interest: Interest, observer: &Arc<dyn Observer>) {
        self.events.change(interest, observer);
    }

    /// Stops notifying `observer`; one event may still be in progress.
    pub fn observe_no_more(&self, observer: &Arc<dyn Observer>) {
        self.events.remove(observer);
    }
}

impl<H: Host> Process<H> {
    /// Returns the number of entries in its mailbox, and the size of the mailbox in bytes.
    pub fn mailbox_size(&self) -> (usize, usize) {
        let size = self.peek(|relations| (relations.mailbox.len(), relations.size()));
        size.unwrap_or_default()
    }

    /// Returns when the oldest entry of its mailbox arrived; `None` without entries.
    pub fn oldest_mail(&self) -> Option<Moment> {
        self.peek(|relations| relations.mailbox.oldest()).flatten()
    }

    /// Returns what it is doing.
    pub fn phase(&self) -> Phase {
        self.state().phase()
    }

    /// Returns its CPU time: see [`Snapshot::time_on_core`].
    pub fn time_on_core(&self) -> Duration {
        TIME_SLICE * u32::try_from(self.slices()).unwrap_or(u32::MAX)
    }

    /// Returns whether `is_wanted` accepts one of the names under which it is registered. Its lock is not held
    /// meanwhile, as there may be 65,536.
    pub fn is_named(&self, mut is_wanted: impl FnMut(&str) -> bool) -> bool {
        let mut is_named = false;
        self.visit_names_while(Named::Alone, |name| {
            is_named = is_wanted(&String::from_utf8_lossy(&name));
            !is_named
        });
        is_named
    }

    /// Calls `visit` with each name of the process, or each of its groups, without holding its lock. Names that are
    /// added or removed meanwhile may be missed.
    pub fn visit_names(&self, kind: Named, mut visit: impl FnMut(Name)) {
        self.visit_names_while(kind, |name| {
            visit(name);
            true
        });
    }

    /// The same until `visit` returns false.
    fn visit_names_while(&self, kind: Named, mut visit: impl FnMut(Name) -> bool) {
        for from in (0..).step_by(LIST_LEN_MAX) {
            let part = self.peek(|relations| relations.membership.part(kind, from, LIST_LEN_MAX));
            let part = part.unwrap_or_default();
            let is_last = part.len() < LIST_LEN_MAX;
            if !part.into_iter().all(&mut visit) || is_last {
                return;
            }
        }
    }
}
