//! Timers: messages that come later.
//!
//! A timer belongs to the process it sends to, as in OTP: it ends with that process, not with the one that set it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::channel::Message;
use crate::codec::{self, DefaultCodec, Scratch};
use crate::host::{self, Refused, mail};
use crate::mailbox::Address;

/// A timer that was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Timer(u64);

impl Timer {
    /// Ends the timer. True if it had still to send; false if it has sent, or its process has ended. A timer at
    /// intervals has always still to send.
    pub fn cancel(self) -> bool {
        mail::cancel(self.0)
    }
}

/// Sends a message after `delay`. If the process has ended by then, nothing happens.
///
/// # Panics
///
/// If the message cannot be written, or the host has no room for it.
///
/// # Examples
///
/// ```no_run
/// use std::time::Duration;
///
/// use lunatic::{Mailbox, timer};
///
/// let bells = Mailbox::<u32>::new();
/// timer::send_after(bells.address(), 7, Duration::from_millis(5));
/// assert_eq!(bells.receive(), 7);
/// ```
pub fn send_after<M: Message>(to: Address<M>, message: M, delay: Duration) -> Timer {
    set(to, &message, delay, Duration::ZERO)
}

/// Sends a message after each `interval`, until it is cancelled or the process ends. Intervals do not drift: the tenth
/// message is due ten intervals from now. They are at least a millisecond long.
///
/// # Panics
///
/// As [`send_after`].
pub fn send_interval<M: Message>(to: Address<M>, message: M, interval: Duration) -> Timer {
    let interval = interval.max(Duration::from_millis(1));
    set(to, &message, interval, interval)
}

fn set<M: Message>(to: Address<M>, message: &M, delay: Duration, interval: Duration) -> Timer {
    let mut bytes = Scratch::new();
    if let Err(error) = codec::encode_for_many::<DefaultCodec, M>(message, &mut bytes) {
        panic!("cannot set a timer for {to}: {}", crate::chain(&error));
    }
    let (delay, interval) = (host::timeout_ns(delay), host::timeout_ns(interval));
    match mail::send_after(to.raw(), to.tag(), bytes.as_slice(), delay, interval) {
        Ok(timer) => Timer(timer),
        // No timer has this number: cancelling it says that it sends no more.
        Err(Refused::Closed) => Timer(0),
        Err(Refused::Limit) => panic!("cannot set a timer for {to}: {}", host::limit()),
        Err(refused) => panic!("the host refused a timer: {refused:?}"),
    }
}
