//! What a look into a system shows of its processes, and of what they have.

pub(crate) mod belongings;
pub(crate) mod rights;

use std::cmp::Reverse;
use std::time::Duration;

use lunatic_kernel::address::Id;
use lunatic_kernel::process::state::Phase;
use lunatic_kernel::scheduler::Queues;
use lunatic_kernel::snapshot::Snapshot;
use lunatic_module::entries::EntryName;
use lunatic_module::identity::CodeId;

pub use self::belongings::{ChannelInfo, Listing, ModuleInfo, NameInfo, SocketInfo};
pub use self::rights::{LimitInfo, RightsInfo};
use crate::code::upgrade;
pub use crate::title::short;
use crate::wasm::Process;

/// A process, as it was at one moment: what the kernel knows of it, and what WebAssembly adds.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcessInfo {
    /// Names, state, what it waits for, its mailbox, links and monitors.
    pub snapshot: Snapshot,
    /// Whether its end is the end of the system.
    pub is_main: bool,
    /// The function that it began with, by a name that other versions of the module know too. `None` for a function of a table
    /// that has more places than are named.
    pub entry: Option<EntryName>,
    /// The code that it runs.
    pub code: CodeId,
    /// Which [version](crate::RunningSystem::versions) of the system's code that is; 0 for a module that a process has compiled.
    pub code_version: u32,
    /// The bytes of its linear memory, in use or not; 0 until it has run.
    pub memory: usize,
}

impl ProcessInfo {
    pub(crate) fn of(process: &Process, snapshot: Snapshot) -> Self {
        let local = &process.local;
        let module = local.module();
        Self {
            snapshot,
            is_main: process.system.is_main(process.id),
            entry: local.entry(),
            code_version: upgrade::versions(&process.system).number_of(&module),
            code: module.identity().clone(),
            memory: local.memory(),
        }
    }
}

/// Which processes of a system are asked for, in which order, and how many: see
/// [`RunningSystem::list`](crate::RunningSystem::list). The default asks for all, by id.
///
/// # Examples
///
/// ```
/// use lunatic_host::inspect::{Order, Query};
///
/// let fullest = Query { order: Order::Mailbox, limit: 10, ..Query::default() };
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// What comes first.
    pub order: Order,
    /// So many that come first are left out.
    pub skip: usize,
    /// At most so many are shown.
    pub limit: usize,
    /// Only those with a registered name, or a name of their entry, that has this in it.
    pub name: Option<String>,
    /// Only those in this state.
    pub phase: Option<Phase>,
    /// Only those that this one has spawned.
    pub parent: Option<Id>,
    /// Only those whose parent has ended, or that have none.
    pub is_root: bool,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            order: Order::default(),
            skip: 0,
            limit: usize::MAX,
            name: None,
            phase: None,
            parent: None,
            is_root: false,
        }
    }
}

/// What comes first; of equals, the smaller id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// The smallest id, that is, the lowest slot: not the oldest.
    #[default]
    Id,
    /// The most entries in the mailbox.
    Mailbox,
    /// The most bytes of the mailbox.
    MailboxBytes,
    /// The largest linear memory.
    Memory,
    /// The longest time on a core.
    Time,
}

/// Processes that match a [`Query`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page {
    /// How many match, shown or not.
    pub matched: usize,
    /// Those that are shown, in their order.
    pub processes: Vec<ProcessInfo>,
}

/// A worker: a thread that runs processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerInfo {
    /// How long it has been on a core since the start; `None` where the system does not tell: on all but Linux.
    pub time: Option<Duration>,
    /// The processes in its queues.
    pub queues: Queues,
}

/// Where a process stands in an order; smaller is earlier.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    Any,
    Largest(Reverse<usize>),
    Longest(Reverse<Duration>),
}

impl Query {
    /// The place of a process; `None` if it is not asked for.
    pub(crate) fn place(&self, process: &Process) -> Option<Place> {
        let is_wanted = self.parent.is_none_or(|parent| process.parent == Some(parent))
            && self.phase.is_none_or(|phase| process.phase() == phase)
            && self.name.as_deref().is_none_or(|name| is_called(process, name));
        is_wanted.then(|| match self.order {
            Order::Id => Place::Any,
            Order::Mailbox => Place::Largest(Reverse(process.mailbox_size().0)),
            Order::MailboxBytes => Place::Largest(Reverse(process.mailbox_size().1)),
            Order::Memory => Place::Largest(Reverse(process.local.memory())),
            Order::Time => Place::Longest(Reverse(process.time_on_core())),
        })
    }
}

/// Whether a registered name of the process, or the name of its entry, has `part` in it.
pub(crate) fn is_called(process: &Process, part: &str) -> bool {
    process.is_named(|name| name.contains(part))
        || process
            .local
            .entry()
            .is_some_and(|entry| entry.to_string().contains(part))
}
