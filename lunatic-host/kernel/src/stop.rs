//! The progress of the orderly stop of a system: see `shutdown`.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use crate::address::Id;
use crate::exit::ExitReason;
use crate::hash::NumberSet;

#[derive(Default)]
pub(crate) struct Stop {
    is_asked_for: AtomicBool,
    /// Set once the main process has ended.
    after_main: Mutex<Option<AfterMain>>,
}

struct AfterMain {
    /// How the main process ended.
    reason: ExitReason,
    /// The processes that must end before the system does, and have not.
    left: NumberSet<Id>,
}

impl Stop {
    /// Records that the system must end. False if that was already known.
    pub(crate) fn ask(&self) -> bool {
        !self.is_asked_for.swap(true, Ordering::AcqRel)
    }

    pub(crate) fn is_asked_for(&self) -> bool {
        self.is_asked_for.load(Ordering::Acquire)
    }

    /// Records that the main process has ended, and that these must end before the system does.
    pub(crate) fn main_ended(&self, reason: ExitReason, left: impl Iterator<Item = Id>) {
        let left = left.collect();
        *self.after_main.lock() = Some(AfterMain { reason, left });
    }

    /// How the main process ended, if it has.
    pub(crate) fn reason(&self) -> Option<ExitReason> {
        self.after_main.lock().as_ref().map(|after| after.reason.clone())
    }

    /// Records that a process has ended. Returns how the main process ended, if nobody is left now.
    pub(crate) fn without(&self, ended: Id) -> Option<ExitReason> {
        let mut after = self.after_main.lock();
        let after = after.as_mut()?;
        after.left.remove(&ended);
        after.reason_if_over()
    }

    /// Removes processes that have ended. Returns how the main process ended, if nobody is left now.
    pub(crate) fn without_all(&self, has_ended: impl Fn(Id) -> bool) -> Option<ExitReason> {
        let mut after = self.after_main.lock();
        let after = after.as_mut()?;
        after.left.retain(|id| !has_ended(*id));
        after.reason_if_over()
    }
}

impl AfterMain {
    fn reason_if_over(&self) -> Option<ExitReason> {
        self.left.is_empty().then(|| self.reason.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_over_when_the_last_has_ended_that_is_waited_for() {
        let id = |number| Id::new(number, 1);
        let stop = Stop::default();
        assert!(stop.ask() && !stop.ask() && stop.is_asked_for());
        assert_eq!(stop.without(id(1)), None, "the main process has not ended");
        stop.main_ended(ExitReason::Exit(3), [1, 2, 3].map(id).into_iter());
        assert_eq!(stop.without_all(|ended| ended == id(1)), None);
        assert_eq!(stop.without(id(7)), None, "it was not waited for");
        assert_eq!(stop.without(id(2)), None);
        assert_eq!(stop.without(id(3)), Some(ExitReason::Exit(3)));
    }
}
