//! What the clock does for processes, and what happens when no worker has anything to do.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use crate::address::Id;
use crate::clock::Timekeeper;
use crate::exit::ExitReason;
use crate::host::Host;
use crate::kernel::Kernel;
use crate::process::{Process, WaitFor};
use crate::system::System;
use crate::time::Paused;

impl<H: Host> Kernel<H> {
    /// Called when no worker has anything to do. If nothing outside can change that, the remaining systems never end.
    pub(crate) fn on_idle(&self) {
        self.host.idle();
        if self.outside.load(Ordering::SeqCst) > 0 || self.peers.is_any_connected() {
            return;
        }
        let mut systems = self.systems.lock().clone();
        // Their clocks stand still, too: a message of now must not come after a later timer.
        systems.retain(|system| !system.has_senders() && system.exit_reason().is_none());
        // Another worker may be here, too. What its step has woken is seen only after that step.
        let moving = self.moving.lock();
        let still = systems
            .iter()
            .filter(|system| system.time.paused().is_some() && self.is_still(system));
        let paused = still.filter_map(|system| system.time.paused());
        // One step in each: what it wakes must run before the next.
        let moved = paused.filter(|paused| paused.advance(self, &*self.machine)).count();
        drop(moving);
        if moved > 0 {
            // What has fired may have woken nobody, and then nobody would ask again.
            self.scheduler.wake_spare();
            return;
        }
        if self.is_expected() {
            return;
        }
        for system in &systems {
            if let Some(report) = self.deadlock(system) {
                // Processes that do not end in an orderly stop, and never will, are not waited for.
                let stopped = system.stop.reason();
                system.end(stopped.unwrap_or(ExitReason::Deadlock(report)));
            }
        }
    }

    /// Whether every process of the system waits. That no worker has anything to do is not enough: another one may just have
    /// found something, and an end may not have been reported yet. Whoever has to act makes a worker ask again afterwards.
    fn is_still(&self, system: &Arc<System<H>>) -> bool {
        let mut is_still = true;
        self.for_each_process(|process| {
            is_still &= !Arc::ptr_eq(&process.system, system) || (process.is_blocked() && !process.is_throttled());
        });
        is_still
    }

    /// Called when the last timer of the clock or of the post has fired, which may not have woken anybody. The last worker
    /// that went to sleep saw that there were timers, so one must look for deadlocks again.
    pub(crate) fn look_for_deadlocks(&self) {
        if !self.scheduler.is_busy() {
            self.scheduler.wake_spare();
        }
    }

    /// Whether a timer is set, or a process waits for something outside.
    fn is_expected(&self) -> bool {
        self.outside.load(Ordering::SeqCst) > 0 || self.clock.has_timers() || self.post.has_timers()
    }

    /// The report of which process waits for what, if every process of the system waits for another.
    ///
    /// Meanwhile, a timer or a thread of the host may wake a process, which runs and waits again. So this checks twice:
    /// if no process has run between the checks, and nothing is expected in between, nothing will ever happen.
    fn deadlock(&self, system: &Arc<System<H>>) -> Option<String> {
        // A paused clock that did not move, because a process had something to do just now, moves next time.
        let can_move = || system.time.paused().is_some_and(Paused::has_timers);
        if can_move() {
            return None;
        }
        let (waiting, runs) = self.all_blocked(system)?;
        let is_settled =
            !can_move() && !self.is_expected() && self.all_blocked(system).is_some_and(|(_, again)| again == runs);
        is_settled.then(|| self.host.deadlock(self, system, waiting))
    }

    /// What each process of the system waits for, and how often all of them have run; `None` if one is not blocked.
    fn all_blocked(&self, system: &Arc<System<H>>) -> Option<(Waiting, u32)> {
        let (mut waiting, mut runs, mut all_blocked) = (Waiting::new(), 0_u32, true);
        self.for_each_process(|process| {
            if Arc::ptr_eq(&process.system, system) {
                let (wait, what) = process.wait();
                all_blocked &= process.is_blocked();
                runs = runs.wrapping_add(process.runs());
                waiting.push((process.id, wait, what));
            }
        });
        // A system that is just starting has a process in a queue, or none yet.
        (all_blocked && !waiting.is_empty()).then_some((waiting, runs))
    }
}

/// Processes, and what each waits for.
type Waiting = Vec<(Id, WaitFor, Id)>;

impl<H: Host> Timekeeper<Arc<Process<H>>> for Kernel<H> {
    fn is_busy(&self) -> bool {
        self.scheduler.is_busy()
    }

    fn tick(&self, slice: u64) {
        self.scheduler.tick(slice);
        self.host.tick(slice);
    }

    fn wake(&self, process: &Arc<Process<H>>) {
        self.scheduler.wake(process);
    }

    fn ran_out(&self) {
        self.look_for_deadlocks();
    }

    fn passes(&self, now: Option<Instant>) {
        self.coarse.set(now);
    }
}
