//! Names and groups of processes in the whole cluster.
//!
//! Each node knows all global names, so a look-up does not wait for another node. Two nodes that are not connected can
//! give the same name to two processes, and so can two that are, if they do it at the same moment: unlike Erlang's
//! `global`, a node does not ask the others before. As soon as both know, all nodes choose the same process: the one with
//! the higher priority; with the same priority, the choice follows from the numbers of the nodes. The other loses the name
//! and, if it has [claimed](claim) it, can [learn of that](Claim::is_lost).
//!
//! Only processes of the calling node can be given a name or join a group. On a host that is in no cluster, that is
//! refused with [`RegisterError::Ended`].
//!
//! # Panics
//!
//! Everything here panics if a name is empty or has more than 255 bytes, or if the host never gave out a handle.

use std::cell::Cell;

use crate::Process;
use crate::channel::Message;
use crate::codec::{self, DefaultCodec, Scratch};
use crate::host::{self, Refused};
use crate::mailbox::tag_of;
use crate::registry::{RegisterError, check};

/// A global name of a process, registered by the calling process; see [`register`]. Dropping it does not free the name.
#[derive(Debug)]
pub struct Claim {
    tag: u64,
    is_lost: Cell<bool>,
}

impl Claim {
    /// Returns whether the process has lost the name to a process of another node. Only the process itself learns of
    /// it.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        // The message that says so comes once.
        if !self.is_lost.get() {
            self.is_lost.set(host::mail::receive(&[self.tag], 0, |_, _| ()).is_ok());
        }
        self.is_lost.get()
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        host::mail::close(self.tag);
    }
}

/// Registers the calling process under a global name until it exits. Of two processes that nodes have given the name
/// while they were not connected, the one with the higher priority keeps it.
///
/// # Errors
///
/// [`RegisterError`].
pub fn claim(name: &str, priority: u8) -> Result<Claim, RegisterError> {
    let claim = Claim {
        tag: host::mail::reference(),
        is_lost: Cell::new(false),
    };
    registered(host::node::register(
        check(name),
        crate::this_process().raw(),
        priority,
        claim.tag,
    ))?;
    Ok(claim)
}

/// Registers a process of this node under a global name until it exits, with priority 0. If it loses the name to a process
/// of another node, it is not notified: processes that must know [`claim`] the name.
///
/// # Errors
///
/// [`RegisterError`].
///
/// # Examples
///
/// ```no_run
/// use lunatic::node::global;
/// use lunatic::this_process;
///
/// global::register("leader", this_process()).unwrap();
/// assert_eq!(global::lookup("leader"), Some(this_process()));
/// ```
pub fn register(name: &str, process: Process) -> Result<(), RegisterError> {
    registered(host::node::register(check(name), process.raw(), 0, 0))
}

fn registered(result: Result<bool, Refused>) -> Result<(), RegisterError> {
    match result {
        Ok(true) => Ok(()),
        Ok(false) => Err(RegisterError::Taken),
        Err(refused) => Err(refused_as(refused)),
    }
}

fn refused_as(refused: Refused) -> RegisterError {
    match refused {
        Refused::Closed => RegisterError::Ended,
        Refused::Denied => RegisterError::Denied,
        Refused::Limit => RegisterError::TooMany,
        refused => super::unexpected(refused),
    }
}

/// Frees a global name of a process of this node. Returns false if none has it, or if it is another process than the
/// calling one, which does not have the right [`Names`](crate::rights::Right::Names).
pub fn unregister(name: &str) -> bool {
    host::node::unregister(check(name))
}

/// Returns the process that has a global name, as far as this node knows.
#[must_use]
pub fn lookup(name: &str) -> Option<Process> {
    host::node::lookup(check(name)).map(Process::from_raw)
}

/// A named group of processes of all nodes. A process is in a group until it leaves or exits, or its node is lost.
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

    /// Adds a process of this node to the group, unless it is a member already.
    ///
    /// # Errors
    ///
    /// [`RegisterError::Ended`], [`RegisterError::Denied`], [`RegisterError::TooMany`].
    pub fn join(&self, process: Process) -> Result<(), RegisterError> {
        host::node::join_group(&self.name, process.raw()).map_err(refused_as)
    }

    /// Removes a process of this node from the group. Returns false if it was not a member, or if it is another process than
    /// the calling one, which does not have the right [`Names`](crate::rights::Right::Names).
    pub fn leave(&self, process: Process) -> bool {
        match host::node::leave_group(&self.name, process.raw()) {
            Ok(()) => true,
            Err(Refused::Closed | Refused::Denied) => false,
            Err(refused) => super::unexpected(refused),
        }
    }

    /// Returns the members of the group on all nodes, as far as this node knows.
    #[must_use]
    pub fn members(&self) -> Vec<Process> {
        host::node::members(&self.name)
            .into_iter()
            .map(Process::from_raw)
            .collect()
    }

    /// Sends a message to the mailbox of each member, and returns to how many it was sent. For members on this node,
    /// only those count that got it.
    ///
    /// # Panics
    ///
    /// If the message cannot be encoded, or is larger than a message may be.
    pub fn broadcast<M: Message>(&self, message: &M) -> usize {
        let mut bytes = Scratch::new();
        if let Err(error) = codec::encode_for_many::<DefaultCodec, M>(message, &mut bytes) {
            panic!("cannot send to the group `{}`: {}", self.name, crate::chain(&error));
        }
        let tag = tag_of::<M>("");
        let members = self.members().into_iter();
        let sent = members.map(|member| match host::mail::send(member.raw(), tag, bytes.as_slice()) {
            Ok(()) => true,
            Err(Refused::Limit) => panic!("cannot send to the group `{}`: {}", self.name, host::limit()),
            Err(_) => false,
        });
        sent.filter(|sent| *sent).count()
    }
}
