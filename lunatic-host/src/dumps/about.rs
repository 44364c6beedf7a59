//! The description of a process in its dump.

use std::fmt::Write as _;

use lunatic_kernel::address::Id;
use lunatic_kernel::contents;
use lunatic_rights::table;

use super::DumpConfig;
use crate::report::dump::{About, Entry, Rights};
use crate::wasm::{Kernel, Process};

/// The most entries of a mailbox in a dump, and the most bytes of each.
const ENTRIES_MAX: usize = 100;
const ENTRY_LEN_MAX: usize = 64;
/// The longest reason, in bytes.
const REASON_LEN_MAX: usize = 8 << 10;

/// Describes a process that is not running. Takes some microseconds.
pub(crate) fn about(kernel: &Kernel, process: &Process, mut reason: String, config: &DumpConfig) -> About {
    let snapshot = kernel.snapshot_of(process);
    let ids = |ids: &[Id]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
    let start_len = if config.without_messages { 0 } else { ENTRY_LEN_MAX };
    let entries = process.contents(ENTRIES_MAX, start_len);
    let without = [(config.without_memory, "memory"), (config.without_messages, "messages")];
    reason.truncate(reason.floor_char_boundary(REASON_LEN_MAX));
    About {
        host: format!("Lunatic {}", env!("CARGO_PKG_VERSION")),
        process: snapshot.id.to_string(),
        is_main: process.system.is_main(process.id),
        names: snapshot.names,
        entry: process.local.entry().map(|entry| entry.to_string()),
        code: process.local.module().identity().to_string(),
        parent: snapshot.parent.map(|parent| parent.to_string()),
        reason,
        traps_exits: snapshot.traps_exits,
        timers: snapshot.timers,
        cpu_ms: u64::try_from(snapshot.time_on_core.as_millis()).unwrap_or(u64::MAX),
        runs: snapshot.runs,
        links: ids(&snapshot.links),
        links_len: snapshot.links_len,
        monitors: ids(&snapshot.monitors),
        monitored_by: ids(&snapshot.monitored_by),
        mailbox: entries.iter().map(entry).collect(),
        mailbox_len: snapshot.mailbox_len,
        mailbox_bytes: snapshot.mailbox_bytes,
        rights: rights(process),
        memory_bytes: process.local.memory() as u64,
        without: without
            .iter()
            .filter(|(is_left_out, _)| *is_left_out)
            .map(|(_, what)| (*what).to_owned())
            .collect(),
        ..About::default()
    }
}

fn entry(entry: &contents::Entry) -> Entry {
    Entry {
        kind: entry.kind.name().to_owned(),
        from: entry.kind.process().map(|id| id.to_string()),
        tag: format!("{:016x}", entry.tag),
        len: entry.len,
        start: entry.start.iter().fold(String::new(), |mut digits, byte| {
            let _ = write!(digits, "{byte:02x}");
            digits
        }),
    }
}

fn rights(process: &Process) -> Rights {
    let rights = &process.local.rights;
    Rights {
        may: table::words_of(rights.may).map(str::to_owned).collect(),
        dirs: rights.wasi.folder_names(),
        env: rights.wasi.variable_names(),
        net: rights.net.texts(),
        max_memory: rights.max_memory,
        max_files: rights.files_max,
        max_mailbox: (rights.mailbox_max != usize::MAX).then_some(rights.mailbox_max),
        has_budget: rights.budget.is_some(),
    }
}
