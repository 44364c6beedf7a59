//! A whole system goes over to another version of its code, or comes back.
//!
//! ```text
//! Checking ──▶ Canary ──▶ Watching ──▶ Changing ──▶ Done
//!    │           └───────────┴────────────┴───────▶ RolledBack
//!    └──▶ Refused, or Rehearsed
//! ```

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lunatic_kernel::address::Id;
use lunatic_kernel::exit::ExitReason;
use parking_lot::{Condvar, Mutex};

use super::order::{Order, Outcome, States};
use super::report::{Canary, UpgradeConfig, UpgradeKind, UpgradePhase, UpgradeReport};
use super::versions::Versions;
use crate::engine::Layout;
use crate::module::Module;
use crate::wasm::{Kernel, Process, System};

/// Why a process stays in its version is told for so many.
const TOLD_MAX: usize = 100;
/// So often it is looked at how canaries do, and who has ended that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// A process that comes to its point of change within this time can be the sample of its kind.
const REHEARSAL_GRACE: Duration = Duration::from_secs(1);
/// Processes that are spawned in the former version meanwhile are changed in so many rounds.
const ROUNDS_MAX: usize = 16;
/// A canary's mailbox has grown if it holds so many more entries than before, and twice as many.
const GROWTH: usize = 1000;

/// An upgrade that was begun: see [`RunningSystem::upgrade`](crate::RunningSystem::upgrade).
pub struct Upgrade {
    kernel: Arc<Kernel>,
    system: Arc<System>,
    module: Arc<Module>,
    config: UpgradeConfig,
    is_cancelled: AtomicBool,
    began: Instant,
    state: Mutex<State>,
    moved_on: Condvar,
}

struct State {
    report: UpgradeReport,
    pauses: Vec<Duration>,
    /// Where each process that has changed comes from.
    origins: HashMap<Id, Arc<Module>>,
    kept: States,
}

/// A process that can change.
#[derive(Clone)]
struct Candidate {
    process: Arc<Process>,
    entry: String,
    /// It hears of a version that waits.
    by_mail: bool,
    depth: usize,
}

impl Upgrade {
    pub(crate) fn new(kernel: &Arc<Kernel>, system: &Arc<System>, module: &Arc<Module>, config: UpgradeConfig) -> Self {
        let versions = versions(system);
        let from = versions.current().0;
        let (to, module) = versions.add(module);
        let report = UpgradeReport {
            from,
            to,
            code: module.identity().clone(),
            phase: UpgradePhase::Checking,
            kinds: Vec::new(),
            changed: 0,
            kept: 0,
            refusals: Vec::new(),
            waiting: 0,
            without_point: 0,
            pauses: [Duration::ZERO; 3],
            time: Duration::ZERO,
        };
        Self {
            kernel: kernel.clone(),
            system: system.clone(),
            module,
            config,
            is_cancelled: AtomicBool::new(false),
            began: Instant::now(),
            state: Mutex::new(State {
                report,
                pauses: Vec::new(),
                origins: HashMap::new(),
                kept: States::new(),
            }),
            moved_on: Condvar::new(),
        }
    }

    /// What it has done so far.
    pub fn report(&self) -> UpgradeReport {
        let state = self.state.lock();
        let mut report = state.report.clone();
        if !report.phase.is_over() {
            report.time = self.began.elapsed();
        }
        let mut pauses = state.pauses.clone();
        drop(state);
        pauses.sort_unstable();
        if let Some(last) = pauses.len().checked_sub(1) {
            report.pauses = [last / 2, last * 99 / 100, last].map(|place| pauses[place]);
        }
        report
    }

    /// Waits until nothing more will happen, and tells what has.
    pub fn wait(&self) -> UpgradeReport {
        let mut state = self.state.lock();
        while !state.report.phase.is_over() {
            self.moved_on.wait(&mut state);
        }
        drop(state);
        self.report()
    }

    /// Takes back what it has changed. Nothing happens if it is over.
    pub fn cancel(&self) {
        self.is_cancelled.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.state.lock().report.phase.is_over()
    }

    /// Does it: to be called once, by a thread of its own.
    pub(crate) fn run(&self) {
        let phase = match self.try_run() {
            Ok(phase) => phase,
            Err(why) if self.state.lock().origins.is_empty() => UpgradePhase::Refused(why),
            Err(why) => {
                self.enter(UpgradePhase::RollingBack(why.clone()));
                self.roll_back();
                UpgradePhase::RolledBack(why)
            }
        };
        let mut state = self.state.lock();
        state.report.time = self.began.elapsed();
        state.report.waiting = match phase {
            UpgradePhase::Done => state.report.waiting,
            _ => 0,
        };
        // Nobody goes back any more.
        (state.origins, state.kept) = Default::default();
        drop(state);
        self.enter(phase);
    }

    fn enter(&self, phase: UpgradePhase) {
        self.state.lock().report.phase = phase;
        self.moved_on.notify_all();
    }

    fn try_run(&self) -> Result<UpgradePhase, String> {
        // In both layouts, so that no process stands still for that.
        for layout in [Layout::Fast, Layout::Dense] {
            let made = self.module.pre(&self.kernel.host, layout);
            made.map_err(|error| format!("cannot compile the version: {error:#}"))?;
        }
        let misfits = self.check();
        if self.config.rehearse_only {
            return Ok(UpgradePhase::Rehearsed);
        }
        if let (Some(misfit), false) = (misfits, self.config.is_partial) {
            return Err(misfit);
        }
        let canaries = self.choose(self.candidates());
        if !canaries.is_empty() {
            self.enter(UpgradePhase::Canary);
            let before: Vec<_> = canaries.iter().map(|canary| canary.process.mailbox_size().0).collect();
            self.change(&canaries)?;
            let kept = self.state.lock().report.refusals.first().map(|(_, why)| why.clone());
            if let Some(why) = kept {
                return Err(format!("the first processes did not change: {why}"));
            }
            self.enter(UpgradePhase::Watching);
            self.watch(&canaries, &before)?;
        }
        self.enter(UpgradePhase::Changing);
        let to = self.state.lock().report.to;
        versions(&self.system).set_current(to, self.module.clone());
        for _ in 0..ROUNDS_MAX {
            let known = self.state.lock().report.refusals.len();
            let candidates = self.candidates();
            if candidates.is_empty() {
                break;
            }
            for batch in candidates.chunks(self.config.batch.max(1)) {
                self.change(batch)?;
            }
            // What is left stays or waits: another round is for what was spawned meanwhile.
            let left = self.state.lock().report.refusals.len();
            if left > known || self.state.lock().report.waiting > 0 {
                break;
            }
        }
        Ok(UpgradePhase::Done)
    }

    /// Finds out what the new version can have; why not all of it, if so.
    fn check(&self) -> Option<String> {
        let mut kinds: BTreeMap<String, (UpgradeKind, Candidate)> = BTreeMap::new();
        for candidate in self.candidates() {
            let entry = candidate.entry.clone();
            let (kind, _) = kinds.entry(entry.clone()).or_insert_with(|| {
                let kind = UpgradeKind {
                    misfit: self.missing(&candidate),
                    entry,
                    processes: 0,
                    is_tried: false,
                };
                (kind, candidate)
            });
            kind.processes += 1;
        }
        for (kind, sample) in kinds.values_mut() {
            if kind.misfit.is_none() {
                match self.rehearse(sample) {
                    Some(Outcome::Changed { .. }) => kind.is_tried = true,
                    Some(Outcome::Kept { why }) => kind.misfit = Some(why),
                    // It is busy, or has ended.
                    None => {}
                }
            }
        }
        let kinds: Vec<_> = kinds.into_values().map(|(kind, _)| kind).collect();
        let misfit = kinds.iter().find_map(|kind| {
            let why = kind.misfit.as_ref()?;
            Some(format!(
                "{} of `{}` cannot change: {why}",
                count(kind.processes),
                kind.entry
            ))
        });
        self.state.lock().report.kinds = kinds;
        misfit
    }

    fn missing(&self, candidate: &Candidate) -> Option<String> {
        let code = &candidate.process.local.code;
        let name = code.offered_name();
        let found = name.and_then(|name| self.module.entries().find(&name));
        match found {
            Some(_) => None,
            None => Some("the version has no function of this name".into()),
        }
    }

    /// Has the new version read the state of a process, which goes on as it is. `None` if it does not come to its point of change
    /// soon enough.
    fn rehearse(&self, candidate: &Candidate) -> Option<Outcome> {
        let mut order = Order::new(self.module.clone(), self.config.time_limit);
        order.is_rehearsal = true;
        let order = Arc::new(order);
        self.place(&candidate.process, &order);
        let patience = self
            .config
            .patience
            .min(self.config.time_limit.saturating_add(REHEARSAL_GRACE));
        let (id, deadline) = (candidate.process.id, Instant::now() + patience);
        loop {
            let now = Instant::now();
            let outcome = order.wait(deadline.min(now + LOOK_EVERY)).remove(&id);
            let is_over = now >= deadline || !self.kernel.is_alive(id) || self.is_cancelled.load(Ordering::Relaxed);
            if outcome.is_some() || is_over {
                candidate.process.local.code.withdraw(&order);
                return outcome;
            }
        }
    }

    fn place(&self, process: &Arc<Process>, order: &Arc<Order<Module>>) {
        let Some(offer) = process.local.code.place(order) else {
            return;
        };
        if offer.by_mail {
            self.kernel.tell_of_change(process);
        }
    }

    /// All that can change and has not, in the order in which it is to.
    fn candidates(&self) -> Vec<Candidate> {
        let (mut all, mut parents, mut without) = (Vec::new(), HashMap::new(), 0);
        let mut names: HashMap<(usize, u32), String> = HashMap::new();
        let versions = versions(&self.system);
        self.kernel.visit_processes(|process| {
            if !Arc::ptr_eq(&process.system, &self.system) {
                return;
            }
            if let Some(parent) = process.parent {
                parents.insert(process.id, parent);
            }
            let code = &process.local.code;
            if code.is_of(&self.module) || process.is_killed() || !versions.has(code.identity()) {
                return;
            }
            match code.offered() {
                None => without += 1,
                Some(offer) => {
                    let key = (code.identity(), offer.entry);
                    let name = names.entry(key).or_insert_with(|| {
                        let name = code.offered_name();
                        name.map_or_else(|| format!("function {}", offer.entry), |name| name.to_string())
                    });
                    all.push(Candidate {
                        process: process.clone(),
                        entry: name.clone(),
                        by_mail: offer.by_mail,
                        depth: 0,
                    });
                }
            }
        });
        for candidate in &mut all {
            let ancestors = std::iter::successors(Some(candidate.process.id), |id| parents.get(id).copied());
            candidate.depth = ancestors.take(DEPTH_MAX).count();
        }
        all.sort_by_key(|candidate| candidate.depth);
        if self.config.children_first {
            all.reverse();
        }
        self.state.lock().report.without_point = without;
        all
    }

    /// Those of the candidates that change first.
    fn choose(&self, mut candidates: Vec<Candidate>) -> Vec<Candidate> {
        let count = match &self.config.canary {
            Canary::None => 0,
            Canary::Count(count) => *count,
            Canary::Percent(percent) => (candidates.len() as f64 * percent / 100.0).ceil() as usize,
            Canary::Named(part) => {
                candidates.retain(|candidate| crate::inspect::is_called(&candidate.process, part));
                return candidates;
            }
        };
        // Those that come at once, and of them not those that others depend on.
        candidates.sort_by_key(|candidate| (!candidate.by_mail, Reverse(candidate.depth)));
        candidates.truncate(count);
        candidates
    }

    /// Has processes change, and waits for them.
    fn change(&self, candidates: &[Candidate]) -> Result<(), String> {
        let order = Arc::new(Order::new(self.module.clone(), self.config.time_limit));
        let mut waited = HashMap::new();
        for candidate in candidates {
            waited.insert(
                candidate.process.id,
                (candidate.process.clone(), candidate.process.local.module()),
            );
            self.place(&candidate.process, &order);
        }
        let deadline = Instant::now() + self.config.patience;
        while !waited.is_empty() && Instant::now() < deadline {
            for (id, outcome) in order.wait(deadline.min(Instant::now() + LOOK_EVERY)) {
                if let Some((_, origin)) = waited.remove(&id) {
                    self.note(id, outcome, origin);
                }
            }
            // Those that have ended never come.
            waited.retain(|id, _| self.kernel.is_alive(*id));
            if self.is_cancelled.load(Ordering::Relaxed) {
                self.take_kept(&order);
                self.withdraw(waited.values().map(|(process, _)| process), &order);
                return Err("it was cancelled".into());
            }
        }
        self.take_kept(&order);
        self.state.lock().report.waiting += waited.len();
        Ok(())
    }

    fn take_kept(&self, order: &Order<Module>) {
        self.state.lock().kept.extend(order.take_kept());
    }

    fn withdraw<'a>(&self, processes: impl Iterator<Item = &'a Arc<Process>>, order: &Arc<Order<Module>>) {
        for process in processes {
            process.local.code.withdraw(order);
        }
    }

    fn note(&self, id: Id, outcome: Outcome, origin: Arc<Module>) {
        let mut state = self.state.lock();
        match outcome {
            Outcome::Changed { pause } => {
                state.report.changed += 1;
                state.pauses.push(pause);
                state.origins.insert(id, origin);
            }
            Outcome::Kept { why } => {
                state.report.kept += 1;
                if state.report.refusals.len() < TOLD_MAX {
                    state.report.refusals.push((id, why));
                }
            }
        }
    }

    /// Looks how those do that have changed first.
    fn watch(&self, canaries: &[Candidate], before: &[usize]) -> Result<(), String> {
        let end = Instant::now() + self.config.watch;
        loop {
            if self.is_cancelled.load(Ordering::Relaxed) {
                return Err("it was cancelled".into());
            }
            for (canary, before) in canaries.iter().zip(before) {
                let id = canary.process.id;
                if !self.kernel.is_alive(id) {
                    let reason = self.kernel.exit_reason(id);
                    if !matches!(reason, ExitReason::Normal | ExitReason::Shutdown) {
                        return Err(format!("process {id}, which changed first, {reason}"));
                    }
                }
                let now = canary.process.mailbox_size().0;
                if now > before + GROWTH && now > before * 2 {
                    return Err(format!(
                        "the mailbox of process {id}, which changed first, has grown from {before} to {now} entries"
                    ));
                }
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            let mut state = self.state.lock();
            self.moved_on.wait_for(&mut state, left.min(LOOK_EVERY));
        }
    }

    /// Brings all that has changed back to where it comes from.
    fn roll_back(&self) {
        let (origins, fallbacks, from) = {
            let mut state = self.state.lock();
            let origins = std::mem::take(&mut state.origins);
            (origins, std::mem::take(&mut state.kept), state.report.from)
        };
        let mut groups: HashMap<usize, (Arc<Module>, Vec<Arc<Process>>)> = HashMap::new();
        for (id, origin) in origins {
            let changed = self.kernel.find(id);
            if let Some(process) = changed.filter(|process| process.local.code.is_of(&self.module)) {
                let key = Arc::as_ptr(&origin).addr();
                groups
                    .entry(key)
                    .or_insert_with(|| (origin, Vec::new()))
                    .1
                    .push(process);
            }
        }
        for (origin, processes) in groups.into_values() {
            self.bring_back(&origin, &processes, &fallbacks);
            let is_former = versions(&self.system).number_of(&origin) == from;
            if is_former {
                versions(&self.system).set_current(from, origin);
            }
        }
    }

    fn bring_back(&self, origin: &Arc<Module>, processes: &[Arc<Process>], fallbacks: &States) {
        let of = |process: &Arc<Process>| Some((process.id, fallbacks.get(&process.id)?.clone()));
        let restored = processes.iter().filter(|_| self.config.restores_saved);
        let fallbacks = restored.filter_map(of).collect();
        let order = Order::new(origin.clone(), self.config.time_limit).with_fallbacks(fallbacks);
        let order = Arc::new(order);
        let mut waited: HashMap<Id, ()> = HashMap::new();
        for process in processes {
            waited.insert(process.id, ());
            self.place(process, &order);
        }
        let deadline = Instant::now() + self.config.patience;
        while !waited.is_empty() && Instant::now() < deadline {
            for (id, outcome) in order.wait(deadline.min(Instant::now() + LOOK_EVERY)) {
                waited.remove(&id);
                let mut state = self.state.lock();
                match outcome {
                    Outcome::Changed { .. } => state.report.changed -= 1,
                    Outcome::Kept { why } if state.report.refusals.len() < TOLD_MAX => {
                        state.report.refusals.push((id, why));
                    }
                    Outcome::Kept { .. } => {}
                }
            }
            waited.retain(|id, ()| self.kernel.is_alive(*id));
        }
    }
}

/// The versions of the code of a system.
pub(crate) fn versions(system: &System) -> Arc<Versions<Module>> {
    let versions = system.data.states.find();
    versions.expect("a system begins with one")
}

/// The upgrade of a system that was begun last.
#[derive(Default)]
struct Last(Mutex<Option<Arc<Upgrade>>>);

/// Why an upgrade was not begun.
#[derive(Debug)]
#[non_exhaustive]
pub enum UpgradeError {
    /// Another one goes on.
    Busy,
    /// The machine refused a thread.
    Thread(std::io::Error),
}

impl fmt::Display for UpgradeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str("another upgrade of this program goes on"),
            Self::Thread(error) => write!(f, "cannot start a thread: {error}"),
        }
    }
}

impl std::error::Error for UpgradeError {}

/// Begins an upgrade of a system, if none goes on.
pub(crate) fn begin(
    kernel: &Arc<Kernel>,
    system: &Arc<System>,
    module: &Arc<Module>,
    config: UpgradeConfig,
) -> Result<Arc<Upgrade>, UpgradeError> {
    let last = system.data.states.get_or_insert_with(Last::default);
    let mut last = last.0.lock();
    if last.as_ref().is_some_and(|last| !last.is_over()) {
        return Err(UpgradeError::Busy);
    }
    let upgrade = Arc::new(Upgrade::new(kernel, system, module, config));
    let running = upgrade.clone();
    let spawned = std::thread::Builder::new()
        .name("lunatic-upgrade".into())
        .spawn(move || running.run());
    spawned.map_err(UpgradeError::Thread)?;
    *last = Some(upgrade.clone());
    Ok(upgrade)
}

/// The upgrade of a system that was begun last.
pub(crate) fn last(system: &System) -> Option<Arc<Upgrade>> {
    system.data.states.find::<Last>()?.0.lock().clone()
}

/// No process is deeper in the tree, as far as the order goes.
const DEPTH_MAX: usize = 64;

fn count(processes: usize) -> String {
    match processes {
        1 => "1 process".into(),
        many => format!("{many} processes"),
    }
}
