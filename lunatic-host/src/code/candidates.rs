//! Selects the processes that can change, and their order.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use lunatic_kernel::address::Id;

use super::Heard;
use super::report::Canary;
use super::versions::Versions;
use crate::module::Module;
use crate::rights::Rights;
use crate::wasm::{Kernel, Process, System};

/// The order does not distinguish deeper levels of the tree.
const DEPTH_MAX: usize = 64;

/// A process that can change.
#[derive(Clone)]
pub(super) struct Candidate {
    pub(super) process: Arc<Process>,
    /// The function at which it offers to continue.
    pub(super) entry: Arc<str>,
    /// It notices a pending version by itself, so nobody has to wait for it.
    pub(super) hears: bool,
    /// The number of its ancestors.
    pub(super) depth: usize,
}

/// The part of the runtime in which candidates are searched.
pub(super) struct Part<'a> {
    pub(super) kernel: &'a Kernel,
    pub(super) system: &'a Arc<System>,
    pub(super) versions: &'a Versions<Module>,
    /// Only processes with these rights, or with rights narrowed from these.
    pub(super) within: Option<&'a Rights>,
}

impl Part<'_> {
    fn has(&self, process: &Process) -> bool {
        let is_within = |rights: &Rights| process.local.rights.group.is_within(&rights.group);
        Arc::ptr_eq(&process.system, self.system) && self.within.is_none_or(is_within)
    }

    /// All processes that do not run `module` and offer a point of change, parents before children; and the number of
    /// those that offer none.
    pub(super) fn candidates(&self, module: &Arc<Module>) -> (Vec<Candidate>, usize) {
        let (mut all, mut parents, mut without) = (Vec::new(), HashMap::new(), 0);
        let mut names: HashMap<(usize, u32), Arc<str>> = HashMap::new();
        self.kernel.visit_processes(|process| {
            if !self.has(process) {
                return;
            }
            if let Some(parent) = process.parent {
                parents.insert(process.id, parent);
            }
            let code = &process.local.code;
            if code.is_of(module) || process.is_killed() || !self.versions.has(code.identity()) {
                return;
            }
            let Some(offer) = code.offered() else {
                without += 1;
                return;
            };
            let entry = names.entry((code.identity(), offer.entry)).or_insert_with(|| {
                let name = code.offered_name();
                name.map_or_else(|| format!("function {}", offer.entry), |name| name.to_string())
                    .into()
            });
            all.push(Candidate {
                process: process.clone(),
                entry: entry.clone(),
                hears: offer.heard != Heard::Asks,
                depth: 0,
            });
        });
        for candidate in &mut all {
            candidate.depth = depth(&parents, candidate.process.id);
        }
        all.sort_by_key(|candidate| candidate.depth);
        (all, without)
    }

    /// How many processes run `module`, and how many run another version.
    pub(super) fn count(&self, module: &Arc<Module>) -> (usize, usize) {
        let (mut of, mut others) = (0, 0);
        self.kernel.visit_processes(|process| {
            let code = &process.local.code;
            if self.has(process) && code.is_of(module) {
                of += 1;
            } else if self.has(process) && self.versions.has(code.identity()) {
                others += 1;
            }
        });
        (of, others)
    }
}

fn depth(parents: &HashMap<Id, Id>, id: Id) -> usize {
    let ancestors = std::iter::successors(Some(id), |id| parents.get(id).copied());
    ancestors.take(DEPTH_MAX).count()
}

/// The candidates that change first.
pub(super) fn choose(canary: &Canary, mut candidates: Vec<Candidate>) -> Vec<Candidate> {
    let count = match canary {
        Canary::None => 0,
        Canary::Count(count) => *count,
        Canary::Percent(percent) => {
            // At least one, even of 0 %.
            ((candidates.len() as f64 * percent / 100.0).ceil() as usize).max(1)
        }
        Canary::Named(part) => {
            candidates.retain(|candidate| crate::inspect::is_called(&candidate.process, part));
            return candidates;
        }
    };
    // Those that change immediately come first, and among them those on which others do not depend.
    candidates.sort_by_key(|candidate| (!candidate.hears, Reverse(candidate.depth)));
    candidates.truncate(count);
    candidates
}
