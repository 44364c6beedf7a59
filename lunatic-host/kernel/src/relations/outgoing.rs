//! The current or next call of a process.
//!
//! A process makes one call at a time, because it waits for the answer. So the reference of that call has a place here,
//! not a list in the mailbox, and so has the answer. The last callee also keeps the caller among its watchers, because
//! it will most likely be called next: repeated calls to one server change no list at all.

use super::mailbox::Mail;
use crate::address::Id;

#[derive(Default)]
pub(crate) struct Outgoing {
    /// Open for the answer of the current or next call; 0 means none.
    reference: u64,
    answer: Option<Mail>,
    /// Whether a call is in progress: the end of the callee is then an answer.
    calls: bool,
    /// Whether the process is blocked until there is an answer.
    waits: bool,
    callee: Option<Callee>,
}

/// The last callee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Callee {
    pub(crate) id: Id,
    /// The reference of the caller among its watchers.
    pub(crate) watch: u64,
}

impl Outgoing {
    /// Whether `tag` is the reference of this call.
    pub(crate) fn is_for(&self, tag: u64) -> bool {
        self.reference == tag && tag != 0
    }

    /// Sets the reference of the next call, under which something may already have arrived. Returns what was kept for
    /// another reference.
    pub(crate) fn open(&mut self, reference: u64, answer: Option<Mail>) -> (u64, Option<Mail>) {
        let other = std::mem::replace(&mut self.reference, reference);
        (other, std::mem::replace(&mut self.answer, answer))
    }

    /// Begins the call. Unless it goes to the last callee, returns the callee that the caller stops watching, and the
    /// one that it starts watching.
    pub(crate) fn begin(&mut self, callee: Id) -> Option<(Option<Callee>, Callee)> {
        self.calls = true;
        if self.callee.is_some_and(|last| last.id == callee) {
            return None;
        }
        let next = Callee {
            id: callee,
            watch: self.reference,
        };
        Some((self.callee.replace(next), next))
    }

    /// Whether the process must wait; the answer then wakes it.
    pub(crate) fn wait(&mut self) -> bool {
        self.waits = !self.is_answered();
        self.waits
    }

    /// Ends the call, answered or not: returns the answer, if it has arrived. Another call needs another reference.
    pub(crate) fn end(&mut self) -> Option<Mail> {
        (self.reference, self.calls, self.waits) = (0, false, false);
        self.answer.take()
    }

    /// For the end of a process that is watched under this reference: returns the reference for the answer, if this is
    /// one.
    pub(crate) fn end_of(&mut self, watch: u64) -> Option<u64> {
        self.callee.take_if(|callee| callee.watch == watch)?;
        self.calls.then_some(self.reference)
    }

    /// Records that the last callee had already ended.
    pub(crate) fn forget_callee(&mut self) {
        self.callee = None;
    }

    pub(crate) fn is_answered(&self) -> bool {
        self.answer.is_some()
    }

    /// Takes the first entry under the reference as the answer. True if the process waits for it.
    pub(crate) fn answer(&mut self, mail: Mail) -> bool {
        debug_assert!(!self.is_answered());
        self.answer = Some(mail);
        std::mem::take(&mut self.waits)
    }

    pub(crate) fn callee(&self) -> Option<Callee> {
        self.callee
    }

    /// The bytes that the answer has allocated.
    pub(crate) fn size(&self) -> usize {
        self.answer.as_ref().map_or(0, Mail::size_outside)
    }
}
