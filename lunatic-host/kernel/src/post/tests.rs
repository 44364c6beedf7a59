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
