//! What lies in a mailbox, looked at without taking anything out.

use crate::address::Id;
use crate::host::Host;
use crate::process::Process;
use crate::relations::mailbox::{Kind, Mail};

/// An entry of a mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Whether it is a message or a signal, and whose signal. Of a message the kernel does not know who sent it.
    pub kind: Kind,
    /// What it is about.
    pub tag: u64,
    /// Its bytes.
    pub len: usize,
    /// The first of them.
    pub start: Vec<u8>,
}

impl Entry {
    fn of(mail: &Mail, bytes_max: usize) -> Self {
        Self {
            kind: mail.kind.clone(),
            tag: mail.tag,
            len: mail.body.len(),
            start: mail.body[..mail.body.len().min(bytes_max)].to_vec(),
        }
    }
}

impl Kind {
    /// Of a signal, the process that it came from or is about.
    pub fn process(&self) -> Option<Id> {
        match self {
            Self::Message | Self::Traced(_) | Self::Change => None,
            Self::Exit(id) | Self::Down(id, _) => Some(*id),
        }
    }

    /// In a word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Message | Self::Traced(_) => "message",
            Self::Exit(_) => "exit",
            Self::Down(..) => "down",
            Self::Change => "change",
        }
    }
}

impl<H: Host> Process<H> {
    /// The oldest entries of its mailbox, at most so many, with at most so many bytes of each. Copied under the lock that others
    /// need to send to it, so ask for few.
    pub fn contents(&self, entries_max: usize, bytes_max: usize) -> Vec<Entry> {
        let contents = self.peek(|relations| {
            let oldest = relations.mailbox.iter().take(entries_max);
            oldest.map(|mail| Entry::of(mail, bytes_max)).collect()
        });
        contents.unwrap_or_default()
    }
}
