//! Timers of processes: their owners, their contents, and their limits.
//!
//! A timer belongs to the process to which it sends, and is removed when that ends. One that sends to another node
//! belongs to the process that set it. The process that set it pays for it
//! ([`crate::post`]).

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use lunatic_sys::codes::{IN_PLACE_LEN_MAX, MESSAGE_LEN_MAX};

use crate::address::Id;
use crate::budget::{Payer, Receipt, Resource};
use crate::channel::Message;
use crate::host::{Host, Local};
use crate::kernel::Kernel;
use crate::post::{FAR, Letter, Postman, TimedMail};
use crate::process::Process;
use crate::relations::mailbox::{Body, Kind, Mail};
use crate::remains::part;
use crate::system::System;

/// The most timers of a process at a time.
pub const TIMERS_MAX: usize = 1 << 16;

/// The most timers that a process can have while others set more: so others leave it as many.
pub const TIMERS_MAX_BY_OTHERS: usize = TIMERS_MAX / 2;

/// Why a timer was not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimerRefusal {
    /// The process that it sends to has ended.
    Closed,
    /// The process that it sends to has reached its limit of timers.
    TooMany,
    /// The message is longer than [`MESSAGE_LEN_MAX`], or than [`IN_PLACE_LEN_MAX`] if it is sent at intervals; or the
    /// process that sets the timer does not have enough memory left.
    Limit,
}

impl fmt::Display for TimerRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "the receiver has ended",
            Self::TooMany => "the receiver already has the largest number of timers",
            Self::Limit => "the message is too long, or there is not enough memory left for it",
        })
    }
}

impl std::error::Error for TimerRefusal {}

impl<H: Host> Kernel<H> {
    /// Sends `mail` after `delay`, by the clock of the system of `setter`. Returns a number that nobody can guess. The
    /// bytes that the timer holds, and the CPU time for sending, are charged to the budget of `setter`.
    ///
    /// # Errors
    ///
    /// [`TimerRefusal`] says why not; then nothing has happened.
    pub fn set_timer(&self, setter: &Process<H>, delay: Duration, mail: TimedMail) -> Result<u64, TimerRefusal> {
        // The message of an interval is copied each time, by a thread for which all other timers wait.
        let len_max = mail.interval.map_or(MESSAGE_LEN_MAX, |_| IN_PLACE_LEN_MAX);
        if mail.body.len() > len_max {
            return Err(TimerRefusal::Limit);
        }
        let owner = match mail.to.is_here() {
            true => mail.to,
            false if self.may_be_alive(mail.to) => setter.id,
            false => return Err(TimerRefusal::Closed),
        };
        let owner = self.find(owner).ok_or(TimerRefusal::Closed)?;
        let mut letter = Letter::new(setter.id, setter.local.budget().cloned(), mail);
        let mut paid = Receipt::new(setter.purse().to_account(), Resource::Timers);
        paid.grow(letter.size()).map_err(|_| TimerRefusal::Limit)?;
        letter.paid = Some(paid);
        let outermost = part(setter.local.budget(), H::budget_of(&setter.system.data));
        letter.group = outermost.map_or(0, |budget| Arc::as_ptr(budget).addr());
        let time = &setter.system.time;
        // A time that is not representable never comes; the latest representable time is as good.
        let due = time.now().checked_add(delay).unwrap_or_else(|| time.now() + FAR);
        let max = if owner.id == setter.id {
            TIMERS_MAX
        } else {
            TIMERS_MAX_BY_OTHERS
        };
        let timer = self.random();
        // The owner knows its timers, so that they are removed when it ends. It cannot end in between, and the timer
        // cannot send before its owner knows it.
        let set = owner.relate(|relations| {
            if relations.timers.len() >= max {
                return Err(TimerRefusal::TooMany);
            }
            // Refused instead of owed: the setter may be a stranger, for whom the owner must not end.
            if relations.check_room(owner.purse()).is_err() {
                return Err(TimerRefusal::Limit);
            }
            relations.own_timer(timer);
            time.post(&self.post).set(due, timer, letter);
            Ok(timer)
        });
        self.wake_doomed(&owner);
        set.unwrap_or(Err(TimerRefusal::Closed))
    }

    /// Cancels a timer; returns false if it would send nothing more.
    pub fn cancel_timer(&self, system: &System<H>, timer: u64) -> bool {
        let letter = self.take_timer(system, timer);
        if let Some(letter) = &letter {
            self.forget_timer(timer, letter);
        }
        letter.is_some()
    }

    /// Removes a timer from its post, whichever that is.
    pub(crate) fn take_timer(&self, system: &System<H>, timer: u64) -> Option<Arc<Letter>> {
        let own = system.time.paused().map(|_| system.time.post(&self.post));
        let taken = self.post.cancel(timer);
        taken.or_else(|| own.and_then(|post| post.cancel(timer)))
    }

    /// Removes a timer, which has left its post, from its owner.
    fn forget_timer(&self, timer: u64, letter: &Letter) {
        if let Some(owner) = self.find(owner_of(letter)) {
            let _ = owner.relate(|relations| relations.timers.remove(timer));
        }
    }

    /// Gives a parcel to the intake of a process. If there is none, the parcel is dropped.
    fn hand_in(&self, to: &Arc<Process<H>>, parcel: Box<dyn Any + Send>) {
        let accepted = to.relate(|relations| relations.any_intake().is_some_and(|intake| intake.accept(parcel)));
        if accepted == Ok(true) {
            self.scheduler.wake(to);
        }
    }

    /// Delivers what a timer sends; for an interval, only if its owner still has it.
    fn bring(&self, interval: Option<u64>, letter: &Letter, body: impl FnOnce() -> Body) {
        let mail = &letter.mail;
        if !mail.to.is_here() {
            let setter = self.find(letter.from);
            let has =
                |timer| setter.is_some_and(|setter| setter.peek(|own| own.timers.contains_key(timer)) == Some(true));
            if !interval.is_none_or(has) {
                return;
            }
            let (tag, body) = (mail.tag, body());
            if let Some(remote) = self.peers.remote(mail.to.peer()) {
                // If there is no room, or the node is lost, the message is, too.
                _ = self.send_elsewhere(&*remote, (letter.from, mail.to), tag, &body, &mail.trace);
            }
            return;
        }
        let Some(owner) = self.find(mail.to) else { return };
        if let Some(parcel) = &mail.parcel {
            let parcel = parcel.lock().take();
            if let Some(parcel) = parcel {
                self.hand_in(&owner, parcel);
            }
            return;
        }
        // Before the body is copied, which may be a megabyte.
        if owner.relate(|relations| self.has_no_room(&owner, relations, mail.tag)) != Ok(false) {
            return;
        }
        let body = body();
        let mail = Mail {
            kind: Kind::of_message(Id::NONE, mail.trace.clone()),
            tag: mail.tag,
            body,
        };
        // A full mailbox misses what a timer sends, as it would miss what a process sends. Under the same lock, a cancelled
        // timer is removed before whoever cancels it goes on.
        let queued = owner.relate(|relations| match interval {
            Some(timer) if !relations.timers.contains_key(timer) => Ok(false),
            _ => self.queue(&owner, relations, mail),
        });
        if queued == Ok(Ok(true)) {
            self.scheduler.wake_owned(owner);
        }
    }
}

impl<H: Host> Postman for Kernel<H> {
    fn send_last(&self, timer: u64, mut letter: Letter) {
        self.forget_timer(timer, &letter);
        let body = std::mem::take(&mut letter.mail.body);
        self.bring(None, &letter, || into_body(body));
    }

    fn send(&self, timer: u64, letter: &Letter) {
        self.bring(Some(timer), letter, || Body::from_slice(&letter.mail.body));
    }

    fn refuse(&self, timer: u64, letter: &Letter) {
        self.forget_timer(timer, letter);
        // It may be asleep, and would not be checked for as long.
        if let Some(setter) = self.find(letter.from)
            && setter.is_out_of_budget()
        {
            self.scheduler.wake(&setter);
        }
    }

    fn ran_out(&self) {
        self.look_for_deadlocks();
    }
}

/// The process to which a timer belongs: the one that it sends to, or the one that set it for another node.
fn owner_of(letter: &Letter) -> Id {
    match letter.mail.to.is_here() {
        true => letter.mail.to,
        false => letter.from,
    }
}

/// The same bytes; those of a long message are not copied.
fn into_body(message: Message) -> Body {
    match message.spilled() {
        true => Body::from_vec(message.into_vec()),
        false => Body::from_slice(&message),
    }
}
