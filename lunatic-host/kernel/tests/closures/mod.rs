//! A host whose processes are Rust closures: what the kernel's own tests run.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread::LocalKey;
use std::time::Duration;

use lunatic_kernel::address::{Id, Node};
use lunatic_kernel::budget::Budget;
use lunatic_kernel::channel::{ReceiveRefusal, SendRefusal};
use lunatic_kernel::elsewhere::{self, Offered, Sending};
use lunatic_kernel::environment::Machine;
use lunatic_kernel::exit::ExitReason;
use lunatic_kernel::host::{Body, Host, Local, Progress};
use lunatic_kernel::relations::mailbox::{Kind, Mail};
use lunatic_kernel::relations::{self, Intake};
use lunatic_kernel::scheduler::Place;
use lunatic_kernel::wait::{Held, Wait, block, poll_until, sleep, until};
use lunatic_kernel::worker::Threads;
use lunatic_kernel::{Fate, Kernel, Process, Seed, Settings, System, WaitFor};

/// What a process returns: an error is the reason that it ends with.
pub type Outcome = Result<(), ExitReason>;
type Running = Pin<Box<dyn Future<Output = Outcome> + Send>>;
type Entry = Box<dyn FnOnce(Me) -> Running + Send>;

pub const SETTINGS: Settings = Settings {
    workers: 2,
    processes_max: 1 << 20,
    channels_max: 1 << 20,
    queued_max: 1 << 30,
    kept_max: 2 << 30,
};

pub struct Closures;

/// What a process may use.
#[derive(Default, Clone)]
pub struct Limits {
    pub budget: Option<Arc<Budget>>,
    pub mailbox_max: Option<usize>,
}

impl Local for Limits {
    fn mailbox_max(&self) -> usize {
        self.mailbox_max.unwrap_or(usize::MAX)
    }

    fn budget(&self) -> Option<&Arc<Budget>> {
        self.budget.as_ref()
    }
}

/// A process as its own code sees it.
#[derive(Clone)]
pub struct Me {
    pub kernel: Arc<Kernel<Closures>>,
    pub process: Arc<Process<Closures>>,
    gives_way: Arc<AtomicBool>,
}

/// Runs one closure.
pub struct Coroutine {
    kernel: Arc<Kernel<Closures>>,
    seated: Option<(Me, Running)>,
}

thread_local! {
    /// What the thread has of the worker that it is.
    static PLACE: Place<Process<Closures>> = const { Place::new() };
}

impl Host for Closures {
    type Body = Coroutine;
    type Entry = Entry;
    type Local = Limits;
    type Belongings = ();
    type System = ();
    type Pool = ();

    fn place() -> &'static LocalKey<Place<Process<Self>>> {
        &PLACE
    }

    fn body(kernel: &Arc<Kernel<Self>>, (): &mut (), _: &Arc<Process<Self>>) -> Coroutine {
        Coroutine {
            kernel: kernel.clone(),
            seated: None,
        }
    }

    fn keep(&self, (): &mut (), _: Coroutine) {}

    fn panicked(&self, _: &Process<Self>, payload: &(dyn Any + Send)) -> ExitReason {
        let text = payload.downcast_ref::<&str>().copied().unwrap_or("?");
        ExitReason::HostBug(text.into())
    }

    fn left_behind(&self, _: &(dyn Any + Send)) {
        panic!("a closure could not be dropped");
    }

    fn deadlock(&self, _: &Kernel<Self>, _: &System<Self>, waiting: Vec<(Id, WaitFor, Id)>) -> String {
        format!("{waiting:?}")
    }
}

impl Body<Closures> for Coroutine {
    fn assign(&mut self, process: Arc<Process<Closures>>, entry: Entry) {
        let me = Me {
            kernel: self.kernel.clone(),
            process,
            gives_way: Arc::default(),
        };
        self.seated = Some((me.clone(), entry(me)));
    }

    fn run(&mut self, kernel: &Arc<Kernel<Closures>>, process: Arc<Process<Closures>>, _: u64) -> Progress<Closures> {
        let (me, running) = self.seated.as_mut().expect("a process is seated");
        match running.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending if me.gives_way.swap(false, Ordering::Relaxed) => Progress::Preempted(process),
            Poll::Pending => Progress::Blocked(process),
            Poll::Ready(outcome) => {
                process.system.process_ends(process.id);
                self.seated = None;
                kernel.end(&process, outcome.err().unwrap_or(ExitReason::Normal));
                Progress::Idle
            }
        }
    }

    fn current(&self) -> Option<Arc<Process<Closures>>> {
        self.seated.as_ref().map(|(me, _)| me.process.clone())
    }
}

/// A seed of a process that runs `code`.
pub fn seed<F: Future<Output = Outcome> + Send + 'static>(
    code: impl FnOnce(Me) -> F + Send + 'static,
) -> Seed<Closures> {
    limited(Limits::default(), code)
}

/// A seed of a process that runs `code` within limits.
pub fn limited<F: Future<Output = Outcome> + Send + 'static>(
    local: Limits,
    code: impl FnOnce(Me) -> F + Send + 'static,
) -> Seed<Closures> {
    Seed {
        entry: Box::new(|me| Box::pin(code(me))),
        local,
        intake: None,
    }
}

/// An intake that counts what it hears of ends, and holds 1,000 bytes for each.
pub struct Counts(pub Arc<AtomicUsize>);

impl Intake for Counts {
    fn tell(&mut self, _: &Kind) -> bool {
        self.0.fetch_add(1, Ordering::Relaxed);
        false
    }

    fn hears_exit(&mut self, _: Id, _: &ExitReason) -> bool {
        true
    }

    fn accept(&mut self, _: Box<dyn Any + Send>) -> bool {
        false
    }

    fn held(&self) -> relations::Held {
        let count = self.0.load(Ordering::Relaxed);
        relations::Held {
            bytes: 1000 * count,
            growth: 0,
            steps: count,
        }
    }
}

/// What a signal to itself does to a process.
fn follow(fate: Fate) -> Outcome {
    match fate {
        Fate::Lives => Ok(()),
        Fate::Ends(reason) => Err(reason),
    }
}

impl Me {
    pub fn id(&self) -> Id {
        self.process.id
    }

    pub fn spawn<F: Future<Output = Outcome> + Send + 'static>(
        &self,
        code: impl FnOnce(Me) -> F + Send + 'static,
    ) -> Id {
        self.kernel.spawn(&self.process, seed(code)).unwrap()
    }

    pub fn send(&self, to: Id, tag: u64, body: &[u8]) -> Result<(), SendRefusal> {
        self.kernel.send_mail(self.id(), to, tag, body)
    }

    pub fn link(&self, other: Id) -> Outcome {
        follow(self.kernel.link(&self.process, other))
    }

    pub fn exit(&self, other: Id, reason: &ExitReason) -> Outcome {
        follow(self.kernel.send_exit(&self.process, other, reason))
    }

    pub fn monitor(&self, other: Id) -> u64 {
        self.kernel.monitor(&self.process, other, 0)
    }

    pub fn trap_exits(&self) {
        self.process.trap_exits(true);
    }

    fn wait(&self, kind: WaitFor, timeout_ns: u64) -> Wait<'_, Closures> {
        self.new_wait(kind, Id::NONE, timeout_ns)
    }

    fn wait_for(&self, kind: WaitFor, what: Id) -> Wait<'_, Closures> {
        self.new_wait(kind, what, lunatic_sys::codes::NO_TIMEOUT)
    }

    pub fn new_wait(&self, kind: WaitFor, what: Id, timeout_ns: u64) -> Wait<'_, Closures> {
        let (kernel, process) = (Held::Borrowed(&self.kernel), Held::Borrowed(&self.process));
        Wait::new(kernel, process, kind, what, timeout_ns)
    }

    /// Takes the oldest entry with one of these tags, or of all if there are none.
    pub async fn receive(&self, tags: &[u64]) -> Mail {
        self.receive_timeout(tags, lunatic_sys::codes::NO_TIMEOUT)
            .await
            .expect("there is no timeout")
    }

    pub async fn receive_timeout(&self, tags: &[u64], timeout_ns: u64) -> Option<Mail> {
        let wait = self.wait(WaitFor::Mail, timeout_ns);
        loop {
            let is_late = wait.is_late();
            let mail = self.kernel.take_mail(&self.process, tags, !is_late);
            if mail.is_some() || is_late {
                return mail;
            }
            block(&wait).await;
        }
    }

    /// Calls another process: the answer, or what is told of its end.
    pub async fn call(&self, callee: Id, tag: u64, body: &[u8]) -> Mail {
        let reference = self.kernel.open_reference(&self.process);
        let body = [&reference.to_le_bytes(), body].concat();
        let callee = self.kernel.find(callee).expect("the callee is alive");
        let mut waits = self
            .kernel
            .begin_call(&self.process, callee, reference, tag, &body)
            .unwrap();
        let wait = self.wait(WaitFor::Call, lunatic_sys::codes::NO_TIMEOUT);
        loop {
            if waits {
                block(&wait).await;
            }
            if let Some((answer, next)) = self.kernel.end_call(&self.process, reference, false) {
                self.kernel.close_reference(&self.process, next);
                return answer.expect("the call was answered");
            }
            waits = true;
        }
    }

    /// Answers a [call](Self::call).
    pub fn answer(&self, caller: Id, request: &Mail, body: &[u8]) {
        let reference = u64::from_le_bytes(request.body[..8].try_into().unwrap());
        self.send(caller, reference, body).unwrap();
    }

    /// Takes the oldest message out of a channel; `None` once it is closed.
    pub async fn receive_from(&self, channel: Id) -> Option<Vec<u8>> {
        if !channel.is_here() {
            let wait = self.wait_for(WaitFor::Receive, channel);
            return elsewhere::receive(&wait, channel, true).await.ok();
        }
        let (channels, mut former) = (self.kernel.channels(), None);
        let wait = self.wait_for(WaitFor::Receive, channel);
        loop {
            match channels.try_receive(channel) {
                Ok((message, _, wake)) => {
                    self.kernel.wake_waiter(wake);
                    return Some(message.into_vec());
                }
                Err(ReceiveRefusal::Closed) => return None,
                Err(ReceiveRefusal::Empty) => {}
            }
            until(
                &wait,
                &mut former,
                |process, ticket| channels.wait_to_receive(channel, process, ticket),
                |ticket, looks| {
                    self.kernel
                        .process_to_wake(channels.leave_receive(channel, ticket, looks))
                },
            )
            .await;
        }
    }

    /// Puts a message into a channel when there is room; false once it is closed.
    pub async fn send_to(&self, channel: Id, message: &[u8]) -> bool {
        if !channel.is_here() {
            let wait = self.wait_for(WaitFor::Send, channel);
            return offer(&wait, channel, message, true).await == Offered::Accepted;
        }
        let (channels, mut former) = (self.kernel.channels(), None);
        let wait = self.wait_for(WaitFor::Send, channel);
        loop {
            match channels.try_send(channel, message) {
                Ok(wake) => {
                    self.kernel.wake_waiter(wake);
                    return true;
                }
                Err(SendRefusal::Full) => {}
                Err(_) => return false,
            }
            until(
                &wait,
                &mut former,
                |process, ticket| channels.wait_to_send(channel, process, ticket),
                |ticket, looks| self.kernel.process_to_wake(channels.leave_send(channel, ticket, looks)),
            )
            .await;
        }
    }

    /// Waits for the end of a process.
    pub async fn join(&self, other: &Process<Closures>) -> ExitReason {
        let wait = self.wait_for(WaitFor::Join, other.id);
        poll_until(&wait, |joiner| other.join(joiner))
            .await
            .expect("there is no timeout")
    }

    pub async fn sleep(&self, time: Duration) {
        let ns = u64::try_from(time.as_nanos()).unwrap();
        sleep(&self.wait(WaitFor::Sleep, ns)).await;
    }

    /// Blocks until the process is woken, as if for something outside.
    pub async fn wait_outside(&self) {
        block(&self.wait(WaitFor::Outside, lunatic_sys::codes::NO_TIMEOUT)).await;
    }

    pub async fn give_way(&self) {
        self.gives_way.store(true, Ordering::Relaxed);
        let mut polled = false;
        std::future::poll_fn(|_| match std::mem::replace(&mut polled, true) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
    }
}

/// Sends to a channel of another node.
pub async fn offer(wait: &Wait<'_, Closures>, channel: Id, message: &[u8], waits: bool) -> Offered {
    let mut sending = Sending::new(wait, channel, waits);
    loop {
        sending.offer(message);
        match sending.outcome().await {
            Offered::Again => {}
            outcome => return outcome,
        }
    }
}

/// A kernel on real threads, which end with it.
pub struct Threaded {
    pub kernel: Arc<Kernel<Closures>>,
    threads: Option<Threads>,
}

impl Threaded {
    pub fn new() -> Self {
        Self::with(SETTINGS)
    }

    pub fn with(settings: Settings) -> Self {
        Self::on(settings, Machine::new(|| Duration::ZERO))
    }

    pub fn on(settings: Settings, machine: Machine) -> Self {
        let (kernel, seats) = Kernel::new(settings, Node::draw(1 << 40), Arc::new(machine), Closures);
        let (threads, started) = kernel.start(seats);
        started.unwrap();
        Self {
            kernel,
            threads: Some(threads),
        }
    }

    /// Runs a system until its main process has ended, and tells how.
    pub fn run<F: Future<Output = Outcome> + Send + 'static>(
        &self,
        main: impl FnOnce(Me) -> F + Send + 'static,
    ) -> ExitReason {
        let system = self.kernel.start_system((), |()| seed(main)).unwrap();
        let reason = system.wait();
        self.kernel.sweep(&system);
        reason
    }
}

impl Drop for Threaded {
    fn drop(&mut self) {
        if let Some(threads) = self.threads.take() {
            self.kernel.stop(threads, || self.kernel.take_apart());
        }
    }
}
