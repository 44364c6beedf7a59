//! The reactor: asks the operating system's kernel which sockets have become ready, and wakes the processes that wait
//! for them.
//!
//! A socket is watched from the first time that an operation on it would block; many sockets never get that far. The
//! kernel knows it by its place in a table, so an event for a closed socket finds nothing.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use lunatic_kernel::address::Id;
use lunatic_kernel::table::{Full, Table};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Registry, Token, Waker};
use parking_lot::Mutex;

use super::readiness::{Direction, Waiter};
use super::socket::Socket;

/// The most sockets that are watched at a time.
const WATCHED_MAX: u32 = 16 << 20;
/// The most events that are taken from the kernel in one call.
const EVENTS: usize = 1024;
/// The token of [`Reactor::stop`]: no socket has the place 0.
const STOP: Token = Token(0);

pub struct Reactor<W: Waiter> {
    poll: Mutex<(Poll, Events)>,
    registry: Registry,
    caller: Waker,
    stopped: AtomicBool,
    watched: Table<Weak<Socket<W>>>,
}

impl<W: Waiter> Reactor<W> {
    pub fn new() -> io::Result<Self> {
        let poll = Poll::new()?;
        let registry = poll.registry().try_clone()?;
        Ok(Self {
            caller: Waker::new(&registry, STOP)?,
            registry,
            stopped: AtomicBool::new(false),
            poll: Mutex::new((poll, Events::with_capacity(EVENTS))),
            watched: Table::new(WATCHED_MAX),
        })
    }

    /// Begins to watch a socket. If it is already ready, this is reported, too.
    pub(crate) fn watch(&self, socket: &Arc<Socket<W>>, fd: RawFd) -> io::Result<Id> {
        let id = self.watched.insert(0, |_| Arc::downgrade(socket));
        let id = id.map_err(|Full| io::Error::from(io::ErrorKind::QuotaExceeded))?;
        let token = Token(usize::try_from(id.raw()).expect("addresses have 64 bits"));
        let interest = Interest::READABLE | Interest::WRITABLE;
        match self.registry.register(&mut SourceFd(&fd), token, interest) {
            Ok(()) => Ok(id),
            Err(error) => {
                self.watched.remove(0, id);
                Err(error)
            }
        }
    }

    /// Forgets a socket that is about to close. Closing it makes the kernel forget it.
    pub(crate) fn forget(&self, id: Id) {
        self.watched.remove(0, id);
    }

    /// Waits for events, but no longer than `timeout`, and wakes the processes that they concern.
    pub fn poll(&self, timeout: Option<Duration>, mut wake: impl FnMut(&W)) {
        let mut poll = self.poll.lock();
        let (poll, events) = &mut *poll;
        // An interrupted call has no events; any other error would be a bug here, and the next call shows it again.
        if poll.poll(events, timeout).is_err() {
            return;
        }
        for event in events.iter() {
            let id = Id::from_raw(event.token().0 as u64);
            let Some(socket) = self.watched.get(id).and_then(|socket| socket.upgrade()) else {
                continue;
            };
            let failed = event.is_error();
            // An error of a datagram socket is reported once, and then the socket works on.
            let ends = socket.is_stream();
            if event.is_readable() || event.is_read_closed() || failed {
                let closed = ends && (event.is_read_closed() || failed);
                if let Some(waiter) = socket.readiness(Direction::Read).set(closed) {
                    wake(&waiter);
                }
            }
            if event.is_writable() || event.is_write_closed() || failed {
                let closed = ends && (event.is_write_closed() || failed);
                if let Some(waiter) = socket.readiness(Direction::Write).set(closed) {
                    wake(&waiter);
                }
            }
        }
    }

    /// The loop of the thread, until it is stopped.
    pub fn run(&self, mut wake: impl FnMut(&W)) {
        while !self.stopped.load(Ordering::Acquire) {
            self.poll(None, &mut wake);
        }
    }

    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        self.caller.wake().expect("the kernel takes a number for an eventfd");
    }
}

/// The descriptor of a watched socket.
pub(crate) fn fd(socket: &impl AsRawFd) -> RawFd {
    socket.as_raw_fd()
}
