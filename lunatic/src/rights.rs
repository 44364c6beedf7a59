//! Rights and limits of processes.
//!
//! The main process has the rights that the command line gives: standard streams, clocks, random numbers, and the
//! folders (`--dir`), environment variables (`--env`) and network hosts (`--allow-net`) that it names. A child has the
//! rights of its parent. A child that is spawned with a [`ProcessConfig`] has only what both the configuration allows
//! *and* the parent has. The host checks this when the configuration is used, so a process can never give rights that
//! it does not have.
//!
//! An operation that a process does not have the right to do returns an error: one of `std::io` for files and sockets,
//! [`SpawnError::Denied`] for spawns, [`RegisterError::Denied`] for names. With `--log-denials` the host logs each
//! denied operation.
//!
//! [`SpawnError::Denied`]: crate::process::SpawnError::Denied
//! [`RegisterError::Denied`]: crate::registry::RegisterError::Denied

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::host;
use crate::process::SpawnError;

/// Operations that can be allowed or denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Right {
    /// To spawn processes.
    Spawn,
    /// To spawn processes with a [`ProcessConfig`].
    Configure,
    /// To register names and join groups, and to remove names and members that are not the process's own.
    Names,
    /// To compile modules: [`Module::compile`](crate::Module::compile).
    Compile,
    /// To inspect other processes: [`inspect`](crate::inspect).
    Inspect,
    /// To count [metrics](crate::metrics).
    Metrics,
    /// To open [spans](crate::trace), and to set the trace context of the process.
    Trace,
    /// To move processes that have the same rights, or fewer, to [another version](crate::code::Upgrade) of their code.
    Upgrade,
    /// To use other [nodes](crate::node): to list and monitor them, to spawn processes there, and to use global names.
    Nodes,
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
            Self::Nodes => "nodes",
        }
    }
}

/// Returns whether the calling process has a right.
#[must_use]
pub fn may(right: Right) -> bool {
    host::allows(right.word()).expect("the host knows every right")
}

/// Returns whether the calling process may connect to a port of a host: a name, or an address such as `127.0.0.1` or
/// `[::1]`. Returns false if `host` is neither.
#[must_use]
pub fn may_connect(host: &str, port: u16) -> bool {
    host::allows(&format!("connect:{host}:{port}")).unwrap_or(false)
}

/// Returns whether the calling process may listen on a port of an address such as `127.0.0.1` or `[::]`.
#[must_use]
pub fn may_bind(address: &str, port: u16) -> bool {
    host::allows(&format!("bind:{address}:{port}")).unwrap_or(false)
}

/// Returns whether the calling process may resolve the name of a host.
#[must_use]
pub fn may_resolve(host: &str) -> bool {
    host::allows(&format!("resolve:{host}")).unwrap_or(false)
}

/// The resources that a process and its descendants use together: [`Process::usage`](crate::Process::usage).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Usage {
    /// The number of living processes.
    pub processes: u64,
    /// Bytes of memory: linear memory, tables, and everything that the host keeps for the processes, such as queued
    /// messages.
    pub memory: u64,
    /// The number of open sockets.
    pub sockets: u64,
    /// Processor time so far, including that of processes that have exited.
    pub cpu: Duration,
}

/// The rights and limits of a child and all its descendants, for [`Builder::config`](crate::process::Builder::config).
///
/// [`new`](Self::new) starts with standard output, standard error, clocks and random numbers, and the limits of the
/// parent. [`inherit`](Self::inherit) starts with everything that the parent has. The other methods add rights or
/// remove them. Whatever the configuration asks for, the child never has more than its parent. If a method is called
/// twice, list entries are added, and any other value is replaced.
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
/// // Whatever the decoder does, it can only read images, and use 64 MiB and 10 seconds.
/// let decoder = Process::builder().config(&config).spawn(|| { /* … */ }).unwrap();
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[must_use = "a configuration does nothing before a process is spawned with it"]
pub struct ProcessConfig {
    /// In the host's format: `KEY=VALUE`, each followed by a zero byte. Never empty: an empty text would mean no
    /// configuration.
    entries: String,
    /// The first entry that contains a zero byte, and so would be two entries.
    bad: Option<String>,
}

impl ProcessConfig {
    /// Allows only standard output, standard error, clocks and random numbers.
    pub fn new() -> Self {
        // An entry that changes nothing: without an entry there would be no configuration.
        Self::of("no-dirs")
    }

    /// Allows everything that the parent has.
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

    /// The entries, for the host.
    pub(crate) fn entries(&self) -> Result<&str, SpawnError> {
        match &self.bad {
            None => Ok(&self.entries),
            Some(entry) => Err(SpawnError::BadConfig(format!("{entry:?} contains a zero byte"))),
        }
    }

    /// Gives the child a folder: `path` is its path in the parent, `guest` its path in the child. It must be one of the
    /// parent's folders or lie inside one; otherwise the spawn is [denied](SpawnError::Denied). It is read-only if the
    /// parent's folder is.
    pub fn dir(self, path: &str, guest: &str) -> Self {
        self.entry("dir", &format!("{path}::{guest}"))
    }

    /// Gives the child a folder that is read-only.
    pub fn dir_read_only(self, path: &str, guest: &str) -> Self {
        self.entry("dir", &format!("{path}::{guest}:ro"))
    }

    /// Removes all folders; for a configuration that inherits.
    pub fn no_dirs(self) -> Self {
        self.entry("no-dirs", "")
    }

    /// Sets an environment variable.
    pub fn env(self, name: &str, value: &str) -> Self {
        self.entry("env", &format!("{name}={value}"))
    }

    /// Passes an environment variable on with the parent's value, if the parent has it.
    pub fn pass_env(self, name: &str) -> Self {
        self.entry("env", name)
    }

    /// Removes all environment variables; for a configuration that inherits.
    pub fn no_env(self) -> Self {
        self.entry("no-env", "")
    }

    /// Adds an argument; the first one is the program's name.
    pub fn arg(self, argument: &str) -> Self {
        self.entry("arg", argument)
    }

    /// Adds a rule in the syntax of `--allow-net`: `HOST:PORT`, `10.0.0.0/8:8000-8099`, `*.example.com:443` or `*`,
    /// optionally with `bind:` or `resolve:` before it. A rule with a syntax error makes the spawn fail with
    /// [`SpawnError::BadConfig`].
    pub fn allow_net(self, rule: &str) -> Self {
        self.entry("net", rule)
    }

    /// Removes the network; for a configuration that inherits.
    pub fn no_net(self) -> Self {
        self.entry("no-net", "")
    }

    /// Gives the child the system's standard input, if the parent has it.
    pub fn stdin(self) -> Self {
        self.entry("stdin", "inherit")
    }

    /// Discards standard output.
    pub fn discard_stdout(self) -> Self {
        self.entry("stdout", "discard")
    }

    /// Keeps standard output for the parent, which takes it with [`Process::take_stdout`](crate::Process::take_stdout).
    ///
    /// The host keeps at most 256 KiB that the parent has not taken; it only counts the rest. The parent can capture
    /// the output of at most 1,024 children. For each of them, 512 KiB are charged to its budget, until the child has
    /// exited and the parent has taken all output.
    pub fn capture_stdout(self) -> Self {
        self.entry("stdout", "capture")
    }

    /// Keeps standard error for the parent, which takes it with [`Process::take_stderr`](crate::Process::take_stderr).
    pub fn capture_stderr(self) -> Self {
        self.entry("stderr", "capture")
    }

    /// Discards standard error.
    pub fn discard_stderr(self) -> Self {
        self.entry("stderr", "discard")
    }

    /// Sets clocks that are the same in each run: in each process they start at this time after 1970, and advance by a
    /// microsecond whenever they are read. Waiting takes as long as before. A descendant cannot get real clocks back.
    pub fn fixed_clock(self, since_1970: Duration) -> Self {
        let ns = u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX);
        self.entry("clock", &ns.to_string())
    }

    /// Sets random numbers that are the same in each process and each run. A descendant cannot get real ones back.
    pub fn random_seed(self, seed: u64) -> Self {
        self.entry("random", &seed.to_string())
    }

    /// Allows an operation.
    pub fn allow(self, right: Right) -> Self {
        self.entry("allow", right.word())
    }

    /// Denies an operation. This takes precedence over [`allow`](Self::allow).
    pub fn deny(self, right: Right) -> Self {
        self.entry("deny", right.word())
    }

    /// Limits the memory of each process to this many bytes.
    pub fn max_memory(self, bytes: u64) -> Self {
        self.entry("max-memory", &bytes.to_string())
    }

    /// Limits the mailbox of each process to this many messages.
    pub fn max_mailbox(self, messages: u64) -> Self {
        self.entry("max-mailbox", &messages.to_string())
    }

    /// Limits the number of files and folders that each process has open.
    pub fn max_files(self, files: u32) -> Self {
        self.entry("max-files", &files.to_string())
    }

    /// Adds a budget without caps, so that [`Process::usage`](crate::Process::usage) reports the usage of the subtree.
    pub fn measured(self) -> Self {
        self.entry("measured", "")
    }

    /// Limits the number of living processes, for the child and all its descendants together. Further spawns fail with
    /// [`SpawnError::Limit`].
    pub fn tree_processes(self, processes: u64) -> Self {
        self.entry("tree-processes", &processes.to_string())
    }

    /// Limits the memory of the child and all its descendants together, in bytes.
    pub fn tree_memory(self, bytes: u64) -> Self {
        self.entry("tree-memory", &bytes.to_string())
    }

    /// Limits the number of sockets of the child and all its descendants together.
    pub fn tree_sockets(self, sockets: u64) -> Self {
        self.entry("tree-sockets", &sockets.to_string())
    }

    /// Limits the processor time of the child and all its descendants together, with a resolution of a millisecond.
    /// Once it is used up, each of these processes that continues to run exits with
    /// [`ExitReason::OutOfBudget`](crate::ExitReason::OutOfBudget), at most one time slice later.
    pub fn cpu_time(self, time: Duration) -> Self {
        let ms = time.as_micros().div_ceil(1000);
        self.entry("tree-cpu-ms", &u64::try_from(ms).unwrap_or(u64::MAX).to_string())
    }

    /// Limits the share of processor time of the child and all its descendants together, measured over a tenth of a
    /// second. The unit is percent of one core, and the minimum 1; 200 means two cores.
    pub fn cpu_share(self, percent: u32) -> Self {
        self.entry("cpu-share", &percent.to_string())
    }
}

impl Default for ProcessConfig {
    /// Returns [`ProcessConfig::new`].
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
