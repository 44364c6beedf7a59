//! Standard output and standard error of a whole system, shared by all its processes.
//!
//! An [`Output`] is where text goes; `stream` is one process's way to it. Four things are settled here:
//!
//! - **Lines do not tear.** One write of a process comes out in one piece, and the pieces of a line come out together
//!   (`lines`).
//! - **No worker waits.** Text goes out directly as long as the host's descriptor takes it (`fd`). When it does not, a
//!   thread of the output's own takes over; processes go on until [`BACKLOG_LEN_MAX`] bytes are waiting, then they wait
//!   (not their worker).
//! - **Reports wait for nobody, and nobody for them.** The host's own texts come out in the order in which they were asked for;
//!   what takes a while to make, such as a backtrace, the output's thread makes (`reports`).
//! - **A closed pipe is an event**, not a failure of every process that prints: see [`Output::wait_closed`].
//!
//! # Shutdown
//!
//! [`Output::finish`] at the very end waits until all text is out.
//!
//! # Locks
//!
//! One lock per output, held during `write(2)` so that the order of texts is the order in which they took the lock. No
//! other lock is taken inside.

mod fd;
mod lines;
mod reports;
pub(crate) mod stdin;
pub(crate) mod stream;
#[cfg(test)]
mod tests;

use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fd::Fd;
use lines::{Lines, WriterId};
use parking_lot::{Condvar, Mutex, MutexGuard};
use reports::{Reports, made};
pub use stdin::Stdin;
use tokio::sync::Notify;

/// The most bytes that wait for a slow descriptor before processes that print have to wait too.
pub const BACKLOG_LEN_MAX: usize = 256 << 10;

/// The most bytes that a [`Capture`] keeps.
pub const CAPTURE_LEN_MAX: usize = 16 << 20;

/// Debug information is read on it.
const THREAD_STACK_SIZE: usize = 1 << 20;

/// How long the thread of an output stays around with nothing to do.
const IDLE_MAX: Duration = Duration::from_secs(1);

/// Where the standard output or the standard error of all processes of a system goes.
///
/// A clone is another handle of the same output, so standard output and standard error can share one. Lines of different
/// processes do not tear. After the end of a system [`finish`](Self::finish) waits for what a slow reader has not taken.
#[derive(Clone)]
pub struct Output(Arc<Shared>);

struct Shared {
    sink: Sink,
    is_terminal: bool,
    state: Mutex<State>,
    /// Wakes the thread of this output, and [`Output::finish`].
    changed: Condvar,
    /// The backlog became short enough, or the output closed.
    room: Notify,
    closed: AtomicBool,
    writers: AtomicU64,
}

enum Sink {
    Discard,
    Capture(Capture),
    Fd(Fd),
    /// May block: only the thread of the output writes to it.
    Writer(Mutex<Box<dyn Write + Send>>),
}

impl Sink {
    /// Writes everything, however long that takes.
    fn write_all(&self, text: &[u8]) -> io::Result<()> {
        match self {
            Self::Fd(fd) => fd.write_all(text),
            Self::Writer(writer) => {
                let mut writer = writer.lock();
                // Who waits for the thread of the output would wait for ever if a panic ended it.
                let write = AssertUnwindSafe(|| writer.write_all(text).and_then(|()| writer.flush()));
                catch_unwind(write).unwrap_or_else(|_| Err(io::Error::other("the writer of the output panicked")))
            }
            Self::Discard | Self::Capture(_) => Ok(()),
        }
    }
}

#[derive(Default)]
struct State {
    lines: Lines,
    reports: Reports,
    /// Text that the descriptor did not take at once.
    backlog: Vec<u8>,
    /// The thread is writing what it took from the backlog.
    draining: bool,
    /// The thread is there and will look at the state again.
    thread: bool,
    /// The thread is to go as soon as it has nothing to do.
    finishing: bool,
    /// So many wait until all reports are out, which takes no time that has not to be.
    waited_for: usize,
    /// Bytes that have ever been in the backlog, and how many of them are out (or dropped).
    queued: u64,
    drained: u64,
    /// An error of the thread, for the next process that writes.
    error: Option<io::Error>,
}

impl Output {
    /// The standard output of the host. Nowhere, if the host has none.
    pub fn stdout() -> Self {
        Self::inherited(Fd::like(io::stdout()))
    }

    /// The standard error of the host. Nowhere, if the host has none.
    pub fn stderr() -> Self {
        Self::inherited(Fd::like(io::stderr()))
    }

    /// An open file, pipe or socket.
    pub fn file(file: impl Into<std::os::fd::OwnedFd>) -> Self {
        Self::inherited(Ok(Fd::new(file.into())))
    }

    /// Anything that takes bytes: a log, a socket, a function behind a [`Write`] of the embedder's own.
    ///
    /// It is called on a thread of the output's own, so it may block; processes wait once [`BACKLOG_LEN_MAX`] bytes are
    /// before it. It gets text in the order in which it was written, several lines at once if it is slow, and a `flush`
    /// behind each piece. An error of kind [`BrokenPipe`](io::ErrorKind::BrokenPipe) [closes](Self::closed) the output,
    /// which ends the system; any other goes to the process that writes next. Call [`finish`](Self::finish) at the end to
    /// wait for the last piece.
    ///
    /// ```no_run
    /// use lunatic_host::wasi::Output;
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let log = std::fs::File::create("guest.log")?;
    /// let stdout = Output::to_writer(std::io::LineWriter::new(log));
    /// # Ok(())
    /// # }
    /// ```
    pub fn to_writer(writer: impl Write + Send + 'static) -> Self {
        Self::new(Sink::Writer(Mutex::new(Box::new(writer))), false)
    }

    /// Nowhere.
    pub fn discard() -> Self {
        Self::new(Sink::Discard, false)
    }

    /// Memory, to be read through the [`Capture`].
    pub fn captured() -> (Self, Capture) {
        Self::captured_up_to(CAPTURE_LEN_MAX)
    }

    /// Memory, of which no more than `len_max` bytes are kept.
    pub(crate) fn captured_up_to(len_max: usize) -> (Self, Capture) {
        let capture = Capture {
            captured: Arc::default(),
            len_max,
        };
        (Self::new(Sink::Capture(capture.clone()), false), capture)
    }

    fn inherited(fd: io::Result<Fd>) -> Self {
        match fd {
            Ok(fd) => {
                let is_terminal = fd.is_terminal();
                Self::new(Sink::Fd(fd), is_terminal)
            }
            Err(_) => Self::discard(),
        }
    }

    fn new(sink: Sink, is_terminal: bool) -> Self {
        Self(Arc::new(Shared {
            sink,
            is_terminal,
            state: Mutex::default(),
            changed: Condvar::new(),
            room: Notify::new(),
            closed: AtomicBool::new(false),
            writers: AtomicU64::new(0),
        }))
    }

    /// True if text goes to a terminal.
    pub fn is_terminal(&self) -> bool {
        self.0.is_terminal
    }

    /// True once the reader of the pipe is gone. From then on all text is dropped and no write fails, so that the system
    /// can be ended quietly, as a native program ends when `head` has seen enough.
    pub fn closed(&self) -> bool {
        self.0.closed.load(Ordering::Acquire)
    }

    /// Waits until [`closed`](Self::closed) is true.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost when the future is dropped.
    pub async fn wait_closed(&self) {
        self.wait_until(|| self.closed()).await;
    }

    /// Writes a text of the host's own, such as a crash report: in one piece, on lines of its own, and after the
    /// crash reports that were still to be made. Never waits.
    ///
    /// `text` should end with a newline.
    pub fn report(&self, text: &str) {
        let mut state = self.0.state.lock();
        if state.reports.is_idle() {
            self.0.emit_report(&mut state, text);
        } else {
            let text = text.to_owned();
            state.reports.add(Box::new(move || text), Instant::now());
        }
        self.wake_thread(&mut state);
    }

    /// Whether one more crash is to be reported: 256 at once, and 10 a second. If not, it is counted.
    pub(crate) fn admits_crash(&self) -> bool {
        let mut state = self.0.state.lock();
        let is_first = state.reports.deadline().is_none();
        let admits = state.reports.admits_crash(Instant::now());
        // The thread is told of the first, and sees to the number when it is time.
        if !admits && is_first {
            self.wake_thread(&mut state);
        }
        admits
    }

    /// As [`report`](Self::report), but it takes a while to make the text: the thread of this output does it, one report after
    /// the other.
    pub(crate) fn report_later(&self, make: impl FnOnce() -> String + Send + 'static) {
        let mut state = self.0.state.lock();
        state.reports.add(Box::new(make), Instant::now());
        self.wake_thread(&mut state);
    }

    /// A report is not made, and only counted.
    pub(crate) fn leave_out(&self) {
        let mut state = self.0.state.lock();
        state.reports.leave_out(Instant::now());
        self.wake_thread(&mut state);
    }

    /// A line of a log: in one piece, on a line of its own. Never waits; false if it is dropped, because [`BACKLOG_LEN_MAX`] bytes
    /// or more are waiting already.
    pub(crate) fn log(&self, line: &str) -> bool {
        let mut state = self.0.state.lock();
        if state.backlog.len() >= BACKLOG_LEN_MAX {
            return false;
        }
        self.0.emit_report(&mut state, line);
        self.wake_thread(&mut state);
        true
    }

    /// Whether both are handles of one output.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Whether what is written goes to nowhere.
    pub(crate) fn is_discarded(&self) -> bool {
        matches!(self.0.sink, Sink::Discard)
    }

    /// Waits until all text is out that was written before, also what is held because a line is not finished.
    ///
    /// For the end of a system. Blocks the calling thread for as long as the reader of a full pipe makes it.
    pub fn finish(&self) {
        let mut state = self.0.state.lock();
        state.waited_for += 1;
        self.0.changed.notify_all();
        while !state.reports.is_idle() {
            self.0.changed.wait(&mut state);
        }
        state.waited_for -= 1;
        let mut out = Vec::new();
        state.lines.release(&mut out);
        let _ = self.0.emit(&mut state, &out);
        self.wake_thread(&mut state);
        let target = state.queued;
        state.finishing = state.thread;
        self.0.changed.notify_all();
        while state.thread && state.drained < target {
            self.0.changed.wait(&mut state);
        }
    }

    /// A name for one more process that writes.
    fn writer(&self) -> WriterId {
        self.0.writers.fetch_add(1, Ordering::Relaxed)
    }

    /// Text of a process. Never waits; ask [`has_room`](Self::has_room) or [`wait_room`](Self::wait_room) first.
    fn write(&self, writer: WriterId, text: &[u8]) -> io::Result<()> {
        let mut state = self.0.state.lock();
        if let Some(error) = state.error.take() {
            return Err(error);
        }
        if state.lines.pass(writer, text) {
            let result = self.0.emit(&mut state, text);
            if !state.backlog.is_empty() {
                self.wake_thread(&mut state);
            }
            return result;
        }
        let mut out = Vec::new();
        state.lines.write(writer, text, Instant::now(), &mut out);
        let result = self.0.emit(&mut state, &out);
        self.wake_thread(&mut state);
        result
    }

    /// A process will write no more after `text`.
    fn end(&self, writer: WriterId, text: &[u8]) {
        let mut state = self.0.state.lock();
        let now = Instant::now();
        let mut out = Vec::new();
        state.lines.write(writer, text, now, &mut out);
        state.lines.end(writer, now, &mut out);
        // The process is gone: there is no one left to tell.
        let _ = self.0.emit(&mut state, &out);
        self.wake_thread(&mut state);
    }

    fn has_room(&self) -> bool {
        self.0.state.lock().backlog.len() < BACKLOG_LEN_MAX || self.closed()
    }

    async fn wait_room(&self) {
        self.wait_until(|| self.has_room()).await;
    }

    async fn wait_until(&self, condition: impl Fn() -> bool) {
        loop {
            let mut notified = std::pin::pin!(self.0.room.notified());
            // Enabled before the condition is looked at: what happens in between is not missed.
            notified.as_mut().enable();
            if condition() {
                return;
            }
            notified.await;
        }
    }

    /// Makes sure that the thread sees to whatever cannot be done now.
    fn wake_thread(&self, state: &mut MutexGuard<'_, State>) {
        if state.backlog.is_empty() && state.lines.deadline().is_none() && state.reports.is_idle() {
            return;
        }
        if state.thread {
            self.0.changed.notify_all();
            return;
        }
        let shared = self.0.clone();
        let spawned = std::thread::Builder::new()
            .name("lunatic-output".into())
            .stack_size(THREAD_STACK_SIZE)
            .spawn(move || shared.serve());
        match spawned {
            Ok(_) => state.thread = true,
            Err(_) => {
                // No thread to be had: better to wait here than to lose text.
                while let Some(make) = state.reports.next(Instant::now(), true) {
                    let text = MutexGuard::unlocked(state, || made(make));
                    self.0.emit_report(state, &text);
                    state.reports.done();
                }
                let mut out = std::mem::take(&mut state.backlog);
                state.drained = state.queued;
                state.lines.release(&mut out);
                let _ = self.0.note(state, self.0.sink.write_all(&out));
            }
        }
    }
}

impl State {
    fn queue(&mut self, text: &[u8]) {
        self.backlog.extend_from_slice(text);
        self.queued += text.len() as u64;
    }
}

impl Shared {
    /// Sends text on its way. Called with the lock held, so that texts keep their order.
    fn emit(&self, state: &mut State, text: &[u8]) -> io::Result<()> {
        if text.is_empty() || self.closed.load(Ordering::Acquire) {
            return Ok(());
        }
        match &self.sink {
            Sink::Discard => Ok(()),
            Sink::Capture(capture) => {
                capture.push(text);
                Ok(())
            }
            Sink::Fd(_) if state.draining || !state.backlog.is_empty() => {
                state.queue(text);
                Ok(())
            }
            Sink::Writer(_) => {
                state.queue(text);
                Ok(())
            }
            Sink::Fd(fd) => {
                let result = fd.write_now(text).map(|len| state.queue(&text[len..]));
                self.note(state, result)
            }
        }
    }

    fn emit_report(&self, state: &mut State, text: &str) {
        let mut out = Vec::new();
        state.lines.report(text.as_bytes(), Instant::now(), &mut out);
        // A report has no one who could be told that it did not get out.
        let _ = self.emit(state, &out);
    }

    /// Turns the reader's going away into an event.
    fn note(&self, state: &mut State, result: io::Result<()>) -> io::Result<()> {
        match result {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                state.backlog = Vec::new();
                state.drained = state.queued;
                self.closed.store(true, Ordering::Release);
                self.room.notify_waiters();
                self.changed.notify_all();
                Ok(())
            }
            result => result,
        }
    }

    /// The thread of an output: writes the backlog, lets go of lines that nobody finishes, and makes reports.
    fn serve(&self) {
        let mut state = self.state.lock();
        loop {
            if !state.backlog.is_empty() {
                self.drain(&mut state);
                continue;
            }
            let now = Instant::now();
            if state.lines.deadline().is_some_and(|deadline| deadline <= now) {
                let mut out = Vec::new();
                state.lines.release(&mut out);
                let _ = self.emit(&mut state, &out);
                continue;
            }
            let is_end = state.waited_for > 0;
            if let Some(make) = state.reports.next(now, is_end) {
                let text = MutexGuard::unlocked(&mut state, || made(make));
                self.emit_report(&mut state, &text);
                state.reports.done();
                continue;
            }
            self.changed.notify_all();
            let deadlines = [state.lines.deadline(), state.reports.deadline()];
            let idle = match deadlines.into_iter().flatten().min() {
                Some(deadline) => {
                    self.changed.wait_until(&mut state, deadline);
                    false
                }
                None => !state.finishing && self.changed.wait_for(&mut state, IDLE_MAX).timed_out(),
            };
            let nothing_left = state.backlog.is_empty() && state.lines.deadline().is_none() && state.reports.is_idle();
            if nothing_left && (idle || state.finishing) {
                state.thread = false;
                state.finishing = false;
                self.changed.notify_all();
                return;
            }
        }
    }

    fn drain(&self, state: &mut MutexGuard<'_, State>) {
        let text = std::mem::take(&mut state.backlog);
        state.draining = true;
        let result = MutexGuard::unlocked(state, || self.sink.write_all(&text));
        state.draining = false;
        state.drained += text.len() as u64;
        if let Err(error) = self.note(state, result) {
            state.error = Some(error);
        }
        self.room.notify_waiters();
    }
}

/// Output that is kept in memory, for tests and for hosts that show it elsewhere.
///
/// Keeps the first [`CAPTURE_LEN_MAX`] bytes and counts the rest.
#[derive(Clone)]
pub struct Capture {
    captured: Arc<Mutex<Captured>>,
    len_max: usize,
}

#[derive(Default)]
struct Captured {
    text: Vec<u8>,
    cut: usize,
}

impl Capture {
    /// What came out since the last call. Says so at the end if there was more than is kept.
    pub fn take(&self) -> Vec<u8> {
        let Captured { mut text, cut } = std::mem::take(&mut *self.captured.lock());
        if cut > 0 {
            text.extend_from_slice(format!("\n[{cut} more bytes are not shown]\n").as_bytes());
        }
        text
    }

    /// Whether nothing came out since the last call of [`take`](Self::take).
    pub(crate) fn is_empty(&self) -> bool {
        let captured = self.captured.lock();
        captured.text.is_empty() && captured.cut == 0
    }

    fn push(&self, text: &[u8]) {
        let mut captured = self.captured.lock();
        let len = text.len().min(self.len_max - captured.text.len());
        captured.text.extend_from_slice(&text[..len]);
        captured.cut += text.len() - len;
    }
}
