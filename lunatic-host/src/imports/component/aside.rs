//! Operations that block a thread, as for core modules (`imports/wasi/blocking.rs`): the state of the process moves to a
//! thread that may block, and returns with the result.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use lunatic_kernel::WaitFor;
use lunatic_kernel::address::Id;
use lunatic_kernel::budget::{Account, Payer as _, Receipt, Resource as Charged};
use lunatic_kernel::permits::Permits;
use lunatic_kernel::shares::Group;
use lunatic_kernel::wait::{Held, Wait, ready};
use lunatic_sys::codes::NO_TIMEOUT;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use wasmtime::{Error, Result};

use super::state::{State, View};
use crate::extension::Threads;
use crate::imports::wasi::blocking;
use crate::wasm::Wasm;

/// A wait of the process for something outside.
pub(super) fn wait(view: &View<'_>, kind: WaitFor) -> Wait<'static, Wasm> {
    let (kernel, process) = (view.0.kernel.clone(), view.process().clone());
    Wait::new(Held::Owned(kernel), Held::Owned(process), kind, Id::NONE, NO_TIMEOUT)
}

/// Runs `work` with the state of the process on a thread that may block, when it is the turn of the process. If the
/// process is killed meanwhile, the work continues and keeps its permit, and the state stays as it is until it ends.
///
/// # Errors
///
/// If `work` panicked. The process has lost its state then.
pub(super) async fn run<T: Send + 'static>(
    view: &mut View<'_>,
    work: impl FnOnce(&mut State) -> T + Send + 'static,
) -> Result<T> {
    let wait = wait(view, WaitFor::File);
    let group = &wait.process.local.rights.group;
    let permit = ready(&wait, wait.kernel.host.file_operations.acquire(group)).await;
    let mut state = view.take();
    let with_state = move || {
        let result = work(&mut state);
        (state, result)
    };
    let answer = blocking::start(&Threads::of(&wait.kernel, &wait.process), permit, with_state);
    let answer = ready(&wait, answer).await;
    let (state, result) = answer.map_err(|_| Error::msg("an operation on a file failed"))?;
    view.put(state);
    Ok(result)
}

/// The most reads of streams of a process that run or wait for their turn. Each is a task, also if nobody waits for it.
pub(super) const READS_MAX: usize = 256;

/// Begins operations of a process on threads that may block, without its state.
#[derive(Clone)]
pub(super) struct Aside {
    threads: Threads,
    permits: Arc<Permits>,
    group: Arc<Group>,
    account: Account,
    /// Each read of a stream has one of [`READS_MAX`] from when it begins until its task has ended.
    pub(super) reads: Arc<Semaphore>,
}

impl Aside {
    pub(super) fn of(view: &mut View<'_>) -> Self {
        let reads = view.state().reads.clone();
        let (kernel, process) = (&view.0.kernel, view.process());
        Self {
            threads: Threads::of(kernel, process),
            permits: kernel.host.file_operations.clone(),
            group: process.local.rights.group.clone(),
            account: process.purse().to_account(),
            reads,
        }
    }

    /// Charges the process for bytes of an operation, for as long as the receipt lives.
    pub(super) fn pay(&self, bytes: usize) -> std::io::Result<Receipt> {
        let mut paid = Receipt::new(self.account.clone(), Charged::Buffers);
        // Programs know it as `insufficient-memory`.
        paid.grow(bytes).map_err(|_| rustix::io::Errno::NOMEM)?;
        Ok(paid)
    }

    /// Runs `work` when it is the turn of the process, whether or not the result is polled.
    pub(super) fn start<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Running<T> {
        let Self {
            threads,
            permits,
            group,
            ..
        } = self.clone();
        let threads_of_task = threads.clone();
        Running(threads.spawn(async move {
            let permit = permits.acquire(&group).await;
            blocking::start(&threads_of_task, permit, work).await.ok()
        }))
    }
}

impl Aside {
    /// Drops a value, which may block, when it is the turn of the process. Nobody waits for that.
    pub(super) fn close(&self, value: impl Send + 'static) {
        let Self {
            threads,
            permits,
            group,
            ..
        } = self.clone();
        let threads_of_task = threads.clone();
        drop(threads.spawn(async move {
            let permit = permits.acquire(&group).await;
            let closed = blocking::start(&threads_of_task, permit, move || drop(value));
            // It has been dropped in any case.
            let _ = closed.await;
        }));
    }
}

/// An operation that runs or waits for its turn. If this is dropped, it does not begin any more.
pub(super) struct Running<T>(JoinHandle<Option<T>>);

impl<T> Drop for Running<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The result of the operation; `None` if it panicked.
impl<T> Future for Running<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        Pin::new(&mut self.0).poll(context).map(|joined| joined.ok().flatten())
    }
}

/// Must be called between pieces of a long operation: lets other processes run if the time slice of the process is over.
pub(super) async fn pause(view: &mut View<'_>) {
    if !view.0.has_used_slice() {
        return;
    }
    view.0.give_way();
    let mut yielded = false;
    poll_fn(|_| match std::mem::replace(&mut yielded, true) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}
