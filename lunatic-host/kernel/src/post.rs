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
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::budget::Caps;
    use crate::environment::{Machine, now};

    const MS: Duration = Duration::from_millis(1);

    thread_local! {
        /// How long this thread has computed, as its machine says.
        static COMPUTED: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    }

    /// A machine whose time on a core is what the sending of mail costs, and nothing else.
    fn machine() -> Machine {
        Machine::new(|| COMPUTED.get())
    }

    /// Writes down what is done, and may cancel a timer whenever mail is sent.
    #[derive(Default)]
    struct Log {
        post: Post,
        cancels: Option<u64>,
        /// What it costs to send.
        cost: Duration,
        /// The tags of what was sent; below zero if it was the last.
        sent: Mutex<Vec<i64>>,
        cancelled: Mutex<Vec<bool>>,
        refused: Mutex<Vec<u64>>,
    }

    impl Log {
        fn log(&self, tag: i64) {
            COMPUTED.set(COMPUTED.get() + self.cost);
            self.sent.lock().push(tag);
            if let Some(cancels) = self.cancels {
                self.cancelled.lock().push(self.post.cancel(cancels).is_some());
            }
        }

        /// A timer that sends its number as tag.
        fn set(&self, due: Instant, timer: u64, interval: Option<Duration>, payer: Option<&Arc<Budget>>) {
            let mail = TimedMail {
                to: Id::NONE,
                tag: timer,
                body: Message::new(),
                interval,
                parcel: None,
                trace: None,
            };
            self.post.set(due, timer, Letter::new(Id::NONE, payer.cloned(), mail));
        }

        fn fire_due(&self, now: Instant) -> Vec<i64> {
            self.post.fire_due(self, &machine(), now);
            std::mem::take(&mut *self.sent.lock())
        }
    }

    impl Postman for Log {
        fn send_last(&self, timer: u64, letter: Letter) {
            assert_eq!(timer, letter.mail.tag);
            self.log(-timer.cast_signed());
        }

        fn send(&self, _: u64, Letter { mail, .. }: &Letter) {
            self.log(mail.tag.cast_signed());
        }

        fn refuse(&self, timer: u64, _: &Letter) {
            self.refused.lock().push(timer);
        }

        fn ran_out(&self) {}
    }

    fn budget(caps: Caps) -> Arc<Budget> {
        Budget::outermost(caps, now())
    }

    #[test]
    fn an_interval_that_is_cancelled_while_it_fires_fires_no_more() {
        let (start, log) = (
            now(),
            Log {
                cancels: Some(7),
                ..Log::default()
            },
        );
        log.set(start, 7, Some(MS), None);
        assert_eq!(log.fire_due(start + 10 * MS), [7]);
        assert_eq!(*log.cancelled.lock(), [true]);
        assert!(!log.post.has_timers());
    }

    /// Both are due at the same time, and the first one cancels the second.
    #[test]
    fn what_is_due_already_can_be_cancelled_if_it_is_an_interval() {
        for (interval, stops) in [(Some(MS), true), (None, false)] {
            let (start, log) = (
                now(),
                Log {
                    cancels: Some(8),
                    ..Log::default()
                },
            );
            log.set(start, 7, None, None);
            log.set(start, 8, interval, None);
            assert_eq!(log.fire_due(start).len(), if stops { 1 } else { 2 });
            assert_eq!(log.cancelled.lock()[0], stops);
            assert!(!log.post.has_timers());
        }
    }

    #[test]
    fn an_interval_that_is_late_sends_once_and_keeps_its_times() {
        let check = |late_us: u64, skipped: u64, next_us: u64| {
            let (start, log) = (now(), Log::default());
            log.set(start, 1, Some(3 * MS), None);
            assert_eq!(log.fire_due(start + Duration::from_micros(late_us)), [1]);
            assert_eq!(log.post.skipped(), skipped, "{late_us} µs late");
            assert_eq!(log.post.next_due(), Some(start + Duration::from_micros(next_us)));
        };
        check(0, 0, 3000);
        check(1, 0, 3000);
        check(2999, 0, 3000);
        check(3000, 1, 6000);
        check(10_000, 3, 12_000);
        check(3_600_000_000, 1_200_000, 3_600_003_000);
    }

    /// A hundred messages of a megabyte, every millisecond, and a short one that is due later.
    #[test]
    fn heavy_intervals_of_one_budget_delay_no_other_budget() {
        let (start, log) = (now(), Log::default());
        let set = |group: usize, timer: u64, due: Instant, len: usize| {
            let mail = TimedMail {
                to: Id::NONE,
                tag: timer,
                body: Message::from_vec(vec![0; len]),
                interval: (len > 0).then_some(MS),
                parcel: None,
                trace: None,
            };
            let mut letter = Letter::new(Id::NONE, None, mail);
            letter.group = group;
            log.post.set(due, timer, letter);
        };
        (1..=100).for_each(|timer| set(1, timer, start, 1 << 20));
        set(2, 1000, start + MS / 2, 0);
        set(1, 1001, start + MS / 2, 0);
        let sent = log.fire_due(start + MS / 2);
        let place = |tag: i64| sent.iter().position(|sent| *sent == tag).unwrap();
        assert_eq!(sent.len(), 102);
        assert!(place(-1000) <= 3, "it was sent after {}", place(-1000));
        assert_eq!(place(-1001), 101, "after all others of its budget");
    }

    #[test]
    fn what_was_cancelled_while_it_was_late_is_not_sent() {
        let (start, log) = (now(), Log::default());
        (1..=1000).for_each(|timer| log.set(start, timer, None, None));
        let mut timers = log.post.timers.lock();
        assert!(log.post.fire_batch(&mut timers, &log, &machine(), start));
        assert!(!timers.late.is_empty());
        drop(timers);
        assert_eq!(log.post.next_due(), Some(start));
        assert!(log.post.cancel(900).is_some() && log.post.cancel(1).is_none());
        let sent = log.fire_due(start);
        assert!(sent.len() == 999 && !sent.contains(&-900));
        assert!(!log.post.has_timers() && log.post.next_due().is_none());
    }

    #[test]
    fn any_interval_is_set() {
        for interval in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
            let (start, log) = (now(), Log::default());
            log.set(start, 1, Some(interval), None);
            assert_eq!(log.fire_due(start), [1]);
            let next = log.post.next_due().unwrap();
            assert!(next >= start + TIME_SLICE && next <= start + FAR);
        }
    }

    /// A thousand intervals of a millisecond take ten milliseconds to be sent: they are late for ever.
    #[test]
    fn intervals_that_are_always_late_keep_no_timer_from_its_turn() {
        let (start, log) = (
            now(),
            Log {
                cost: MS / 100,
                ..Log::default()
            },
        );
        (1..=1000).for_each(|timer| log.set(start + MS, timer, Some(MS), None));
        let after = [5, 50, 500].map(|ms| ms * MS);
        for (after, timer) in after.into_iter().zip(2000..) {
            log.set(start + after, timer, None, None);
        }
        let begun = COMPUTED.get();
        let mut sent = Vec::new();
        while log.post.timers() > 1000 {
            let passed = COMPUTED.get() - begun;
            for tag in log.fire_due(start + passed.max(MS)) {
                sent.push((tag, passed));
            }
        }
        for (after, timer) in after.into_iter().zip(2000..) {
            let (_, at) = *sent.iter().find(|(tag, _)| *tag == -timer).unwrap();
            assert!(
                at >= after && at <= after + 20 * MS,
                "due after {after:?}, sent after {at:?}"
            );
        }
        assert!(log.post.skipped() > 1000);
    }

    #[test]
    fn who_set_a_timer_pays_for_its_part_of_the_work() {
        let (start, log) = (
            now(),
            Log {
                cost: MS,
                ..Log::default()
            },
        );
        let (one, other) = (budget(Caps::default()), budget(Caps::default()));
        let payers = [Some(&one), Some(&one), Some(&one), Some(&other), None, None];
        for (payer, timer) in payers.into_iter().zip(1..) {
            log.set(start, timer, (timer % 2 == 0).then_some(MS), payer);
        }
        assert_eq!(log.fire_due(start).len(), 6);
        assert_eq!([one.usage().cpu, other.usage().cpu], [3 * MS, MS]);
        // Once more for the second of the first budget, and for the other's.
        assert_eq!(log.fire_due(start + MS).len(), 3);
        assert_eq!([one.usage().cpu, other.usage().cpu], [4 * MS, 2 * MS]);
    }

    #[test]
    fn the_message_of_an_interval_weighs_as_much_as_is_copied() {
        let letter = |interval| {
            let mail = TimedMail {
                to: Id::NONE,
                tag: 0,
                body: Message::from_vec(vec![0; 9 << 10]),
                interval,
                parcel: None,
                trace: None,
            };
            Letter::new(Id::NONE, None, mail)
        };
        assert_eq!(
            [letter(Some(MS)), letter(None)].map(|letter| letter.weight()),
            [10 << 10, 1 << 10]
        );
    }

    #[test]
    fn a_budget_that_is_used_up_sends_nothing_any_more() {
        let (start, log) = (
            now(),
            Log {
                cost: MS,
                ..Log::default()
            },
        );
        let spent = budget(Caps {
            cpu: Some(5 * MS),
            ..Caps::default()
        });
        log.set(start, 1, Some(MS), Some(&spent));
        log.set(start + 10 * MS, 2, None, Some(&spent));
        log.set(start + 10 * MS, 3, None, None);
        let sent: Vec<_> = (0..=10).flat_map(|ms| log.fire_due(start + ms * MS)).collect();
        assert_eq!(sent, [1, 1, 1, 1, 1, -3]);
        assert_eq!(*log.refused.lock(), [1, 2]);
        assert!(!log.post.has_timers());
    }

    #[test]
    fn intervals_are_skipped_while_the_share_of_a_core_is_used_up() {
        let caps = Caps {
            cpu_share: Some(10),
            ..Caps::default()
        };
        for (post, waits) in [(Post::new(), true), (Post::paused(), false)] {
            let (start, payer) = (now(), budget(caps));
            let log = Log {
                post,
                cost: 100_000 * MS,
                ..Log::default()
            };
            log.set(start, 1, Some(MS), Some(&payer));
            log.fire_due(start);
            assert_eq!(log.post.next_due(), Some(start + MS));
            // It has used 100 seconds, which are a tenth of 1,000.
            log.fire_due(start + MS);
            let next = log.post.next_due().unwrap() - start;
            let expected = if waits {
                900_000 * MS..1_100_000 * MS
            } else {
                2 * MS..3 * MS
            };
            assert!(expected.contains(&next), "the next time is {next:?} after the start");
        }
    }
}
