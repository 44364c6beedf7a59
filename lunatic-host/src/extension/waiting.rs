//! Waiting in host functions: for a future, and for work that blocks a thread.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use lunatic_kernel::WaitFor;
use lunatic_kernel::address::Id;
use lunatic_kernel::budget::Budget;
use lunatic_kernel::environment::Environment;
use lunatic_kernel::wait::{Held, Wait};
use lunatic_sys::codes::NO_TIMEOUT;

use crate::instance::Ctx;
use crate::wasm::{Kernel, Process};

impl Ctx {
    /// Waits for `future`, but no longer than `timeout`; then drops the future and returns `None`. Without a timeout,
    /// waits as long as the future takes.
    ///
    /// The process blocks, and its worker runs other processes. Any future works that wakes its waker, from any thread:
    /// a oneshot channel, a timer or socket of tokio, or [`spawn_blocking`](Self::spawn_blocking). The timeout follows
    /// the clock of the process's system. A test may have paused that clock, but a paused clock does not advance while
    /// a process waits for something outside.
    ///
    /// # Cancel safety
    ///
    /// If the process is killed while it waits, the future is dropped, with everything that the host function holds.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use std::time::Duration;
    ///
    /// use lunatic_host::Ctx;
    /// use lunatic_host::wasmtime::{Caller, Linker, Result};
    /// # fn ask(question: u32) -> impl Future<Output = u32> + Send { std::future::ready(question) }
    ///
    /// fn link(linker: &mut Linker<Ctx>) -> Result<()> {
    ///     linker.func_wrap_async("desk", "ask", |caller: Caller<'_, Ctx>, (question, timeout_ms): (u32, u32)| {
    ///         Box::new(async move {
    ///             let timeout = Duration::from_millis(timeout_ms.into());
    ///             let answer = caller.data().within(Some(timeout), ask(question)).await;
    ///             answer.map_or(-1, |answer| answer as i32)
    ///         })
    ///     })?;
    ///     Ok(())
    /// }
    /// ```
    pub fn within<T, F: Future<Output = T> + Send>(
        &self,
        timeout: Option<Duration>,
        future: F,
    ) -> impl Future<Output = Option<T>> + Send + use<T, F> {
        let timeout_ns = timeout.and_then(|timeout| u64::try_from(timeout.as_nanos()).ok());
        let (kernel, process) = (Held::Owned(self.kernel.clone()), Held::Owned(self.process().clone()));
        let timeout_ns = timeout_ns.unwrap_or(NO_TIMEOUT);
        let wait = Wait::new(kernel, process, WaitFor::Outside, Id::NONE, timeout_ns);
        async move {
            let mut future = pin!(future);
            poll_fn(|context| match future.as_mut().poll(context) {
                Poll::Ready(value) => Poll::Ready(Some(value)),
                // The timer wakes the process, which then polls once more.
                Poll::Pending if wait.is_late() => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            })
            .await
        }
    }

    /// Runs `work` on a thread that may block, of which there are up to 512, and waits for it. The process blocks, and
    /// its worker runs other processes. Returns `None` if the work panicked.
    ///
    /// The budget of the process, if it has one, is charged for the duration of the work: computing on another thread
    /// counts, too. If the process is killed meanwhile, the work continues and is charged, and its result is dropped.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use lunatic_host::Ctx;
    /// use lunatic_host::wasmtime::{Caller, Linker, Result};
    ///
    /// fn link(linker: &mut Linker<Ctx>) -> Result<()> {
    ///     linker.func_wrap_async("desk", "lines", |caller: Caller<'_, Ctx>, ()| {
    ///         Box::new(async move {
    ///             let count = || std::fs::read_to_string("log").map_or(0, |text| text.lines().count() as u32);
    ///             caller.data().spawn_blocking(count).await.unwrap_or(0)
    ///         })
    ///     })?;
    ///     Ok(())
    /// }
    /// ```
    pub fn spawn_blocking<T: Send + 'static, Work: FnOnce() -> T + Send + 'static>(
        &self,
        work: Work,
    ) -> impl Future<Output = Option<T>> + Send + use<T, Work> {
        spawn_blocking(&self.kernel, self.process(), work)
    }
}

/// Like [`Ctx::spawn_blocking`], for a process that is given otherwise. The work begins immediately, even if the future
/// is not polled.
pub fn spawn_blocking<T: Send + 'static, Work: FnOnce() -> T + Send + 'static>(
    kernel: &Arc<Kernel>,
    process: &Process,
    work: Work,
) -> impl Future<Output = Option<T>> + Send + use<T, Work> {
    // Not the kernel itself: it waits for this thread when it is dropped, so this thread must not be its last owner.
    let (machine, budget) = (kernel.machine().clone(), process.local.rights.budget.clone());
    let running = kernel.host.io.spawn_blocking(move || {
        let _charged = budget.map(|budget| Charged::new(machine, budget));
        work()
    });
    async move { running.await.ok() }
}

/// Like [`spawn_blocking`], for long work that can be interrupted: the work gets a [`Meter`] and asks it repeatedly
/// whether to continue. The charge is not the elapsed time but the CPU time of the thread.
pub fn spawn_metered<T: Send + 'static, Work: FnOnce(Meter) -> T + Send + 'static>(
    kernel: &Arc<Kernel>,
    process: &Process,
    work: Work,
) -> impl Future<Output = Option<T>> + Send + use<T, Work> {
    Threads::of(kernel, process).spawn_metered(work)
}

/// The threads that may block, for work that is charged to a process. Holds neither the process nor the kernel.
#[derive(Clone)]
pub(crate) struct Threads {
    threads: tokio::runtime::Handle,
    machine: Arc<dyn Environment>,
    budget: Option<Arc<Budget>>,
}

impl Threads {
    pub(crate) fn of(kernel: &Arc<Kernel>, process: &Process) -> Self {
        Self {
            threads: kernel.host.io.handle().clone(),
            machine: kernel.machine().clone(),
            budget: process.local.rights.budget.clone(),
        }
    }

    /// Spawns a task that waits for its turn to use one of them.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> tokio::task::JoinHandle<T> {
        self.threads.spawn(task)
    }

    /// [`spawn_metered`], for the process of these threads.
    pub(crate) fn spawn_metered<T: Send + 'static, Work: FnOnce(Meter) -> T + Send + 'static>(
        &self,
        work: Work,
    ) -> impl Future<Output = Option<T>> + Send + use<T, Work> {
        let (machine, budget) = (self.machine.clone(), self.budget.clone());
        let running = self.threads.spawn_blocking(move || work(Meter::new(machine, budget)));
        async move { running.await.ok() }
    }
}

/// Charges the budget of a process, if it has one, for the CPU time of a thread: on each call and on drop. It is bound
/// to the thread that made it.
pub struct Meter {
    machine: Arc<dyn Environment>,
    budget: Option<Arc<Budget>>,
    /// The CPU time of this thread when the meter was made.
    start: Duration,
    /// The CPU time of this thread up to which it has charged.
    charged: Cell<Duration>,
    /// Other threads have other CPU times.
    thread: PhantomData<*const ()>,
}

impl Meter {
    fn new(machine: Arc<dyn Environment>, budget: Option<Arc<Budget>>) -> Self {
        let start = machine.time_on_core();
        Self {
            start,
            charged: Cell::new(start),
            machine,
            budget,
            thread: PhantomData,
        }
    }

    /// Returns how long the thread has computed since the meter was made.
    pub fn computed(&self) -> Duration {
        self.machine.time_on_core().saturating_sub(self.start)
    }

    /// Charges up to now, and returns whether the budget has time left. Without a budget, it always has.
    pub fn may_go_on(&self) -> bool {
        self.charge();
        self.budget.as_ref().is_none_or(|budget| !budget.is_spent())
    }

    /// Returns how long to wait until all shares of a core have something left; `None` if they have.
    pub fn must_wait(&self) -> Option<Duration> {
        self.budget.as_ref()?.must_wait(self.machine.now())
    }

    fn charge(&self) {
        if let Some(budget) = &self.budget {
            let now = self.machine.time_on_core();
            budget.spend(now.saturating_sub(self.charged.replace(now)));
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.charge();
    }
}

/// Charges a budget for the time from its creation until it is dropped, even by a panic.
struct Charged {
    machine: Arc<dyn Environment>,
    budget: Arc<Budget>,
    start: Instant,
}

impl Charged {
    fn new(machine: Arc<dyn Environment>, budget: Arc<Budget>) -> Self {
        let start = machine.now();
        Self { machine, budget, start }
    }
}

impl Drop for Charged {
    fn drop(&mut self) {
        let passed = self.machine.now().saturating_duration_since(self.start);
        self.budget.spend(passed);
    }
}
