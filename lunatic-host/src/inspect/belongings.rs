//! Channels, names, groups and sockets of a system's processes, and the modules that they run.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use lunatic_kernel::address::Id;
use lunatic_kernel::channel::ChannelView;
use lunatic_kernel::first::First;
use lunatic_kernel::registry::Named;
use lunatic_module::identity::CodeId;
use lunatic_net::socket::Socket;

use crate::wasm::{Kernel, Process};

/// A part of the things of one kind that the processes of a system have.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listing<T> {
    /// How many there are, returned or not.
    pub matched: usize,
    /// The selected ones, in order.
    pub rows: Vec<T>,
}

/// A channel.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelInfo {
    /// Its id.
    pub id: Id,
    /// Its owner, its queue, and the number of processes that wait for it.
    pub view: ChannelView,
    /// How long the oldest message has been in the queue, in milliseconds, up to a sixth too much; `None` without
    /// messages.
    pub oldest_ms: Option<u64>,
}

/// A registered name, or the membership of a process in a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct NameInfo {
    /// The name, made readable if it is not text.
    pub name: String,
    /// The process that has the name or is a member.
    pub process: Id,
}

/// An open socket.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SocketInfo {
    /// Its id.
    pub id: Id,
    /// The process that has it.
    pub owner: Id,
    /// `tcp listener`, `tcp`, `udp`, `unix listener`, `unix` or `tls`.
    pub kind: &'static str,
    /// Its local address, if it has one.
    pub local: Option<String>,
    /// The address of the peer, if it is connected.
    pub peer: Option<String>,
}

/// A module that processes run.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModuleInfo {
    /// Which code it is.
    pub code: CodeId,
    /// How many processes run it.
    pub processes: usize,
    /// The total size of their linear memories in bytes, used or not.
    pub memory: usize,
}

/// The part of a list that is requested.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    pub(crate) skip: usize,
    pub(crate) limit: usize,
}

impl Part {
    fn first<K: Ord, T>(self) -> First<K, T> {
        First::new(self.skip, self.limit)
    }
}

impl<T> Listing<T> {
    fn of((rows, matched): (Vec<T>, usize)) -> Self {
        Self { matched, rows }
    }
}

/// Lists the channels of processes for which `have` is true, those with the most messages first.
pub(crate) fn channels(kernel: &Kernel, have: impl Fn(&Process) -> bool, part: Part) -> Listing<ChannelInfo> {
    let mut first = part.first();
    let now = kernel.moment();
    kernel.channels().visit(|id, owner, view| {
        if have(owner) {
            let oldest_ms = view.oldest.map(|oldest| now.ms_since(oldest));
            first.add((Reverse(view.len), id), || ChannelInfo { id, view, oldest_ms });
        }
    });
    Listing::of(first.finish())
}

/// Lists the names of processes, or their groups, alphabetically.
pub(crate) fn names(kernel: &Kernel, have: impl Fn(&Process) -> bool, kind: Named, part: Part) -> Listing<NameInfo> {
    let mut first = part.first();
    kernel.visit_processes(|process| {
        if !have(process) {
            return;
        }
        process.visit_names(kind, |name| {
            let name = NameInfo {
                name: String::from_utf8_lossy(&name).into_owned(),
                process: process.id,
            };
            first.add(name.clone(), || name);
        });
    });
    Listing::of(first.finish())
}

/// Lists the sockets of processes, in the order of their ids.
pub(crate) fn sockets(kernel: &Kernel, have: impl Fn(&Process) -> bool, part: Part) -> Listing<SocketInfo> {
    let mut first = part.first();
    kernel.host.net.handles.visit(|id, owner, socket| {
        if have(owner) {
            first.add(id, || (id, owner.id, Arc::clone(socket)));
        }
    });
    let (sockets, matched) = first.finish();
    let show = |(id, owner, socket): (Id, Id, Arc<Socket<Arc<Process>>>)| SocketInfo {
        id,
        owner,
        kind: socket.kind_name(),
        local: socket.local_address().ok().map(|address| address.to_string()),
        peer: socket.peer_address().ok().map(|address| address.to_string()),
    };
    // Only for the selected ones: each address takes a system call.
    Listing::of((sockets.into_iter().map(show).collect(), matched))
}

/// Lists the modules that processes run, those with the most processes first.
pub(crate) fn modules(kernel: &Kernel, have: impl Fn(&Process) -> bool, part: Part) -> Listing<ModuleInfo> {
    let mut by_code: HashMap<CodeId, ModuleInfo> = HashMap::new();
    kernel.visit_processes(|process| {
        if !have(process) {
            return;
        }
        let running = process.local.module();
        let code = running.identity();
        let module = by_code.entry(code.clone()).or_insert_with(|| ModuleInfo {
            code: code.clone(),
            processes: 0,
            memory: 0,
        });
        module.processes += 1;
        module.memory += process.local.memory();
    });
    let mut first = part.first();
    for (code, module) in by_code {
        first.add((Reverse(module.processes), code.to_string()), || module);
    }
    Listing::of(first.finish())
}
