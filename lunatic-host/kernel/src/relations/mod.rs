//! What a process has to do with others: its mailbox, links, monitors, names and timers.
//!
//! All of it lies behind one lock of the process, the one that also decides whether it is alive.

pub mod mailbox;
pub(crate) mod outgoing;
mod pieces;

use std::any::Any;

use lunatic_sys::codes::{REFERENCE_BIT, TAG_SIGNAL};

use self::mailbox::{Body, Kind, Mail, Mailbox, Pushed};
use self::outgoing::Outgoing;
use crate::address::Id;
use crate::aside::steps_to_drop;
use crate::budget::{Exhausted, Purse, Resource};
use crate::exit::ExitReason;
use crate::registry::Membership;
use crate::small_map::{SmallMap, SmallSet};

/// What takes the place of the mailbox of a process: for an interface whose processes receive otherwise.
///
/// Messages with tags that are sent to such a process are dropped; it is told of ends in its own way.
pub trait Intake: Any + Send {
    /// Takes what the process is told of another's end; true if its reader must be woken.
    fn tell(&mut self, what: &Kind) -> bool;

    /// Whether the end of a linked process with this reason is told at all.
    fn hears_exit(&mut self, from: Id, reason: &ExitReason) -> bool;

    /// Takes what a timer brings; true if its reader must be woken.
    fn accept(&mut self, parcel: Box<dyn Any + Send>) -> bool;
}

/// What a monitor takes up in the process that is watched, about: it is paid for by the one that watches, as the other can
/// refuse nothing.
const WATCHER_SIZE: usize = 64;

/// So many exit signals that one process has sent to another may lie in its mailbox.
pub const EXITS_PENDING_MAX: u32 = 16;

/// What a process has to do with others, made when it is first needed.
#[derive(Default)]
pub struct Relations {
    /// What was sent to it.
    pub mailbox: Mailbox,
    pub(crate) links: SmallSet<Id>,
    /// The processes that this one monitors, by reference.
    pub(crate) monitors: SmallMap<u64, Monitor>,
    /// The processes that monitor this one, by reference.
    pub(crate) watchers: SmallMap<u64, Id>,
    /// The call that this one makes. Made with the first.
    pub(crate) outgoing: Option<Box<Outgoing>>,
    /// Exit signals become mail.
    pub(crate) traps_exits: bool,
    /// The process is to end with this reason as soon as a worker looks at it. The first reason stands.
    pub(crate) doom: Option<ExitReason>,
    pub(crate) membership: Membership,
    /// Timers that send to this process.
    pub(crate) timers: SmallSet<u64>,
    /// How many exit signals of each process lie in the mailbox that were sent and did not come by a link.
    exits_pending: SmallMap<Id, u32>,
    intake: Option<Box<dyn Intake>>,
    /// The bytes of messages, and of all else here, that are taken from the purse of the process.
    paid: (usize, usize),
}

/// A process that is monitored, and under which tag its end is told.
pub(crate) struct Monitor {
    pub(crate) watched: Id,
    pub(crate) tag: u64,
    /// The end has been told, and lies in this slot of the mailbox.
    told: Option<u32>,
}

impl Monitor {
    /// The end has not been told yet.
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

    /// The intake of the process, if it has one of this type.
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

    /// How many things there are to be given up, or dropped.
    pub(crate) fn count(&self) -> usize {
        self.mailbox.len()
            + self.mailbox.lists_len()
            + steps_to_drop(self.mailbox.size())
            + self.links.len()
            + self.monitors.len()
            + self.watchers.len()
            + self.membership.len()
            + self.timers.len()
    }

    /// Some of the links, in order, and how many there are. Not all: who has a million is not to be kept waiting for a report.
    pub(crate) fn some_links(&self) -> (Vec<Id>, usize) {
        const SOME: usize = 8;
        const LOOKED_AT: usize = 256;
        let mut links: Vec<Id> = self.links.keys().take(LOOKED_AT).collect();
        links.sort_unstable();
        links.truncate(SOME);
        (links, self.links.len())
    }

    /// The process has ended: its names and groups fall, before anybody hears of its end.
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

    /// Puts mail where it belongs, and takes what it takes up from the purse of the process, or leaves it if that has not so
    /// much.
    pub(crate) fn push(&mut self, mail: Mail, purse: Purse<'_>) -> Result<Pushed, Exhausted> {
        purse.check(Resource::Messages, self.mailbox.lists_growth())?;
        let mut paid = 0;
        let pushed = self.place(mail, |bytes| {
            purse.charge(Resource::Messages, bytes)?;
            paid = bytes;
            Ok(())
        });
        self.paid.0 += paid;
        pushed
    }

    /// [`push`](Self::push) before all else that lies in the mailbox. True if the owner must be woken.
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

    fn place(&mut self, mail: Mail, charge: impl FnOnce(usize) -> Result<(), Exhausted>) -> Result<Pushed, Exhausted> {
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

    /// The bytes of all that was sent to the process and waits, and of the references under which more may come.
    pub(crate) fn size(&self) -> usize {
        self.mailbox.size() + self.mailbox.lists_size() + self.outgoing.as_ref().map_or(0, |call| call.size())
    }

    /// The bytes of all else, but for watchers, for which those pay who watch, and for names, which have receipts.
    fn size_of_others(&self) -> usize {
        self.links.size()
            + self.monitors.size()
            + self.monitors.len() * WATCHER_SIZE
            + self.timers.size()
            + self.exits_pending.size()
    }

    /// Whether there is room for another link, monitor, reference or timer. They are kept in maps that double while they are not
    /// large, so one more may take up as much as all that are there.
    ///
    /// # Errors
    ///
    /// [`Exhausted`] if the process cannot pay for it, and must end.
    pub(crate) fn check_room(&self, purse: Purse<'_>) -> Result<(), Exhausted> {
        purse.check(Resource::Messages, self.mailbox.lists_growth())?;
        let growth = self.monitors.growth() + self.links.growth() + self.timers.growth();
        purse.check(Resource::Relations, growth)
    }

    /// Takes from the purse what messages have come to take up, or gives back what they take up no more.
    ///
    /// # Errors
    ///
    /// [`Exhausted`] if that is more than there is: the process must end for it.
    pub(crate) fn settle_messages(&mut self, purse: Purse<'_>) -> Result<(), Exhausted> {
        let size = self.size();
        let before = std::mem::replace(&mut self.paid.0, size);
        purse.settle(Resource::Messages, before, size)
    }

    /// [`settle_messages`](Self::settle_messages), and the same for all else.
    pub(crate) fn settle(&mut self, purse: Purse<'_>) -> Result<(), Exhausted> {
        let messages = self.settle_messages(purse);
        let size = self.size_of_others();
        let before = std::mem::replace(&mut self.paid.1, size);
        messages.and(purse.settle(Resource::Relations, before, size))
    }

    /// The process has ended: nothing is paid for any more.
    pub(crate) fn pay_back(&mut self, purse: Purse<'_>) {
        let (messages, others) = std::mem::take(&mut self.paid);
        purse.give_back(Resource::Messages, messages);
        purse.give_back(Resource::Relations, others);
    }

    /// Closes a reference, and drops what has come under it.
    pub(crate) fn close(&mut self, reference: u64) {
        match &mut self.outgoing {
            Some(call) if call.is_for(reference) => _ = call.end(),
            _ => self.mailbox.close(reference),
        }
        // What lay under it was dropped, the end of whom it monitors too.
        if self.monitors.get(reference).is_some_and(|monitor| !monitor.is_active()) {
            self.monitors.remove(reference);
        }
    }

    /// The end of a process that is monitored under this reference was put into the mailbox, or `dropped`.
    pub(crate) fn told(&mut self, reference: u64, dropped: bool) {
        if dropped {
            self.monitors.remove(reference);
        } else if let Some(monitor) = self.monitors.get_mut(reference) {
            monitor.told = Some(self.mailbox.newest());
        }
    }

    /// What was told under this reference was taken out of the mailbox.
    pub(crate) fn down_taken(&mut self, reference: u64) {
        self.monitors.remove(reference);
        // If it was the monitor's own, it has done its work.
        self.mailbox.close(reference);
    }

    /// Takes a monitor away: the process that was watched, if its end has not been told. With `flush`, what was told of it is
    /// dropped.
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

    /// As [`exit`](Self::exit), for a signal that was sent: nothing keeps its sender from doing that again and again, so it is
    /// dropped if [`EXITS_PENDING_MAX`] of the same sender lie here.
    pub(crate) fn exit_sent(&mut self, from: Id, reason: &ExitReason) -> Option<Mail> {
        if self.exits_pending.get(from) == Some(&EXITS_PENDING_MAX) {
            return None;
        }
        let mail = self.exit(from, reason)?;
        *self.exits_pending.get_or_insert(from, 0) += 1;
        Some(mail)
    }

    /// An exit signal was taken out of the mailbox.
    pub(crate) fn exit_taken(&mut self, from: Id) {
        // One that came by a link is not counted, and taken for one that is: at most one of each process comes so.
        if let Some(pending) = self.exits_pending.get_mut(from) {
            *pending -= 1;
            if *pending == 0 {
                self.exits_pending.remove(from);
            }
        }
    }

    /// The mail that an exit signal becomes, or nothing if the signal does not become mail: then the process must end, if
    /// a doom is set.
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

/// The bytes by which a process is told of a reason.
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
                kind: Kind::Message,
                tag: 1,
                body: Body::from_vec(vec![0; len]),
            };
            relations.mailbox.push(mail, |_| Ok(())).unwrap();
            relations.count()
        };
        // The message, and the list of its tag.
        assert_eq!(count(100), 2);
        assert!(count(256 << 20) > crate::aside::STEPS_MAX);
    }

    /// A process that has nothing but these ends aside, too: they are dropped one after another.
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
