//! The clock: one thread that ends time slices, wakes sleepers and sends the mail of timers.
//!
//! It knows no processes: who is to be woken is a `W`. While any worker is awake it ticks every [`TIME_SLICE`], which makes
//! processes that have run that long give way. Timers are kept in order of their time; the thread sleeps until the first is due. With no
//! worker awake and no timer set it sleeps until it is called: an idle system costs nothing.

use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::address::Id;
use crate::budget::Receipt;
use crate::channel::Message;
use crate::environment::Environment;

/// How long a process may run while others wait.
pub const TIME_SLICE: Duration = Duration::from_millis(1);

/// Names a timer, to cancel it. Timers of one instant are told apart by a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimerId {
    due: Instant,
    number: u64,
}

/// A message that is sent later.
#[derive(Debug, Clone)]
pub struct TimedMail {
    /// The process that gets it.
    pub to: Id,
    /// What it is about.
    pub tag: u64,
    /// Its bytes.
    pub body: Message,
    /// It is sent again after each such time.
    pub interval: Option<Duration>,
    /// What is sent in place of `body` to a process that has an [intake](crate::relations::Intake) in place of a mailbox.
    pub parcel: Option<Parcel>,
    /// What the receiver has paid for it. [`Kernel::set_timer`](crate::kernel::Kernel::set_timer) sees to that.
    pub paid: Option<Arc<Receipt>>,
}

/// Something that is on its way to an intake; nothing once it has been sent.
pub type Parcel = Arc<Mutex<Option<Box<dyn Any + Send>>>>;

impl TimedMail {
    /// The bytes that it takes up while it waits.
    pub fn size(&self) -> usize {
        size_of::<Self>() + 64 + if self.body.spilled() { self.body.capacity() } else { 0 }
    }
}

/// What happens when a timer is due.
enum Event<W> {
    Wake(W),
    /// The number names the mail to guests.
    Mail(u64, Box<TimedMail>),
}

/// What the clock's thread does for others.
pub trait Timekeeper<W> {
    /// Whether any worker is awake.
    fn is_busy(&self) -> bool;
    /// A time slice has ended; it was the `slice`th.
    fn tick(&self, slice: u64);
    /// The time has come that `waiter` waits for.
    fn wake(&self, waiter: &W);
    /// Sends the mail, which comes no more if `is_last`; false if its process has ended.
    fn send(&self, timer: u64, mail: &TimedMail, is_last: bool) -> bool;
    /// The mail of an interval, whose process has ended, is dropped.
    fn give_back(&self, mail: &TimedMail);
}

/// Timers, and the count of time slices.
pub struct Clock<W> {
    timers: Mutex<Timers<W>>,
    changed: Condvar,
    /// The thread sleeps without ticking, and must be called when a worker wakes.
    dormant: AtomicBool,
    slices: AtomicU64,
}

struct Timers<W> {
    due: BTreeMap<TimerId, Event<W>>,
    /// The timers of mail, by the numbers that guests know.
    mail: HashMap<u64, TimerId>,
    /// Timers that are due and whose processes are being woken.
    firing: usize,
    number: u64,
    stopped: bool,
    /// What the intervals send that are firing now: they can still be cancelled.
    repeating: HashMap<u64, Box<TimedMail>>,
}

impl<W> Default for Clock<W> {
    fn default() -> Self {
        Self {
            timers: Mutex::new(Timers {
                due: BTreeMap::new(),
                mail: HashMap::new(),
                firing: 0,
                number: 0,
                stopped: false,
                repeating: HashMap::new(),
            }),
            changed: Condvar::new(),
            dormant: AtomicBool::new(false),
            slices: AtomicU64::new(0),
        }
    }
}

impl<W> Timers<W> {
    /// So many timers fire before the clock looks at its time slices again.
    const BATCH: usize = 256;
}

impl<W> Clock<W> {
    /// Wakes `waiter` at `due`.
    pub fn set(&self, due: Instant, waiter: W) -> TimerId {
        let mut timers = self.timers.lock();
        let (id, first) = timers.insert(due, Event::Wake(waiter));
        if first {
            self.changed.notify_one();
        }
        id
    }

    /// Sends mail at `due`, under a number that nobody can guess and that is not used yet.
    pub fn set_mail(&self, due: Instant, timer: u64, mail: TimedMail) {
        let mut timers = self.timers.lock();
        let (id, first) = timers.insert(due, Event::Mail(timer, Box::new(mail)));
        timers.mail.insert(timer, id);
        if first {
            self.changed.notify_one();
        }
    }

    /// Takes a timer of mail away, and gives back what it would have sent; nothing if it sends no more.
    pub fn cancel_mail(&self, timer: u64) -> Option<Box<TimedMail>> {
        let mut timers = self.timers.lock();
        let id = timers.mail.remove(&timer)?;
        match timers.due.remove(&id) {
            Some(Event::Mail(_, mail)) => Some(mail),
            Some(Event::Wake(_)) => None,
            // It is due and about to fire: without its entry in `mail` it sends nothing and is not set again.
            None => timers.repeating.remove(&timer),
        }
    }

    /// Takes a timer away that wakes.
    pub fn cancel(&self, id: TimerId) {
        self.timers.lock().due.remove(&id);
    }

    /// When the first timer is due.
    pub fn next_due(&self) -> Option<Instant> {
        let timers = self.timers.lock();
        timers.due.first_key_value().map(|(first, _)| first.due)
    }

    /// Lets all timers fire that are due at `now`: for a clock without a thread.
    pub fn fire_due(&self, keeper: &impl Timekeeper<W>, now: Instant) {
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
    pub fn has_timers(&self) -> bool {
        let timers = self.timers.lock();
        timers.firing > 0 || !timers.due.is_empty()
    }

    /// The number of time slices so far: a process that sees it change has used up its slice.
    pub fn slices(&self) -> u64 {
        self.slices.load(Ordering::Relaxed)
    }

    /// Begins a time slice early: what runs from now on runs in this or a later one.
    pub fn begin_slice(&self) -> u64 {
        self.slices.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A worker has woken up: time slices must be ended again.
    pub fn call(&self) {
        if self.dormant.load(Ordering::SeqCst) {
            // Under the lock, so that the call does not fall between the thread's last look and its sleep.
            let _timers = self.timers.lock();
            self.changed.notify_one();
        }
    }

    /// Makes [`run`](Self::run) return.
    pub fn stop(&self) {
        self.timers.lock().stopped = true;
        self.changed.notify_one();
    }

    /// The thread.
    pub fn run(&self, keeper: &impl Timekeeper<W>, machine: &dyn Environment) {
        let mut next_tick = machine.now() + TIME_SLICE;
        let mut timers = self.timers.lock();
        while !timers.stopped {
            let now = machine.now();
            // However many timers are due, time slices end.
            if now >= next_tick {
                let slice = self.slices.fetch_add(1, Ordering::Relaxed) + 1;
                keeper.tick(slice);
                next_tick = now + TIME_SLICE;
            }
            let due = timers.take_due(now);
            if !due.is_empty() {
                for (id, event) in due {
                    // Whoever cancels meanwhile finds the timer only while it is still to fire.
                    self.fire(&mut timers, keeper, id, event);
                }
                timers.firing = 0;
                continue;
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
    fn fire(&self, timers: &mut MutexGuard<'_, Timers<W>>, keeper: &impl Timekeeper<W>, id: TimerId, event: Event<W>) {
        match event {
            Event::Wake(waiter) => MutexGuard::unlocked(timers, || keeper.wake(&waiter)),
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
                // Set again before it is sent, so that the process can cancel it as soon as it has the mail.
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

impl<W> Timers<W> {
    /// Sets a timer; true if it is the first to fire.
    fn insert(&mut self, due: Instant, event: Event<W>) -> (TimerId, bool) {
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
    fn take_due(&mut self, now: Instant) -> Vec<(TimerId, Event<W>)> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::now;

    const MS: Duration = Duration::from_millis(1);

    /// Cancels the timer `cancels` from within a timer that fires.
    #[derive(Default)]
    struct Keeper {
        clock: Clock<u32>,
        cancels: Option<u64>,
        sent: Mutex<Vec<(u64, bool)>>,
        cancelled: Mutex<Vec<bool>>,
        given_back: AtomicU64,
        /// Whoever gets the mail has ended.
        has_ended: bool,
    }

    impl Timekeeper<u32> for Keeper {
        fn is_busy(&self) -> bool {
            false
        }

        fn tick(&self, _: u64) {}

        fn wake(&self, _: &u32) {}

        fn send(&self, timer: u64, _: &TimedMail, is_last: bool) -> bool {
            self.sent.lock().push((timer, is_last));
            if let Some(cancels) = self.cancels {
                self.cancelled.lock().push(self.clock.cancel_mail(cancels).is_some());
            }
            !self.has_ended
        }

        fn give_back(&self, _: &TimedMail) {
            self.given_back.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Keeper {
        fn set(&self, due: Instant, timer: u64, interval: Option<Duration>) {
            let mail = TimedMail {
                to: Id::NONE,
                tag: 0,
                body: Message::new(),
                interval,
                parcel: None,
                paid: None,
            };
            self.clock.set_mail(due, timer, mail);
        }
    }

    #[test]
    fn an_interval_that_is_cancelled_while_it_fires_fires_no_more() {
        let start = now();
        let keeper = Keeper {
            cancels: Some(7),
            ..Keeper::default()
        };
        keeper.set(start, 7, Some(MS));
        keeper.clock.fire_due(&keeper, start + 10 * MS);
        assert_eq!(
            (&*keeper.sent.lock(), &*keeper.cancelled.lock()),
            (&vec![(7, false)], &vec![true])
        );
        assert!(!keeper.clock.has_timers());
    }

    /// Both are due at once, and the first one cancels the second.
    #[test]
    fn what_is_due_already_can_be_cancelled_if_it_is_an_interval() {
        for (interval, stops) in [(Some(MS), true), (None, false)] {
            let start = now();
            let keeper = Keeper {
                cancels: Some(8),
                ..Keeper::default()
            };
            keeper.set(start, 7, None);
            keeper.set(start, 8, interval);
            keeper.clock.fire_due(&keeper, start);
            assert_eq!(keeper.cancelled.lock()[0], stops);
            assert_eq!(keeper.sent.lock().iter().any(|(timer, _)| *timer == 8), !stops);
            assert!(!keeper.clock.has_timers());
        }
    }

    #[test]
    fn an_interval_whose_process_has_ended_is_given_back_once() {
        for cancels in [None, Some(7)] {
            let start = now();
            let keeper = Keeper {
                cancels,
                has_ended: true,
                ..Keeper::default()
            };
            keeper.set(start, 7, Some(MS));
            keeper.clock.fire_due(&keeper, start + 5 * MS);
            // Either the clock gives it back, or whoever cancelled it does.
            let by_clock = keeper.given_back.load(Ordering::Relaxed);
            assert_eq!((by_clock, keeper.sent.lock().len()), (u64::from(cancels.is_none()), 1));
            assert!(!keeper.clock.has_timers());
        }
    }

    /// A machine whose time is that of the machine, as far as a clock asks for it.
    fn machine() -> crate::environment::Machine {
        crate::environment::Machine::new(|| Duration::ZERO)
    }

    /// Many timers, each of which is set again at a time that has passed: the clock has something to fire for ever.
    #[test]
    fn time_slices_end_though_timers_are_always_due() {
        struct Busy(Keeper);
        impl Timekeeper<u32> for Busy {
            fn is_busy(&self) -> bool {
                true
            }

            fn tick(&self, slice: u64) {
                if slice == 3 {
                    self.0.cancelled.lock().push(true);
                }
            }

            fn wake(&self, waiter: &u32) {
                if self.0.cancelled.lock().is_empty() {
                    self.0.clock.set(now(), *waiter);
                } else {
                    self.0.clock.stop();
                }
            }

            fn send(&self, _: u64, _: &TimedMail, _: bool) -> bool {
                true
            }

            fn give_back(&self, _: &TimedMail) {}
        }
        let busy = Busy(Keeper::default());
        (0..10).for_each(|waiter| _ = busy.0.clock.set(now(), waiter));
        busy.0.clock.run(&busy, &machine());
        assert!(busy.0.clock.slices() >= 3);
    }
}
