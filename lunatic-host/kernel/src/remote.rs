//! Signals between processes of different nodes, and what carries them.

use crate::address::Id;
use crate::budget::Receipt;
use crate::channel::SendRefusal;
use crate::errand::{Answer, Errand};
use crate::exit::ExitReason;

/// What one process sends to another, or to a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signal<'a> {
    /// A message for its mailbox.
    Message {
        /// The tag.
        tag: u64,
        /// Its bytes.
        body: &'a [u8],
        /// Its trace context as text; empty if it has none.
        trace: &'a str,
    },
    /// An exit signal, from a link or sent explicitly; [`ExitReason::Killed`] cannot be trapped if `sent`.
    Exit {
        /// The reason.
        reason: ExitReason,
        /// Whether it was sent explicitly, and not because a linked process has ended.
        sent: bool,
    },
    /// Links both processes.
    Link,
    /// Removes the link. The receiver answers with [`Unlinked`](Self::Unlinked).
    Unlink,
    /// The sender has removed the link as asked.
    Unlinked,
    /// Asks to report the end to the sender, under this reference.
    Monitor {
        /// The reference.
        reference: u64,
    },
    /// Withdraws such a request.
    Demonitor {
        /// The reference.
        reference: u64,
    },
    /// Reports the end of the sender, which was monitored under this reference.
    Down {
        /// The reference.
        reference: u64,
        /// Its exit reason.
        reason: ExitReason,
    },
    /// What the sender wants of a channel, which is the receiver.
    Errand {
        /// The sender's number for the errand.
        number: u64,
        /// What it wants.
        errand: Errand<'a>,
    },
    /// The answer of a channel, which is the sender.
    Answered {
        /// The number of the errand.
        number: u64,
        /// The answer.
        answer: Answer<'a>,
    },
}

/// A message of more bytes is paid for by its sender until it has been sent to the other node. Shorter ones are not: few of
/// them wait.
pub(crate) const UNPAID_MAX: usize = 128 << 10;

/// The connection to another node. Everything that is sent through it keeps its order, until the connection ends.
pub trait Remote: Send + Sync {
    /// Takes a signal from `from`, a process or channel of this node, for `to` of the other node. Does not wait.
    ///
    /// # Errors
    ///
    /// [`SendRefusal::Full`] if a message or an errand must wait; other signals are never refused for this. When there is room,
    /// whoever connected the node calls [`Kernel::has_room`](crate::Kernel::has_room). [`SendRefusal::Closed`] if the
    /// connection has ended.
    fn send(&self, from: Id, to: Id, signal: Signal<'_>) -> Result<(), SendRefusal>;

    /// [`send`](Self::send), for a long message. What the sender pays for it is dropped when it has been sent.
    ///
    /// # Errors
    ///
    /// As for [`send`](Self::send).
    fn send_paid(&self, from: Id, to: Id, signal: Signal<'_>, _paid: Receipt) -> Result<(), SendRefusal> {
        self.send(from, to, signal)
    }

    /// Returns whether a message would be accepted, unless it is long.
    fn has_room(&self) -> bool {
        true
    }

    /// Returns whether whatever was last refused to this sender would be accepted.
    fn has_room_for(&self, _sender: Id) -> bool {
        self.has_room()
    }

    /// Returns whether a message would be accepted. If there is no room for it, whoever connected the node says when there
    /// is, as after a message that was refused.
    fn asks_for_room(&self) -> bool {
        self.has_room()
    }
}
