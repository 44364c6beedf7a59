//! Children of a supervisor: what is started, when again, and how it is ended.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Backoff, Supervise, Supervisor};
use crate::actor::{self, Actor, StartError};
use crate::exit::ExitReason;
use crate::process::{Builder, Capture, Process};

/// When a child that has ended is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Restart {
    /// Always.
    #[default]
    Permanent,
    /// Unless it ended in good order: [`Normal`](ExitReason::Normal) or [`Shutdown`](ExitReason::Shutdown).
    Transient,
    /// Never. The supervisor forgets it when it has ended.
    Temporary,
}

impl Restart {
    /// Whether a child that has ended with this reason is started again.
    pub(super) fn is_for(self, reason: &ExitReason) -> bool {
        match self {
            Self::Permanent => true,
            Self::Transient => !reason.is_orderly(),
            Self::Temporary => false,
        }
    }
}

/// How a child is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shutdown {
    /// By an exit signal, [`ExitReason::Shutdown`]; if it has not ended after this time, it is killed.
    Timeout(Duration),
    /// It is killed at once.
    BrutalKill,
    /// By an exit signal, however long it takes: for supervisors.
    Infinity,
}

impl Default for Shutdown {
    /// After five seconds.
    fn default() -> Self {
        Self::Timeout(Duration::from_secs(5))
    }
}

/// Whether a child has children.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// It works.
    Worker,
    /// It supervises.
    Supervisor,
}

type Start = Box<dyn Fn(&Builder) -> Result<Process, StartError>>;

/// What a supervisor knows of a child before it starts it: OTP's *child specification*.
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

    /// An actor that begins with these arguments, each time it is started. The id is what it is known by in its supervisor.
    ///
    /// # Panics
    ///
    /// If the arguments cannot be written as bytes.
    pub fn actor<A: Actor>(id: impl Into<String>, args: A::Args) -> Self {
        Self::actor_from_bytes::<A>(id.into(), actor::encode_args::<A>(&args))
    }

    pub(super) fn actor_from_bytes<A: Actor>(id: String, args: Vec<u8>) -> Self {
        let start = move |builder: &Builder| actor::start_from_bytes::<A>(builder, &args);
        Self::new(id, Kind::Worker, Shutdown::default(), Box::new(start))
    }

    /// A supervisor. It is given all the time that it needs to end.
    ///
    /// # Panics
    ///
    /// If the arguments cannot be written as bytes.
    pub fn supervisor<S: Supervise>(id: impl Into<String>, args: S::Args) -> Self {
        Self {
            kind: Kind::Supervisor,
            ..Self::actor::<Supervisor<S>>(id, args).shutdown(Shutdown::Infinity)
        }
    }

    /// A process that runs a closure.
    pub fn process<F: FnOnce() + Capture>(id: impl Into<String>, entry: F) -> Self {
        let start = move |builder: &Builder| builder.spawn(entry).map_err(StartError::Spawn);
        Self::new(id, Kind::Worker, Shutdown::default(), Box::new(start))
    }

    /// When it is started again. If nothing is said: [`Restart::Permanent`].
    #[must_use]
    pub fn restart(mut self, restart: Restart) -> Self {
        self.restart = restart;
        self
    }

    /// How long its restarts wait. If nothing is said: as its [supervisor](super::Spec::backoff) says.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = Some(backoff);
        self
    }

    /// How it is ended. If nothing is said: after five seconds, and a supervisor without a limit of time.
    #[must_use]
    pub fn shutdown(mut self, shutdown: Shutdown) -> Self {
        self.shutdown = shutdown;
        self
    }

    /// The name under which it is [registered](crate::registry) each time it is started.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.builder = self.builder.name(name);
        self
    }

    /// The largest memory of the child and of each of its descendants, in bytes.
    #[must_use]
    pub fn max_memory(mut self, bytes: u64) -> Self {
        self.builder = self.builder.max_memory(bytes);
        self
    }

    /// Its end in good order can end the supervisor, see [`AutoShutdown`](super::AutoShutdown).
    #[must_use]
    pub fn significant(mut self) -> Self {
        self.significant = true;
        self
    }

    /// Starts it, linked to the supervisor that calls this.
    pub(super) fn start(&self) -> Result<Process, StartError> {
        (self.start)(&self.builder)
    }

    /// Ends a child that runs, linked to the supervisor that calls this. Nothing of it comes afterwards.
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
