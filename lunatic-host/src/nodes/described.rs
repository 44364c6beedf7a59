//! The rights of a process as a configuration: what its host tells another node, which then gives a child no more.
//!
//! What belongs to this machine does not travel: folders, streams, and what extensions have given. Output that does not
//! go to where that of the parent's system goes is discarded on the other node. Budgets do not travel
//! either: what a child uses on another node cannot be charged here, so a process whose budget has a limit does not
//! spawn on other nodes.

use std::fmt::Write as _;

use lunatic_kernel::budget::{Budget, Caps};
use lunatic_rights::table;

use crate::rights::config::{ClockRight, ENTRIES_MAX, RandomRight};
use crate::rights::{Denied, Rights};
use crate::wasi::Wasi;

/// The rights of a parent as configurations.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Described {
    /// All rights, with the innermost set of network rules.
    pub(crate) rights: Vec<u8>,
    /// Further sets of network rules.
    pub(crate) nets: Vec<Vec<u8>>,
}

/// Describes the rights of a process, whose system was started with `system`.
///
/// # Errors
///
/// [`Denied`] if they have a limit that another node cannot keep, or have too many entries.
pub(crate) fn describe(rights: &Rights, system: &Wasi) -> Result<Described, Denied> {
    let budgets = std::iter::successors(rights.budget.as_ref(), |budget| budget.parent());
    if budgets.into_iter().any(|budget| is_limited(budget)) || rights.fuel.is_some() {
        let text = "a process whose budget is limited cannot spawn on another node: its use of resources there could not be charged";
        return Err(Denied(text.into()));
    }
    let (mut text, mut entries) = (String::new(), 0);
    let mut entry = |key: &str, value: &dyn std::fmt::Display| {
        // Writing to a string cannot fail.
        _ = write!(text, "{key}={value}\0");
        entries += 1;
    };
    for word in table::words_of(rights.may) {
        entry("allow", &word);
    }
    entry("max-memory", &rights.max_memory);
    entry("max-files", &rights.files_max);
    if rights.mailbox_max != usize::MAX {
        entry("max-mailbox", &rights.mailbox_max);
    }
    let (args, env, clock, random) = rights.wasi.words();
    for arg in args {
        entry("arg", arg);
    }
    for (name, value) in env {
        entry("env", &format_args!("{name}={value}"));
    }
    for (stream, is_systems) in ["stdout", "stderr"].into_iter().zip(rights.wasi.prints_as(system)) {
        if !is_systems {
            entry(stream, &"discard");
        }
    }
    if let ClockRight::Fixed(ns) = clock {
        entry("clock", &ns);
    }
    if let RandomRight::Seed(seed) = random {
        entry("random", &seed);
    }
    let mut sets = rights.net.sets().into_iter();
    for rule in sets.next().unwrap_or_default() {
        entry("net", &rule);
    }
    let net = |rules: Vec<String>| {
        rules
            .iter()
            .map(|rule| format!("net={rule}\0"))
            .collect::<String>()
            .into_bytes()
    };
    if entries > ENTRIES_MAX {
        let text = format!(
            "the arguments, variables and rules of the process do not travel: with its other rights, they are {entries} \
             entries, and at most {ENTRIES_MAX} travel"
        );
        return Err(Denied(text));
    }
    Ok(Described {
        rights: text.into_bytes(),
        nets: sets.map(net).collect(),
    })
}

fn is_limited(budget: &Budget) -> bool {
    *budget.caps() != Caps::default()
}
