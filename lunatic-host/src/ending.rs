//! Turns the end of a call into a guest into the end of a process, and reports it.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use lunatic_kernel::WaitFor;
use lunatic_kernel::address::Id;
use lunatic_kernel::budget::{Payer, Receipt, Resource};
use lunatic_kernel::exit::{ExitReason, Trap};
use lunatic_sys::codes::{self, REASON_TEXT_LEN_MAX};

use crate::dumps::{self, Claim, Dumping};
use crate::engine::WASM_STACK_SIZE;
use crate::log::Level;
use crate::module::Module;
use crate::report::dump::{Memory, Value};
use crate::report::files::Files;
use crate::report::untrusted::{line, lines};
use crate::report::{self, CrashReport, Ended, Panic, PanicCapture, unsupported};
use crate::request::Door;
use crate::wasi::Output;
use crate::wasm::{Kernel, Process, System};

/// The process has exited by itself, or by a signal to itself.
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

/// The end of a process: its reason, and what to report about it.
pub(crate) struct Ending {
    reason: ExitReason,
    report: Option<Failure>,
    /// If it exited with a code other than 0: the end of what it wrote to standard error.
    last_words: Option<String>,
}

/// The data for a report, which is made after everyone who waits for the end of the process has been notified: names
/// and lines may first have to be looked up in the debug information of the module.
struct Failure {
    module: Arc<Module>,
    error: wasmtime::Error,
    panic: Option<Panic>,
    /// The text with which the process exited by itself.
    said: Option<String>,
    /// The bytes of the texts that it holds.
    texts_len: usize,
}

impl Ending {
    /// The end of a process whose call returned `result`.
    pub(crate) fn of(
        module: &Arc<Module>,
        result: wasmtime::Result<()>,
        panic: Option<PanicCapture>,
        out_of_memory: bool,
    ) -> Self {
        let failure = |error, panic, said, texts_len| {
            Some(Failure {
                module: module.clone(),
                error,
                panic,
                said,
                texts_len,
            })
        };
        let Err(error) = result else {
            return Self {
                reason: ExitReason::Normal,
                report: None,
                last_words: None,
            };
        };
        let capture = panic.unwrap_or_default();
        let last_words = |reason: &ExitReason| matches!(reason, ExitReason::Exit(_)).then(|| capture.last_words());
        if let Some(exited @ Exited(reason)) = error.downcast_ref() {
            let failed = matches!(reason, ExitReason::Error(_) | ExitReason::Panic(_));
            let (reason, said) = (reason.clone(), exited.to_string());
            // The error has the text once more.
            let len = 2 * said.len();
            let last_words = last_words(&reason);
            let report = if failed {
                failure(error, None, Some(said), len)
            } else {
                None
            };
            return Self {
                reason,
                report,
                last_words,
            };
        }
        let panic = report::panic_of(&error, &capture);
        let ended = report::classify(&error, panic.as_ref());
        let len = text_of(&ended).len();
        let reason = reason(ended, report::trap_code(&error), out_of_memory);
        let is_failure = !matches!(reason, ExitReason::Normal | ExitReason::Exit(_));
        let last_words = last_words(&reason);
        let report = if is_failure {
            failure(error, panic, None, len)
        } else {
            None
        };
        Self {
            reason,
            report,
            last_words,
        }
    }

    /// Why a process did not accept the state of another version, if it ended like this before it did.
    pub(crate) fn before_accepting(self) -> String {
        let said = self.report.as_ref().and_then(|failure| failure.said.clone());
        match (said, self.reason) {
            (Some(said), _) => said,
            (None, ExitReason::Normal) => "it returned before it had accepted the state".into(),
            (None, reason) => format!("it {reason} before it had accepted the state"),
        }
    }

    /// Arranges a report if the end is a failure. The report follows soon; nobody waits for it. If the failure must be
    /// dumped, the caller holds the instance.
    pub(crate) fn publish(self, kernel: &Kernel, process: &Process) -> (ExitReason, Option<Obituary>) {
        let system = &process.system;
        // Once the main process has ended, the others may see its channels close before they are stopped.
        let is_told = system.is_main(process.id) || !system.is_over();
        if let Some(said) = self.last_words.filter(|_| system.is_main(process.id)) {
            explain_exit(process, &self.reason, &said);
        }
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

/// Approximate bytes that a failure takes up while it waits to be reported, in addition to its texts.
const FAILURE_SIZE: usize = 8 << 10;

impl Failure {
    /// Arranges a report of the failure, and a dump if one is wanted.
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
        report.reason = cut(report.reason);
        if let Some(said) = &self.said {
            report.kind = report::Kind::Failed;
            report.reason.clone_from(said);
        }
        report
    }
}

/// A failure and the relations of the process: everything that a report consists of.
struct Story {
    failure: Failure,
    title: String,
    parent: Option<String>,
    links: Vec<String>,
    links_len: usize,
    files: Files,
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
            files: process.local.files(&process.system),
            dump: claim.map(|claim| claim.path().display().to_string()),
        }
    }

    /// Leaves the report to the thread of the output for reports. The process pays for the data that waits.
    fn report(self: Arc<Self>, process: &Process, reports: &Output) {
        let budget = process.local.rights.budget.clone();
        let system = process.system.clone();
        let (id, called) = (process.id.to_string(), called(process));
        let texts_len = self.failure.texts_len + self.title.len() + self.files.size();
        let mut paid = Receipt::new(process.purse().to_account(), Resource::Buffers);
        if paid.grow(FAILURE_SIZE + texts_len).is_err() {
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

    /// Makes the report. Looks up names and lines, which may take long.
    fn to_report(&self) -> CrashReport {
        let mut report = self.failure.to_report(self.title.clone());
        report.parent.clone_from(&self.parent);
        (report.links, report.links_len) = (self.links.clone(), self.links_len);
        report.files.clone_from(&self.files);
        report.dump.clone_from(&self.dump);
        report
    }
}

/// A failure that will be dumped.
pub(crate) struct Obituary {
    story: Arc<Story>,
    dumping: Dumping,
}

impl Obituary {
    /// Writes the dump; blocks. The caller drops the result after it has released the memory.
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

/// The text of the end of a call; empty if it has none.
fn text_of(ended: &Ended) -> &str {
    match ended {
        Ended::Panic(text) | Ended::Trap(text) | Ended::HostBug(text) => text,
        Ended::Exit(_) => "",
    }
}

/// A text of a reason, cut to the longest that there is: it is kept with the end of the process, and sent to all that
/// hear of it.
fn cut(mut text: String) -> String {
    if text.len() > REASON_TEXT_LEN_MAX {
        text.truncate(text.floor_char_boundary(REASON_TEXT_LEN_MAX));
        text.shrink_to_fit();
    }
    text
}

fn reason(ended: Ended, code: i32, out_of_memory: bool) -> ExitReason {
    let ended = match ended {
        Ended::Panic(text) => Ended::Panic(cut(text)),
        Ended::Trap(text) => Ended::Trap(cut(text)),
        Ended::HostBug(text) => Ended::HostBug(cut(text)),
        Ended::Exit(code) => Ended::Exit(code),
    };
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

/// Reports that a signal has ended a process, if that is the main process: nothing else would say why the program
/// ended. Processes that answer requests have nobody else who would say it either.
pub(crate) fn signalled(process: &Process, reason: &ExitReason) {
    let is_failure = !matches!(reason, ExitReason::Normal | ExitReason::Shutdown | ExitReason::Killed);
    let system = &process.system;
    if is_failure && !system.is_main(process.id) && system.data.states.find::<Door>().is_some() {
        return request_failed(process, &lines(reason.to_string()).to_string());
    }
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

/// Reports `what` happened to a process that answers a request, unless too much is reported already.
pub(crate) fn request_failed(process: &Process, what: &str) {
    let data = &process.system.data;
    if data.config.crash_reports && data.reports().admits_crash() {
        let name = name(&process.system, process.id);
        let what = line(what).to_string();
        say(process, &what, format!("process {name} {what}\n"));
    }
}

/// Explains the exit code of the main process, if it said just before that a file was not there or denied, or that
/// something does not exist: a `main` that returns the error of std says neither what is missing nor what to do.
fn explain_exit(process: &Process, reason: &ExitReason, said: &str) {
    let system = &process.system;
    if !system.data.config.crash_reports {
        return;
    }
    let unsupported = || unsupported::explain(said).map(str::to_owned);
    if let Some(explanation) = process.local.files(system).explain(said).or_else(unsupported) {
        let name = name(system, process.id);
        let explanation = line(explanation).to_string();
        say(
            process,
            &explanation,
            format!("process {name} {reason}: {explanation}\n"),
        );
    }
}

/// The end of a process after a panic in a host function.
pub(crate) fn host_bug(process: &Process, payload: &(dyn Any + Send)) -> ExitReason {
    let report = CrashReport::host_bug(name(&process.system, process.id), payload);
    if process.system.data.config.crash_reports {
        say(process, &report.reason, report.to_string());
    }
    ExitReason::HostBug(report.reason)
}

/// The target of records about ends.
const TARGET: &str = "lunatic::crash";

/// Reports how a process has ended: `text` is for people, `message` for programs.
fn say(process: &Process, message: &str, text: String) {
    let data = &process.system.data;
    let (id, called) = (process.id.to_string(), called(process));
    let said = data.said(Level::Error, TARGET, (&id, &called), message, text);
    data.reports().report(&said);
}

/// Describes this kind of wait.
pub(crate) fn wait_in_words(wait: WaitFor) -> &'static str {
    match wait {
        WaitFor::Receive => "waits to receive",
        WaitFor::Send => "waits to send",
        WaitFor::Join => "waits to join",
        WaitFor::Sleep => "sleeps",
        WaitFor::Mail => "waits for mail",
        WaitFor::Call => "waits for an answer",
        WaitFor::Select => "waits for one of several things",
        WaitFor::Outside => "waits for input or output",
        WaitFor::Socket => "waits for the network",
        WaitFor::File => "waits for a file",
    }
}

/// The name of a process in addition to its id: its first registered name, or [what it began with](began_as).
pub(crate) fn called(process: &Process) -> String {
    process.first_name().unwrap_or_else(|| began_as(process))
}

/// The name of a process after its entry: `main`, the type of its actor, or the function.
pub(crate) fn began_as(process: &Process) -> String {
    match process.system.is_main(process.id) {
        true => "main".into(),
        false => process.local.title(),
    }
}

/// The name of a process in reports.
pub(crate) fn name(system: &System, id: Id) -> String {
    if system.is_main(id) {
        format!("{id} (main)")
    } else {
        id.to_string()
    }
}

/// The message of a panic.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| text.to_string());
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without text".to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_reasons_are_cut() {
        let long = "é".repeat(REASON_TEXT_LEN_MAX);
        for ended in [
            Ended::Trap(long.clone()),
            Ended::Panic(long.clone()),
            Ended::HostBug(long),
        ] {
            let reason = reason(ended, codes::trap::OTHER, false);
            assert_eq!(reason.text().len(), REASON_TEXT_LEN_MAX);
        }
    }
}
