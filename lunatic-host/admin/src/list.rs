//! What processes have, as lists: channels, names, groups, sockets, modules; and the workers.

use lunatic_host::RunningSystem;
use lunatic_host::code::VersionInfo;
use lunatic_host::inspect::{ChannelInfo, Listing, ModuleInfo, NameInfo, SocketInfo, WorkerInfo};
use lunatic_host::report::untrusted::line;
use serde::{Deserialize, Serialize};
use serde_json::{Value, to_value};

use crate::door::Program;

/// Which list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Channels,
    Names,
    Groups,
    Sockets,
    Modules,
    Versions,
    Workers,
}

/// Some of the rows of a list, each an object with the fields of its kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ListView {
    /// How many there are, shown or not.
    pub matched: usize,
    /// Those that are shown.
    pub rows: Vec<Value>,
}

/// A channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ChannelRow {
    /// Its id.
    pub channel: String,
    /// The process that made it.
    pub owner: String,
    /// The messages that wait in it.
    pub messages: usize,
    /// What they hold, in bytes.
    pub bytes: usize,
    /// How many it holds at most; `null` for any number.
    pub bound: Option<usize>,
    /// How many processes wait for a message.
    pub receivers: usize,
    /// How many processes wait for room.
    pub senders: usize,
}

/// A process by one of its names, or in one of its groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NameRow {
    /// The name of the process or of the group.
    pub name: String,
    /// The process.
    pub process: String,
}

/// A socket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SocketRow {
    /// Its id.
    pub socket: String,
    /// The process that has it.
    pub owner: String,
    /// `tcp listener`, `tcp`, `udp`, `unix listener`, `unix` or `tls`.
    pub kind: String,
    /// Its own address.
    pub local: Option<String>,
    /// The address of the other side.
    pub peer: Option<String>,
}

/// A module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ModuleRow {
    /// Its name and the beginning of its hash.
    pub module: String,
    /// How many processes run it.
    pub processes: usize,
    /// The bytes of their linear memories.
    pub memory_bytes: usize,
}

/// A version of the program's code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct VersionRow {
    /// Its number: 1 for the one that the program began with.
    pub version: u32,
    /// Its name and the beginning of its hash.
    pub module: String,
    /// How many processes run it.
    pub processes: usize,
    /// Whether it is the one that the program was brought to last.
    pub current: bool,
}

/// A worker: a thread that runs processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WorkerRow {
    /// Its number, from 0 on.
    pub worker: usize,
    /// How long it has been on a core since the start, in milliseconds; `null` where the system does not tell.
    pub cpu_ms: Option<u64>,
    /// Processes in its queues that waited for something and can go on.
    pub woken: usize,
    /// Processes in its queues that have not run yet.
    pub fresh: usize,
    /// Processes in its queues that used up their time slice.
    pub burners: usize,
}

impl ListView {
    pub(crate) fn of(program: &Program, kind: Kind, skip: usize, limit: usize) -> Self {
        let system: &RunningSystem = &program.system;
        match kind {
            Kind::Channels => Self::with(system.channels(skip, limit), channel),
            Kind::Names => Self::with(system.names(skip, limit), name),
            Kind::Groups => Self::with(system.groups(skip, limit), name),
            Kind::Sockets => Self::with(system.sockets(skip, limit), socket),
            Kind::Modules => Self::with(system.modules(skip, limit), module),
            Kind::Versions => {
                let versions = system.versions();
                let shown = versions.iter().skip(skip).take(limit);
                Self {
                    matched: versions.len(),
                    rows: shown.map(|info| row(version(info))).collect(),
                }
            }
            Kind::Workers => {
                let workers = program.runtime.workers();
                let shown = workers.iter().enumerate().skip(skip).take(limit);
                Self {
                    matched: workers.len(),
                    rows: shown.map(|(number, info)| row(worker(number, info))).collect(),
                }
            }
        }
    }

    fn with<T, R: Serialize>(listing: Listing<T>, show: impl Fn(T) -> R) -> Self {
        Self {
            matched: listing.matched,
            rows: listing.rows.into_iter().map(|info| row(show(info))).collect(),
        }
    }
}

fn row(row: impl Serialize) -> Value {
    to_value(row).expect("rows have no keys but texts")
}

fn channel(ChannelInfo { id, view, .. }: ChannelInfo) -> ChannelRow {
    ChannelRow {
        channel: id.to_string(),
        owner: view.owner.to_string(),
        messages: view.len,
        bytes: view.bytes,
        bound: (view.bound > 0).then_some(view.bound),
        receivers: view.receivers,
        senders: view.senders,
    }
}

fn name(info: NameInfo) -> NameRow {
    NameRow {
        // A guest chooses names, and a terminal may show them.
        name: line(&info.name).to_string(),
        process: info.process.to_string(),
    }
}

fn socket(info: SocketInfo) -> SocketRow {
    SocketRow {
        socket: info.id.to_string(),
        owner: info.owner.to_string(),
        kind: info.kind.to_owned(),
        local: info.local,
        peer: info.peer,
    }
}

fn module(info: ModuleInfo) -> ModuleRow {
    ModuleRow {
        module: line(&info.code.to_string()).to_string(),
        processes: info.processes,
        memory_bytes: info.memory,
    }
}

fn version(info: &VersionInfo) -> VersionRow {
    VersionRow {
        version: info.number,
        module: line(info.code.to_string()).to_string(),
        processes: info.processes,
        current: info.is_current,
    }
}

fn worker(worker: usize, info: &WorkerInfo) -> WorkerRow {
    WorkerRow {
        worker,
        cpu_ms: info
            .time
            .map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX)),
        woken: info.queues.woken,
        fresh: info.queues.fresh,
        burners: info.queues.burners,
    }
}
