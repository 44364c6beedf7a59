//! The JSON types of the door. Names and units are the interface, so they are defined here and not where the figures
//! come from.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

pub use crate::nodes::{ClusterView, MemberView};
use lunatic_host::alarms::Alarm;
use lunatic_host::exit::KINDS;
use lunatic_host::inspect::{LimitInfo, Page, RightsInfo, short};
use lunatic_host::report::untrusted::line;
use lunatic_host::{Figures, Id, Phase, ProcessInfo, RunningSystem, WaitFor};
use serde::{Deserialize, Serialize};

/// How many names of a process a list has: a process may have thousands, and a list has many processes.
const NAMES_IN_LISTS: usize = 8;

/// A program and the state of its runtime.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SystemView {
    /// The file of the program.
    pub program: String,
    /// The process id of the host.
    pub pid: u32,
    /// The version of Lunatic.
    pub version: String,
    /// The time since its start, in milliseconds.
    pub uptime_ms: u64,
    /// The id of its main process, until that has ended.
    pub main: Option<String>,
    /// Living processes.
    pub processes: usize,
    /// Those of them that wait.
    pub waiting: usize,
    /// Those of the waiting processes that are frozen.
    pub frozen: usize,
    /// Instances of modules.
    pub instances: usize,
    /// Bytes that are charged for linear memories.
    pub memory_bytes: usize,
    /// Bytes of queued messages.
    pub queued_bytes: usize,
    /// Bytes that are kept for processes in addition to their memories, including queued messages.
    pub kept_bytes: usize,
    /// Descriptors that processes hold.
    pub descriptors: usize,
    /// Timers that have not sent yet.
    pub timers: usize,
    /// Processes spawned since the start.
    pub spawned: u64,
    /// Processes that have ended since the start, by kind of reason, as in `lunatic_processes_ended_total`.
    pub ended: BTreeMap<String, u64>,
    /// Those of them that have failed: by a panic, a trap, an error, a code other than 0, a limit, or a bug of the
    /// host.
    pub failed: u64,
    /// Processes that wait for a worker, by queue.
    pub queues: QueuesView,
    /// Resident memory of the whole program, in bytes; 0 if the operating system does not report it.
    pub resident_bytes: usize,
    /// The CPU time of each worker, in microseconds; empty if the operating system does not report it.
    pub workers_us: Vec<u64>,
    /// Registered observers of events.
    pub observers: usize,
    /// How many problems the host has noticed since the start.
    #[serde(default)]
    pub alarms: u64,
    /// How many upgrades of the program have started.
    #[serde(default)]
    pub upgrades: u32,
}

/// Processes that wait for a worker.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct QueuesView {
    /// Processes that were woken.
    pub woken: usize,
    /// Those that have not run yet.
    pub fresh: usize,
    /// Processes that used up their time slice.
    pub burners: usize,
    /// Processes that no worker has woken.
    pub injected: usize,
}

/// A part of the processes of a system.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PageView {
    /// How many match, returned or not.
    pub matched: usize,
    /// The returned processes.
    pub processes: Vec<ProcessView>,
}

/// A process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ProcessView {
    /// Its id, as in reports: `#17` or `#17.2`.
    pub id: String,
    /// Whether the program ends with it.
    pub is_main: bool,
    /// The names that it is registered under: in lists the first 8, else at most 1,000.
    pub names: Vec<String>,
    /// The number of its names.
    pub names_len: usize,
    /// The function that it began with.
    pub entry: Option<String>,
    /// Its title: its first name, `main`, the type of its actor, or the function that it began with.
    pub title: String,
    /// The process that spawned it.
    pub parent: Option<String>,
    /// `running`, `ready`, `waiting` or `ended`.
    pub state: String,
    /// What it waits for, in words.
    pub waits_for: Option<String>,
    /// How long ago it last stopped running, in milliseconds: for a waiting process, how long it has waited. `null`
    /// while it runs, and before it has begun.
    #[serde(default)]
    pub stopped_ms: Option<u32>,
    /// Whether its memory is packed.
    pub is_frozen: bool,
    /// Entries in its mailbox.
    pub mailbox: usize,
    /// The size of its mailbox in bytes.
    pub mailbox_bytes: usize,
    /// How long the oldest entry has been in its mailbox, in milliseconds; `null` without entries.
    #[serde(default)]
    pub oldest_mail_ms: Option<u64>,
    /// The size of its linear memory in bytes.
    pub memory_bytes: usize,
    /// Its CPU time in milliseconds.
    pub cpu_ms: u64,
    /// How often a worker has begun to run it.
    pub runs: u32,
    /// How long ago it was spawned, in milliseconds during which some process ran.
    pub age_ms: u32,
    /// Whether it receives exit signals as mail.
    pub traps_exits: bool,
    /// The number of timers that send to it.
    pub timers: usize,
    /// How many processes it is linked to.
    pub links_len: usize,
    /// How many monitors it has.
    pub monitors_len: usize,
    /// How many monitors of others watch it.
    pub monitored_by_len: usize,
    /// The code that it runs.
    pub code: String,
    /// The version of the program that this is: 1 for the first, 0 for a module that a process has compiled.
    #[serde(default)]
    pub code_version: u32,
    /// How many entries have arrived in its mailbox so far.
    pub mail_total: u64,
    /// Its rights and limits; not in lists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rights: Option<RightsView>,
    /// The number of its living children, if requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub children_len: Option<usize>,
    /// Its relations to other processes; not in lists.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub relations: Option<RelationsView>,
}

/// The rights and limits of a process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RightsView {
    /// The rights that are granted by a word, such as `spawn`, `configure`, `names`, `compile` or `inspect`.
    pub may: Vec<String>,
    /// Its folders by their names inside, with `:ro` after those that are read-only.
    pub folders: Vec<String>,
    /// Its own network rules, followed by those of each ancestor that apply as well.
    pub net: Vec<String>,
    /// Its limits, and its use of them.
    pub limits: Vec<LimitView>,
}

/// A limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LimitView {
    /// The limited resource.
    pub of: String,
    /// The amount in use.
    pub used: u64,
    /// The largest amount.
    pub max: u64,
    /// `bytes`, `ms` or empty.
    pub unit: String,
    /// 0 for a limit of the process itself, 1 for its budget, which it shares with others, 2 for the budget around
    /// that, and so on.
    pub budget: usize,
}

/// The relations of a process, at most 1,000 of each kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RelationsView {
    /// The processes that it is linked to.
    pub links: Vec<String>,
    /// The processes that it monitors.
    pub monitors: Vec<String>,
    /// The processes that monitor it.
    pub monitored_by: Vec<String>,
}

/// The problems that the host has noticed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct AlarmsView {
    /// Whether the host looks for problems: not with `--no-alarms`.
    pub is_watched: bool,
    /// The oldest first, at most 1,000.
    pub alarms: Vec<AlarmView>,
    /// How many further ones there were.
    pub left_out: u64,
}

/// A problem that the host has noticed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct AlarmView {
    /// `mailbox`, `burst`, `memory`, `crashes` or `deadlock`.
    pub kind: String,
    /// The process; if there are several, the one with the smallest id.
    pub process: Option<String>,
    /// The problem in words.
    pub text: String,
    /// How to solve it.
    pub advice: String,
    /// When it was first noticed, in milliseconds since 1970.
    pub time_ms: u64,
    /// Whether the last scan has still found it.
    pub is_on: bool,
}

impl AlarmsView {
    pub(crate) fn of(system: &RunningSystem) -> Self {
        let Some(alarms) = system.alarms() else {
            return Self::default();
        };
        Self {
            is_watched: true,
            alarms: alarms.list(0).iter().map(AlarmView::of).collect(),
            left_out: alarms.left_out(),
        }
    }
}

impl AlarmView {
    pub(crate) fn of(alarm: &Alarm) -> Self {
        let since = alarm.time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            kind: alarm.kind.name().to_owned(),
            process: alarm.process.map(|id| id.to_string()),
            text: alarm.text.clone(),
            advice: alarm.advice.clone(),
            time_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            is_on: alarm.is_on,
        }
    }
}

/// Which records are logged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LogLevelView {
    /// A filter such as `info,shop::stock=debug`.
    pub filter: String,
}

/// An event, or a note about the stream itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct EventView {
    /// `spawned`, `ended`, `sent`, `received`, `waits`, `runs` or `alarm`; `lost` if events were left out, `end` if no more comes.
    pub event: String,
    /// The time, in microseconds since the stream began.
    pub at_us: u64,
    /// The process that does it, or to which it happens.
    pub process: String,
    /// Its title; empty if it ended before the title was looked up.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// The process that spawned it, or to which it sends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other: Option<String>,
    /// The title of that process.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub other_title: String,
    /// The tag of the message, in hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// The length of the message in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub len: Option<usize>,
    /// What it waits for, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
    /// The kind of its exit reason, as in `lunatic_processes_ended_total`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The first kilobyte of the reason in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason_text: Option<String>,
    /// How many events were left out since the last such note.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<u64>,
    /// A problem that the host has noticed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alarm: Option<AlarmView>,
}

impl EventView {
    pub(crate) fn of(event: &str) -> Self {
        Self {
            event: event.to_owned(),
            ..Self::default()
        }
    }
}

/// Why a request failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ErrorView {
    /// In words.
    pub error: String,
}

impl SystemView {
    pub(crate) fn with(self, figures: &Figures, workers: &[Duration]) -> Self {
        let ended = KINDS.iter().zip(figures.ended);
        let failed = ended.clone().filter(|(kind, _)| is_failure(kind));
        let queues = &figures.queues;
        let us = |time: &Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Self {
            processes: figures.processes,
            waiting: figures.blocked,
            frozen: figures.frozen,
            instances: figures.instances,
            memory_bytes: figures.memory_bytes,
            queued_bytes: figures.queued_bytes,
            kept_bytes: figures.kept_bytes,
            descriptors: figures.descriptors,
            timers: figures.timers,
            spawned: figures.spawned,
            failed: failed.map(|(_, count)| count).sum(),
            ended: ended.map(|(kind, count)| ((*kind).to_owned(), count)).collect(),
            queues: QueuesView {
                woken: queues.woken,
                fresh: queues.fresh,
                burners: queues.burners,
                injected: queues.injected,
            },
            resident_bytes: figures.resident_bytes,
            workers_us: workers.iter().map(us).collect(),
            observers: figures.observers,
            ..self
        }
    }
}

/// Whether a process with an exit reason of this kind has failed by itself, and was not told to end.
pub(crate) fn is_failure(kind: &str) -> bool {
    const FAILURES: [&str; 8] = [
        "exit",
        "panic",
        "trap",
        "error",
        "out_of_memory",
        "out_of_budget",
        "deadlock",
        "host_bug",
    ];
    FAILURES.contains(&kind)
}

impl PageView {
    pub(crate) fn of(page: &Page) -> Self {
        Self {
            matched: page.matched,
            processes: page.processes.iter().map(ProcessView::row).collect(),
        }
    }

    /// Adds the number of children to each process.
    pub(crate) fn count_children(&mut self, system: &RunningSystem) {
        let ids = self.processes.iter().filter_map(|process| process.id.parse().ok());
        let counts = system.children(ids);
        for process in &mut self.processes {
            let id = process.id.parse::<Id>().ok();
            process.children_len = id.and_then(|id| counts.get(&id).copied());
        }
    }
}

impl ProcessView {
    /// The view of a process in a list: without its relations.
    fn row(process: &ProcessInfo) -> Self {
        let snapshot = &process.snapshot;
        // Guests choose names, and a terminal may show them.
        let text = |text: &str| line(text).to_string();
        let names: Vec<String> = snapshot
            .names
            .iter()
            .take(NAMES_IN_LISTS)
            .map(|name| text(name))
            .collect();
        let entry = process.entry.as_ref().map(|entry| text(&entry.to_string()));
        Self {
            id: snapshot.id.to_string(),
            is_main: process.is_main,
            title: match names.first() {
                Some(name) => name.clone(),
                None if process.is_main => "main".into(),
                None => entry.as_deref().map(short).unwrap_or_default().to_owned(),
            },
            names,
            names_len: snapshot.names_len,
            entry,
            parent: snapshot.parent.map(|parent| parent.to_string()),
            state: state(snapshot.phase).to_owned(),
            waits_for: snapshot.wait.map(|(wait, what)| waits_for(wait, what)),
            stopped_ms: snapshot.stopped_ms,
            is_frozen: snapshot.is_frozen,
            mailbox: snapshot.mailbox_len,
            mailbox_bytes: snapshot.mailbox_bytes,
            oldest_mail_ms: snapshot.oldest_ms,
            memory_bytes: process.memory,
            cpu_ms: u64::try_from(snapshot.time_on_core.as_millis()).unwrap_or(u64::MAX),
            runs: snapshot.runs,
            age_ms: snapshot.age_slices,
            traps_exits: snapshot.traps_exits,
            timers: snapshot.timers,
            links_len: snapshot.links_len,
            monitors_len: snapshot.monitors_len,
            monitored_by_len: snapshot.monitored_by_len,
            code: text(&process.code.to_string()),
            code_version: process.code_version,
            mail_total: snapshot.mail_total,
            rights: None,
            children_len: None,
            relations: None,
        }
    }

    /// The title of a process.
    pub(crate) fn title_of(process: &ProcessInfo) -> String {
        Self::row(process).title
    }

    /// The view of a process with its relations.
    pub(crate) fn whole(process: &ProcessInfo, rights: Option<RightsInfo>) -> Self {
        let snapshot = &process.snapshot;
        let ids = |ids: &[lunatic_host::Id]| ids.iter().map(ToString::to_string).collect();
        Self {
            relations: Some(RelationsView {
                links: ids(&snapshot.links),
                monitors: ids(&snapshot.monitors),
                monitored_by: ids(&snapshot.monitored_by),
            }),
            rights: rights.map(RightsView::of),
            names: snapshot.names.iter().map(|name| line(name).to_string()).collect(),
            ..Self::row(process)
        }
    }
}

impl RightsView {
    fn of(rights: RightsInfo) -> Self {
        let limit = |limit: LimitInfo| LimitView {
            of: limit.of.to_owned(),
            used: limit.used,
            max: limit.max,
            unit: limit.unit.to_owned(),
            budget: limit.budget,
        };
        // Guests may have chosen names of folders.
        let texts = |texts: Vec<String>| texts.iter().map(|text| line(text).to_string()).collect();
        Self {
            may: rights.may.into_iter().map(str::to_owned).collect(),
            folders: texts(rights.folders),
            net: texts(rights.net),
            limits: rights.limits.into_iter().map(limit).collect(),
        }
    }
}

/// The name of a state for clients.
pub(crate) fn state(phase: Phase) -> &'static str {
    match phase {
        Phase::Running => "running",
        Phase::Queued => "ready",
        Phase::Blocked => "waiting",
        Phase::Ended => "ended",
    }
}

/// What a process waits for, in words.
pub(crate) fn waits_for(wait: WaitFor, what: Id) -> String {
    let words = match wait {
        WaitFor::Receive => "a message on channel",
        WaitFor::Send => "room in channel",
        WaitFor::Join => "the end of",
        WaitFor::Sleep => "a time",
        WaitFor::Mail => "mail",
        WaitFor::Call => "an answer of",
        WaitFor::Select => "one of several things",
        WaitFor::Outside => "input or output",
        WaitFor::Socket => "the network",
        WaitFor::File => "a file",
    };
    match wait {
        WaitFor::Receive | WaitFor::Send | WaitFor::Join | WaitFor::Call => format!("{words} {what}"),
        _ => words.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_kinds_of_reasons() {
        let failures = KINDS.iter().filter(|kind| is_failure(kind));
        assert_eq!(failures.count(), 8);
        assert!(is_failure("panic") && !is_failure("normal") && !is_failure("killed"));
    }
}
