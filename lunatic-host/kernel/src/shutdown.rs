//! Orderly stops: how a system is asked to end, and who may go on until it has.
//!
//! The main process is sent an exit signal, [`ExitReason::Shutdown`]. It may trap that, and end when it is ready. Its children,
//! and what else is linked to it, hear of its end: a supervisor ends its own children in order and then itself. So that there
//! is time for that, the system does not end with the main process, but with the last of those. This is what `init:stop` does
//! in OTP, where the supervisors at the top belong to applications; here the main process has started them, linked to itself
//! or not.
//!
//! How long that may take is up to who asked for it: [`System::end`] ends what is left.

use std::sync::Arc;

use crate::address::Id;
use crate::exit::ExitReason;
use crate::host::Host;
use crate::kernel::Kernel;
use crate::process::Process;
use crate::relations::Relations;
use crate::system::System;

impl<H: Host> Kernel<H> {
    /// Asks a system to end in order. Does not wait. Nothing happens if it was asked before, or has ended.
    pub fn shut_down(&self, system: &System<H>) {
        // First: whoever ends by the signal sees that it is a stop.
        if !system.stop.ask() {
            return;
        }
        if let Some(main) = system.main().and_then(|id| self.find(id)) {
            self.exit_by_signal(&main, main.id, &ExitReason::Shutdown);
        }
    }

    /// Somebody outside sends an exit signal to a process, which hears that it comes from `from`.
    pub fn exit_from_outside(&self, to: &Arc<Process<H>>, from: Id, reason: &ExitReason) {
        self.exit_by_signal(to, from, reason);
    }

    /// The main process has ended, and tells others of that: those that are linked to it, and in an orderly stop also its
    /// children. An end in good order is then told as [`ExitReason::Shutdown`], as `Normal` would let them go on.
    pub(crate) fn tell_of_main_end(&self, main: &Process<H>, relations: &mut Relations, reason: &ExitReason) {
        let stop = &main.system.stop;
        if !stop.is_asked_for() {
            return self.tell_of_end(main, relations, reason);
        }
        let mut children = Vec::new();
        self.for_each_process(|process| {
            if process.parent == Some(main.id) && !relations.links.contains_key(process.id) {
                children.push(process.clone());
            }
        });
        let told = match reason {
            ExitReason::Normal => &ExitReason::Shutdown,
            reason => reason,
        };
        // Known before any of them can have ended for that.
        let linked = relations.links.keys();
        stop.main_ended(reason.clone(), linked.chain(children.iter().map(|child| child.id)));
        self.tell_of_end(main, relations, told);
        for child in children {
            self.exit_by_signal(&child, main.id, told);
        }
    }

    /// A process has ended, is in no table any more, and all have been told: ends its system if it was the last that was
    /// waited for.
    pub(crate) fn end_system_after(&self, process: &Process<H>, reason: &ExitReason) {
        let (system, id) = (&process.system, process.id);
        let stop = &system.stop;
        let over = match (system.is_main(id), stop.is_asked_for()) {
            (false, false) => return,
            (false, true) => stop.without(id),
            // It was asked to stop when the main process had told of its end already.
            (true, _) if stop.reason().is_none() => Some(reason.clone()),
            // Some may have ended in between.
            (true, _) => stop.without_all(|linked| !self.is_alive(linked)),
        };
        if let Some(reason) = over {
            system.end(reason);
        }
    }
}
