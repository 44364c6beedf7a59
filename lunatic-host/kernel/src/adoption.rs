//! Children on other nodes: what the kernels on both sides do for a spawn.
//!
//! The child's side [makes](Kernel::new_process) the process, ties it to its parent, notifies the parent's side, and
//! lets it run. The parent's side ties the parent to the child before it reports the child to the parent. So links and
//! monitors exist from the start, whichever side ends first.

use std::sync::Arc;

use lunatic_sys::codes::REFERENCE_BIT;

use crate::address::Id;
use crate::budget::Payer;
use crate::delivery::Signal;
use crate::exit::ExitReason;
use crate::host::Host;
use crate::kernel::Kernel;
use crate::process::Process;
use crate::relations::mailbox::{Body, Kind, Mail, Pushed};

/// The initial relations of a parent to a child on another node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ties {
    /// Whether they are linked.
    pub link: bool,
    /// The reference under which the parent monitors the child; 0 if it does not.
    pub monitor: u64,
    /// The tag of the notification of the child's end; 0 stands for the reference.
    pub tag: u64,
}

impl<H: Host> Kernel<H> {
    /// Ties a new process, which has not [begun](Self::begin), to a parent on another node.
    pub fn tie(&self, child: &Arc<Process<H>>, parent: Id, ties: Ties) {
        // It has not run and nobody knows it, so it cannot have ended: it is notified when it runs.
        if ties.link {
            _ = child.relate(|relations| relations.links.insert(parent));
        }
        if ties.monitor != 0 {
            _ = child.be_watched(parent, ties.monitor);
        }
    }

    /// Returns a reference for a future monitor of the running process on a child on another node. The end of the child
    /// is reported under `tag`, or under the reference if `tag` is 0.
    pub fn monitor_reference(&self, process: &Process<H>, tag: u64) -> u64 {
        match tag {
            0 => self.open_reference(process),
            _ => self.random() | REFERENCE_BIT,
        }
    }

    /// Answers a process under an open reference, even if its mailbox is full; drops the answer if the reference is not
    /// open.
    pub fn answer(&self, to: Id, reference: u64, body: Vec<u8>) {
        let Some(to) = self.find(to) else { return };
        let mail = Mail {
            kind: Kind::Message(Id::NONE),
            tag: reference,
            body: Body::from_vec(body),
        };
        let wakes = to.relate(|relations| match relations.push(mail, self.moment(), to.purse()) {
            Ok(pushed) => pushed == (Pushed::Queued { wake: true }),
            // A process that cannot pay for it ends.
            Err(exhausted) => {
                to.run_out(relations, exhausted);
                false
            }
        });
        if wakes == Ok(true) {
            self.scheduler.wake(&to);
        }
        self.wake_doomed(&to);
    }

    /// Ties a parent to a child on another node. If the parent has ended meanwhile, the child is notified as it would
    /// have been then.
    pub fn adopt(&self, parent: Id, child: Id, ties: Ties) {
        let tied = self.find(parent).is_some_and(|parent| {
            let tied = parent.relate(|relations| {
                if ties.link {
                    relations.links.insert(child);
                }
                if ties.monitor != 0 {
                    let tag = if ties.tag == 0 { ties.monitor } else { ties.tag };
                    relations.watch(ties.monitor, child, tag);
                }
            });
            self.wake_doomed(&parent);
            tied.is_ok()
        });
        if tied {
            return;
        }
        if ties.link {
            let reason = ExitReason::NoProcess;
            self.forward(parent, child, Signal::Exit { reason, sent: false });
        }
        if ties.monitor != 0 {
            let reference = ties.monitor;
            self.forward(parent, child, Signal::Demonitor { reference });
        }
    }
}
