//! The clock: one thread that ends time slices, wakes sleepers and sends the mail of timers.
//!
//! While any worker is awake it advances the engines' epoch every [`TIME_SLICE`], which makes processes that have run
//! that long give way. Timers are kept in order of their time; the thread sleeps until the first is due. With no
//! worker awake and no timer set it sleeps until it is called: an idle system costs nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::channel::Message;
use crate::compat::message::Letter;
use crate::process::Process;
use crate::process::id::Id;

/// How long a process may run while others wait.
pub(crate) const TIME_SLICE: Duration = Duration::from_millis(1);

/// Names a timer, to cancel it. Timers of one instant are told apart by a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TimerId {
    due: Instant,
    number: u64,
}

/// A message that is sent later.
#[derive(Debug, Clone)]
pub(crate) struct TimedMail {
    pub(crate) to: Id,
    pub(crate) tag: u64,
    pub(crate) body: Message,
    /// It is sent again after each such time.
    pub(crate) interval: Option<Duration>,
    /// What is sent in place of `body` to a process of the interface of Lunatic 0.13.
    pub(crate) parcel: Option<Parcel>,
}

/// A letter that is on its way; nothing once it has been sent.
pub(crate) type Parcel = Arc<Mutex<Option<Letter>>>;

impl TimedMail {
    /// The bytes that it takes up while it waits.
    pub(crate) fn size(&self) -> usize {
        size_of::<Self>() + 64 + if self.body.spilled() { self.body.capacity() } else { 0 }
    }
}

/// What happens when a timer is due.
enum Event {
    Wake(Arc<Process>),
    /// The number names the mail to guests.
    Mail(u64, Box<TimedMail>),
}

/// What the clock's thread does for others.
pub(crate) trait Timekeeper {
    /// Whether any worker is awake.
    fn is_busy(&self) -> bool;
    /// A time slice has ended; it was the `slice`th.
    fn tick(&self, slice: u64);
    fn wake(&self, process: &Arc<Process>);
    /// Sends the mail, which comes no more if `is_last`; false if its process has ended.
    fn send(&self, timer: u64, mail: &TimedMail, is_last: bool) -> bool;
    /// The mail of an interval, whose process has ended, is dropped.
    fn give_back(&self, mail: &TimedMail);
}

#[derive(Default)]
pub(crate) struct Clock {
    timers: Mutex<Timers>,
    changed: Condvar,
    /// The thread sleeps without ticking, and must be called when a worker wakes.
    dormant: AtomicBool,
    slices: AtomicU64,
}

#[derive(Default)]
struct Timers {
    due: BTreeMap<TimerId, Event>,
    /// The timers of mail, by the numbers that guests know.
    mail: HashMap<u64, TimerId>,
    /// Timers that are due and whose processes are being woken.
    firing: usize,
    number: u64,
    stopped: bool,
    /// What the intervals send that are firing now: they can still be cancelled.
    repeating: HashMap<u64, Box<TimedMail>>,
}

impl Timers {
    /// So many timers fire before the clock looks at its time slices again.
    const BATCH: usize = 256;
}

impl Clock {
    /// Wakes `process` at `due`.
    pub(crate) fn set(&self, due: Instant, process: Arc<Process>) -> TimerId {
        let mut timers = self.timers.lock();
        let (id, first) = timers.insert(due, Event::Wake(process));
        if first {
            self.changed.notify_one();
        }
        id
    }

    /// Sends mail at `due`, under a number that nobody can guess and that is not used yet.
    pub(crate) fn set_mail(&self, due: Instant, timer: u64, mail: TimedMail) {
        let mut timers = self.timers.lock();
        let (id, first) = timers.insert(due, Event::Mail(timer, Box::new(mail)));
        timers.mail.insert(timer, id);
        if first {
            self.changed.notify_one();
        }
    }

    /// Takes a timer of mail away, and gives back what it would have sent; nothing if it sends no more.
    pub(crate) fn cancel_mail(&self, timer: u64) -> Option<Box<TimedMail>> {
        let mut timers = self.timers.lock();
        let id = timers.mail.remove(&timer)?;
        match timers.due.remove(&id) {
            Some(Event::Mail(_, mail)) => Some(mail),
            Some(Event::Wake(_)) => None,
            None => timers.repeating.remove(&timer),
        }
    }

    pub(crate) fn cancel(&self, id: TimerId) {
        self.timers.lock().due.remove(&id);
    }

    /// When the first timer is due.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        let timers = self.timers.lock();
        timers.due.first_key_value().map(|(first, _)| first.due)
    }

    /// Lets all timers fire that are due at `now`: for a clock without a thread.
    pub(crate) fn fire_due(&self, keeper: &impl Timekeeper, now: Instant) {
        let mut timers = self.timers.lock();
        loop {
            let due = timers.take_due(now);
            if due.is_empty() {
                return;
            }
            for (id, event) in due {
                self.fire(&mut timers, keeper, id, event);
            }
            timers.firing = 0;
        }
    }

    /// True if some timer will still wake a process.
    pub(crate) fn has_timers(&self) -> bool {
        let timers = self.timers.lock();
        timers.firing > 0 || !timers.due.is_empty()
    }

    /// The number of time slices so far: a process that sees it change has used up its slice.
    pub(crate) fn slices(&self) -> u64 {
        self.slices.load(Ordering::Relaxed)
    }

    /// Begins a time slice early: what runs from now on runs in this or a later one.
    pub(crate) fn begin_slice(&self) -> u64 {
        self.slices.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A worker has woken up: time slices must be ended again.
    pub(crate) fn call(&self) {
        if self.dormant.load(Ordering::SeqCst) {
            let _timers = self.timers.lock();
            self.changed.notify_one();
        }
    }

    pub(crate) fn stop(&self) {
        self.timers.lock().stopped = true;
        self.changed.notify_one();
    }

    /// The thread.
    pub(crate) fn run(&self, keeper: &impl Timekeeper) {
        let mut next_tick = Instant::now() + TIME_SLICE;
        let mut timers = self.timers.lock();
        while !timers.stopped {
            let now = Instant::now();
            let due = timers.take_due(now);
            if !due.is_empty() {
                for (id, event) in due {
                    // Whoever cancels meanwhile finds the timer only while it is still to fire.
                    self.fire(&mut timers, keeper, id, event);
                }
                timers.firing = 0;
                continue;
            }
            if now >= next_tick {
                let slice = self.slices.fetch_add(1, Ordering::Relaxed) + 1;
                keeper.tick(slice);
                next_tick = now + TIME_SLICE;
            }
            let first = timers.due.first_key_value().map(|(first, _)| first.due);
            if keeper.is_busy() {
                let until = first.map_or(next_tick, |first| first.min(next_tick));
                self.changed.wait_until(&mut timers, until);
                continue;
            }
            // Say that this thread goes dormant, then look again: a worker that wakes after the look sees the word.
            self.dormant.store(true, Ordering::SeqCst);
            if !keeper.is_busy() {
                match first {
                    Some(first) => drop(self.changed.wait_until(&mut timers, first)),
                    None => self.changed.wait(&mut timers),
                }
            }
            self.dormant.store(false, Ordering::SeqCst);
        }
    }

    /// Lets one timer fire, without the lock; one of an interval is set again, at its time plus the interval, so it does
    /// not drift.
    fn fire(&self, timers: &mut MutexGuard<'_, Timers>, keeper: &impl Timekeeper, id: TimerId, event: Event) {
        match event {
            Event::Wake(process) => MutexGuard::unlocked(timers, || keeper.wake(&process)),
            Event::Mail(timer, mail) => {
                let next = mail.interval.and_then(|interval| id.due.checked_add(interval));
                let Some(next) = next else {
                    MutexGuard::unlocked(timers, || keeper.send(timer, &mail, true));
                    return;
                };
                timers.repeating.remove(&timer);
                // It was cancelled after it had become due.
                if timers.mail.get(&timer) != Some(&id) {
                    return;
                }
                let copy = mail.clone();
                let (id, _) = timers.insert(next, Event::Mail(timer, mail));
                timers.mail.insert(timer, id);
                if !MutexGuard::unlocked(timers, || keeper.send(timer, &copy, false)) {
                    // Unless it was cancelled meanwhile, with the end of its process.
                    if timers.mail.remove(&timer).is_some() {
                        keeper.give_back(&copy);
                    }
                    timers.due.remove(&id);
                }
            }
        }
    }
}

impl Timers {
    /// Sets a timer; true if it is the first to fire.
    fn insert(&mut self, due: Instant, event: Event) -> (TimerId, bool) {
        self.number += 1;
        let id = TimerId {
            due,
            number: self.number,
        };
        let first = self.due.first_key_value().is_none_or(|(first, _)| id < *first);
        self.due.insert(id, event);
        (id, first)
    }

    /// Takes out what is due, at most [`BATCH`](Self::BATCH) of it.
    fn take_due(&mut self, now: Instant) -> Vec<(TimerId, Event)> {
        let mut due = Vec::new();
        while due.len() < Self::BATCH
            && let Some(entry) = self.due.first_entry()
            && entry.key().due <= now
        {
            let (id, event) = entry.remove_entry();
            if let Event::Mail(timer, mail) = &event {
                if mail.interval.is_none() {
                    self.mail.remove(timer);
                } else {
                    self.repeating.insert(*timer, mail.clone());
                }
            }
            due.push((id, event));
        }
        self.firing = due.len();
        due
    }
}
