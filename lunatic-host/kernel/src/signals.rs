//! Signals: how processes are notified of each other's ends, by links, monitors and exit signals.
//!
//! The semantics are those of OTP ("Processes" in the Erlang reference manual), with one difference: a monitor of a
//! process that has already ended reports how it ended, for as long as the host remembers that.
//!
//! # Order
//!
//! A signal is delivered by the call that causes it, so it overtakes nothing that the same process sent before. A
//! process that was told to end does so a little later, when a worker takes it. Until then, it counts as ended for
//! whatever is sent to it: a link that is made after an exit signal finds no process, and a second signal does not
//! change the reason.
//!
//! # Locks
//!
//! Everything here is kept in a process's *relations*, behind the lock that also decides whether it is alive. Links are
//! made and removed under both processes' locks, taken in the order of their ids, so both sides always agree. A process
//! that ends takes its relations under its own lock, and then notifies the others, one lock at a time; each is notified
//! only if it still has the relation. Processes are named by ids: with counted references, links would be cycles.

use std::sync::Arc;

use lunatic_sys::codes::REFERENCE_BIT;
use smallvec::SmallVec;

use crate::address::Id;
use crate::budget::{Exhausted, Payer};
use crate::delivery::{Destination, Signal};
use crate::exit::{ExitReason, Loss};
use crate::host::Host;
use crate::kernel::Kernel;
use crate::process::Process;
use crate::process::life::Life;
use crate::relations::mailbox::{Kind, Mail, Pushed};
use crate::relations::{Relations, reason_body};

/// What happens to a process that has sent a signal to itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It continues.
    Lives,
    /// It ends immediately, with this reason.
    Ends(ExitReason),
}

impl<H: Host> Kernel<H> {
    /// Links the running process to another.
    pub fn link(&self, process: &Arc<Process<H>>, other: Id) -> Fate {
        // A process that is linked to itself would notify only itself of its end.
        if process.id == other {
            return Fate::Lives;
        }
        let linked = match self.reach(other) {
            Destination::Here(other) => {
                let linked = self.link_with(process, &other, |_, _| ());
                self.wake_doomed(&other);
                linked
            }
            Destination::Gone if other.is_here() => false,
            Destination::Gone | Destination::Elsewhere(_) => return self.link_elsewhere(process, other),
        };
        // An existing link to a process that is about to end still counts: the end will be reported.
        if linked || process.relate_self(|mine| mine.links.contains_key(other)) {
            return Fate::Lives;
        }
        // If it could not pay for the link, it ends for that reason.
        if process.is_doomed() {
            return Fate::Lives;
        }
        self.signal_self(process, other, &ExitReason::NoProcess, Relations::exit)
    }

    fn link_elsewhere(&self, process: &Arc<Process<H>>, other: Id) -> Fate {
        if !process.relate_self(|mine| mine.links.insert(other)) {
            return Fate::Lives;
        }
        // Looked up last: if the node is lost after this, the link is found and ended.
        if let Destination::Elsewhere(remote) = self.reach(other) {
            // Signals are never refused.
            let _ = remote.send(process.id, other, Signal::Link);
            return Fate::Lives;
        }
        // If whoever handles the loss of the node has found the link, the process is notified by that.
        if !process.relate_self(|mine| mine.unlink(other)) {
            return Fate::Lives;
        }
        let reason = ExitReason::NodeGone(Loss::Unconnected);
        self.signal_self(process, other, &reason, Relations::exit)
    }

    /// Links two processes of this kernel, and calls `also` with the relations of both, under both locks. Returns
    /// false, and does nothing, if the second one has ended.
    pub fn link_with(
        &self,
        process: &Process<H>,
        other: &Process<H>,
        also: impl FnOnce(&mut Relations, &mut Relations),
    ) -> bool {
        !other.is_doomed()
            && with_both(process, other, Growth::OneMore, |mine, theirs| {
                mine.links.insert(other.id);
                theirs.links.insert(process.id);
                also(mine, theirs);
            })
    }

    /// Removes a link of the running process, if there is one.
    pub fn unlink(&self, process: &Process<H>, other: Id) {
        if process.id == other {
            return;
        }
        let is_done = match self.reach(other) {
            Destination::Here(other) => with_both(process, &other, Growth::None, |mine, theirs| {
                mine.links.remove(other.id);
                theirs.links.remove(process.id);
            }),
            Destination::Gone => false,
            Destination::Elsewhere(remote) => {
                if process.relate_self(|mine| mine.unlink_elsewhere(other)) {
                    // Unlinking is never refused.
                    let _ = remote.send(process.id, other, Signal::Unlink);
                }
                true
            }
        };
        // The other side has ended: only this side can be removed.
        if !is_done {
            process.relate_self(|mine| mine.unlink(other));
        }
    }

    /// Sends an exit signal from the running process.
    pub fn send_exit(&self, process: &Arc<Process<H>>, to: Id, reason: &ExitReason) -> Fate {
        if process.id == to {
            return match reason {
                // This one cannot be trapped, even by a process that sends it to itself.
                ExitReason::Killed => Fate::Ends(ExitReason::Killed),
                reason => self.signal_self(process, to, reason, Relations::exit_sent),
            };
        }
        match self.reach(to) {
            Destination::Here(to) => self.exit_by_signal(&to, process.id, reason),
            Destination::Gone => {}
            Destination::Elsewhere(remote) => {
                let reason = reason.clone();
                // Signals are never refused.
                let _ = remote.send(process.id, to, Signal::Exit { reason, sent: true });
            }
        }
        Fate::Lives
    }

    /// Delivers an exit signal that was sent explicitly.
    pub(crate) fn exit_by_signal(&self, to: &Arc<Process<H>>, from: Id, reason: &ExitReason) {
        if *reason == ExitReason::Killed {
            self.kill(to);
        } else {
            self.deliver(to, |relations| relations.exit_sent(from, reason));
        }
    }

    /// Delivers an exit signal of the host, which nobody can repeat: it is never left out.
    pub(crate) fn exit_by_host(&self, to: &Arc<Process<H>>, from: Id, reason: &ExitReason) {
        self.deliver(to, |relations| relations.exit(from, reason));
    }

    /// Delivers the end of a linked process, if the receiver still has the link.
    pub(crate) fn exit_by_link(&self, to: &Arc<Process<H>>, from: Id, reason: &ExitReason) {
        self.deliver(to, |relations| {
            let was_linked = relations.unlink(from);
            was_linked.then(|| relations.exit(from, reason)).flatten()
        });
    }

    /// Ends a process, even if it traps exits.
    pub fn kill(&self, process: &Arc<Process<H>>) {
        // A process ends when a worker takes it. So a blocked one must be queued, and one that is queued after many
        // others must be queued again, before those that compute.
        process.kill();
        if process.hurry() {
            self.scheduler.requeue(process.clone());
        } else {
            self.scheduler.wake(process);
        }
    }

    /// Records that the running process cannot pay for what it is given, and will soon end for that reason.
    pub fn out_of_memory(&self, process: &Process<H>, exhausted: Exhausted) {
        // If it has ended meanwhile, nothing needs to be done.
        let _ = process.relate_paid(|relations| process.run_out(relations, exhausted));
    }

    /// Delivers a signal of the running process to itself, as if from `from`. `exit` makes mail of it.
    fn signal_self(
        &self,
        process: &Arc<Process<H>>,
        from: Id,
        reason: &ExitReason,
        exit: fn(&mut Relations, Id, &ExitReason) -> Option<Mail>,
    ) -> Fate {
        let traps = process.relate_self(|relations| relations.traps_exits);
        if !traps {
            return Fate::Ends(reason.clone());
        }
        self.deliver(process, |relations| exit(relations, from, reason));
        Fate::Lives
    }

    /// Notifies a process that it was linked to one that had ended, after calling `also` with its relations.
    pub fn tell_no_process(&self, process: &Arc<Process<H>>, ended: Id, also: impl FnOnce(&mut Relations)) {
        self.deliver(process, |relations| {
            also(relations);
            relations.exit(ended, &ExitReason::NoProcess)
        });
    }

    /// Makes the running process monitor another: it gets one message when that ends, under `tag`, or under the
    /// reference if `tag` is 0. A process that monitors itself is never notified.
    pub fn monitor(&self, process: &Arc<Process<H>>, watched: Id, tag: u64) -> u64 {
        if process.id == watched {
            return self.random() | REFERENCE_BIT;
        }
        // The monitor is recorded before the other side knows of it, so an end that comes in between is reported once.
        let reference = process.relate_self(|relations| {
            if !process.has_room(relations) {
                return None;
            }
            let reference = match tag {
                0 => relations.open_reference(|| self.random()),
                _ => self.random() | REFERENCE_BIT,
            };
            relations.watch(reference, watched, if tag == 0 { reference } else { tag });
            Some(reference)
        });
        // A process that ends for lack of memory is notified of no other end.
        let Some(reference) = reference else {
            return self.random() | REFERENCE_BIT;
        };
        if let Err(reason) = self.watch(process.id, watched, reference) {
            self.tell_down(process, watched, reference, &reason);
        }
        reference
    }

    /// Like [`monitor`](Self::monitor), under `tag`; but if the other process has ended, does nothing and returns no
    /// reference.
    pub fn monitor_living(&self, process: &Process<H>, watched: Id, tag: u64) -> Option<u64> {
        let reference = self.random() | REFERENCE_BIT;
        let has_room = process.relate_self(|relations| {
            let has_room = process.has_room(relations);
            if has_room {
                relations.watch(reference, watched, tag);
            }
            has_room
        });
        if !has_room {
            return None;
        }
        let watching = self.watch(process.id, watched, reference);
        if watching.is_err() {
            process.relate_self(|relations| relations.monitors.remove(reference));
        }
        watching.is_ok().then_some(reference)
    }

    /// From now on, `watcher` is notified of the end of `watched`.
    pub(crate) fn watch(&self, watcher: Id, watched: Id, reference: u64) -> Result<(), ExitReason> {
        match self.reach(watched) {
            Destination::Here(watched) => watched.be_watched(watcher, reference),
            Destination::Gone if watched.is_here() => Err(self.exits.of(watched)),
            Destination::Gone => Err(ExitReason::NodeGone(Loss::Unconnected)),
            Destination::Elsewhere(remote) => {
                let sent = remote.send(watcher, watched, Signal::Monitor { reference });
                sent.map_err(|_| ExitReason::NodeGone(Loss::Unconnected))
            }
        }
    }

    /// Removes a monitor of the running process; returns true if it was active. With `flush`, drops its message if that
    /// has already arrived.
    pub fn demonitor(&self, process: &Process<H>, reference: u64, flush: bool) -> bool {
        let watched = process.relate_self(|relations| relations.demonitor(reference, flush));
        if let Some(watched) = watched {
            self.unwatch(process.id, watched, reference);
        }
        watched.is_some()
    }

    /// From now on, `watcher` is not notified of the end of `watched`.
    pub(crate) fn unwatch(&self, watcher: Id, watched: Id, reference: u64) {
        match self.reach(watched) {
            Destination::Here(watched) => _ = watched.relate_paid(|relations| relations.watchers.remove(reference)),
            Destination::Gone => {}
            // Signals are never refused.
            Destination::Elsewhere(remote) => _ = remote.send(watcher, watched, Signal::Demonitor { reference }),
        }
    }

    /// Notifies a process of the end of one that it monitors, if it still does.
    pub(crate) fn tell_down(&self, watcher: &Arc<Process<H>>, watched: Id, reference: u64, reason: &ExitReason) {
        self.deliver(watcher, |relations| {
            let (tag, reference) = match relations.monitors.get(reference) {
                Some(monitor) if !monitor.is_active() => return None,
                Some(monitor) => (monitor.tag, reference),
                // No monitor has this reference, but the process may be watching the callee of a call under it.
                None => {
                    let call = relations.outgoing.as_mut()?.end_of(reference)?;
                    (call, call)
                }
            };
            Some(Mail {
                kind: Kind::Down(watched, reference),
                tag,
                body: reason_body(reason),
            })
        });
    }

    /// Changes the relations of a process by a signal: puts the resulting mail into its mailbox, or ends the process if
    /// it is doomed. A process that was already told to end is not notified any more.
    fn deliver(&self, to: &Arc<Process<H>>, signal: impl FnOnce(&mut Relations) -> Option<Mail>) {
        if to.is_doomed() {
            return;
        }
        // A process that has ended meanwhile has no relations, and misses the signal.
        let _ = to.relate(|relations| {
            let mail = signal(relations);
            match mail {
                Some(mail) if relations.has_intake() => {
                    if let Kind::Down(_, reference) = mail.kind {
                        relations.told(reference, true);
                    }
                    let wakes = relations.any_intake().is_some_and(|intake| intake.tell(&mail.kind));
                    if wakes {
                        self.scheduler.wake(to);
                    }
                }
                Some(mail) => {
                    let monitor = match mail.kind {
                        Kind::Down(_, reference) => Some(reference),
                        _ => None,
                    };
                    // A signal is never refused: a process that cannot pay for it ends.
                    let pushed = match relations.push(mail, self.moment(), to.purse()) {
                        Ok(pushed) => pushed,
                        Err(exhausted) => return to.run_out(relations, exhausted),
                    };
                    if let Some(reference) = monitor {
                        relations.told(reference, pushed == Pushed::Dropped);
                    }
                    if pushed == (Pushed::Queued { wake: true }) {
                        self.scheduler.wake(to);
                    }
                }
                None if relations.doom.is_some() => self.kill(to),
                None => {}
            }
        });
        self.wake_doomed(to);
    }

    /// Notifies all related processes of the end of a process.
    pub(crate) fn tell_of_end(&self, process: &Process<H>, relations: &Relations, reason: &ExitReason) {
        let id = process.id;
        // Sorted, because the order of sets differs between runs of the program, and a simulation must be reproducible.
        let mut links: SmallVec<[Id; 8]> = relations.links.keys().collect();
        links.sort_unstable();
        for linked in links {
            self.tell_linked(id, linked, reason);
        }
        // Usually there is one watcher many times, or watchers that end together.
        let mut last = (Id::NONE, false);
        let hears = |(_, watcher): &(u64, Id)| {
            if last.0 != *watcher {
                last = (*watcher, self.hears(*watcher));
            }
            last.1
        };
        let watchers = relations.watchers.iter();
        let watchers = watchers.map(|(reference, watcher)| (reference, *watcher));
        let mut watchers: SmallVec<[(u64, Id); 8]> = watchers.filter(hears).collect();
        watchers.sort_unstable();
        for (reference, watcher) in watchers {
            self.tell_watcher(id, watcher, reference, reason);
        }
    }

    /// Whether a process receives signals.
    fn hears(&self, id: Id) -> bool {
        match self.reach(id) {
            Destination::Here(process) => !process.is_doomed(),
            Destination::Gone => false,
            Destination::Elsewhere(_) => true,
        }
    }

    /// Releases what a process that has ended has with others that are not notified: timers, and the processes that it
    /// watches.
    pub(crate) fn let_go(&self, process: &Process<H>, relations: &Relations) {
        if let Some(callee) = relations.outgoing.as_ref().and_then(|call| call.callee()) {
            self.watch_no_more(process.id, callee);
        }
        // Nobody is left to receive the messages of its timers, so what they hold is freed now.
        for timer in relations.timers.keys() {
            drop(self.take_timer(&process.system, timer));
        }
        for (reference, monitor) in relations.monitors.iter().filter(|(_, monitor)| monitor.is_active()) {
            self.unwatch(process.id, monitor.watched, reference);
        }
    }

    fn tell_linked(&self, ended: Id, linked: Id, reason: &ExitReason) {
        match self.reach(linked) {
            Destination::Here(linked) => self.exit_by_link(&linked, ended, reason),
            Destination::Gone => {}
            Destination::Elsewhere(remote) => {
                let reason = reason.clone();
                // Signals are never refused.
                let _ = remote.send(ended, linked, Signal::Exit { reason, sent: false });
            }
        }
    }

    fn tell_watcher(&self, ended: Id, watcher: Id, reference: u64, reason: &ExitReason) {
        match self.reach(watcher) {
            Destination::Here(watcher) => self.tell_down(&watcher, ended, reference, reason),
            Destination::Gone => {}
            Destination::Elsewhere(remote) => {
                let reason = reason.clone();
                // Signals are never refused.
                let _ = remote.send(ended, watcher, Signal::Down { reference, reason });
            }
        }
    }
}

impl<H: Host> Process<H> {
    /// Adds `watcher`, which will be notified of the end and pays for this. However little memory this process has
    /// left, watching it cannot end it.
    pub(crate) fn be_watched(&self, watcher: Id, reference: u64) -> Result<(), ExitReason> {
        self.relate_paid(|relations| {
            relations.watchers.get_or_insert(reference, watcher);
        })
    }
}

/// Whether a change of relations adds one.
#[derive(PartialEq, Eq)]
enum Growth {
    None,
    OneMore,
}

/// Changes the relations of two different processes together; false if one of them has ended, or cannot pay for one more.
fn with_both<H: Host>(
    one: &Process<H>,
    other: &Process<H>,
    growth: Growth,
    change: impl FnOnce(&mut Relations, &mut Relations),
) -> bool {
    let processes = (one, other);
    // The locks are taken in the order of the ids: otherwise, two processes that link to each other simultaneously
    // would deadlock.
    let (mut first, mut second);
    let (one, other) = if one.id < other.id {
        first = one.life.lock();
        second = other.life.lock();
        (&mut *first, &mut *second)
    } else {
        second = other.life.lock();
        first = one.life.lock();
        (&mut *first, &mut *second)
    };
    match (one, other) {
        (Life::Alive { relations: one, .. }, Life::Alive { relations: other, .. }) => {
            let (ones, others) = (one.get_or_insert_default(), other.get_or_insert_default());
            // Whatever is removed, both can pay for it: nobody is told to end for that.
            let mut fits = || processes.0.has_room(ones) && processes.1.has_room(others);
            if growth == Growth::OneMore && !fits() {
                return false;
            }
            change(ones, others);
            processes.0.settle(ones);
            processes.1.settle(others);
            true
        }
        _ => false,
    }
}
