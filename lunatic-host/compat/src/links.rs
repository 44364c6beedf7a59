//! Links, monitors and letters between processes of this interface.
//!
//! These are the links and monitors of all processes, but the notifications differ: a link has a tag on each side,
//! links do not report normal ends, and a monitor has no reference and does not report processes that had already
//! ended. Notifications wait, together with the messages, in an [`Inbox`] in place of the mailbox.

use std::any::Any;
use std::sync::Arc;

use lunatic_host::ExitReason;
use lunatic_host::wasm::{Kernel, Process};
use lunatic_kernel::address::Id;
use lunatic_kernel::relations::mailbox::Kind;
use lunatic_kernel::relations::{Held, Intake, Relations};
use lunatic_kernel::small_map::SmallMap;

use crate::inbox::Queue;
use crate::message::Letter;

/// What a process of this interface has in place of a mailbox.
#[derive(Default)]
pub(crate) struct Inbox {
    queue: Queue,
    /// The tags of its links, except 0.
    link_tags: SmallMap<Id, i64>,
    /// The references of its monitors.
    monitors: SmallMap<Id, u64>,
}

impl Intake for Inbox {
    fn tell(&mut self, what: &Kind) -> bool {
        let letter = match what {
            Kind::Exit(from) => Letter::LinkDied(self.link_tags.remove(*from).unwrap_or(0)),
            Kind::Down(watched, _) => {
                self.monitors.remove(*watched);
                Letter::ProcessDied(*watched)
            }
            // Processes of the other interface cannot send anything to those of this one.
            Kind::Message(_) | Kind::Traced(..) | Kind::Change => return false,
        };
        self.queue.push(letter)
    }

    fn hears_exit(&mut self, from: Id, reason: &ExitReason) -> bool {
        let is_normal = *reason == ExitReason::Normal;
        if is_normal {
            self.link_tags.remove(from);
        }
        !is_normal
    }

    fn accept(&mut self, parcel: Box<dyn Any + Send>) -> bool {
        match parcel.downcast::<Letter>() {
            Ok(letter) => self.queue.push(*letter),
            Err(_) => false,
        }
    }

    fn held(&self) -> Held {
        let Self {
            queue,
            link_tags,
            monitors,
        } = self;
        Held {
            bytes: queue.size() + link_tags.size() + monitors.size(),
            growth: link_tags.growth() + monitors.growth(),
            steps: queue.steps() + link_tags.len() + monitors.len(),
        }
    }
}

impl Inbox {
    fn set_link_tag(&mut self, of: Id, tag: i64) {
        match tag {
            0 => _ = self.link_tags.remove(of),
            tag => *self.link_tags.get_or_insert(of, tag) = tag,
        }
    }
}

/// Calls `f` with the inbox of a process, if it belongs to this interface.
fn with<T>(relations: &mut Relations, f: impl FnOnce(&mut Inbox) -> T) -> Option<T> {
    relations.intake().map(f)
}

/// Calls `f` with the letters of the process, if it belongs to this interface and is alive.
pub(crate) fn letters<T>(process: &Process, f: impl FnOnce(&mut Queue) -> T) -> Option<T> {
    let read = process.relate(|relations| with(relations, |inbox| f(&mut inbox.queue)));
    read.ok().flatten()
}

/// Puts a letter into the inbox of a process. If the process is gone or has no inbox, the letter is dropped.
pub(crate) fn send_letter(kernel: &Kernel, to: &Arc<Process>, letter: Letter) {
    // If the inbox is full, the letter is lost, as if the process had ended: the interface has no other answer for its
    // sender.
    let max = to.local.rights().mailbox_max;
    if letters(to, |queue| queue.len() < max && queue.push(letter)) == Some(true) {
        kernel.wake(to);
    }
}

/// Links the process that runs to another; `None` if that has ended. Each side is notified of the other's end under its
/// own tag.
pub(crate) fn link(
    kernel: &Kernel,
    process: &Arc<Process>,
    id: Id,
    other: Option<&Arc<Process>>,
    mine: i64,
    theirs: i64,
) {
    if process.id == id {
        return;
    }
    let linked = other.is_some_and(|other| {
        // The tags are set under the same locks as the link, so even an immediate end is reported with its tag.
        let linked = kernel.link_with(process, other, |own, others| {
            with(own, |inbox| inbox.set_link_tag(other.id, mine));
            with(others, |inbox| inbox.set_link_tag(process.id, theirs));
        });
        // It may have been unable to pay for the link.
        kernel.wake_doomed(other);
        linked
    });
    if !linked {
        kernel.tell_no_process(process, id, |relations| {
            with(relations, |inbox| inbox.set_link_tag(id, mine));
        });
    }
}

/// Removes such a link, if there is one.
pub(crate) fn unlink(kernel: &Kernel, process: &Process, id: Id, other: Option<&Process>) {
    kernel.unlink(process, id);
    process.relate_self(|relations| with(relations, |inbox| inbox.link_tags.remove(id)));
    if let Some(other) = other {
        let _ = other.relate(|relations| with(relations, |inbox| inbox.link_tags.remove(process.id)));
    }
}

/// Makes the process that runs monitor another, unless it already does.
pub(crate) fn monitor(kernel: &Kernel, process: &Process, watched: Id) {
    let monitors = |relations: &mut Relations| with(relations, |inbox| inbox.monitors.contains_key(watched));
    if process.relate_self(monitors) != Some(false) {
        return;
    }
    if let Some(reference) = kernel.monitor_living(process, watched, 0) {
        process.relate_self(|relations| {
            with(relations, |inbox| {
                *inbox.monitors.get_or_insert(watched, reference) = reference
            })
        });
    }
}

/// Reverses [`monitor`].
pub(crate) fn stop_monitoring(kernel: &Kernel, process: &Process, watched: Id) {
    let forget = |relations: &mut Relations| with(relations, |inbox| inbox.monitors.remove(watched)).flatten();
    if let Some(reference) = process.relate_self(forget) {
        kernel.demonitor(process, reference, false);
    }
}
