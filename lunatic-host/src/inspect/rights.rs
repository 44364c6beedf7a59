//! The rights and limits of a process, and its use of them.

use lunatic_kernel::budget::Budget;
use lunatic_rights::table;

use crate::rights::Rights;
use crate::wasm::Process;

/// A summary of the rights of a process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RightsInfo {
    /// The rights that are granted by a word, such as `spawn`, `configure`, `names`, `compile` or `inspect`.
    pub may: Vec<&'static str>,
    /// Its folders by their names inside, with `:ro` after those that are read-only.
    pub folders: Vec<String>,
    /// Its own network rules, as users write them, followed by those of each ancestor that apply as well.
    pub net: Vec<String>,
    /// Its own limits, those of its budget, and those of the budgets around it.
    pub limits: Vec<LimitInfo>,
}

/// A limit and its use.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LimitInfo {
    /// The limited resource, in words.
    pub of: &'static str,
    /// The amount in use.
    pub used: u64,
    /// The largest amount.
    pub max: u64,
    /// `bytes`, `ms` or empty.
    pub unit: &'static str,
    /// 0 for a limit of the process itself, 1 for its budget, which it shares with others, 2 for the budget around
    /// that, and so on.
    pub budget: usize,
}

/// Returns the rights of a process.
pub(crate) fn of(process: &Process) -> RightsInfo {
    let rights = &process.local.rights;
    let mut limits = own_limits(process, rights);
    let budgets = std::iter::successors(rights.budget.as_ref(), |budget| budget.parent());
    for (budget, number) in budgets.zip(1..) {
        limits.extend(limits_of(budget, number));
    }
    RightsInfo {
        may: table::words_of(rights.may).collect(),
        folders: rights.wasi.folder_names(),
        net: rights.net.texts(),
        limits,
    }
}

fn own_limits(process: &Process, rights: &Rights) -> Vec<LimitInfo> {
    let own = [
        ("memory", process.local.memory(), rights.max_memory, "bytes"),
        ("mailbox", process.mailbox_size().0, rights.mailbox_max, ""),
    ];
    let limited = own.into_iter().filter(|(_, _, max, _)| *max < usize::MAX);
    let limit = |(of, used, max, unit)| LimitInfo {
        of,
        used: used as u64,
        max: max as u64,
        unit,
        budget: 0,
    };
    limited.map(limit).collect()
}

fn limits_of(budget: &Budget, number: usize) -> impl Iterator<Item = LimitInfo> + use<> {
    let (usage, caps) = (budget.usage(), budget.caps());
    let ms = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let all = [
        ("processes", usage.processes, caps.processes, ""),
        ("memory", usage.memory, caps.memory, "bytes"),
        ("sockets", usage.sockets, caps.sockets, ""),
        ("time on a core", ms(usage.cpu), caps.cpu.map(ms), "ms"),
    ];
    all.into_iter().filter_map(move |(of, used, max, unit)| {
        Some(LimitInfo {
            of,
            used,
            max: max?,
            unit,
            budget: number,
        })
    })
}
