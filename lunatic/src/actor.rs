//! Actors: processes that own a state and handle requests, like OTP's `gen_server`.
//!
//! An [`Actor`] defines how its state is made, how it handles each request, and how it cleans up. This module provides
//! the rest: the message loop, a start that waits until the actor is ready, and an orderly stop.
//!
//! A *call* is a request whose sender waits for the answer; a *cast* is a request whose sender does not wait. Each
//! actor has one type for all its calls and one for all its casts, usually enums. A call carries a [`ReplyTo`], the
//! place to send the answer to. So each kind of call has its own type of answer, and the answer can be sent later, or
//! by another process.
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
use serde::{Deserialize, Deserializer, Serialize};

use crate::channel::{Message, TrySendError};
use crate::code::{Saved, StateError, Version};
use crate::codec::{self, DefaultCodec, Scratch};
use crate::exit::ExitReason;
use crate::host::mail;
use crate::mailbox::{Address, CallError, ReplyTo};
use crate::process::{Builder, Process, SpawnError, this_process};
use crate::registry;

/// Tags of an actor's mail. They are below 16, so no message type has one of them.
const CALL: u64 = 2;
const CAST: u64 = 3;
const STOP: u64 = 4;

/// A process that owns a state and handles requests. See the [module](self).
///
/// A panic in any of these functions terminates the process with [`ExitReason::Panic`]. [`terminate`](Self::terminate)
/// is not called then, because the state may be inconsistent.
pub trait Actor: Sized + 'static {
    /// The argument that the actor is started with.
    type Args: Message;
    /// The type of all calls. Versions of a program send these to each other during an [upgrade](crate::code#messages), so
    /// add variants only at the end.
    type Call: Message;
    /// The type of all casts. The same holds for it.
    type Cast: Message;

    /// Makes the initial state. Runs in the actor's own process; whoever starts the actor waits until this function
    /// returns.
    ///
    /// # Errors
    ///
    /// The returned reason becomes the exit reason of the process, and the start fails with it.
    fn init(args: Self::Args) -> Result<Self, ExitReason>;

    /// Handles a call: answers it through its [`ReplyTo`], or keeps the [`ReplyTo`] to answer later.
    ///
    /// By default, an actor that is called exits with an [`ExitReason::Error`].
    fn handle_call(&mut self, call: Self::Call) -> Next {
        drop(call);
        Next::Stop(ExitReason::Error(format!(
            "{} does not handle calls",
            std::any::type_name::<Self>()
        )))
    }

    /// Handles a cast.
    ///
    /// By default, an actor that receives a cast exits with an [`ExitReason::Error`].
    fn handle_cast(&mut self, cast: Self::Cast) -> Next {
        drop(cast);
        Next::Stop(ExitReason::Error(format!(
            "{} does not handle casts",
            std::any::type_name::<Self>()
        )))
    }

    /// Handles all other mail: notifications about the exits of other processes, and messages that are neither calls
    /// nor casts.
    ///
    /// By default, an actor ignores the notifications and drops the messages. It reports the first dropped message on
    /// standard error. No mail stays in the mailbox.
    fn handle_info(&mut self, info: Info) -> Next {
        ignore::<Self>(info)
    }

    /// Returns the state for another version of the program; see [`code`](crate::code). The macro
    /// [`keep_state!`](crate::code::keep_state) implements this function and [`code_change`](Self::code_change).
    ///
    /// By default, this returns `None`: the actor stays in the version that it was started in until it exits.
    ///
    /// Called between two messages, when another version is waiting for the actor. If that version rejects the state,
    /// the actor goes on with the state that it has, so this function must not have side effects.
    fn save(&self) -> Option<Result<Saved, StateError>> {
        None
    }

    /// Makes the state from the one that an actor of another version has [saved](Self::save): OTP's `code_change`. Runs
    /// in the actor's own process, in place of [`init`](Self::init).
    ///
    /// Until this function returns, the upgrade can still be abandoned, and the old version goes on as if nothing had
    /// happened. Therefore this function must not do anything that other processes can observe: a call that sends,
    /// receives, spawns, links, registers a name or uses a socket aborts it, as a panic does. Do such work in
    /// [`changed`](Self::changed). The host does not prevent it from changing files, which would happen in a dry run, too.
    ///
    /// # Errors
    ///
    /// The reason why `old` is not a valid state for this version. The actor then goes on in the old version. The same
    /// happens if this function panics, or takes longer than the upgrade allows.
    fn code_change(old: Saved, from: Version) -> Result<Self, StateError> {
        let _ = (old, from);
        Err(format!("`{}` has no `code_change`", std::any::type_name::<Self>()).into())
    }

    /// Called once the actor has moved to this version, before it handles its next message.
    fn changed(&mut self) {}

    /// The time at which [`handle_alarm`](Self::handle_alarm) must be called. Used by supervisors.
    #[doc(hidden)]
    fn alarm(&self) -> Option<Instant> {
        None
    }

    /// Called once the time of the [`alarm`](Self::alarm) has come and all earlier mail has been handled.
    #[doc(hidden)]
    fn handle_alarm(&mut self) -> Next {
        Next::Continue
    }

    /// Called before the actor exits in an orderly way: when one of the functions above returns [`Next::Stop`], when
    /// the actor is [stopped](ActorRef::stop), and, if it traps exits, when its parent exits.
    fn terminate(&mut self, reason: &ExitReason) {
        let _ = reason;
    }

    /// Starts an actor and waits until it is ready.
    ///
    /// # Errors
    ///
    /// [`StartError`].
    fn start(args: Self::Args) -> Result<ActorRef<Self>, StartError> {
        Self::start_with(&Process::builder(), args)
    }

    /// Starts an actor as [`start`](Self::start) does, and [links](Process::link) it to the caller once it is ready.
    ///
    /// # Errors
    ///
    /// [`StartError`]. If the actor exits before it is ready, even by a panic or a kill, the caller gets the exit
    /// reason as this error and no exit signal. (In OTP the caller gets an exit signal too.)
    fn start_link(args: Self::Args) -> Result<ActorRef<Self>, StartError> {
        Self::start_with(&Process::builder().link(), args)
    }

    /// Starts an actor as [`start`](Self::start) does, with a name, limits and the other options of a [`Builder`]. If
    /// the builder asks for a [link](Builder::link), it is made once the actor is ready.
    ///
    /// # Errors
    ///
    /// [`StartError`].
    fn start_with(builder: &Builder, args: Self::Args) -> Result<ActorRef<Self>, StartError> {
        life::start::<Self>(builder, &encode_args::<Self>(&args)).map(ActorRef::of)
    }
}

/// What an actor does after it has handled a message.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Next {
    /// The actor waits for the next message.
    Continue,
    /// The actor exits with this reason: [`ExitReason::Normal`] or [`Shutdown`](ExitReason::Shutdown) unless something
    /// has failed.
    Stop(ExitReason),
}

/// Why an actor could not be started.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartError {
    /// The process could not be spawned.
    Spawn(SpawnError),
    /// The process exited before it was ready: with the reason that [`Actor::init`] returned, or because it panicked,
    /// trapped or was killed.
    Init(ExitReason),
    /// The argument could not be sent to the process, which was killed: the host has no room for it, or others have
    /// filled the mailbox of the process under its name. The text gives the reason.
    Args(String),
}

impl StartError {
    /// The exit reason for a process that exits because it could not start this actor.
    #[must_use]
    pub fn into_reason(self) -> ExitReason {
        match self {
            Self::Init(reason) => reason,
            Self::Spawn(_) | Self::Args(_) => ExitReason::Error(self.to_string()),
        }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spawn(error) => error.fmt(f),
            Self::Init(reason) => write!(f, "the process {reason} before it was ready"),
            Self::Args(why) => write!(f, "the argument cannot be sent to the process: {why}"),
        }
    }
}

impl Error for StartError {}

/// Encodes the argument of an actor.
///
/// # Panics
///
/// If the argument cannot be encoded.
pub(crate) fn encode_args<A: Actor>(args: &A::Args) -> Vec<u8> {
    let mut bytes = Scratch::new();
    if let Err(error) = codec::encode_for_many::<DefaultCodec, A::Args>(args, &mut bytes) {
        panic!("cannot start {}: {}", std::any::type_name::<A>(), crate::chain(&error));
    }
    bytes.as_slice().to_vec()
}

/// Checks that this version of the program can read what an actor was started with, in case it must be started again.
pub(crate) fn check_args<A: Actor>(args: &[u8]) -> Result<(), StateError> {
    match codec::decode::<DefaultCodec, A::Args>(args) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!(
            "cannot read what `{}` was started with: {}",
            std::any::type_name::<A>(),
            crate::chain(&error)
        )
        .into()),
    }
}

/// A handle of an actor. Like a [`Process`] handle, it is `Copy` and can be captured and sent.
#[derive(Serialize)]
#[serde(bound = "")]
pub struct ActorRef<A> {
    process: Process,
    #[serde(skip)]
    actor: PhantomData<fn(A)>,
}

impl<'de, A> Deserialize<'de> for ActorRef<A> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Parts {
            process: Process,
        }

        let Parts { process } = codec::handle::named::<Self, _, _>(deserializer)?;
        Ok(Self {
            process,
            actor: PhantomData,
        })
    }
}

impl<A: Actor> ActorRef<A> {
    /// Returns the handle of the actor that runs in `process`. If another actor, or none, runs there, that is a bug in
    /// the program: an actor of another type panics at the first request that it cannot decode.
    #[must_use]
    pub fn of(process: Process) -> Self {
        Self {
            process,
            actor: PhantomData,
        }
    }

    /// Returns the actor that is [registered](registry) under `name`, or `None` if the name is free.
    ///
    /// # Panics
    ///
    /// If the name is empty or has more than 255 bytes.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        registry::lookup(name).map(Self::of)
    }

    /// Returns the process of the actor.
    #[must_use]
    pub fn process(&self) -> Process {
        self.process
    }

    /// Sends a call and waits for the answer, for as long as the actor lives.
    ///
    /// # Errors
    ///
    /// [`CallError`]. If the actor exits, or is the calling process itself, the error is returned immediately.
    pub fn call<R: Message>(&self, call: impl FnOnce(ReplyTo<R>) -> A::Call) -> Result<R, CallError> {
        self.calls().call(call)
    }

    /// Sends a call and waits for the answer for at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`CallError`]; [`CallError::TimedOut`] if no answer came in time.
    pub fn call_timeout<R: Message>(
        &self,
        call: impl FnOnce(ReplyTo<R>) -> A::Call,
        timeout: Duration,
    ) -> Result<R, CallError> {
        self.calls().call_timeout(call, timeout)
    }

    /// Sends a cast without waiting. If the actor has exited, or its mailbox is full, the cast is dropped.
    ///
    /// # Panics
    ///
    /// If the message cannot be encoded, or the host has no room for it.
    pub fn cast(&self, cast: A::Cast) {
        self.casts().send(cast);
    }

    /// Sends a cast as [`cast`](Self::cast) does, and returns an error if it was not delivered to the mailbox.
    ///
    /// # Errors
    ///
    /// [`TrySendError`], which gives the message back.
    pub fn try_cast(&self, cast: A::Cast) -> Result<(), TrySendError<A::Cast>> {
        self.casts().try_send(cast)
    }

    /// Returns the address for calls.
    #[must_use]
    pub fn calls(&self) -> Address<A::Call> {
        Address::from_parts(self.process, CALL)
    }

    /// Returns the address for casts, which is needed, for example, to set a [timer](crate::timer).
    #[must_use]
    pub fn casts(&self) -> Address<A::Cast> {
        Address::from_parts(self.process, CAST)
    }

    /// Asks the actor to stop once it has handled all earlier mail, waits until it has exited, and returns its exit
    /// reason.
    ///
    /// # Panics
    ///
    /// If the actor is the calling process, which would wait for its own exit for ever.
    pub fn stop(&self) -> ExitReason {
        self.stop_with(&ExitReason::Normal)
    }

    /// Stops the actor as [`stop`](Self::stop) does, with the given reason.
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
        // If the mailbox refuses the message, the process has exited, or the exit signal reaches it.
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

/// Displayed as its process: `#17`.
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
