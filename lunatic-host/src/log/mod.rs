//! The log: records of guests and of the host itself, as lines.
//!
//! | module | purpose |
//! |---|---|
//! | `filter` | which records are logged; can be changed at any time |
//! | `line` | the format of a record |
//!
//! A record goes to an [`Output`], like the output of processes: it is written in one piece, and no worker waits for
//! it. Once 256 KiB are waiting to be written, processes that print must wait, but records are dropped. Their number is
//! logged when there is room again.

mod filter;
mod line;

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::time::SystemTime;

pub use ::log::Level;
use lunatic_sys::record::{Record, Value};
use lunatic_sys::trace::Context;
use parking_lot::RwLock;

pub use self::filter::{Filter, FilterError};
pub use self::line::{Format, Line};
use crate::wasi::Output;

/// The target of the host's records about the log itself.
const OWN_TARGET: &str = "lunatic::log";

/// Where records go, which are logged, and in which format. A clone is another handle of the same log.
///
/// # Examples
///
/// ```
/// use lunatic_host::SystemConfig;
/// use lunatic_host::log::{Filter, Format, Log};
/// use lunatic_host::wasi::Output;
///
/// # fn main() -> Result<(), lunatic_host::log::FilterError> {
/// let log = Log::new(Output::stderr(), Format::Text, "warn,shop=debug".parse()?);
/// let config = SystemConfig { log: Some(log.clone()), ..SystemConfig::default() };
/// // While it runs:
/// log.set_filter("debug".parse()?);
/// # drop(config);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Log(Arc<Shared>);

struct Shared {
    output: RwLock<Output>,
    /// The file that it writes to, if any.
    file: Option<PathBuf>,
    format: Format,
    filter: RwLock<Filter>,
    /// The most verbose level that is logged for any target.
    most: AtomicI32,
    /// The number of dropped records since it was last logged.
    dropped: AtomicU64,
    /// Gets a copy of each record.
    tap: RwLock<Option<Arc<dyn Tap>>>,
}

/// Gets a copy of each record that is logged, for example to export it.
///
/// It is called by whoever makes the record: it must be quick, and must not block or log.
pub trait Tap: Send + Sync {
    /// Takes a record that is being logged.
    fn take(&self, line: &Line<'_>);

    /// Returns how many of them it has lost.
    fn dropped(&self) -> u64 {
        0
    }
}

impl Log {
    /// Returns a log that writes to `output`.
    #[must_use]
    pub fn new(output: Output, format: Format, filter: Filter) -> Self {
        Self::with(output, None, format, filter)
    }

    /// Returns a log that appends to the file at `path`, which is created if it does not exist.
    ///
    /// # Errors
    ///
    /// If it cannot be opened, or is not a regular file, such as a folder or a pipe.
    pub fn to_file(path: &Path, format: Format, filter: Filter) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        let output = LogFile::open(&path)?;
        Ok(Self::with(output, Some(path), format, filter))
    }

    /// Returns a separate log for `output`, with the format and the current filter of this one.
    #[must_use]
    pub fn on(&self, output: Output) -> Self {
        Self::new(output, self.0.format, self.filter())
    }

    fn with(output: Output, file: Option<PathBuf>, format: Format, filter: Filter) -> Self {
        let log = Shared {
            output: RwLock::new(output),
            file,
            format,
            most: AtomicI32::new(filter.most()),
            filter: RwLock::new(filter),
            dropped: AtomicU64::new(0),
            tap: RwLock::new(None),
        };
        Self(Arc::new(log))
    }

    /// Opens the file again, and creates it if it does not exist, for example after it has been moved away. Later
    /// records go to the new file. Does nothing if the log does not write to a file.
    ///
    /// # Errors
    ///
    /// As for [`to_file`](Self::to_file); writing then continues to the former file.
    pub fn reopen(&self) -> io::Result<()> {
        let Some(path) = &self.0.file else { return Ok(()) };
        let new = LogFile::open(path)?;
        let former = std::mem::replace(&mut *self.0.output.write(), new);
        former.finish();
        Ok(())
    }

    /// Returns the file that the log writes to, if any.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.0.file.as_deref()
    }

    /// Returns which records are logged.
    #[must_use]
    pub fn filter(&self) -> Filter {
        self.0.filter.read().clone()
    }

    /// Sets which records are logged from now on. A process notices at its next wait, or sooner.
    pub fn set_filter(&self, filter: Filter) {
        let mut current = self.0.filter.write();
        self.0.most.store(filter.most(), Ordering::Relaxed);
        *current = filter;
    }

    /// Logs a record of the host or of the embedding program, whatever the filter says.
    pub fn say(&self, level: Level, target: &str, message: &str) {
        let line = own(level, target, None, message, &[]);
        self.tap(&line);
        self.put(&line.to_text(self.0.format));
    }

    /// From now on, also gives a copy to `tap` of each record, and of the host's reports about processes.
    pub fn copy_to(&self, tap: Arc<dyn Tap>) {
        *self.0.tap.write() = Some(tap);
    }

    /// Returns whether the host's reports about processes go to the log instead of standard error: if its format is for
    /// programs, or if it writes to a file.
    #[must_use]
    pub fn takes_reports(&self) -> bool {
        self.0.format == Format::Json || self.0.file.is_some()
    }

    /// Returns how many copies the tap has lost; `None` if there is no tap.
    #[must_use]
    pub fn copies_dropped(&self) -> Option<u64> {
        self.0.tap.read().as_ref().map(|tap| tap.dropped())
    }

    /// Waits until all earlier records are written. For the end of a program.
    pub fn finish(&self) {
        let output = self.output();
        output.finish();
        // Now there is room.
        self.say_dropped();
        output.finish();
    }

    /// The current output.
    pub(crate) fn output(&self) -> Output {
        self.0.output.read().clone()
    }

    /// The most verbose level that is logged for a target, or for any if it is empty: 0 (none) to 5.
    pub(crate) fn level(&self, target: &str) -> i32 {
        match target {
            "" => self.0.most.load(Ordering::Relaxed),
            target => self.0.filter.read().level(target),
        }
    }

    /// Logs a record of a process; false if it is dropped.
    pub(crate) fn record(&self, line: &Line<'_>) -> bool {
        self.tap(line);
        self.put(&line.to_text(self.0.format))
    }

    /// A line about a process: a report or a denial. In a log for people, `text` is used unchanged.
    pub(crate) fn about(&self, level: Level, target: &str, process: (&str, &str), message: &str, text: &str) -> String {
        let report = [("report", Value::Text(text.into()))];
        let fields = if message == text.trim_end() { &[][..] } else { &report };
        let line = own(level, target, Some(process), message, fields);
        self.tap(&line);
        match self.0.format {
            Format::Json => line.to_text(Format::Json),
            Format::Text => text.to_owned(),
        }
    }

    fn tap(&self, line: &Line<'_>) {
        if let Some(tap) = &*self.0.tap.read() {
            tap.take(line);
        }
    }

    fn put(&self, line: &str) -> bool {
        self.say_dropped();
        let is_put = self.0.output.read().log(line);
        if !is_put {
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
        }
        is_put
    }

    /// Logs how many records were dropped, if that has not been logged and there is room.
    fn say_dropped(&self) {
        if self.0.dropped.load(Ordering::Relaxed) == 0 {
            return;
        }
        let dropped = self.0.dropped.swap(0, Ordering::Relaxed);
        if dropped == 0 {
            return;
        }
        let message = "records were dropped: they came faster than they could be written";
        let fields = [("dropped", Value::Unsigned(dropped))];
        let line = own(Level::Warn, OWN_TARGET, None, message, &fields);
        if !self.0.output.read().log(&line.to_text(self.0.format)) {
            self.0.dropped.fetch_add(dropped, Ordering::Relaxed);
        }
    }
}

/// A record of the host.
fn own<'a>(
    level: Level,
    target: &'a str,
    process: Option<(&'a str, &'a str)>,
    message: &'a str,
    fields: &'a [(&'a str, Value<'a>)],
) -> Line<'a> {
    Line {
        time: SystemTime::now(),
        level: level as i32,
        target,
        process,
        message,
        fields,
        spans: &[],
        context: None,
    }
}

/// A record of a process, with its name and the trace that it works for.
pub(crate) fn line_of<'a>(
    record: &'a Record<'a>,
    process: (&'a str, &'a str),
    context: Option<&'a Context>,
) -> Line<'a> {
    Line {
        time: SystemTime::now(),
        level: record.level,
        target: record.target,
        process: Some(process),
        message: record.message,
        fields: &record.fields,
        spans: &record.spans,
        context,
    }
}

/// A file that lines are appended to. The disk may be full for a while: lines that cannot be written then are lost.
struct LogFile {
    file: File,
    /// Whether the failure to write has been reported.
    is_lost: bool,
}

impl LogFile {
    fn open(path: &Path) -> io::Result<Output> {
        // This avoids waiting for the reader of a pipe.
        let opened = OpenOptions::new()
            .append(true)
            .create(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(path)?;
        if !opened.metadata()?.is_file() {
            return Err(io::Error::other("it is not a file"));
        }
        let file = Self {
            file: opened,
            is_lost: false,
        };
        Ok(Output::to_writer(file))
    }
}

impl Write for LogFile {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let written = self.file.write_all(text);
        if let Err(error) = &written
            && !self.is_lost
        {
            eprintln!("note: the log cannot be written: {error}");
        }
        self.is_lost = written.is_err();
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
