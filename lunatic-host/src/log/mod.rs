//! The log: records of guests, and what the host itself has to say, as lines.
//!
//! | module | what it is about |
//! |---|---|
//! | `filter` | which records are written; can be changed at any time |
//! | `line` | how a record is written |
//!
//! A record goes to an [`Output`], as what processes print does: it comes out in one piece, and no worker waits for it. Where
//! processes that print would have to wait, because 256 KiB are waiting to be written, records are dropped, and their number is
//! written when there is room again.

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

/// What the host's own records are about, if they are about the log.
const OWN_TARGET: &str = "lunatic::log";

/// Where records go, which are written, and how. A clone is another handle of the same log.
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
    /// The file that it goes to, if it is one.
    file: Option<PathBuf>,
    format: Format,
    filter: RwLock<Filter>,
    /// The most verbose level that is written of any target.
    most: AtomicI32,
    /// Records that were dropped since that was last said.
    dropped: AtomicU64,
    /// Who gets a copy of each record.
    tap: RwLock<Option<Arc<dyn Tap>>>,
}

/// Who gets a copy of each record that is written, such as an exporter.
///
/// It is called by whoever makes the record: it must be quick, must not wait, and must not log.
pub trait Tap: Send + Sync {
    /// This is being written.
    fn take(&self, line: &Line<'_>);

    /// How many of them it has lost.
    fn dropped(&self) -> u64 {
        0
    }
}

impl Log {
    /// Records go to `output`.
    #[must_use]
    pub fn new(output: Output, format: Format, filter: Filter) -> Self {
        Self::with(output, None, format, filter)
    }

    /// Records are appended to the file at `path`, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// If it cannot be opened, or is no file, such as a folder or a pipe.
    pub fn to_file(path: &Path, format: Format, filter: Filter) -> io::Result<Self> {
        let path = std::path::absolute(path)?;
        let output = LogFile::open(&path)?;
        Ok(Self::with(output, Some(path), format, filter))
    }

    /// A log of its own for `output`, which writes as this one does, and begins with its filter.
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

    /// Opens the file again, and makes it if it is not there: for whoever has moved it away. What comes from now on goes to the
    /// new one. Nothing happens if records go elsewhere.
    ///
    /// # Errors
    ///
    /// As [`to_file`](Self::to_file); then they go on to where they went.
    pub fn reopen(&self) -> io::Result<()> {
        let Some(path) = &self.0.file else { return Ok(()) };
        let new = LogFile::open(path)?;
        let former = std::mem::replace(&mut *self.0.output.write(), new);
        former.finish();
        Ok(())
    }

    /// The file that records go to, if it is one.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.0.file.as_deref()
    }

    /// Which records are written.
    #[must_use]
    pub fn filter(&self) -> Filter {
        self.0.filter.read().clone()
    }

    /// Has these records written from now on. A process notices at its next wait, or sooner.
    pub fn set_filter(&self, filter: Filter) {
        let mut current = self.0.filter.write();
        self.0.most.store(filter.most(), Ordering::Relaxed);
        *current = filter;
    }

    /// Writes a record of the host's own, whatever the filter says; the embedding program's, too.
    pub fn say(&self, level: Level, target: &str, message: &str) {
        let line = own(level, target, None, message, &[]);
        self.tap(&line);
        self.put(&line.to_text(self.0.format));
    }

    /// Gives a copy of each record to `tap` from now on, too; of what the host says about processes, as well.
    pub fn copy_to(&self, tap: Arc<dyn Tap>) {
        *self.0.tap.write() = Some(tap);
    }

    /// Whether what the host says about processes goes to the log, and not to standard error: where programs read it, or where it
    /// is in a file.
    #[must_use]
    pub fn takes_reports(&self) -> bool {
        self.0.format == Format::Json || self.0.file.is_some()
    }

    /// How many copies were lost by whoever gets them; `None` if nobody does.
    #[must_use]
    pub fn copies_dropped(&self) -> Option<u64> {
        self.0.tap.read().as_ref().map(|tap| tap.dropped())
    }

    /// Waits until all is written that was said before. For the end of a program.
    pub fn finish(&self) {
        let output = self.output();
        output.finish();
        // Now there is room.
        self.say_dropped();
        output.finish();
    }

    /// Where it goes now.
    pub(crate) fn output(&self) -> Output {
        self.0.output.read().clone()
    }

    /// The most verbose level that is written of a target, or of any if it is empty: 0 (none) to 5.
    pub(crate) fn level(&self, target: &str) -> i32 {
        match target {
            "" => self.0.most.load(Ordering::Relaxed),
            target => self.0.filter.read().level(target),
        }
    }

    /// Writes a record of a process; false if it is dropped.
    pub(crate) fn record(&self, line: &Line<'_>) -> bool {
        self.tap(line);
        self.put(&line.to_text(self.0.format))
    }

    /// A line about a process: a report, or what was denied to it. In a log for people, `text` stands for itself.
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

    /// Writes how many records were dropped, if that is not known and there is room.
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

/// A record of the host's own.
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

/// A record of a process, with what it is called, and the trace that it works for.
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

/// A file that lines are appended to. It may be full for a while: what cannot be written then is lost.
struct LogFile {
    file: File,
    /// That it cannot be written was said.
    is_lost: bool,
}

impl LogFile {
    fn open(path: &Path) -> io::Result<Output> {
        // Not to wait for whoever reads a pipe.
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
