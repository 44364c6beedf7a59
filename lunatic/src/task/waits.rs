//! What the futures of a process wait for outside of it: times, channels, mail, and sockets.
//!
//! A future tries, and if that is not possible now, it leaves a [`Wait`] and its waker. When all futures wait, the process waits
//! for everything of that in one call of the host ([`look`]), and the futures of what has become ready try again.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::task::Waker;
use std::time::Instant;

use lunatic_sys::codes::{NO_TIMEOUT, TAGS_LEN_MAX, source};
use lunatic_sys::layout::{self, RawHandle};

use super::executor::check_running;
use crate::host::{self, Refused};

/// Where something can come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    /// A channel, as the two numbers of its handle.
    Channel(u64, u64),
    /// Mail with a tag.
    Mail(u64),
    /// A socket that is to be read or accepted from, as the two numbers of its handle.
    Readable(u64, u64),
    /// A socket that is to be written to.
    Writable(u64, u64),
}

/// What a future waits for, and its place among those that wait for the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Time(Instant, u64),
    Source(Source, u64),
}

#[derive(Default)]
struct Waits {
    wakers: RefCell<BTreeMap<Place, Waker>>,
    /// The number of the wait that was left last.
    last: Cell<u64>,
    /// The source that was ready last; others have their turn before it.
    turn: Cell<Option<Source>>,
}

thread_local! {
    static WAITS: Waits = Waits::default();
}

/// A wait of a future. It ends when this is dropped.
#[derive(Default)]
pub(crate) struct Wait(Option<Place>);

impl Wait {
    /// Waits until a time.
    pub(crate) fn until(&mut self, due: Instant, waker: &Waker) {
        self.set(waker, |number| Place::Time(due, number));
    }

    /// Waits for a message of a channel.
    pub(crate) fn for_channel(&mut self, channel: RawHandle, waker: &Waker) {
        let source = Source::Channel(channel.id, channel.key);
        self.set(waker, |number| Place::Source(source, number));
    }

    /// Waits for mail with a tag.
    pub(crate) fn for_mail(&mut self, tag: u64, waker: &Waker) {
        self.set(waker, |number| Place::Source(Source::Mail(tag), number));
    }

    /// Waits until something can be read from a socket.
    pub(crate) fn for_reading(&mut self, socket: RawHandle, waker: &Waker) {
        let source = Source::Readable(socket.id, socket.key);
        self.set(waker, |number| Place::Source(source, number));
    }

    /// Waits until a socket takes something.
    pub(crate) fn for_writing(&mut self, socket: RawHandle, waker: &Waker) {
        let source = Source::Writable(socket.id, socket.key);
        self.set(waker, |number| Place::Source(source, number));
    }

    /// Each wait is for one thing only.
    fn set(&mut self, waker: &Waker, place: impl FnOnce(u64) -> Place) {
        check_running();
        WAITS.with(|waits| {
            let place = *self.0.get_or_insert_with(|| {
                let number = waits.last.get() + 1;
                waits.last.set(number);
                place(number)
            });
            waits.wakers.borrow_mut().insert(place, waker.clone());
        });
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if let Some(place) = self.0 {
            // At the end of a thread, there may be none any more.
            let waker = WAITS.try_with(|waits| waits.wakers.borrow_mut().remove(&place));
            drop(waker);
        }
    }
}

/// Wakes the futures of everything that has become ready. If there is nothing, and `blocks` is set, the process waits first.
///
/// # Panics
///
/// If nothing could ever end that wait, or if the futures wait for too many sources.
pub(super) fn look(blocks: bool) {
    WAITS.with(|waits| {
        let has_woken = waits.wake_due();
        let timeout_ns = match (blocks && !has_woken, waits.next_due()) {
            (false, _) => 0,
            (true, None) => NO_TIMEOUT,
            (true, Some(due)) => host::timeout_ns(due.saturating_duration_since(Instant::now())),
        };
        let sources = waits.sources();
        match (sources.is_empty(), timeout_ns) {
            (true, 0) => {}
            (true, NO_TIMEOUT) => panic!(
                "all futures of `block_on` wait, and none of them for a time, a channel, the mailbox or a socket: nothing can wake them"
            ),
            (true, _) => host::sleep_ns(timeout_ns),
            (false, _) => waits.select(&sources, timeout_ns),
        }
        waits.wake_due();
    });
}

impl Waits {
    /// Wakes those whose time has come. Returns whether there were some.
    fn wake_due(&self) -> bool {
        let mut has_woken = false;
        while let Some(due) = self.next_due() {
            if due > Instant::now() {
                break;
            }
            let first = self.wakers.borrow_mut().pop_first();
            if let Some((_, waker)) = first {
                waker.wake();
            }
            has_woken = true;
        }
        has_woken
    }

    /// The time that comes first. Times are before all sources.
    fn next_due(&self) -> Option<Instant> {
        match self.wakers.borrow().first_key_value() {
            Some((Place::Time(due, _), _)) => Some(*due),
            _ => None,
        }
    }

    /// All sources, in the order in which they have their turns.
    fn sources(&self) -> Vec<Source> {
        let wakers = self.wakers.borrow();
        let all = wakers.keys().filter_map(|place| match place {
            Place::Source(source, _) => Some(*source),
            Place::Time(..) => None,
        });
        let mut all: Vec<Source> = all.collect();
        all.dedup();
        assert!(
            all.len() <= TAGS_LEN_MAX,
            "the futures of a process can wait for {TAGS_LEN_MAX} channels, sockets and kinds of messages at a time, not {}",
            all.len()
        );
        let former = all.partition_point(|source| Some(*source) <= self.turn.get());
        all.rotate_left(former);
        all
    }

    /// Waits for one of these, and wakes all that wait for it.
    fn select(&self, sources: &[Source], timeout_ns: u64) {
        let tags: Vec<u64> = sources
            .iter()
            .map(|source| match source {
                Source::Mail(tag) => *tag,
                _ => 0,
            })
            .collect();
        let raw: Vec<layout::Source> = sources
            .iter()
            .zip(&tags)
            .map(|(source, tag)| {
                let (kind, tags_len, a, b) = match *source {
                    Source::Channel(id, key) => (source::CHANNEL, 0, id, key),
                    Source::Mail(_) => (source::MAILBOX, 1, std::ptr::from_ref(tag).addr() as u64, 0),
                    Source::Readable(id, key) => (source::READABLE, 0, id, key),
                    Source::Writable(id, key) => (source::WRITABLE, 0, id, key),
                };
                layout::Source { kind, tags_len, a, b }
            })
            .collect();
        match host::mail::select(&raw, timeout_ns) {
            Ok(index) => self.wake(sources[index]),
            Err(Refused::TimedOut) => {}
            Err(refused) => panic!("the host refused to wait for channels, mail and sockets: {refused:?}"),
        }
    }

    fn wake(&self, source: Source) {
        self.turn.set(Some(source));
        let range = Place::Source(source, 0)..=Place::Source(source, u64::MAX);
        let woken: Vec<Waker> = self
            .wakers
            .borrow()
            .range(range)
            .map(|(_, waker)| waker.clone())
            .collect();
        woken.into_iter().for_each(Waker::wake);
    }
}
