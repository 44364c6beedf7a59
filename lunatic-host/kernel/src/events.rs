//! Events that a kernel reports to observers.
//!
//! Without an observer, an event costs a check of one word. An observer selects events with an [`Interest`]; events
//! that no observer wants cost little more, because the wanted kinds and processes are two words. The second word has a
//! bit for each process, which several processes share. So observing one process of a thousand does not slow down the
//! others.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use parking_lot::RwLock;

use crate::address::Id;
use crate::exit::ExitReason;
use crate::process::waiting::WaitFor;

/// Something that has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A process was spawned.
    Spawned {
        /// The process.
        id: Id,
        /// The process that spawned it.
        parent: Option<Id>,
    },
    /// A process has ended, and all related processes have been notified.
    Ended {
        /// The process.
        id: Id,
        /// Its exit reason.
        reason: ExitReason,
    },
    /// A process sends a message to a mailbox, which may refuse it.
    Sent {
        /// The sender.
        from: Id,
        /// The receiver.
        to: Id,
        /// The tag.
        tag: u64,
        /// Its length in bytes.
        len: usize,
    },
    /// A process has taken a message or signal from its mailbox.
    Received {
        /// The process.
        id: Id,
        /// The tag.
        tag: u64,
        /// Its length in bytes.
        len: usize,
    },
    /// A process is about to block.
    Waits {
        /// The process.
        id: Id,
        /// What it waits for.
        wait: WaitFor,
        /// The channel or process that it waits for.
        what: Id,
    },
    /// A worker starts to run a process.
    Runs {
        /// The process.
        id: Id,
    },
}

/// The kind of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// [`Event::Spawned`].
    Spawned,
    /// [`Event::Ended`].
    Ended,
    /// [`Event::Sent`].
    Sent,
    /// [`Event::Received`].
    Received,
    /// [`Event::Waits`].
    Waits,
    /// [`Event::Runs`].
    Runs,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 6] = [
        Self::Spawned,
        Self::Ended,
        Self::Sent,
        Self::Received,
        Self::Waits,
        Self::Runs,
    ];

    fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl Event {
    /// Returns the kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Spawned { .. } => Kind::Spawned,
            Self::Ended { .. } => Kind::Ended,
            Self::Sent { .. } => Kind::Sent,
            Self::Received { .. } => Kind::Received,
            Self::Waits { .. } => Kind::Waits,
            Self::Runs { .. } => Kind::Runs,
        }
    }

    /// Returns the process that causes it, or to which it happens.
    #[must_use]
    pub fn process(&self) -> Id {
        match self {
            Self::Sent { from, .. } => *from,
            Self::Spawned { id, .. }
            | Self::Ended { id, .. }
            | Self::Received { id, .. }
            | Self::Waits { id, .. }
            | Self::Runs { id } => *id,
        }
    }

    /// Returns the other process involved: the parent, or the receiver.
    #[must_use]
    pub fn other(&self) -> Option<Id> {
        match self {
            Self::Spawned { parent, .. } => *parent,
            Self::Sent { to, .. } => Some(*to),
            _ => None,
        }
    }
}

/// Selects the events for an observer. The default selects all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Interest {
    /// The kinds of events; `None` selects all.
    pub kinds: Option<Vec<Kind>>,
    /// Events that involve one of these processes, in the order of their ids; `None` selects all processes.
    pub processes: Option<Vec<Id>>,
    /// Events of the system with this main process, and messages of any system that reach nobody; `None` selects all
    /// systems.
    pub system: Option<Id>,
}

impl Interest {
    fn kinds(&self) -> u8 {
        let kinds = self.kinds.as_deref().unwrap_or(&Kind::ALL);
        kinds.iter().fold(0, |bits, kind| bits | kind.bit())
    }

    fn processes(&self) -> u64 {
        let processes = self.processes.as_ref();
        processes.map_or(u64::MAX, |ids| ids.iter().fold(0, |bits, id| bits | bit(*id)))
    }

    fn is_in(&self, system: Option<Id>, event: &Event) -> bool {
        let has = |id: Id| match &self.processes {
            Some(ids) => ids.binary_search(&id).is_ok(),
            None => true,
        };
        self.kinds() & event.kind().bit() != 0
            && (self.system.is_none() || system.is_none() || self.system == system)
            && (has(event.process()) || event.other().is_some_and(has))
    }
}

/// The bit of a process in the word of wanted processes.
fn bit(id: Id) -> u64 {
    1 << (id.slot() % u64::BITS)
}

/// Receives events.
///
/// It is called by whoever causes an event, in the middle of an operation: it must be quick, must not block, and must
/// not call the kernel.
pub trait Observer: Send + Sync {
    /// Called for an event.
    fn notice(&self, event: &Event);
}

#[derive(Default)]
pub(crate) struct Events {
    /// The kinds that any observer wants; 0 without an observer.
    kinds: AtomicU8,
    /// The processes that any observer wants.
    processes: AtomicU64,
    observers: RwLock<Vec<(Interest, Arc<dyn Observer>)>>,
}

impl Events {
    /// Notifies the interested observers, if any. `event` also returns the main process of its system, if known.
    pub(crate) fn tell(&self, event: impl FnOnce() -> (Option<Id>, Event)) {
        let kinds = self.kinds.load(Ordering::Relaxed);
        if kinds == 0 {
            return;
        }
        let (system, event) = event();
        let bits = bit(event.process()) | event.other().map_or(0, bit);
        if kinds & event.kind().bit() != 0 && self.processes.load(Ordering::Relaxed) & bits != 0 {
            self.tell_all(system, &event);
        }
    }

    #[cold]
    fn tell_all(&self, system: Option<Id>, event: &Event) {
        let observers = self.observers.read();
        let wanting = observers.iter().filter(|(interest, _)| interest.is_in(system, event));
        wanting.for_each(|(_, observer)| observer.notice(event));
    }

    pub(crate) fn add(&self, interest: Interest, observer: Arc<dyn Observer>) {
        let mut observers = self.observers.write();
        observers.push((interest, observer));
        self.listen_for(&observers);
    }

    /// Changes the interest of an observer. Does nothing if it is not registered.
    pub(crate) fn change(&self, interest: Interest, observer: &Arc<dyn Observer>) {
        let mut observers = self.observers.write();
        if let Some((known, _)) = observers.iter_mut().find(|(_, other)| Arc::ptr_eq(other, observer)) {
            *known = interest;
        }
        self.listen_for(&observers);
    }

    pub(crate) fn remove(&self, observer: &Arc<dyn Observer>) {
        let mut observers = self.observers.write();
        observers.retain(|(_, other)| !Arc::ptr_eq(other, observer));
        self.listen_for(&observers);
    }

    /// The number of observers.
    pub(crate) fn len(&self) -> usize {
        self.observers.read().len()
    }

    fn listen_for(&self, observers: &[(Interest, Arc<dyn Observer>)]) {
        let all = |bits: fn(&Interest) -> u64| observers.iter().fold(0, |all, (interest, _)| all | bits(interest));
        self.processes.store(all(Interest::processes), Ordering::Relaxed);
        let kinds = all(|interest| u64::from(interest.kinds()));
        self.kinds.store(kinds as u8, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;

    #[derive(Default)]
    struct Heard(Mutex<Vec<Event>>);

    impl Observer for Heard {
        fn notice(&self, event: &Event) {
            self.0.lock().push(event.clone());
        }
    }

    #[test]
    fn without_a_listener_an_event_is_not_even_made() {
        let events = Events::default();
        events.tell(|| panic!("nobody listens"));
        let observer: Arc<dyn Observer> = Arc::new(Heard::default());
        events.add(Interest::default(), observer.clone());
        assert_eq!(events.len(), 1);
        events.remove(&observer);
        events.tell(|| panic!("nobody listens any more"));
        assert_eq!(events.len(), 0);
    }

    #[test]
    fn a_listener_can_be_interested_in_something_else() {
        let events = Events::default();
        let id = |slot| Id::new(slot, 0);
        let of = |slot| Interest {
            processes: Some(vec![id(slot)]),
            ..Interest::default()
        };
        let heard = Arc::new(Heard::default());
        let observer: Arc<dyn Observer> = heard.clone();
        events.add(of(1), observer.clone());
        let tell = || [1, 2].map(|slot| events.tell(|| (None, Event::Runs { id: id(slot) })));
        tell();
        events.change(of(2), &observer);
        tell();
        assert_eq!(*heard.0.lock(), [1, 2].map(|slot| Event::Runs { id: id(slot) }));
        events.remove(&observer);
        events.change(of(2), &observer);
        assert_eq!(events.len(), 0, "who has gone does not come back");
    }

    #[test]
    fn each_listener_hears_what_it_wants_and_no_more() {
        let id = |slot| Id::new(slot, 0);
        let events = Events::default();
        let observe = |interest| {
            let heard = Arc::new(Heard::default());
            events.add(interest, heard.clone());
            heard
        };
        let runs = |slot| Event::Runs { id: id(slot) };
        let sent = |from, to| Event::Sent {
            from: id(from),
            to: id(to),
            tag: 0,
            len: 0,
        };
        let one = observe(Interest {
            processes: Some(vec![id(3), id(5)]),
            ..Interest::default()
        });
        let kind = observe(Interest {
            kinds: Some(vec![Kind::Sent]),
            ..Interest::default()
        });
        let system = observe(Interest {
            system: Some(id(1)),
            ..Interest::default()
        });
        // 3 and 67 have the same bit.
        for (system, event) in [
            (Some(1), runs(3)),
            (Some(2), runs(67)),
            (Some(2), sent(4, 5)),
            (None, sent(4, 6)),
        ] {
            events.tell(|| (system.map(id), event));
        }
        let heard = |heard: Arc<Heard>| std::mem::take(&mut *heard.0.lock());
        assert_eq!(heard(one), [runs(3), sent(4, 5)]);
        assert_eq!(heard(kind), [sent(4, 5), sent(4, 6)]);
        assert_eq!(heard(system), [runs(3), sent(4, 6)]);
    }
}
