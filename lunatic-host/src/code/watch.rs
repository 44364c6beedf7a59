//! Watches the processes that have changed first.

use std::sync::Arc;

use lunatic_kernel::exit::ExitReason;

use super::candidates::{Candidate, Part};
use crate::module::Module;
use crate::wasm::Kernel;

/// A mailbox has grown if it holds this many more entries than before, and at least twice as many.
const GROWTH: usize = 1000;
/// Fewer failures of children and helpers than this are ignored.
const FAILURES_MIN: u64 = 3;
/// The new version is worse if its processes fail this many times as often as those of other versions, relative to
/// their number.
const FAILURES_RATIO: u64 = 2;

/// The state when the first processes had changed.
pub(super) struct Watch {
    /// The processes that changed first, and how many entries their mailboxes held.
    canaries: Vec<(Candidate, usize)>,
    module: Arc<Module>,
    others: Vec<Arc<Module>>,
    failed: u64,
    others_failed: u64,
    /// Failures in the new version when processes were last counted, which takes long.
    counted_at: u64,
}

impl Watch {
    /// Begins to watch, before the first processes change.
    pub(super) fn begin(canaries: &[Candidate], module: &Arc<Module>) -> Self {
        let mut others: Vec<Arc<Module>> = Vec::new();
        for canary in canaries {
            let other = canary.process.local.module();
            if others.iter().all(|known| !Arc::ptr_eq(known, &other)) {
                others.push(other);
            }
        }
        let with_size = |canary: &Candidate| (canary.clone(), canary.process.mailbox_size().0);
        Self {
            canaries: canaries.iter().map(with_size).collect(),
            module: module.clone(),
            failed: module.failures(),
            others_failed: failures(&others),
            others,
            counted_at: 0,
        }
    }

    /// Why the upgrade must be rolled back, if it must.
    pub(super) fn look(&mut self, kernel: &Kernel, part: &Part<'_>) -> Option<String> {
        let canaries = self.canaries.iter();
        let why = canaries
            .filter_map(|(canary, before)| trouble(kernel, canary, *before))
            .next();
        why.or_else(|| self.failures(part))
    }

    /// Whether processes of the new version fail more often: those that changed, and those that they spawn.
    fn failures(&mut self, part: &Part<'_>) -> Option<String> {
        let failed = self.module.failures() - self.failed;
        let others_failed = failures(&self.others) - self.others_failed;
        if failed < FAILURES_MIN || failed == self.counted_at {
            return None;
        }
        self.counted_at = failed;
        let (count, others) = part.count(&self.module);
        let is_more = fail_more((failed, count), (others_failed, others));
        is_more.then(|| {
            format!(
                "processes of the new version fail more often: {failed} failures while {count} ran it, beside {others_failed} \
                 among {others} of other versions"
            )
        })
    }
}

fn failures(modules: &[Arc<Module>]) -> u64 {
    modules.iter().map(|module| module.failures()).sum()
}

/// Whether there are too many failures for the number of processes to be chance.
fn fail_more(new: (u64, usize), others: (u64, usize)) -> bool {
    let per = |(failed, count): (u64, usize)| u128::from(failed) * 1_000_000 / count.max(1) as u128;
    new.0 >= FAILURES_MIN && per(new) > per(others) * u128::from(FAILURES_RATIO)
}

/// What is wrong with a process that changed first.
fn trouble(kernel: &Kernel, canary: &Candidate, before: usize) -> Option<String> {
    let id = canary.process.id;
    if !kernel.is_alive(id) {
        let reason = kernel.exit_reason(id);
        let is_failure = !matches!(reason, ExitReason::Normal | ExitReason::Shutdown);
        return is_failure.then(|| format!("process {id}, which changed first, {reason}"));
    }
    let now = canary.process.mailbox_size().0;
    let has_grown = now > before + GROWTH && now > before * 2;
    has_grown
        .then(|| format!("the mailbox of process {id}, which changed first, has grown from {before} to {now} entries"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_count_for_the_number_of_processes() {
        // As often as elsewhere, or twice as often.
        assert!(!fail_more((3, 10), (30, 100)));
        assert!(!fail_more((6, 10), (30, 100)));
        assert!(fail_more((7, 10), (30, 100)));
        // Where nobody fails, three are enough, and fewer are not.
        assert!(fail_more((3, 10), (0, 100)));
        assert!(!fail_more((2, 10), (0, 100)));
        // Nobody runs another version.
        assert!(fail_more((3, 10), (0, 0)));
    }
}
