//! Actors: processes that own a state and answer requests, as OTP's `gen_server`.
//!
//! An [`Actor`] says how it begins, what it does with each request, and how it ends. The loop around that, the start that
//! waits until the actor is ready, and the end in good order are done here.
//!
//! There are *calls*, which the caller waits for, and *casts*, which it does not. Each actor has one type for all its calls
//! and one for all its casts, mostly enums; a call carries the place to answer to ([`ReplyTo`]), so each
//! kind of call has an answer of its own type, and can be answered later, or by somebody else.
//!
//! # Examples
//!
//! ```no_run
//! use lunatic::actor::{Actor, Next};
//! use lunatic::mailbox::ReplyTo;
//! use lunatic::ExitReason;
//! use serde::{Deserialize, Serialize};
//!
//! struct Counter(u64);
//!
//! #[derive(Serialize, Deserialize)]
//! enum Call {
//!     Get(ReplyTo<u64>),
//! }
//!
//! #[derive(Serialize, Deserialize)]
//! enum Cast {
//!     Add(u64),
//! }
//!
//! impl Actor for Counter {
//!     type Args = u64;
//!     type Call = Call;
//!     type Cast = Cast;
//!
//!     fn init(start: u64) -> Result<Self, ExitReason> {
//!         Ok(Counter(start))
//!     }
//!
//!     fn handle_call(&mut self, Call::Get(reply): Call) -> Next {
//!         reply.send(self.0);
//!         Next::Continue
//!     }
//!
//!     fn handle_cast(&mut self, Cast::Add(number): Cast) -> Next {
//!         self.0 += number;
//!         Next::Continue
//!     }
//! }
//!
//! let counter = Counter::start(40).unwrap();
//! counter.cast(Cast::Add(2));
//! assert_eq!(counter.call(Call::Get).unwrap(), 42);
//! counter.stop();
//! ```

mod info;
mod life;

use std::error::Error;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::time::{Duration, Instant};

pub(crate) use info::ignore;
pub use info::{AnyMessage, Info};
pub(crate) use life::start_from_bytes;
use serde::{Deserialize, Serialize};

use crate::channel::{Message, TrySendError};
use crate::code::{Saved, StateError, Version};
use crate::codec::{self, DefaultCodec, Scratch};
use crate::exit::ExitReason;
use crate::host::mail;
use crate::mailbox::{Address, CallError, ReplyTo};
use crate::process::{Builder, Process, SpawnError, this_process};
use crate::registry;

/// Tags of an actor's mail. Below 16, so no type of message has them.
const CALL: u64 = 2;
const CAST: u64 = 3;
const STOP: u64 = 4;

/// A process with a state that answers requests. See the [module](self).
///
/// A panic in any of its functions is the end of the process, with that reason; [`terminate`](Self::terminate) is not
/// called then: nobody knows what state the actor is in.
pub trait Actor: Sized + 'static {
    /// What it begins with.
    type Args: Message;
    /// What it is asked.
    type Call: Message;
    /// What it is told.
    type Cast: Message;

    /// Makes the state, in the actor's own process. Whoever starts the actor waits until this returns.
    ///
    /// # Errors
    ///
    /// The reason with which the process ends at once; the start fails with it.
    fn init(args: Self::Args) -> Result<Self, ExitReason>;

    /// Answers a call, or keeps its [`ReplyTo`] to answer it later. An actor without this function ends with an error when
    /// it is called.
    fn handle_call(&mut self, call: Self::Call) -> Next {
        drop(call);
        Next::Stop(ExitReason::Error(format!(
            "{} takes no calls",
            std::any::type_name::<Self>()
        )))
    }

    /// Does what it is told. An actor without this function ends with an error when it is told something.
    fn handle_cast(&mut self, cast: Self::Cast) -> Next {
        drop(cast);
        Next::Stop(ExitReason::Error(format!(
            "{} takes no casts",
            std::any::type_name::<Self>()
        )))
    }

    /// Gets all other mail: what is told of the end of another process, and messages that are neither calls nor casts.
    ///
    /// An actor without this function does nothing when it is told of an end, and drops such messages; the first one is
    /// reported on standard error. None stays in the mailbox.
    fn handle_info(&mut self, info: Info) -> Next {
        ignore::<Self>(info)
    }

    /// Its state, for another version of the program: see [`code`](crate::code). An actor without this function goes on in the
    /// version that it was started in to its end. [`keep_state!`](crate::code::keep_state) writes it.
    ///
    /// Called between two messages, when another version waits for the actor. The actor goes on with the same state if the other
    /// version does not take it, so nothing may change here.
    fn save(&self) -> Option<Result<Saved, StateError>> {
        None
    }

    /// Makes the state of what an actor of another version has [saved](Self::save): OTP's `code_change`. In the actor's own process,
    /// and in place of [`init`](Self::init).
    ///
    /// Until it returns, the other version can still go on as if nothing had happened. So this function can do nothing that others
    /// see: a call that sends, receives, spawns, links, names or uses a socket ends it as a panic does. What has to be done so
    /// is for [`changed`](Self::changed).
    ///
    /// # Errors
    ///
    /// Why it is no state of this version. The actor goes on in the other one; so it does after a panic here, or if this takes
    /// longer than the upgrade allows.
    fn code_change(old: Saved, from: Version) -> Result<Self, StateError> {
        let _ = (old, from);
        Err(format!("`{}` has no `code_change`", std::any::type_name::<Self>()).into())
    }

    /// Called when the actor has come to this version, before it handles what comes next.
    fn changed(&mut self) {}

    /// When [`handle_alarm`](Self::handle_alarm) is to be called: for supervisors.
    #[doc(hidden)]
    fn alarm(&self) -> Option<Instant> {
        None
    }

    /// Called when the time of the [`alarm`](Self::alarm) has come, and what had come before it was handled.
    #[doc(hidden)]
    fn handle_alarm(&mut self) -> Next {
        Next::Continue
    }

    /// Called before the actor ends: when one of the functions above says [`Next::Stop`], when it is
    /// [stopped](ActorRef::stop), and if it traps exits, when its parent ends.
    fn terminate(&mut self, reason: &ExitReason) {
        let _ = reason;
    }

    /// Starts an actor, and waits until it is ready.
    ///
    /// # Errors
    ///
    /// [`StartError`].
    fn start(args: Self::Args) -> Result<ActorRef<Self>, StartError> {
        Self::start_with(&Process::builder(), args)
    }

    /// As [`start`](Self::start), [linked](Process::link) to the caller from when it is ready.
    ///
    /// # Errors
    ///
    /// [`StartError`]. However the actor ends before it is ready, by a panic or a kill too, the caller gets that as the
    /// result and no exit signal.
    fn start_link(args: Self::Args) -> Result<ActorRef<Self>, StartError> {
        Self::start_with(&Process::builder().link(), args)
    }

    /// As [`start`](Self::start), with a name, limits and whatever else a [`Builder`] can say. A
    /// [link](Builder::link) is made when the actor is ready.
    ///
    /// # Errors
    ///
    /// [`StartError`].
    fn start_with(builder: &Builder, args: Self::Args) -> Result<ActorRef<Self>, StartError> {
        life::start::<Self>(builder, &encode_args::<Self>(&args)).map(ActorRef::of)
    }
}

/// What an actor does after it has handled something.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Next {
    /// It waits for the next thing.
    Continue,
    /// It ends with this reason, which is [`ExitReason::Normal`] or [`Shutdown`](ExitReason::Shutdown) if all is well.
    Stop(ExitReason),
}

/// Why an actor did not start.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartError {
    /// There is no process.
    Spawn(SpawnError),
    /// The process ended before it was ready: with the reason of [`Actor::init`], or by a panic in it.
    Init(ExitReason),
}

impl StartError {
    /// The reason of a process that ends because it could not start this one.
    #[must_use]
    pub fn into_reason(self) -> ExitReason {
        match self {
            Self::Spawn(error) => ExitReason::Error(error.to_string()),
            Self::Init(reason) => reason,
        }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spawn(error) => error.fmt(f),
            Self::Init(reason) => write!(f, "it {reason} before it was ready"),
        }
    }
}

impl Error for StartError {}

/// The bytes of what an actor begins with.
///
/// # Panics
///
/// If they cannot be written.
pub(crate) fn encode_args<A: Actor>(args: &A::Args) -> Vec<u8> {
    let mut bytes = Scratch::new();
    if let Err(error) = codec::encode_for_many::<DefaultCodec, A::Args>(args, &mut bytes) {
        panic!("cannot start {}: {}", std::any::type_name::<A>(), crate::chain(&error));
    }
    bytes.as_slice().to_vec()
}

/// A handle of an actor: `Copy`, and can be captured and sent as a [`Process`] handle can.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub struct ActorRef<A> {
    process: Process,
    #[serde(skip)]
    actor: PhantomData<fn(A)>,
}

impl<A: Actor> ActorRef<A> {
    /// The actor that runs in this process. It is an error of the program if another one does: that one ends with the first
    /// request it cannot read.
    #[must_use]
    pub fn of(process: Process) -> Self {
        Self {
            process,
            actor: PhantomData,
        }
    }

    /// The actor that is [registered](registry) under this name.
    ///
    /// # Panics
    ///
    /// If the name is empty or has more than 255 bytes.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        registry::lookup(name).map(Self::of)
    }

    /// Its process.
    #[must_use]
    pub fn process(&self) -> Process {
        self.process
    }

    /// Asks the actor, and waits for the answer for as long as it lives.
    ///
    /// # Errors
    ///
    /// [`CallError`]: at once, when the actor ends, or is the calling process itself.
    pub fn call<R: Message>(&self, call: impl FnOnce(ReplyTo<R>) -> A::Call) -> Result<R, CallError> {
        self.calls().call(call)
    }

    /// As [`call`](Self::call), for at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub fn call_timeout<R: Message>(
        &self,
        call: impl FnOnce(ReplyTo<R>) -> A::Call,
        timeout: Duration,
    ) -> Result<R, CallError> {
        self.calls().call_timeout(call, timeout)
    }

    /// Tells the actor something, without waiting. If it has ended, nothing happens.
    ///
    /// # Panics
    ///
    /// If the message cannot be written, or the host has no room for it.
    pub fn cast(&self, cast: A::Cast) {
        self.casts().send(cast);
    }

    /// As [`cast`](Self::cast), and says if it was in vain.
    ///
    /// # Errors
    ///
    /// [`TrySendError`], which gives the message back.
    pub fn try_cast(&self, cast: A::Cast) -> Result<(), TrySendError<A::Cast>> {
        self.casts().try_send(cast)
    }

    /// Where calls are sent to.
    #[must_use]
    pub fn calls(&self) -> Address<A::Call> {
        Address::from_parts(self.process, CALL)
    }

    /// Where casts are sent to: for [timers](crate::timer), for one.
    #[must_use]
    pub fn casts(&self) -> Address<A::Cast> {
        Address::from_parts(self.process, CAST)
    }

    /// Asks the actor to end in good order, after all it was asked before, and waits until it has: how it ended.
    ///
    /// # Panics
    ///
    /// If the actor is the calling process, which would wait for its own end for ever.
    pub fn stop(&self) -> ExitReason {
        self.stop_with(&ExitReason::Normal)
    }

    /// As [`stop`](Self::stop), with another reason.
    ///
    /// # Panics
    ///
    /// As [`stop`](Self::stop).
    pub fn stop_with(&self, reason: &ExitReason) -> ExitReason {
        assert!(
            self.process != this_process(),
            "an actor cannot wait for its own end: to stop itself, it returns `Next::Stop`"
        );
        self.ask_to_stop(reason);
        self.process.join()
    }

    fn ask_to_stop(&self, reason: &ExitReason) {
        // If its mailbox takes nothing, it has ended, or is told by its exit.
        if mail::send(self.process.raw(), STOP, &reason.to_bytes()).is_err() {
            self.process.exit(reason);
        }
    }
}

impl<A> Clone for ActorRef<A> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<A> Copy for ActorRef<A> {}

impl<A> PartialEq for ActorRef<A> {
    fn eq(&self, other: &Self) -> bool {
        self.process == other.process
    }
}

impl<A> Eq for ActorRef<A> {}

impl<A> Hash for ActorRef<A> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.process.hash(state);
    }
}

/// As its process: `#17`.
impl<A> fmt::Display for ActorRef<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.process.fmt(f)
    }
}

impl<A> fmt::Debug for ActorRef<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ActorRef<{}>({})", std::any::type_name::<A>(), self.process)
    }
}
