//! Standard output and standard error of a whole system, shared by all its processes.
//!
//! An [`Output`] is the destination of text; `stream` is one process's access to it. Four properties are ensured here:
//!
//! - **Lines do not tear.** A write of a process is output in one piece, and the pieces of a line are output together
//!   (`lines`).
//! - **No worker waits.** Text is written directly as long as the host's descriptor accepts it (`fd`). Otherwise, a
//!   thread of the output takes over. Processes continue until [`BACKLOG_LEN_MAX`] bytes are waiting; then they wait,
//!   but not their worker.
//! - **Reports wait for nobody, and nobody for them.** The host's own texts are output in the order in which they were
//!   requested; the output's thread makes texts that take a while, such as backtraces (`reports`).
//! - **A closed pipe is an event**, not a failure of every process that prints: see [`Output::wait_closed`].
//!
//! # Shutdown
//!
//! [`Output::finish`], at the very end, waits until all text is written.
//!
//! # Locks
//!
//! There is one lock per output. It is held during `write(2)`, so that texts are written in the order in which they
//! took the lock. No other lock is taken inside.

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
use lunatic_kernel::budget::Receipt;
use parking_lot::{Condvar, Mutex, MutexGuard};
use reports::{Kind, Reports, made};
pub use stdin::Stdin;
use tokio::sync::Notify;

/// The most bytes that wait for a slow descriptor before processes that print must wait, too.
pub const BACKLOG_LEN_MAX: usize = 256 << 10;

/// The most bytes that a [`Capture`] keeps.
pub const CAPTURE_LEN_MAX: usize = 16 << 20;

/// The most bytes of lines that nobody has finished, of an output that a guest takes.
pub(crate) const UNSEEN_HELD_MAX: usize = 16 << 10;

/// It reads debug information.
const THREAD_STACK_SIZE: usize = 1 << 20;

/// How long the thread of an output stays around when idle.
const IDLE_MAX: Duration = Duration::from_secs(1);

/// The destination of the standard output or standard error of all processes of a system.
///
/// A clone is another handle of the same output, so standard output and standard error can share one. Lines of
/// different processes do not tear. After the end of a system, [`finish`](Self::finish) waits for what a slow reader
/// has not taken.
#[derive(Clone)]
pub struct Output(Arc<Shared>);

struct Shared {
    sink: Sink,
    is_terminal: bool,
    state: Mutex<State>,
    /// Wakes the thread of this output, and [`Output::finish`].
    changed: Condvar,
    /// Notified when the backlog has become short enough, or when the output is closed.
    room: Notify,
    closed: AtomicBool,
    writers: AtomicU64,
    /// Whether lines that nobody finishes are written after a while, by the thread.
    writes_lines_in_time: bool,
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
                // If a panic ended the thread of the output, others would wait for it forever.
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
    /// Text that the descriptor did not accept immediately.
    backlog: Vec<u8>,
    /// Whether the thread is writing what it took from the backlog.
    draining: bool,
    /// Whether the thread exists and will check the state again.
    thread: bool,
    /// Whether the thread must exit as soon as it has nothing to do.
    finishing: bool,
    /// How many threads wait until all reports are written, which must not be delayed.
    waited_for: usize,
    /// Bytes that have ever been in the backlog, and how many of them have been written (or dropped).
    queued: u64,
    drained: u64,
    /// An error of the thread, for the next process that writes.
    error: Option<io::Error>,
}

impl Output {
    /// Returns the standard output of the host. Output is discarded if the host has none.
    pub fn stdout() -> Self {
        Self::inherited(Fd::like(io::stdout()))
    }

    /// Returns the standard error of the host. Output is discarded if the host has none.
    pub fn stderr() -> Self {
        Self::inherited(Fd::like(io::stderr()))
    }

    /// Writes to an open file, pipe or socket.
    pub fn file(file: impl Into<std::os::fd::OwnedFd>) -> Self {
        Self::inherited(Ok(Fd::new(file.into())))
    }

    /// Writes to any [`Write`] of the embedder: a log, a socket, a function.
    ///
    /// It is called on a thread of the output, so it may block; processes wait once [`BACKLOG_LEN_MAX`] bytes are
    /// queued. It receives text in the order in which it was written, several lines together if it is slow, and a
    /// `flush` after each piece. An error of kind [`BrokenPipe`](io::ErrorKind::BrokenPipe) [closes](Self::closed) the
    /// output, which ends the system; any other error goes to the process that writes next. At the end, call
    /// [`finish`](Self::finish) to wait for the last piece.
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

    /// Discards the output.
    pub fn discard() -> Self {
        Self::unseen(Sink::Discard)
    }

    /// Whether both are the same output.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// Keeps the output in memory, to be read through the [`Capture`].
    pub fn captured() -> (Self, Capture) {
        let capture = Capture::new(CAPTURE_LEN_MAX);
        (Self::new(Sink::Capture(capture.clone()), false), capture)
    }

    /// Keeps at most `len_max` bytes of the output in memory for a guest, which takes them with [`take`](Self::take). The
    /// output has no thread, because guests can make very many of them.
    pub(crate) fn captured_for_guest(len_max: usize) -> (Self, Capture) {
        let capture = Capture::new(len_max);
        (Self::unseen(Sink::Capture(capture.clone())), capture)
    }

    /// Takes what was captured, including lines that are not finished.
    pub(crate) fn take(&self, capture: &Capture) -> Vec<u8> {
        let mut state = self.0.state.lock();
        let mut out = Vec::new();
        state.lines.release(&mut out);
        // Into memory, which does not fail.
        let _ = self.0.emit(&mut state, &out);
        drop(state);
        capture.take()
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
            writes_lines_in_time: true,
        }))
    }

    /// An output of which nobody sees a line before it is taken, if ever.
    fn unseen(sink: Sink) -> Self {
        let state = State {
            lines: Lines::holding_up_to(UNSEEN_HELD_MAX),
            ..State::default()
        };
        let Self(shared) = Self::new(sink, false);
        let shared = Arc::into_inner(shared).expect("nobody else has it yet");
        Self(Arc::new(Shared {
            state: Mutex::new(state),
            writes_lines_in_time: false,
            ..shared
        }))
    }

    /// Returns whether output goes to a terminal.
    pub fn is_terminal(&self) -> bool {
        self.0.is_terminal
    }

    /// Returns whether the reader of the pipe is gone. From then on, all text is dropped and no write fails, so that
    /// the system can be ended quietly, as a native program ends when `head` has read enough.
    pub fn closed(&self) -> bool {
        self.0.closed.load(Ordering::Acquire)
    }

    /// Waits until [`closed`](Self::closed) returns true.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn wait_closed(&self) {
        self.wait_until(|| self.closed()).await;
    }

    /// Writes a text of the host, such as a crash report: in one piece, on lines of its own, and after crash reports
    /// that were requested earlier. Never waits.
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

    /// Whether one more crash may be reported: 256 in a burst, and 10 per second. If not, it is counted.
    pub(crate) fn admits_crash(&self) -> bool {
        let mut state = self.0.state.lock();
        let is_first = state.reports.deadline().is_none();
        let admits = state.reports.admits_crash(Instant::now());
        // The thread is notified of the first, and reports the number in time.
        if !admits && is_first {
            self.wake_thread(&mut state);
        }
        admits
    }

    /// Like [`report`](Self::report), for a text that takes a while to make: the thread of this output makes such
    /// texts, one after another.
    pub(crate) fn report_later(&self, make: impl FnOnce() -> String + Send + 'static) {
        let mut state = self.0.state.lock();
        state.reports.add(Box::new(make), Instant::now());
        self.wake_thread(&mut state);
    }

    /// Counts a report that is not made.
    pub(crate) fn leave_out(&self) {
        let mut state = self.0.state.lock();
        state.reports.leave_out(Kind::Crash, Instant::now());
        self.wake_thread(&mut state);
    }

    /// Writes the report of a denial: in one piece, on lines of its own. Never waits; if [`BACKLOG_LEN_MAX`] bytes or
    /// more are already waiting, the denial is only counted, because a process can be denied things endlessly.
    pub(crate) fn report_denial(&self, text: &str) {
        if !self.log(text) {
            let mut state = self.0.state.lock();
            state.reports.leave_out(Kind::Denial, Instant::now());
            self.wake_thread(&mut state);
        }
    }

    /// Writes a line of a log: in one piece, on a line of its own. Never waits; returns false if the line is dropped,
    /// because [`BACKLOG_LEN_MAX`] bytes or more are already waiting.
    pub(crate) fn log(&self, line: &str) -> bool {
        let mut state = self.0.state.lock();
        if state.backlog.len() >= BACKLOG_LEN_MAX {
            return false;
        }
        self.0.emit_report(&mut state, line);
        self.wake_thread(&mut state);
        true
    }

    /// Whether output is discarded.
    pub(crate) fn is_discarded(&self) -> bool {
        matches!(self.0.sink, Sink::Discard)
    }

    /// Waits until all earlier text is written, including text that is held because a line is not finished.
    ///
    /// For the end of a system. Blocks the calling thread for as long as the reader of a full pipe takes.
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

    /// An id for one more writing process.
    fn writer(&self) -> WriterId {
        self.0.writers.fetch_add(1, Ordering::Relaxed)
    }

    /// Writes text of a process. Never waits; call [`has_room`](Self::has_room) or [`wait_room`](Self::wait_room)
    /// first.
    fn write(&self, writer: WriterId, text: &[u8]) -> io::Result<()> {
        if self.is_discarded() {
            return Ok(());
        }
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

    /// Records that a process will write no more after `text`.
    fn end(&self, writer: WriterId, text: &[u8]) {
        if self.is_discarded() {
            return;
        }
        let mut state = self.0.state.lock();
        let now = Instant::now();
        let mut out = Vec::new();
        state.lines.write(writer, text, now, &mut out);
        state.lines.end(writer, now, &mut out);
        // The process is gone, so the error cannot be reported to it.
        let _ = self.0.emit(&mut state, &out);
        self.wake_thread(&mut state);
    }

    fn has_room(&self) -> bool {
        self.0.state.lock().backlog.len() < BACKLOG_LEN_MAX || self.closed()
    }

    /// Waits until there is room for what a process writes.
    pub(crate) async fn wait_room(&self) {
        self.wait_until(|| self.has_room()).await;
    }

    async fn wait_until(&self, condition: impl Fn() -> bool) {
        loop {
            let mut notified = std::pin::pin!(self.0.room.notified());
            // Enabled before the condition is checked, so that no event in between is missed.
            notified.as_mut().enable();
            if condition() {
                return;
            }
            notified.await;
        }
    }

    /// Ensures that the thread handles whatever cannot be done now.
    fn wake_thread(&self, state: &mut MutexGuard<'_, State>) {
        if state.backlog.is_empty() && self.0.lines_deadline(state).is_none() && state.reports.is_idle() {
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
                // If no thread can be started, waiting here is better than losing text.
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
    /// When lines that nobody finishes must be written.
    fn lines_deadline(&self, state: &State) -> Option<Instant> {
        state.lines.deadline().filter(|_| self.writes_lines_in_time)
    }

    /// Writes or queues text. Called with the lock held, so that texts keep their order.
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
        // There is nobody to whom a failure to write a report could be reported.
        let _ = self.emit(state, &out);
    }

    /// Turns the loss of the reader into an event.
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

    /// The thread of an output: writes the backlog, releases lines that nobody finishes, and makes reports.
    fn serve(&self) {
        let mut state = self.state.lock();
        loop {
            if !state.backlog.is_empty() {
                self.drain(&mut state);
                continue;
            }
            let now = Instant::now();
            if self.lines_deadline(&state).is_some_and(|deadline| deadline <= now) {
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
            let deadlines = [self.lines_deadline(&state), state.reports.deadline()];
            let idle = match deadlines.into_iter().flatten().min() {
                Some(deadline) => {
                    self.changed.wait_until(&mut state, deadline);
                    false
                }
                None => !state.finishing && self.changed.wait_for(&mut state, IDLE_MAX).timed_out(),
            };
            let nothing_left =
                state.backlog.is_empty() && self.lines_deadline(&state).is_none() && state.reports.is_idle();
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
    /// The charge for the output, for as long as anything can be written to it.
    paid: Option<Receipt>,
}

impl Capture {
    fn new(len_max: usize) -> Self {
        Self {
            captured: Arc::default(),
            len_max,
        }
    }

    /// Keeps a charge for as long as the output exists.
    pub(crate) fn pay(&self, paid: Receipt) {
        self.captured.lock().paid = Some(paid);
    }

    /// Returns the output since the last call. If there was more than is kept, the end of the text says so.
    pub fn take(&self) -> Vec<u8> {
        let mut captured = self.captured.lock();
        let (mut text, cut) = (std::mem::take(&mut captured.text), std::mem::take(&mut captured.cut));
        drop(captured);
        if cut > 0 {
            text.extend_from_slice(format!("\n[{cut} more bytes are not shown]\n").as_bytes());
        }
        text
    }

    /// Whether there was no output since the last call of [`take`](Self::take).
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
