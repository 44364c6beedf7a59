//! Finding out what a version can have, before anything changes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::candidates::Candidate;
use super::order::{Order, Outcome};
use super::report::{UpgradeConfig, UpgradeKind};
use super::round::{LOOK_EVERY, place};
use crate::module::Module;
use crate::wasm::Kernel;

/// A process that comes to its point of change within this time can be the sample of its kind.
const GRACE: Duration = Duration::from_secs(1);

/// The new version is compared with what runs, and reads the state of one process of each kind.
pub(super) struct Rehearsal<'a> {
    pub(super) kernel: &'a Kernel,
    pub(super) module: &'a Arc<Module>,
    pub(super) config: &'a UpgradeConfig,
    /// Whether to stop at once.
    pub(super) is_stopped: &'a dyn Fn() -> bool,
}

impl Rehearsal<'_> {
    /// What can change, by the name of the function, and why not, if it cannot.
    pub(super) fn kinds(&self, candidates: Vec<Candidate>) -> Vec<UpgradeKind> {
        let mut kinds: BTreeMap<String, (UpgradeKind, Candidate)> = BTreeMap::new();
        for candidate in candidates {
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
                match self.try_one(sample) {
                    Some(Outcome::Changed { .. }) => kind.is_tried = true,
                    Some(Outcome::Kept { why }) => kind.misfit = Some(why),
                    // It is busy, or has ended.
                    None => {}
                }
            }
        }
        kinds.into_values().map(|(kind, _)| kind).collect()
    }

    fn missing(&self, candidate: &Candidate) -> Option<String> {
        let name = candidate.process.local.code.offered_name();
        let found = name.and_then(|name| self.module.entries().find(&name));
        match found {
            Some(_) => None,
            None => Some("the version has no function of this name".into()),
        }
    }

    /// Has the new version read the state of a process, which goes on as it is. `None` if it does not come to its point of change
    /// soon enough.
    fn try_one(&self, candidate: &Candidate) -> Option<Outcome> {
        let order = Arc::new(Order::rehearsal(self.module.clone(), self.config.time_limit));
        place(self.kernel, &candidate.process, &order);
        let patience = self.config.time_limit.saturating_add(GRACE);
        let deadline = Instant::now() + self.config.patience.min(patience);
        let id = candidate.process.id;
        loop {
            let now = Instant::now();
            let outcome = order.wait(1, deadline.min(now + LOOK_EVERY)).remove(&id);
            let is_over = now >= deadline || !self.kernel.is_alive(id) || (self.is_stopped)();
            if outcome.is_some() || is_over {
                candidate.process.local.code.withdraw(&order);
                return outcome;
            }
        }
    }
}

/// Why not all can change, if so.
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
