//! Links, monitors and letters: what processes of this interface tell each other.
//!
//! They are the links and monitors of all processes; what differs is what a process hears: a link has a tag on each side,
//! normal ends are not told to links, a monitor has no reference and tells nothing of what had ended before. What is told
//! lies, with the messages, in an [`Inbox`] in place of the mailbox.

use std::any::Any;
use std::sync::Arc;

use lunatic_host::ExitReason;
use lunatic_host::wasm::{Kernel, Process};
use lunatic_kernel::address::Id;
use lunatic_kernel::hash::NumberMap;
use lunatic_kernel::relations::mailbox::Kind;
use lunatic_kernel::relations::{Intake, Relations};

use crate::inbox::Queue;
use crate::message::Letter;

/// What a process of this interface has in place of a mailbox.
#[derive(Default)]
pub(crate) struct Inbox {
    queue: Queue,
    /// The tags of its links, but for 0.
    link_tags: NumberMap<Id, i64>,
    /// The references of its monitors.
    monitors: NumberMap<Id, u64>,
}

impl Intake for Inbox {
    fn tell(&mut self, what: &Kind) -> bool {
        let letter = match what {
            Kind::Exit(from) => Letter::LinkDied(self.link_tags.remove(from).unwrap_or(0)),
            Kind::Down(watched, _) => {
                self.monitors.remove(watched);
                Letter::ProcessDied(*watched)
            }
            // Processes of the other interface have nothing to say to those of this one.
            Kind::Message | Kind::Traced(_) | Kind::Change => return false,
        };
        self.queue.push(letter)
    }

    fn hears_exit(&mut self, from: Id, reason: &ExitReason) -> bool {
        let is_normal = *reason == ExitReason::Normal;
        if is_normal {
            self.link_tags.remove(&from);
        }
        !is_normal
    }

    fn accept(&mut self, parcel: Box<dyn Any + Send>) -> bool {
        match parcel.downcast::<Letter>() {
            Ok(letter) => self.queue.push(*letter),
            Err(_) => false,
        }
    }
}

impl Inbox {
    fn set_link_tag(&mut self, of: Id, tag: i64) {
        match tag {
            0 => _ = self.link_tags.remove(&of),
            tag => _ = self.link_tags.insert(of, tag),
        }
    }
}

/// Calls `f` with the inbox of a process, if it is of this interface.
fn with<T>(relations: &mut Relations, f: impl FnOnce(&mut Inbox) -> T) -> Option<T> {
    relations.intake().map(f)
}

/// Calls `f` with the letters of the process, if it is of this interface and alive.
pub(crate) fn letters<T>(process: &Process, f: impl FnOnce(&mut Queue) -> T) -> Option<T> {
    let read = process.relate(|relations| with(relations, |inbox| f(&mut inbox.queue)));
    read.ok().flatten()
}

/// Puts a letter into the inbox of a process. If that is gone or has none, the letter is dropped.
pub(crate) fn send_letter(kernel: &Kernel, to: &Arc<Process>, letter: Letter) {
    // What does not fit is lost, as if the process had ended: its sender knows no other answer.
    let max = to.local.rights().mailbox_max;
    if letters(to, |queue| queue.len() < max && queue.push(letter)) == Some(true) {
        kernel.wake(to);
    }
}

/// Links the process that runs to another, which is none if it has ended. Each side hears of the other under a tag of its
/// own.
pub(crate) fn link(kernel: &Kernel, process: &Arc<Process>, id: Id, other: Option<&Process>, mine: i64, theirs: i64) {
    if process.id == id {
        return;
    }
    let linked = other.is_some_and(|other| {
        // The tags come with the link, under the same locks: an end that comes at once is told with its tag.
        kernel.link_with(process, other, |own, others| {
            with(own, |inbox| inbox.set_link_tag(other.id, mine));
            with(others, |inbox| inbox.set_link_tag(process.id, theirs));
        })
    });
    if !linked {
        kernel.tell_no_process(process, id, |relations| {
            with(relations, |inbox| inbox.set_link_tag(id, mine));
        });
    }
}

/// Takes such a link away, if it is there.
pub(crate) fn unlink(kernel: &Kernel, process: &Process, id: Id, other: Option<&Process>) {
    kernel.unlink(process, id);
    process.relate_self(|relations| with(relations, |inbox| inbox.link_tags.remove(&id)));
    if let Some(other) = other {
        let _ = other.relate(|relations| with(relations, |inbox| inbox.link_tags.remove(&process.id)));
    }
}

/// The process that runs watches another, unless it does already.
pub(crate) fn monitor(kernel: &Kernel, process: &Process, watched: Id) {
    let monitors = |relations: &mut Relations| with(relations, |inbox| inbox.monitors.contains_key(&watched));
    if process.relate_self(monitors) != Some(false) {
        return;
    }
    if let Some(reference) = kernel.monitor_living(process, watched, 0) {
        process.relate_self(|relations| with(relations, |inbox| inbox.monitors.insert(watched, reference)));
    }
}

/// Reverses [`monitor`].
pub(crate) fn stop_monitoring(kernel: &Kernel, process: &Process, watched: Id) {
    let forget = |relations: &mut Relations| with(relations, |inbox| inbox.monitors.remove(&watched)).flatten();
    if let Some(reference) = process.relate_self(forget) {
        kernel.demonitor(process, reference, false);
    }
}
