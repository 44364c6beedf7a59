//! Events: what a kernel tells those who listen.
//!
//! With no listener an event costs the look at one word.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;

use crate::address::Id;
use crate::exit::ExitReason;
use crate::process::waiting::WaitFor;

/// Something that has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A process was made.
    Spawned {
        /// The process.
        id: Id,
        /// Who spawned it.
        parent: Option<Id>,
    },
    /// A process has ended, and all who have a relation to it have been told.
    Ended {
        /// The process.
        id: Id,
        /// How.
        reason: ExitReason,
    },
    /// A process sends a message to a mailbox, which may refuse it.
    Sent {
        /// The sender.
        from: Id,
        /// The receiver.
        to: Id,
        /// What it is about.
        tag: u64,
        /// Its length in bytes.
        len: usize,
    },
    /// A process has taken a message or a signal out of its mailbox.
    Received {
        /// The process.
        id: Id,
        /// What it is about.
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
    /// A worker begins to run a process.
    Runs {
        /// The process.
        id: Id,
    },
}

/// Who is told of events.
///
/// It is called by whoever causes an event, in the middle of that: it must be quick, must not wait, and must not call the
/// kernel.
pub trait Observer: Send + Sync {
    /// Something has happened.
    fn notice(&self, event: &Event);
}

#[derive(Default)]
pub(crate) struct Events {
    is_watched: AtomicBool,
    observers: RwLock<Vec<Arc<dyn Observer>>>,
}

impl Events {
    /// Tells all who listen, if any.
    pub(crate) fn tell(&self, event: impl FnOnce() -> Event) {
        if self.is_watched.load(Ordering::Relaxed) {
            self.tell_all(&event());
        }
    }

    #[cold]
    fn tell_all(&self, event: &Event) {
        self.observers.read().iter().for_each(|observer| observer.notice(event));
    }

    pub(crate) fn add(&self, observer: Arc<dyn Observer>) {
        self.observers.write().push(observer);
        self.is_watched.store(true, Ordering::Relaxed);
    }

    pub(crate) fn remove(&self, observer: &Arc<dyn Observer>) {
        let mut observers = self.observers.write();
        observers.retain(|other| !Arc::ptr_eq(other, observer));
        self.is_watched.store(!observers.is_empty(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_listener_an_event_is_not_even_made() {
        struct Nobody;
        impl Observer for Nobody {
            fn notice(&self, _: &Event) {
                panic!("it does not listen");
            }
        }
        let events = Events::default();
        events.tell(|| panic!("nobody listens"));
        let observer: Arc<dyn Observer> = Arc::new(Nobody);
        events.add(observer.clone());
        events.remove(&observer);
        events.tell(|| panic!("nobody listens any more"));
    }
}
