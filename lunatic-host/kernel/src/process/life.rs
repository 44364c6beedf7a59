//! Whether a process is alive, and who waits for its end: the data behind one lock of a process.

use std::sync::Arc;

use crate::exit::ExitReason;
use crate::relations::Relations;
use crate::room;

/// `P` is a process, `B` its belongings.
pub(crate) enum Life<P, B> {
    Alive {
        joiners: Vec<Arc<P>>,
        relations: Option<Box<Relations>>,
        /// What is released when it ends.
        belongings: B,
    },
    /// It does not run any more, and others are being notified. Joiners wait until they have been.
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

    /// Registers `joiner` to be woken at the end, or returns how the process ended.
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

    /// Undoes `join`.
    pub(crate) fn unjoin(&mut self, joiner: &Arc<P>) {
        if let Self::Alive { joiners, .. } | Self::Ending { joiners, .. } = self {
            joiners.retain(|other| !Arc::ptr_eq(other, joiner));
            if room::is_roomy(joiners.len(), joiners.capacity()) {
                joiners.shrink_to(2 * joiners.len());
            }
        }
    }

    /// Begins the end: returns the relations, whose processes must be notified, and the belongings, which must be
    /// released. `None` if the end has already begun: nothing is left to do.
    pub(crate) fn begin_end(&mut self, reason: ExitReason) -> Option<(Option<Box<Relations>>, B)> {
        let Self::Alive {
            joiners,
            relations,
            belongings,
        } = self
        else {
            return None;
        };
        let (joiners, left) = (std::mem::take(joiners), (relations.take(), std::mem::take(belongings)));
        *self = Self::Ending { joiners, reason };
        Some(left)
    }

    /// Completes the end, after all have been notified: returns the joiners.
    pub(crate) fn complete_end(&mut self) -> Vec<Arc<P>> {
        let Self::Ending { joiners, reason } = self else {
            unreachable!("a process ends once")
        };
        let (joiners, reason) = (std::mem::take(joiners), reason.clone());
        *self = Self::Ended(reason);
        joiners
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_ends_once() {
        let mut life = Life::<u8, u16>::new(None);
        assert!(life.join(&Arc::new(1)).is_none());
        assert!(life.begin_end(ExitReason::Killed).is_some());
        assert!(life.begin_end(ExitReason::Normal).is_none());
        assert_eq!(life.complete_end(), [Arc::new(1)]);
        assert!(life.begin_end(ExitReason::Normal).is_none());
        assert_eq!(life.join(&Arc::new(2)), Some(ExitReason::Killed));
    }
}
