//! How a supervisor moves to another version of the program: it keeps the children that both versions have, terminates
//! those that the new version does not have, and starts those that are new.
//!
//! The argument of a supervisor determines its children, so the new version calls `init` with it again. A child of the
//! new spec that has the id of a running child takes that process over: the process keeps running, changes its own
//! version by itself, and is restarted as the new spec says.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::backoff::Streak;
use super::{Child, Entry, NewChild, State, Supervise, Supervisor};
use crate::code::StateError;
use crate::codec::{self, DefaultCodec};
use crate::process::Process;

/// The state of a supervisor, as another version reads it.
#[derive(Serialize, Deserialize)]
pub(super) struct SavedSupervisor {
    args: Vec<u8>,
    children: Vec<SavedChild>,
    /// The ids of the children of the spec.
    #[serde(default)]
    known: Vec<String>,
    /// The ages of the restarts that still count towards the intensity.
    restarts: Vec<Duration>,
}

#[derive(Serialize, Deserialize)]
struct SavedChild {
    id: String,
    shutdown: super::Shutdown,
    added: Option<NewChild>,
    state: SavedState,
    restarts: u64,
    streak: (u32, Option<Duration>),
}

#[derive(Clone, Serialize, Deserialize)]
enum SavedState {
    Running(Process),
    /// Restart after this delay, for this reason.
    Restarting(Duration, String),
    Ended,
}

impl Entry {
    fn to_saved(&self) -> SavedChild {
        SavedChild {
            id: self.child.id.clone(),
            shutdown: self.child.shutdown,
            added: self.added.clone(),
            state: match &self.state {
                State::Running(process) => SavedState::Running(*process),
                State::Restarting(due, why) => SavedState::Restarting(due.left(), why.clone()),
                State::Ended => SavedState::Ended,
            },
            restarts: self.restarts,
            streak: self.streak.to_saved(),
        }
    }
}

impl<S: Supervise> Supervisor<S> {
    pub(super) fn to_saved(&self) -> SavedSupervisor {
        SavedSupervisor {
            args: self.args.clone(),
            children: self.children.iter().map(Entry::to_saved).collect(),
            known: self.known.clone(),
            restarts: self.restarts.ages(Instant::now()),
        }
    }

    pub(super) fn from_saved(saved: SavedSupervisor) -> Result<Self, StateError> {
        let args = codec::decode::<DefaultCodec, S::Args>(&saved.args);
        let args =
            args.map_err(|error| format!("cannot read the arguments of the supervisor: {}", crate::chain(&error)))?;
        let (mut supervisor, children) =
            Self::new(saved.args, S::init(args)).map_err(|wrong| format!("an invalid supervisor: {wrong}"))?;
        supervisor.restarts.set_ages(&saved.restarts, Instant::now());
        let mut former = saved.children;
        for child in children {
            // Also if it was added by hand: an id belongs to one child.
            match former.iter().position(|former| former.id == child.id) {
                Some(at) => supervisor.take_over(child, former.remove(at)),
                // It has ended for good, or was deleted.
                None if saved.known.contains(&child.id) => {}
                None => supervisor.expect(child),
            }
        }
        for child in former {
            let addable = child
                .added
                .as_ref()
                .and_then(|added| supervisor.spec.addable.get(&added.actor));
            match (addable.copied(), &child.added, &child.state) {
                (Some(addable), Some(added), _) => {
                    (addable.check)(&added.args)?;
                    supervisor.take_over(added.make(addable.make), child);
                }
                (_, _, SavedState::Running(process)) => supervisor.leavers.push((child.shutdown, *process)),
                _ => {}
            }
        }
        Ok(supervisor)
    }

    /// Takes over a child of the former version.
    fn take_over(&mut self, mut child: Child, former: SavedChild) {
        child.backoff = child.backoff.or(self.spec.backoff);
        let state = match former.state {
            SavedState::Running(process) => State::Running(process),
            SavedState::Restarting(left, why) => State::Restarting(self.restarts.wait(child.id.clone(), left), why),
            SavedState::Ended => State::Ended,
        };
        self.children.push(Entry {
            child,
            added: former.added,
            state,
            restarts: former.restarts,
            streak: Streak::from_saved(former.streak),
        });
    }

    /// Adds a child that is started in `come_and_go`, once other processes may observe it.
    fn expect(&mut self, mut child: Child) {
        child.backoff = child.backoff.or(self.spec.backoff);
        self.arrivals.push(child.id.clone());
        self.children.push(Entry {
            child,
            added: None,
            state: State::Ended,
            restarts: 0,
            streak: Streak::default(),
        });
    }

    /// Terminates the children that this version does not have, in reverse order, and starts the new ones.
    pub(super) fn come_and_go(&mut self) {
        for (shutdown, process) in std::mem::take(&mut self.leavers).into_iter().rev() {
            let _ = Child::end(shutdown, process);
        }
        for id in std::mem::take(&mut self.arrivals) {
            let Ok(place) = self.place(&id) else { continue };
            let entry = &mut self.children[place];
            match entry.child.start() {
                Ok(process) => {
                    entry.state = State::Running(process);
                    entry.streak = Streak::started(entry.child.backoff.as_ref());
                }
                Err(error) => {
                    let delay = entry.streak.failed(entry.child.backoff.as_ref());
                    self.restart_later(place, format!("could not be started: {error}"), delay);
                }
            }
        }
    }
}
