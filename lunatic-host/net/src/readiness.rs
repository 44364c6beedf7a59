//! The known state of the two directions of a socket, and the processes that wait for them.
//!
//! The kernel reports once when a direction becomes ready (edge triggered), and not again until an operation has
//! returned that it would block. So each direction has a word, *ready*, which the reactor sets and which a caller
//! clears **before** an attempt: a later event sets it again, and is not missed.
//!
//! A read that returned less than requested has emptied the socket. So the word stays cleared, and the next read waits
//! without asking the kernel, which saves a system call per message. The end of the stream may arrive together with the
//! last bytes, and is reported once; so it has a separate word, which is never cleared.
//!
//! # Waiting
//!
//! As everywhere: try, leave a waiter, block, withdraw the waiter, try again. A waiter is left only if the direction is
//! not ready, which is checked under the lock of the waiters; the reactor sets the word and removes a waiter under the
//! same lock. An event wakes one waiter; a waiter that succeeds, or goes away, wakes the next.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicU8, Ordering};

use parking_lot::Mutex;

/// Waits for a socket; it is returned to be woken.
pub trait Waiter: Clone + Send + Sync + 'static {}

impl<W: Clone + Send + Sync + 'static> Waiter for W {}

/// The two directions of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Reading and accepting.
    Read,
    /// Writing and connecting.
    Write,
}

/// An operation may succeed.
const READY: u8 = 1;
/// The direction is closed; operations report this immediately.
const CLOSED: u8 = 2;
/// The reactor watches the socket.
const WATCHED: u8 = 4;

/// A place among the waiters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

struct Waiters<W> {
    /// In the order of their tickets. A waiter that waits again has the lowest ticket: those with lower ones were woken
    /// before it.
    list: VecDeque<(Ticket, W)>,
    tickets: u64,
}

/// The state of one direction.
pub struct Readiness<W> {
    state: AtomicU8,
    waiters: Mutex<Waiters<W>>,
}

impl<W> Default for Readiness<W> {
    /// Nobody has tried yet.
    fn default() -> Self {
        Self {
            state: AtomicU8::new(READY),
            waiters: Mutex::new(Waiters {
                list: VecDeque::new(),
                tickets: 0,
            }),
        }
    }
}

impl<W: Clone> Readiness<W> {
    /// Calls `attempt` if it may succeed. `attempt` returns whether it has emptied the direction.
    pub fn attempt<T>(&self, mut attempt: impl FnMut() -> io::Result<(T, bool)>) -> io::Result<T> {
        let state = self.state.load(Ordering::Acquire);
        if state & (READY | CLOSED) == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        // Without the reactor, nobody would set the word again.
        if state & WATCHED != 0 {
            self.state.fetch_and(!READY, Ordering::AcqRel);
        }
        loop {
            match attempt() {
                Ok((value, emptied)) => {
                    if !emptied {
                        self.state.fetch_or(READY, Ordering::AcqRel);
                    }
                    return Ok(value);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
                Err(error) => {
                    self.state.fetch_or(READY, Ordering::AcqRel);
                    return Err(error);
                }
            }
        }
    }

    /// Called before the reactor watches the socket, which it reports immediately if it is ready; the direction counts
    /// as `ready` until then.
    pub fn watched(&self, ready: bool) {
        let bits = if ready { WATCHED | READY } else { WATCHED };
        self.state.store(bits, Ordering::Release);
    }

    /// The reactor does not watch the socket after all: every attempt is made again.
    pub fn not_watched(&self) {
        self.state.store(READY, Ordering::Release);
    }

    /// Whether an attempt may succeed, or fail for good.
    pub fn is_ready(&self) -> bool {
        self.state.load(Ordering::Acquire) & (READY | CLOSED) != 0
    }

    /// Records that the direction has become ready, or is `closed` for good. Returns the waiter to wake.
    pub fn set(&self, closed: bool) -> Option<W> {
        let bits = if closed { READY | CLOSED } else { READY };
        let mut waiters = self.waiters.lock();
        self.state.fetch_or(bits, Ordering::AcqRel);
        waiters.pop()
    }

    /// Leaves a waiter, unless the direction is ready by now: then returns `None`. A waiter that was woken but came too
    /// late waits `again`, before all others.
    pub fn enter(&self, waiter: &W, again: Option<Ticket>) -> Option<Ticket> {
        let mut waiters = self.waiters.lock();
        if self.state.load(Ordering::Acquire) & (READY | CLOSED) != 0 {
            return None;
        }
        if let Some(ticket) = again {
            if let Err(place) = waiters.place(ticket) {
                waiters.list.insert(place, (ticket, waiter.clone()));
            }
            return Some(ticket);
        }
        waiters.tickets += 1;
        let ticket = Ticket(waiters.tickets);
        waiters.list.push_back((ticket, waiter.clone()));
        Some(ticket)
    }

    /// A waiter is about to try again (`looks`), or goes away. If it goes away and had been woken, returns the next
    /// waiter to wake.
    pub fn leave(&self, ticket: Ticket, looks: bool) -> Option<W> {
        let mut waiters = self.waiters.lock();
        if waiters.remove(ticket) || looks {
            return None;
        }
        waiters.pop()
    }

    /// Called after a success: returns another waiter, which may succeed, too.
    pub fn next(&self) -> Option<W> {
        if self.state.load(Ordering::Acquire) & (READY | CLOSED) == 0 {
            return None;
        }
        self.waiters.lock().pop()
    }
}

impl<W> Waiters<W> {
    fn pop(&mut self) -> Option<W> {
        self.list.pop_front().map(|(_, waiter)| waiter)
    }

    /// The position of a ticket, or where it would be inserted.
    fn place(&self, ticket: Ticket) -> Result<usize, usize> {
        self.list.binary_search_by_key(&ticket, |(own, _)| *own)
    }

    /// Whether the ticket was still in the list.
    fn remove(&mut self, ticket: Ticket) -> bool {
        let place = self.place(ticket);
        place.is_ok_and(|place| self.list.remove(place).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nobody waits here.
    type Readiness = super::Readiness<()>;

    fn would_block<T>(result: &io::Result<T>) -> bool {
        matches!(result, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    #[test]
    fn without_the_reactor_every_attempt_is_made() {
        let readiness = Readiness::default();
        for _ in 0..2 {
            assert!(would_block(&readiness.attempt(|| io::Result::<((), bool)>::Err(
                io::ErrorKind::WouldBlock.into()
            ))));
            assert_eq!(readiness.attempt(|| Ok((1, true))).unwrap(), 1);
        }
    }

    #[test]
    fn what_was_emptied_is_not_tried_again_before_an_event() {
        let readiness = Readiness::default();
        readiness.watched(false);
        assert!(would_block(
            &readiness.attempt(|| -> io::Result<((), bool)> { panic!("not ready") })
        ));
        assert!(readiness.set(false).is_none());
        assert_eq!(readiness.attempt(|| Ok((1, false))).unwrap(), 1);
        assert_eq!(readiness.attempt(|| Ok((2, true))).unwrap(), 2);
        assert!(would_block(
            &readiness.attempt(|| -> io::Result<((), bool)> { panic!("not ready") })
        ));
    }

    #[test]
    fn an_event_during_an_attempt_is_not_missed() {
        let readiness = Readiness::default();
        readiness.watched(false);
        readiness.set(false);
        let attempt = || {
            readiness.set(false);
            Ok(((), true))
        };
        readiness.attempt(attempt).unwrap();
        assert_eq!(readiness.attempt(|| Ok((3, true))).unwrap(), 3);
    }

    #[test]
    fn waiters_are_woken_in_the_order_in_which_they_came() {
        let readiness = super::Readiness::default();
        readiness.watched(false);
        let tickets: Vec<_> = (0..5).map(|number| readiness.enter(&number, None).unwrap()).collect();
        assert_eq!(readiness.set(false), Some(0));
        readiness.attempt(|| Ok(((), true))).unwrap();
        // It came too late, and is the first again; one in the middle goes away.
        assert_eq!(readiness.enter(&0, Some(tickets[0])), Some(tickets[0]));
        assert_eq!(readiness.leave(tickets[2], false), None);
        let woken: Vec<_> = std::iter::from_fn(|| readiness.set(false)).collect();
        assert_eq!(woken, [0, 1, 3, 4]);
    }

    /// Half a million processes may wait for clones of one socket: none of what is done for one of them looks at all others.
    #[test]
    fn many_waiters_take_no_longer_each() {
        let time = |count: u32| {
            let readiness = super::Readiness::default();
            readiness.watched(false);
            let tickets: Vec<_> = (0..count)
                .map(|number| readiness.enter(&number, None).unwrap())
                .collect();
            let begun = std::time::Instant::now();
            for ticket in tickets.into_iter().rev() {
                assert_eq!(readiness.leave(ticket, false), None);
            }
            begun.elapsed() / count
        };
        let (few, many) = (time(1000).min(time(1000)), time(100_000));
        assert!(
            many < few * 20 + std::time::Duration::from_micros(1),
            "{few:?}, {many:?}"
        );
    }

    #[test]
    fn an_end_and_an_error_stay() {
        let readiness = Readiness::default();
        readiness.watched(false);
        readiness.set(true);
        for _ in 0..3 {
            assert_eq!(readiness.attempt(|| Ok((0, true))).unwrap(), 0);
        }
        let readiness = Readiness::default();
        readiness.watched(false);
        readiness.set(false);
        let refused = || io::Result::<((), bool)>::Err(io::ErrorKind::ConnectionRefused.into());
        for _ in 0..3 {
            assert_eq!(
                readiness.attempt(refused).unwrap_err().kind(),
                io::ErrorKind::ConnectionRefused
            );
        }
    }
}
