//! Exit reasons.

use std::fmt;

use lunatic_sys::codes::{REASON_TEXT_LEN_MAX, exit, trap};
use lunatic_sys::reason::RawReason;
use serde::{Deserialize, Serialize};

/// Why a process exited.
///
/// Later hosts may add reasons that this program does not know: end a `match` with an arm for all others.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ExitReason {
    /// Its entry function returned, or it called [`std::process::exit`] with 0.
    Normal,
    /// It was asked to stop in an orderly way, as supervisors ask their children.
    Shutdown,
    /// It was killed.
    Killed,
    /// It called [`std::process::exit`] with this code, which is not 0.
    Exit(i32),
    /// It panicked with this message.
    Panic(String),
    /// It exited with this error by [`exit`](crate::process::exit), or another process made it exit with this error.
    Error(String),
    /// It trapped: it did something that WebAssembly forbids.
    Trap {
        /// The kind of trap.
        code: TrapCode,
        /// A description of the trap.
        text: String,
    },
    /// It reached the limit of its memory; the text describes how it failed then.
    OutOfMemory(String),
    /// It used up its budget of processor time.
    OutOfBudget,
    /// No process of its system could ever run again; the text lists which process was waiting for what.
    Deadlock(String),
    /// There was no such process: it had exited before a link to it was made.
    NoProcess,
    /// The connection to its node was lost.
    NodeGone,
    /// It exited so long ago that the host no longer knows the reason.
    Forgotten,
    /// A bug of the host ended the process; the text describes it.
    HostBug(String),
}

/// The kind of a trap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum TrapCode {
    /// It executed `unreachable`: an abort.
    Unreachable,
    /// It accessed memory outside its bounds.
    OutOfBounds,
    /// Its stack overflowed.
    StackOverflow,
    /// An integer overflowed, or a number did not fit into an integer type.
    Overflow,
    /// It divided by zero.
    DivisionByZero,
    /// It called through an invalid function pointer.
    BadCall,
    /// Another kind; the text of the reason describes it.
    Other,
}

impl TrapCode {
    const ALL: [(Self, i32); 7] = [
        (Self::Other, trap::OTHER),
        (Self::Unreachable, trap::UNREACHABLE),
        (Self::OutOfBounds, trap::OUT_OF_BOUNDS),
        (Self::StackOverflow, trap::STACK_OVERFLOW),
        (Self::Overflow, trap::OVERFLOW),
        (Self::DivisionByZero, trap::DIVISION_BY_ZERO),
        (Self::BadCall, trap::BAD_CALL),
    ];

    fn number(self) -> i32 {
        let known = Self::ALL.iter().find(|(code, _)| *code == self);
        known.map_or(trap::OTHER, |(_, number)| *number)
    }

    fn from_number(number: i32) -> Self {
        let known = Self::ALL.iter().find(|(_, other)| *other == number);
        known.map_or(Self::Other, |(code, _)| *code)
    }
}

impl ExitReason {
    /// Returns whether the reason is [`Normal`](Self::Normal): the process completed its work.
    #[must_use]
    pub fn is_normal(&self) -> bool {
        matches!(self, Self::Normal)
    }

    /// Returns whether the exit was orderly: [`Normal`](Self::Normal) or [`Shutdown`](Self::Shutdown). After any other
    /// exit, supervisors restart a transient child.
    #[must_use]
    pub fn is_orderly(&self) -> bool {
        matches!(self, Self::Normal | Self::Shutdown)
    }

    /// Encodes the reason for the host: kind, detail, text.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let (kind, detail, text) = match self {
            Self::Normal => (exit::NORMAL, 0, ""),
            Self::Exit(code) => (exit::EXIT, *code, ""),
            Self::Panic(text) => (exit::PANIC, 0, text.as_str()),
            Self::Trap { code, text } => (exit::TRAP, code.number(), text.as_str()),
            Self::Killed => (exit::KILLED, 0, ""),
            Self::Forgotten => (exit::FORGOTTEN, 0, ""),
            Self::Shutdown => (exit::SHUTDOWN, 0, ""),
            Self::Error(text) => (exit::ERROR, 0, text.as_str()),
            Self::OutOfMemory(text) => (exit::OUT_OF_MEMORY, 0, text.as_str()),
            Self::OutOfBudget => (exit::OUT_OF_BUDGET, 0, ""),
            Self::Deadlock(text) => (exit::DEADLOCK, 0, text.as_str()),
            Self::NoProcess => (exit::NO_PROCESS, 0, ""),
            Self::NodeGone => (exit::NODE_GONE, 0, ""),
            Self::HostBug(text) => (exit::HOST_BUG, 0, text.as_str()),
        };
        let text = &text[..text.floor_char_boundary(REASON_TEXT_LEN_MAX)];
        RawReason::new(kind, detail, text).encode()
    }

    /// Decodes a reason from the host. A kind that this SDK does not know becomes an [`Error`](Self::Error) that says
    /// so.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Self {
        let raw = RawReason::decode_lossy(bytes);
        let RawReason { kind, detail, text } = raw.expect("reason bytes begin with two numbers");
        let text = text.into_owned();
        match kind {
            exit::NORMAL => Self::Normal,
            exit::EXIT => Self::Exit(detail),
            exit::PANIC => Self::Panic(text),
            exit::TRAP => Self::Trap {
                code: TrapCode::from_number(detail),
                text,
            },
            exit::KILLED => Self::Killed,
            exit::FORGOTTEN => Self::Forgotten,
            exit::SHUTDOWN => Self::Shutdown,
            exit::ERROR => Self::Error(text),
            exit::OUT_OF_MEMORY => Self::OutOfMemory(text),
            exit::OUT_OF_BUDGET => Self::OutOfBudget,
            exit::DEADLOCK => Self::Deadlock(text),
            exit::NO_PROCESS => Self::NoProcess,
            exit::NODE_GONE => Self::NodeGone,
            exit::HOST_BUG => Self::HostBug(text),
            other => Self::Error(format!(
                "reason {other} of the host, which this program does not know: {text}"
            )),
        }
    }
}

/// Displayed as a predicate that completes a sentence beginning with "the process".
impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normal => f.write_str("ended normally"),
            Self::Shutdown => f.write_str("was shut down"),
            Self::Killed => f.write_str("was killed"),
            Self::Exit(code) => write!(f, "exited with code {code}"),
            Self::Panic(message) => write!(f, "panicked: {message}"),
            Self::Error(text) => write!(f, "ended with an error: {text}"),
            Self::Trap { text, .. } | Self::OutOfMemory(text) => write!(f, "trapped: {text}"),
            Self::OutOfBudget => f.write_str("used up its budget"),
            Self::Deadlock(text) => write!(f, "was in a deadlock: {text}"),
            Self::NoProcess => f.write_str("had ended before"),
            Self::NodeGone => f.write_str("was lost with its node"),
            Self::Forgotten => f.write_str("ended long ago; its exit reason is no longer known"),
            Self::HostBug(text) => write!(f, "hit a bug in the host: {text}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_read_as_it_was_written_and_has_its_sentence() {
        let sentences = [
            (ExitReason::Normal, "ended normally"),
            (ExitReason::Shutdown, "was shut down"),
            (ExitReason::Killed, "was killed"),
            (ExitReason::Exit(-2), "exited with code -2"),
            (ExitReason::Panic("no".into()), "panicked: no"),
            (ExitReason::Error("odd".into()), "ended with an error: odd"),
            (
                ExitReason::OutOfMemory("out of memory".into()),
                "trapped: out of memory",
            ),
            (ExitReason::OutOfBudget, "used up its budget"),
            (ExitReason::Deadlock("all wait".into()), "was in a deadlock: all wait"),
            (ExitReason::NoProcess, "had ended before"),
            (ExitReason::NodeGone, "was lost with its node"),
            (
                ExitReason::Forgotten,
                "ended long ago; its exit reason is no longer known",
            ),
            (ExitReason::HostBug("sorry".into()), "hit a bug in the host: sorry"),
        ];
        for (reason, sentence) in sentences {
            assert_eq!(ExitReason::from_bytes(&reason.to_bytes()), reason);
            assert_eq!(reason.to_string(), sentence);
        }
        for (code, _) in TrapCode::ALL {
            let reason = ExitReason::Trap {
                code,
                text: "how".into(),
            };
            assert_eq!(ExitReason::from_bytes(&reason.to_bytes()), reason);
            assert_eq!(reason.to_string(), "trapped: how");
        }
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let reason = ExitReason::Error("é".repeat(REASON_TEXT_LEN_MAX));
        let ExitReason::Error(text) = ExitReason::from_bytes(&reason.to_bytes()) else {
            panic!("it stays an error");
        };
        assert_eq!(text.len(), REASON_TEXT_LEN_MAX);
        assert!(text.chars().all(|letter| letter == 'é'));
    }

    #[test]
    fn a_reason_of_a_later_host_says_so() {
        let bytes = [&99_i32.to_le_bytes()[..], &[0; 4], b"new"].concat();
        assert_eq!(
            ExitReason::from_bytes(&bytes).to_string(),
            "ended with an error: reason 99 of the host, which this program does not know: new"
        );
    }
}
