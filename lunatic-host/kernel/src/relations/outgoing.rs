//! The call that a process makes, or makes next.
//!
//! A process makes one call at a time, since it waits for the answer. So the reference of that call has a place of its own
//! here, not a list in the mailbox, and so has the answer. And whoever was called last goes on to count the caller among
//! its watchers, because it is who will most likely be called next: calls to one server change no list at all.

use super::mailbox::Mail;
use crate::address::Id;

#[derive(Default)]
pub(crate) struct Outgoing {
    /// Open for the answer of the call, or of the next one; 0 is none.
    reference: u64,
    answer: Option<Mail>,
    /// A call was begun and has not ended: the end of the callee is an answer.
    calls: bool,
    /// The process is blocked until there is an answer.
    waits: bool,
    callee: Option<Callee>,
}

/// Who was called last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Callee {
    pub(crate) id: Id,
    /// The reference by which the caller is among its watchers.
    pub(crate) watch: u64,
}

impl Outgoing {
    /// Whether what is sent under `tag` belongs here.
    pub(crate) fn is_for(&self, tag: u64) -> bool {
        self.reference == tag && tag != 0
    }

    /// The call that is made next has this reference, under which something may have come already. Gives back what was
    /// kept for another one.
    pub(crate) fn open(&mut self, reference: u64, answer: Option<Mail>) -> (u64, Option<Mail>) {
        let other = std::mem::replace(&mut self.reference, reference);
        (other, std::mem::replace(&mut self.answer, answer))
    }

    /// Begins the call. Unless it goes to who was called last: whose watcher the caller is no longer, and whose it is from
    /// now on.
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

    /// Whether the process must wait: then it is woken by the answer.
    pub(crate) fn wait(&mut self) -> bool {
        self.waits = !self.is_answered();
        self.waits
    }

    /// Ends the call, answered or not: the answer, if it has come. Another call needs another reference.
    pub(crate) fn end(&mut self) -> Option<Mail> {
        (self.reference, self.calls, self.waits) = (0, false, false);
        self.answer.take()
    }

    /// A process that watches under this reference hears of an end: the reference to answer under, if that is an answer.
    pub(crate) fn end_of(&mut self, watch: u64) -> Option<u64> {
        self.callee.take_if(|callee| callee.watch == watch)?;
        self.calls.then_some(self.reference)
    }

    /// Who was called last had ended before.
    pub(crate) fn forget_callee(&mut self) {
        self.callee = None;
    }

    pub(crate) fn is_answered(&self) -> bool {
        self.answer.is_some()
    }

    /// What comes first under the reference is the answer. True if the process waits for it.
    pub(crate) fn answer(&mut self, mail: Mail) -> bool {
        debug_assert!(!self.is_answered());
        self.answer = Some(mail);
        std::mem::take(&mut self.waits)
    }

    pub(crate) fn callee(&self) -> Option<Callee> {
        self.callee
    }

    /// The bytes that the answer takes up elsewhere.
    pub(crate) fn size(&self) -> usize {
        self.answer.as_ref().map_or(0, Mail::size_outside)
    }
}
