//! New code for processes that run.
//!
//! `lunatic upgrade new.wasm` brings a system to another version of its program while it runs. A process goes over at a *point of
//! change*, where it waits for nothing and leaves nothing half done: it hands over its state as bytes, an instance of the new
//! version reads them, and goes on in its place. The process stays what it is: same handle, mailbox, links, monitors, names,
//! groups, timers, channels, sockets, rights and budget. If the new version cannot read the state, the old one goes on as if
//! nothing had happened, and the upgrade says so.
//!
//! - An [`Actor`](crate::actor::Actor) has its point of change between two messages. It says with [`keep_state!`] that serde is to
//!   carry its state, or says how itself ([`Actor::save`](crate::actor::Actor::save),
//!   [`Actor::code_change`](crate::actor::Actor::code_change)): OTP's `code_change`.
//! - A [`Supervisor`](crate::supervisor::Supervisor) changes as well: it goes on with its children, starts those that the new
//!   version has in addition, and ends those that it has no more.
//! - Any other process says where its point is: [`upgrade_here`], where a loop of Erlang would call itself by its full name.
//!
//! A program can upgrade itself as well: [`Upgrade`].
//!
//! A process that has no such point goes on in its version to its end. So does whatever it spawns: a closure runs in the version
//! that its parent runs, as what it has captured is laid out as that version lays it out.
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

mod upgrade;

use std::error::Error;
use std::fmt;
use std::io::{self, Write};

use lunatic_sys::codes::offer as by;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use self::upgrade::{Kind, Phase, Upgrade, UpgradeError, UpgradeReport, UpgradeUnderWay};
use crate::host::{self, mail};
pub use crate::keep_state;
use crate::net::handover;

/// A version of the program, by its number in the running system: 1 is the one that the system began with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Version(u32);

impl Version {
    /// The version that the calling process runs.
    #[must_use]
    pub fn own() -> Self {
        Self(host::code::version())
    }

    /// The version that the system is brought to, or was brought to last.
    #[must_use]
    pub fn current() -> Self {
        Self(host::code::current())
    }

    /// Its number. 0 for a [module](crate::Module) that a process has compiled, which is no version of the program.
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

/// A state on its way from one version to another: MessagePack with the names of all fields.
///
/// So what serde does for data of former versions works here: a field that was added and has a
/// [default](https://serde.rs/field-attrs.html#default), that was removed, or renamed and has an
/// [alias](https://serde.rs/field-attrs.html#alias), variants that were added to an enum. A field whose type has changed is an error,
/// unless [`read`](Self::read) is told the former type.
#[derive(Clone, PartialEq, Eq)]
pub struct Saved {
    bytes: Vec<u8>,
}

impl Saved {
    /// The state that this value is.
    ///
    /// # Errors
    ///
    /// [`StateError`] if the value cannot be written.
    pub fn of<T: Serialize + ?Sized>(state: &T) -> Result<Self, StateError> {
        handover::forget();
        let bytes = rmp_serde::to_vec_named(state);
        // Sockets stay with the process.
        handover::forget();
        match bytes {
            Ok(bytes) => Ok(Self { bytes }),
            Err(error) => Err(StateError::new::<T>("write", &error)),
        }
    }

    /// The value that the state is, read as a `T`. Several types can be tried in turn: that of the former version after the own.
    ///
    /// # Errors
    ///
    /// [`StateError`] if it is no `T`.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, StateError> {
        let mut rest = &*self.bytes;
        let read = T::deserialize(&mut rmp_serde::Deserializer::new(&mut rest));
        match read {
            Ok(_) if !rest.is_empty() => Err(StateError::of::<T>("read", "there is more behind it".into())),
            Ok(value) => Ok(value),
            Err(error) => Err(StateError::new::<T>("read", &error)),
        }
    }
}

/// Its length.
impl fmt::Debug for Saved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Saved({} bytes)", self.bytes.len())
    }
}

/// Why a state was not carried from one version to another; in words.
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

/// For an [`Actor`](crate::actor::Actor) that is `Serialize` and `Deserialize`: in its `impl`, lets serde carry the state to another
/// version of the program.
///
/// It writes [`Actor::save`](crate::actor::Actor::save) and [`Actor::code_change`](crate::actor::Actor::code_change). See the
/// [example](self#examples).
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

/// A point of change of a process that is no actor: if another version waits for this process, it goes on in that one, with a call
/// of `resume` there, and does not return. Else, or if the other version cannot read the state, returns the state.
///
/// To be called where the process waits for nothing and leaves nothing half done, again and again: the first call offers the point,
/// and only from then on a version can wait for this process. `resume` must be a function or a closure that captures
/// nothing; the other version is asked for the one of the same name.
///
/// # Panics
///
/// If the state cannot be written. Does not compile if `resume` captures something.
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
    const { assert!(size_of::<F>() == 0, "what a process goes on with must capture nothing") };
    upgrade_with(&state, resume);
    state
}

/// As [`upgrade_here`], for a state that is only lent, and of which another type may be read. If `resume` captures something, does
/// nothing: for code that is generic over what it goes on with.
///
/// # Panics
///
/// If the state cannot be written.
pub fn upgrade_with<R, S, F>(state: &R, resume: F)
where
    R: Serialize,
    S: DeserializeOwned,
    F: FnOnce(S) + Copy + 'static,
{
    offer(state, resume, by::ASKS);
}

/// As [`upgrade_with`], for a process that is about to wait for a socket, perhaps for long: if another version waits for the process
/// then, the wait ends with [`ErrorKind::Interrupted`](io::ErrorKind::Interrupted), so that it can come here again. This
/// is true of the next wait only, to accept a connection or to read. Methods of std that read until there is enough, such as
/// [`read_exact`](io::Read::read_exact), wait again.
///
/// # Panics
///
/// If the state cannot be written.
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

/// Offers a point of change, and goes over if a version waits that takes the state.
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
    // Why it stays is told to whoever upgrades.
    let _ = hand_over(&saved);
}

/// Whether the system has been brought, or is being brought, to another version than the calling process runs: for a process
/// without a point of change that can end, so that one of the other version takes its place.
#[must_use]
pub fn check() -> bool {
    Version::own() != Version::current()
}

/// Goes on in the version that waits. Returns only if it does not.
pub(crate) fn hand_over(saved: &Saved) -> Option<String> {
    let _ = io::stdout().flush();
    mail::forget_reference();
    host::code::change(&saved.bytes)
}

/// What another version has left to this process, and which.
pub(crate) fn left() -> (Saved, Version) {
    let bytes = host::code::left();
    (Saved { bytes }, Version::own())
}

/// The entry of a process that goes on in this version, called by the host.
extern "C" fn resume_with<S: DeserializeOwned, F: FnOnce(S) + Copy + 'static>() {
    let (saved, _) = left();
    match saved.read::<S>() {
        Ok(state) => {
            host::code::accept();
            // SAFETY: `F` has no bytes, without which `upgrade_with` offers nothing, and is `Copy`: any pointer that is aligned and
            // not null is one to an `F`.
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
        assert!(saved.read::<u8>().unwrap_err().to_string().contains("more behind it"));
        assert_eq!(format!("{saved:?}"), "Saved(2 bytes)");
    }
}
