//! Signals: what processes tell each other of their ends, by links, monitors and exit signals; and mail.
//!
//! The semantics are OTP's ("Processes", in the Erlang reference manual), with one difference: a monitor of a process that
//! has ended tells how it ended, for as long as the host remembers that.
//!
//! # Locks
//!
//! Everything here is kept in a process's *relations*, behind the lock that also decides between alive and ended. Links
//! are made and taken away under both processes' locks, taken in the order of their ids, so both sides always agree. A
//! process that ends takes its relations under its own lock and then tells the others, one lock at a time; each is told
//! only if it still has the relation. Signals are delivered by the call that causes them, so they overtake nothing that
//! the same process sent before. Processes are named by ids: with counted references, links would be cycles.

pub(crate) mod calls;
mod compat;

use std::sync::Arc;

use lunatic_sys::codes::REFERENCE_BIT;

use self::compat::Inbox;
use super::Process;
use super::exit::ExitReason;
use super::hash::NumberSet;
use super::id::Id;
use super::life::Life;
use super::mailbox::{Body, Kind, Mail, Mailbox, Pushed};
use super::outgoing::Outgoing;
use super::registry::Membership;
use super::small_map::SmallMap;
use crate::channel::SendRefusal;
use crate::clock::TimedMail;
use crate::quota::Exhausted;
use crate::shared::Shared;
use crate::system::System;

/// What a process has to do with others, made when it is first needed.
#[derive(Default)]
pub(crate) struct Relations {
    pub(crate) mailbox: Mailbox,
    links: NumberSet<Id>,
    /// The processes that this one monitors, by reference.
    monitors: SmallMap<u64, Monitor>,
    /// The processes that monitor this one, by reference.
    watchers: SmallMap<u64, Id>,
    /// The call that this one makes. Made with the first.
    outgoing: Option<Box<Outgoing>>,
    /// Exit signals become mail.
    traps_exits: bool,
    /// The process is to end with this reason as soon as a worker looks at it.
    doom: Option<ExitReason>,
    pub(super) membership: Membership,
    /// Timers that send to this process.
    pub(crate) timers: NumberSet<u64>,
    /// What a process of the interface of Lunatic 0.13 has in place of `mailbox`.
    compat: Option<Inbox>,
}

struct Monitor {
    watched: Id,
    tag: u64,
}

impl Process {
    /// Calls `f` with the relations of the process; tells how it ended if it has.
    pub(crate) fn relate<T>(&self, f: impl FnOnce(&mut Relations) -> T) -> Result<T, ExitReason> {
        match &mut *self.life.lock() {
            Life::Alive { relations, .. } => Ok(f(relations.get_or_insert_default())),
            Life::Ending { reason, .. } | Life::Ended(reason) => Err(reason.clone()),
        }
    }

    /// [`relate`](Self::relate), for the process that runs.
    pub(crate) fn relate_self<T>(&self, f: impl FnOnce(&mut Relations) -> T) -> T {
        match &mut *self.life.lock() {
            Life::Alive { relations, .. } => f(relations.get_or_insert_default()),
            Life::Ending { .. } | Life::Ended(_) => unreachable!("a process that runs has not ended"),
        }
    }

    /// The process has used up its time on a core, and is to end for that.
    pub(crate) fn is_out_of_budget(&self) -> bool {
        let spent = self.rights.budget.as_ref().is_some_and(|budget| budget.is_spent());
        if spent && !self.is_killed() {
            let _ = self.relate(|relations| relations.doom = Some(ExitReason::OutOfBudget));
            self.kill();
        }
        spent
    }

    /// Why the process, which is to end, does so.
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
    pub(crate) fn trap_exits(&self, on: bool) -> bool {
        self.relate_self(|relations| std::mem::replace(&mut relations.traps_exits, on))
    }

    /// Opens a fresh reference.
    pub(crate) fn open_reference(&self) -> u64 {
        self.relate_self(Relations::open_reference)
    }

    /// The names and links of the process, for reports.
    pub(crate) fn acquaintances(&self) -> (Option<String>, Vec<Id>) {
        let environment = self.rights.environment.as_ref();
        let old_name = environment.and_then(|environment| environment.name_of(self.id));
        match &*self.life.lock() {
            Life::Alive {
                relations: Some(relations),
                ..
            } => {
                let mut links: Vec<Id> = relations.links.iter().copied().collect();
                links.sort_unstable();
                (relations.membership.first_name().or(old_name), links)
            }
            _ => (None, Vec::new()),
        }
    }
}

impl Relations {
    /// The process has ended: its names and groups fall, before anybody hears of its end.
    pub(crate) fn names_fall(&mut self, id: Id) {
        std::mem::take(&mut self.membership).fall(id);
    }

    fn open_reference(&mut self) -> u64 {
        let reference = self.unused_reference();
        self.mailbox.open(reference);
        reference
    }

    fn unused_reference(&self) -> u64 {
        let is_used = |tag| self.mailbox.is_open(tag) || self.outgoing.as_ref().is_some_and(|call| call.is_for(tag));
        loop {
            let reference = rand::random::<u64>() | REFERENCE_BIT;
            if !is_used(reference) {
                return reference;
            }
        }
    }

    /// Puts mail where it belongs.
    fn push(&mut self, mail: Mail, charge: impl FnOnce(usize) -> Result<(), Exhausted>) -> Result<Pushed, Exhausted> {
        match &mut self.outgoing {
            // What comes after the answer is dropped.
            Some(call) if call.is_for(mail.tag) && call.is_answered() => Ok(Pushed::Dropped),
            Some(call) if call.is_for(mail.tag) => {
                match mail.size_outside() {
                    0 => {}
                    size => charge(size)?,
                }
                Ok(Pushed::Queued {
                    wake: call.answer(mail),
                })
            }
            _ => self.mailbox.push(mail, charge),
        }
    }

    /// The bytes of all that was sent to the process and waits.
    fn size(&self) -> usize {
        self.mailbox.size() + self.outgoing.as_ref().map_or(0, |call| call.size())
    }

    /// Closes a reference, and drops what has come under it.
    fn close(&mut self, reference: u64) {
        match &mut self.outgoing {
            Some(call) if call.is_for(reference) => _ = call.end(),
            _ => self.mailbox.close(reference),
        }
    }

    /// The mail that an exit signal becomes, or nothing if the signal does not become mail: then the process must end, if
    /// a doom is set.
    fn exit(&mut self, from: Id, reason: &ExitReason) -> Option<Mail> {
        if self.compat.is_some() && *reason == ExitReason::Normal {
            self.forget_link_tag(from);
            return None;
        }
        if self.traps_exits {
            return Some(Mail {
                kind: Kind::Exit(from),
                tag: lunatic_sys::codes::TAG_SIGNAL,
                body: body(reason),
            });
        }
        if *reason != ExitReason::Normal {
            self.doom.get_or_insert_with(|| reason.clone());
        }
        None
    }
}

fn body(reason: &ExitReason) -> Body {
    Body::from_vec(reason.to_bytes().1)
}

fn new_mail(tag: u64, bytes: &[u8]) -> Result<Mail, SendRefusal> {
    if bytes.len() > lunatic_sys::codes::MESSAGE_LEN_MAX {
        return Err(SendRefusal::Limit);
    }
    Ok(Mail {
        kind: Kind::Message,
        tag,
        body: Body::from_slice(bytes),
    })
}

/// What a process must do that has sent a signal to itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    Lives,
    Ends(ExitReason),
}

impl Shared {
    /// The process, while it is alive.
    pub(crate) fn find(&self, id: Id) -> Option<Arc<Process>> {
        self.processes.get(id).map(|process| Arc::clone(&process))
    }

    /// Puts a message into the mailbox of a process.
    pub(crate) fn send_mail(&self, to: Arc<Process>, tag: u64, bytes: &[u8]) -> Result<(), SendRefusal> {
        let mail = new_mail(tag, bytes)?;
        let pushed = to.relate(|relations| self.queue(&to, relations, mail));
        if pushed.unwrap_or(Err(SendRefusal::Closed))? {
            self.scheduler.wake_owned(to);
        }
        Ok(())
    }

    /// Puts a message into a mailbox that is not full; true if its owner must be woken. There is always room for the answer
    /// to a call.
    fn queue(&self, to: &Process, relations: &mut Relations, mail: Mail) -> Result<bool, SendRefusal> {
        let is_full = relations.mailbox.len() >= to.rights.mailbox_max;
        if is_full && !relations.outgoing.as_ref().is_some_and(|call| call.is_for(mail.tag)) {
            return Err(SendRefusal::Full);
        }
        match relations.push(mail, |bytes| self.queued.charge(bytes)) {
            Ok(Pushed::Queued { wake }) => Ok(wake),
            Ok(Pushed::Dropped) => Ok(false),
            Err(Exhausted) => Err(SendRefusal::Limit),
        }
    }

    /// Takes from what was sent to a process, or moves it, and gives back the bytes of what was taken.
    fn free<T>(&self, relations: &mut Relations, take: impl FnOnce(&mut Relations) -> T) -> T {
        let before = relations.size();
        let taken = take(relations);
        match relations.size() {
            after if after < before => self.queued.give_back(before - after),
            after if after > before => self.queued.charge_anyway(after - before),
            _ => {}
        }
        taken
    }

    /// Takes an entry out of the mailbox of the process that runs, or leaves it waiting for one.
    pub(crate) fn take_mail(&self, process: &Process, tags: &[u64], wait: bool) -> Option<Mail> {
        process.relate_self(|relations| {
            self.free(relations, |Relations { mailbox, .. }| {
                let mail = mailbox.take(tags);
                match &mail {
                    Some(mail) => {
                        if let Kind::Down(_, reference) = mail.kind {
                            // If it was the monitor's own, it has done its work.
                            mailbox.close(reference);
                        }
                    }
                    None if wait => mailbox.wait_to_take(tags),
                    None => mailbox.wait_no_more(),
                }
                mail
            })
        })
    }

    /// The process that runs is to be woken by mail with one of these tags; or no more.
    pub(crate) fn wait_for_mail(&self, process: &Process, tags: Option<&[u64]>) {
        process.relate_self(|relations| {
            self.free(relations, |Relations { mailbox, .. }| match tags {
                Some(tags) => mailbox.wait_for(tags),
                None => mailbox.wait_no_more(),
            });
        });
    }

    /// Closes a reference of the process that runs.
    pub(crate) fn close_reference(&self, process: &Process, reference: u64) {
        process.relate_self(|relations| self.free(relations, |relations| relations.close(reference)));
    }

    /// Links the process that runs to another.
    pub(crate) fn link(&self, process: &Arc<Process>, other: Id) -> Fate {
        if process.id == other {
            return Fate::Lives;
        }
        let linked = self.find(other).is_some_and(|other| {
            with_both(process, &other, |mine, theirs| {
                mine.links.insert(other.id);
                theirs.links.insert(process.id);
            })
        });
        if linked {
            return Fate::Lives;
        }
        self.signal_self(process, other, &ExitReason::NoProcess)
    }

    /// Takes a link of the process that runs away, if it is there.
    pub(crate) fn unlink(&self, process: &Process, other: Id) {
        if process.id == other {
            return;
        }
        match self.find(other) {
            Some(other) => {
                let both = with_both(process, &other, |mine, theirs| {
                    mine.links.remove(&other.id);
                    theirs.links.remove(&process.id);
                });
                if !both {
                    process.relate_self(|mine| mine.links.remove(&other.id));
                }
            }
            None => _ = process.relate_self(|mine| mine.links.remove(&other)),
        }
    }

    /// The process that runs sends an exit signal.
    pub(crate) fn send_exit(&self, process: &Arc<Process>, to: Id, reason: &ExitReason) -> Fate {
        if process.id == to {
            return match reason {
                ExitReason::Killed => Fate::Ends(ExitReason::Killed),
                reason => self.signal_self(process, to, reason),
            };
        }
        let Some(to) = self.find(to) else { return Fate::Lives };
        if *reason == ExitReason::Killed {
            self.kill(&to);
        } else {
            self.deliver(&to, |relations| relations.exit(process.id, reason));
        }
        Fate::Lives
    }

    /// Ends a process, whatever it traps.
    pub(crate) fn kill(&self, process: &Arc<Process>) {
        process.kill();
        self.scheduler.wake(process);
    }

    fn signal_self(&self, process: &Arc<Process>, from: Id, reason: &ExitReason) -> Fate {
        let traps = process.relate_self(|relations| relations.traps_exits);
        if !traps {
            return Fate::Ends(reason.clone());
        }
        self.deliver(process, |relations| relations.exit(from, reason));
        Fate::Lives
    }

    /// The process that runs watches another: it gets one message when that ends, under `tag`, or under the reference if
    /// `tag` is 0.
    pub(crate) fn monitor(&self, process: &Arc<Process>, watched: Id, tag: u64) -> u64 {
        let reference = process.relate_self(|relations| {
            let reference = match tag {
                0 => relations.open_reference(),
                _ => rand::random::<u64>() | REFERENCE_BIT,
            };
            relations.watch(reference, watched, if tag == 0 { reference } else { tag });
            reference
        });
        if let Err(reason) = self.be_watched(process.id, watched, reference) {
            self.tell_down(process, watched, reference, &reason);
        }
        reference
    }

    fn be_watched(&self, watcher: Id, watched: Id, reference: u64) -> Result<(), ExitReason> {
        match self.find(watched) {
            Some(watched) => watched.relate(|relations| {
                relations.watchers.get_or_insert(reference, watcher);
            }),
            None => Err(self.exits.of(watched)),
        }
    }

    /// Takes a monitor of the process that runs away; true if it was active. With `flush`, a message of it that has come
    /// already is dropped.
    pub(crate) fn demonitor(&self, process: &Process, reference: u64, flush: bool) -> bool {
        let monitor = process.relate_self(|relations| {
            let monitor = relations.monitors.remove(reference);
            if flush || monitor.is_some() {
                self.free(relations, |Relations { mailbox, .. }| {
                    mailbox.take_down(reference);
                    mailbox.close(reference);
                });
            }
            monitor
        });
        if let Some(monitor) = &monitor
            && let Some(watched) = self.find(monitor.watched)
        {
            let _ = watched.relate(|relations| relations.watchers.remove(reference));
        }
        monitor.is_some()
    }

    /// Tells a process of the end of one that it monitors, if it still does.
    fn tell_down(&self, watcher: &Arc<Process>, watched: Id, reference: u64, reason: &ExitReason) {
        self.deliver(watcher, |relations| {
            let (tag, reference) = match relations.monitors.remove(reference) {
                Some(monitor) => (monitor.tag, reference),
                None => {
                    let call = relations.outgoing.as_mut()?.end_of(reference)?;
                    (call, call)
                }
            };
            Some(Mail {
                kind: Kind::Down(watched, reference),
                tag,
                body: body(reason),
            })
        });
    }

    /// Changes the relations of a process by a signal: puts the mail that comes of it into its mailbox, or ends the
    /// process if it is doomed.
    fn deliver(&self, to: &Arc<Process>, signal: impl FnOnce(&mut Relations) -> Option<Mail>) {
        let _ = to.relate(|relations| {
            let mail = signal(relations);
            if let (Some(mail), Some(inbox)) = (&mail, &mut relations.compat) {
                if inbox.tell(mail.kind) {
                    self.scheduler.wake(to);
                }
            } else if let Some(mail) = mail {
                // A signal is never refused.
                let charge = |bytes| {
                    self.queued.charge_anyway(bytes);
                    Ok(())
                };
                if let Ok(Pushed::Queued { wake: true }) = relations.push(mail, charge) {
                    self.scheduler.wake(to);
                }
            } else if relations.doom.is_some() {
                to.kill();
                self.scheduler.wake(to);
            }
        });
    }

    fn take_timer(&self, system: &System, timer: u64) -> Option<Box<TimedMail>> {
        let own = system.time.paused().map(|_| system.time.clock(&self.clock));
        self.clock
            .cancel_mail(timer)
            .or_else(|| own.and_then(|clock| clock.cancel_mail(timer)))
    }

    /// Takes a timer away; false if it sends nothing any more.
    pub(crate) fn cancel_timer(&self, system: &System, timer: u64) -> bool {
        let Some(mail) = self.take_timer(system, timer) else {
            return false;
        };
        self.queued.give_back(mail.size());
        if let Some(process) = self.find(mail.to) {
            let _ = process.relate(|relations| relations.timers.remove(&timer));
        }
        true
    }

    /// A process has ended: whoever has a relation to it hears of it.
    pub(crate) fn tell_of_end(&self, system: &System, id: Id, relations: &Relations, reason: &ExitReason) {
        self.queued.give_back(relations.size());
        if let Some(callee) = relations.outgoing.as_ref().and_then(|call| call.callee()) {
            self.watch_no_more(callee);
        }
        for &timer in &relations.timers {
            if let Some(mail) = self.take_timer(system, timer) {
                self.queued.give_back(mail.size());
            }
        }
        for &linked in &relations.links {
            let Some(linked) = self.find(linked) else { continue };
            self.deliver(&linked, |relations| {
                relations
                    .links
                    .remove(&id)
                    .then(|| relations.exit(id, reason))
                    .flatten()
            });
        }
        for (reference, &watcher) in relations.watchers.iter() {
            if let Some(watcher) = self.find(watcher) {
                self.tell_down(&watcher, id, reference, reason);
            }
        }
        for (reference, monitor) in relations.monitors.iter() {
            if let Some(watched) = self.find(monitor.watched) {
                let _ = watched.relate(|relations| relations.watchers.remove(reference));
            }
        }
    }
}

impl Relations {
    fn watch(&mut self, reference: u64, watched: Id, tag: u64) {
        self.monitors.get_or_insert(reference, Monitor { watched, tag });
    }
}

/// Changes the relations of two different processes at once; false if one of them has ended.
fn with_both(one: &Process, other: &Process, change: impl FnOnce(&mut Relations, &mut Relations)) -> bool {
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
            change(one.get_or_insert_default(), other.get_or_insert_default());
            true
        }
        _ => false,
    }
}
