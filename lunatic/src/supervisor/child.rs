//! Children of a supervisor: how they are started, when they are restarted and how they are terminated.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Backoff, Supervise, Supervisor};
use crate::actor::{self, Actor, StartError};
use crate::exit::ExitReason;
use crate::node::Node;
use crate::process::{Builder, Capture, Entry, Process};

/// When a child that has exited is restarted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Restart {
    /// Always.
    #[default]
    Permanent,
    /// Only after a failure: any reason but [`Normal`](ExitReason::Normal) and [`Shutdown`](ExitReason::Shutdown).
    Transient,
    /// Never. The supervisor forgets the child once it has exited.
    Temporary,
}

impl Restart {
    /// Whether a child that has exited with this reason is restarted.
    pub(super) fn is_for(self, reason: &ExitReason) -> bool {
        match self {
            Self::Permanent => true,
            Self::Transient => !reason.is_orderly(),
            Self::Temporary => false,
        }
    }
}

/// How a child is terminated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shutdown {
    /// By an exit signal with [`ExitReason::Shutdown`]; a child that has not exited after this time is killed.
    Timeout(Duration),
    /// By a kill, immediately.
    BrutalKill,
    /// By an exit signal with [`ExitReason::Shutdown`], without a time limit: for supervisors.
    Infinity,
}

impl Default for Shutdown {
    /// A timeout of five seconds.
    fn default() -> Self {
        Self::Timeout(Duration::from_secs(5))
    }
}

/// Whether a child is itself a supervisor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// It is not a supervisor.
    Worker,
    /// It is a supervisor.
    Supervisor,
}

type Start = Box<dyn Fn(&Builder) -> Result<Process, StartError>>;

/// How a supervisor starts, restarts and terminates one child: OTP's *child specification*.
pub struct Child {
    pub(super) id: String,
    pub(super) kind: Kind,
    pub(super) restart: Restart,
    pub(super) shutdown: Shutdown,
    pub(super) significant: bool,
    pub(super) backoff: Option<Backoff>,
    builder: Builder,
    start: Start,
}

impl Child {
    fn new(id: impl Into<String>, kind: Kind, shutdown: Shutdown, start: Start) -> Self {
        Self {
            id: id.into(),
            kind,
            restart: Restart::Permanent,
            shutdown,
            significant: false,
            backoff: None,
            builder: Process::builder().link(),
            start,
        }
    }

    /// A child that is an actor, started with `args` each time. The id identifies the child within its supervisor.
    ///
    /// # Panics
    ///
    /// If the argument cannot be encoded.
    pub fn actor<A: Actor>(id: impl Into<String>, args: A::Args) -> Self {
        Self::actor_from_bytes::<A>(id.into(), actor::encode_args::<A>(&args))
    }

    pub(super) fn actor_from_bytes<A: Actor>(id: String, args: Vec<u8>) -> Self {
        let start = move |builder: &Builder| actor::start_from_bytes::<A>(builder, &args);
        Self::new(id, Kind::Worker, Shutdown::default(), Box::new(start))
    }

    /// A child that is a supervisor. By default it is terminated without a time limit ([`Shutdown::Infinity`]).
    ///
    /// # Panics
    ///
    /// If the argument cannot be encoded.
    pub fn supervisor<S: Supervise>(id: impl Into<String>, args: S::Args) -> Self {
        Self {
            kind: Kind::Supervisor,
            ..Self::actor::<Supervisor<S>>(id, args).shutdown(Shutdown::Infinity)
        }
    }

    /// A child that is a process running a closure.
    pub fn process<F: Entry + Capture>(id: impl Into<String>, entry: F) -> Self {
        let start = move |builder: &Builder| builder.spawn(entry).map_err(StartError::Spawn);
        Self::new(id, Kind::Worker, Shutdown::default(), Box::new(start))
    }

    /// Sets when the child is restarted. The default is [`Restart::Permanent`].
    #[must_use]
    pub fn restart(mut self, restart: Restart) -> Self {
        self.restart = restart;
        self
    }

    /// Sets how long restarts of the child wait. The default is the back-off of the [supervisor](super::Spec::backoff).
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = Some(backoff);
        self
    }

    /// Sets how the child is terminated. The default is a timeout of five seconds, and no limit for a supervisor.
    #[must_use]
    pub fn shutdown(mut self, shutdown: Shutdown) -> Self {
        self.shutdown = shutdown;
        self
    }

    /// Sets the name under which the child is [registered](crate::registry) each time it is started.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.builder = self.builder.name(name);
        self
    }

    /// Starts the child on this [node](crate::node) each time. While the node is not connected, starts fail, which counts
    /// as a restart each time. A name of the child must be a [global](crate::node::global) one.
    #[must_use]
    pub fn node(mut self, node: Node) -> Self {
        self.builder = self.builder.node(node);
        self
    }

    /// Limits the memory of the child, and of each of its descendants, to this many bytes.
    #[must_use]
    pub fn max_memory(mut self, bytes: u64) -> Self {
        self.builder = self.builder.max_memory(bytes);
        self
    }

    /// Marks the child as significant: its exit can terminate the supervisor, see
    /// [`AutoShutdown`](super::AutoShutdown).
    #[must_use]
    pub fn significant(mut self) -> Self {
        self.significant = true;
        self
    }

    /// Starts the child, linked to the calling supervisor.
    pub(super) fn start(&self) -> Result<Process, StartError> {
        (self.start)(&self.builder)
    }

    /// Terminates a running child that is linked to the calling supervisor. No signal of the child arrives afterwards.
    pub(super) fn end(shutdown: Shutdown, process: Process) -> ExitReason {
        process.unlink();
        let patience = match shutdown {
            Shutdown::BrutalKill => Duration::ZERO,
            Shutdown::Timeout(patience) => patience,
            Shutdown::Infinity => Duration::MAX,
        };
        if shutdown != Shutdown::BrutalKill {
            process.exit(&ExitReason::Shutdown);
        }
        match process.join_timeout(patience) {
            Ok(reason) => reason,
            Err(_) => {
                process.kill();
                process.join()
            }
        }
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child")
            .field("id", &self.id)
            .field("kind", &self.kind)
            .field("restart", &self.restart)
            .field("shutdown", &self.shutdown)
            .field("significant", &self.significant)
            .finish_non_exhaustive()
    }
}
