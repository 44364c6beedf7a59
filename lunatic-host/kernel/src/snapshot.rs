//! Snapshots: what a process is and does, asked for without stopping anybody.
//!
//! A snapshot of one process takes that process's lock once, for as long as copying its lists takes. Snapshots of many are
//! not of one instant: each is true for its process at some time between the call and its return.

use std::sync::Arc;
use std::time::Duration;

use crate::address::Id;
use crate::clock::TIME_SLICE;
use crate::events::{Interest, Observer};
use crate::first::First;
use crate::host::Host;
use crate::kernel::Kernel;
use crate::process::state::Phase;
use crate::process::{Process, WaitFor};
use crate::registry::{Name, Named};

/// No list of a snapshot is longer, so that a look at a process with a million links keeps nobody waiting.
pub const LIST_LEN_MAX: usize = 1000;

/// So many slots of the table are looked at in one go.
const SLOTS_AT_ONCE: u32 = 1024;

/// What a process is and does.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// Its id.
    pub id: Id,
    /// Who spawned it.
    pub parent: Option<Id>,
    /// The names that it is registered under; of more than [`LIST_LEN_MAX`] only so many.
    pub names: Vec<String>,
    /// How many there are.
    pub names_len: usize,
    /// What it does just now.
    pub phase: Phase,
    /// What it waits for, and which channel or process that is, if it is blocked.
    pub wait: Option<(WaitFor, Id)>,
    /// Whether its memory is frozen.
    pub is_frozen: bool,
    /// Entries in its mailbox.
    pub mailbox_len: usize,
    /// The bytes of its mailbox, with the room that is kept for more.
    pub mailbox_bytes: usize,
    /// How many entries have come so far.
    pub mail_total: u64,
    /// Whether exit signals become mail.
    pub traps_exits: bool,
    /// The processes that it is linked to, in the order of their ids; of more than [`LIST_LEN_MAX`] only so many.
    pub links: Vec<Id>,
    /// How many there are.
    pub links_len: usize,
    /// The processes that it monitors, at most [`LIST_LEN_MAX`] of them.
    pub monitors: Vec<Id>,
    /// How many monitors it has, with those that have told of an end that it has not heard of yet.
    pub monitors_len: usize,
    /// The processes that monitor it, at most [`LIST_LEN_MAX`] of them.
    pub monitored_by: Vec<Id>,
    /// How many monitors of others there are.
    pub monitored_by_len: usize,
    /// The timers that send to it.
    pub timers: usize,
    /// How often a worker has begun to run it, modulo 2³².
    pub runs: u32,
    /// How long it has computed, estimated: a millisecond for each time slice that ended while it ran. Exact in the long run.
    pub time_on_core: Duration,
    /// How many time slices ago it was spawned, modulo 2³². Time slices pass only while something runs.
    pub age_slices: u32,
}

impl<H: Host> Kernel<H> {
    /// The snapshot of a process; `None` once it has ended.
    pub fn snapshot(&self, id: Id) -> Option<Snapshot> {
        Some(self.snapshot_of(&*self.find(id)?))
    }

    /// The snapshot of a process that the caller has.
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
            time_on_core: process.time_on_core(),
            age_slices: (self.slices() as u32).wrapping_sub(process.born()),
        };
        process.peek(|relations| {
            snapshot.names = relations.membership.names(LIST_LEN_MAX);
            snapshot.names_len = relations.membership.names_len();
            snapshot.mailbox_len = relations.mailbox.len();
            snapshot.mailbox_bytes = relations.size();
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

    /// The snapshots of all processes for which `select` returns true, in the order of their slots.
    pub fn snapshots(&self, select: impl FnMut(&Process<H>) -> bool) -> Vec<Snapshot> {
        self.snapshots_with(select, |_, snapshot| snapshot)
    }

    /// As [`snapshots`](Self::snapshots), and `join` adds what the host knows of each process.
    pub fn snapshots_with<T>(
        &self,
        mut select: impl FnMut(&Process<H>) -> bool,
        join: impl Fn(&Process<H>, Snapshot) -> T,
    ) -> Vec<T> {
        // Not under the lock of the slot: `select` may ask the kernel, and the lock of the process is taken for each snapshot.
        let mut all = Vec::new();
        self.for_each_process(|process| all.push(process.clone()));
        let selected = all.iter().filter(|process| select(process));
        selected
            .map(|process| join(process, self.snapshot_of(process)))
            .collect()
    }

    /// The first `limit` processes behind the first `skip`, in the order of what `key` gives, of all for which it gives anything;
    /// and how many those are. Equals come in the order of their ids.
    ///
    /// Holds no more processes at a time than it gives, and those of a thousand slots, so a million are looked at in the
    /// time that takes and with little memory.
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

    /// Calls `visit` for each process, which may take locks: it is called under none. Those that come and go meanwhile may be
    /// missed.
    pub fn visit_processes(&self, mut visit: impl FnMut(&Arc<Process<H>>)) {
        let mut some = Vec::new();
        for slot in (1..self.processes.end()).step_by(SLOTS_AT_ONCE as usize) {
            self.for_each_process_in(slot..slot.saturating_add(SLOTS_AT_ONCE), |process| {
                some.push(process.clone())
            });
            some.drain(..).for_each(|process| visit(&process));
        }
    }

    /// Tells `observer` of all events from now on.
    pub fn observe(&self, observer: Arc<dyn Observer>) {
        self.observe_some(Interest::default(), observer);
    }

    /// Tells `observer` of some events from now on.
    pub fn observe_some(&self, interest: Interest, observer: Arc<dyn Observer>) {
        self.events.add(interest, observer);
    }

    /// How many are told of events.
    pub fn observers(&self) -> usize {
        self.events.len()
    }

    /// `observer` is told of other events from now on. Nothing happens if it is told of none.
    pub fn observe_others(&self, interest: Interest, observer: &Arc<dyn Observer>) {
        self.events.change(interest, observer);
    }

    /// Tells `observer` of no further event; one may still be under way.
    pub fn observe_no_more(&self, observer: &Arc<dyn Observer>) {
        self.events.remove(observer);
    }
}

impl<H: Host> Process<H> {
    /// The number of entries in its mailbox, and the bytes that the mailbox takes up.
    pub fn mailbox_size(&self) -> (usize, usize) {
        let size = self.peek(|relations| (relations.mailbox.len(), relations.size()));
        size.unwrap_or_default()
    }

    /// What it does just now.
    pub fn phase(&self) -> Phase {
        self.state().phase()
    }

    /// How long it has computed: see [`Snapshot::time_on_core`].
    pub fn time_on_core(&self) -> Duration {
        TIME_SLICE * u32::try_from(self.slices()).unwrap_or(u32::MAX)
    }

    /// Whether one of the names that it is registered under is one that `is_wanted`.
    pub fn is_named(&self, is_wanted: impl FnMut(&str) -> bool) -> bool {
        let named = self.peek(|relations| relations.membership.has_name(is_wanted));
        named.unwrap_or(false)
    }

    /// Calls `visit` with each name of the process, or each of its groups, outside of its lock. Those that come and go meanwhile
    /// may be missed.
    pub fn visit_names(&self, kind: Named, mut visit: impl FnMut(Name)) {
        for from in (0..).step_by(LIST_LEN_MAX) {
            let part = self.peek(|relations| relations.membership.part(kind, from, LIST_LEN_MAX));
            let part = part.unwrap_or_default();
            let is_last = part.len() < LIST_LEN_MAX;
            part.into_iter().for_each(&mut visit);
            if is_last {
                return;
            }
        }
    }
}
