//! What a running supervisor can be asked.

use std::error::Error;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::spec::MakeChild;
use super::{Child, Kind, Restart, Shutdown, Supervise, Supervisor};
use crate::actor::{self, Actor, ActorRef, StartError};
use crate::mailbox::{CallError, ReplyTo, tag_of};
use crate::process::Process;

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
    /// How often it was started again, or at least tried to.
    pub restarts: u64,
    /// It does not run, and the supervisor is about to start it again: its last start failed, or its
    /// [back-off](super::Backoff) is not over. OTP's `restarting`.
    pub restarting: bool,
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
    /// The supervisor is about to start the child again.
    Restarting,
    /// The child did not start; why, in words.
    Start(String),
    /// The supervisor takes no such children: see [`Spec::addable`](super::Spec::addable); or the child is wrong: in what way.
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
            Self::Restarting => f.write_str("the supervisor is about to start the child again"),
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

impl From<StartError> for SuperviseError {
    fn from(error: StartError) -> Self {
        Self::Start(error.to_string())
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

#[derive(Clone, Debug, Serialize, Deserialize)]
#[doc(hidden)]
pub struct NewChild {
    pub(super) id: String,
    pub(super) actor: u64,
    pub(super) args: Vec<u8>,
    pub(super) restart: Restart,
    pub(super) shutdown: Shutdown,
}

impl NewChild {
    pub(super) fn make(&self, make: MakeChild) -> Child {
        make(self.id.clone(), self.args.clone())
            .restart(self.restart)
            .shutdown(self.shutdown)
    }
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

    /// Adds a child behind all others and starts it. The type of actor must be [`addable`](super::Spec::addable).
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

    /// Ends a child, and keeps it for [`restart_child`](Self::restart_child), unless it is temporary. One that was to be
    /// restarted is not.
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
