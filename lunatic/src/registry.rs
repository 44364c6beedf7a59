//! Names of processes, and groups of processes.
//!
//! A name belongs to one process, and a process can have several names. (OTP allows a process only one.) When a process
//! exits, its names become free before any process that is linked to it or monitors it is notified. Names are visible
//! within a scope: that of the main process and its descendants, or one that a spawn began with
//! [`own_names`](crate::process::Builder::own_names).
//!
//! # Panics
//!
//! Everything here panics if a name is empty or has more than 255 bytes, or if the host never gave out a handle.

use std::error::Error;
use std::fmt;

use lunatic_sys::codes::NAME_LEN_MAX;
use serde::{Deserialize, Serialize};

use crate::channel::Message;
use crate::codec::{self, DefaultCodec, Scratch};
use crate::host::{self, Refused, mail};
use crate::mailbox::tag_of;
use crate::process::{Capture, Entry, Process, SpawnError};

pub(crate) fn check(name: &str) -> &str {
    assert!(
        !name.is_empty() && name.len() <= NAME_LEN_MAX,
        "a name has 1 to {NAME_LEN_MAX} bytes, not {}: `{name}`",
        name.len()
    );
    name
}

/// Why a process could not be registered, or could not join a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum RegisterError {
    /// The name is taken, by another process or by this one.
    Taken,
    /// The process has exited.
    Ended,
    /// The calling process does not have the right to register names.
    Denied,
    /// The process has too many names or groups. The limits are 65,536 names and 65,536 groups; other processes can add
    /// only up to half of that. Or the budget of the calling process has no memory left for another name.
    TooMany,
}

impl fmt::Display for RegisterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Taken => "the name is taken",
            Self::Ended => "the process has ended",
            Self::Denied => {
                "the calling process may not register names: its configuration has no `allow(Right::Names)`"
            }
            Self::TooMany => "the process has too many names or groups, or the caller cannot pay for another",
        })
    }
}

impl Error for RegisterError {}

/// Registers a process under a name, until it exits.
///
/// # Errors
///
/// [`RegisterError`].
///
/// # Examples
///
/// ```no_run
/// use lunatic::{registry, this_process};
///
/// registry::register("clerk", this_process()).unwrap();
/// assert_eq!(registry::lookup("clerk"), Some(this_process()));
/// ```
pub fn register(name: &str, process: Process) -> Result<(), RegisterError> {
    match mail::register(check(name), process.raw()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(RegisterError::Taken),
        Err(Refused::Closed) => Err(RegisterError::Ended),
        Err(Refused::Denied) => Err(RegisterError::Denied),
        Err(Refused::Limit) => Err(RegisterError::TooMany),
        Err(refused) => unexpected(refused),
    }
}

/// Frees a name. Returns false if no process has it, or if another process has it and the calling process does not have the
/// right [`Names`](crate::rights::Right::Names).
pub fn unregister(name: &str) -> bool {
    mail::unregister(check(name))
}

/// Returns the process that has a name.
#[must_use]
pub fn lookup(name: &str) -> Option<Process> {
    mail::lookup(check(name)).map(Process::from_raw)
}

/// Returns the process that has a name. If no process has it, one that runs `entry` is spawned with the name. If
/// several processes call this at the same time, only one of them spawns.
///
/// # Errors
///
/// As for [`Process::spawn`].
pub fn get_or_spawn<F: Entry + Capture>(name: &str, entry: F) -> Result<Process, SpawnError> {
    match Process::builder().name(check(name)).spawn(entry) {
        Err(SpawnError::NameTaken(holder)) => Ok(holder),
        spawned => spawned,
    }
}

/// A named group of processes, each of which is in it once. A process is in a group until it leaves or exits.
///
/// # Examples
///
/// ```no_run
/// use lunatic::{Mailbox, registry::Group, this_process};
///
/// let room = Group::named("room");
/// room.join(this_process()).unwrap();
/// room.broadcast(&"hello".to_owned());
/// assert_eq!(Mailbox::<String>::new().receive(), "hello");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Group {
    name: String,
}

impl Group {
    /// Returns the group of that name. A group does not have to be created: one without members is empty.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        let name = name.into();
        check(&name);
        Self { name }
    }

    /// Adds a process to the group, unless it is a member already.
    ///
    /// # Errors
    ///
    /// [`RegisterError::Ended`], [`RegisterError::Denied`], [`RegisterError::TooMany`].
    pub fn join(&self, process: Process) -> Result<(), RegisterError> {
        match mail::join_group(&self.name, process.raw()) {
            Ok(()) => Ok(()),
            Err(Refused::Closed) => Err(RegisterError::Ended),
            Err(Refused::Denied) => Err(RegisterError::Denied),
            Err(Refused::Limit) => Err(RegisterError::TooMany),
            Err(refused) => unexpected(refused),
        }
    }

    /// Removes a process from the group. Returns false if it was not a member, or if it is another process than the calling one,
    /// which does not have the right [`Names`](crate::rights::Right::Names).
    pub fn leave(&self, process: Process) -> bool {
        match mail::leave_group(&self.name, process.raw()) {
            Ok(()) => true,
            Err(Refused::Closed | Refused::Denied) => false,
            Err(refused) => unexpected(refused),
        }
    }

    /// Returns the members of the group, in the order in which they joined.
    #[must_use]
    pub fn members(&self) -> Vec<Process> {
        mail::members(&self.name).into_iter().map(Process::from_raw).collect()
    }

    /// Sends a message to the mailbox of each member, and returns how many members got it. A member does not get it if
    /// it has exited, its mailbox is full, or it has no memory left for it.
    ///
    /// # Panics
    ///
    /// If the message cannot be encoded, or is larger than a message may be.
    pub fn broadcast<M: Message>(&self, message: &M) -> usize {
        let mut bytes = Scratch::new();
        if let Err(error) = codec::encode_for_many::<DefaultCodec, M>(message, &mut bytes) {
            panic!("cannot send to the group `{}`: {}", self.name, crate::chain(&error));
        }
        match mail::broadcast(&self.name, tag_of::<M>(""), bytes.as_slice()) {
            Ok(count) => count,
            Err(Refused::Limit) => panic!("cannot send to the group `{}`: {}", self.name, host::limit()),
            Err(refused) => unexpected(refused),
        }
    }
}

#[cold]
fn unexpected(refused: Refused) -> ! {
    panic!("the host refused a call on a name: {refused:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "1 to 255 bytes, not 0")]
    fn an_empty_name_is_refused() {
        let _ = Group::named("");
    }

    #[test]
    #[should_panic(expected = "1 to 255 bytes, not 256")]
    fn a_long_name_is_refused() {
        let _ = Group::named("n".repeat(256));
    }
}
