//! The mail of an actor that is neither a call nor a cast.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Next;
use crate::channel::Message;
use crate::codec::{self, DefaultCodec};
use crate::exit::ExitReason;
use crate::mailbox::tag_of;
use crate::process::{Monitor, Process, this_process};

/// Mail that is passed to [`Actor::handle_info`](super::Actor::handle_info).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Info {
    /// A linked process has exited, or a process has sent an exit signal. Only an actor that [traps
    /// exits](crate::process::trap_exit) gets this. The exit of the actor's parent is not passed on: it stops the
    /// actor.
    Exit {
        /// The process that has exited or sent the signal.
        from: Process,
        /// The reason.
        reason: ExitReason,
    },
    /// A process that this one [monitors](Process::monitor) has exited.
    Down {
        /// The monitor, which sends no more mail.
        monitor: Monitor,
        /// The exit reason.
        reason: ExitReason,
    },
    /// A message that is neither a call nor a cast of this actor.
    Message(AnyMessage),
}

/// A message whose type is not known yet: it was sent to an [`Address`](crate::Address) of the actor's process, by a
/// timer for example, or to a group that the process is in.
///
/// # Examples
///
/// ```no_run
/// use std::time::Duration;
///
/// use lunatic::actor::{Actor, Info, Next};
/// use lunatic::{ExitReason, Mailbox, timer};
/// use serde::{Deserialize, Serialize};
///
/// struct Clock {
///     ticks: u64,
/// }
///
/// #[derive(Serialize, Deserialize)]
/// struct Tick;
///
/// impl Actor for Clock {
///     type Args = ();
///     type Call = ();
///     type Cast = ();
///
///     fn init((): ()) -> Result<Self, ExitReason> {
///         timer::send_interval(Mailbox::new().address(), Tick, Duration::from_secs(1));
///         Ok(Clock { ticks: 0 })
///     }
///
///     fn handle_info(&mut self, info: Info) -> Next {
///         if let Info::Message(message) = info
///             && let Ok(Tick) = message.read()
///         {
///             self.ticks += 1;
///         }
///         Next::Continue
///     }
/// }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct AnyMessage {
    tag: u64,
    bytes: Vec<u8>,
}

impl AnyMessage {
    pub(super) fn new(tag: u64, bytes: &[u8]) -> Self {
        let bytes = bytes.to_vec();
        Self { tag, bytes }
    }

    /// Decodes the message, if it was sent to an [`Address<M>`](crate::Address).
    ///
    /// # Errors
    ///
    /// The message itself, if it is not an `M`.
    pub fn read<M: Message>(self) -> Result<M, Self> {
        self.read_topic("")
    }

    /// Decodes the message, if it was sent to an address of this [topic](crate::Mailbox::topic).
    ///
    /// # Errors
    ///
    /// The message itself, if it is not an `M` or has another topic.
    pub fn read_topic<M: Message>(self, topic: &str) -> Result<M, Self> {
        if self.tag != tag_of::<M>(topic) {
            return Err(self);
        }
        codec::decode::<DefaultCodec, M>(&self.bytes).map_err(|_| self)
    }
}

/// Shows only the length, because the type is not known.
impl fmt::Debug for AnyMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AnyMessage({} bytes)", self.bytes.len())
    }
}

/// The default for mail that an actor of type `A` does not handle.
pub(crate) fn ignore<A>(info: Info) -> Next {
    // One report is enough for the programmer; one for each message would let a sender fill the disk.
    static IS_REPORTED: AtomicBool = AtomicBool::new(false);
    if let Info::Message(message) = info
        && !IS_REPORTED.swap(true, Ordering::Relaxed)
    {
        eprintln!(
            "process {} drops a message of {} bytes, as `{}` has no `handle_info` that takes it; it will not report more",
            this_process(),
            message.bytes.len(),
            std::any::type_name::<A>()
        );
    }
    Next::Continue
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_as_the_type_and_topic_it_was_sent_as() {
        let message = AnyMessage::new(tag_of::<u8>("bells"), &[7]);
        let message = message.read::<u8>().unwrap_err();
        let message = message.read_topic::<u16>("bells").unwrap_err();
        assert_eq!(format!("{message:?}"), "AnyMessage(1 bytes)");
        assert_eq!(message.read_topic::<u8>("bells"), Ok(7));
        let forged = AnyMessage::new(tag_of::<u64>(""), &[7]);
        assert_eq!(forged.clone().read::<u64>(), Err(forged));
    }
}
