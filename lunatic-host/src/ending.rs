//! How the end of a call into a guest becomes the end of a process, and what is said about it.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use lunatic_kernel::WaitFor;
use lunatic_kernel::address::Id;
use lunatic_kernel::budget::{Payer, Receipt, Resource};
use lunatic_kernel::exit::{ExitReason, Trap};
use lunatic_sys::codes;

use crate::dumps::{self, Claim, Dumping};
use crate::engine::WASM_STACK_SIZE;
use crate::log::Level;
use crate::module::Module;
use crate::report::dump::{Memory, Value};
use crate::report::untrusted::{line, lines};
use crate::report::{self, CrashReport, DeadlockReport, Ended, Panic, PanicCapture};
use crate::wasi::Output;
use crate::wasm::{Kernel, Process, System};

/// The process ended itself, or a signal to itself ended it.
#[derive(Debug)]
pub(crate) struct Exited(pub(crate) ExitReason);

impl fmt::Display for Exited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            ExitReason::Error(text) | ExitReason::Panic(text) => f.write_str(text),
            reason => write!(f, "the process {reason}"),
        }
    }
}

impl std::error::Error for Exited {}

/// The end of a process: why, and what is to be said about it.
pub(crate) struct Ending {
    reason: ExitReason,
    report: Option<Failure>,
}

/// What a report will be made of, when all that waits for the end of the process has heard of it: names and lines may first
/// have to be looked for in the debug information of the module.
struct Failure {
    module: Arc<Module>,
    error: wasmtime::Error,
    panic: Option<Panic>,
    /// The process ended itself, and said this.
    said: Option<String>,
}

impl Ending {
    /// Why the process ended whose call returned `result`.
    pub(crate) fn of(
        module: &Arc<Module>,
        result: wasmtime::Result<()>,
        panic: Option<PanicCapture>,
        out_of_memory: bool,
    ) -> Self {
        let failure = |error, panic, said| {
            Some(Failure {
                module: module.clone(),
                error,
                panic,
                said,
            })
        };
        let Err(error) = result else {
            return Self {
                reason: ExitReason::Normal,
                report: None,
            };
        };
        if let Some(exited @ Exited(reason)) = error.downcast_ref() {
            let failed = matches!(reason, ExitReason::Error(_) | ExitReason::Panic(_));
            let (reason, said) = (reason.clone(), exited.to_string());
            let report = if failed { failure(error, None, Some(said)) } else { None };
            return Self { reason, report };
        }
        let panic = report::panic_of(&error, &panic.unwrap_or_default());
        let reason = reason(
            report::classify(&error, panic.as_ref()),
            report::trap_code(&error),
            out_of_memory,
        );
        let is_failure = !matches!(reason, ExitReason::Normal | ExitReason::Exit(_));
        let report = if is_failure { failure(error, panic, None) } else { None };
        Self { reason, report }
    }

    /// Why a process that ended so before it accepted the state of another version did not accept it.
    pub(crate) fn before_accepting(self) -> String {
        let said = self.report.as_ref().and_then(|failure| failure.said.clone());
        match (said, self.reason) {
            (Some(said), _) => said,
            (None, ExitReason::Normal) => "it returned before it had accepted the state".into(),
            (None, reason) => format!("it {reason} before it had accepted the state"),
        }
    }

    /// Has the end reported if it is a failure. The report comes soon: nobody waits for it. If the failure is to be dumped, the
    /// caller has the instance.
    pub(crate) fn publish(self, kernel: &Kernel, process: &Process) -> (ExitReason, Option<Obituary>) {
        let system = &process.system;
        // Once the main process has ended, the others may see its channels close before they are stopped.
        let is_told = system.is_main(process.id) || !system.is_over();
        let failure = self.report.filter(|_| is_told);
        if let Some(failure) = &failure {
            failure.module.count_failure();
            if let Some(parent) = process.parent {
                system.data.crashes.count(parent);
            }
        }
        let obituary = failure.and_then(|failure| failure.publish(kernel, process, &self.reason));
        (self.reason, obituary)
    }
}

/// About how many bytes a failure takes up that waits to be reported, beside its texts.
const FAILURE_SIZE: usize = 8 << 10;

impl Failure {
    /// Has the failure reported, and dumped if that is wanted.
    fn publish(self, kernel: &Kernel, process: &Process, reason: &ExitReason) -> Option<Obituary> {
        let data = &process.system.data;
        let (config, reports) = (&data.config, data.reports());
        let dumps = config.dumps.as_ref();
        let claim = dumps.and_then(|dumps| dumps.claim(kernel.machine(), process.id, data.wasi.stderr()));
        let is_told = config.crash_reports && reports.admits_crash();
        if claim.is_none() && !is_told {
            return None;
        }
        let story = Arc::new(Story::of(self, kernel, process, claim.as_ref()));
        if is_told {
            story.clone().report(process, &reports);
        }
        let dumping = claim.map(|claim| Dumping {
            about: dumps::about(kernel, process, reason.to_string(), claim.config()),
            budget: process.local.rights.budget.clone(),
            module: config.wasi.args.first().cloned().unwrap_or_default(),
            claim,
        });
        dumping.map(|dumping| Obituary { story, dumping })
    }

    fn to_report(&self, title: String) -> CrashReport {
        let symbols = self.module.symbols();
        let panic = self.panic.as_ref();
        let mut report = CrashReport::new(title, &self.error, panic, Some(symbols), Some(WASM_STACK_SIZE));
        report.full = report::full_backtraces();
        if let Some(said) = &self.said {
            report.kind = report::Kind::Failed;
            report.reason.clone_from(said);
        }
        report
    }
}

/// A failure, and whom the process knew: all that a report is made of.
struct Story {
    failure: Failure,
    title: String,
    parent: Option<String>,
    links: Vec<String>,
    links_len: usize,
    without_folders: bool,
    dump: Option<String>,
}

impl Story {
    fn of(failure: Failure, kernel: &Kernel, process: &Process, claim: Option<&Claim>) -> Self {
        let (own_name, (links, links_len)) = process.acquaintances();
        let mut title = name(&process.system, process.id);
        if let Some(own_name) = own_name.or_else(|| kernel.host.extensions.name_of(process)) {
            title = format!("{title} `{}`", line(own_name));
        }
        Self {
            failure,
            title,
            parent: process.parent.map(|parent| name(&process.system, parent)),
            links: links.into_iter().map(|linked| name(&process.system, linked)).collect(),
            links_len,
            without_folders: process.local.rights.wasi.has_no_folder(),
            dump: claim.map(|claim| claim.path().display().to_string()),
        }
    }

    /// Leaves it to the thread of the output that reports go to to make the report. The process pays for what that takes.
    fn report(self: Arc<Self>, process: &Process, reports: &Output) {
        let budget = process.local.rights.budget.clone();
        let system = process.system.clone();
        let (id, called) = (process.id.to_string(), called(process));
        let texts = self.failure.said.as_ref().map_or(0, String::len) + self.title.len();
        let mut paid = Receipt::new(process.purse().to_account(), Resource::Buffers);
        if paid.grow(FAILURE_SIZE + texts).is_err() {
            return reports.leave_out();
        }
        reports.report_later(move || {
            let (start, _paid) = (lunatic_memory::thread_time(), paid);
            let report = self.to_report();
            let text = report.to_string();
            if let Some(budget) = budget {
                budget.spend(lunatic_memory::thread_time().saturating_sub(start));
            }
            system
                .data
                .said(Level::Error, TARGET, (&id, &called), &report.reason, text)
        });
    }

    /// The report. Looks up names and lines, which may take long.
    fn to_report(&self) -> CrashReport {
        let mut report = self.failure.to_report(self.title.clone());
        report.parent.clone_from(&self.parent);
        (report.links, report.links_len) = (self.links.clone(), self.links_len);
        report.without_folders = self.without_folders;
        report.dump.clone_from(&self.dump);
        report
    }
}

/// A failure that is to be dumped.
pub(crate) struct Obituary {
    story: Arc<Story>,
    dumping: Dumping,
}

impl Obituary {
    /// Writes the dump; blocks. Returns what is to be dropped when the memory is gone.
    pub(crate) fn write(self, globals: &[Value], memory: Option<Memory<'_>>) -> Claim {
        let Self { story, dumping } = self;
        let find = || {
            let failure = &story.failure;
            let frames = report::backtrace::places(&failure.error, failure.module.symbols());
            (story.to_report().to_string(), frames)
        };
        dumping.write(find, globals, memory)
    }
}

fn reason(ended: Ended, code: i32, out_of_memory: bool) -> ExitReason {
    match ended {
        Ended::Exit(0) => ExitReason::Normal,
        Ended::Exit(code) => ExitReason::Exit(code),
        Ended::Panic(message) => ExitReason::Panic(message),
        Ended::Trap(text) if text.starts_with("out of memory") => ExitReason::OutOfMemory(text),
        Ended::Trap(text) if out_of_memory => ExitReason::OutOfMemory(format!("out of memory: {text}")),
        Ended::Trap(text) if text.starts_with("stack overflow") => ExitReason::Trap(Trap {
            code: codes::trap::STACK_OVERFLOW,
            text,
        }),
        Ended::Trap(text) => ExitReason::Trap(Trap { code, text }),
        Ended::HostBug(text) => ExitReason::HostBug(text),
    }
}

/// A signal ends a process. If that is the main process, nobody else would say why the program ends.
pub(crate) fn signalled(process: &Process, reason: &ExitReason) {
    let is_failure = !matches!(reason, ExitReason::Normal | ExitReason::Shutdown | ExitReason::Killed);
    let system = &process.system;
    if is_failure && system.is_main(process.id) && system.data.config.crash_reports {
        let name = name(system, process.id);
        let how = match reason {
            ExitReason::OutOfBudget => reason.to_string(),
            _ => format!("was ended by a signal of another process, which {reason}"),
        };
        let text = format!("process {name} {}\n", lines(&how));
        say(process, &how, text);
    }
}

/// The end of a process for which a host function panicked.
pub(crate) fn host_bug(process: &Process, payload: &(dyn Any + Send)) -> ExitReason {
    let report = CrashReport::host_bug(name(&process.system, process.id), payload);
    if process.system.data.config.crash_reports {
        say(process, &report.reason, report.to_string());
    }
    ExitReason::HostBug(report.reason)
}

/// What records about ends are about.
const TARGET: &str = "lunatic::crash";

/// Says how a process has ended: `text` to people, `message` where programs read it.
fn say(process: &Process, message: &str, text: String) {
    let data = &process.system.data;
    let (id, called) = (process.id.to_string(), called(process));
    let said = data.said(Level::Error, TARGET, (&id, &called), message, text);
    data.reports().report(&said);
}

/// The report of who waits for what, in a system of which each process waits for another one.
pub(crate) fn deadlock(kernel: &Kernel, system: &System, waiting: Vec<(Id, WaitFor, Id)>) -> String {
    let mut report = DeadlockReport::default();
    for (id, wait, what) in waiting {
        let kind = wait_in_words(wait);
        report.add(|| name(system, id), kind, || detail(kernel, system, wait, what));
    }
    report.to_string()
}

/// What a process does that waits for this.
pub(crate) fn wait_in_words(wait: WaitFor) -> &'static str {
    match wait {
        WaitFor::Receive => "waits to receive",
        WaitFor::Send => "waits to send",
        WaitFor::Join => "waits for the end of a process",
        WaitFor::Sleep => "sleeps",
        WaitFor::Mail => "waits for mail",
        WaitFor::Call => "waits for an answer",
        WaitFor::Select => "waits for one of several things",
        WaitFor::Outside => "waits for input or output",
        WaitFor::Socket => "waits for the network",
        WaitFor::File => "waits for a file",
    }
}

fn detail(kernel: &Kernel, system: &System, wait: WaitFor, what: Id) -> String {
    match wait {
        WaitFor::Receive | WaitFor::Send => match kernel.channels().view(what) {
            Some(channel) => {
                let owner = name(system, channel.owner);
                let bound = match channel.bound {
                    0 => String::new(),
                    bound => format!(" of at most {bound}"),
                };
                format!(
                    "on channel {what} (owned by {owner}; holds {} messages{bound})",
                    channel.len
                )
            }
            None => format!("on channel {what}"),
        },
        WaitFor::Join | WaitFor::Call => name(system, what),
        WaitFor::Sleep | WaitFor::Mail | WaitFor::Select => String::new(),
        WaitFor::Outside | WaitFor::Socket | WaitFor::File => String::new(),
    }
}

/// What to call a process beside its id: its first registered name, or [what it began with](began_as).
pub(crate) fn called(process: &Process) -> String {
    process.first_name().unwrap_or_else(|| began_as(process))
}

/// What to call a process after what it began with: `main`, the actor that it is, or the function.
pub(crate) fn began_as(process: &Process) -> String {
    match process.system.is_main(process.id) {
        true => "main".into(),
        false => process.local.title(),
    }
}

/// What reports call a process.
pub(crate) fn name(system: &System, id: Id) -> String {
    if system.is_main(id) {
        format!("{id} (main)")
    } else {
        id.to_string()
    }
}

/// What a panic says.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| text.to_string());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without text".to_string())
}
