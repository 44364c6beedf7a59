//! Supervisors: processes that start others, and start them again when they fail.
//!
//! The semantics are those of OTP's `supervisor`: children are started in order and ended in the reverse order; a child
//! that fails is started again, and with it, as the [`Strategy`] says, those that depend on it; a supervisor that has to
//! restart too often gives up, ends its children and itself, and leaves the rest to its own supervisor.
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

mod child;
mod dynamic;
mod intensity;
mod pool;

use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::marker::PhantomData;
use std::time::{Duration, Instant};

pub use child::{Child, Kind, Restart, Shutdown};
pub use dynamic::{DynamicOptions, DynamicRequest, DynamicSupervisor};
pub use intensity::Intensity;
use intensity::Restarts;
pub use pool::{Loan, PoolCast, PoolOptions, PoolRequest, PoolStatus, WorkerPool};
use serde::{Deserialize, Serialize};

use crate::actor::{self, Actor, ActorRef, Info, Next, StartError};
use crate::channel::Message;
use crate::exit::ExitReason;
use crate::mailbox::{CallError, ReplyTo, tag_of};
use crate::process::{self, Process, this_process};

/// Says whom a supervisor supervises: OTP's callback module of a supervisor.
pub trait Supervise: Sized + 'static {
    /// What it begins with.
    type Args: Message;

    /// The children and how to see to them. Called in the supervisor's own process when it starts.
    fn init(args: Self::Args) -> Spec;
}

/// Who else is restarted with a child that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Strategy {
    /// Nobody.
    OneForOne,
    /// All children.
    OneForAll,
    /// All that were started after it.
    RestForOne,
}

/// When the end of [significant](Child::significant) children in good order ends the supervisor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AutoShutdown {
    /// Never.
    #[default]
    Never,
    /// When the first has ended.
    AnySignificant,
    /// When the last has ended.
    AllSignificant,
}

type MakeChild = fn(String, Vec<u8>) -> Child;

/// The children of a supervisor, and how it sees to them.
#[derive(Debug)]
#[must_use]
pub struct Spec {
    strategy: Strategy,
    intensity: Intensity,
    auto_shutdown: AutoShutdown,
    children: Vec<Child>,
    addable: HashMap<u64, MakeChild>,
    quiet: bool,
}

impl Spec {
    fn new(strategy: Strategy) -> Self {
        Self {
            strategy,
            intensity: Intensity::default(),
            auto_shutdown: AutoShutdown::Never,
            children: Vec::new(),
            addable: HashMap::new(),
            quiet: false,
        }
    }

    /// A child that fails is restarted alone.
    pub fn one_for_one() -> Self {
        Self::new(Strategy::OneForOne)
    }

    /// If a child fails, all are restarted.
    pub fn one_for_all() -> Self {
        Self::new(Strategy::OneForAll)
    }

    /// If a child fails, it and those after it are restarted.
    pub fn rest_for_one() -> Self {
        Self::new(Strategy::RestForOne)
    }

    /// How many restarts are too many: more than `restarts` within `period`. If nothing is said: more than 1 in 5 s.
    pub fn intensity(mut self, restarts: u32, period: Duration) -> Self {
        self.intensity = Intensity { restarts, period };
        self
    }

    /// When the end of significant children ends the supervisor. If nothing is said: never.
    pub fn auto_shutdown(mut self, auto_shutdown: AutoShutdown) -> Self {
        self.auto_shutdown = auto_shutdown;
        self
    }

    /// Adds a child, to be started after those before it.
    pub fn child(mut self, child: Child) -> Self {
        self.children.push(child);
        self
    }

    /// Lets actors of this type be [added](ActorRef::add_child) while the supervisor runs.
    pub fn addable<A: Actor>(mut self) -> Self {
        self.addable.insert(tag_of::<A>(""), Child::actor_from_bytes::<A>);
        self
    }

    /// Does not write restarts to standard error.
    pub fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }

    /// What is wrong with it, if anything.
    fn check(&self) -> Result<(), String> {
        let mut ids = std::collections::HashSet::new();
        for child in &self.children {
            if !ids.insert(&child.id) {
                return Err(format!("two children have the id `{}`", child.id));
            }
            self.check_significance(child)?;
        }
        if self.intensity.period.is_zero() {
            return Err("the period of the restart intensity is 0".to_owned());
        }
        Ok(())
    }

    fn check_significance(&self, child: &Child) -> Result<(), String> {
        if child.significant && self.auto_shutdown == AutoShutdown::Never {
            return Err(format!(
                "child `{}` is significant, but the supervisor never shuts down for that",
                child.id
            ));
        }
        if child.significant && child.restart == Restart::Permanent {
            return Err(format!(
                "child `{}` is significant and permanent: it never ends for good",
                child.id
            ));
        }
        Ok(())
    }
}

/// The process that supervises: an [`Actor`], started with [`Actor::start`] or as a [child](Child::supervisor) of another.
///
/// It traps exits, and writes each restart to standard error.
pub struct Supervisor<S> {
    spec: Spec,
    /// In the order in which they are started.
    children: Vec<Entry>,
    restarts: Restarts,
    supervise: PhantomData<S>,
}

struct Entry {
    child: Child,
    process: Option<Process>,
    restarts: u64,
}

/// What [`children`](ActorRef::children) tells of a child.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ChildInfo {
    /// What it is known by.
    pub id: String,
    /// Its process, while it runs.
    pub process: Option<Process>,
    /// Whether it has children.
    pub kind: Kind,
    /// When it is started again.
    pub restart: Restart,
    /// How often it was started again.
    pub restarts: u64,
}

/// Why a supervisor did not do what it was asked to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum SuperviseError {
    /// No child has this id.
    NotFound,
    /// A child has this id already.
    Exists,
    /// The child runs.
    Running,
    /// The child did not start; why, in words.
    Start(String),
    /// The supervisor takes no such children: see [`Spec::addable`]; or the child is wrong: in what way.
    Refused(String),
    /// The supervisor has ended, with this reason, or does not answer.
    Gone(String),
}

impl fmt::Display for SuperviseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("no child has this id"),
            Self::Exists => f.write_str("a child has this id already"),
            Self::Running => f.write_str("the child runs"),
            Self::Start(why) => write!(f, "the child did not start: {why}"),
            Self::Refused(why) => write!(f, "the supervisor refuses the child: {why}"),
            Self::Gone(why) => write!(f, "the supervisor does not answer: {why}"),
        }
    }
}

impl Error for SuperviseError {}

impl From<CallError> for SuperviseError {
    fn from(error: CallError) -> Self {
        Self::Gone(error.to_string())
    }
}

/// What a supervisor is asked, by the functions of its [`ActorRef`].
#[derive(Debug, Serialize, Deserialize)]
#[doc(hidden)]
pub enum Request {
    Children(ReplyTo<Vec<ChildInfo>>),
    Add(NewChild, ReplyTo<Result<Process, SuperviseError>>),
    Terminate(String, ReplyTo<Result<(), SuperviseError>>),
    Restart(String, ReplyTo<Result<Process, SuperviseError>>),
    Delete(String, ReplyTo<Result<(), SuperviseError>>),
}

#[derive(Debug, Serialize, Deserialize)]
#[doc(hidden)]
pub struct NewChild {
    id: String,
    actor: u64,
    args: Vec<u8>,
    restart: Restart,
    shutdown: Shutdown,
}

impl<S: Supervise> ActorRef<Supervisor<S>> {
    /// The children, in the order in which they are started.
    ///
    /// # Errors
    ///
    /// [`SuperviseError::Gone`].
    pub fn children(&self) -> Result<Vec<ChildInfo>, SuperviseError> {
        Ok(self.call(Request::Children)?)
    }

    /// Adds a child behind all others and starts it. The type of actor must be [`addable`](Spec::addable).
    ///
    /// # Errors
    ///
    /// [`SuperviseError`]; a child that does not start is not added.
    pub fn add_child<A: Actor>(
        &self,
        id: impl Into<String>,
        args: A::Args,
        restart: Restart,
        shutdown: Shutdown,
    ) -> Result<ActorRef<A>, SuperviseError> {
        let child = NewChild {
            id: id.into(),
            actor: tag_of::<A>(""),
            args: actor::encode_args::<A>(&args),
            restart,
            shutdown,
        };
        self.call(|reply| Request::Add(child, reply))?.map(ActorRef::of)
    }

    /// Ends a child, and keeps it for [`restart_child`](Self::restart_child), unless it is temporary.
    ///
    /// # Errors
    ///
    /// [`SuperviseError`].
    pub fn terminate_child(&self, id: impl Into<String>) -> Result<(), SuperviseError> {
        self.call(|reply| Request::Terminate(id.into(), reply))?
    }

    /// Starts a child that has ended.
    ///
    /// # Errors
    ///
    /// [`SuperviseError`].
    pub fn restart_child(&self, id: impl Into<String>) -> Result<Process, SuperviseError> {
        self.call(|reply| Request::Restart(id.into(), reply))?
    }

    /// Forgets a child that has ended.
    ///
    /// # Errors
    ///
    /// [`SuperviseError`].
    pub fn delete_child(&self, id: impl Into<String>) -> Result<(), SuperviseError> {
        self.call(|reply| Request::Delete(id.into(), reply))?
    }
}

impl<S: Supervise> Actor for Supervisor<S> {
    type Args = S::Args;
    type Call = Request;
    type Cast = ();

    fn init(args: S::Args) -> Result<Self, ExitReason> {
        process::trap_exit(true);
        let mut spec = S::init(args);
        spec.check()
            .map_err(|wrong| ExitReason::Error(format!("a faulty supervisor: {wrong}")))?;
        let children = std::mem::take(&mut spec.children);
        let mut supervisor = Self {
            spec,
            children: Vec::with_capacity(children.len()),
            restarts: Restarts::default(),
            supervise: PhantomData,
        };
        for child in children {
            match child.start() {
                Ok(process) => supervisor.children.push(Entry {
                    child,
                    process: Some(process),
                    restarts: 0,
                }),
                Err(error) => {
                    supervisor.end_from(0);
                    let text = format!("child `{}` did not start: {}", child.id, error.into_reason());
                    return Err(ExitReason::Error(text));
                }
            }
        }
        Ok(supervisor)
    }

    fn handle_call(&mut self, request: Request) -> Next {
        match request {
            Request::Children(reply) => reply.send(self.infos()),
            Request::Add(child, reply) => reply.send(self.add(child)),
            Request::Terminate(id, reply) => reply.send(self.terminate_by_hand(&id)),
            Request::Restart(id, reply) => reply.send(self.restart_by_hand(&id)),
            Request::Delete(id, reply) => reply.send(self.delete(&id)),
        }
        Next::Continue
    }

    fn handle_info(&mut self, info: Info) -> Next {
        let Info::Exit { from, reason } = info else {
            return Next::Continue;
        };
        let ended = self.children.iter().position(|entry| entry.process == Some(from));
        match ended {
            Some(index) => self.child_ended(index, &reason),
            // Not a child, or one that was ended on purpose.
            None => Next::Continue,
        }
    }

    fn terminate(&mut self, _: &ExitReason) {
        self.end_from(0);
    }
}

impl<S: Supervise> Supervisor<S> {
    fn infos(&self) -> Vec<ChildInfo> {
        let info = |entry: &Entry| ChildInfo {
            id: entry.child.id.clone(),
            process: entry.process,
            kind: entry.child.kind,
            restart: entry.child.restart,
            restarts: entry.restarts,
        };
        self.children.iter().map(info).collect()
    }

    fn place(&self, id: &str) -> Result<usize, SuperviseError> {
        let place = self.children.iter().position(|entry| entry.child.id == id);
        place.ok_or(SuperviseError::NotFound)
    }

    fn add(&mut self, new: NewChild) -> Result<Process, SuperviseError> {
        if self.place(&new.id).is_ok() {
            return Err(SuperviseError::Exists);
        }
        let Some(make) = self.spec.addable.get(&new.actor) else {
            return Err(SuperviseError::Refused(
                "its type of actor was not said to be addable".to_owned(),
            ));
        };
        let child = make(new.id, new.args).restart(new.restart).shutdown(new.shutdown);
        let process = child
            .start()
            .map_err(|error| SuperviseError::Start(error.to_string()))?;
        self.children.push(Entry {
            child,
            process: Some(process),
            restarts: 0,
        });
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
        if entry.process.is_some() {
            return Err(SuperviseError::Running);
        }
        let process = entry
            .child
            .start()
            .map_err(|error| SuperviseError::Start(error.to_string()))?;
        entry.process = Some(process);
        Ok(process)
    }

    fn delete(&mut self, id: &str) -> Result<(), SuperviseError> {
        let place = self.place(id)?;
        if self.children[place].process.is_some() {
            return Err(SuperviseError::Running);
        }
        self.children.remove(place);
        Ok(())
    }

    /// Ends a child, if it runs.
    fn end(&mut self, place: usize) {
        let entry = &mut self.children[place];
        if let Some(process) = entry.process.take() {
            Child::end(entry.child.shutdown, process);
        }
    }

    /// Ends this child and those after it, the last first. Temporary ones are forgotten.
    fn end_from(&mut self, first: usize) {
        for place in (first..self.children.len()).rev() {
            self.end(place);
        }
    }

    /// A child has ended by itself.
    fn child_ended(&mut self, place: usize, reason: &ExitReason) -> Next {
        let entry = &mut self.children[place];
        entry.process = None;
        let again = match entry.child.restart {
            Restart::Permanent => true,
            Restart::Transient => !reason.is_orderly(),
            Restart::Temporary => false,
        };
        if again {
            return self.restart(place, reason);
        }
        let (is_significant, id) = (entry.child.significant, entry.child.id.clone());
        if entry.child.restart == Restart::Temporary {
            self.children.remove(place);
        }
        let ends = match self.spec.auto_shutdown {
            AutoShutdown::Never => false,
            AutoShutdown::AnySignificant => is_significant,
            AutoShutdown::AllSignificant => {
                let runs = |entry: &Entry| entry.child.significant && entry.process.is_some();
                is_significant && !self.children.iter().any(runs)
            }
        };
        if ends {
            self.say(&format!("ends, since its significant child `{id}` {reason}"));
            return Next::Stop(ExitReason::Shutdown);
        }
        Next::Continue
    }

    /// Starts a child again, and others as the strategy says; gives up if that is one time too many.
    fn restart(&mut self, failed: usize, reason: &ExitReason) -> Next {
        let (id, mut why) = (self.children[failed].child.id.clone(), reason.to_string());
        loop {
            let Intensity { restarts, period } = self.spec.intensity;
            if !self.restarts.count(Instant::now(), self.spec.intensity) {
                self.say(&format!(
                    "gives up: child `{id}` {why}, and was to be restarted more than {restarts} times in {period:?}"
                ));
                return Next::Stop(ExitReason::Shutdown);
            }
            self.children[failed].restarts += 1;
            let (count, in_period) = (self.children[failed].restarts, self.restarts.len());
            self.say(&format!(
                "restarts child `{id}`, which {why} (restart {count} of it; {in_period} of at most {restarts} in {period:?})"
            ));
            match self.start_again(failed) {
                Ok(()) => return Next::Continue,
                // Counts as a restart of the one that did not start.
                Err(error) => why = error,
            }
        }
    }

    /// Ends and starts whom the strategy says. What did not start, in words.
    fn start_again(&mut self, failed: usize) -> Result<(), String> {
        let places = match self.spec.strategy {
            Strategy::OneForOne => failed..failed + 1,
            Strategy::OneForAll => 0..self.children.len(),
            Strategy::RestForOne => failed..self.children.len(),
        };
        for place in places.clone().rev() {
            self.end(place);
        }
        for place in places {
            let entry = &mut self.children[place];
            // One of the others that is temporary was ended and stays so.
            if entry.child.restart == Restart::Temporary {
                continue;
            }
            match entry.child.start() {
                Ok(process) => entry.process = Some(process),
                Err(error) => return Err(format!("could not be started: `{}` {error}", entry.child.id)),
            }
        }
        self.children
            .retain(|entry| entry.child.restart != Restart::Temporary || entry.process.is_some());
        Ok(())
    }

    fn say(&self, what: &str) {
        if !self.spec.quiet {
            eprintln!("supervisor {} {what}", this_process());
        }
    }
}

impl<S> fmt::Debug for Supervisor<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor")
            .field("children", &self.children.len())
            .finish_non_exhaustive()
    }
}

impl From<StartError> for SuperviseError {
    fn from(error: StartError) -> Self {
        Self::Start(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idle(id: &str) -> Child {
        Child::process(id, || {})
    }

    #[track_caller]
    fn faulty(spec: Spec, wrong: &str) {
        let error = spec.check().unwrap_err();
        assert!(error.contains(wrong), "{error}");
    }

    #[test]
    fn faulty_specs_say_what_is_wrong() {
        faulty(
            Spec::one_for_one().child(idle("a")).child(idle("a")),
            "two children have the id `a`",
        );
        faulty(Spec::one_for_one().intensity(3, Duration::ZERO), "period");
        faulty(
            Spec::one_for_one().child(idle("a").restart(Restart::Transient).significant()),
            "never shuts down",
        );
        let any = || Spec::one_for_one().auto_shutdown(AutoShutdown::AnySignificant);
        faulty(any().child(idle("a").significant()), "significant and permanent");
        any()
            .child(idle("a").restart(Restart::Temporary).significant())
            .check()
            .unwrap();
    }
}
