//! Whether a process is alive, and who waits for its end: what is behind one lock of a process.

use std::sync::Arc;

use crate::exit::ExitReason;
use crate::relations::Relations;
use crate::room;

/// `P` is a process, `B` what belongs to one.
pub(crate) enum Life<P, B> {
    Alive {
        joiners: Vec<Arc<P>>,
        relations: Option<Box<Relations>>,
        /// What goes when it ends.
        belongings: B,
    },
    /// It runs no more, and others are being told of that. Who joins it waits until they have been.
    Ending {
        joiners: Vec<Arc<P>>,
        reason: ExitReason,
    },
    Ended(ExitReason),
}

impl<P, B: Default> Life<P, B> {
    pub(crate) fn new(relations: Option<Box<Relations>>) -> Self {
        Self::Alive {
            joiners: Vec::new(),
            relations,
            belongings: B::default(),
        }
    }

    /// Registers `joiner` to be woken at the end, or tells how it came.
    pub(crate) fn join(&mut self, joiner: &Arc<P>) -> Option<ExitReason> {
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
    pub(crate) fn unjoin(&mut self, joiner: &Arc<P>) {
        if let Self::Alive { joiners, .. } | Self::Ending { joiners, .. } = self {
            joiners.retain(|other| !Arc::ptr_eq(other, joiner));
            if room::is_roomy(joiners.len(), joiners.capacity()) {
                joiners.shrink_to(2 * joiners.len());
            }
        }
    }

    /// The process runs no more: gives back its relations, to tell those of it, and what belonged to it, to give that up.
    pub(crate) fn begin_end(&mut self, reason: ExitReason) -> (Option<Box<Relations>>, B) {
        let Self::Alive {
            joiners,
            relations,
            belongings,
        } = self
        else {
            unreachable!("only the worker that runs a process ends it")
        };
        let (joiners, left) = (std::mem::take(joiners), (relations.take(), std::mem::take(belongings)));
        *self = Self::Ending { joiners, reason };
        left
    }

    /// All have been told: gives back who waited for the end.
    pub(crate) fn complete_end(&mut self) -> Vec<Arc<P>> {
        let Self::Ending { joiners, reason } = self else {
            unreachable!("a process ends once")
        };
        let (joiners, reason) = (std::mem::take(joiners), reason.clone());
        *self = Self::Ended(reason);
        joiners
    }
}
