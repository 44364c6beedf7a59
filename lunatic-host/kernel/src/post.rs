//! The post: the mail of timers, and the thread that sends it when it is due.
//!
//! It does not know processes: a process is an id, and a [`Postman`] delivers what is sent. The post has a thread of
//! its own, so that neither many timers nor long messages delay a time slice or a sleeper: these belong to the
//! [clock](crate::clock). The thread takes due timers in batches of at most 256, or of a megabyte of messages that are
//! copied, and holds the lock only while it takes them.
//!
//! A batch takes timers in the order of their times. If more are due than fit into it, outermost budgets
//! take turns (`late.rs`) until none is late any more: otherwise, a sandbox with thousands of timers could delay those
//! of all others.
//!
//! # Intervals
//!
//! When an interval timer is taken, it is immediately set to its next time in the future. So it does not drift, and a
//! late timer sends only once, however many of its times have passed; these are counted ([`Post::skipped`]). Otherwise,
//! intervals that are shorter than the work that they cause would always be due.
//!
//! # Who pays
//!
//! The CPU time of a batch is charged to the budgets of the processes that set its timers, in proportion to the weight
//! of each. A budget that is used up sends nothing any more. While its share of a core is used up, intervals are
//! skipped. Timers of processes without a budget are charged to nobody, and add at most two readings of the clock to a
//! batch.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::address::Id;
use crate::agenda::{Agenda, TimerId};
use crate::budget::{Budget, Receipt};
use crate::channel::Message;
use crate::clock::TIME_SLICE;
use crate::environment::Environment;
use crate::large_map::LargeMap;
use crate::late::Late;
use crate::trace::{self, Trace};

/// The most timers in a batch. Taking them takes some tens of microseconds, for which setting or cancelling a timer may
/// have to wait.
const BATCH: usize = 256;

/// The weight of a batch at which it takes no more timers: a megabyte that is copied. Others wait meanwhile.
const BATCH_WEIGHT: u64 = 1 << 20;

/// How many timers are moved to those that take turns in one step, which takes less than a millisecond.
const LATE_AT_ONCE: usize = 4096;

/// A time that is as good as never: 136 years. It replaces longer delays, which might not be representable.
pub(crate) const FAR: Duration = Duration::from_secs(1 << 32);

/// A message that is sent later.
#[derive(Debug, Clone)]
pub struct TimedMail {
    /// The receiver.
    pub to: Id,
    /// The tag.
    pub tag: u64,
    /// Its bytes.
    pub body: Message,
    /// It is sent again after each interval, which is at least a [`TIME_SLICE`].
    pub interval: Option<Duration>,
    /// What is sent instead of `body` to a process with an [intake](crate::relations::Intake) instead of a mailbox.
    pub parcel: Option<Parcel>,
    /// The trace of the message. A repeated message has none.
    pub trace: Trace,
}

/// Something on its way to an intake; `None` once it has been sent.
pub type Parcel = Arc<Mutex<Option<Box<dyn Any + Send>>>>;

/// The contents of a timer.
#[derive(Debug)]
pub struct Letter {
    /// The message.
    pub mail: TimedMail,
    /// The process that set the timer.
    pub from: Id,
    /// The budget that pays for the CPU time.
    pub payer: Option<Arc<Budget>>,
    /// The payment for its bytes.
    pub(crate) paid: Option<Receipt>,
    /// Who takes turns with others when timers are late: a number for the outermost budget that pays.
    pub(crate) group: usize,
    /// Whether the timer is an interval that was cancelled while it fired.
    is_cancelled: AtomicBool,
}

impl Letter {
    /// Returns a letter with `mail` from the process `from`, paid for by `payer`.
    pub fn new(from: Id, payer: Option<Arc<Budget>>, mail: TimedMail) -> Self {
        let interval = mail.interval.map(|interval| interval.clamp(TIME_SLICE, FAR));
        Self {
            mail: TimedMail { interval, ..mail },
            from,
            payer,
            paid: None,
            group: 0,
            is_cancelled: AtomicBool::new(false),
        }
    }

    /// Returns the bytes that it takes up while it waits: its own, its places in the maps of the post and of its
    /// process, and what is allocated outside.
    pub fn size(&self) -> usize {
        let body = &self.mail.body;
        let trace = trace::size(&self.mail.trace);
        size_of::<Self>() + 128 + trace + if body.spilled() { body.capacity() } else { 0 }
    }

    /// Its part of the work of a batch: approximately the bytes that could be copied in the time that sending it takes.
    /// The message of an interval is copied each time, others are moved.
    fn weight(&self) -> u64 {
        (1 << 10) + self.mail.interval.map_or(0, |_| self.mail.body.len() as u64)
    }

    /// Who pays for it, and for how much of the work.
    fn bill(&self) -> Option<(Arc<Budget>, u64)> {
        self.payer.clone().map(|payer| (payer, self.weight()))
    }

    fn is_paid(&self) -> bool {
        self.payer.as_ref().is_none_or(|payer| !payer.is_spent())
    }
}

/// The callbacks of the post's thread.
pub trait Postman {
    /// Sends the message of a one-shot timer, or the last message of an interval.
    fn send_last(&self, timer: u64, letter: Letter);
    /// Sends the message of an interval, unless it has been cancelled.
    fn send(&self, timer: u64, letter: &Letter);
    /// Called when the budget that pays for a timer is used up: the timer is removed and has not sent.
    fn refuse(&self, timer: u64, letter: &Letter);
    /// Called when the last timer has been sent or refused, which may not have woken anybody.
    fn ran_out(&self);
}

/// Timers that send mail.
pub struct Post {
    timers: Mutex<Timers>,
    changed: Condvar,
    skipped: AtomicU64,
    /// Whether its time is the machine's, so that intervals of a budget that must wait can wait, too.
    is_real: bool,
}

#[derive(Default)]
struct Timers {
    /// Timers, ordered by time.
    agenda: Agenda<u64>,
    /// Timers that are due and have left the agenda. Those that have been cancelled meanwhile are not set any more.
    late: Late<u64>,
    /// All timers, by the random numbers that guests know.
    set: LargeMap<u64, Timer>,
    /// The number of timers that were taken and are being sent.
    firing: usize,
    stopped: bool,
}

struct Timer {
    id: TimerId,
    letter: Arc<Letter>,
}

impl Timers {
    /// Moves timers that are due to those that take turns.
    fn move_to_late(&mut self, now: Instant) {
        for _ in 0..LATE_AT_ONCE {
            let Some((due, number)) = self.agenda.take_due(now) else {
                return;
            };
            if let Some(timer) = self.set.get(number) {
                self.late.push(timer.letter.group, due, number);
            }
        }
    }
}

/// A timer that fires.
enum Due {
    Once(u64, Letter),
    Again(u64, Arc<Letter>),
}

impl Post {
    /// Returns a post with the machine's time.
    pub fn new() -> Self {
        Self::of(true)
    }

    /// Returns a post whose time stands still, until [`fire_due`](Self::fire_due) sets it.
    pub fn paused() -> Self {
        Self::of(false)
    }

    fn of(is_real: bool) -> Self {
        Self {
            timers: Mutex::default(),
            changed: Condvar::new(),
            skipped: AtomicU64::new(0),
            is_real,
        }
    }

    /// Sends a letter at `due`, under an unused number that nobody can guess.
    pub fn set(&self, due: Instant, timer: u64, letter: Letter) {
        let mut timers = self.timers.lock();
        let letter = Arc::new(letter);
        let (id, is_first) = timers.agenda.insert(due, timer);
        timers.set.get_or_insert_with(timer, || Timer { id, letter });
        drop(timers);
        if is_first {
            self.changed.notify_one();
        }
    }

    /// Cancels a timer, and returns what it would have sent; `None` if it would send nothing more.
    pub fn cancel(&self, timer: u64) -> Option<Arc<Letter>> {
        let mut timers = self.timers.lock();
        let Timer { id, letter } = timers.set.remove(timer)?;
        timers.agenda.remove(id);
        drop(timers);
        letter.is_cancelled.store(true, Ordering::Relaxed);
        Some(letter)
    }

    /// Returns when the first timer is due.
    pub fn next_due(&self) -> Option<Instant> {
        let timers = self.timers.lock();
        timers.late.first_due().or_else(|| timers.agenda.next_due())
    }

    /// Returns whether any timer will still send.
    pub fn has_timers(&self) -> bool {
        let timers = self.timers.lock();
        timers.firing > 0 || !timers.set.is_empty()
    }

    /// Returns the number of timers that will still send.
    pub fn timers(&self) -> usize {
        self.timers.lock().set.len()
    }

    /// Returns how often an interval did not send because it was late, or because its budget had to wait.
    pub fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    /// Sends everything that is due at `now`: for a post without a thread.
    pub fn fire_due(&self, postman: &impl Postman, machine: &dyn Environment, now: Instant) {
        let mut timers = self.timers.lock();
        while self.fire_batch(&mut timers, postman, machine, now) {}
    }

    /// Makes [`run`](Self::run) return.
    pub fn stop(&self) {
        self.timers.lock().stopped = true;
        self.changed.notify_one();
    }

    /// The loop of the thread.
    pub fn run(&self, postman: &impl Postman, machine: &dyn Environment) {
        let mut timers = self.timers.lock();
        while !timers.stopped {
            if self.fire_batch(&mut timers, postman, machine, machine.now()) {
                if timers.set.is_empty() {
                    MutexGuard::unlocked(&mut timers, || postman.ran_out());
                }
                continue;
            }
            match timers.agenda.next_due() {
                Some(due) => drop(self.changed.wait_until(&mut timers, due)),
                None => self.changed.wait(&mut timers),
            }
        }
    }

    /// Sends due messages, at most [`BATCH`], and charges for them; false if there are none.
    fn fire_batch(
        &self,
        timers: &mut MutexGuard<'_, Timers>,
        postman: &impl Postman,
        machine: &dyn Environment,
        now: Instant,
    ) -> bool {
        if timers.late.is_empty() && timers.agenda.next_due().is_none_or(|first| first > now) {
            return false;
        }
        let start = machine.time_on_core();
        let batch = self.take_due(timers, machine, now);
        let count = batch.len();
        timers.firing += count;
        MutexGuard::unlocked(timers, || {
            let total: u64 = batch.iter().map(|due| due.letter().weight()).sum();
            let bills: Vec<_> = batch.iter().filter_map(|due| due.letter().bill()).collect();
            for due in batch {
                self.fire(postman, due);
            }
            if !bills.is_empty() {
                let time = machine.time_on_core().saturating_sub(start);
                for (payer, weight) in bills {
                    payer.spend(time.mul_f64(weight as f64 / total as f64));
                }
            }
        });
        timers.firing -= count;
        true
    }

    fn take_due(&self, timers: &mut Timers, machine: &dyn Environment, now: Instant) -> Vec<Due> {
        let (mut batch, mut weight) = (Vec::new(), 0);
        if !timers.late.is_empty() {
            timers.move_to_late(now);
        }
        for _ in 0..BATCH {
            if weight >= BATCH_WEIGHT {
                break;
            }
            let next = match timers.late.is_empty() {
                true => timers.agenda.take_due(now),
                false => timers.late.take(),
            };
            let Some((due, number)) = next else { return batch };
            // If it is not set, it was cancelled while it was late.
            let Some(timer) = timers.set.get_mut(number) else {
                continue;
            };
            weight += timer.letter.weight();
            if let Some(interval) = timer.letter.mail.interval {
                let payer = timer.letter.payer.as_ref().filter(|_| self.is_real);
                let rest = payer.and_then(|payer| payer.must_wait(machine.now()));
                let (next, skipped) = next_after(due, interval, now + rest.unwrap_or_default());
                self.skipped.fetch_add(skipped, Ordering::Relaxed);
                (timer.id, _) = timers.agenda.insert(next, number);
                batch.push(Due::Again(number, timer.letter.clone()));
            } else {
                let timer = timers.set.remove(number);
                let letter = timer.and_then(|timer| Arc::into_inner(timer.letter));
                batch.push(Due::Once(
                    number,
                    letter.expect("the letter of a timer that fires once is not shared"),
                ));
            }
        }
        timers.move_to_late(now);
        batch
    }

    fn fire(&self, postman: &impl Postman, due: Due) {
        match due {
            Due::Once(number, letter) if letter.is_paid() => postman.send_last(number, letter),
            Due::Once(number, letter) => postman.refuse(number, &letter),
            Due::Again(_, letter) if letter.is_cancelled.load(Ordering::Relaxed) => {}
            Due::Again(number, letter) if letter.is_paid() => postman.send(number, &letter),
            Due::Again(number, _) => {
                if let Some(letter) = self.cancel(number) {
                    postman.refuse(number, &letter);
                }
            }
        }
    }
}

impl Default for Post {
    fn default() -> Self {
        Self::new()
    }
}

impl Due {
    fn letter(&self) -> &Letter {
        match self {
            Self::Once(_, letter) => letter,
            Self::Again(_, letter) => letter,
        }
    }
}

/// The first time after `now` of an interval that was `due`, and how many times in between are skipped.
fn next_after(due: Instant, interval: Duration, now: Instant) -> (Instant, u64) {
    let (late, interval_ns) = (now.saturating_duration_since(due).as_nanos(), interval.as_nanos());
    // Both fit, because an interval is at most `FAR`, and nothing is late by more than 584 years.
    let (skipped, over) = ((late / interval_ns) as u64, (late % interval_ns) as u64);
    (now.max(due) + interval - Duration::from_nanos(over), skipped)
}

#[cfg(test)]
mod tests;
