//! Processes: spawning them from closures, and their handles.

mod builder;
mod capture;
mod captured;
mod spawn;

use std::error::Error;
use std::fmt;
use std::time::Duration;

pub use builder::Builder;
pub use capture::{Capture, Entry};
pub(crate) use captured::check as check_captured;
pub use captured::check_captures;
use lunatic_sys::codes;
use lunatic_sys::layout::RawHandle;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
pub use spawn::SpawnError;
pub(crate) use spawn::flush;

use crate::channel::Message;
use crate::codec;
use crate::exit::ExitReason;
use crate::host::{self, Refused};
use crate::rights::Usage;

/// A handle of a process.
///
/// A process is a WebAssembly instance with its own memory. It shares nothing with other processes: neither heap nor
/// statics nor thread-locals. It has only the values that it was spawned with and the messages that it has received.
///
/// The handle has 16 bytes. It is `Copy`; it can be captured by closures, used as a key of maps and sent in messages.
/// Dropping it does not affect the process. A handle cannot be forged: the host recognises each handle that it has not
/// given out.
///
/// # Panics
///
/// All methods panic if the host never gave out the handle. This can only happen if the handle was made from bytes that
/// did not come from a handle.
///
/// # Examples
///
/// ```no_run
/// use lunatic::{ExitReason, Process};
///
/// let child = Process::spawn(|| println!("hello from {}", lunatic::this_process())).unwrap();
/// assert_eq!(child.join(), ExitReason::Normal);
/// assert!(!child.is_alive());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Process {
    id: u64,
    key: u64,
}

impl Serialize for Process {
    #[inline]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        codec::handle::serialize(self.raw(), serializer)
    }
}

impl<'de> Deserialize<'de> for Process {
    #[inline]
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        codec::handle::deserialize(deserializer).map(Self::from_raw)
    }
}

impl Process {
    /// Spawns a process that calls `entry` and exits when `entry` returns.
    ///
    /// The closure is copied, byte for byte, into the memory of the new process. Therefore everything that it captures
    /// must be [`Copy`]: numbers, arrays, [`Process`] and [`Channel`](crate::Channel) handles. A value that owns
    /// memory, such as a `String` or a `Vec`, cannot be copied this way: pass it to [`spawn_with`](Self::spawn_with),
    /// send it through a channel, or make it inside the closure. See [`Capture`] for details, also about leaked
    /// references, which the compiler cannot reject.
    ///
    /// `spawn` does not wait until the new process runs. The new process is independent of its parent and goes on when
    /// the parent exits. When the main process exits, all processes do.
    ///
    /// # Errors
    ///
    /// - [`SpawnError::CaptureTooLarge`] if the captured values have more than 64 KiB in total.
    /// - [`SpawnError::Limit`] if the host has no room for another process.
    /// - [`SpawnError::Denied`] if the calling process may not spawn.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use lunatic::{Channel, Process};
    ///
    /// let squares = Channel::new(0);
    /// for i in 0..10_u64 {
    ///     Process::spawn(move || squares.send(i * i)).unwrap();
    /// }
    /// let sum: u64 = (0..10).map(|_| squares.receive()).sum();
    /// assert_eq!(sum, 285);
    /// ```
    #[inline]
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn spawn<F>(entry: F) -> Result<Self, SpawnError>
    where
        F: Entry + Capture,
    {
        captured::check(&entry);
        spawn::spawn(&entry)
    }

    /// Spawns a process that calls `entry` with an argument. The argument can be any [`Message`], such as a `String`,
    /// or a [socket](crate::net), which then belongs to the new process. If the spawn fails, the argument is dropped.
    ///
    /// # Errors
    ///
    /// As for [`spawn`](Self::spawn), where the encoded argument counts towards the 64 KiB; and
    /// [`SpawnError::Argument`] if it cannot be encoded.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use lunatic::Process;
    ///
    /// let words = vec!["to".to_owned(), "be".to_owned()];
    /// let child = Process::spawn_with(words, |words| println!("{}", words.join(" "))).unwrap();
    /// child.join();
    /// ```
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn spawn_with<A, F>(argument: A, entry: F) -> Result<Self, SpawnError>
    where
        A: Message,
        F: FnOnce(A) + Copy + Send + 'static,
    {
        Self::builder().spawn_with(argument, entry)
    }

    /// Returns a builder for a process with options: a name, a link, limits.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Spawns a process that is [linked](Self::link) to the caller before it runs.
    ///
    /// # Errors
    ///
    /// As for [`spawn`](Self::spawn).
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn spawn_link<F: Entry + Capture>(entry: F) -> Result<Self, SpawnError> {
        Self::builder().link().spawn(entry)
    }

    /// Spawns a process that the caller [monitors](Self::monitor) before it runs.
    ///
    /// # Errors
    ///
    /// As for [`spawn`](Self::spawn).
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn spawn_monitor<F: Entry + Capture>(entry: F) -> Result<(Self, Monitor), SpawnError> {
        Self::builder().spawn_monitor(entry)
    }

    /// Returns the first half of the handle, a number that no other process of this host ever has.
    /// [`Display`](fmt::Display) shows the process as crash reports do.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Returns whether the process has not exited yet. It may exit before the caller uses the answer. A process of another
    /// node is asked for there, so this waits for the answer of that node. If the node is not connected, or is lost before it
    /// answers, the process does not count as alive.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        host::is_alive(self.raw()).unwrap_or_else(|refused| self.refused(refused))
    }

    /// Takes the text that a child has written to standard output since the last call. The calling process must have
    /// spawned the child with [`capture_stdout`](crate::ProcessConfig::capture_stdout); otherwise the result is empty.
    /// The text can also be taken after the child has exited.
    #[must_use]
    pub fn take_stdout(&self) -> Vec<u8> {
        self.take_output(0)
    }

    /// Takes the text that a child has written to standard error; see [`take_stdout`](Self::take_stdout).
    #[must_use]
    pub fn take_stderr(&self) -> Vec<u8> {
        self.take_output(1)
    }

    fn take_output(&self, stream: i32) -> Vec<u8> {
        match host::take_output(self.raw(), stream) {
            Ok(text) => text,
            Err(Refused::Empty) => Vec::new(),
            Err(refused) => self.refused(refused),
        }
    }

    /// Returns the resources that the process and all its descendants use. If the process belongs to the subtree of a
    /// process that was spawned with a budget ([`measured`](crate::ProcessConfig::measured) or a cap), the result is
    /// for that whole subtree.
    ///
    /// Returns `None` if there is no budget, or if the process has exited.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        match host::usage(self.raw()) {
            Ok(usage) => Some(Usage {
                processes: usage.processes,
                memory: usage.memory,
                sockets: usage.sockets,
                cpu: Duration::from_nanos(usage.cpu_ns),
            }),
            Err(Refused::Empty | Refused::Closed) => None,
            Err(refused) => self.refused(refused),
        }
    }

    /// Kills the process wherever its execution is: it exits with [`ExitReason::Killed`]. If it has exited already,
    /// nothing happens.
    ///
    /// A process that kills itself does not return from this call.
    pub fn kill(&self) {
        host::kill(self.raw()).unwrap_or_else(|refused| self.refused(refused));
    }

    /// Sends an exit signal to the process, like OTP's `exit/2`.
    ///
    /// - [`ExitReason::Killed`] always terminates the process, as [`kill`](Self::kill) does.
    /// - [`ExitReason::Normal`] has no effect, unless the process sends it to itself.
    /// - Any other reason makes the process exit with that reason.
    ///
    /// If the process [traps exits](trap_exit), every signal except `Killed` becomes [mail](crate::mailbox::Mail::Exit)
    /// instead.
    pub fn exit(&self, reason: &ExitReason) {
        host::exit_signal(self.raw(), &reason.to_bytes()).unwrap_or_else(|refused| self.refused(refused));
    }

    /// Links the calling process and this one: when one exits, the other gets an exit signal with the same reason. The
    /// signal makes the other process exit too, unless the reason is [`ExitReason::Normal`] or the process [traps
    /// exits](trap_exit).
    ///
    /// A link has no direction, and two processes have at most one link. If the process has exited already, the caller
    /// immediately gets a signal with [`ExitReason::NoProcess`].
    pub fn link(&self) {
        host::link(self.raw()).unwrap_or_else(|refused| self.refused(refused));
    }

    /// Removes the link between the calling process and this one, if there is one. Once this has returned, no exit
    /// signal of the link arrives; mail about an exit that arrived earlier stays in the mailbox.
    pub fn unlink(&self) {
        host::unlink(self.raw()).unwrap_or_else(|refused| self.refused(refused));
    }

    /// Monitors the process: the caller gets one [notification](crate::mailbox::Mail::Down) when it exits, or
    /// immediately if it has exited already.
    ///
    /// A monitor has a direction, and a process can have several monitors of the same process: each sends one
    /// notification.
    #[must_use = "without it the monitor cannot be told from others, nor be taken away"]
    pub fn monitor(&self) -> Monitor {
        match host::monitor(self.raw(), codes::TAG_SIGNAL) {
            Ok(reference) => Monitor {
                reference,
                process: *self,
            },
            Err(refused) => self.refused(refused),
        }
    }

    /// Waits until the process has exited, and returns its exit reason.
    ///
    /// Any process can join any other, any number of times. The host remembers exit reasons only as long as it has room
    /// for them; after that the result is [`ExitReason::Forgotten`]. A process that joins itself waits for ever.
    pub fn join(&self) -> ExitReason {
        self.join_ns(codes::NO_TIMEOUT)
            .unwrap_or_else(|refused| self.refused(refused))
    }

    /// Joins the process as [`join`](Self::join) does, but waits for at most `timeout`. With a timeout of zero it does
    /// not wait.
    ///
    /// # Errors
    ///
    /// [`TimedOut`] if the process has not exited by then.
    pub fn join_timeout(&self, timeout: Duration) -> Result<ExitReason, TimedOut> {
        match self.join_ns(host::timeout_ns(timeout)) {
            Err(Refused::TimedOut) => Err(TimedOut),
            other => Ok(other.unwrap_or_else(|refused| self.refused(refused))),
        }
    }

    fn join_ns(&self, timeout_ns: u64) -> Result<ExitReason, Refused> {
        host::join(self.raw(), timeout_ns).map(|_| ExitReason::from_bytes(&host::buffer()))
    }

    pub(crate) fn raw(&self) -> RawHandle {
        RawHandle {
            id: self.id,
            key: self.key,
        }
    }

    pub(crate) fn from_raw(RawHandle { id, key }: RawHandle) -> Self {
        Self { id, key }
    }

    #[cold]
    fn refused(&self, refused: Refused) -> ! {
        match refused {
            Refused::Invalid => panic!("{self} is not a process: the handle was not given out by this host"),
            other => panic!("the host refused a call on process {self}: {other:?}"),
        }
    }
}

/// A request for one notification when a process exits; see [`Process::monitor`]. It is useful only to the process that
/// made it, which can keep it in its [state](crate::code).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Monitor {
    reference: u64,
    process: Process,
}

impl Monitor {
    pub(crate) fn from_parts(reference: u64, process: Process) -> Self {
        Self { reference, process }
    }

    /// Returns the process that is monitored.
    #[must_use]
    pub fn process(&self) -> Process {
        self.process
    }

    /// Removes the monitor: its notification does not arrive any more, and one that is already in the mailbox is
    /// dropped. Returns true if the monitor had not sent its notification yet.
    pub fn demonitor(self) -> bool {
        host::demonitor(self.reference)
    }
}

/// Exits the calling process with `reason`, which is passed to the processes that join it, are linked to it or monitor
/// it.
///
/// If the reason is an error, the host reports it on standard error.
pub fn exit(reason: ExitReason) -> ! {
    host::exit(&reason.to_bytes())
}

/// Sets whether exit signals to the calling process become [mail](crate::mailbox::Mail::Exit) instead of terminating
/// it; OTP's `process_flag(trap_exit, …)`. Returns the previous setting. Off by default.
pub fn trap_exit(on: bool) -> bool {
    host::trap_exit(on)
}

/// Returns the process that spawned the calling one; `None` in the main process.
#[must_use]
pub fn parent() -> Option<Process> {
    host::parent().map(Process::from_raw)
}

/// Displayed as in crash reports: `#17`, or `#17.2` for the third process in slot 17.
impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_handle(f, self.raw())
    }
}

/// Writes a handle as the host's reports do: `#17`, or `#17.2` for the third use of slot 17 in the host's table.
pub(crate) fn write_handle(f: &mut fmt::Formatter<'_>, handle: RawHandle) -> fmt::Result {
    write!(f, "#{}", handle.slot())?;
    match handle.number() {
        0 => Ok(()),
        number => write!(f, ".{number}"),
    }
}

impl fmt::Debug for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Process({self})")
    }
}

/// Returns the handle of the calling process.
///
/// # Examples
///
/// ```no_run
/// use lunatic::{Channel, Process, this_process};
///
/// let born = Channel::new(0);
/// Process::spawn(move || born.send(this_process())).unwrap();
/// println!("my child was {}", born.receive());
/// ```
#[must_use]
pub fn this_process() -> Process {
    Process::from_raw(host::this())
}

/// The error of [`Process::join_timeout`]: the process did not exit before the timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOut;

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the process did not exit before the timeout")
    }
}

impl Error for TimedOut {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{DefaultCodec, Scratch, decode, encode};

    #[test]
    fn prints_its_slot_and_a_use_that_is_not_the_first() {
        let process = Process { id: 17, key: 0xdead };
        assert_eq!(process.to_string(), "#17");
        assert_eq!(format!("{process:?}"), "Process(#17)");
        let id = 0xabc << 52 | 2 << 26 | 17;
        assert_eq!(Process { id, key: 0 }.to_string(), "#17.2");
    }

    #[test]
    fn crosses_channels() {
        let process = Process { id: 1, key: u64::MAX };
        let mut bytes = Scratch::new();
        encode::<DefaultCodec, _>(&process, &mut bytes).unwrap();
        let back: Process = decode::<DefaultCodec, _>(bytes.as_slice()).unwrap();
        assert_eq!(back, process);
    }

    #[test]
    #[should_panic(expected = "cargo lunatic run")]
    fn other_targets_say_what_to_do() {
        let _ = this_process();
    }
}
