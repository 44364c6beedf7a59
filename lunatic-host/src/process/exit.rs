//! How processes end, and the memory of how they ended.

use std::collections::{HashMap, VecDeque};
use std::fmt;

use lunatic_sys::codes;
use parking_lot::Mutex;

use super::id::Id;

/// Why a process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExitReason {
    /// Its entry function returned, or it called `proc_exit(0)`.
    Normal,
    /// It called `proc_exit` with this code, which is not 0.
    Exit(i32),
    /// It panicked with this message.
    Panic(String),
    /// It trapped: this says how.
    Trap(String),
    /// It was killed.
    Killed,
    /// No process of the system could ever run again; the text says who waited for what.
    Deadlock(String),
    /// The host failed on its behalf: a bug of Lunatic.
    HostBug(String),
}

impl ExitReason {
    /// The exit code of a program whose main process ended so.
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::Normal => 0,
            Self::Exit(code) => *code,
            Self::Panic(_) => 101,
            Self::Trap(_) | Self::HostBug(_) => 134,
            Self::Killed => 137,
            Self::Deadlock(_) => 70,
        }
    }

    /// The number and the text that `process::join` hands to a guest.
    pub(crate) fn to_guest(&self) -> (i32, String) {
        match self {
            Self::Normal => (codes::exit::NORMAL, String::new()),
            Self::Exit(code) => (codes::exit::EXIT, code.to_string()),
            Self::Panic(message) => (codes::exit::PANIC, message.clone()),
            Self::Trap(reason) | Self::HostBug(reason) | Self::Deadlock(reason) => (codes::exit::TRAP, reason.clone()),
            Self::Killed => (codes::exit::KILLED, String::new()),
        }
    }
}

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normal => write!(f, "ended normally"),
            Self::Exit(code) => write!(f, "exited with code {code}"),
            Self::Panic(message) => write!(f, "panicked: {message}"),
            Self::Trap(reason) => write!(f, "trapped: {reason}"),
            Self::Killed => write!(f, "was killed"),
            Self::Deadlock(report) => write!(f, "{report}"),
            Self::HostBug(text) => write!(f, "met a bug of the host: {text}"),
        }
    }
}

/// What is known of a process that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Remembered {
    Reason(ExitReason),
    /// It ended abnormally, too long ago.
    Forgotten,
}

/// The reasons of processes that ended abnormally, the last [`Exits::LEN_MAX`] of them.
///
/// Normal ends are not written down: a process that is neither here nor alive has ended normally.
#[derive(Default)]
pub(crate) struct Exits(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    reasons: HashMap<Id, ExitReason>,
    order: VecDeque<Id>,
    /// The last generation of each slot whose reason was dropped to make room.
    forgotten: HashMap<u32, u32>,
}

impl Exits {
    pub(crate) const LEN_MAX: usize = 65_536;

    pub(crate) fn remember(&self, id: Id, reason: &ExitReason) {
        if *reason == ExitReason::Normal {
            return;
        }
        let mut inner = self.0.lock();
        if inner.order.len() == Self::LEN_MAX
            && let Some(oldest) = inner.order.pop_front()
        {
            inner.reasons.remove(&oldest);
            let last = inner.forgotten.entry(oldest.index()).or_default();
            *last = oldest.generation().max(*last);
        }
        inner.order.push_back(id);
        inner.reasons.insert(id, reason.clone());
    }

    /// How the process, which is not alive any more, ended.
    pub(crate) fn of(&self, id: Id) -> Remembered {
        let inner = self.0.lock();
        match inner.reasons.get(&id) {
            Some(reason) => Remembered::Reason(reason.clone()),
            None if inner
                .forgotten
                .get(&id.index())
                .is_some_and(|last| id.generation() <= *last) =>
            {
                Remembered::Forgotten
            }
            None => Remembered::Reason(ExitReason::Normal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abnormal_ends_are_remembered_and_then_known_to_be_forgotten() {
        let exits = Exits::default();
        exits.remember(Id::new(1, 0), &ExitReason::Killed);
        exits.remember(Id::new(2, 0), &ExitReason::Normal);
        assert_eq!(exits.of(Id::new(1, 0)), Remembered::Reason(ExitReason::Killed));
        assert_eq!(exits.of(Id::new(2, 0)), Remembered::Reason(ExitReason::Normal));
        for generation in 1..=Exits::LEN_MAX as u32 {
            exits.remember(Id::new(1, generation), &ExitReason::Exit(3));
        }
        assert_eq!(exits.of(Id::new(1, 0)), Remembered::Forgotten);
        assert_eq!(exits.of(Id::new(1, 1)), Remembered::Reason(ExitReason::Exit(3)));
        assert_eq!(exits.of(Id::new(2, 0)), Remembered::Reason(ExitReason::Normal));
    }
}
