//! How the kernel runs WebAssembly: its bodies are runners, and ends of processes are reported.

use std::any::Any;
use std::sync::Arc;
use std::thread::LocalKey;

use lunatic_kernel::address::Id;
use lunatic_kernel::budget::Budget;
use lunatic_kernel::exit::ExitReason;
use lunatic_kernel::scheduler::Place;
use lunatic_kernel::{Body, Host, Progress, WaitFor};
use lunatic_memory::{Pages, ThreadClock};

use crate::deadlock;
use crate::ending;
use crate::hibernation::Freezable;
use crate::instance::{IDLE_MEMORY_MAX, Runner};
use crate::pool::Pool;
use crate::report::untrusted::lines;
use crate::wasm::{Belongings, Entry, Kernel, Local, Process, System, Wasm};

/// The resident memory is checked once in this many time slices.
const HIBERNATION_LOOK: u64 = 10;

/// Closing a socket takes 5 to 20 µs, as long as so many other steps.
const SOCKET_STEPS: usize = 50;

thread_local! {
    /// What this thread keeps as a worker.
    static PLACE: Place<Process> = const { Place::new() };
}

impl Host for Wasm {
    type Body = Runner;
    type Entry = Entry;
    type Local = Local;
    type Belongings = Belongings;
    type System = crate::system::SystemData;
    type Pool = Pool<Runner>;

    fn place() -> &'static LocalKey<Place<Process>> {
        &PLACE
    }

    fn body(kernel: &Arc<Kernel>, pool: &mut Self::Pool, process: &Arc<Process>) -> Runner {
        let code = &process.local.code;
        // Code that counts its instructions is compiled separately, for the few processes that need it.
        if process.local.rights.fuel.is_some() {
            return Runner::metered(kernel, &code.module());
        }
        if let Some(runner) = pool.take(|runner: &Runner| code.is_of(runner.module())) {
            return runner;
        }
        let module = &code.module();
        let host = &kernel.host;
        let ready = host.ahead.take(module);
        let can_be_ahead = module.facts().recyclable.is_ok() && module.memory_min() <= IDLE_MEMORY_MAX as u64;
        if can_be_ahead && host.ahead.want(module) {
            kernel.wake_spare();
        }
        ready.unwrap_or_else(|| Runner::unmetered(kernel, module))
    }

    fn keep(&self, pool: &mut Self::Pool, mut runner: Runner) {
        if runner.may_be_kept() {
            pool.put(runner);
        }
    }

    fn shortage(&self, kernel: &Kernel) -> Option<Arc<str>> {
        self.shortage.refuses(kernel.slices(), kernel.process_slots())
    }

    fn expect_run(process: &Process) {
        process.local.places.fetch();
    }

    fn suspends(&self, process: &Arc<Process>, runner: &mut Runner, wait: WaitFor) {
        if self.hibernation.is_eager() && wait.is_freezable() && runner.freeze() {
            process.set_frozen();
        }
    }

    fn suspended(&self, process: &Arc<Process>) {
        if self.hibernation.is_under_pressure() {
            self.hibernation.add_candidate(process);
        }
    }

    fn ended(&self, kernel: &Kernel, process: &Process, belongings: Belongings) {
        for socket in belongings.sockets {
            self.net.handles.close_of(kernel.worker(), process.id, socket);
        }
        for channel in belongings.channels {
            kernel.close_channel(channel, process.local.rights.budget.as_ref());
        }
        self.extensions.ended(process);
    }

    fn count(belongings: &Belongings) -> usize {
        SOCKET_STEPS * belongings.sockets.count() + belongings.channels.len()
    }

    fn is_sent_to(system: &Self::System) -> bool {
        system.config.expects_messages
    }

    fn was_ended(&self, process: &Process, reason: &ExitReason) {
        ending::signalled(process, reason);
    }

    fn panicked(&self, process: &Process, payload: &(dyn Any + Send)) -> ExitReason {
        ending::host_bug(process, payload)
    }

    fn left_behind(&self, payload: &(dyn Any + Send)) {
        let text = ending::panic_text(payload);
        eprintln!("lunatic: bug: an instance could not be dropped: {}", lines(text));
    }

    fn budget_of(system: &Self::System) -> Option<&Arc<Budget>> {
        system.budget.as_ref()
    }

    fn tick(&self, slice: u64) {
        self.engines.tick();
        if slice.is_multiple_of(HIBERNATION_LOOK) {
            self.hibernation.look();
        }
    }

    fn spare(kernel: &Arc<Kernel>) -> bool {
        let Some(module) = kernel.host.ahead.next() else {
            return false;
        };
        // If it fails, it fails again where it is needed, and is reported there.
        let make = std::panic::AssertUnwindSafe(|| {
            let mut runner = Runner::unmetered(kernel, &module);
            if runner.prepare(kernel.slices()) {
                kernel.host.ahead.put(&module, runner);
            }
        });
        std::panic::catch_unwind(make).is_ok()
    }

    fn idle(&self) {
        self.engines.trim();
    }

    fn deadlock(&self, kernel: &Kernel, system: &System, waiting: Vec<(Id, WaitFor, Id)>) -> String {
        deadlock::report(kernel, system, waiting)
    }

    fn on_worker(&self, number: usize, run: &mut dyn FnMut()) {
        let _io = self.io.enter();
        let mut clocks = self.worker_clocks.lock();
        let len = clocks.len().max(number + 1);
        clocks.resize_with(len, || None);
        clocks[number] = ThreadClock::of_this_thread();
        drop(clocks);
        run();
    }
}

impl Freezable for Runner {
    unsafe fn freeze_into(&mut self, released: &mut Vec<Pages<'static>>) -> bool {
        // SAFETY: the caller promises the same.
        unsafe { Self::freeze_into(self, released) }
    }

    fn resident_pages(&mut self) -> usize {
        Self::resident_pages(self)
    }
}

impl Body<Wasm> for Runner {
    fn assign(&mut self, process: Arc<Process>, entry: Entry) {
        self.seat_process(process, entry);
    }

    fn run(&mut self, kernel: &Arc<Kernel>, process: Arc<Process>, slice: u64) -> Progress<Wasm> {
        self.run_seated(kernel, process, slice)
    }

    fn current(&self) -> Option<Arc<Process>> {
        self.seated()
    }
}
