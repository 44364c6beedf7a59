//! Supervisors of any number of children of one kind, which come and go.

use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::intensity::Restarts;
use super::{Child, Intensity, Restart, Shutdown, SuperviseError};
use crate::actor::{self, Actor, ActorRef, Info, Next};
use crate::exit::ExitReason;
use crate::mailbox::ReplyTo;
use crate::process::{self, Process, this_process};

/// How a [`DynamicSupervisor`] sees to its children.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DynamicOptions {
    /// When a child is started again.
    pub restart: Restart,
    /// How a child is ended.
    pub shutdown: Shutdown,
    /// How many restarts of all children together are too many.
    pub intensity: Intensity,
    /// The largest number of children; none: no limit but the host's.
    pub children_max: Option<u64>,
    /// Restarts are not written to standard error.
    pub quiet: bool,
}

/// Supervises any number of actors of type `A`, each started by [`start_child`](ActorRef::start_child) with arguments of
/// its own, with which it is also restarted. As Elixir's `DynamicSupervisor`, or OTP's `simple_one_for_one`.
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
    /// What each child began with.
    children: HashMap<Process, Vec<u8>>,
    restarts: Restarts,
    actor: PhantomData<A>,
}

/// What a dynamic supervisor is asked, by the functions of its [`ActorRef`].
#[derive(Debug, Serialize, Deserialize)]
#[doc(hidden)]
pub enum DynamicRequest {
    Start(Vec<u8>, ReplyTo<Result<Process, SuperviseError>>),
    Terminate(Process, ReplyTo<Result<(), SuperviseError>>),
    Children(ReplyTo<Vec<Process>>),
    Count(ReplyTo<u64>),
}

impl<A: Actor> ActorRef<DynamicSupervisor<A>> {
    /// Starts a child, and waits until it is ready.
    ///
    /// # Errors
    ///
    /// [`SuperviseError`].
    ///
    /// # Panics
    ///
    /// If the arguments cannot be written as bytes.
    pub fn start_child(&self, args: A::Args) -> Result<ActorRef<A>, SuperviseError> {
        let args = actor::encode_args::<A>(&args);
        self.call(|reply| DynamicRequest::Start(args, reply))?.map(ActorRef::of)
    }

    /// Ends a child and forgets it. A child that was restarted is another one.
    ///
    /// # Errors
    ///
    /// [`SuperviseError`].
    pub fn terminate_child(&self, child: ActorRef<A>) -> Result<(), SuperviseError> {
        self.call(|reply| DynamicRequest::Terminate(child.process(), reply))?
    }

    /// All children, in no order.
    ///
    /// # Errors
    ///
    /// [`SuperviseError::Gone`].
    pub fn child_actors(&self) -> Result<Vec<ActorRef<A>>, SuperviseError> {
        let children = self.call(DynamicRequest::Children)?;
        Ok(children.into_iter().map(ActorRef::of).collect())
    }

    /// The number of children.
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
        Ok(Self {
            options,
            children: HashMap::new(),
            restarts: Restarts::default(),
            actor: PhantomData,
        })
    }

    fn handle_call(&mut self, request: DynamicRequest) -> Next {
        match request {
            DynamicRequest::Start(args, reply) => reply.send(self.add(args)),
            DynamicRequest::Terminate(child, reply) => reply.send(match self.children.remove(&child) {
                Some(_) => {
                    Child::end(self.options.shutdown, child);
                    Ok(())
                }
                None => Err(SuperviseError::NotFound),
            }),
            DynamicRequest::Children(reply) => reply.send(self.children.keys().copied().collect()),
            DynamicRequest::Count(reply) => reply.send(self.children.len() as u64),
        }
        Next::Continue
    }

    fn handle_info(&mut self, info: Info) -> Next {
        let Info::Exit { from, reason } = info else {
            return Next::Continue;
        };
        let Some(args) = self.children.remove(&from) else {
            return Next::Continue;
        };
        let again = match self.options.restart {
            Restart::Permanent => true,
            Restart::Transient => !reason.is_orderly(),
            Restart::Temporary => false,
        };
        if again {
            self.restart(from, args, &reason)
        } else {
            Next::Continue
        }
    }

    fn terminate(&mut self, _: &ExitReason) {
        let children: Vec<Process> = self.children.drain().map(|(child, _)| child).collect();
        end_all(self.options.shutdown, &children);
    }
}

/// Ends children together: all are told, and then all are waited for, at most as long as for one.
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
    fn add(&mut self, args: Vec<u8>) -> Result<Process, SuperviseError> {
        if let Some(most) = self.options.children_max
            && self.children.len() as u64 >= most
        {
            return Err(SuperviseError::Refused(format!(
                "it has {most} children, its largest number"
            )));
        }
        let child = actor::start_from_bytes::<A>(&Process::builder().link(), &args)?;
        self.children.insert(child, args);
        Ok(child)
    }

    fn restart(&mut self, child: Process, args: Vec<u8>, reason: &ExitReason) -> Next {
        let mut why = reason.to_string();
        loop {
            let Intensity { restarts, period } = self.options.intensity;
            if !self.restarts.count(Instant::now(), self.options.intensity) {
                self.say(&format!(
                    "gives up: child {child} {why}, and would be restart number {} in {period:?}",
                    u64::from(restarts) + 1
                ));
                return Next::Stop(ExitReason::Shutdown);
            }
            self.say(&format!(
                "restarts child {child}, which {why} ({} of at most {restarts} in {period:?})",
                self.restarts.len()
            ));
            match actor::start_from_bytes::<A>(&Process::builder().link(), &args) {
                Ok(child) => {
                    self.children.insert(child, args);
                    return Next::Continue;
                }
                Err(error) => why = format!("could not be started: {error}"),
            }
        }
    }

    fn say(&self, what: &str) {
        if !self.options.quiet {
            eprintln!("supervisor {} {what}", this_process());
        }
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
