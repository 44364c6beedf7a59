//! Requests to a running supervisor.

use std::error::Error;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::spec::MakeChild;
use super::{Child, Kind, Restart, Shutdown, Supervise, Supervisor};
use crate::actor::{self, Actor, ActorRef, StartError};
use crate::mailbox::{CallError, ReplyTo, tag_of};
use crate::process::Process;

/// The state of a child, returned by [`children`](ActorRef::children).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ChildInfo {
    /// The id of the child within its supervisor.
    pub id: String,
    /// The process of the child, while it is running.
    pub process: Option<Process>,
    /// Whether the child is itself a supervisor.
    pub kind: Kind,
    /// When the child is restarted.
    pub restart: Restart,
    /// How often the supervisor has restarted the child, or tried to.
    pub restarts: u64,
    /// Whether the child is not running and its supervisor is going to restart it: its last start failed, or its
    /// [back-off](super::Backoff) is not over. OTP's `restarting`.
    pub restarting: bool,
}

/// Why a supervisor could not fulfil a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum SuperviseError {
    /// No child has this id.
    NotFound,
    /// Another child has this id.
    Exists,
    /// The child is running.
    Running,
    /// The supervisor is going to restart the child.
    Restarting,
    /// The child could not be started; the text gives the reason.
    Start(String),
    /// The supervisor does not accept this child; the text gives the reason. For example, its type is not
    /// [`addable`](super::Spec::addable).
    Refused(String),
    /// The supervisor has exited, or does not answer; the text gives the reason.
    Gone(String),
}

impl fmt::Display for SuperviseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("no child has this id"),
            Self::Exists => f.write_str("another child has this id"),
            Self::Running => f.write_str("the child is running"),
            Self::Restarting => f.write_str("the supervisor is going to restart the child"),
            Self::Start(why) => write!(f, "the child did not start: {why}"),
            Self::Refused(why) => write!(f, "the supervisor does not accept the child: {why}"),
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

/// The requests to a supervisor, made by the methods of its [`ActorRef`].
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
    /// Returns the children, in the order in which they are started.
    ///
    /// # Errors
    ///
    /// [`SuperviseError::Gone`].
    pub fn children(&self) -> Result<Vec<ChildInfo>, SuperviseError> {
        Ok(self.call(Request::Children)?)
    }

    /// Adds a child after all others and starts it. Its type must be [`addable`](super::Spec::addable).
    ///
    /// # Errors
    ///
    /// [`SuperviseError`]. A child that cannot be started is not added.
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

    /// Terminates a child. Unless it is temporary, the supervisor keeps it for [`restart_child`](Self::restart_child).
    /// If the child was waiting for a restart, the restart is cancelled.
    ///
    /// # Errors
    ///
    /// [`SuperviseError`].
    pub fn terminate_child(&self, id: impl Into<String>) -> Result<(), SuperviseError> {
        self.call(|reply| Request::Terminate(id.into(), reply))?
    }

    /// Starts a child that has exited, and returns its new process.
    ///
    /// # Errors
    ///
    /// [`SuperviseError`].
    pub fn restart_child(&self, id: impl Into<String>) -> Result<Process, SuperviseError> {
        self.call(|reply| Request::Restart(id.into(), reply))?
    }

    /// Removes a child that has exited.
    ///
    /// # Errors
    ///
    /// [`SuperviseError`].
    pub fn delete_child(&self, id: impl Into<String>) -> Result<(), SuperviseError> {
        self.call(|reply| Request::Delete(id.into(), reply))?
    }
}
