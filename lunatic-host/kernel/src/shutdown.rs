//! Orderly stops: how a system is asked to end, and who may continue until it has.
//!
//! The main process is sent an exit signal, [`ExitReason::Shutdown`]. It can trap it, and end when it is ready. Its
//! children and the processes linked to it are notified of its end: a supervisor then shuts its own children down in
//! order, and exits. To give them time, the system does not end with the main process, but with the last of these. This
//! is what `init:stop` does in OTP, where the top supervisors belong to applications; here the main process has started
//! them, with or without a link.
//!
//! The caller decides how long this may take: [`System::end`] ends what is left.

use std::sync::Arc;

use crate::address::Id;
use crate::exit::ExitReason;
use crate::host::Host;
use crate::kernel::Kernel;
use crate::process::Process;
use crate::relations::Relations;
use crate::system::System;

impl<H: Host> Kernel<H> {
    /// Asks a system to shut down in order, without waiting. Does nothing if the system has been asked before or has
    /// ended.
    pub fn shut_down(&self, system: &System<H>) {
        // First, so that a process that ends by the signal sees that it is a stop.
        if !system.stop.ask() {
            return;
        }
        if let Some(main) = system.main().and_then(|id| self.find(id)) {
            self.exit_by_host(&main, main.id, &ExitReason::Shutdown);
        }
    }

    /// Sends an exit signal from outside to a process, as if from `from`.
    pub fn exit_from_outside(&self, to: &Arc<Process<H>>, from: Id, reason: &ExitReason) {
        self.exit_by_signal(to, from, reason);
    }

    /// Notifies others that the main process has ended: its links, and in an orderly stop also its children. An end
    /// without a failure is then reported as [`ExitReason::Shutdown`], because `Normal` would let them continue.
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
        // Before any of them can have ended for that reason.
        let linked = relations.links.keys();
        stop.main_ended(reason.clone(), linked.chain(children.iter().map(|child| child.id)));
        self.tell_of_end(main, relations, told);
        for child in children {
            self.exit_by_host(&child, main.id, told);
        }
    }

    /// Called for a process that has ended, is in no table any more, and has been reported: ends its system if it was
    /// the last one waited for.
    pub(crate) fn end_system_after(&self, process: &Process<H>, reason: &ExitReason) {
        let (system, id) = (&process.system, process.id);
        let stop = &system.stop;
        let over = match (system.is_main(id), stop.is_asked_for()) {
            (false, false) => return,
            (false, true) => stop.without(id),
            // The stop was requested after the main process had reported its end.
            (true, _) if stop.reason().is_none() => Some(reason.clone()),
            // Some may have ended in between.
            (true, _) => stop.without_all(|linked| !self.is_alive(linked)),
        };
        if let Some(reason) = over {
            system.end(reason);
        }
    }
}
