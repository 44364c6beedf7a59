//! Finds out which processes a version can take over, before anything changes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::candidates::Candidate;
use super::order::{Order, Outcome};
use super::report::{UpgradeConfig, UpgradeKind};
use super::round::{LOOK_EVERY, can_change, place, place_again, take_back};
use crate::module::Module;
use crate::wasm::Kernel;

/// A process must reach its point of change within this time to serve as the sample of its kind.
const GRACE: Duration = Duration::from_secs(1);

/// Compares the new version with the running ones, and lets it read the state of one process of each kind.
pub(super) struct Rehearsal<'a> {
    pub(super) kernel: &'a Kernel,
    pub(super) module: &'a Arc<Module>,
    pub(super) config: &'a UpgradeConfig,
    /// Whether to stop immediately.
    pub(super) is_stopped: &'a dyn Fn() -> bool,
}

impl Rehearsal<'_> {
    /// The kinds of processes, by the name of their function, and why the new version cannot take them over, if it
    /// cannot.
    pub(super) fn kinds(&self, candidates: Vec<Candidate>) -> Vec<UpgradeKind> {
        let mut kinds: BTreeMap<Arc<str>, (UpgradeKind, Candidate)> = BTreeMap::new();
        for candidate in candidates {
            let (kind, sample) = kinds.entry(candidate.entry.clone()).or_insert_with(|| {
                let kind = UpgradeKind {
                    misfit: self.missing(&candidate),
                    entry: candidate.entry.to_string(),
                    processes: 0,
                    is_tried: false,
                };
                (kind, candidate.clone())
            });
            kind.processes += 1;
            // One that only asks may not reach its point of change soon enough.
            if candidate.hears && !sample.hears {
                *sample = candidate;
            }
        }
        for (kind, sample) in kinds.values_mut() {
            if (self.is_stopped)() {
                break;
            }
            if kind.misfit.is_none() {
                match self.try_one(sample) {
                    Some(Outcome::Changed { .. }) => kind.is_tried = true,
                    Some(Outcome::Kept { why }) => kind.misfit = Some(why),
                    // It is busy, has ended, or has withdrawn its point of change.
                    None => {}
                }
            }
        }
        kinds.into_values().map(|(kind, _)| kind).collect()
    }

    fn missing(&self, candidate: &Candidate) -> Option<String> {
        if let Some(why) = self.module.misfits(&candidate.process.local.module()) {
            return Some(why.into());
        }
        let name = candidate.process.local.code.offered_name();
        let found = name.and_then(|name| self.module.entries().find(&name));
        match found {
            Some(_) => None,
            None => Some("the version has no function of this name".into()),
        }
    }

    /// Lets the new version read the state of a process, which continues unchanged. `None` if the process does not
    /// reach its point of change soon enough.
    fn try_one(&self, candidate: &Candidate) -> Option<Outcome> {
        let order = Arc::new(Order::rehearsal(self.module.clone(), self.config.time_limit));
        let former = place(self.kernel, &candidate.process, &order);
        let outcome = self.outcome(candidate, &order);
        // Otherwise, the process would stay in its trial until the time limit, which may be a day.
        take_back(self.kernel, &candidate.process, &order);
        // An upgrade that is over may still wait for the process.
        if let Some(former) = former {
            place_again(self.kernel, &candidate.process, former);
        }
        outcome
    }

    fn outcome(&self, candidate: &Candidate, order: &Order<Module>) -> Option<Outcome> {
        let patience = self.config.patience.min(self.config.time_limit.saturating_add(GRACE));
        // A time too far away to be represented is as good as none.
        let deadline = Instant::now().checked_add(patience);
        let process = &candidate.process;
        loop {
            let now = Instant::now();
            let look = now + LOOK_EVERY;
            let outcome = order
                .wait(1, deadline.map_or(look, |deadline| deadline.min(look)))
                .remove(&process.id);
            let is_late = deadline.is_some_and(|deadline| now >= deadline);
            if outcome.is_some() || is_late || !can_change(self.kernel, process) || (self.is_stopped)() {
                return outcome;
            }
        }
    }
}

/// Why some kinds cannot change, if there are any.
pub(super) fn misfit(kinds: &[UpgradeKind]) -> Option<String> {
    kinds.iter().find_map(|kind| {
        let why = kind.misfit.as_ref()?;
        let processes = match kind.processes {
            1 => "1 process".into(),
            many => format!("{many} processes"),
        };
        Some(format!("{processes} of `{}` cannot change: {why}", kind.entry))
    })
}
