//! A whole system goes over to another version of its code, or comes back.
//!
//! ```text
//! Checking ──▶ Canary ──▶ Watching ──▶ Changing ──▶ Done
//!    │           └───────────┴────────────┴───────▶ RolledBack
//!    └──▶ Refused, or Rehearsed
//! ```

use std::collections::HashMap;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use lunatic_kernel::address::Id;
use parking_lot::{Condvar, Mutex};

use super::candidates::{Candidate, Part, choose};
use super::order::{Order, Outcome, States};
use super::rehearsal::{Rehearsal, misfit};
use super::report::{UpgradeConfig, UpgradePhase, UpgradeReport};
use super::round::{LOOK_EVERY, Round};
use super::versions::Versions;
use super::watch::Watch;
use crate::engine::Layout;
use crate::module::Module;
use crate::rights::Rights;
use crate::wasm::{Kernel, Process, System};

/// Why a process stays in its version is told for so many.
const TOLD_MAX: usize = 100;
/// Processes that are spawned in the former version meanwhile are changed in so many rounds.
const ROUNDS_MAX: usize = 16;
/// So long processes are waited for that go back, if somebody who may more wants another upgrade.
const HURRIED: Duration = Duration::from_secs(1);

/// An upgrade that was begun: see [`RunningSystem::upgrade`](crate::RunningSystem::upgrade).
pub struct Upgrade {
    kernel: Arc<Kernel>,
    system: Arc<System>,
    module: Arc<Module>,
    config: UpgradeConfig,
    /// Which of the system's upgrades it is, from 1 on.
    number: u32,
    /// It changes only processes with these rights, or with rights that were narrowed from these.
    within: Option<Arc<Rights>>,
    /// One that has to be over first.
    after: Mutex<Option<Arc<Upgrade>>>,
    is_cancelled: AtomicBool,
    is_hurried: AtomicBool,
    began: Instant,
    state: Mutex<State>,
    moved_on: Condvar,
}

struct State {
    report: UpgradeReport,
    pauses: Vec<Duration>,
    /// Where each process that has changed comes from.
    origins: HashMap<Id, Arc<Module>>,
    /// Those that were waited for in vain.
    late: Vec<Late>,
    kept: States,
    /// Processes that wait for the end.
    wakers: Vec<Waker>,
}

/// A process that changes when it comes to its point of change, if it is not told otherwise before.
struct Late {
    process: Arc<Process>,
    order: Arc<Order<Module>>,
    origin: Arc<Module>,
}

impl Upgrade {
    fn new(asked: Asked<'_>, number: u32, after: Option<Arc<Self>>) -> Self {
        let versions = versions(asked.system);
        let from = versions.current().0;
        let (to, module) = versions.add(asked.module);
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
            kernel: asked.kernel.clone(),
            system: asked.system.clone(),
            module,
            config: asked.config,
            number,
            within: asked.within,
            after: Mutex::new(after),
            is_cancelled: AtomicBool::new(false),
            is_hurried: AtomicBool::new(false),
            began: Instant::now(),
            state: Mutex::new(State {
                report,
                pauses: Vec::new(),
                origins: HashMap::new(),
                late: Vec::new(),
                kept: States::new(),
                wakers: Vec::new(),
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

    /// As [`wait`](Self::wait), for tasks.
    pub(crate) async fn over(&self) {
        poll_fn(|context| {
            let mut state = self.state.lock();
            if state.report.phase.is_over() {
                return Poll::Ready(());
            }
            if !state.wakers.iter().any(|waker| waker.will_wake(context.waker())) {
                state.wakers.push(context.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    /// Takes back what it has changed. Nothing happens if it is over.
    pub fn cancel(&self) {
        self.is_cancelled.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.state.lock().report.phase.is_over()
    }

    /// Which of the system's upgrades it is, from 1 on.
    pub fn number(&self) -> u32 {
        self.number
    }

    fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::Relaxed)
    }

    /// Whether it may touch fewer processes than one with these rights.
    fn is_narrower_than(&self, other: Option<&Rights>) -> bool {
        match (&self.within, other) {
            (Some(own), Some(other)) => own.group.is_within(&other.group) && !Arc::ptr_eq(&own.group, &other.group),
            (Some(_), None) => true,
            (None, _) => false,
        }
    }

    /// Whether it touches no processes but those with these rights or less; of all processes if that is `None`.
    pub(crate) fn is_within(&self, rights: Option<&Rights>) -> bool {
        match (&self.within, rights) {
            (_, None) => true,
            (Some(own), Some(rights)) => own.group.is_within(&rights.group),
            (None, Some(_)) => false,
        }
    }

    /// Does it: to be called once, by a thread of its own.
    fn run(&self) {
        let former = self.after.lock().take();
        if let Some(former) = former {
            former.wait();
        }
        let phase = match self.try_run() {
            Ok(phase) => phase,
            Err(why) if !self.has_changed() => UpgradePhase::Refused(why),
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
        (state.origins, state.late, state.kept) = Default::default();
        drop(state);
        self.enter(phase);
    }

    /// Whether anything has changed. What has not yet does not any more.
    fn has_changed(&self) -> bool {
        let mut state = self.state.lock();
        for late in std::mem::take(&mut state.late) {
            let is_away = !late.process.local.code.withdraw(&late.order);
            if is_away && late.process.local.code.is_of(&self.module) {
                state.origins.insert(late.process.id, late.origin);
            }
        }
        !state.origins.is_empty()
    }

    fn enter(&self, phase: UpgradePhase) {
        let mut state = self.state.lock();
        let wakers = match phase.is_over() {
            true => std::mem::take(&mut state.wakers),
            false => Vec::new(),
        };
        state.report.phase = phase;
        drop(state);
        self.moved_on.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }

    fn try_run(&self) -> Result<UpgradePhase, String> {
        // In both layouts, so that no process stands still for that.
        for layout in [Layout::Fast, Layout::Dense] {
            let made = self.module.pre(&self.kernel.host, layout);
            made.map_err(|error| format!("cannot compile the version: {error:#}"))?;
        }
        self.check()?;
        if self.config.rehearse_only {
            return Ok(UpgradePhase::Rehearsed);
        }
        let canaries = choose(&self.config.canary, self.candidates());
        if !canaries.is_empty() {
            self.enter(UpgradePhase::Canary);
            let watch = Watch::begin(&canaries, &self.module);
            self.change(&canaries)?;
            let kept = self.state.lock().report.refusals.first().map(|(_, why)| why.clone());
            if let Some(why) = kept {
                return Err(format!("the first processes did not change: {why}"));
            }
            self.enter(UpgradePhase::Watching);
            self.watch(watch)?;
        }
        self.enter(UpgradePhase::Changing);
        if self.within.is_none() {
            let to = self.state.lock().report.to;
            versions(&self.system).set_current(to, self.module.clone());
        }
        self.change_all()?;
        Ok(UpgradePhase::Done)
    }

    /// Finds out what the new version can have.
    fn check(&self) -> Result<(), String> {
        let is_stopped = || self.is_cancelled();
        let rehearsal = Rehearsal {
            kernel: &self.kernel,
            module: &self.module,
            config: &self.config,
            is_stopped: &is_stopped,
        };
        let kinds = rehearsal.kinds(self.candidates());
        let misfit = misfit(&kinds);
        self.state.lock().report.kinds = kinds;
        let is_let_be = self.config.is_partial || self.config.rehearse_only;
        match misfit {
            Some(misfit) if !is_let_be => Err(misfit),
            _ if self.is_cancelled() => Err(CANCELLED.into()),
            _ => Ok(()),
        }
    }

    /// All that can change and has not, in the order in which it is to.
    fn candidates(&self) -> Vec<Candidate> {
        let versions = versions(&self.system);
        let (mut candidates, without_point) = self.part(&versions).candidates(&self.module);
        if self.config.children_first {
            candidates.reverse();
        }
        self.state.lock().report.without_point = without_point;
        candidates
    }

    fn part<'a>(&'a self, versions: &'a Versions<Module>) -> Part<'a> {
        Part {
            kernel: &self.kernel,
            system: &self.system,
            versions,
            within: self.within.as_deref(),
        }
    }

    fn change_all(&self) -> Result<(), String> {
        for _ in 0..ROUNDS_MAX {
            let known = self.state.lock().report.refusals.len();
            let candidates = self.candidates();
            if candidates.is_empty() {
                break;
            }
            self.change(&candidates)?;
            // What is left stays or waits: another round is for what was spawned meanwhile.
            let state = self.state.lock();
            if state.report.refusals.len() > known || state.report.waiting > 0 {
                break;
            }
        }
        Ok(())
    }

    /// Has processes change, those that lie as deep in the tree at the same time, and waits for them.
    fn change(&self, candidates: &[Candidate]) -> Result<(), String> {
        let order = Arc::new(Order::new(self.module.clone(), self.config.time_limit));
        for level in candidates.chunk_by(|one, other| one.depth == other.depth) {
            let mut origins: HashMap<_, _> = level
                .iter()
                .map(|candidate| (candidate.process.id, candidate.process.local.module()))
                .collect();
            let processes = level.iter().map(|candidate| &candidate.process);
            let is_stopped = || self.is_cancelled();
            let round = self.round(&order, self.config.patience, &is_stopped);
            let done = round.run(processes, |id, outcome| {
                if let Some(origin) = origins.remove(&id) {
                    self.note(id, outcome, origin);
                }
            });
            let mut state = self.state.lock();
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
            batch: self.config.batch,
            patience,
            is_stopped,
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
                state.refuse(id, why);
            }
        }
    }

    /// Looks how those do that have changed first.
    fn watch(&self, mut watch: Watch) -> Result<(), String> {
        let end = Instant::now() + self.config.watch;
        loop {
            if self.is_cancelled() {
                return Err(CANCELLED.into());
            }
            if let Some(why) = watch.look(&self.kernel, &self.part(&versions(&self.system))) {
                return Err(why);
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
                let (_, group) = groups.entry(key).or_insert_with(|| (origin, Vec::new()));
                group.push(process);
            }
        }
        for (origin, processes) in groups.into_values() {
            self.bring_back(&origin, &processes, &fallbacks);
            let is_former = versions(&self.system).number_of(&origin) == from;
            if is_former && self.within.is_none() {
                versions(&self.system).set_current(from, origin);
            }
        }
    }

    fn bring_back(&self, origin: &Arc<Module>, processes: &[Arc<Process>], fallbacks: &States) {
        let of = |process: &Arc<Process>| Some((process.id, fallbacks.get(&process.id)?.clone()));
        let restored = processes.iter().filter(|_| self.config.restores_saved);
        let fallbacks = restored.filter_map(of).collect();
        let order = Order::new(origin.clone(), self.config.time_limit).with_fallbacks(fallbacks);
        let patience = match self.is_hurried.load(Ordering::Relaxed) {
            true => self.config.patience.min(HURRIED),
            false => self.config.patience,
        };
        let round = self.round(&Arc::new(order), patience, &|| false);
        round.run(processes, |id, outcome| {
            let mut state = self.state.lock();
            match outcome {
                Outcome::Changed { .. } => state.report.changed = state.report.changed.saturating_sub(1),
                Outcome::Kept { why } => state.refuse(id, why),
            }
        });
    }
}

const CANCELLED: &str = "it was cancelled";

impl State {
    fn refuse(&mut self, id: Id, why: String) {
        if self.report.refusals.len() < TOLD_MAX {
            self.report.refusals.push((id, why));
        }
    }
}

/// The versions of the code of a system.
pub(crate) fn versions(system: &System) -> Arc<Versions<Module>> {
    let versions = system.data.states.find();
    versions.expect("a system begins with one")
}

/// The upgrade of a system that was begun last, and how many were.
#[derive(Default)]
struct Last(Mutex<(u32, Option<Arc<Upgrade>>)>);

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

/// An upgrade that somebody asks for.
pub(crate) struct Asked<'a> {
    pub(crate) kernel: &'a Arc<Kernel>,
    pub(crate) system: &'a Arc<System>,
    pub(crate) module: &'a Arc<Module>,
    pub(crate) config: UpgradeConfig,
    /// The rights of the process that asks, if these are less than the system's.
    pub(crate) within: Option<Arc<Rights>>,
}

impl Asked<'_> {
    /// Begins it, if none goes on but one of somebody with fewer rights, which is cancelled then and goes back first.
    pub(crate) fn begin(self) -> Result<Arc<Upgrade>, UpgradeError> {
        let states = self.system.data.states.get_or_insert_with(Last::default);
        let mut last = states.0.lock();
        let other = last.1.as_ref().filter(|last| !last.is_over()).cloned();
        if let Some(other) = &other {
            if !other.is_narrower_than(self.within.as_deref()) {
                return Err(UpgradeError::Busy);
            }
            other.is_hurried.store(true, Ordering::Relaxed);
            other.cancel();
        }
        let number = last.0 + 1;
        let upgrade = Arc::new(Upgrade::new(self, number, other));
        let running = upgrade.clone();
        let spawned = std::thread::Builder::new()
            .name("lunatic-upgrade".into())
            .spawn(move || running.run());
        spawned.map_err(UpgradeError::Thread)?;
        *last = (number, Some(upgrade.clone()));
        Ok(upgrade)
    }
}

/// The upgrade of a system that was begun last.
pub(crate) fn last(system: &System) -> Option<Arc<Upgrade>> {
    system.data.states.find::<Last>()?.0.lock().1.clone()
}
