//! What a process may do and use.
//!
//! The main process has the rights that the command line gives: standard streams, clocks and random numbers, and folders
//! (`--dir`), variables (`--env`) and hosts (`--allow-net`) that it names. A child has the rights of its parent. One that
//! is spawned with a [`ProcessConfig`] has less: what the configuration says *and* the parent has. The host
//! decides that when the configuration is used, so no process can give what it does not have.
//!
//! A process asked to do what it may not gets an error: those of `std::io` for files, [`SpawnError::Denied`] for spawns,
//! [`RegisterError::Denied`] for names. `--log-denials` lets the host write each of them down.
//!
//! [`SpawnError::Denied`]: crate::process::SpawnError::Denied
//! [`RegisterError::Denied`]: crate::registry::RegisterError::Denied

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::host;
use crate::process::SpawnError;

/// Things that are allowed or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Right {
    /// To spawn processes.
    Spawn,
    /// To spawn processes with a [`ProcessConfig`].
    Configure,
    /// To register names and join groups.
    Names,
    /// To compile modules: [`Module::compile`](crate::Module::compile).
    Compile,
    /// To look at other processes: [`inspect`](crate::inspect).
    Inspect,
    /// To count [metrics](crate::metrics).
    Metrics,
    /// To open [spans](crate::trace), and to say which trace a process works for.
    Trace,
    /// To bring processes that have its rights, or less, to [another version](crate::code::Upgrade) of their code.
    Upgrade,
}

impl Right {
    fn word(self) -> &'static str {
        match self {
            Self::Spawn => "spawn",
            Self::Configure => "configure",
            Self::Names => "names",
            Self::Compile => "compile",
            Self::Inspect => "inspect",
            Self::Metrics => "metrics",
            Self::Trace => "trace",
            Self::Upgrade => "upgrade",
        }
    }
}

/// Whether the calling process has a right.
#[must_use]
pub fn may(right: Right) -> bool {
    host::allows(right.word()).expect("the host knows every right")
}

/// Whether the calling process may connect to a port of a host: a name, or an address such as `127.0.0.1` or `[::1]`.
/// False, too, if this is no host.
#[must_use]
pub fn may_connect(host: &str, port: u16) -> bool {
    host::allows(&format!("connect:{host}:{port}")).unwrap_or(false)
}

/// Whether the calling process may listen on a port of an address such as `127.0.0.1` or `[::]`.
#[must_use]
pub fn may_bind(address: &str, port: u16) -> bool {
    host::allows(&format!("bind:{address}:{port}")).unwrap_or(false)
}

/// Whether the calling process may look up the addresses of a host.
#[must_use]
pub fn may_resolve(host: &str) -> bool {
    host::allows(&format!("resolve:{host}")).unwrap_or(false)
}

/// What a process and its descendants use together: [`Process::usage`](crate::Process::usage).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Usage {
    /// Living processes.
    pub processes: u64,
    /// Bytes of memory: linear memory, tables, and all that the host keeps for the processes, such as queued messages.
    pub memory: u64,
    /// Open sockets.
    pub sockets: u64,
    /// Time on a core so far, also of processes that have ended since.
    pub cpu: Duration,
}

/// What a child may do and use, and all its descendants: for [`Builder::config`](crate::process::Builder::config).
///
/// [`new`](Self::new) is nothing but standard output and error, clocks and random numbers, and limits as the parent's;
/// [`inherit`](Self::inherit) is everything that the parent has. Methods add to it or narrow it. The child
/// never has more than its parent, whatever is asked for. A method called twice adds for lists, and counts the second
/// time for everything else.
///
/// # Examples
///
/// ```no_run
/// use std::time::Duration;
/// use lunatic::{Process, ProcessConfig};
///
/// let config = ProcessConfig::new()
///     .dir_read_only("/data/images", "/in")
///     .max_memory(64 << 20)
///     .cpu_time(Duration::from_secs(10));
/// // Whatever the decoder does, it reads images, uses 64 MiB and 10 seconds, and nothing else.
/// let decoder = Process::builder().config(&config).spawn(|| { /* … */ }).unwrap();
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[must_use = "a configuration does nothing before a process is spawned with it"]
pub struct ProcessConfig {
    /// As the host takes them: `KEY=VALUE`, a zero byte behind each. Never empty, which would be no configuration.
    entries: String,
    /// An entry with a zero byte inside, which would be two.
    bad: Option<String>,
}

impl ProcessConfig {
    /// Nothing but standard output and error, clocks and random numbers.
    pub fn new() -> Self {
        // An entry that changes nothing: without one there would be no configuration.
        Self::of("no-dirs")
    }

    /// Everything that the parent has.
    pub fn inherit() -> Self {
        Self::of("inherit")
    }

    fn of(first: &str) -> Self {
        let (entries, bad) = (String::new(), None);
        Self { entries, bad }.entry(first, "")
    }

    fn entry(mut self, key: &str, value: &str) -> Self {
        if value.contains('\0') {
            self.bad.get_or_insert_with(|| format!("{key}={value}"));
            return self;
        }
        self.entries.push_str(key);
        if !value.is_empty() || key == "arg" {
            self.entries.push('=');
            self.entries.push_str(value);
        }
        self.entries.push('\0');
        self
    }

    /// The entries for the host.
    pub(crate) fn entries(&self) -> Result<&str, SpawnError> {
        match &self.bad {
            None => Ok(&self.entries),
            Some(entry) => Err(SpawnError::BadConfig(format!("{entry:?} has a zero byte in it"))),
        }
    }

    /// A folder: `path` is what the parent calls it, `guest` what the child will. It must be one of the parent's folders
    /// or in one of them, else the spawn is [denied](SpawnError::Denied). Read only, if the parent's is.
    pub fn dir(self, path: &str, guest: &str) -> Self {
        self.entry("dir", &format!("{path}::{guest}"))
    }

    /// A folder in which nothing can be changed.
    pub fn dir_read_only(self, path: &str, guest: &str) -> Self {
        self.entry("dir", &format!("{path}::{guest}:ro"))
    }

    /// No folders, for a configuration that inherits.
    pub fn no_dirs(self) -> Self {
        self.entry("no-dirs", "")
    }

    /// An environment variable with this value.
    pub fn env(self, name: &str, value: &str) -> Self {
        self.entry("env", &format!("{name}={value}"))
    }

    /// An environment variable with the parent's value, if that has it.
    pub fn pass_env(self, name: &str) -> Self {
        self.entry("env", name)
    }

    /// No environment variables, for a configuration that inherits.
    pub fn no_env(self) -> Self {
        self.entry("no-env", "")
    }

    /// An argument; the first is the program's name.
    pub fn arg(self, argument: &str) -> Self {
        self.entry("arg", argument)
    }

    /// A rule as of `--allow-net`: `HOST:PORT`, `10.0.0.0/8:8000-8099`, `*.example.com:443`, `*`, with `bind:` or
    /// `resolve:` before it. Another text makes the spawn fail with [`SpawnError::BadConfig`].
    pub fn allow_net(self, rule: &str) -> Self {
        self.entry("net", rule)
    }

    /// No network, for a configuration that inherits.
    pub fn no_net(self) -> Self {
        self.entry("no-net", "")
    }

    /// The system's standard input, if the parent has it.
    pub fn stdin(self) -> Self {
        self.entry("stdin", "inherit")
    }

    /// Standard output leads nowhere.
    pub fn discard_stdout(self) -> Self {
        self.entry("stdout", "discard")
    }

    /// Standard output is kept for the parent: [`Process::take_stdout`](crate::Process::take_stdout). At most 256 KiB wait to
    /// be taken, the rest is counted. The parent keeps the output of at most 1,024 children, and pays 512 KiB of its
    /// budget for each, until it has taken all after the child's end.
    pub fn capture_stdout(self) -> Self {
        self.entry("stdout", "capture")
    }

    /// Standard error is kept for the parent: [`Process::take_stderr`](crate::Process::take_stderr).
    pub fn capture_stderr(self) -> Self {
        self.entry("stderr", "capture")
    }

    /// Standard error leads nowhere.
    pub fn discard_stderr(self) -> Self {
        self.entry("stderr", "discard")
    }

    /// Clocks that are the same in each run: in each process they begin at this time after 1970, and go on by a
    /// microsecond whenever they are looked at. Waiting takes as long as ever. A descendant cannot have real clocks again.
    pub fn fixed_clock(self, since_1970: Duration) -> Self {
        let ns = u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX);
        self.entry("clock", &ns.to_string())
    }

    /// Random numbers that are the same in each process and each run. A descendant cannot have real ones again.
    pub fn random_seed(self, seed: u64) -> Self {
        self.entry("random", &seed.to_string())
    }

    /// Allows something.
    pub fn allow(self, right: Right) -> Self {
        self.entry("allow", right.word())
    }

    /// Denies something; this goes before [`allow`](Self::allow).
    pub fn deny(self, right: Right) -> Self {
        self.entry("deny", right.word())
    }

    /// The largest memory of each process, in bytes.
    pub fn max_memory(self, bytes: u64) -> Self {
        self.entry("max-memory", &bytes.to_string())
    }

    /// The largest number of messages in the mailbox of each process.
    pub fn max_mailbox(self, messages: u64) -> Self {
        self.entry("max-mailbox", &messages.to_string())
    }

    /// The most files and folders that each process opens at once.
    pub fn max_files(self, files: u32) -> Self {
        self.entry("max-files", &files.to_string())
    }

    /// A budget without caps, so that [`Process::usage`](crate::Process::usage) tells what the subtree uses.
    pub fn measured(self) -> Self {
        self.entry("measured", "")
    }

    /// How many processes may live at once: the child and all its descendants. More are refused with
    /// [`SpawnError::Limit`].
    pub fn tree_processes(self, processes: u64) -> Self {
        self.entry("tree-processes", &processes.to_string())
    }

    /// How many bytes of memory the child and all its descendants may have together.
    pub fn tree_memory(self, bytes: u64) -> Self {
        self.entry("tree-memory", &bytes.to_string())
    }

    /// How many sockets the child and all its descendants may have together.
    pub fn tree_sockets(self, sockets: u64) -> Self {
        self.entry("tree-sockets", &sockets.to_string())
    }

    /// How long the child and all its descendants may compute together, to the millisecond. When that is used up, each of
    /// them that goes on computing ends with [`ExitReason::OutOfBudget`](crate::ExitReason::OutOfBudget), at the latest
    /// a time slice later.
    pub fn cpu_time(self, time: Duration) -> Self {
        let ms = time.as_micros().div_ceil(1000);
        self.entry("tree-cpu-ms", &u64::try_from(ms).unwrap_or(u64::MAX).to_string())
    }

    /// The share of one core that the child and all its descendants may use over a tenth of a second, in percent, 1 and
    /// more; 200 is two cores.
    pub fn cpu_share(self, percent: u32) -> Self {
        self.entry("cpu-share", &percent.to_string())
    }
}

impl Default for ProcessConfig {
    /// [`ProcessConfig::new`].
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_what_the_host_reads() {
        let config = ProcessConfig::inherit()
            .dir("/a", "/b")
            .env("A", "")
            .arg("")
            .cpu_time(Duration::from_micros(1));
        assert_eq!(
            config.entries().unwrap(),
            "inherit\0dir=/a::/b\0env=A=\0arg=\0tree-cpu-ms=1\0"
        );
        assert!(!ProcessConfig::new().entries().unwrap().is_empty());
    }

    #[test]
    fn a_value_cannot_add_an_entry() {
        let config = ProcessConfig::new().env("A", "x\0dir=/::/").max_files(1);
        assert!(matches!(config.entries(), Err(SpawnError::BadConfig(_))));
    }
}
