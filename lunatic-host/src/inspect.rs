//! Inspection of running systems: their processes, and what these have.

pub(crate) mod belongings;
pub(crate) mod mail;
pub(crate) mod rights;

use std::cmp::Reverse;
use std::time::Duration;

use lunatic_kernel::address::Id;
use lunatic_kernel::arrivals::Moment;
use lunatic_kernel::process::state::Phase;
use lunatic_kernel::scheduler::Queues;
use lunatic_kernel::snapshot::Snapshot;
use lunatic_module::entries::EntryName;
use lunatic_module::identity::CodeId;

pub use self::belongings::{ChannelInfo, Listing, ModuleInfo, NameInfo, SocketInfo};
pub use self::mail::{MAIL_MAX, MailInfo};
pub use self::rights::{LimitInfo, RightsInfo};
use crate::code::upgrade;
pub use crate::title::short;
use crate::wasm::Process;

/// A process at one moment: what the kernel knows about it, and what concerns WebAssembly.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcessInfo {
    /// Names, state, the reason of its wait, mailbox, links and monitors.
    pub snapshot: Snapshot,
    /// Whether the system ends with it.
    pub is_main: bool,
    /// The function that it began with, by a name that is the same in other versions of the module. `None` for a
    /// function in a table that has more entries than are named.
    pub entry: Option<EntryName>,
    /// The code that it runs.
    pub code: CodeId,
    /// The [version](crate::RunningSystem::versions) of the system's code that this is; 0 for a module that a process
    /// has compiled.
    pub code_version: u32,
    /// The size of its linear memory in bytes, used or not; 0 until it has run.
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

/// Selects processes of a system, their order and their number: see
/// [`RunningSystem::list`](crate::RunningSystem::list). The default selects all, ordered by id.
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
    /// The order.
    pub order: Order,
    /// How many to skip.
    pub skip: usize,
    /// How many to return at most.
    pub limit: usize,
    /// Only processes with this text in a registered name or in the name of their entry.
    pub name: Option<String>,
    /// Only processes in this state.
    pub phase: Option<Phase>,
    /// Only children of this process.
    pub parent: Option<Id>,
    /// Only processes without a living parent.
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

/// The order of processes; equal ones are ordered by id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    /// The smallest id first, that is, the lowest slot, which is not the oldest process.
    #[default]
    Id,
    /// The most entries in the mailbox first.
    Mailbox,
    /// The most bytes in the mailbox first.
    MailboxBytes,
    /// The largest linear memory first.
    Memory,
    /// The longest CPU time first.
    Time,
    /// The oldest entry in a mailbox first; those without entries come last.
    Oldest,
}

/// Processes that match a [`Query`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page {
    /// How many match, returned or not.
    pub matched: usize,
    /// The selected ones, in order.
    pub processes: Vec<ProcessInfo>,
}

/// A worker: a thread that runs processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerInfo {
    /// Its CPU time since the start; `None` on systems other than Linux, which do not report it.
    pub time: Option<Duration>,
    /// The processes in its queues.
    pub queues: Queues,
    /// How often it has taken processes from the queues of another worker.
    pub steals: u64,
}

/// The position of a process in an order; smaller is earlier.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    Any,
    Largest(Reverse<usize>),
    Longest(Reverse<Duration>),
    /// Those without a time come last.
    Earliest(bool, Moment),
}

impl Query {
    /// The position of a process; `None` if it is not selected.
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
            Order::Oldest => {
                let oldest = process.oldest_mail();
                Place::Earliest(oldest.is_none(), oldest.unwrap_or_default())
            }
        })
    }
}

/// Whether a registered name of the process, or the name of its entry, contains `part`.
pub(crate) fn is_called(process: &Process, part: &str) -> bool {
    process.is_named(|name| name.contains(part))
        || process
            .local
            .entry()
            .is_some_and(|entry| entry.to_string().contains(part))
}
