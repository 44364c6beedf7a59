//! The host's side of a helper: a thread that sends it a file, receives the result, and charges for its time meanwhile.
//!
//! The thread waits for the helper in steps of [`STEP`]. After each step, it charges for the CPU time and memory that
//! the helper has used. It kills the helper if nobody wants the module any more, if the budget is used up, or if a
//! limit is reached. When the thread returns, the helper is gone and has been waited for.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lunatic_kernel::budget::{Budget, Exhausted, Receipt};

use super::helper::{ANSWER_HEAD, CompileHelper, Head, answer, answer_len};
use super::{ARTIFACT_MAX, CompileLimits};
use crate::module::LoadError;

/// How often a helper is checked: the longest time that is used before it is charged.
const STEP: Duration = Duration::from_millis(10);

/// The most bytes that are written or read between two checks.
const PART: usize = 256 << 10;

/// Why a helper is stopped early.
enum Stop {
    /// The asker has gone, or ends because its budget is used up.
    Unwanted,
    Time,
    Memory(Exhausted),
    Size,
    Io(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Who asks for a module.
pub(super) struct Asker {
    pub(super) budget: Option<Arc<Budget>>,
    /// Set once nobody waits for the module any more.
    pub(super) gone: Arc<AtomicBool>,
}

/// Compiles `file` with a helper.
pub(super) fn run(
    program: &CompileHelper,
    head: Head,
    file: &[u8],
    limits: &CompileLimits,
    asker: &Asker,
    paid: Receipt,
) -> Result<Vec<u8>, LoadError> {
    if asker.gone.load(Ordering::Relaxed) {
        return Err(failed("it is no longer needed"));
    }
    let mut helper = Helper::start(program, limits, asker, paid)
        .map_err(|error| failed(format!("the program that compiles could not be started: {error}")))?;
    let answered = helper.give(head, file).and_then(|()| helper.take());
    // Charges for the time since the last check.
    let _ = helper.look();
    answered.unwrap_or_else(|stop| Err(helper.why(stop)))
}

fn failed(text: impl Into<String>) -> LoadError {
    LoadError::Compile(text.into())
}

/// A running helper. Dropping it kills the helper and waits for it.
struct Helper<'a> {
    child: Child,
    stream: UnixStream,
    /// The CPU time of the helper, which has all been charged.
    used: Duration,
    /// What is paid for its memory, and for the received part of its answer.
    paid: Receipt,
    answer: usize,
    limits: &'a CompileLimits,
    asker: &'a Asker,
}

impl<'a> Helper<'a> {
    fn start(program: &CompileHelper, limits: &'a CompileLimits, asker: &'a Asker, paid: Receipt) -> io::Result<Self> {
        let (stream, theirs) = UnixStream::pair()?;
        stream.set_read_timeout(Some(STEP))?;
        stream.set_write_timeout(Some(STEP))?;
        let (stdin, stdout) = (OwnedFd::from(theirs.try_clone()?), OwnedFd::from(theirs));
        let mut command = program.command();
        command.stdin(stdin).stdout(stdout).stderr(Stdio::null());
        Ok(Self {
            child: command.spawn()?,
            stream,
            used: Duration::ZERO,
            paid,
            answer: 0,
            limits,
            asker,
        })
    }

    /// Writes the input of the helper.
    fn give(&mut self, head: Head, file: &[u8]) -> Result<(), Stop> {
        self.write(&head.to_bytes())?;
        for part in file.chunks(PART) {
            self.write(part)?;
        }
        self.stream.shutdown(Shutdown::Write)?;
        Ok(())
    }

    fn write(&mut self, mut bytes: &[u8]) -> Result<(), Stop> {
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if is_early(&error) => {}
                Err(error) => return Err(error.into()),
            }
            self.look()?;
        }
        Ok(())
    }

    /// Reads the answer.
    fn take(&mut self) -> Result<Result<Vec<u8>, LoadError>, Stop> {
        let mut head = [0; ANSWER_HEAD];
        self.read(&mut head)?;
        let len = answer_len(&head).ok_or(io::Error::from(ErrorKind::InvalidData))?;
        let len = usize::try_from(len)
            .ok()
            .filter(|len| *len <= ARTIFACT_MAX)
            .ok_or(Stop::Size)?;
        self.answer = len;
        self.look()?;
        let mut bytes = vec![0; len];
        for part in bytes.chunks_mut(PART) {
            self.read(part)?;
        }
        Ok(answer(head[0], bytes))
    }

    fn read(&mut self, mut bytes: &mut [u8]) -> Result<(), Stop> {
        while !bytes.is_empty() {
            match self.stream.read(bytes) {
                Ok(0) => return Err(io::Error::from(ErrorKind::UnexpectedEof).into()),
                Ok(read) => bytes = &mut bytes[read..],
                Err(error) if is_early(&error) => {}
                Err(error) => return Err(error.into()),
            }
            self.look()?;
        }
        Ok(())
    }

    /// Charges for what the helper has used, and checks whether it may continue.
    fn look(&mut self) -> Result<(), Stop> {
        // Where the operating system does not report it, assume that it has computed all the time.
        let used = lunatic_memory::process_time(self.child.id()).unwrap_or(self.used + STEP);
        let more = used.saturating_sub(self.used);
        self.used = self.used.max(used);
        let budget = self.asker.budget.as_deref();
        if let Some(budget) = budget {
            budget.spend(more);
        }
        if self.asker.gone.load(Ordering::Relaxed) || budget.is_some_and(Budget::is_spent) {
            return Err(Stop::Unwanted);
        }
        // The code that compiles is shared with this program. Where the operating system does not report memory, only
        // the answer counts.
        let memory = lunatic_memory::process_memory(self.child.id()).unwrap_or(0);
        self.paid.settle(memory + self.answer).map_err(Stop::Memory)?;
        if self.used > self.limits.time {
            Err(Stop::Time)
        } else {
            Ok(())
        }
    }

    /// Why a helper has not answered.
    fn why(&mut self, stop: Stop) -> LoadError {
        let CompileLimits { time, memory, .. } = self.limits;
        let took_too_long = || {
            let seconds = time.as_secs_f64();
            LoadError::TooCostly(format!(
                "compiling it takes longer than the {seconds} seconds of CPU time that are allowed"
            ))
        };
        match stop {
            Stop::Unwanted => failed("it is no longer needed"),
            Stop::Time => took_too_long(),
            Stop::Memory(exhausted) => LoadError::Exhausted(exhausted),
            Stop::Size => LoadError::TooCostly(format!("the compiled module is larger than {ARTIFACT_MAX} bytes")),
            Stop::Io(error) => match self.signal() {
                Some(libc::SIGABRT) => LoadError::TooCostly(format!(
                    "the compiler needs more than the {memory} bytes of memory that are allowed, or its stack is used up"
                )),
                Some(libc::SIGXCPU) => took_too_long(),
                Some(libc::SIGSYS) => failed(
                    "the compiler made a system call that no compiler needs, and was killed: if the file is not hostile, this is a bug",
                ),
                Some(signal) => failed(format!("the compiler was ended by signal {signal}")),
                None => failed(format!("the compiler did not answer: {error}")),
            },
        }
    }

    /// The signal that has ended a helper after it closed its end; `None` if it exited by itself, or does not end.
    fn signal(&mut self) -> Option<i32> {
        /// A process closes its files a little before it has ended.
        const STEPS: usize = 100;
        for _ in 0..STEPS {
            match self.child.try_wait() {
                Ok(Some(status)) => return status.signal(),
                Ok(None) => std::thread::sleep(STEP),
                Err(_) => return None,
            }
        }
        None
    }
}

impl Drop for Helper<'_> {
    fn drop(&mut self) {
        // This fails only if the helper is gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether the operation must be repeated later, because nothing could be read or written.
fn is_early(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}
