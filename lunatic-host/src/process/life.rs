//! Whether a process is alive, and who waits for its end: what is behind one lock of a process.

use std::sync::Arc;

use super::Process;
use super::exit::ExitReason;
use super::hash::NumberSet;
use super::id::Id;
use super::signals::Relations;
use crate::net::handles::Refusal;

pub(super) enum Life {
    Alive {
        joiners: Vec<Arc<Process>>,
        relations: Option<Box<Relations>>,
        /// The sockets that belong to it.
        sockets: Option<Box<NumberSet<Id>>>,
    },
    /// It runs no more, and others are being told of that. Who joins it waits until they have been.
    Ending {
        joiners: Vec<Arc<Process>>,
        reason: ExitReason,
    },
    Ended(ExitReason),
}

impl Life {
    pub(super) fn new(relations: Option<Box<Relations>>) -> Self {
        Self::Alive {
            joiners: Vec::new(),
            relations,
            sockets: None,
        }
    }

    /// Registers `joiner` to be woken at the end, or tells how it came.
    pub(super) fn join(&mut self, joiner: &Arc<Process>) -> Option<ExitReason> {
        match self {
            Self::Ended(reason) => Some(reason.clone()),
            Self::Alive { joiners, .. } | Self::Ending { joiners, .. } => {
                if !joiners.iter().any(|other| Arc::ptr_eq(other, joiner)) {
                    joiners.push(joiner.clone());
                }
                None
            }
        }
    }

    /// Takes back what `join` registered.
    pub(super) fn unjoin(&mut self, joiner: &Arc<Process>) {
        if let Self::Alive { joiners, .. } | Self::Ending { joiners, .. } = self {
            joiners.retain(|other| !Arc::ptr_eq(other, joiner));
        }
    }

    /// Adds a socket to those that close at the end, of which there are at most so many.
    pub(super) fn own_socket(&mut self, socket: Id, max: u32) -> Result<(), Refusal> {
        let Self::Alive { sockets, .. } = self else {
            return Err(Refusal::Ended);
        };
        let sockets = sockets.get_or_insert_default();
        if sockets.len() >= max as usize {
            return Err(Refusal::Process(max));
        }
        sockets.insert(socket);
        Ok(())
    }

    /// Takes back what `own_socket` added.
    pub(super) fn disown_socket(&mut self, socket: Id) {
        if let Self::Alive {
            sockets: Some(sockets), ..
        } = self
        {
            sockets.remove(&socket);
        }
    }

    /// The process runs no more: gives back its relations, to tell those of it, and its sockets, to close them.
    pub(super) fn begin_end(&mut self, reason: ExitReason) -> (Option<Box<Relations>>, Option<Box<NumberSet<Id>>>) {
        let Self::Alive {
            joiners,
            relations,
            sockets,
        } = self
        else {
            unreachable!("only the worker that runs a process ends it")
        };
        let (joiners, left) = (std::mem::take(joiners), (relations.take(), sockets.take()));
        *self = Self::Ending { joiners, reason };
        left
    }

    /// All have been told: gives back who waited for the end.
    pub(super) fn complete_end(&mut self) -> Vec<Arc<Process>> {
        let Self::Ending { joiners, reason } = self else {
            unreachable!("a process ends once")
        };
        let (joiners, reason) = (std::mem::take(joiners), reason.clone());
        *self = Self::Ended(reason);
        joiners
    }
}
