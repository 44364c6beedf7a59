//! Hot code upgrades: moving running processes to another version of the program.
//!
//! `lunatic upgrade new.wasm` moves a running system to another version of its program. A process changes its version
//! at a *point of change*, where it waits for nothing and has no unfinished work. It saves its state as bytes; a new
//! instance, of the new version, reads them and goes on in its place. The process keeps its identity: handle, mailbox,
//! links, monitors, names, groups, timers, channels, sockets, rights and budget. If the new version cannot read the
//! state, the old one goes on as if nothing had happened, and the upgrade reports that.
//!
//! - An [`Actor`](crate::actor::Actor) has its point of change between two messages. With [`keep_state!`] serde carries
//!   its state over; or it implements [`Actor::save`](crate::actor::Actor::save) and
//!   [`Actor::code_change`](crate::actor::Actor::code_change) itself (OTP's `code_change`).
//! - A [`Supervisor`](crate::supervisor::Supervisor) changes too: it keeps its children, starts those that are new in
//!   the new version, and terminates those that the new version does not have.
//! - Any other process calls [`upgrade_here`] at its point of change, where a loop in Erlang would make a fully
//!   qualified call to itself.
//!
//! A program can also upgrade itself; see [`Upgrade`].
//!
//! # Messages
//!
//! Only states are converted, not messages. A message is written by one version and may be read by the other, and its encoding
//! has no names: a variant of an enum is its position. So the types of messages, such as
//! [`Actor::Call`](crate::actor::Actor::Call), may get new variants at the end, but the existing ones must stay as they are.
//! An upgrade compares the types of calls and casts of both versions, and refuses an actor whose messages could be misread.
//! Nothing checks other messages: those of mailboxes and channels.
//!
//! A process without a point of change stays in its version until it exits. So do the processes that it spawns: a
//! closure runs in the version of its parent, because that version determines the layout of the captured values.
//!
//! # Examples
//!
//! ```no_run
//! use lunatic::actor::{Actor, Next};
//! use lunatic::code;
//! use lunatic::mailbox::ReplyTo;
//! use lunatic::ExitReason;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Counter {
//!     count: u64,
//!     // New in this version: 1 in the state of one that had none.
//!     #[serde(default = "one")]
//!     step: u64,
//! }
//!
//! fn one() -> u64 {
//!     1
//! }
//!
//! impl Actor for Counter {
//!     type Args = ();
//!     type Call = ReplyTo<u64>;
//!     type Cast = ();
//!
//!     code::keep_state!();
//!
//!     fn init((): ()) -> Result<Self, ExitReason> {
//!         Ok(Counter { count: 0, step: one() })
//!     }
//!
//!     fn handle_call(&mut self, reply: ReplyTo<u64>) -> Next {
//!         self.count += self.step;
//!         reply.send(self.count);
//!         Next::Continue
//!     }
//! }
//! ```

mod envelope;
mod messages;
mod shape;
mod upgrade;

use std::error::Error;
use std::fmt;
use std::io::{self, Write};

use lunatic_sys::codes::offer as by;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub(crate) use self::messages::Messages;
pub use self::upgrade::{Kind, Phase, Upgrade, UpgradeError, UpgradeReport, UpgradeUnderWay};
use crate::host::{self, mail};
pub use crate::keep_state;
use crate::net::handover;

/// A version of the program, by its number in the running system. The system starts with version 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Version(u32);

impl Version {
    /// Returns the version that the calling process runs.
    #[must_use]
    pub fn own() -> Self {
        Self(host::code::version())
    }

    /// Returns the version that the system is being moved to, or was last moved to.
    #[must_use]
    pub fn current() -> Self {
        Self(host::code::current())
    }

    /// Returns the number; 0 in a process of a [module](crate::Module) that was compiled at run time, which is not a
    /// version of the program.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "version {}", self.0)
    }
}

/// A state on its way from one version to another, as MessagePack with the names of all fields.
///
/// So serde's means for data of earlier versions work here: added fields with a
/// [default](https://serde.rs/field-attrs.html#default), removed fields, renamed fields with an
/// [alias](https://serde.rs/field-attrs.html#alias), and added variants of an enum. A field whose type has changed is
/// an error, unless the state is [read](Self::read) as the former type.
#[derive(Clone, PartialEq, Eq)]
pub struct Saved {
    bytes: Vec<u8>,
}

impl Saved {
    /// Saves a value.
    ///
    /// # Errors
    ///
    /// [`StateError`] if the value cannot be serialized.
    pub fn of<T: Serialize + ?Sized>(state: &T) -> Result<Self, StateError> {
        handover::forget();
        let bytes = rmp_serde::to_vec_named(state);
        // Sockets stay with the process, so they are not handed over.
        handover::forget();
        match bytes {
            Ok(bytes) => Ok(Self { bytes }),
            Err(error) => Err(StateError::new::<T>("write", &error)),
        }
    }

    /// Reads the state as a `T`. Several types can be tried in turn: first the current one, then that of the former
    /// version.
    ///
    /// # Errors
    ///
    /// [`StateError`] if the state is not a `T`.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, StateError> {
        let mut rest = &*self.bytes;
        let read = T::deserialize(&mut rmp_serde::Deserializer::new(&mut rest));
        match read {
            Ok(_) if !rest.is_empty() => Err(StateError::of::<T>("read", "there are more bytes after it".into())),
            Ok(value) => Ok(value),
            Err(error) => Err(StateError::new::<T>("read", &error)),
        }
    }
}

/// Shows only the length.
impl fmt::Debug for Saved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Saved({} bytes)", self.bytes.len())
    }
}

/// Why a state could not be carried from one version to another, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateError(String);

impl StateError {
    fn of<T: ?Sized>(verb: &str, why: String) -> Self {
        Self(format!(
            "cannot {verb} the state `{}`: {why}",
            std::any::type_name::<T>()
        ))
    }

    fn new<T: ?Sized>(verb: &str, error: &dyn Error) -> Self {
        Self::of::<T>(verb, crate::chain(error).to_string())
    }
}

impl From<String> for StateError {
    fn from(why: String) -> Self {
        Self(why)
    }
}

impl From<&str> for StateError {
    fn from(why: &str) -> Self {
        Self(why.into())
    }
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for StateError {}

/// Lets serde carry the state of an actor to another version of the program. Use it inside `impl Actor for …`, for a
/// type that is `Serialize` and `Deserialize`.
///
/// It implements [`Actor::save`](crate::actor::Actor::save) and
/// [`Actor::code_change`](crate::actor::Actor::code_change). See the [example](self#examples).
#[macro_export]
macro_rules! keep_state {
    () => {
        fn save(
            &self,
        ) -> ::core::option::Option<::core::result::Result<$crate::code::Saved, $crate::code::StateError>> {
            ::core::option::Option::Some($crate::code::Saved::of(self))
        }

        fn code_change(
            old: $crate::code::Saved,
            _: $crate::code::Version,
        ) -> ::core::result::Result<Self, $crate::code::StateError> {
            old.read()
        }
    };
}

/// The point of change of a process that is not an actor. If another version waits for this process, the process goes
/// on in that version with a call of `resume`, and this function does not return. Otherwise, or if the other version
/// cannot read the state, it returns the state.
///
/// Call it repeatedly, at a place where the process waits for nothing and has no unfinished work. The first call offers
/// the point; only after that can a version wait for this process. `resume` must be a function, or a closure that
/// captures nothing; the other version calls its own function of the same name.
///
/// # Panics
///
/// If the state cannot be serialized. It is a compile error if `resume` captures something.
///
/// # Examples
///
/// ```no_run
/// use lunatic::{Mailbox, Process, code};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Sum {
///     total: u64,
/// }
///
/// fn add_up(mut sum: Sum) {
///     let numbers = Mailbox::<u64>::new();
///     loop {
///         sum = code::upgrade_here(sum, add_up);
///         sum.total += numbers.receive();
///     }
/// }
///
/// let adder = Process::spawn(|| add_up(Sum { total: 0 })).unwrap();
/// ```
pub fn upgrade_here<S, F>(state: S, resume: F) -> S
where
    S: Serialize + DeserializeOwned,
    F: FnOnce(S) + Copy + 'static,
{
    const {
        assert!(
            size_of::<F>() == 0,
            "the function that a process continues with must capture nothing"
        )
    };
    upgrade_with(&state, resume);
    state
}

/// A point of change like [`upgrade_here`], for a state that is borrowed, and that may be read as another type. If
/// `resume` captures something, this does nothing, which is useful in code that is generic over `resume`.
///
/// # Panics
///
/// If the state cannot be serialized.
pub fn upgrade_with<R, S, F>(state: &R, resume: F)
where
    R: Serialize,
    S: DeserializeOwned,
    F: FnOnce(S) + Copy + 'static,
{
    offer(state, resume, by::ASKS);
}

/// A point of change like [`upgrade_with`], for a process that is about to wait for a socket, perhaps for a long time.
///
/// If another version waits for the process during its next wait to accept a connection or to read, that wait returns
/// [`ErrorKind::Interrupted`](io::ErrorKind::Interrupted), so that the process can come back to this point. Only the
/// next such wait is interrupted. Methods of std that read until they have enough, such as
/// [`read_exact`](io::Read::read_exact), wait again.
///
/// # Panics
///
/// If the state cannot be serialized.
///
/// # Examples
///
/// ```no_run
/// use std::io;
///
/// use lunatic::code;
/// use lunatic::net::TcpListener;
///
/// fn serve(listener: TcpListener) {
///     loop {
///         code::upgrade_or_interrupt(&listener, serve);
///         match listener.accept() {
///             Ok((stream, peer)) => println!("{peer} has come, and goes: {stream:?}"),
///             Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
///             Err(error) => panic!("{error}"),
///         }
///     }
/// }
/// ```
pub fn upgrade_or_interrupt<R, S, F>(state: &R, resume: F)
where
    R: Serialize,
    S: DeserializeOwned,
    F: FnOnce(S) + Copy + 'static,
{
    offer(state, resume, by::INTERRUPT);
}

/// Withdraws the point of change that the calling process has offered, when it will not come back to it: from now on it
/// stays in its version, and upgrades neither wait for it nor report that they do. A later call of [`upgrade_here`] offers
/// a point again.
pub fn stop_offering() {
    host::code::withdraw();
}

/// Offers a point of change, and moves to a version that waits and accepts the state.
fn offer<R, S, F>(state: &R, resume: F, heard: i32)
where
    R: Serialize,
    S: DeserializeOwned,
    F: FnOnce(S) + Copy + 'static,
{
    let _ = resume;
    if size_of::<F>() != 0 || !host::code::offer(resume_with::<S, F>, heard) {
        return;
    }
    let saved = Saved::of(state).unwrap_or_else(|error| panic!("{error}"));
    // Whoever upgrades is told why the process stays.
    let _ = hand_over(&saved, None);
}

/// Returns whether the system has been moved, or is being moved, to another version than the calling process runs. A
/// process without a point of change can use this to exit, so that one of the new version takes its place.
#[must_use]
pub fn check() -> bool {
    Version::own() != Version::current()
}

/// Hands the process over to the version that waits for it, with what its messages look like in this version. Returns only if the
/// process stays.
pub(crate) fn hand_over(saved: &Saved, messages: Option<&Messages>) -> Option<String> {
    let _ = io::stdout().flush();
    mail::forget_reference();
    match messages.and_then(Messages::to_bytes) {
        Some(messages) => host::code::change(&envelope::close(&messages, &saved.bytes)),
        None => host::code::change(&saved.bytes),
    }
}

/// What another version has left to this process.
pub(crate) struct Left {
    pub(crate) saved: Saved,
    pub(crate) from: Version,
    /// What the messages of an actor look like in that version, if they are to be compared.
    pub(crate) messages: Option<Messages>,
}

pub(crate) fn left() -> Left {
    let (messages, bytes) = envelope::open(host::code::left());
    Left {
        saved: Saved { bytes },
        from: Version::own(),
        messages: messages.and_then(|messages| Messages::from_bytes(&messages)),
    }
}

/// The entry of a process that moves to this version; called by the host.
extern "C" fn resume_with<S: DeserializeOwned, F: FnOnce(S) + Copy + 'static>() {
    match left().saved.read::<S>() {
        Ok(state) => {
            host::code::accept();
            // SAFETY: `F` is zero-sized, because `upgrade_with` offers nothing otherwise, and `Copy`: any aligned,
            // non-null pointer points to a valid `F`.
            let resume = unsafe { std::ptr::NonNull::<F>::dangling().read() };
            resume(state);
            crate::process::flush();
        }
        Err(error) => host::code::refuse(&error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Old {
        count: u32,
        gone: String,
        kind: Kind,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Kind {
        First,
        Second(u8),
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct New {
        #[serde(default)]
        added: Vec<u8>,
        #[serde(alias = "count")]
        total: u64,
        kind: NewKind,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum NewKind {
        Zeroth,
        Second(u8),
        First,
    }

    fn old() -> Saved {
        let state = Old {
            count: 7,
            gone: "no more".into(),
            kind: Kind::Second(2),
        };
        Saved::of(&state).unwrap()
    }

    #[test]
    fn fields_come_and_go_and_variants_move() {
        let new = New {
            added: Vec::new(),
            total: 7,
            kind: NewKind::Second(2),
        };
        assert_eq!(old().read::<New>(), Ok(new));
    }

    #[test]
    fn what_does_not_fit_says_why() {
        #[derive(Debug, PartialEq, Deserialize)]
        struct Other {
            count: String,
        }
        let error = old().read::<Other>().unwrap_err().to_string();
        assert!(
            error.starts_with("cannot read the state `lunatic::code::tests::"),
            "{error}"
        );
        assert!(error.contains("expected a string"), "{error}");

        #[derive(Debug, PartialEq, Deserialize)]
        struct More {
            needed: u8,
        }
        let error = old().read::<More>().unwrap_err().to_string();
        assert!(error.contains("missing field `needed`"), "{error}");
    }

    #[test]
    fn a_state_is_no_more_than_it_is() {
        let mut saved = Saved::of(&1_u8).unwrap();
        saved.bytes.push(2);
        assert!(
            saved
                .read::<u8>()
                .unwrap_err()
                .to_string()
                .contains("more bytes after it")
        );
        assert_eq!(format!("{saved:?}"), "Saved(2 bytes)");
    }
}
