//! What a blocked process waits for: for reports, and to identify waits that only other processes can end.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use crate::address::Id;

/// What a blocked process waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum WaitFor {
    /// Something outside: a file, a terminal.
    Outside,
    /// A message on the channel.
    Receive,
    /// Room in the channel.
    Send,
    /// The end of the process.
    Join,
    /// A timer.
    Sleep,
    /// Something in its mailbox.
    Mail,
    /// The answer of the process.
    Call,
    /// One of several channels, or its mailbox.
    Select,
    /// A socket: something outside, but in a call of the host itself.
    Socket,
    /// A file: something outside, also in a call of the host itself.
    File,
}

impl WaitFor {
    const ALL: [Self; 10] = [
        Self::Outside,
        Self::Receive,
        Self::Send,
        Self::Join,
        Self::Sleep,
        Self::Mail,
        Self::Call,
        Self::Select,
        Self::Socket,
        Self::File,
    ];

    /// Returns whether this wait can end without any action of the system's processes.
    pub fn is_outside(self) -> bool {
        matches!(self, Self::Outside | Self::Socket | Self::File)
    }

    /// Returns whether a process can be frozen in this wait: nobody else holds addresses of its memory, and its
    /// position is known.
    pub fn is_freezable(self) -> bool {
        self != Self::Outside
    }
}

/// The wait of one process. Only the process writes it, and anyone reads it: the two parts may be of different waits.
pub(super) struct Waiting {
    kind: AtomicU8,
    what: AtomicU64,
}

impl Default for Waiting {
    fn default() -> Self {
        Self {
            kind: AtomicU8::new(WaitFor::Outside as u8),
            what: AtomicU64::new(0),
        }
    }
}

impl Waiting {
    pub(super) fn set(&self, kind: WaitFor, what: Id) {
        self.what.store(what.raw(), Ordering::Relaxed);
        self.kind.store(kind as u8, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> (WaitFor, Id) {
        let kind = WaitFor::ALL[usize::from(self.kind.load(Ordering::Relaxed)) % WaitFor::ALL.len()];
        (kind, Id::from_raw(self.what.load(Ordering::Relaxed)))
    }
}
