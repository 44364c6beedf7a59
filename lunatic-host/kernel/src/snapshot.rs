//! Snapshots: what a process is and does, asked for without stopping anybody.
//!
//! A snapshot of one process takes that process's lock once, for as long as copying its lists takes. Snapshots of many are
//! not of one instant: each is true for its process at some time between the call and its return.

use std::sync::Arc;
use std::time::Duration;

use crate::address::Id;
use crate::clock::TIME_SLICE;
use crate::events::Observer;
use crate::host::Host;
use crate::kernel::Kernel;
use crate::process::state::Phase;
use crate::process::{Process, WaitFor};

/// What a process is and does.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// Its id.
    pub id: Id,
    /// Who spawned it.
    pub parent: Option<Id>,
    /// The names that it is registered under.
    pub names: Vec<String>,
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
    /// Whether exit signals become mail.
    pub traps_exits: bool,
    /// The processes that it is linked to, in the order of their ids.
    pub links: Vec<Id>,
    /// The processes that it monitors.
    pub monitors: Vec<Id>,
    /// The processes that monitor it.
    pub monitored_by: Vec<Id>,
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
            phase,
            wait: (phase == Phase::Blocked).then(|| process.wait()),
            is_frozen: process.is_frozen(),
            mailbox_len: 0,
            mailbox_bytes: 0,
            traps_exits: false,
            links: Vec::new(),
            monitors: Vec::new(),
            monitored_by: Vec::new(),
            timers: 0,
            runs: process.runs(),
            time_on_core: TIME_SLICE * u32::try_from(process.slices()).unwrap_or(u32::MAX),
            age_slices: (self.slices() as u32).wrapping_sub(process.born()),
        };
        process.peek(|relations| {
            snapshot.names = relations.membership.names();
            snapshot.mailbox_len = relations.mailbox.len();
            snapshot.mailbox_bytes = relations.size();
            snapshot.traps_exits = relations.traps_exits;
            snapshot.links = relations.sorted_links();
            snapshot.monitors = relations
                .monitors
                .iter()
                .filter(|(_, monitor)| monitor.is_active())
                .map(|(_, monitor)| monitor.watched)
                .collect();
            snapshot.monitored_by = relations.watchers.iter().map(|(_, watcher)| *watcher).collect();
            snapshot.timers = relations.timers.len();
        });
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

    /// Tells `observer` of all events from now on.
    pub fn observe(&self, observer: Arc<dyn Observer>) {
        self.events.add(observer);
    }

    /// Tells `observer` of no further event; one may still be under way.
    pub fn observe_no_more(&self, observer: &Arc<dyn Observer>) {
        self.events.remove(observer);
    }
}
