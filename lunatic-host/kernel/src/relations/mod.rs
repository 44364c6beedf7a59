//! The relations of a process to others: its mailbox, links, monitors, names and timers.
//!
//! All of them are behind one lock of the process, which also decides whether it is alive.

mod elsewhere;
pub mod mailbox;
pub(crate) mod outgoing;
mod pieces;

use std::any::Any;

use lunatic_sys::codes::{REFERENCE_BIT, TAG_SIGNAL};

use self::mailbox::{Body, Kind, Mail, Mailbox, Pushed};
use self::outgoing::Outgoing;
use crate::address::{Id, Peer};
use crate::arrivals::Moment;
use crate::aside::steps_to_drop;
use crate::budget::{Exhausted, Purse, Resource};
use crate::exit::ExitReason;
use crate::registry::Membership;
use crate::small_map::{SmallMap, SmallSet};

/// Replaces the mailbox of a process: for an interface whose processes receive in another way.
///
/// Messages with tags that are sent to such a process are dropped; it is notified of ends in its own way.
pub trait Intake: Any + Send {
    /// Takes the report of another process's end; returns true if its reader must be woken.
    fn tell(&mut self, what: &Kind) -> bool;

    /// Returns whether the end of a linked process with this reason is reported at all.
    fn hears_exit(&mut self, from: Id, reason: &ExitReason) -> bool;

    /// Takes what a timer brings; returns true if its reader must be woken.
    fn accept(&mut self, parcel: Box<dyn Any + Send>) -> bool;

    /// Returns what it has. This is asked after every change, so it must be quick.
    fn held(&self) -> Held;
}

/// What an [`Intake`] has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Held {
    /// The bytes that no receipt pays for: its process does.
    pub bytes: usize,
    /// By how many bytes it grows at most with another link or monitor.
    pub growth: usize,
    /// Approximately how many steps it takes to drop: one for each thing, and more for things that hold much.
    pub steps: usize,
}

/// Approximate size of a monitor in the watched process. The watching process pays for it, because the other cannot
/// refuse it.
const WATCHER_SIZE: usize = 64;

/// The most exit signals from one process in the mailbox of another.
pub const EXITS_PENDING_MAX: u32 = 16;

/// The relations of a process to others, made when they are first needed.
#[derive(Default)]
pub struct Relations {
    /// What was sent to it.
    pub mailbox: Mailbox,
    pub(crate) links: SmallSet<Id>,
    /// The processes that this one monitors, by reference.
    pub(crate) monitors: SmallMap<u64, Monitor>,
    /// The processes that monitor this one, by reference.
    pub(crate) watchers: SmallMap<u64, Id>,
    /// How many links and monitors of this process each other node has added: the process does not pay for them.
    elsewhere: SmallMap<Peer, u32>,
    /// How often this process has removed its link to a process of another node, and that has not confirmed it. A link
    /// that the other process makes meanwhile is one that it removes when it learns of this.
    unlinking: SmallMap<Id, u32>,
    /// The call that this process makes; made with the first.
    pub(crate) outgoing: Option<Box<Outgoing>>,
    /// Whether exit signals become mail.
    pub(crate) traps_exits: bool,
    /// If set, the process must end with this reason as soon as a worker takes it. The first reason stands.
    pub(crate) doom: Option<ExitReason>,
    pub(crate) membership: Membership,
    /// Timers that send to this process.
    pub(crate) timers: SmallSet<u64>,
    /// For each process, how many of its exit signals in the mailbox were sent explicitly, and did not come from a
    /// link.
    exits_pending: SmallMap<Id, u32>,
    intake: Option<Box<dyn Intake>>,
    /// The bytes of messages, and of everything else here, that the process has paid for.
    paid: (usize, usize),
}

/// A monitored process, and the tag under which its end is reported.
pub(crate) struct Monitor {
    pub(crate) watched: Id,
    pub(crate) tag: u64,
    /// Set once the end has been reported: the slot of the mailbox.
    told: Option<u32>,
}

impl Monitor {
    /// Whether the end has not been reported yet.
    pub(crate) fn is_active(&self) -> bool {
        self.told.is_none()
    }
}

impl Relations {
    /// The relations of a process that receives through an intake.
    pub(crate) fn with_intake(intake: Box<dyn Intake>) -> Self {
        Self {
            intake: Some(intake),
            ..Self::default()
        }
    }

    /// Returns the intake of the process, if it has one of this type.
    pub fn intake<I: Intake>(&mut self) -> Option<&mut I> {
        let intake: &mut dyn Any = self.intake.as_deref_mut()?;
        intake.downcast_mut()
    }

    pub(crate) fn any_intake(&mut self) -> Option<&mut dyn Intake> {
        self.intake.as_deref_mut()
    }

    pub(crate) fn has_intake(&self) -> bool {
        self.intake.is_some()
    }

    /// Adds a timer that sends to the process.
    pub fn own_timer(&mut self, timer: u64) {
        self.timers.insert(timer);
    }

    /// The number of things to release or drop.
    pub(crate) fn count(&self) -> usize {
        self.mailbox.len()
            + self.mailbox.lists_len()
            + steps_to_drop(self.mailbox.size())
            + self.links.len()
            + self.monitors.len()
            + self.watchers.len()
            + self.membership.len()
            + self.timers.len()
            + self.unlinking.len()
            + self.held().steps
    }

    /// What its intake has, if there is one.
    fn held(&self) -> Held {
        self.intake.as_ref().map(|intake| intake.held()).unwrap_or_default()
    }

    /// Some of the links, in order, and their total number. Not all of them: a process with a million links must not be
    /// delayed by a report.
    pub(crate) fn some_links(&self) -> (Vec<Id>, usize) {
        const SOME: usize = 8;
        const LOOKED_AT: usize = 256;
        let mut links: Vec<Id> = self.links.keys().take(LOOKED_AT).collect();
        links.sort_unstable();
        links.truncate(SOME);
        (links, self.links.len())
    }

    /// Drops what was sent to a process that has ended.
    pub(crate) fn drop_mail(&mut self) {
        drop(std::mem::take(&mut self.mailbox));
    }

    /// Removes the names and groups of a process that has ended, before anyone is notified of the end.
    pub(crate) fn names_fall(&mut self, id: Id) {
        std::mem::take(&mut self.membership).fall(id);
    }

    /// Opens a fresh reference, a number that `random` makes.
    pub(crate) fn open_reference(&mut self, random: impl FnMut() -> u64) -> u64 {
        let reference = self.unused_reference(random);
        self.mailbox.open(reference);
        reference
    }

    pub(crate) fn unused_reference(&self, mut random: impl FnMut() -> u64) -> u64 {
        let is_used = |tag| self.mailbox.is_open(tag) || self.outgoing.as_ref().is_some_and(|call| call.is_for(tag));
        loop {
            let reference = random() | REFERENCE_BIT;
            if !is_used(reference) {
                return reference;
            }
        }
    }

    /// Puts mail that arrives `now` where it belongs, and charges the process for it; does nothing if the process cannot pay.
    pub(crate) fn push(&mut self, mail: Mail, now: Moment, purse: Purse<'_>) -> Result<Pushed, Exhausted> {
        purse.check(Resource::Messages, self.mailbox.lists_growth())?;
        let mut paid = 0;
        let pushed = self.place(mail, now, |bytes| {
            purse.charge(Resource::Messages, bytes)?;
            paid = bytes;
            Ok(())
        });
        self.paid.0 += paid;
        pushed
    }

    /// [`push`](Self::push) before everything else in the mailbox. True if the owner must be woken.
    pub(crate) fn push_first(&mut self, mail: Mail, purse: Purse<'_>) -> Result<bool, Exhausted> {
        purse.check(Resource::Messages, self.mailbox.lists_growth())?;
        let mut paid = 0;
        let wakes = self.mailbox.push_first(mail, |bytes| {
            purse.charge(Resource::Messages, bytes)?;
            paid = bytes;
            Ok(())
        });
        self.paid.0 += paid;
        wakes
    }

    fn place(
        &mut self,
        mail: Mail,
        now: Moment,
        charge: impl FnOnce(usize) -> Result<(), Exhausted>,
    ) -> Result<Pushed, Exhausted> {
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
            _ => self.mailbox.push(mail, now, charge),
        }
    }

    /// The bytes of everything that was sent to the process and waits, and of the references under which more may
    /// arrive.
    pub(crate) fn size(&self) -> usize {
        let answer = self.outgoing.as_ref().map_or(0, |call| call.size());
        self.mailbox.size() + self.mailbox.lists_size() + answer + self.held().bytes
    }

    /// The bytes of everything else, except watchers, which the watching processes pay for, and names, which have
    /// receipts.
    fn size_of_others(&self) -> usize {
        self.links.size()
            + self.monitors.size()
            + self.monitors.len() * WATCHER_SIZE
            + self.timers.size()
            + self.exits_pending.size()
            + self.unlinking.size()
    }

    /// Checks whether there is room for another link, monitor, reference or timer. They are kept in maps that double
    /// while they are small, so one more may take up as much as all existing ones.
    ///
    /// # Errors
    ///
    /// [`Exhausted`] if the process cannot pay for it, and must end.
    pub(crate) fn check_room(&self, purse: Purse<'_>) -> Result<(), Exhausted> {
        purse.check(Resource::Messages, self.mailbox.lists_growth() + self.held().growth)?;
        let growth = self.monitors.growth() + self.links.growth() + self.timers.growth();
        purse.check(Resource::Relations, growth)
    }

    /// Charges the purse for the growth of messages, or gives back what they no longer take up.
    ///
    /// # Errors
    ///
    /// [`Exhausted`] if there is not enough: the process must end.
    pub(crate) fn settle_messages(&mut self, purse: Purse<'_>) -> Result<(), Exhausted> {
        let size = self.size();
        let before = std::mem::replace(&mut self.paid.0, size);
        purse.settle(Resource::Messages, before, size)
    }

    /// [`settle_messages`](Self::settle_messages), and the same for everything else.
    pub(crate) fn settle(&mut self, purse: Purse<'_>) -> Result<(), Exhausted> {
        let messages = self.settle_messages(purse);
        let size = self.size_of_others();
        let before = std::mem::replace(&mut self.paid.1, size);
        messages.and(purse.settle(Resource::Relations, before, size))
    }

    /// Gives all payments back, because the process has ended.
    pub(crate) fn pay_back(&mut self, purse: Purse<'_>) {
        let (messages, others) = std::mem::take(&mut self.paid);
        purse.give_back(Resource::Messages, messages);
        purse.give_back(Resource::Relations, others);
    }

    /// Closes a reference, and drops what has arrived under it.
    pub(crate) fn close(&mut self, reference: u64) {
        match &mut self.outgoing {
            Some(call) if call.is_for(reference) => _ = call.end(),
            _ => self.mailbox.close(reference),
        }
        // Entries under it were dropped, including the end of a monitored process.
        if self.monitors.get(reference).is_some_and(|monitor| !monitor.is_active()) {
            self.monitors.remove(reference);
        }
    }

    /// Records that the end of the process monitored under this reference was put into the mailbox, or `dropped`.
    pub(crate) fn told(&mut self, reference: u64, dropped: bool) {
        if dropped {
            self.monitors.remove(reference);
        } else if let Some(monitor) = self.monitors.get_mut(reference) {
            monitor.told = Some(self.mailbox.newest());
        }
    }

    /// Records that the entry under this reference was taken from the mailbox.
    pub(crate) fn down_taken(&mut self, reference: u64) {
        self.monitors.remove(reference);
        // If it was the monitor's own reference, it has served its purpose.
        self.mailbox.close(reference);
    }

    /// Removes a monitor; returns the watched process, if its end has not been reported. With `flush`, a report in the
    /// mailbox is dropped.
    pub(crate) fn demonitor(&mut self, reference: u64, flush: bool) -> Option<Id> {
        let (watched, told) = self
            .monitors
            .get(reference)
            .map(|monitor| (monitor.watched, monitor.told))?;
        if told.is_some() && !flush {
            return None;
        }
        self.monitors.remove(reference);
        if let Some(place) = told {
            self.mailbox.take_down(place, reference);
        }
        self.mailbox.close(reference);
        told.is_none().then_some(watched)
    }

    pub(crate) fn watch(&mut self, reference: u64, watched: Id, tag: u64) {
        let monitor = Monitor {
            watched,
            tag,
            told: None,
        };
        self.monitors.get_or_insert(reference, monitor);
    }

    /// Like [`exit`](Self::exit), for a signal that was sent explicitly: its sender can repeat it indefinitely, so it
    /// is dropped if [`EXITS_PENDING_MAX`] signals of the same sender are already here. An intake has no such limit: it
    /// does not report what is taken from it.
    pub(crate) fn exit_sent(&mut self, from: Id, reason: &ExitReason) -> Option<Mail> {
        if self.intake.is_some() {
            return self.exit(from, reason);
        }
        if self.exits_pending.get(from) == Some(&EXITS_PENDING_MAX) {
            return None;
        }
        let mail = self.exit(from, reason)?;
        *self.exits_pending.get_or_insert(from, 0) += 1;
        Some(mail)
    }

    /// Records that an exit signal was taken from the mailbox.
    pub(crate) fn exit_taken(&mut self, from: Id) {
        // A signal from a link is not counted, but may be taken for one that is: there is at most one per process.
        if let Some(pending) = self.exits_pending.get_mut(from) {
            *pending -= 1;
            if *pending == 0 {
                self.exits_pending.remove(from);
            }
        }
    }

    /// The mail that an exit signal becomes, or `None` if it does not become mail: then the process must end, if a doom
    /// is set.
    pub(crate) fn exit(&mut self, from: Id, reason: &ExitReason) -> Option<Mail> {
        if let Some(intake) = &mut self.intake
            && !intake.hears_exit(from, reason)
        {
            return None;
        }
        if self.traps_exits {
            return Some(Mail {
                kind: Kind::Exit(from),
                tag: TAG_SIGNAL,
                body: reason_body(reason),
            });
        }
        if *reason != ExitReason::Normal {
            self.doom.get_or_insert_with(|| reason.clone());
        }
        None
    }
}

/// The bytes with which a reason is reported to a process.
pub(crate) fn reason_body(reason: &ExitReason) -> Body {
    Body::from_vec(reason.to_bytes().1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A few of them are work for a thread, as many short ones are.
    #[test]
    fn long_messages_count_for_what_it_takes_to_drop_them() {
        let count = |len: usize| {
            let mut relations = Relations::default();
            let mail = Mail {
                kind: Kind::Message(Id::NONE),
                tag: 1,
                body: Body::from_vec(vec![0; len]),
            };
            relations.mailbox.push(mail, Moment::default(), |_| Ok(())).unwrap();
            relations.count()
        };
        // The message, and the list of its tag.
        assert_eq!(count(100), 2);
        assert!(count(256 << 20) > crate::aside::STEPS_MAX);
    }

    /// A process that has only these ends aside, too: they are dropped one after another.
    #[test]
    fn references_count_for_what_it_takes_to_drop_them() {
        let mut relations = Relations::default();
        let mut numbers = 0..;
        for _ in 0..2000 {
            relations.open_reference(|| numbers.next().unwrap());
        }
        assert_eq!(relations.count(), 2000);
    }
}
