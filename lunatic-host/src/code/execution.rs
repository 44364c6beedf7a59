//! The execution of an upgrade, by a thread of its own: changes the processes of a system, or rolls them back.
//!
//! ```text
//! Checking ──▶ Canary ──▶ Watching ──▶ Changing ──▶ Done
//!    │           └───────────┴────────────┴───────▶ RolledBack
//!    └──▶ Refused, or Rehearsed
//! ```

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use lunatic_kernel::address::Id;

use super::candidates::{Candidate, Part, choose};
use super::order::{Order, Outcome, Room, States};
use super::rehearsal::{Rehearsal, misfit};
use super::report::UpgradePhase;
use super::round::{LOOK_EVERY, Round, take_back};
use super::upgrade::{Late, State, Upgrade, versions};
use super::versions::Versions;
use super::watch::Watch;
use crate::engine::Layout;
use crate::module::Module;
use crate::wasm::{Kernel, Process, System};

/// The most processes for which a report says why they stay in their version.
const TOLD_MAX: usize = 100;
/// The most rounds for processes that are spawned in the former version meanwhile.
const ROUNDS_MAX: usize = 16;
/// How long processes have to roll back, if someone with more rights wants another upgrade: those that have not done so
/// stay in the version.
const HURRIED: Duration = Duration::from_secs(1);

const BUG: &str = "the host has a bug: the thread of the upgrade has panicked, and processes may run either version";
const CANCELLED: &str = "it was cancelled";

/// An upgrade that is being carried out.
pub(super) struct Execution {
    upgrade: Arc<Upgrade>,
    kernel: Arc<Kernel>,
    system: Arc<System>,
    /// For the states with which processes leave their former version.
    room: Arc<Room>,
}

impl Execution {
    pub(super) fn new(upgrade: Arc<Upgrade>, kernel: Arc<Kernel>, system: Arc<System>) -> Self {
        Self {
            upgrade,
            kernel,
            system,
            room: Arc::default(),
        }
    }

    /// Executes the upgrade on the calling thread.
    pub(super) fn run(self) {
        let former = self.upgrade.after.lock().take();
        if let Some(former) = former {
            former.wait();
        }
        let result = self.try_run();
        if result.is_err() {
            self.restore_current();
        }
        let phase = match result {
            Ok(phase) => phase,
            Err(why) if !self.has_changed() => UpgradePhase::Refused(why),
            Err(why) => {
                self.upgrade.enter(UpgradePhase::RollingBack(why.clone()));
                self.roll_back();
                UpgradePhase::RolledBack(why)
            }
        };
        let mut state = self.upgrade.state.lock();
        state.report.time = self.upgrade.began.elapsed();
        state.report.waiting = match phase {
            UpgradePhase::Done => state.report.waiting,
            _ => 0,
        };
        // No process can roll back any more.
        (state.origins, state.late, state.kept, state.former) = Default::default();
        drop(state);
        self.upgrade.enter(phase);
    }

    /// Makes the version current again that was current before.
    fn restore_current(&self) {
        let former = self.upgrade.state.lock().former.take();
        if let Some((number, module)) = former {
            versions(&self.system).set_current(number, module);
        }
    }

    /// Whether any process has changed. Processes that have not changed yet will not.
    fn has_changed(&self) -> bool {
        let late = std::mem::take(&mut self.upgrade.state.lock().late);
        for late in late {
            take_back(&self.kernel, &late.process, &late.order);
            let mut state = self.upgrade.state.lock();
            state.kept.extend(late.order.take_kept());
            if late.process.local.code.is_of(&self.upgrade.module)
                && state.origins.insert(late.process.id, late.origin).is_none()
            {
                state.report.changed += 1;
            }
        }
        !self.upgrade.state.lock().origins.is_empty()
    }

    fn try_run(&self) -> Result<UpgradePhase, String> {
        // For both layouts, so that no process pauses for a compilation.
        for layout in [Layout::Fast, Layout::Dense] {
            let made = self.upgrade.module.pre(&self.kernel.host, layout);
            made.map_err(|error| format!("cannot compile the version: {error:#}"))?;
        }
        self.check()?;
        if self.upgrade.config.rehearse_only {
            return Ok(UpgradePhase::Rehearsed);
        }
        self.try_canaries()?;
        self.upgrade.enter(UpgradePhase::Changing);
        if self.upgrade.within.is_none() {
            let to = self.upgrade.state.lock().report.to;
            versions(&self.system).set_current(to, self.upgrade.module.clone());
        }
        self.change_all()?;
        Ok(UpgradePhase::Done)
    }

    /// Changes the first processes, and watches them.
    fn try_canaries(&self) -> Result<(), String> {
        let (canary, candidates) = (&self.upgrade.config.canary, self.candidates());
        if !canary.is_wanted() || candidates.is_empty() {
            return Ok(());
        }
        let canaries = choose(canary, candidates);
        if canaries.is_empty() {
            return Err("no process that can change has the name of the processes that should change first".into());
        }
        self.upgrade.enter(UpgradePhase::Canary);
        let watch = Watch::begin(&canaries, &self.upgrade.module);
        self.change(&canaries)?;
        let state = self.upgrade.state.lock();
        if let Some((_, why)) = state.report.refusals.first() {
            return Err(format!("the first processes did not change: {why}"));
        }
        if state.origins.is_empty() {
            let patience = self.upgrade.config.patience;
            return Err(format!(
                "none of the first processes changed: they have ended, or did not reach their point of change within {patience:?}"
            ));
        }
        drop(state);
        self.upgrade.enter(UpgradePhase::Watching);
        self.watch(watch)
    }

    /// Finds out which processes the new version can take over.
    fn check(&self) -> Result<(), String> {
        let is_stopped = || self.is_cancelled();
        let rehearsal = Rehearsal {
            kernel: &self.kernel,
            module: &self.upgrade.module,
            config: &self.upgrade.config,
            is_stopped: &is_stopped,
        };
        let kinds = rehearsal.kinds(self.candidates());
        let misfit = misfit(&kinds);
        self.upgrade.state.lock().report.kinds = kinds;
        let is_let_be = self.upgrade.config.is_partial || self.upgrade.config.rehearse_only;
        match misfit {
            Some(misfit) if !is_let_be => Err(misfit),
            _ if self.is_cancelled() => Err(CANCELLED.into()),
            _ => Ok(()),
        }
    }

    /// The processes that can change and have not, in the order in which they will.
    fn candidates(&self) -> Vec<Candidate> {
        let versions = versions(&self.system);
        let (mut candidates, without_point) = self.part(&versions).candidates(&self.upgrade.module);
        if self.upgrade.config.children_first {
            candidates.reverse();
        }
        self.upgrade.state.lock().report.without_point = without_point;
        candidates
    }

    fn part<'a>(&'a self, versions: &'a Versions<Module>) -> Part<'a> {
        Part {
            kernel: &self.kernel,
            system: &self.system,
            versions,
            within: self.upgrade.within.as_deref(),
        }
    }

    fn change_all(&self) -> Result<(), String> {
        for _ in 0..ROUNDS_MAX {
            let known = self.upgrade.state.lock().report.refusals.len();
            let mut candidates = self.candidates();
            self.settle_late(&mut candidates);
            if candidates.is_empty() {
                break;
            }
            self.change(&candidates)?;
            // The rest stays or waits; another round is for processes that were spawned meanwhile.
            let state = self.upgrade.state.lock();
            if state.report.refusals.len() > known || state.report.waiting > 0 {
                break;
            }
        }
        Ok(())
    }

    /// Counts processes that were late and have changed since. The other ones among the candidates are asked again, and are
    /// not late meanwhile.
    fn settle_late(&self, candidates: &mut Vec<Candidate>) {
        let asked: HashSet<Id> = candidates.iter().map(|candidate| candidate.process.id).collect();
        let has_changed = |process: &Process| process.local.code.is_of(&self.upgrade.module);
        let mut state = self.upgrade.state.lock();
        for late in std::mem::take(&mut state.late) {
            let id = late.process.id;
            state.kept.extend(late.order.take_kept());
            if has_changed(&late.process) {
                state.report.changed += usize::from(state.origins.insert(id, late.origin).is_none());
            } else if !asked.contains(&id) {
                state.late.push(late);
            }
        }
        state.report.waiting = state.late.len();
        // Some have changed since they were found.
        candidates.retain(|candidate| !has_changed(&candidate.process));
    }

    /// Changes processes, level by level of the tree, and waits for them.
    fn change(&self, candidates: &[Candidate]) -> Result<(), String> {
        let config = &self.upgrade.config;
        let order = Order::new(self.upgrade.module.clone(), config.time_limit)
            .keeping(&self.room)
            .describing(config.is_partial);
        let order = Arc::new(order);
        for level in candidates.chunk_by(|one, other| one.depth == other.depth) {
            let mut origins: HashMap<_, _> = level
                .iter()
                .map(|candidate| (candidate.process.id, candidate.process.local.module()))
                .collect();
            let processes = level.iter().map(|candidate| &candidate.process);
            let is_stopped = || self.is_cancelled();
            let round = self.round(&order, self.upgrade.config.patience, &is_stopped);
            let done = round.run(processes, |id, outcome| {
                if let Some(origin) = origins.remove(&id) {
                    self.note(id, outcome, origin);
                }
            });
            let mut state = self.upgrade.state.lock();
            state.kept.extend(order.take_kept());
            state.report.waiting += done.late.len();
            state.late.extend(done.late.into_iter().filter_map(|process| {
                Some(Late {
                    process: process.clone(),
                    order: order.clone(),
                    origin: origins.remove(&process.id)?,
                })
            }));
            if done.is_stopped {
                return Err(CANCELLED.into());
            }
        }
        Ok(())
    }

    fn round<'a>(
        &'a self,
        order: &Arc<Order<Module>>,
        patience: Duration,
        is_stopped: &'a dyn Fn() -> bool,
    ) -> Round<'a> {
        Round {
            kernel: &self.kernel,
            order: order.clone(),
            batch: self.upgrade.config.batch,
            patience,
            is_stopped,
        }
    }

    fn note(&self, id: Id, outcome: Outcome, origin: Arc<Module>) {
        let mut state = self.upgrade.state.lock();
        match outcome {
            Outcome::Changed { pause } => {
                state.report.changed += 1;
                state.pauses.push(pause);
                state.origins.insert(id, origin);
            }
            Outcome::Kept { why } => {
                state.report.kept += 1;
                state.refuse(id, why);
            }
        }
    }

    /// Watches the processes that have changed first.
    fn watch(&self, mut watch: Watch) -> Result<(), String> {
        // A time too far away to be represented is as good as none.
        let end = Instant::now().checked_add(self.upgrade.config.watch);
        loop {
            if self.is_cancelled() {
                return Err(CANCELLED.into());
            }
            if let Some(why) = watch.look(&self.kernel, &self.part(&versions(&self.system))) {
                return Err(why);
            }
            let left = end.map_or(LOOK_EVERY, |end| end.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return Ok(());
            }
            let mut state = self.upgrade.state.lock();
            self.upgrade.moved_on.wait_for(&mut state, left.min(LOOK_EVERY));
        }
    }

    /// Returns all processes that have changed to their former version.
    fn roll_back(&self) {
        let (origins, fallbacks) = {
            let mut state = self.upgrade.state.lock();
            (std::mem::take(&mut state.origins), std::mem::take(&mut state.kept))
        };
        let mut groups: HashMap<usize, (Arc<Module>, Vec<Arc<Process>>)> = HashMap::new();
        for (id, origin) in origins {
            let changed = self.kernel.find(id);
            if let Some(process) = changed.filter(|process| process.local.code.is_of(&self.upgrade.module)) {
                let key = Arc::as_ptr(&origin).addr();
                let (_, group) = groups.entry(key).or_insert_with(|| (origin, Vec::new()));
                group.push(process);
            }
        }
        for (origin, processes) in groups.into_values() {
            if self.is_out_of_time() {
                break;
            }
            self.bring_back(&origin, &processes, &fallbacks);
        }
    }

    fn bring_back(&self, origin: &Arc<Module>, processes: &[Arc<Process>], fallbacks: &States) {
        let of = |process: &Arc<Process>| Some((process.id, fallbacks.get(&process.id)?.clone()));
        let restored = processes.iter().filter(|_| self.upgrade.config.restores_saved);
        let fallbacks = restored.filter_map(of).collect();
        let order = Order::new(origin.clone(), self.upgrade.config.time_limit).with_fallbacks(fallbacks);
        let is_stopped = || self.is_out_of_time();
        let round = self.round(&Arc::new(order), self.upgrade.config.patience, &is_stopped);
        round.run(processes, |id, outcome| {
            let mut state = self.upgrade.state.lock();
            match outcome {
                Outcome::Changed { .. } => state.report.changed = state.report.changed.saturating_sub(1),
                Outcome::Kept { why } => state.refuse(id, why),
            }
        });
    }

    /// Whether another upgrade has waited for the way back for long enough.
    fn is_out_of_time(&self) -> bool {
        let hurried = self.upgrade.hurried.get();
        hurried.is_some_and(|since| since.elapsed() >= HURRIED)
    }

    fn is_cancelled(&self) -> bool {
        self.upgrade.is_cancelled.load(Ordering::Relaxed)
    }
}

/// If the thread panics, nobody waits for the end in vain.
impl Drop for Execution {
    fn drop(&mut self) {
        if !std::thread::panicking() || self.upgrade.is_over() {
            return;
        }
        self.restore_current();
        let has_changed = self.upgrade.state.lock().report.changed > 0;
        let phase = if has_changed {
            UpgradePhase::RolledBack
        } else {
            UpgradePhase::Refused
        };
        self.upgrade.enter(phase(BUG.into()));
    }
}

impl State {
    fn refuse(&mut self, id: Id, why: String) {
        if self.report.refusals.len() < TOLD_MAX {
            self.report.refusals.push((id, why));
        }
    }
}
