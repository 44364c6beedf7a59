//! Links, monitors and messages of processes of the interface of Lunatic 0.13.
//!
//! They are the links and monitors of all processes; what differs is what a process hears: a link has a tag on each side,
//! normal ends are not told to links, a monitor has no reference and tells nothing of what had ended before. What is told
//! lies, with the messages, in an [`Inbox`] in place of the mailbox.

use std::sync::Arc;

use lunatic_sys::codes::REFERENCE_BIT;

use super::{Kind, Relations, with_both};
use crate::compat::inbox::Queue;
use crate::compat::message::Letter;
use crate::process::Process;
use crate::process::exit::ExitReason;
use crate::process::hash::NumberMap;
use crate::process::id::Id;
use crate::shared::Shared;

/// What such a process has in place of a mailbox.
#[derive(Default)]
pub(crate) struct Inbox {
    pub(crate) queue: Queue,
    /// The tags of its links, but for 0.
    link_tags: NumberMap<Id, i64>,
    /// The references of its monitors.
    monitors: NumberMap<Id, u64>,
}

impl Inbox {
    /// A signal becomes a letter; true if its reader must be woken.
    pub(super) fn tell(&mut self, what: Kind) -> bool {
        let letter = match what {
            Kind::Exit(from) => Letter::LinkDied(self.link_tags.remove(&from).unwrap_or(0)),
            Kind::Down(watched, _) => {
                self.monitors.remove(&watched);
                Letter::ProcessDied(watched)
            }
            // Processes of the other interface have nothing to say to those of this one.
            Kind::Message => return false,
        };
        self.queue.push(letter)
    }
}

impl Relations {
    /// The relations of a process of that interface.
    pub(crate) fn compat() -> Box<Self> {
        Box::new(Self {
            compat: Some(Inbox::default()),
            ..Self::default()
        })
    }

    pub(super) fn forget_link_tag(&mut self, of: Id) {
        if let Some(inbox) = &mut self.compat {
            inbox.link_tags.remove(&of);
        }
    }

    fn set_link_tag(&mut self, of: Id, tag: i64) {
        match &mut self.compat {
            Some(inbox) if tag != 0 => _ = inbox.link_tags.insert(of, tag),
            Some(inbox) => _ = inbox.link_tags.remove(&of),
            None => {}
        }
    }
}

impl Process {
    /// Calls `f` with the letters of the process, if it is of that interface and alive.
    pub(crate) fn inbox<T>(&self, f: impl FnOnce(&mut Queue) -> T) -> Option<T> {
        let read = self.relate(|relations| relations.compat.as_mut().map(|inbox| f(&mut inbox.queue)));
        read.ok().flatten()
    }
}

impl Shared {
    /// Puts a letter into the inbox of a process. If that is gone or has none, the letter is dropped.
    pub(crate) fn send_letter(&self, to: &Arc<Process>, letter: Letter) {
        // What does not fit is lost, as if the process had ended: its sender knows no other answer.
        let max = to.rights.mailbox_max;
        if to.inbox(|queue| queue.len() < max && queue.push(letter)) == Some(true) {
            self.scheduler.wake(to);
        }
    }

    /// Links the process that runs to another, which is none if it has ended. Each side hears of the other under a tag of
    /// its own.
    pub(crate) fn link_tagged(&self, process: &Arc<Process>, id: Id, other: Option<&Process>, mine: i64, theirs: i64) {
        if process.id == id {
            return;
        }
        let linked = other.is_some_and(|other| {
            with_both(process, other, |own, others| {
                own.links.insert(other.id);
                own.set_link_tag(other.id, mine);
                others.links.insert(process.id);
                others.set_link_tag(process.id, theirs);
            })
        });
        if !linked {
            self.deliver(process, |relations| {
                relations.set_link_tag(id, mine);
                relations.exit(id, &ExitReason::NoProcess)
            });
        }
    }

    /// Takes such a link away, if it is there.
    pub(crate) fn unlink_tagged(&self, process: &Process, id: Id, other: Option<&Process>) {
        self.unlink(process, id);
        process.relate_self(|relations| relations.forget_link_tag(id));
        if let Some(other) = other {
            let _ = other.relate(|relations| relations.forget_link_tag(process.id));
        }
    }

    /// The process that runs watches another, unless it does already.
    pub(crate) fn monitor_once(&self, process: &Process, watched: &Process) {
        let reference = rand::random::<u64>() | REFERENCE_BIT;
        let is_new = process.relate_self(|relations| {
            let Some(inbox) = &mut relations.compat else {
                return false;
            };
            let is_new = !inbox.monitors.contains_key(&watched.id);
            if is_new {
                inbox.monitors.insert(watched.id, reference);
                relations.watch(reference, watched.id, 0);
            }
            is_new
        });
        if is_new && self.be_watched(process.id, watched.id, reference).is_err() {
            self.monitor_no_more(process, watched.id);
        }
    }

    /// Reverses [`monitor_once`](Self::monitor_once).
    pub(crate) fn monitor_no_more(&self, process: &Process, watched: Id) {
        let forget = |relations: &mut Relations| relations.compat.as_mut()?.monitors.remove(&watched);
        if let Some(reference) = process.relate_self(forget) {
            self.demonitor(process, reference, false);
        }
    }
}
