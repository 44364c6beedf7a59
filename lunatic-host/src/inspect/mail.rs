//! The unread mail of a process.

use std::collections::HashMap;

use lunatic_kernel::address::Id;
use lunatic_sys::codes::REFERENCE_BIT;

use super::Listing;
use crate::report::type_names::TAGS_MAX;
use crate::wasm::Process;

/// The most entries of a mailbox that are listed: they are copied under the lock that senders need.
pub const MAIL_MAX: usize = 256;

/// An entry in the mailbox of a process, without its content.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MailInfo {
    /// `message`, `exit` (an exit signal), `down` (the end of a monitored process) or `change` (of code).
    pub kind: &'static str,
    /// The process that sent it, or that it is about.
    pub from: Option<Id>,
    /// Its tag.
    pub tag: u64,
    /// The type of the message, if the module of the process has its name.
    pub type_name: Option<String>,
    /// Its length in bytes.
    pub len: usize,
}

/// Lists the oldest entries: up to `limit`, and up to [`MAIL_MAX`]. Searches the module for the names of their types.
pub(crate) fn of(process: &Process, limit: usize) -> Listing<MailInfo> {
    let entries = process.contents(limit.min(MAIL_MAX), 0);
    let mut tags: Vec<u64> = Vec::new();
    for entry in entries.iter().filter(|entry| entry.kind.is_message()) {
        if is_of_type(entry.tag) && !tags.contains(&entry.tag) && tags.len() < TAGS_MAX {
            tags.push(entry.tag);
        }
    }
    let mut names = HashMap::new();
    if !tags.is_empty() {
        names = process.local.module().type_names(&tags);
    }
    let rows = entries.iter().map(|entry| MailInfo {
        kind: entry.kind.name(),
        from: entry.kind.sender().or(entry.kind.process()),
        tag: entry.tag,
        type_name: names.get(&entry.tag).filter(|_| entry.kind.is_message()).cloned(),
        len: entry.len,
    });
    Listing {
        matched: process.mailbox_size().0.max(entries.len()),
        rows: rows.collect(),
    }
}

/// Whether a tag can be that of a type, and not a reference or one of the host's.
pub(crate) fn is_of_type(tag: u64) -> bool {
    tag & REFERENCE_BIT == 0 && tag >= 16
}
