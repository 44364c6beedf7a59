//! Tasks: computations that run in their own processes and return a result; and futures, which run inside of a process.
//!
//! A [`Task`] is a process: isolated, preempted, and on any worker. The usual way to wait for something is to block, which costs
//! others nothing. For code that consists of futures, [`block_on`] is an executor: it runs a future and the tasks of
//! [`spawn_local`] in the calling process.

mod executor;
mod futures;
pub(crate) mod waits;

pub use executor::{LocalTask, block_on, spawn_local};
pub use futures::{Either, Sleep, join, select, sleep, sleep_until, timeout};

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use lunatic_sys::codes::{self, mail as kind};
use lunatic_sys::layout::Header;

use crate::channel::Message;
use crate::codec::{self, DecodeError, DefaultCodec};
use crate::exit::ExitReason;
use crate::host::{self, Refused, mail};
use crate::mailbox::ReplyTo;
use crate::process::{self, Process, SpawnError, check_captured, this_process};

thread_local! {
    /// Results that arrived while an actor was between two requests: reference to kind and bytes.
    static KEPT: RefCell<BTreeMap<u64, (u32, Vec<u8>)>> = const { RefCell::new(BTreeMap::new()) };
}

/// Keeps a result for the task that it belongs to. An actor receives all mail, and it may join a task in a later
/// request than the one in which it spawned the task.
#[cold]
pub(crate) fn keep(header: &Header, bytes: &[u8]) {
    // Mail that follows the result reports the exit of the process, which is not needed any more.
    KEPT.with_borrow_mut(|kept| _ = kept.entry(header.tag).or_insert_with(|| (header.kind, bytes.to_vec())));
}

/// A computation that runs in its own process.
///
/// Only the process that spawned the task can wait for it. If the task is dropped, the computation goes on and its
/// result is discarded.
///
/// # Examples
///
/// ```no_run
/// use lunatic::Task;
///
/// let tasks: Vec<_> = (1..=10_u64).map(|n| Task::spawn(move || n * n).unwrap()).collect();
/// let sum: u64 = tasks.into_iter().map(|task| task.join().unwrap()).sum();
/// assert_eq!(sum, 385);
/// ```
pub struct Task<T> {
    process: Process,
    reference: u64,
    /// The result goes to the spawning process only, so the handle is neither `Send` nor `Sync`.
    result: PhantomData<*const T>,
}

impl<T: Message> Task<T> {
    /// Spawns a process that runs `compute`.
    ///
    /// # Errors
    ///
    /// As for [`Process::spawn`].
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn spawn<F: FnOnce() -> T + Copy + Send + 'static>(compute: F) -> Result<Self, SpawnError> {
        check_captured(&compute);
        let reference = mail::reference();
        let reply = ReplyTo::new(this_process(), reference);
        let spawned = Process::builder().spawn_raw(&move || run(compute, reply), reference);
        match spawned {
            Ok((process, _)) => Ok(Self {
                process,
                reference,
                result: PhantomData,
            }),
            Err(error) => {
                mail::close(reference);
                Err(error)
            }
        }
    }

    /// Returns the process that runs the computation, for example to kill it.
    #[must_use]
    pub fn process(&self) -> Process {
        self.process
    }

    /// Waits for the result.
    ///
    /// # Errors
    ///
    /// The exit reason of the process, if it exited without a result; or, if the mailbox of the calling process was full when
    /// the result came, an [`ExitReason::Error`] that says so.
    ///
    /// # Panics
    ///
    /// If the result cannot be decoded as a `T`.
    pub fn join(self) -> Result<T, ExitReason> {
        match self.take(codes::NO_TIMEOUT) {
            Ok(result) => result,
            Err(refused) => crate::mailbox::unexpected(refused),
        }
    }

    /// Waits for the result for at most `timeout`.
    ///
    /// # Errors
    ///
    /// The task itself, if there is no result yet.
    ///
    /// # Panics
    ///
    /// As for [`join`](Self::join).
    pub fn join_timeout(self, timeout: Duration) -> Result<Result<T, ExitReason>, Self> {
        match self.take(host::timeout_ns(timeout)) {
            Ok(result) => Ok(result),
            Err(Refused::TimedOut | Refused::Empty) => Err(self),
            Err(refused) => crate::mailbox::unexpected(refused),
        }
    }

    fn take(&self, timeout_ns: u64) -> Result<Result<T, ExitReason>, Refused> {
        let read = |kind, bytes: &[u8]| match kind {
            kind::MESSAGE => Ok(codec::decode::<DefaultCodec, T>(bytes).unwrap_or_else(|error| cannot_decode(&error))),
            _ => Err(ExitReason::from_bytes(bytes)),
        };
        match KEPT.with_borrow_mut(|kept| kept.remove(&self.reference)) {
            Some((kind, bytes)) => Ok(read(kind, &bytes)),
            None => mail::receive(&[self.reference], timeout_ns, |header, bytes| read(header.kind, bytes)),
        }
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        mail::close(self.reference);
        KEPT.with_borrow_mut(|kept| kept.remove(&self.reference));
    }
}

impl<T> fmt::Debug for Task<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Task<{}>({})", std::any::type_name::<T>(), self.process)
    }
}

/// The entry of a task's process.
fn run<T: Message>(compute: impl FnOnce() -> T, reply: ReplyTo<T>) {
    if !reply.try_send(compute()) {
        process::flush();
        let why = "its result has no room in the mailbox of the process that spawned it";
        process::exit(ExitReason::Error(why.to_owned()));
    }
}

#[cold]
fn cannot_decode(error: &DecodeError) -> ! {
    panic!("cannot read the result of a task: {}", crate::chain(error))
}
