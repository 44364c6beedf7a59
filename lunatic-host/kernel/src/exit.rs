//! Exit reasons: how processes end.

use std::fmt;

use lunatic_sys::codes;
use lunatic_sys::reason::RawReason;

/// The names of the kinds of reasons in figures, in the order of [`codes::exit`].
pub const KINDS: [&str; 14] = [
    "normal",
    "exit",
    "panic",
    "trap",
    "killed",
    "forgotten",
    "shutdown",
    "error",
    "out_of_memory",
    "out_of_budget",
    "deadlock",
    "no_process",
    "node_gone",
    "host_bug",
];

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
    /// It trapped, in this way.
    Trap(Trap),
    /// It was killed.
    Killed,
    /// It ended abnormally, and the reason has been forgotten since.
    Forgotten,
    /// It was asked to shut down in order.
    Shutdown,
    /// It exited, or was ended, with this error.
    Error(String),
    /// It reached its memory limit; the text says how it ended.
    OutOfMemory(String),
    /// It used up its computing budget.
    OutOfBudget,
    /// No process of the system could ever run again; the text says which process waited for what.
    Deadlock(String),
    /// It was linked to a process that had already ended.
    NoProcess,
    /// The connection to its node was lost, or did not exist.
    NodeGone(Loss),
    /// The host failed while working for it: a bug in Lunatic.
    HostBug(String),
}

/// How the connection to a node was lost; the numbers are those of [`codes::loss`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
#[repr(i32)]
pub enum Loss {
    /// There was no connection.
    Unconnected = codes::loss::UNCONNECTED,
    /// The node has left, or its machine has closed the connection.
    Closed = codes::loss::CLOSED,
    /// Nothing was received from the node for too long.
    Silent = codes::loss::SILENT,
    /// A part of what the node sent was lost on the way.
    Gap = codes::loss::GAP,
    /// The node has reset the connection.
    Reset = codes::loss::RESET,
    /// The node was restarted.
    Replaced = codes::loss::REPLACED,
    /// The node violated the protocol.
    Violation = codes::loss::VIOLATION,
    /// The node did not accept what was sent to it.
    Overflow = codes::loss::OVERFLOW,
}

impl Loss {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Unconnected,
        Self::Closed,
        Self::Silent,
        Self::Gap,
        Self::Reset,
        Self::Replaced,
        Self::Violation,
        Self::Overflow,
    ];

    /// Returns the loss with this number; [`Unconnected`](Self::Unconnected) if the number is unknown.
    pub fn of(number: i32) -> Self {
        let place = usize::try_from(number).ok();
        place
            .and_then(|place| Self::ALL.get(place))
            .copied()
            .unwrap_or(Self::Unconnected)
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unconnected => "it is not connected",
            Self::Closed => "the connection was closed",
            Self::Silent => "it was silent for too long",
            Self::Gap => "a frame was lost",
            Self::Reset => "it reset the connection",
            Self::Replaced => "it was restarted",
            Self::Violation => "it violated the protocol",
            Self::Overflow => "it did not accept data",
        })
    }
}

/// How a process trapped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trap {
    /// One of [`codes::trap`].
    pub code: i32,
    /// The trap in words.
    pub text: String,
}

impl From<&str> for Trap {
    fn from(text: &str) -> Self {
        Self {
            code: codes::trap::OTHER,
            text: text.into(),
        }
    }
}

impl std::ops::Deref for Trap {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl ExitReason {
    /// Returns the exit code of a program whose main process ended for this reason.
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::Normal | Self::Shutdown => 0,
            Self::Exit(code) => *code,
            Self::Panic(_) => 101,
            Self::Trap(_) | Self::OutOfMemory(_) | Self::HostBug(_) => 134,
            Self::Killed => 137,
            Self::Deadlock(_) => 70,
            Self::Error(_) | Self::Forgotten | Self::OutOfBudget | Self::NoProcess | Self::NodeGone(_) => 1,
        }
    }

    /// Returns its text; empty if it has none.
    pub fn text(&self) -> &str {
        match self {
            Self::Trap(trap) => &trap.text,
            Self::Panic(text)
            | Self::Error(text)
            | Self::OutOfMemory(text)
            | Self::Deadlock(text)
            | Self::HostBug(text) => text,
            _ => "",
        }
    }

    /// Returns the kind of the reason, and its bytes as [`codes::exit`] describes them.
    pub fn to_bytes(&self) -> (i32, Vec<u8>) {
        let raw = self.to_raw();
        (raw.kind, raw.encode())
    }

    /// Returns the index of its kind in [`KINDS`].
    pub fn kind(&self) -> usize {
        self.to_raw().kind as usize
    }

    fn to_raw(&self) -> RawReason<'_> {
        use codes::exit::*;
        let (kind, detail) = match self {
            Self::Normal => (NORMAL, 0),
            Self::Exit(code) => (EXIT, *code),
            Self::Panic(_) => (PANIC, 0),
            Self::Trap(trap) => (TRAP, trap.code),
            Self::Killed => (KILLED, 0),
            Self::Forgotten => (FORGOTTEN, 0),
            Self::Shutdown => (SHUTDOWN, 0),
            Self::Error(_) => (ERROR, 0),
            Self::OutOfMemory(_) => (OUT_OF_MEMORY, 0),
            Self::OutOfBudget => (OUT_OF_BUDGET, 0),
            Self::Deadlock(_) => (DEADLOCK, 0),
            Self::NoProcess => (NO_PROCESS, 0),
            Self::NodeGone(loss) => (NODE_GONE, *loss as i32),
            Self::HostBug(_) => (HOST_BUG, 0),
        };
        RawReason::new(kind, detail, self.text())
    }

    /// Returns the reason that a guest wrote; `None` if the bytes are invalid.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        use codes::exit::*;
        let RawReason { kind, detail, text } = RawReason::decode(bytes)?;
        let text = text.into_owned();
        Some(match kind {
            NORMAL => Self::Normal,
            EXIT if detail == 0 => Self::Normal,
            EXIT => Self::Exit(detail),
            PANIC => Self::Panic(text),
            TRAP => Self::Trap(Trap { code: detail, text }),
            KILLED => Self::Killed,
            FORGOTTEN => Self::Forgotten,
            SHUTDOWN => Self::Shutdown,
            ERROR => Self::Error(text),
            OUT_OF_MEMORY => Self::OutOfMemory(text),
            OUT_OF_BUDGET => Self::OutOfBudget,
            DEADLOCK => Self::Deadlock(text),
            NO_PROCESS => Self::NoProcess,
            NODE_GONE => Self::NodeGone(Loss::of(detail)),
            HOST_BUG => Self::HostBug(text),
            _ => return None,
        })
    }
}

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normal => write!(f, "ended normally"),
            Self::Exit(code) => write!(f, "exited with code {code}"),
            Self::Panic(message) => write!(f, "panicked: {message}"),
            Self::Trap(Trap { text, .. }) | Self::OutOfMemory(text) => write!(f, "trapped: {text}"),
            Self::Killed => write!(f, "was killed"),
            Self::Forgotten => write!(f, "ended long ago; its exit reason is no longer known"),
            Self::Shutdown => write!(f, "was shut down"),
            Self::Error(text) => write!(f, "ended with an error: {text}"),
            Self::OutOfBudget => write!(f, "used up its budget"),
            Self::Deadlock(report) => write!(f, "{report}"),
            Self::NoProcess => write!(f, "was linked to a process that had ended"),
            Self::NodeGone(loss) => write!(f, "was lost with its node: {loss}"),
            Self::HostBug(text) => write!(f, "hit a bug in the host: {text}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reason_bytes_are_read_as_they_were_written_and_nothing_else_is_read() {
        let reasons = [
            ExitReason::Normal,
            ExitReason::Exit(-3),
            ExitReason::Panic("no".into()),
            ExitReason::Trap(Trap {
                code: codes::trap::OVERFLOW,
                text: "how".into(),
            }),
            ExitReason::Killed,
            ExitReason::Forgotten,
            ExitReason::Shutdown,
            ExitReason::Error("an error".into()),
            ExitReason::OutOfMemory("all gone".into()),
            ExitReason::OutOfBudget,
            ExitReason::Deadlock("who".into()),
            ExitReason::NoProcess,
            ExitReason::NodeGone(Loss::Gap),
            ExitReason::HostBug("sorry".into()),
        ];
        assert_eq!(reasons.len(), KINDS.len());
        for (kind, reason) in reasons.into_iter().enumerate() {
            let (number, bytes) = reason.to_bytes();
            assert_eq!((number, reason.kind()), (kind as i32, kind));
            assert_eq!(ExitReason::from_bytes(&bytes), Some(reason));
            assert_eq!(ExitReason::from_bytes(&bytes[..7]), None);
        }
        for (number, loss) in Loss::ALL.into_iter().enumerate() {
            assert_eq!((Loss::of(number as i32), loss as usize), (loss, number));
        }
        assert_eq!(ExitReason::from_bytes(&[14, 0, 0, 0, 0, 0, 0, 0]), None);
        assert_eq!(ExitReason::from_bytes(&[7, 0, 0, 0, 0, 0, 0, 0, 0xff]), None);
    }
}
