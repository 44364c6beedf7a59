//! Timers: messages that come later.
//!
//! A timer belongs to the process it sends to, as in OTP: it ends with that process, not with the one that set it. That one
//! pays for it: the time that the host needs to send the message is charged to its budget, if it has one.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::channel::Message;
use crate::codec::{self, DefaultCodec, EncodeError, Scratch};
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

/// Why a timer was not set.
#[derive(Debug)]
#[non_exhaustive]
pub enum TimerError {
    /// The process that it sends to has ended.
    Closed,
    /// The process that it sends to has 65,536 timers; or 32,768, and it is another process that sets one more.
    TooMany,
    /// The handle of the process was never given out.
    Invalid,
    /// The host has reached a limit; in words.
    Limit(String),
    /// The message cannot be written.
    Encode(EncodeError),
}

impl fmt::Display for TimerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the process has ended"),
            Self::TooMany => {
                f.write_str("the process has as many timers as it may: cancel some, or use several processes")
            }
            Self::Invalid => f.write_str("the host has not given out this handle"),
            Self::Limit(limit) => write!(f, "the host cannot take the message: {limit}"),
            Self::Encode(error) => error.fmt(f),
        }
    }
}

impl Error for TimerError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            // The error itself is shown in its place.
            Self::Encode(error) => error.source(),
            _ => None,
        }
    }
}

/// Sends a message after `delay`. If the process has ended by then, nothing happens.
///
/// # Panics
///
/// If the message cannot be written, the host has no room for it, or the process has as many timers as it may.
/// [`try_send_after`] returns all these as errors.
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
    expect_set(to, try_send_after(to, &message, delay))
}

/// As [`send_after`], and never panics.
///
/// # Errors
///
/// [`TimerError`] says why the timer was not set.
pub fn try_send_after<M: Message>(to: Address<M>, message: &M, delay: Duration) -> Result<Timer, TimerError> {
    set(to, message, delay, Duration::ZERO)
}

/// Sends a message after each `interval`, until it is cancelled or the process ends. Intervals do not drift: the tenth
/// message is due ten intervals from now. They are at least a millisecond long. If the host is late, it sends once, and then at
/// the next time that is still to come: what it has missed it does not catch up with.
///
/// # Panics
///
/// As [`send_after`].
pub fn send_interval<M: Message>(to: Address<M>, message: M, interval: Duration) -> Timer {
    expect_set(to, try_send_interval(to, &message, interval))
}

/// As [`send_interval`], and never panics.
///
/// # Errors
///
/// [`TimerError`] says why the timer was not set.
pub fn try_send_interval<M: Message>(to: Address<M>, message: &M, interval: Duration) -> Result<Timer, TimerError> {
    let interval = interval.max(Duration::from_millis(1));
    set(to, message, interval, interval)
}

fn set<M: Message>(to: Address<M>, message: &M, delay: Duration, interval: Duration) -> Result<Timer, TimerError> {
    let mut bytes = Scratch::new();
    codec::encode_for_many::<DefaultCodec, M>(message, &mut bytes).map_err(TimerError::Encode)?;
    let (delay, interval) = (host::timeout_ns(delay), host::timeout_ns(interval));
    let timer = mail::send_after(to.raw(), to.tag(), bytes.as_slice(), delay, interval);
    timer.map(Timer).map_err(|refused| match refused {
        Refused::Closed => TimerError::Closed,
        Refused::Full => TimerError::TooMany,
        Refused::Limit => TimerError::Limit(host::limit()),
        Refused::Invalid => TimerError::Invalid,
        refused => panic!("the host refused a timer: {refused:?}"),
    })
}

fn expect_set<M>(to: Address<M>, timer: Result<Timer, TimerError>) -> Timer {
    match timer {
        Ok(timer) => timer,
        // No timer has this number: cancelling it says that it sends no more.
        Err(TimerError::Closed) => Timer(0),
        Err(error) => panic!("cannot set a timer for {to}: {}", crate::chain(&error)),
    }
}
