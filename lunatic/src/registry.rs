//! Names of processes, and groups of them.
//!
//! A name belongs to one process, a process may have several, and its names fall when it ends: before anyone who links or
//! monitors it hears of that. Names hold within a scope: that of the main process and its descendants, or one that a
//! spawn began with [`own_names`](crate::process::Builder::own_names).
//!
//! # Panics
//!
//! Everything here panics if a name is empty or has more than 255 bytes, or a handle was never given out by the host.

use std::error::Error;
use std::fmt;

use lunatic_sys::codes::NAME_LEN_MAX;
use serde::{Deserialize, Serialize};

use crate::channel::Message;
use crate::codec::{self, DefaultCodec, Scratch};
use crate::host::{self, Refused, mail};
use crate::mailbox::tag_of;
use crate::process::{Capture, Process, SpawnError};

fn check(name: &str) -> &str {
    assert!(
        !name.is_empty() && name.len() <= NAME_LEN_MAX,
        "a name has 1 to {NAME_LEN_MAX} bytes, not {}: `{name}`",
        name.len()
    );
    name
}

/// Why a process got no name, or did not join a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum RegisterError {
    /// Another process has the name, or this one has it already.
    Taken,
    /// The process has ended.
    Ended,
    /// The calling process may not register names.
    Denied,
    /// The process has 65,536 names, or is in as many groups, or half of that by others; or the budget of the calling process
    /// has no memory left for another.
    TooMany,
}

impl fmt::Display for RegisterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Taken => "the name is taken",
            Self::Ended => "the process has ended",
            Self::Denied => "the process may not register names",
            Self::TooMany => "the process has as many names or groups as it may",
        })
    }
}

impl Error for RegisterError {}

/// Gives a process a name, until it ends.
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

/// Takes a name away from whoever has it; false if nobody does.
pub fn unregister(name: &str) -> bool {
    mail::unregister(check(name))
}

/// Who has a name.
#[must_use]
pub fn lookup(name: &str) -> Option<Process> {
    mail::lookup(check(name)).map(Process::from_raw)
}

/// Who has a name; if nobody does, a process is spawned that has it. Of several that ask at once, one spawns it.
///
/// # Errors
///
/// As [`Process::spawn`].
pub fn get_or_spawn<F: FnOnce() + Capture>(name: &str, entry: F) -> Result<Process, SpawnError> {
    match Process::builder().name(check(name)).spawn(entry) {
        Err(SpawnError::NameTaken(holder)) => Ok(holder),
        spawned => spawned,
    }
}

/// A group of processes: any number, each once. A process is in it until it leaves or ends.
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
    /// The group of that name. It needs not be made: one that nobody is in is empty.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        let name = name.into();
        check(&name);
        Self { name }
    }

    /// Adds a process, if it is not in the group.
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

    /// Takes a process out; false if it was not in the group.
    pub fn leave(&self, process: Process) -> bool {
        match mail::leave_group(&self.name, process.raw()) {
            Ok(()) => true,
            Err(Refused::Closed) => false,
            Err(refused) => unexpected(refused),
        }
    }

    /// Who is in the group, in the order in which they joined.
    #[must_use]
    pub fn members(&self) -> Vec<Process> {
        mail::members(&self.name).into_iter().map(Process::from_raw).collect()
    }

    /// Sends a message to the mailbox of each member, and tells how many got it: one that has ended, whose mailbox is
    /// full, or that has no memory left for it does not.
    ///
    /// # Panics
    ///
    /// If the message cannot be written, or is longer than a message may be.
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
