//! The events for a client of `/v1/events`: a bounded list between the threads that cause events and the thread of the
//! door.
//!
//! A thread that causes an event is busy, so it only puts a record of some words into the list, under a lock that it
//! holds no longer than that. When the list is full, when there are too many events within a second, or when the
//! requested number is reached, events are counted and dropped.

use std::fmt::{self, Write as _};
use std::mem;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lunatic_host::exit::KINDS;
use lunatic_host::{Event, ExitReason, Interest, Observer, RunningSystem};

use crate::view::is_failure;

/// The most events that wait for a client.
pub(crate) const RECORDS_MAX: usize = 4096;
/// The most events per second that are recorded; the rest is counted.
pub(crate) const RATE_MAX: u32 = 10_000;
/// The longest text of an exit reason, in bytes.
const REASON_LEN_MAX: usize = 1024;

/// An event and its time.
pub(crate) struct Record {
    /// The time since the observation began.
    pub(crate) at: Duration,
    /// The event, without the text of its reason.
    pub(crate) event: Event,
    /// For an end: the kind of the reason, and its text.
    pub(crate) reason: Option<(&'static str, Box<str>)>,
}

/// Records events until it is stopped.
struct Recorder {
    start: Instant,
    /// Whether ends that are not failures are ignored.
    failures: bool,
    list: Mutex<List>,
    /// The number of events that were not recorded.
    lost: AtomicU64,
    is_over: AtomicBool,
}

struct List {
    records: Vec<Record>,
    /// How many events may still be recorded.
    left: usize,
    /// The current second, and the number of events in it.
    second: u64,
    in_second: u32,
}

impl Observer for Recorder {
    fn notice(&self, event: &Event) {
        if self.is_over.load(Ordering::Relaxed) || (self.failures && is_in_order(event)) {
            return;
        }
        let at = self.start.elapsed();
        let is_taken = self
            .list
            .lock()
            .is_ok_and(|mut list| list.take(at, event, &self.is_over));
        if !is_taken {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Whether this is an end that is not a failure.
fn is_in_order(event: &Event) -> bool {
    matches!(event, Event::Ended { reason, .. } if !is_failure(KINDS[reason.kind()]))
}

impl List {
    fn take(&mut self, at: Duration, event: &Event, is_over: &AtomicBool) -> bool {
        if self.second < at.as_secs() {
            (self.second, self.in_second) = (at.as_secs(), 0);
        }
        if self.left == 0 || self.in_second >= RATE_MAX || self.records.len() >= RECORDS_MAX {
            return false;
        }
        self.in_second += 1;
        self.left -= 1;
        if self.left == 0 {
            is_over.store(true, Ordering::Relaxed);
        }
        self.records.push(Record::new(at, event));
        true
    }
}

impl Record {
    fn new(at: Duration, event: &Event) -> Self {
        let Event::Ended { id, reason } = event else {
            let (event, reason) = (event.clone(), None);
            return Self { at, event, reason };
        };
        let mut words = Clipped(String::new());
        // The error means that the rest is left out.
        let _ = write!(words, "{reason}");
        Self {
            at,
            event: Event::Ended {
                id: *id,
                reason: ExitReason::Forgotten,
            },
            reason: Some((KINDS[reason.kind()], words.0.into())),
        }
    }
}

/// A text of at most [`REASON_LEN_MAX`] bytes.
struct Clipped(String);

impl fmt::Write for Clipped {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = REASON_LEN_MAX - self.0.len();
        let fits = text.floor_char_boundary(room);
        self.0.push_str(&text[..fits]);
        if fits < text.len() { Err(fmt::Error) } else { Ok(()) }
    }
}

/// An observation of a system, until it is dropped.
pub(crate) struct Observation {
    system: Arc<RunningSystem>,
    recorder: Arc<Recorder>,
    observer: Arc<dyn Observer>,
}

impl Observation {
    /// Begins to record at most `limit` events; of ends, only `failures` if that is set.
    pub(crate) fn new(system: Arc<RunningSystem>, interest: Interest, limit: usize, failures: bool) -> Self {
        let recorder = Arc::new(Recorder {
            start: Instant::now(),
            failures,
            list: Mutex::new(List {
                records: Vec::new(),
                left: limit,
                second: 0,
                in_second: 0,
            }),
            lost: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        });
        let observer: Arc<dyn Observer> = recorder.clone();
        system.observe(interest, observer.clone());
        Self {
            system,
            recorder,
            observer,
        }
    }

    /// Takes the events recorded since the last call, and the number of those that were dropped meanwhile.
    pub(crate) fn take(&self) -> (Vec<Record>, u64) {
        let records = self.recorder.list.lock().map(|mut list| mem::take(&mut list.records));
        let lost = self.recorder.lost.swap(0, Ordering::Relaxed);
        (records.unwrap_or_default(), lost)
    }

    /// From now on, records other events.
    pub(crate) fn follow(&self, interest: Interest) {
        self.system.observe_others(interest, &self.observer);
    }

    /// Whether no more events will be recorded.
    pub(crate) fn is_over(&self) -> bool {
        self.recorder.is_over.load(Ordering::Relaxed)
    }

    /// Stops recording. Recorded events are kept.
    pub(crate) fn stop(&self) {
        self.recorder.is_over.store(true, Ordering::Relaxed);
        self.system.observe_no_more(&self.observer);
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_takes_so_many_in_all_at_once_and_in_a_second() {
        let event = Event::Runs {
            id: "1".parse().unwrap(),
        };
        let is_over = AtomicBool::new(false);
        let list = |left| List {
            records: Vec::new(),
            left,
            second: 0,
            in_second: 0,
        };
        let taken = |list: &mut List, at: u64, empties: bool| {
            let at = Duration::from_secs(at);
            let taken = (0..2 * RATE_MAX).filter(|_| {
                if empties {
                    list.records.clear();
                }
                list.take(at, &event, &is_over)
            });
            taken.count()
        };
        let mut few = list(7);
        assert_eq!(taken(&mut few, 0, true), 7);
        assert!(is_over.load(Ordering::Relaxed));
        let mut many = list(usize::MAX);
        assert_eq!(taken(&mut many, 0, false), RECORDS_MAX);
        many.records.clear();
        assert_eq!(taken(&mut many, 1, true), RATE_MAX as usize);
        assert_eq!(taken(&mut many, 1, true), 0);
        assert_eq!(taken(&mut many, 2, true), RATE_MAX as usize);
    }

    #[test]
    fn a_long_reason_is_cut() {
        let event = Event::Ended {
            id: "1".parse().unwrap(),
            reason: ExitReason::Panic("ö".repeat(1 << 20)),
        };
        let record = Record::new(Duration::ZERO, &event);
        let (kind, words) = record.reason.unwrap();
        assert_eq!(kind, "panic");
        assert!(words.starts_with("panicked: öö") && words.len() <= REASON_LEN_MAX);
    }
}
