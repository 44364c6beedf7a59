//! Reads the contents of a mailbox without removing anything.

use crate::address::Id;
use crate::host::Host;
use crate::process::Process;
use crate::relations::mailbox::{Kind, Mail, Tags};

/// An entry of a mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Whether it is a message or a signal, and from which process it came.
    pub kind: Kind,
    /// Its tag.
    pub tag: u64,
    /// Its length in bytes.
    pub len: usize,
    /// Its first bytes.
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
    /// For a signal, returns the process that it came from or is about.
    pub fn process(&self) -> Option<Id> {
        match self {
            Self::Message(_) | Self::Traced(..) | Self::Change => None,
            Self::Exit(id) | Self::Down(id, _) => Some(*id),
        }
    }

    /// For a message, returns the process that sent it, if a process of a system did.
    pub fn sender(&self) -> Option<Id> {
        match self {
            Self::Message(from) | Self::Traced(from, _) => Some(*from).filter(|from| *from != Id::NONE),
            Self::Exit(_) | Self::Down(..) | Self::Change => None,
        }
    }

    /// Returns the kind in one word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Message(_) | Self::Traced(..) => "message",
            Self::Exit(_) => "exit",
            Self::Down(..) => "down",
            Self::Change => "change",
        }
    }
}

impl<H: Host> Process<H> {
    /// Returns the oldest entries of its mailbox: at most `entries_max`, with at most `bytes_max` bytes of each. They
    /// are copied under the lock that senders need, so ask for few.
    pub fn contents(&self, entries_max: usize, bytes_max: usize) -> Vec<Entry> {
        let contents = self.peek(|relations| {
            let oldest = relations.mailbox.iter().take(entries_max);
            oldest.map(|mail| Entry::of(mail, bytes_max)).collect()
        });
        contents.unwrap_or_default()
    }

    /// Returns the tags of the mail that would wake it: none if it does not wait for mail, or waits for any.
    pub fn awaited_tags(&self) -> Tags {
        self.peek(|relations| relations.mailbox.awaited().cloned())
            .flatten()
            .unwrap_or_default()
    }
}
