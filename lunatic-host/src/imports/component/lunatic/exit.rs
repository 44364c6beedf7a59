//! Exit reasons of processes.

use lunatic_kernel::exit::{ExitReason, Loss, Trap};
use lunatic_sys::codes::{REASON_TEXT_LEN_MAX, trap};
use lunatic_sys::reason::RawReason;
use wasmtime::component::{ComponentType, Lift, Lower};
use wasmtime::{Error, Result};

/// Why a process exited.
#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
pub(super) enum Reason {
    #[component(name = "normal")]
    Normal,
    #[component(name = "exit")]
    Exit(i32),
    #[component(name = "panic")]
    Panic(String),
    #[component(name = "trap")]
    Trap(Trapped),
    #[component(name = "killed")]
    Killed,
    #[component(name = "forgotten")]
    Forgotten,
    #[component(name = "shutdown")]
    Shutdown,
    #[component(name = "error")]
    Error(String),
    #[component(name = "out-of-memory")]
    OutOfMemory(String),
    #[component(name = "out-of-budget")]
    OutOfBudget,
    #[component(name = "deadlock")]
    Deadlock(String),
    #[component(name = "no-process")]
    NoProcess,
    #[component(name = "node-gone")]
    NodeGone(Lost),
    #[component(name = "host-bug")]
    HostBug(String),
}

/// A trap.
#[derive(ComponentType, Lift, Lower)]
#[component(record)]
pub(super) struct Trapped {
    kind: Kind,
    text: String,
}

/// How a process trapped; the numbers are those of [`trap`].
#[derive(ComponentType, Lift, Lower, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
pub(super) enum Kind {
    #[component(name = "other")]
    Other,
    #[component(name = "unreachable")]
    Unreachable,
    #[component(name = "out-of-bounds")]
    OutOfBounds,
    #[component(name = "stack-overflow")]
    StackOverflow,
    #[component(name = "overflow")]
    Overflow,
    #[component(name = "division-by-zero")]
    DivisionByZero,
    #[component(name = "bad-call")]
    BadCall,
}

/// How the connection to a node was lost; the numbers are those of [`Loss`].
#[derive(ComponentType, Lift, Lower, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
pub(super) enum Lost {
    #[component(name = "unconnected")]
    Unconnected,
    #[component(name = "closed")]
    Closed,
    #[component(name = "silent")]
    Silent,
    #[component(name = "gap")]
    Gap,
    #[component(name = "reset")]
    Reset,
    #[component(name = "replaced")]
    Replaced,
    #[component(name = "violation")]
    Violation,
    #[component(name = "overflow")]
    Overflow,
}

impl Kind {
    fn of(code: i32) -> Self {
        match code {
            trap::UNREACHABLE => Self::Unreachable,
            trap::OUT_OF_BOUNDS => Self::OutOfBounds,
            trap::STACK_OVERFLOW => Self::StackOverflow,
            trap::OVERFLOW => Self::Overflow,
            trap::DIVISION_BY_ZERO => Self::DivisionByZero,
            trap::BAD_CALL => Self::BadCall,
            _ => Self::Other,
        }
    }
}

impl From<Loss> for Lost {
    fn from(loss: Loss) -> Self {
        match loss {
            Loss::Closed => Self::Closed,
            Loss::Silent => Self::Silent,
            Loss::Gap => Self::Gap,
            Loss::Reset => Self::Reset,
            Loss::Replaced => Self::Replaced,
            Loss::Violation => Self::Violation,
            Loss::Overflow => Self::Overflow,
            _ => Self::Unconnected,
        }
    }
}

impl From<ExitReason> for Reason {
    fn from(reason: ExitReason) -> Self {
        match reason {
            ExitReason::Normal => Self::Normal,
            ExitReason::Exit(code) => Self::Exit(code),
            ExitReason::Panic(text) => Self::Panic(text),
            ExitReason::Trap(Trap { code, text }) => Self::Trap(Trapped {
                kind: Kind::of(code),
                text,
            }),
            ExitReason::Killed => Self::Killed,
            ExitReason::Shutdown => Self::Shutdown,
            ExitReason::Error(text) => Self::Error(text),
            ExitReason::OutOfMemory(text) => Self::OutOfMemory(text),
            ExitReason::OutOfBudget => Self::OutOfBudget,
            ExitReason::Deadlock(text) => Self::Deadlock(text),
            ExitReason::NoProcess => Self::NoProcess,
            ExitReason::NodeGone(loss) => Self::NodeGone(loss.into()),
            ExitReason::HostBug(text) => Self::HostBug(text),
            // Also a reason that this version of the interface does not have.
            _ => Self::Forgotten,
        }
    }
}

impl Reason {
    /// The reason in an entry of a mailbox. A text that is longer than processes may write is cut.
    pub(super) fn of_bytes(bytes: &[u8]) -> Self {
        let read = RawReason::decode_lossy(bytes).and_then(|raw| {
            let text = &raw.text[..raw.text.floor_char_boundary(REASON_TEXT_LEN_MAX)];
            ExitReason::from_bytes(&RawReason::new(raw.kind, raw.detail, text).encode())
        });
        read.map_or(Self::Forgotten, Self::from)
    }

    /// The reason that a process passes to the host.
    ///
    /// # Errors
    ///
    /// If its text is too long.
    pub(super) fn checked(self) -> Result<ExitReason> {
        let reason = match self {
            Self::Normal | Self::Exit(0) => ExitReason::Normal,
            Self::Exit(code) => ExitReason::Exit(code),
            Self::Panic(text) => ExitReason::Panic(text),
            Self::Trap(Trapped { kind, text }) => ExitReason::Trap(Trap {
                code: kind as i32,
                text,
            }),
            Self::Killed => ExitReason::Killed,
            Self::Forgotten => ExitReason::Forgotten,
            Self::Shutdown => ExitReason::Shutdown,
            Self::Error(text) => ExitReason::Error(text),
            Self::OutOfMemory(text) => ExitReason::OutOfMemory(text),
            Self::OutOfBudget => ExitReason::OutOfBudget,
            Self::Deadlock(text) => ExitReason::Deadlock(text),
            Self::NoProcess => ExitReason::NoProcess,
            Self::NodeGone(lost) => ExitReason::NodeGone(Loss::of(lost as i32)),
            Self::HostBug(text) => ExitReason::HostBug(text),
        };
        if reason.text().len() > REASON_TEXT_LEN_MAX {
            let text = format!("the text of a reason has at most {REASON_TEXT_LEN_MAX} bytes");
            return Err(Error::msg(text));
        }
        Ok(reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_survive_the_way_into_a_component_and_back() {
        let text = || String::from("why");
        let mut reasons = vec![
            ExitReason::Normal,
            ExitReason::Exit(-3),
            ExitReason::Panic(text()),
            ExitReason::Killed,
            ExitReason::Forgotten,
            ExitReason::Shutdown,
            ExitReason::Error(text()),
            ExitReason::OutOfMemory(text()),
            ExitReason::OutOfBudget,
            ExitReason::Deadlock(text()),
            ExitReason::NoProcess,
            ExitReason::HostBug(text()),
        ];
        reasons.extend(Loss::ALL.map(ExitReason::NodeGone));
        reasons.extend((trap::OTHER..=trap::BAD_CALL).map(|code| ExitReason::Trap(Trap { code, text: text() })));
        for reason in reasons {
            assert_eq!(Reason::from(reason.clone()).checked().unwrap(), reason);
            assert_eq!(Reason::of_bytes(&reason.to_bytes().1).checked().unwrap(), reason);
        }
        let long = Reason::Error("x".repeat(REASON_TEXT_LEN_MAX + 1));
        assert!(long.checked().is_err());
        let long = ExitReason::Error("ä".repeat(REASON_TEXT_LEN_MAX)).to_bytes().1;
        let cut = Reason::of_bytes(&long).checked().unwrap();
        assert_eq!(cut.text().len(), REASON_TEXT_LEN_MAX);
    }
}
