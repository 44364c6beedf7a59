//! Reports deadlocks: for what each process waits, and which messages lie in mailboxes that nobody receives.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::Arc;

use lunatic_kernel::WaitFor;
use lunatic_kernel::address::Id;

use crate::ending::{name, wait_in_words};
use crate::inspect::mail::is_of_type;
use crate::module::Module;
use crate::report::deadlock::LISTED_MAX;
use crate::report::{DeadlockReport, type_names};
use crate::wasm::{Kernel, Process, System};

/// How many messages of a mailbox are examined.
const EXAMINED_MAX: usize = 256;

/// How many kinds of messages of one mailbox are described.
const KINDS_MAX: usize = 4;

/// The report of a system in which every process waits for another: which process waits for what.
pub(crate) fn report(kernel: &Kernel, system: &System, waiting: Vec<(Id, WaitFor, Id)>) -> String {
    let types = Types::of(kernel, &waiting);
    let mut report = DeadlockReport::default();
    for (id, wait, what) in waiting {
        let kind = wait_in_words(wait);
        report.add(
            || name(system, id),
            kind,
            || detail(kernel, system, &types, id, wait, what),
        );
    }
    report.to_string()
}

fn detail(kernel: &Kernel, system: &System, types: &Types, id: Id, wait: WaitFor, what: Id) -> String {
    let mut text = match wait {
        WaitFor::Receive | WaitFor::Send => channel(kernel, system, what),
        WaitFor::Join => name(system, what),
        WaitFor::Call => format!("from {}", name(system, what)),
        WaitFor::Mail => kernel
            .find(id)
            .map_or_else(String::new, |process| types.awaited(&process)),
        WaitFor::Sleep | WaitFor::Select => String::new(),
        WaitFor::Outside | WaitFor::Socket | WaitFor::File => String::new(),
    };
    if let Some(process) = kernel.find(id) {
        text += &mailbox(system, types, &process);
    }
    text
}

fn channel(kernel: &Kernel, system: &System, id: Id) -> String {
    let Some(channel) = kernel.channels().view(id) else {
        return format!("on channel {id}");
    };
    let owner = name(system, channel.owner);
    let bound = match channel.bound {
        0 => String::new(),
        bound => format!(" of at most {bound}"),
    };
    format!(
        "on channel {id} (owned by {owner}; holds {} messages{bound})",
        channel.len
    )
}

/// A line about the mail of a process that waits, which it therefore does not receive; nothing if it has none.
fn mailbox(system: &System, types: &Types, process: &Process) -> String {
    let (len, _) = process.mailbox_size();
    if len == 0 {
        return String::new();
    }
    // In the order of the oldest of each kind.
    let mut kinds: Vec<(String, Option<Id>, usize)> = Vec::new();
    let entries = process.contents(EXAMINED_MAX, 0);
    for entry in &entries {
        let kind = match entry.kind.is_message() {
            true => types.name(entry.tag),
            false => format!("kind `{}`", entry.kind.name()),
        };
        let from = entry.kind.sender().or(entry.kind.process());
        match kinds.iter_mut().find(|known| (&known.0, known.1) == (&kind, from)) {
            Some((.., count)) => *count += 1,
            None => kinds.push((kind, from, 1)),
        }
    }
    let mut text = format!("\nits mailbox holds {len} that it does not receive:");
    let mut described = 0;
    for (place, (kind, from, count)) in kinds.iter().take(KINDS_MAX).enumerate() {
        let comma = if place == 0 { "" } else { "," };
        let _ = write!(text, "{comma} {count} of {kind}");
        if let Some(from) = from {
            let _ = write!(text, " from {}", name(system, *from));
        }
        described += count;
    }
    if len > described {
        let _ = write!(text, ", and {} more", len - described);
    }
    text
}

/// The names of the types of messages that processes in a deadlock hold or wait for.
struct Types(HashMap<u64, String>);

impl Types {
    /// Looks for the types of the processes that the report lists.
    fn of(kernel: &Kernel, waiting: &[(Id, WaitFor, Id)]) -> Self {
        let mut tags: Vec<u64> = Vec::new();
        let mut modules: Vec<Arc<Module>> = Vec::new();
        let listed = waiting.iter().take(LISTED_MAX);
        for process in listed.filter_map(|(id, ..)| kernel.find(*id)) {
            let held = process.contents(EXAMINED_MAX, 0);
            let held = held
                .iter()
                .filter(|entry| entry.kind.is_message())
                .map(|entry| entry.tag);
            for tag in process.awaited_tags().into_iter().chain(held) {
                if is_of_type(tag) && !tags.contains(&tag) && tags.len() < type_names::TAGS_MAX {
                    tags.push(tag);
                }
            }
            let module = process.local.module();
            if !modules.iter().any(|known| Arc::ptr_eq(known, &module)) {
                modules.push(module);
            }
        }
        let mut names = HashMap::new();
        for module in modules {
            tags.retain(|tag| !names.contains_key(tag));
            if tags.is_empty() {
                break;
            }
            names.extend(module.type_names(&tags));
        }
        Self(names)
    }

    fn name(&self, tag: u64) -> String {
        match self.0.get(&tag) {
            Some(name) => format!("type `{name}`"),
            None => format!("tag {tag:#x}"),
        }
    }

    /// The messages that a process waits for; nothing if it waits for any.
    fn awaited(&self, process: &Process) -> String {
        let tags = process.awaited_tags();
        let names: Vec<String> = tags
            .iter()
            .filter(|tag| is_of_type(**tag))
            .take(KINDS_MAX)
            .map(|tag| self.name(*tag))
            .collect();
        match names.is_empty() {
            true => String::new(),
            false => format!("of {}", names.join(" or ")),
        }
    }
}
