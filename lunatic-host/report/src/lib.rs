//! Crash and deadlock reports: what is reported about processes that failed, and what others see of their ends.
//!
//! | module | purpose |
//! |---|---|
//! | [`mod@panic`] | the text of a panic, intercepted on its way to standard error |
//! | [`backtrace`] | frames of the guest: demangled, short, without std's own |
//! | [`symbols`] | names, files and lines for places in a module |
//! | `trap` | reasons in plain words |
//! | [`deadlock`] | which process waits for what when none can run again |
//! | [`files`] | errors about files: which path, and which right is missing |
//! | [`dump`] | core dumps: written, read, and shown |
//! | [`type_names`] | the types of messages, by their tags |
//! | [`unsupported`] | errors about what WebAssembly does not have |
//! | [`untrusted`] | texts of guests, without terminal control characters |
//!
//! When a process ends with an error, the host calls in this order: [`panic_of`] (did it announce a panic?),
//! [`classify`] (what do others see of its end?), and, if the end is a failure, [`CrashReport::new`]. The host writes
//! the report to the standard error of the process's system, in one piece.
//!
//! # What this crate may not know
//!
//! Processes, systems and their ids: the host passes them as text. It knows errors, traps and backtraces of wasmtime,
//! [`I32Exit`] of wasmtime-wasi and the numbers of traps in [`lunatic_sys`]; it runs nothing.
//!
//! # Invariants
//!
//! - Nothing that a guest wrote, or that a compiler left in its debug information, makes a report fail or panic: what
//!   cannot be read costs names and lines, not the report.
//! - No report controls a terminal, whatever a guest wrote into it ([`untrusted`]).
//! - [`PanicCapture`] loses no text and adds none. What it holds back becomes part of a report or is printed, once.
//! - Crashes are part of normal operation and stay cheap: nothing is read before the first report on a module, and a
//!   crash at places that were in an earlier report reads no debug information ([`symbols`]).

pub mod backtrace;
pub mod deadlock;
pub mod dump;
pub mod files;
pub mod panic;
pub mod symbols;
mod trap;
pub mod type_names;
pub mod unsupported;
pub mod untrusted;

#[cfg(test)]
mod tests;

pub use backtrace::{Backtrace, FRAMES_MAX, Frame};
pub use deadlock::DeadlockReport;
pub use panic::{Panic, PanicCapture};
pub use symbols::Symbols;
use untrusted::line;

use std::any::Any;
use std::fmt;
use wasmtime::{Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

/// How a process ended, other than by returning. The host has an exit reason for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// It called `proc_exit` with this code; 0 is a normal end.
    Exit(i32),
    /// It panicked, with this message.
    Panic(String),
    /// It did something that WebAssembly or the host does not allow.
    Trap(String),
    /// The host failed while working for it, with this message. The host is at fault.
    HostBug(String),
}

/// Returns the panic that ended the process with `error`, if there was one.
///
/// If the guest announced a panic and then executed `unreachable`, which is how a panic ends, this takes the text from
/// `capture`. If it executed `unreachable` in std's panic code without announcing anything (in a program with its own
/// panic hook), this returns a panic with a message that says so.
pub fn panic_of(error: &wasmtime::Error, capture: &PanicCapture) -> Option<Panic> {
    if error.downcast_ref::<Trap>() != Some(&Trap::UnreachableCodeReached) {
        return None;
    }
    capture.take().or_else(|| {
        let backtrace = error.downcast_ref::<WasmBacktrace>()?;
        let panics = |name: &str| {
            ["rust_panic", "rust_begin_unwind"]
                .iter()
                .any(|end| name.ends_with(end))
        };
        let panicked = backtrace
            .frames()
            .iter()
            .any(|frame| frame.func_name().is_some_and(panics));
        panicked.then(|| Panic {
            message: "the program's own panic hook has the message".into(),
            location: None,
            out_of_memory: false,
        })
    })
}

/// Returns what others see of the end of a process, from the error that wasmtime returned and its panic from
/// [`panic_of`].
pub fn classify(error: &wasmtime::Error, panic: Option<&Panic>) -> Ended {
    if let Some(I32Exit(code)) = error.downcast_ref::<I32Exit>() {
        return Ended::Exit(*code);
    }
    match panic {
        Some(panic) if panic.out_of_memory => Ended::Trap(format!("out of memory: {}", panic.message)),
        Some(panic) => Ended::Panic(panic.message.clone()),
        None => Ended::Trap(trap::reason(error, &Backtrace::new(error, None), None)),
    }
}

/// Returns how a process trapped that ended with `error`: one of [`lunatic_sys::codes::trap`].
pub fn trap_code(error: &wasmtime::Error) -> i32 {
    trap::code(error)
}

/// Returns the end of a process after a panic in a host function: `payload` is what `catch_unwind` returned.
pub fn host_bug(payload: &(dyn Any + Send)) -> Ended {
    let text = payload.downcast_ref::<&str>().map(|text| text.to_string());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
    Ended::HostBug(text.unwrap_or_else(|| "a panic without a message".into()))
}

/// The kind of failure in a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// The guest panicked.
    Panicked,
    /// The guest was stopped.
    Trapped,
    /// The guest exited with an error.
    Failed,
    /// The host failed.
    HostFailed,
}

/// Everything that is known about the failure of a process. `Display` formats it for the user, in several lines.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CrashReport {
    /// The process, such as `#17` or `#1 (main)`.
    pub process: String,
    /// The kind of failure.
    pub kind: Kind,
    /// The reason, which can have several lines.
    pub reason: String,
    /// The location that the guest reported for its panic, `FILE:LINE:COLUMN`.
    pub location: Option<String>,
    /// The process that spawned it.
    pub parent: Option<String>,
    /// Some of the processes that were linked to it.
    pub links: Vec<String>,
    /// The number of its links.
    pub links_len: usize,
    /// The functions that were active.
    pub backtrace: Backtrace,
    /// What it can reach in the file system, for an error about a file.
    pub files: files::Files,
    /// Whether to show all frames, as `LUNATIC_BACKTRACE=full` requests.
    pub full: bool,
    /// The file to which its core dump is written.
    pub dump: Option<String>,
    /// Whether this is the first report without names, which must say how to get them.
    advice: bool,
}

impl CrashReport {
    /// Returns the report of a process that ended with `error`; `panic` is from [`panic_of`].
    ///
    /// `symbols` belong to the process's module, and `stack_len` is the size of its stack in bytes; without them, the
    /// report says less.
    pub fn new(
        process: impl Into<String>,
        error: &wasmtime::Error,
        panic: Option<&Panic>,
        symbols: Option<&Symbols>,
        stack_len: Option<usize>,
    ) -> Self {
        let backtrace = Backtrace::new(error, symbols);
        let (kind, reason) = match panic {
            Some(panic) if panic.out_of_memory => (Kind::Trapped, format!("out of memory: {}", panic.message)),
            Some(panic) => (Kind::Panicked, panic.message.clone()),
            None => (Kind::Trapped, trap::reason(error, &backtrace, stack_len)),
        };
        let advice = backtrace.is_anonymous() && symbols.is_some_and(Symbols::advise);
        Self {
            process: process.into(),
            kind,
            reason,
            location: panic.and_then(|panic| panic.location.clone()),
            parent: None,
            links: Vec::new(),
            links_len: 0,
            backtrace,
            files: files::Files::default(),
            full: false,
            dump: None,
            advice,
        }
    }

    /// Returns the report of a process that was ended by a bug in the host; `payload` is what `catch_unwind` returned.
    pub fn host_bug(process: impl Into<String>, payload: &(dyn Any + Send)) -> Self {
        let reason = match host_bug(payload) {
            Ended::HostBug(reason) => reason,
            _ => unreachable!("host_bug always makes a HostBug"),
        };
        Self {
            process: process.into(),
            kind: Kind::HostFailed,
            reason,
            location: None,
            parent: None,
            links: Vec::new(),
            links_len: 0,
            backtrace: Backtrace::default(),
            files: files::Files::default(),
            full: false,
            dump: None,
            advice: false,
        }
    }
}

/// Returns whether the environment variable `LUNATIC_BACKTRACE` requests every frame.
pub fn full_backtraces() -> bool {
    std::env::var_os("LUNATIC_BACKTRACE").is_some_and(|value| value == "full")
}

impl CrashReport {
    fn write_relatives(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(parent) = &self.parent else { return Ok(()) };
        write!(f, "    spawned by {parent}")?;
        if let Some((first, others)) = self.links.split_first() {
            write!(f, ", linked to {first}")?;
            for linked in others {
                write!(f, ", {linked}")?;
            }
            if self.links_len > self.links.len() {
                write!(f, " and {} more", self.links_len - self.links.len())?;
            }
        }
        writeln!(f)
    }
}

impl CrashReport {
    fn write(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            process,
            kind,
            reason,
            location,
            ..
        } = self;
        let what = match kind {
            Kind::Panicked => "panicked",
            Kind::Trapped => "trapped",
            Kind::Failed => "ended with an error",
            Kind::HostFailed => "was ended by a bug in Lunatic",
        };
        let mut lines = reason.lines();
        writeln!(
            f,
            "process {} {what}: {}",
            line(process),
            lines.next().unwrap_or("(no message)")
        )?;
        for line in lines {
            writeln!(f, "{}{line}", if line.is_empty() { "" } else { "    " })?;
        }
        if let Some(location) = location {
            writeln!(f, "    at {}", line(location))?;
        }
        if let Some(explanation) = self.files.explain(reason) {
            writeln!(f, "    {}", line(explanation))?;
        } else if let Some(explanation) = unsupported::explain(reason) {
            writeln!(f, "    {explanation}")?;
        }
        self.write_relatives(f)?;
        if let Some(dump) = &self.dump {
            writeln!(f, "    core dump: {}", line(dump))?;
        }
        self.backtrace.write(f, self.full)?;
        if self.advice {
            writeln!(
                f,
                "  the module has no names: build it without `strip`, and with debug info to see lines"
            )?;
        }
        if *kind == Kind::HostFailed {
            writeln!(f, "    please report it, and describe what the program did")?;
        }
        Ok(())
    }
}

/// Guests choose messages, names of functions, files and more, so terminal control characters are escaped.
impl fmt::Display for CrashReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Text<'a>(&'a CrashReport);

        impl fmt::Display for Text<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.write(f)
            }
        }

        write!(f, "{}", untrusted::lines(Text(self)))
    }
}
