//! One scan of all processes of a system, and what it remembers for the next.

use std::collections::{HashMap, HashSet};
use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lunatic_kernel::address::Id;
use lunatic_kernel::budget::Budget;

use super::cycles::{Member, cycle_from};
use super::{AlarmConfig, AlarmKind, Finding};
use crate::title::short;
use crate::wasm::{Kernel, Process, System};

/// How many slots of the table are scanned in one step.
const SLOTS_AT_ONCE: u32 = 1024;
/// With this many slots or more, the thread yields between two steps.
const SLOTS_MANY: u32 = 16 * SLOTS_AT_ONCE;
/// How often in a row a mailbox must have grown.
const GROWTHS: u32 = 3;
/// In how many scans in a row too many children must have crashed.
const CRASHING: u32 = 3;
/// How many processes of each kind are remembered until the next scan.
const REMEMBERED_MAX: usize = 10_000;
/// How many members of a cycle are named.
const NAMED_MAX: usize = 10;

/// The results of the scans so far.
pub(super) struct Look {
    config: AlarmConfig,
    /// The time of the last scan.
    last: Instant,
    /// Its time slice, and whether the scan before it was in the same one.
    slice: u64,
    was_idle: bool,
    mailboxes: HashMap<Id, Growth>,
    bursts: HashMap<Id, Burst>,
    cycles: HashMap<Id, Vec<Member>>,
    crashing: HashMap<Id, u32>,
}

/// The growth of a mailbox.
#[derive(Clone, Copy)]
struct Growth {
    since: Instant,
    first: usize,
    last: usize,
    times: u32,
}

/// A process that computes without waiting.
#[derive(Clone, Copy)]
struct Burst {
    /// How often it had waited when this began, and how long it had computed.
    waits: u32,
    since: Duration,
}

/// The results of one scan, which replace those of the last.
#[derive(Default)]
struct Seen {
    mailboxes: HashMap<Id, Growth>,
    bursts: HashMap<Id, Burst>,
    cycles: HashMap<Id, Vec<Member>>,
    budgets: HashSet<usize>,
    found: Vec<Finding>,
}

impl Look {
    pub(super) fn new(config: AlarmConfig) -> Self {
        Self {
            config,
            last: Instant::now(),
            slice: 0,
            was_idle: false,
            mailboxes: HashMap::new(),
            bursts: HashMap::new(),
            cycles: HashMap::new(),
            crashing: HashMap::new(),
        }
    }

    /// Scans all processes; `None` if nothing has run for two scans, or if `pause` reports that nobody is interested
    /// any more.
    pub(super) fn at(
        &mut self,
        kernel: &Kernel,
        system: &Arc<System>,
        pause: impl Fn() -> bool,
    ) -> Option<Vec<Finding>> {
        let is_idle = kernel.slices() == self.slice;
        if is_idle && mem::replace(&mut self.was_idle, is_idle) {
            return None;
        }
        (self.slice, self.was_idle) = (kernel.slices(), is_idle);
        let (mut seen, mut some) = (Seen::default(), Vec::new());
        let slots = kernel.process_slots();
        for slot in (1..slots).step_by(SLOTS_AT_ONCE as usize) {
            // Not under the lock of the slot, because this may take the lock of the process.
            kernel.for_each_process_in(slot..slot.saturating_add(SLOTS_AT_ONCE), |process| {
                if Arc::ptr_eq(&process.system, system) {
                    some.push(process.clone());
                }
            });
            some.drain(..).for_each(|process| self.see(kernel, &process, &mut seen));
            if slots > SLOTS_MANY && pause() {
                return None;
            }
        }
        self.see_crashes(kernel, system, &mut seen);
        self.last = Instant::now();
        self.see_host(kernel, &mut seen);
        (self.mailboxes, self.bursts, self.cycles) = (seen.mailboxes, seen.bursts, seen.cycles);
        Some(seen.found)
    }

    fn see(&self, kernel: &Kernel, process: &Arc<Process>, seen: &mut Seen) {
        self.see_mailbox(process, seen);
        self.see_burst(process, seen);
        self.see_cycle(kernel, process, seen);
        let budgets = std::iter::successors(process.local.rights.budget.as_ref(), |budget| budget.parent());
        for budget in budgets {
            // The budgets around one that was seen have been seen as well.
            if seen.budgets.len() >= REMEMBERED_MAX || !seen.budgets.insert(Arc::as_ptr(budget).addr()) {
                break;
            }
            self.see_budget(budget, process, seen);
        }
    }

    fn see_mailbox(&self, process: &Process, seen: &mut Seen) {
        let (len, bytes) = process.mailbox_size();
        if len <= self.config.mailbox_len || seen.mailboxes.len() >= REMEMBERED_MAX {
            return;
        }
        let growth = match self.mailboxes.get(&process.id) {
            Some(growth) if len > growth.last => Growth {
                last: len,
                times: growth.times + 1,
                ..*growth
            },
            _ => Growth {
                since: Instant::now(),
                first: len,
                last: len,
                times: 0,
            },
        };
        seen.mailboxes.insert(process.id, growth);
        if growth.times >= GROWTHS {
            let (name, more) = (name(process), len - growth.first);
            let time = growth.since.elapsed().as_secs();
            seen.add(
                AlarmKind::Mailbox,
                process,
                format!("the mailbox of {name} has {len} messages ({bytes} bytes), {more} more than {time} s ago"),
                "it receives more slowly than others send: let senders wait for answers, or limit the mailbox (max_mailbox)",
            );
        }
    }

    /// Checks a process that has computed without waiting: each of its runs ended with its time slice.
    fn see_burst(&self, process: &Process, seen: &mut Seen) {
        if process.is_blocked() || seen.bursts.len() >= REMEMBERED_MAX {
            return;
        }
        let (waits, time) = (process.waits(), process.time_on_core());
        // While it runs, one more counts.
        let goes_on = |burst: &&Burst| waits.wrapping_sub(burst.waits).cast_signed() <= 1;
        let burst = self.bursts.get(&process.id).filter(goes_on).copied();
        let burst = burst.unwrap_or(Burst { waits, since: time });
        seen.bursts.insert(process.id, burst);
        let time = time.saturating_sub(burst.since);
        if time >= self.config.burst {
            let name = name(process);
            seen.add(
                AlarmKind::Burst,
                process,
                format!("{name} has computed for {} s without waiting", time.as_secs()),
                "unless this is intended, it is in an endless loop: `lunatic kill ID` ends it",
            );
        }
    }

    fn see_cycle(&self, kernel: &Kernel, process: &Arc<Process>, seen: &mut Seen) {
        let Some(cycle) = cycle_from(kernel, process) else {
            return;
        };
        if seen.cycles.len() >= REMEMBERED_MAX {
            return;
        }
        if self.cycles.get(&process.id) == Some(&cycle) {
            let named = cycle.iter().take(NAMED_MAX);
            let named = named
                .filter_map(|(id, _)| kernel.find(*id))
                .map(|process| name(&process));
            let names = named.collect::<Vec<_>>().join(", which waits for ");
            seen.add(
                AlarmKind::Deadlock,
                process,
                cycle_text(&names, cycle.len()),
                "none of them can continue before its wait times out: `lunatic kill ID` ends the first one; let one of them send without waiting",
            );
        }
        seen.cycles.insert(process.id, cycle);
    }

    fn see_budget(&self, budget: &Arc<Budget>, process: &Process, seen: &mut Seen) {
        let (used, Some(cap)) = (budget.usage().memory, budget.memory_cap()) else {
            return;
        };
        if self.is_near(used, cap) {
            let whose = match process.system.data.budget.as_ref() {
                Some(all) if Arc::ptr_eq(all, budget) => "the program uses".to_owned(),
                _ => format!("{} and others in its budget use", name(process)),
            };
            seen.found.push(Finding {
                kind: AlarmKind::Memory,
                process: None,
                what: Arc::as_ptr(budget).addr() as u64,
                text: format!("{whose} {used} of the {cap} bytes of memory that they may use"),
                advice: "beyond that, memories cannot grow and messages are refused: `lunatic ps --sort memory`, \
                         and --max-total-memory or tree_memory"
                    .into(),
            });
        }
    }

    fn see_crashes(&mut self, kernel: &Kernel, system: &System, seen: &mut Seen) {
        let mut crashes = system.data.crashes.take();
        crashes.retain(|_, count| *count >= self.config.crashes);
        let before = mem::take(&mut self.crashing);
        for (parent, count) in crashes {
            let times = before.get(&parent).map_or(1, |times| times + 1);
            self.crashing.insert(parent, times);
            if let Some(parent) = kernel.find(parent).filter(|_| times >= CRASHING) {
                let (name, time) = (name(&parent), self.last.elapsed().as_secs());
                seen.add(
                    AlarmKind::Crashes,
                    &parent,
                    format!("children of {name} crash again and again: {count} in the last {time} s"),
                    "their crash reports say why; a smaller intensity makes the supervisor give up, and a backoff makes it wait",
                );
            }
        }
    }

    fn see_host(&self, kernel: &Kernel, seen: &mut Seen) {
        let engines = &kernel.host.engines;
        let memories = (engines.memory_used() as u64, engines.memory_max() as u64);
        let kept = (
            kernel.kept().usage().memory,
            kernel.kept().memory_cap().unwrap_or(u64::MAX),
        );
        for (what, (used, cap), name) in [
            (1, memories, "the linear memory of all processes"),
            (
                2,
                kept,
                "the host's memory for processes (messages, links, timers and others)",
            ),
        ] {
            if self.is_near(used, cap) {
                seen.found.push(Finding {
                    kind: AlarmKind::Memory,
                    process: None,
                    what,
                    text: format!("{name} takes up {used} of at most {cap} bytes"),
                    advice: "beyond that, memories cannot grow and messages are refused: `lunatic ps --sort memory`"
                        .into(),
                });
            }
        }
    }

    fn is_near(&self, used: u64, cap: u64) -> bool {
        u128::from(used) * 100 >= u128::from(cap) * u128::from(self.config.memory_percent)
    }
}

impl Seen {
    fn add(&mut self, kind: AlarmKind, process: &Process, text: String, advice: &str) {
        self.found.push(Finding {
            kind,
            process: Some(process.id),
            what: 0,
            text,
            advice: advice.replace("ID", process.id.to_string().trim_start_matches('#')),
        });
    }
}

/// Describes processes that wait for each other; `names` are in the order of the waits.
fn cycle_text(names: &str, len: usize) -> String {
    match len {
        1 => format!("{names} waits for itself"),
        _ if len > NAMED_MAX => format!("{len} processes wait for each other: {names}, and so on"),
        _ => format!("{len} processes wait for each other: {names}, which waits for the first"),
    }
}

/// A process as users know it.
fn name(process: &Process) -> String {
    let id = process.id;
    let (name, _) = process.acquaintances();
    let entry = || Some(short(&process.local.entry()?.to_string()).to_owned());
    match name.or_else(entry) {
        Some(name) => format!("process {id} `{name}`"),
        None => format!("process {id}"),
    }
}
