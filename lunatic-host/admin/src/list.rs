//! Lists of what processes have: channels, names, groups, sockets, modules; of workers and nodes.

use lunatic_host::RunningSystem;
use lunatic_host::code::VersionInfo;
use lunatic_host::inspect::{ChannelInfo, Listing, MailInfo, ModuleInfo, NameInfo, SocketInfo, WorkerInfo};
use lunatic_host::nodes::NodeInfo;
use lunatic_host::report::untrusted::line;
use serde::{Deserialize, Serialize};
use serde_json::{Value, to_value};

use crate::door::Program;

/// The kind of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Channels,
    Names,
    Groups,
    Sockets,
    Modules,
    Versions,
    Workers,
    Nodes,
}

/// A part of a list. Each row is an object with the fields of its kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ListView {
    /// How many rows there are, returned or not.
    pub matched: usize,
    /// The returned rows.
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
    /// The number of queued messages.
    pub messages: usize,
    /// The bytes of queued messages.
    pub bytes: usize,
    /// How long the oldest message has been in the queue, in milliseconds, up to a sixth too much; `null` without
    /// messages.
    pub oldest_ms: Option<u64>,
    /// The most messages that it holds; `null` for any number.
    pub bound: Option<usize>,
    /// How many processes wait for a message.
    pub receivers: usize,
    /// How many processes wait for room.
    pub senders: usize,
}

/// One name of a process, or its membership in one group.
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
    /// The process that owns it.
    pub owner: String,
    /// `tcp listener`, `tcp`, `udp`, `unix listener`, `unix` or `tls`.
    pub kind: String,
    /// Its local address.
    pub local: Option<String>,
    /// The address of the peer.
    pub peer: Option<String>,
}

/// An entry in the mailbox of a process, without its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct MailRow {
    /// `message`, `exit` (an exit signal), `down` (the end of a monitored process) or `change` (of code).
    pub kind: String,
    /// The process that sent it, or that it is about.
    pub from: Option<String>,
    /// Its tag, in hexadecimal digits.
    pub tag: String,
    /// The type of the message, if the module of the process has its name.
    pub type_name: Option<String>,
    /// Its length in bytes.
    pub len: usize,
}

/// A module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ModuleRow {
    /// Its name and the beginning of its hash.
    pub module: String,
    /// How many processes run it.
    pub processes: usize,
    /// The total size of their linear memories in bytes.
    pub memory_bytes: usize,
}

/// A version of the program's code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct VersionRow {
    /// Its number; the program began with number 1.
    pub version: u32,
    /// Its name and the beginning of its hash.
    pub module: String,
    /// How many processes run it.
    pub processes: usize,
    /// Whether the program was upgraded to it last.
    pub current: bool,
}

/// A worker: a thread that runs processes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WorkerRow {
    /// Its number, from 0 on.
    pub worker: usize,
    /// Its CPU time since the start, in milliseconds; `null` if the operating system does not report it.
    pub cpu_ms: Option<u64>,
    /// Processes in its queues that were woken.
    pub woken: usize,
    /// Processes in its queues that have not run yet.
    pub fresh: usize,
    /// Processes in its queues that used up their time slice.
    pub burners: usize,
    /// How often it has taken processes from the queues of another worker.
    pub steals: u64,
}

/// A node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NodeRow {
    /// Its number.
    pub node: String,
    /// Its name.
    pub name: String,
    /// `this`, `connected`, or `not connected`: then this node tries to reach it.
    pub state: String,
    /// The bytes that wait to be sent there.
    pub queued_bytes: usize,
    /// What it says of itself, such as `zone=eu gpu=yes`.
    pub attributes: String,
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
            Kind::Nodes => {
                let nodes = program.runtime.nodes();
                let shown = nodes.iter().skip(skip).take(limit);
                Self {
                    matched: nodes.len(),
                    rows: shown.map(|info| row(node(info))).collect(),
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

    /// The unread mail of a process.
    pub(crate) fn of_mail(listing: Listing<MailInfo>) -> Self {
        Self::with(listing, mail)
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

fn channel(
    ChannelInfo {
        id, view, oldest_ms, ..
    }: ChannelInfo,
) -> ChannelRow {
    ChannelRow {
        channel: id.to_string(),
        owner: view.owner.to_string(),
        messages: view.len,
        bytes: view.bytes,
        oldest_ms,
        bound: (view.bound > 0).then_some(view.bound),
        receivers: view.receivers,
        senders: view.senders,
    }
}

fn name(info: NameInfo) -> NameRow {
    NameRow {
        // Guests choose names, and a terminal may show them.
        name: line(&info.name).to_string(),
        process: info.process.to_string(),
    }
}

fn mail(info: MailInfo) -> MailRow {
    MailRow {
        kind: info.kind.to_owned(),
        from: info.from.map(|from| from.to_string()),
        tag: format!("{:016x}", info.tag),
        type_name: info.type_name.map(|name| line(&name).to_string()),
        len: info.len,
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

fn node(info: &NodeInfo) -> NodeRow {
    let attributes = info.attributes.iter().map(|(key, value)| format!("{key}={value}"));
    NodeRow {
        node: info.node.to_string(),
        name: info.identity.to_string(),
        state: match (info.is_this, info.is_up) {
            (true, _) => "this",
            (_, true) => "connected",
            _ => "not connected",
        }
        .to_owned(),
        queued_bytes: info.queued,
        // Another node chooses them, and a terminal may show them.
        attributes: line(&attributes.collect::<Vec<_>>().join(" ")).to_string(),
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
        steals: info.steals,
    }
}
