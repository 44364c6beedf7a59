//! Processes: spawning them with a closure, and their handles.

mod builder;
mod capture;
mod captured;
mod spawn;

use std::error::Error;
use std::fmt;
use std::time::Duration;

pub use builder::Builder;
pub use capture::Capture;
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
/// A process is a WebAssembly instance with a memory of its own. It shares nothing with other processes: not the heap,
/// not statics, not thread-locals. What it knows, it was spawned with or has received.
///
/// The handle is small, can be copied, captured by closures, put into maps and sent in messages. It is not the process:
/// dropping it ends nothing. It cannot be forged either, a handle that the host never gave out is recognised as such.
///
/// # Panics
///
/// All methods panic if the handle was never given out by the host. That takes making one from bytes that did not come
/// from a handle.
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
    /// Spawns a process that calls `entry` and ends when it returns.
    ///
    /// The closure is copied, byte for byte, into the memory of the new process, which is why everything it captures
    /// must be [`Copy`]: numbers, arrays, [`Process`] and [`Channel`](crate::Channel) handles. A value that owns memory
    /// (a `String`, a `Vec`) cannot be in two memories; send it through a channel, or make it inside the closure. The
    /// trait [`Capture`] says more, also about leaked references, which the compiler cannot refuse.
    ///
    /// Spawning does not wait for the process to run. It runs independently of its parent, and lives on when the parent
    /// ends; but when the main process ends, all end.
    ///
    /// # Errors
    ///
    /// [`SpawnError::CaptureTooLarge`] if the captured values have more than 64 KiB together,
    /// [`SpawnError::Limit`] if the host has no room for another process.
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
        F: FnOnce() + Capture,
    {
        captured::check(&entry);
        spawn::spawn(&entry)
    }

    /// Spawns a process that calls `entry` with an argument: any [`Message`], such as a `String`, or
    /// a [socket](crate::net), which then belongs to the new process. If nothing is spawned, the argument is dropped.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn), where the argument counts among what is captured; and [`SpawnError::Argument`].
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

    /// [`spawn`](Self::spawn) with options: name, link, limits.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Spawns a process that is [linked](Self::link) to the caller from its beginning.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn).
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn spawn_link<F: FnOnce() + Capture>(entry: F) -> Result<Self, SpawnError> {
        Self::builder().link().spawn(entry)
    }

    /// Spawns a process that the caller [monitors](Self::monitor) from its beginning.
    ///
    /// # Errors
    ///
    /// As [`spawn`](Self::spawn).
    #[cfg_attr(debug_assertions, track_caller)]
    pub fn spawn_monitor<F: FnOnce() + Capture>(entry: F) -> Result<(Self, Monitor), SpawnError> {
        Self::builder().spawn_monitor(entry)
    }

    /// The first half of the handle: a number that no other process of the host ever has. [`Display`](fmt::Display) shows
    /// the process in the way crash reports do.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Whether the process has not ended yet. It may end between this answer and its use.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        host::is_alive(self.raw()).unwrap_or_else(|refused| self.refused(refused))
    }

    /// What a child has written to standard output since the last call, if it was spawned with
    /// [`capture_stdout`](crate::ProcessConfig::capture_stdout) by the calling process; nothing otherwise. Can be asked for
    /// after its end, too.
    #[must_use]
    pub fn take_stdout(&self) -> Vec<u8> {
        self.take_output(0)
    }

    /// As [`take_stdout`](Self::take_stdout), for standard error.
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

    /// What the process and all its descendants use, if it was spawned with a budget
    /// ([`measured`](crate::ProcessConfig::measured) or a cap) or belongs to the subtree of one that was: then it is what
    /// that subtree uses. `None` if there is no budget, or the process has ended.
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

    /// Ends the process wherever it is, with [`ExitReason::Killed`]; nothing happens if it has ended already.
    ///
    /// A process that kills itself does not return from this call.
    pub fn kill(&self) {
        host::kill(self.raw()).unwrap_or_else(|refused| self.refused(refused));
    }

    /// Sends an exit signal, as OTP's `exit/2`.
    ///
    /// With [`ExitReason::Killed`] the process ends for good, as by [`kill`](Self::kill). With [`ExitReason::Normal`]
    /// nothing happens, unless the process sends it to itself. With any other reason the process ends with that
    /// reason. If it [traps exits](trap_exit), all of these but `Killed` become [mail](crate::mailbox::Mail::Exit).
    pub fn exit(&self, reason: &ExitReason) {
        host::exit_signal(self.raw(), &reason.to_bytes()).unwrap_or_else(|refused| self.refused(refused));
    }

    /// Links the calling process and this one: when one ends, the other gets an exit signal with the same reason, so it
    /// ends too, unless the reason is [`ExitReason::Normal`] or it [traps exits](trap_exit).
    ///
    /// A link has no direction, and two processes have at most one. If the process has ended already, the caller gets a
    /// signal with [`ExitReason::NoProcess`].
    pub fn link(&self) {
        host::link(self.raw()).unwrap_or_else(|refused| self.refused(refused));
    }

    /// Takes the link between the calling process and this one away, if there is one. After that no exit signal of it
    /// arrives; mail about an exit that has arrived before stays.
    pub fn unlink(&self) {
        host::unlink(self.raw()).unwrap_or_else(|refused| self.refused(refused));
    }

    /// Asks for one [mail](crate::mailbox::Mail::Down) when this process ends; at once if it has ended already.
    ///
    /// Monitors go one way and add up: each tells once.
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

    /// Waits until the process has ended, and says how.
    ///
    /// Any process may ask, any number of times. The host remembers how processes ended for as long as it can afford;
    /// then the answer is [`ExitReason::Forgotten`]. A process that joins itself waits for ever.
    pub fn join(&self) -> ExitReason {
        self.join_ns(codes::NO_TIMEOUT)
            .unwrap_or_else(|refused| self.refused(refused))
    }

    /// As [`join`](Self::join), for at most `timeout`. A timeout of zero looks without waiting.
    ///
    /// # Errors
    ///
    /// [`TimedOut`] if the process still runs after that time.
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
            Refused::Invalid => panic!("{self} is no process: the handle was not given out by this host"),
            other => panic!("the host refused a call on process {self}: {other:?}"),
        }
    }
}

/// Asks for mail when a process ends, see [`Process::monitor`]. It is of use only to the process that made it, which can keep it in
/// its [state](crate::code).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Monitor {
    reference: u64,
    process: Process,
}

impl Monitor {
    pub(crate) fn from_parts(reference: u64, process: Process) -> Self {
        Self { reference, process }
    }

    /// Who is monitored.
    #[must_use]
    pub fn process(&self) -> Process {
        self.process
    }

    /// Takes the monitor away: no mail of it arrives any more, and one that has arrived is dropped. True if it had not
    /// told yet.
    pub fn demonitor(self) -> bool {
        host::demonitor(self.reference)
    }
}

/// Ends the calling process with a reason, which whoever joins, links or monitors it gets to know.
///
/// A reason that is an error is reported by the host.
pub fn exit(reason: ExitReason) -> ! {
    host::exit(&reason.to_bytes())
}

/// Whether exit signals to the calling process become [mail](crate::mailbox::Mail::Exit) from now on; returns whether they
/// did before.
pub fn trap_exit(on: bool) -> bool {
    host::trap_exit(on)
}

/// Who spawned the calling process; none in the main process.
#[must_use]
pub fn parent() -> Option<Process> {
    host::parent().map(Process::from_raw)
}

/// As crash reports show the process: `#17`, or `#17.2` for the third process in slot 17.
impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_handle(f, self.raw())
    }
}

/// A handle as the host's reports show it: `#17`, or `#17.2` for the third use of slot 17 in the host's table.
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

/// The handle of the calling process.
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

/// The timeout passed before the process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOut;

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the process still runs after the timeout")
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
