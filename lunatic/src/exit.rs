//! How processes end.

use std::fmt;

use lunatic_sys::codes::exit;
use serde::{Deserialize, Serialize};

use crate::host;

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ExitReason {
    /// Its entry function returned, or it called [`std::process::exit`] with 0.
    Normal,
    /// It called [`std::process::exit`] with this code, which is not 0.
    Exit(i32),
    /// It panicked, with this message.
    Panic(String),
    /// It did what WebAssembly forbids (an access out of bounds, a stack overflow, `unreachable`) or broke a limit; the
    /// text says what.
    Trap(String),
    /// It was killed.
    Killed,
    /// It ended so long ago that the host no longer knows how.
    Forgotten,
}

impl ExitReason {
    /// Whether the process did all it wanted to do.
    #[must_use]
    pub fn is_normal(&self) -> bool {
        matches!(self, Self::Normal)
    }

    /// The meaning of a result of `process::join`; `text` fetches what the host left in the buffer.
    pub(crate) fn from_code(code: i32, text: impl FnOnce() -> String) -> Self {
        match code {
            exit::NORMAL => Self::Normal,
            exit::EXIT => {
                let text = text();
                Self::Exit(
                    text.parse()
                        .unwrap_or_else(|_| panic!("the host gave `{text}` as an exit code")),
                )
            }
            exit::PANIC => Self::Panic(text()),
            exit::TRAP => Self::Trap(text()),
            exit::KILLED => Self::Killed,
            exit::FORGOTTEN => Self::Forgotten,
            _ => host::unknown_code(code),
        }
    }
}

/// A sentence without its subject, to be put behind "the process".
impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normal => f.write_str("ended normally"),
            Self::Exit(code) => write!(f, "exited with code {code}"),
            Self::Panic(message) => write!(f, "panicked: {message}"),
            Self::Trap(reason) => write!(f, "trapped: {reason}"),
            Self::Killed => f.write_str("was killed"),
            Self::Forgotten => f.write_str("ended long ago, nobody knows how"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_reason_and_sentence() {
        let check = |code, text: &str, reason: ExitReason, sentence: &str| {
            assert_eq!(ExitReason::from_code(code, || text.to_owned()), reason);
            assert_eq!(reason.to_string(), sentence);
            assert_eq!(reason.is_normal(), code == exit::NORMAL);
        };
        check(exit::NORMAL, "", ExitReason::Normal, "ended normally");
        check(exit::EXIT, "7", ExitReason::Exit(7), "exited with code 7");
        check(exit::EXIT, "-2", ExitReason::Exit(-2), "exited with code -2");
        check(exit::PANIC, "no", ExitReason::Panic("no".into()), "panicked: no");
        check(
            exit::TRAP,
            "stack overflow",
            ExitReason::Trap("stack overflow".into()),
            "trapped: stack overflow",
        );
        check(exit::KILLED, "", ExitReason::Killed, "was killed");
        check(
            exit::FORGOTTEN,
            "",
            ExitReason::Forgotten,
            "ended long ago, nobody knows how",
        );
    }

    #[test]
    #[should_panic(expected = "unknown code 99")]
    fn unknown_codes_say_so() {
        ExitReason::from_code(99, String::new);
    }
}
