//! Pools of workers that are lent to other processes.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::backoff::Streak;
use super::dynamic::end_all;
use super::restarts::Restarts;
use super::{Backoff, Intensity, Shutdown};
use crate::actor::{self, Actor, ActorRef, Info, Next, StartError};
use crate::code::{Saved, StateError, Version};
use crate::exit::ExitReason;
use crate::mailbox::{CallError, ReplyTo};
use crate::process::{self, Monitor, Process};

/// The options of a [`WorkerPool`]: the number of workers, and their argument.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolOptions {
    size: u32,
    /// The pool may grow to this number if it is more than `size`.
    max: u32,
    args: Vec<u8>,
    intensity: Intensity,
    backoff: Option<Backoff>,
}

impl PoolOptions {
    /// Makes options for `size` workers (at least one) of type `A`, each of which is started with `args`.
    ///
    /// # Panics
    ///
    /// If the argument cannot be encoded.
    #[must_use]
    pub fn new<A: Actor>(size: u32, args: A::Args) -> Self {
        let size = size.max(1);
        Self {
            size,
            max: 0,
            args: actor::encode_args::<A>(&args),
            intensity: Intensity {
                restarts: size.saturating_mul(2),
                period: Duration::from_secs(5),
            },
            backoff: None,
        }
    }

    /// Lets the pool start more workers, up to `max`, while all workers are lent. A surplus worker is terminated when
    /// it is returned and no process waits for one. By default the pool does not grow.
    #[must_use]
    pub fn grow_to(mut self, max: u32) -> Self {
        self.max = max;
        self
    }

    /// The largest number of workers.
    fn most(&self) -> usize {
        self.size.max(self.max) as usize
    }

    /// Sets how many workers may be replaced within `period` before the pool gives up. The default is twice the number
    /// of workers in 5 s.
    #[must_use]
    pub fn intensity(mut self, restarts: u32, period: Duration) -> Self {
        self.intensity = Intensity { restarts, period };
        self
    }

    /// Sets how long the pool waits before it replaces a worker. Failures of all workers count as one row. While a
    /// replacement waits, the pool does not [grow](Self::grow_to). By default workers are replaced immediately.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = Some(backoff);
        self
    }
}

/// A pool of workers, each of which is lent to one process at a time.
///
/// A worker that exits is replaced. If a borrower exits, its worker returns to the pool. Processes that wait for a
/// worker are served in the order in which they asked.
///
/// # Examples
///
/// ```no_run
/// use lunatic::actor::{Actor, Next};
/// use lunatic::mailbox::ReplyTo;
/// use lunatic::supervisor::{PoolOptions, WorkerPool};
/// # use lunatic::ExitReason;
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # enum Ask { Square(u64, ReplyTo<u64>) }
/// # struct Squarer;
/// # impl Actor for Squarer {
/// #     type Args = ();
/// #     type Call = Ask;
/// #     type Cast = ();
/// #     fn init((): ()) -> Result<Self, ExitReason> { Ok(Squarer) }
/// #     fn handle_call(&mut self, Ask::Square(n, reply): Ask) -> Next { reply.send(n * n); Next::Continue }
/// # }
///
/// let pool = WorkerPool::<Squarer>::start(PoolOptions::new::<Squarer>(4, ())).unwrap();
/// let worker = pool.take().unwrap();
/// assert_eq!(worker.call(|reply| Ask::Square(7, reply)).unwrap(), 49);
/// drop(worker); // gives it back
/// ```
pub struct WorkerPool<A> {
    options: PoolOptions,
    free: Vec<Process>,
    lent: HashMap<Process, Lent>,
    waiting: VecDeque<ReplyTo<Process>>,
    /// Replacements of workers that are waiting, by reason.
    restarts: Restarts<String>,
    /// The failures of all workers.
    streak: Streak,
    actor: PhantomData<A>,
}

/// The state of a pool, as another version reads it.
#[derive(Serialize, Deserialize)]
struct SavedPool {
    options: PoolOptions,
    free: Vec<Process>,
    lent: Vec<(Process, Lent)>,
    waiting: Vec<ReplyTo<Process>>,
    /// The ages of the restarts that still count towards the intensity.
    restarts: Vec<Duration>,
    /// The replacements that are waiting: the delay and reason of each.
    restarting: Vec<(Duration, String)>,
    streak: (u32, Option<Duration>),
}

/// A worker that is lent.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Lent {
    /// Identifies the request that it was lent for.
    reference: u64,
    borrower: Monitor,
}

/// The requests to a pool, made by the methods of its [`ActorRef`].
#[derive(Debug, Serialize, Deserialize)]
#[doc(hidden)]
pub enum PoolRequest {
    Take(ReplyTo<Process>),
    Resize(u32, ReplyTo<()>),
    Status(ReplyTo<PoolStatus>),
}

/// The casts to a pool, made by the methods of its [`ActorRef`].
#[derive(Debug, Serialize, Deserialize)]
#[doc(hidden)]
pub enum PoolCast {
    Give(Process),
    /// The process that asked under this reference does not wait any more.
    Forget(u64),
}

/// The state of a pool, returned by [`status`](ActorRef::status).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PoolStatus {
    /// Workers that are not lent.
    pub free: u32,
    /// Workers that are lent.
    pub lent: u32,
    /// Processes that wait for a worker.
    pub waiting: u32,
    /// Workers that have failed and are not replaced yet.
    pub restarting: u32,
}

/// A worker that the calling process has borrowed from a pool. Dropping the loan returns the worker.
#[derive(Debug)]
pub struct Loan<A: Actor> {
    pool: ActorRef<WorkerPool<A>>,
    worker: ActorRef<A>,
}

impl<A: Actor> Deref for Loan<A> {
    type Target = ActorRef<A>;

    fn deref(&self) -> &ActorRef<A> {
        &self.worker
    }
}

impl<A: Actor> Drop for Loan<A> {
    fn drop(&mut self) {
        self.pool.cast(PoolCast::Give(self.worker.process()));
    }
}

impl<A: Actor> ActorRef<WorkerPool<A>> {
    /// Borrows a worker; waits until one is free.
    ///
    /// # Errors
    ///
    /// [`CallError`] if the pool exits.
    pub fn take(&self) -> Result<Loan<A>, CallError> {
        self.lend(self.call(PoolRequest::Take))
    }

    /// Borrows a worker; waits for at most `timeout`.
    ///
    /// # Errors
    ///
    /// [`CallError`].
    pub fn take_timeout(&self, timeout: Duration) -> Result<Loan<A>, CallError> {
        let mut reference = 0;
        let taken = self.call_timeout(
            |reply| {
                reference = reply.reference();
                PoolRequest::Take(reply)
            },
            timeout,
        );
        if taken.is_err() {
            self.cast(PoolCast::Forget(reference));
        }
        self.lend(taken)
    }

    fn lend(&self, taken: Result<Process, CallError>) -> Result<Loan<A>, CallError> {
        taken.map(|worker| Loan {
            pool: *self,
            worker: ActorRef::of(worker),
        })
    }

    /// Changes the number of workers, to at least one. If the pool has more workers than that, it terminates those that
    /// are free immediately and the others when they are returned. A pool that may [grow](PoolOptions::grow_to) still
    /// grows up to its limit.
    ///
    /// # Errors
    ///
    /// [`CallError`] if the pool has exited.
    pub fn resize(&self, size: u32) -> Result<(), CallError> {
        self.call(|reply| PoolRequest::Resize(size, reply))
    }

    /// Returns the numbers of workers and waiting processes.
    ///
    /// # Errors
    ///
    /// [`CallError`] if the pool has exited.
    pub fn status(&self) -> Result<PoolStatus, CallError> {
        self.call(PoolRequest::Status)
    }
}

impl<A: Actor> Actor for WorkerPool<A> {
    type Args = PoolOptions;
    type Call = PoolRequest;
    type Cast = PoolCast;

    fn init(options: PoolOptions) -> Result<Self, ExitReason> {
        process::trap_exit(true);
        let mut pool = Self {
            restarts: Restarts::new("pool", options.intensity, false),
            options,
            free: Vec::new(),
            lent: HashMap::new(),
            waiting: VecDeque::new(),
            streak: Streak::default(),
            actor: PhantomData,
        };
        for _ in 0..pool.options.size {
            if let Err(error) = pool.start_worker() {
                let reason = ExitReason::Error(format!("no worker: {error}"));
                pool.terminate(&reason);
                return Err(reason);
            }
        }
        Ok(pool)
    }

    fn save(&self) -> Option<Result<Saved, StateError>> {
        let saved = SavedPool {
            options: self.options.clone(),
            free: self.free.clone(),
            lent: self.lent.iter().map(|(worker, lent)| (*worker, *lent)).collect(),
            waiting: self.waiting.iter().copied().collect(),
            restarts: self.restarts.ages(Instant::now()),
            restarting: self.restarts.waiting().map(|(left, why)| (left, why.clone())).collect(),
            streak: self.streak.to_saved(),
        };
        Some(Saved::of(&saved))
    }

    fn code_change(old: Saved, _: Version) -> Result<Self, StateError> {
        let saved: SavedPool = old.read()?;
        actor::check_args::<A>(&saved.options.args)?;
        let mut restarts = Restarts::new("pool", saved.options.intensity, false);
        restarts.set_ages(&saved.restarts, Instant::now());
        for (left, why) in saved.restarting {
            restarts.wait(why, left);
        }
        Ok(Self {
            restarts,
            options: saved.options,
            free: saved.free,
            lent: saved.lent.into_iter().collect(),
            waiting: saved.waiting.into(),
            streak: Streak::from_saved(saved.streak),
            actor: PhantomData,
        })
    }

    fn handle_call(&mut self, request: PoolRequest) -> Next {
        match request {
            PoolRequest::Take(reply) => self.waiting.push_back(reply),
            PoolRequest::Resize(size, reply) => {
                self.options.size = size.max(1);
                reply.send(());
            }
            PoolRequest::Status(reply) => reply.send(PoolStatus {
                free: self.free.len() as u32,
                lent: self.lent.len() as u32,
                waiting: self.waiting.len() as u32,
                restarting: self.restarts.waiting_len() as u32,
            }),
        }
        self.serve()
    }

    fn handle_cast(&mut self, cast: PoolCast) -> Next {
        match cast {
            PoolCast::Give(worker) => self.take_back(worker),
            PoolCast::Forget(reference) => {
                self.waiting.retain(|reply| reply.reference() != reference);
                let lent = self.lent.iter().find(|(_, lent)| lent.reference == reference);
                if let Some(worker) = lent.map(|(worker, _)| *worker) {
                    self.take_back(worker);
                }
            }
        }
        self.serve()
    }

    fn handle_info(&mut self, info: Info) -> Next {
        match info {
            Info::Down { monitor, .. } => {
                self.waiting.retain(|reply| reply.process() != monitor.process());
                let lent = self.lent.iter().find(|(_, lent)| lent.borrower == monitor);
                if let Some(worker) = lent.map(|(worker, _)| *worker) {
                    self.take_back(worker);
                }
            }
            Info::Exit { from, reason } => {
                let was_free = self.free.iter().position(|worker| *worker == from);
                let lent = self.lent.remove(&from);
                match (was_free, lent) {
                    (Some(place), _) => drop(self.free.swap_remove(place)),
                    (None, Some(lent)) => drop(lent.borrower.demonitor()),
                    (None, None) => return Next::Continue,
                }
                return self.worker_ended(format!("{from} {reason}"));
            }
            Info::Message(_) => return actor::ignore::<Self>(info),
        }
        self.serve()
    }

    fn alarm(&self) -> Option<Instant> {
        self.restarts.next()
    }

    fn handle_alarm(&mut self) -> Next {
        match self.restarts.take_due() {
            Some(why) => self.replace(&why),
            None => Next::Continue,
        }
    }

    fn terminate(&mut self, _: &ExitReason) {
        let workers: Vec<Process> = self
            .free
            .drain(..)
            .chain(self.lent.drain().map(|(worker, _)| worker))
            .collect();
        end_all(Shutdown::default(), &workers);
    }
}

impl<A: Actor> WorkerPool<A> {
    /// The number of workers.
    fn live(&self) -> usize {
        self.free.len() + self.lent.len()
    }

    /// The number of workers, including replacements that are waiting.
    fn total(&self) -> usize {
        self.live() + self.restarts.waiting_len()
    }

    fn take_back(&mut self, worker: Process) {
        if let Some(lent) = self.lent.remove(&worker) {
            lent.borrower.demonitor();
            self.free.push(worker);
        }
    }

    fn start_worker(&mut self) -> Result<(), StartError> {
        let worker = actor::start_from_bytes::<A>(&Process::builder().link(), &self.options.args)?;
        self.streak = self.streak.restarted(self.options.backoff.as_ref());
        self.free.push(worker);
        Ok(())
    }

    /// Replaces a worker that has exited, now or later. `why` says which worker, and its exit reason.
    fn worker_ended(&mut self, why: String) -> Next {
        let delay = self.streak.failed(self.options.backoff.as_ref());
        if delay.is_zero() {
            return self.replace(&why);
        }
        self.replace_later(why, delay);
        self.serve()
    }

    /// Starts a worker in place of one that has exited, if the pool has too few; gives up if that is one restart too
    /// many.
    fn replace(&mut self, why: &str) -> Next {
        if !self.restarts.count(Instant::now()) {
            self.restarts.say_too_many("worker", why);
            return Next::Stop(ExitReason::Shutdown);
        }
        if self.total() < self.options.size as usize {
            self.start_or_try_again();
        }
        self.serve()
    }

    fn start_or_try_again(&mut self) {
        if let Err(error) = self.start_worker() {
            let delay = self.streak.failed(self.options.backoff.as_ref());
            self.replace_later(format!("could not be started: {error}"), delay);
        }
    }

    fn replace_later(&mut self, why: String, delay: Duration) {
        self.restarts.say_wait("worker", &why, delay);
        self.restarts.wait(why, delay);
    }

    /// Brings the number of workers to what it should be, and lends free ones to the processes that wait.
    fn serve(&mut self) -> Next {
        while self.total() < self.options.size as usize {
            self.start_or_try_again();
        }
        while let Some(reply) = self.waiting.front().copied() {
            if self.free.is_empty() && !self.grow() {
                break;
            }
            let Some(worker) = self.free.pop() else { break };
            let lent = Lent {
                reference: reply.reference(),
                borrower: reply.process().monitor(),
            };
            self.lent.insert(worker, lent);
            reply.send(worker);
            self.waiting.pop_front();
        }
        if self.waiting.is_empty() && self.live() > self.options.size as usize {
            let surplus = self.live() - self.options.size as usize;
            let rest = self.free.len().saturating_sub(surplus);
            end_all(Shutdown::default(), &self.free.split_off(rest));
        }
        Next::Continue
    }

    /// Starts a worker beyond the usual number, if the limit allows one more.
    fn grow(&mut self) -> bool {
        let may_grow = self.restarts.waiting_len() == 0 && self.live() < self.options.most();
        may_grow && self.start_worker().is_ok()
    }
}

impl<A> fmt::Debug for WorkerPool<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerPool")
            .field("free", &self.free.len())
            .field("lent", &self.lent.len())
            .finish_non_exhaustive()
    }
}
