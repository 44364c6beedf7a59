//! What processes send to those of other nodes, and what carries it there.

use crate::address::Id;
use crate::channel::SendRefusal;
use crate::exit::ExitReason;

/// What one process sends to another.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signal<'a> {
    /// A message for its mailbox.
    Message {
        /// What it is about.
        tag: u64,
        /// Its bytes.
        body: &'a [u8],
    },
    /// An exit signal, of a link or sent as such; [`ExitReason::Killed`] cannot be trapped if `sent`.
    Exit {
        /// The reason.
        reason: ExitReason,
        /// Sent as such, and not because a linked process has ended.
        sent: bool,
    },
    /// Link both.
    Link,
    /// Take the link away.
    Unlink,
    /// Tell the sender of the end, under this reference.
    Monitor {
        /// The reference.
        reference: u64,
    },
    /// Do not tell.
    Demonitor {
        /// The reference.
        reference: u64,
    },
    /// The sender has ended, which was monitored under this reference.
    Down {
        /// The reference.
        reference: u64,
        /// How it ended.
        reason: ExitReason,
    },
}

/// The way to another node. Everything that is sent through one keeps its order, until the connection ends.
pub trait Remote: Send + Sync {
    /// Takes a signal for `to`, a process of that node, from the process `from` of this one. Does not wait.
    ///
    /// # Errors
    ///
    /// [`SendRefusal::Full`] if a message must wait, which only messages may: when there is room, whoever connected the node
    /// calls [`Kernel::has_room`](crate::Kernel::has_room). [`SendRefusal::Closed`] if the connection has ended.
    fn send(&self, from: Id, to: Id, signal: Signal<'_>) -> Result<(), SendRefusal>;

    /// Whether a message would be taken.
    fn has_room(&self) -> bool {
        true
    }
}
