//! Timers: messages that are sent later.
//!
//! As in OTP, a timer belongs to the process that it sends to: it ends with that process, not with the process that set
//! it. The process that set it pays for it: the time that the host needs to send the message is charged to its budget,
//! if it has one.

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
    /// Cancels the timer. Returns true if it had not sent its message yet, and false if it had, or if its process has
    /// exited. For an interval timer the result is true until it is cancelled or its process exits.
    pub fn cancel(self) -> bool {
        mail::cancel(self.0)
    }
}

/// Why a timer could not be set.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimerError {
    /// The process that it sends to has exited.
    Closed,
    /// The process that it sends to has too many timers: 65,536, or 32,768 if another process sets the timer.
    TooMany,
    /// The host never gave out the handle of the process.
    Invalid,
    /// The host has reached a limit, which the text names.
    Limit(String),
    /// The message cannot be encoded.
    Encode(EncodeError),
}

impl fmt::Display for TimerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the process has ended"),
            Self::TooMany => f.write_str("the process has too many timers: cancel some, or use several processes"),
            Self::Invalid => f.write_str("the process does not exist: its handle was not given out by this host"),
            Self::Limit(limit) => write!(f, "the host cannot accept the message: {limit}"),
            Self::Encode(error) => error.fmt(f),
        }
    }
}

impl Error for TimerError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            // `Display` shows this error itself, so its source comes next.
            Self::Encode(error) => error.source(),
            _ => None,
        }
    }
}

/// Sends a message after `delay`. If the process has exited by then, nothing happens.
///
/// # Panics
///
/// If the message cannot be encoded, the host has no room for it, or the process has too many timers.
/// [`try_send_after`] returns these as errors.
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

/// Sets a timer as [`send_after`] does, and never panics.
///
/// # Errors
///
/// [`TimerError`] gives the reason.
pub fn try_send_after<M: Message>(to: Address<M>, message: &M, delay: Duration) -> Result<Timer, TimerError> {
    set(to, message, delay, Duration::ZERO)
}

/// Sends a message after each `interval`, until the timer is cancelled or the process exits.
///
/// The shortest interval is a millisecond. Intervals do not drift: the tenth message is due ten intervals from now. If
/// the host is late, it sends one message and skips the others that were due meanwhile; the next message comes at its
/// regular time.
///
/// # Panics
///
/// As for [`send_after`].
pub fn send_interval<M: Message>(to: Address<M>, message: M, interval: Duration) -> Timer {
    expect_set(to, try_send_interval(to, &message, interval))
}

/// Sets a timer as [`send_interval`] does, and never panics.
///
/// # Errors
///
/// [`TimerError`] gives the reason.
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
        // No timer has this number, so `cancel` returns false.
        Err(TimerError::Closed) => Timer(0),
        Err(error) => panic!("cannot set a timer for {to}: {}", crate::chain(&error)),
    }
}
