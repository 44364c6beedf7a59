//! Supervisors of any number of children of one type, which are added and removed at run time.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::marker::PhantomData;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::backoff::Streak;
use super::restarts::{Due, Restarts};
use super::{Backoff, Child, Intensity, Restart, Shutdown, SuperviseError};
use crate::actor::{self, Actor, ActorRef, Info, Next};
use crate::code::{Saved, StateError, Version};
use crate::exit::ExitReason;
use crate::mailbox::ReplyTo;
use crate::process::{self, Process};

/// The options of a [`DynamicSupervisor`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DynamicOptions {
    /// When a child is restarted.
    pub restart: Restart,
    /// How a child is terminated.
    pub shutdown: Shutdown,
    /// How many restarts of all children together are allowed.
    pub intensity: Intensity,
    /// How long restarts of each child wait. `None` (the default): restarts are immediate, as in OTP.
    pub backoff: Option<Backoff>,
    /// The largest number of children. `None` (the default): no limit but the host's.
    pub children_max: Option<u64>,
    /// Whether restarts are not reported on standard error.
    pub quiet: bool,
}

/// Supervises any number of actors of type `A`. Each is started by [`start_child`](ActorRef::start_child) with its own
/// argument, and is restarted with the same argument. Modelled on Elixir's `DynamicSupervisor` and OTP's
/// `simple_one_for_one`.
///
/// # Examples
///
/// ```no_run
/// use lunatic::actor::Actor;
/// use lunatic::supervisor::{DynamicOptions, DynamicSupervisor};
/// # struct Session;
/// # impl Actor for Session {
/// #     type Args = u64;
/// #     type Call = ();
/// #     type Cast = ();
/// #     fn init(_: u64) -> Result<Self, lunatic::ExitReason> { Ok(Session) }
/// # }
///
/// let sessions = DynamicSupervisor::<Session>::start(DynamicOptions::default()).unwrap();
/// let first = sessions.start_child(1).unwrap();
/// assert_eq!(sessions.child_count().unwrap(), 1);
/// sessions.terminate_child(first).unwrap();
/// ```
pub struct DynamicSupervisor<A> {
    options: DynamicOptions,
    children: HashMap<Process, Begun>,
    /// Children that wait for a restart, by the last process of each.
    restarting: HashMap<Process, Restarting>,
    restarts: Restarts<Process>,
    actor: PhantomData<A>,
}

/// A child.
struct Begun {
    /// The argument that it is started with, as bytes.
    args: Vec<u8>,
    streak: Streak,
}

/// The state of a dynamic supervisor, as another version reads it.
#[derive(Serialize, Deserialize)]
struct SavedDynamic {
    options: DynamicOptions,
    children: Vec<SavedChild>,
    /// The ages of the restarts that still count towards the intensity.
    restarts: Vec<Duration>,
}

#[derive(Serialize, Deserialize)]
struct SavedChild {
    /// The process of the child, or its last one.
    process: Process,
    args: Vec<u8>,
    streak: (u32, Option<Duration>),
    /// The delay and the reason of a restart that is waiting; `None` if the child is running.
    restarting: Option<(Duration, String)>,
}

struct Restarting {
    child: Begun,
    due: Due,
    why: String,
}

/// The requests to a dynamic supervisor, made by the methods of its [`ActorRef`].
#[derive(Debug, Serialize, Deserialize)]
#[doc(hidden)]
pub enum DynamicRequest {
    Start(Vec<u8>, ReplyTo<Result<Process, SuperviseError>>),
    Terminate(Process, ReplyTo<Result<(), SuperviseError>>),
    Children(ReplyTo<Vec<Process>>),
    Count(ReplyTo<u64>),
}

impl<A: Actor> ActorRef<DynamicSupervisor<A>> {
    /// Starts a child and waits until it is ready.
    ///
    /// # Errors
    ///
    /// [`SuperviseError`].
    ///
    /// # Panics
    ///
    /// If the argument cannot be encoded.
    pub fn start_child(&self, args: A::Args) -> Result<ActorRef<A>, SuperviseError> {
        let args = actor::encode_args::<A>(&args);
        self.call(|reply| DynamicRequest::Start(args, reply))?.map(ActorRef::of)
    }

    /// Terminates a child and forgets it.
    ///
    /// A restart gives a child a new process and so a new [`ActorRef`]. A child that waits for its restart is
    /// identified by the process that failed.
    ///
    /// # Errors
    ///
    /// [`SuperviseError`].
    pub fn terminate_child(&self, child: ActorRef<A>) -> Result<(), SuperviseError> {
        self.call(|reply| DynamicRequest::Terminate(child.process(), reply))?
    }

    /// Returns all children that are running, in no particular order.
    ///
    /// # Errors
    ///
    /// [`SuperviseError::Gone`].
    pub fn child_actors(&self) -> Result<Vec<ActorRef<A>>, SuperviseError> {
        let children = self.call(DynamicRequest::Children)?;
        Ok(children.into_iter().map(ActorRef::of).collect())
    }

    /// Returns the number of children, including those that wait for a restart.
    ///
    /// # Errors
    ///
    /// [`SuperviseError::Gone`].
    pub fn child_count(&self) -> Result<u64, SuperviseError> {
        Ok(self.call(DynamicRequest::Count)?)
    }
}

impl<A: Actor> Actor for DynamicSupervisor<A> {
    type Args = DynamicOptions;
    type Call = DynamicRequest;
    type Cast = ();

    fn init(options: DynamicOptions) -> Result<Self, ExitReason> {
        process::trap_exit(true);
        Ok(Self::new(options))
    }

    fn save(&self) -> Option<Result<Saved, StateError>> {
        let running = self.children.iter().map(|(process, child)| SavedChild {
            process: *process,
            args: child.args.clone(),
            streak: child.streak.to_saved(),
            restarting: None,
        });
        let restarting = self.restarting.iter().map(|(process, restarting)| SavedChild {
            process: *process,
            args: restarting.child.args.clone(),
            streak: restarting.child.streak.to_saved(),
            restarting: Some((restarting.due.left(), restarting.why.clone())),
        });
        let saved = SavedDynamic {
            options: self.options.clone(),
            children: running.chain(restarting).collect(),
            restarts: self.restarts.ages(Instant::now()),
        };
        Some(Saved::of(&saved))
    }

    fn code_change(old: Saved, _: Version) -> Result<Self, StateError> {
        let saved: SavedDynamic = old.read()?;
        let mut supervisor = Self::new(saved.options);
        supervisor.restarts.set_ages(&saved.restarts, Instant::now());
        // Many children may have been started with the same.
        let args: HashSet<&[u8]> = saved.children.iter().map(|child| &*child.args).collect();
        args.into_iter().try_for_each(actor::check_args::<A>)?;
        for child in saved.children {
            let begun = Begun {
                args: child.args,
                streak: Streak::from_saved(child.streak),
            };
            match child.restarting {
                None => _ = supervisor.children.insert(child.process, begun),
                Some((left, why)) => supervisor.wait_to_restart(child.process, begun, why, left),
            }
        }
        Ok(supervisor)
    }

    fn handle_call(&mut self, request: DynamicRequest) -> Next {
        match request {
            DynamicRequest::Start(args, reply) => reply.send(self.add(args)),
            DynamicRequest::Terminate(child, reply) => reply.send(self.terminate_by_hand(child)),
            DynamicRequest::Children(reply) => reply.send(self.children.keys().copied().collect()),
            DynamicRequest::Count(reply) => reply.send(self.count()),
        }
        Next::Continue
    }

    fn handle_info(&mut self, info: Info) -> Next {
        let Info::Exit { from, reason } = info else {
            return actor::ignore::<Self>(info);
        };
        let Some(mut child) = self.children.remove(&from) else {
            return Next::Continue;
        };
        if !self.options.restart.is_for(&reason) {
            return Next::Continue;
        }
        let (why, delay) = (reason.to_string(), child.streak.failed(self.options.backoff.as_ref()));
        if delay.is_zero() {
            return self.restart(from, child, &why);
        }
        self.restart_later(from, child, why, delay);
        Next::Continue
    }

    fn alarm(&self) -> Option<Instant> {
        self.restarts.next()
    }

    fn handle_alarm(&mut self) -> Next {
        let next = self.restarts.take_due();
        let restarting = next.and_then(|process| Some((process, self.restarting.remove(&process)?)));
        match restarting {
            Some((process, Restarting { child, why, .. })) => self.restart(process, child, &why),
            None => Next::Continue,
        }
    }

    fn terminate(&mut self, _: &ExitReason) {
        let children: Vec<Process> = self.children.drain().map(|(child, _)| child).collect();
        end_all(self.options.shutdown, &children);
    }
}

/// Terminates children in parallel: signals all of them, then waits for all, no longer than the time limit of one.
pub(super) fn end_all(shutdown: Shutdown, children: &[Process]) {
    for child in children {
        child.unlink();
        match shutdown {
            Shutdown::BrutalKill => child.kill(),
            Shutdown::Timeout(_) | Shutdown::Infinity => child.exit(&ExitReason::Shutdown),
        }
    }
    let start = Instant::now();
    for child in children {
        let patience = match shutdown {
            Shutdown::Timeout(patience) => patience.saturating_sub(start.elapsed()),
            Shutdown::BrutalKill | Shutdown::Infinity => Duration::MAX,
        };
        if child.join_timeout(patience).is_err() {
            child.kill();
            child.join();
        }
    }
}

impl<A: Actor> DynamicSupervisor<A> {
    fn new(options: DynamicOptions) -> Self {
        Self {
            restarts: Restarts::new("supervisor", options.intensity, options.quiet),
            options,
            children: HashMap::new(),
            restarting: HashMap::new(),
            actor: PhantomData,
        }
    }

    fn count(&self) -> u64 {
        (self.children.len() + self.restarting.len()) as u64
    }

    fn add(&mut self, args: Vec<u8>) -> Result<Process, SuperviseError> {
        if let Some(most) = self.options.children_max
            && self.count() >= most
        {
            return Err(SuperviseError::Refused(format!(
                "it has {most} children already, which is its limit"
            )));
        }
        let process = actor::start_from_bytes::<A>(&Process::builder().link(), &args)?;
        let streak = Streak::started(self.options.backoff.as_ref());
        self.children.insert(process, Begun { args, streak });
        Ok(process)
    }

    fn terminate_by_hand(&mut self, child: Process) -> Result<(), SuperviseError> {
        if self.children.remove(&child).is_some() {
            Child::end(self.options.shutdown, child);
            return Ok(());
        }
        let restarting = self.restarting.remove(&child).ok_or(SuperviseError::NotFound)?;
        self.restarts.cancel(restarting.due);
        Ok(())
    }

    /// Restarts the child whose last process was `process`; gives up if that is one restart too many.
    fn restart(&mut self, process: Process, mut child: Begun, why: &str) -> Next {
        let name = format!("child {process}");
        if !self.restarts.count(Instant::now()) {
            self.restarts.say_too_many(&name, why);
            return Next::Stop(ExitReason::Shutdown);
        }
        self.restarts.say_restart(&name, why, None);
        let backoff = self.options.backoff.as_ref();
        match actor::start_from_bytes::<A>(&Process::builder().link(), &child.args) {
            Ok(process) => {
                child.streak = child.streak.restarted(backoff);
                self.children.insert(process, child);
            }
            Err(error) => {
                let delay = child.streak.failed(backoff);
                self.restart_later(process, child, format!("could not be started: {error}"), delay);
            }
        }
        Next::Continue
    }

    fn restart_later(&mut self, process: Process, child: Begun, why: String, delay: Duration) {
        self.restarts.say_wait(&format!("child {process}"), &why, delay);
        self.wait_to_restart(process, child, why, delay);
    }

    fn wait_to_restart(&mut self, process: Process, child: Begun, why: String, delay: Duration) {
        let due = self.restarts.wait(process, delay);
        self.restarting.insert(process, Restarting { child, due, why });
    }
}

impl<A> fmt::Debug for DynamicSupervisor<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamicSupervisor")
            .field("options", &self.options)
            .field("children", &self.children.len())
            .finish_non_exhaustive()
    }
}
