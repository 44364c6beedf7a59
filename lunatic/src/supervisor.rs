//! Supervisors: processes that start other processes, and restart them when they fail.
//!
//! The semantics are those of OTP's `supervisor`. Children are started in order and terminated in reverse order. If a
//! child fails, the supervisor restarts it, together with the children that the [`Strategy`] adds. A supervisor that
//! has to restart children too often gives up: it terminates its children and exits, which leaves the failure to its
//! own supervisor.
//!
//! Unlike in OTP, restarts can be delayed by a [`Backoff`]. A supervisor answers requests at any time, even while it
//! repeatedly tries to restart a child.
//!
//! # Examples
//!
//! ```no_run
//! use lunatic::actor::Actor;
//! use lunatic::supervisor::{Child, Spec, Supervise, Supervisor};
//! # struct Counter;
//! # impl Actor for Counter {
//! #     type Args = u64;
//! #     type Call = ();
//! #     type Cast = ();
//! #     fn init(_: u64) -> Result<Self, lunatic::ExitReason> { Ok(Counter) }
//! # }
//!
//! struct Shop;
//!
//! impl Supervise for Shop {
//!     type Args = u64;
//!
//!     fn init(start: u64) -> Spec {
//!         Spec::one_for_one()
//!             .child(Child::actor::<Counter>("counter", start))
//!             .child(Child::process("clock", || loop { lunatic::yield_now() }))
//!     }
//! }
//!
//! let shop = Supervisor::<Shop>::start(7).unwrap();
//! assert_eq!(shop.children().unwrap().len(), 2);
//! ```

mod backoff;
mod change;
mod child;
mod dynamic;
mod pool;
mod request;
mod restarts;
mod spec;

use std::fmt;
use std::marker::PhantomData;
use std::mem;
use std::ops::Range;
use std::time::{Duration, Instant};

pub use backoff::Backoff;
use backoff::Streak;
pub use child::{Child, Kind, Restart, Shutdown};
pub use dynamic::{DynamicOptions, DynamicRequest, DynamicSupervisor};
pub use pool::{Loan, PoolCast, PoolOptions, PoolRequest, PoolStatus, WorkerPool};
pub use request::{ChildInfo, NewChild, Request, SuperviseError};
pub use restarts::Intensity;
use restarts::{Due, Restarts};
pub use spec::{AutoShutdown, Spec, Strategy, Supervise};

use crate::actor::{self, Actor, Info, Next};
use crate::code::{Saved, StateError, Version};
use crate::exit::ExitReason;
use crate::process::{self, Process};

/// The process that supervises. It is an [`Actor`], started with [`Actor::start`] or as a [child](Child::supervisor) of
/// another supervisor.
///
/// It traps exits, and reports each restart on standard error unless the spec is [quiet](Spec::quiet).
pub struct Supervisor<S> {
    /// The argument that it was started with, as bytes.
    args: Vec<u8>,
    spec: Spec,
    /// In the order in which they are started.
    children: Vec<Entry>,
    /// The ids of the children of the spec, including those that have ended for good or were deleted.
    known: Vec<String>,
    /// By the ids of the children.
    restarts: Restarts<String>,
    /// Running children of the former version of the program that this version does not have, and how to terminate
    /// each.
    leavers: Vec<(Shutdown, Process)>,
    /// The ids of children that are new in this version.
    arrivals: Vec<String>,
    supervise: PhantomData<S>,
}

struct Entry {
    child: Child,
    /// The request that added the child; `None` for a child of the spec.
    added: Option<NewChild>,
    state: State,
    streak: Streak,
    restarts: u64,
}

enum State {
    Running(Process),
    /// The child is going to be restarted, for this reason.
    Restarting(Due, String),
    Ended,
}

impl<S: Supervise> Actor for Supervisor<S> {
    type Args = S::Args;
    type Call = Request;
    type Cast = ();

    fn init(args: S::Args) -> Result<Self, ExitReason> {
        process::trap_exit(true);
        let bytes = actor::encode_args::<Self>(&args);
        let (mut supervisor, children) = Self::new(bytes, S::init(args))
            .map_err(|wrong| ExitReason::Error(format!("an invalid supervisor: {wrong}")))?;
        for child in children {
            match child.start() {
                Ok(process) => supervisor.push(child, process, None),
                Err(error) => {
                    supervisor.end_from(0);
                    let text = format!("child `{}` did not start: {}", child.id, error.into_reason());
                    return Err(ExitReason::Error(text));
                }
            }
        }
        Ok(supervisor)
    }

    fn save(&self) -> Option<Result<Saved, StateError>> {
        Some(Saved::of(&self.to_saved()))
    }

    fn code_change(old: Saved, _: Version) -> Result<Self, StateError> {
        Self::from_saved(old.read()?)
    }

    fn changed(&mut self) {
        self.come_and_go();
    }

    fn handle_call(&mut self, request: Request) -> Next {
        match request {
            Request::Children(reply) => reply.send(self.children.iter().map(Entry::info).collect()),
            Request::Add(child, reply) => reply.send(self.add(child)),
            Request::Terminate(id, reply) => reply.send(self.terminate_by_hand(&id)),
            Request::Restart(id, reply) => reply.send(self.restart_by_hand(&id)),
            Request::Delete(id, reply) => reply.send(self.delete(&id)),
        }
        Next::Continue
    }

    fn handle_info(&mut self, info: Info) -> Next {
        let Info::Exit { from, reason } = info else {
            return actor::ignore::<Self>(info);
        };
        let ended = self.children.iter().position(|entry| entry.process() == Some(from));
        match ended {
            Some(index) => self.child_ended(index, &reason),
            // Not a child, or a child that the supervisor has terminated itself.
            None => Next::Continue,
        }
    }

    fn alarm(&self) -> Option<Instant> {
        self.restarts.next()
    }

    fn handle_alarm(&mut self) -> Next {
        let Some(id) = self.restarts.take_due() else {
            return Next::Continue;
        };
        let place = self
            .place(&id)
            .expect("who is forgotten is not to be restarted any more");
        match mem::replace(&mut self.children[place].state, State::Ended) {
            State::Restarting(_, why) => self.restart(place, &why),
            State::Running(_) | State::Ended => unreachable!("child `{id}` is not to be restarted any more"),
        }
    }

    fn terminate(&mut self, _: &ExitReason) {
        self.end_from(0);
    }
}

impl Entry {
    fn process(&self) -> Option<Process> {
        match self.state {
            State::Running(process) => Some(process),
            State::Restarting(..) | State::Ended => None,
        }
    }

    fn info(&self) -> ChildInfo {
        ChildInfo {
            id: self.child.id.clone(),
            process: self.process(),
            kind: self.child.kind,
            restart: self.child.restart,
            restarts: self.restarts,
            restarting: matches!(self.state, State::Restarting(..)),
        }
    }

    /// Fails unless the child has ended and is not going to be restarted.
    fn check_ended(&self) -> Result<(), SuperviseError> {
        match self.state {
            State::Running(_) => Err(SuperviseError::Running),
            State::Restarting(..) => Err(SuperviseError::Restarting),
            State::Ended => Ok(()),
        }
    }

    /// The child's name in reports.
    fn name(&self) -> String {
        format!("child `{}`", self.child.id)
    }
}

/// Start, and requests by hand.
impl<S: Supervise> Supervisor<S> {
    /// Makes a supervisor without children, and returns the children of the spec; or the error in the spec.
    fn new(args: Vec<u8>, mut spec: Spec) -> Result<(Self, Vec<Child>), String> {
        spec.check()?;
        let children = mem::take(&mut spec.children);
        let supervisor = Self {
            args,
            known: children.iter().map(|child| child.id.clone()).collect(),
            children: Vec::with_capacity(children.len()),
            restarts: Restarts::new("supervisor", spec.intensity, spec.quiet),
            spec,
            leavers: Vec::new(),
            arrivals: Vec::new(),
            supervise: PhantomData,
        };
        Ok((supervisor, children))
    }

    fn place(&self, id: &str) -> Result<usize, SuperviseError> {
        let place = self.children.iter().position(|entry| entry.child.id == id);
        place.ok_or(SuperviseError::NotFound)
    }

    /// Adds a child that was started.
    fn push(&mut self, mut child: Child, process: Process, added: Option<NewChild>) {
        child.backoff = child.backoff.or(self.spec.backoff);
        self.children.push(Entry {
            streak: Streak::started(child.backoff.as_ref()),
            child,
            added,
            state: State::Running(process),
            restarts: 0,
        });
    }

    fn add(&mut self, new: NewChild) -> Result<Process, SuperviseError> {
        if self.place(&new.id).is_ok() {
            return Err(SuperviseError::Exists);
        }
        let Some(addable) = self.spec.addable.get(&new.actor) else {
            return Err(SuperviseError::Refused(
                "its type is not `addable` in the spec of the supervisor".to_owned(),
            ));
        };
        let child = new.make(addable.make);
        let process = child.start()?;
        self.push(child, process, Some(new));
        Ok(process)
    }

    fn terminate_by_hand(&mut self, id: &str) -> Result<(), SuperviseError> {
        let place = self.place(id)?;
        self.end(place);
        if self.children[place].child.restart == Restart::Temporary {
            self.children.remove(place);
        }
        Ok(())
    }

    fn restart_by_hand(&mut self, id: &str) -> Result<Process, SuperviseError> {
        let place = self.place(id)?;
        let entry = &mut self.children[place];
        entry.check_ended()?;
        let process = entry.child.start()?;
        entry.state = State::Running(process);
        entry.streak = Streak::started(entry.child.backoff.as_ref());
        Ok(process)
    }

    fn delete(&mut self, id: &str) -> Result<(), SuperviseError> {
        let place = self.place(id)?;
        self.children[place].check_ended()?;
        self.children.remove(place);
        Ok(())
    }
}

/// Restarts.
impl<S: Supervise> Supervisor<S> {
    /// Terminates a child if it is running; cancels its restart if it is waiting for one.
    fn end(&mut self, place: usize) {
        let entry = &mut self.children[place];
        match mem::replace(&mut entry.state, State::Ended) {
            State::Running(process) => _ = Child::end(entry.child.shutdown, process),
            State::Restarting(due, _) => self.restarts.cancel(due),
            State::Ended => {}
        }
    }

    /// Terminates the children from this one on, in reverse order.
    fn end_from(&mut self, first: usize) {
        for place in (first..self.children.len()).rev() {
            self.end(place);
        }
    }

    /// Handles the exit of a child that the supervisor did not terminate.
    fn child_ended(&mut self, place: usize, reason: &ExitReason) -> Next {
        let entry = &mut self.children[place];
        entry.state = State::Ended;
        if entry.child.restart.is_for(reason) {
            let (why, delay) = (reason.to_string(), entry.streak.failed(entry.child.backoff.as_ref()));
            // As in OTP, the first try comes before any request that was made after the exit of the child.
            if delay.is_zero() {
                return self.restart(place, &why);
            }
            self.restart_later(place, why, delay);
            return Next::Continue;
        }
        let (is_significant, id) = (entry.child.significant, entry.child.id.clone());
        if entry.child.restart == Restart::Temporary {
            self.children.remove(place);
        }
        let ends = match self.spec.auto_shutdown {
            AutoShutdown::Never => false,
            AutoShutdown::AnySignificant => is_significant,
            AutoShutdown::AllSignificant => {
                let goes_on = |entry: &Entry| entry.child.significant && !matches!(entry.state, State::Ended);
                is_significant && !self.children.iter().any(goes_on)
            }
        };
        if ends {
            self.restarts
                .say(&format!("exits, because its significant child `{id}` {reason}"));
            return Next::Stop(ExitReason::Shutdown);
        }
        Next::Continue
    }

    /// Restarts a child, and others as the strategy requires; gives up if that is one restart too many.
    fn restart(&mut self, place: usize, why: &str) -> Next {
        let entry = &mut self.children[place];
        if !self.restarts.count(Instant::now()) {
            self.restarts.say_too_many(&entry.name(), why);
            return Next::Stop(ExitReason::Shutdown);
        }
        entry.restarts += 1;
        self.restarts.say_restart(&entry.name(), why, Some(entry.restarts));
        for place in self.end_together(place) {
            let entry = &mut self.children[place];
            match entry.child.start() {
                Ok(process) => {
                    entry.state = State::Running(process);
                    entry.streak = entry.streak.restarted(entry.child.backoff.as_ref());
                }
                Err(error) => {
                    // The next try restarts this child, not the one that had failed: the children between them are
                    // running.
                    let delay = entry.streak.failed(entry.child.backoff.as_ref());
                    self.restart_later(place, format!("could not be started: {error}"), delay);
                    break;
                }
            }
        }
        Next::Continue
    }

    /// Restarts a child that has ended, once `delay` has passed and the requests that were waiting are answered.
    fn restart_later(&mut self, place: usize, why: String, delay: Duration) {
        let (id, name) = (self.children[place].child.id.clone(), self.children[place].name());
        self.restarts.say_wait(&name, &why, delay);
        if !delay.is_zero() {
            // The children of the group depend on each other: they must not run for long while one of them does not.
            self.end_together(place);
        }
        let place = self.place(&id).expect("a child that is restarted is not forgotten");
        let due = self.restarts.wait(id, delay);
        self.children[place].state = State::Restarting(due, why);
    }

    /// Terminates the children that are restarted together with a failed one, and removes the temporary ones among
    /// them. Returns the places of the children to start.
    fn end_together(&mut self, failed: usize) -> Range<usize> {
        let places = match self.spec.strategy {
            Strategy::OneForOne => failed..failed + 1,
            Strategy::OneForAll => 0..self.children.len(),
            Strategy::RestForOne => failed..self.children.len(),
        };
        for place in places.clone().rev() {
            self.end(place);
        }
        let (before, mut place) = (self.children.len(), 0);
        self.children.retain(|entry| {
            place += 1;
            entry.child.restart != Restart::Temporary || !places.contains(&(place - 1))
        });
        places.start..places.end - (before - self.children.len())
    }
}

impl<S> fmt::Debug for Supervisor<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor")
            .field("children", &self.children.len())
            .finish_non_exhaustive()
    }
}
