//! A search for greedy guests: sequences of host calls that make the host keep as much as possible for as long as
//! possible, or that delay other processes.
//!
//! A case runs alone in a system with a small [budget](BUDGET), beside a bystander that repeatedly sleeps 5 ms, and
//! gets [five scores](Scores). The search begins with plans written by hand, keeps the ones that scored best, changes a
//! line, and tries again. It finds things that no budget counts, or that nothing interrupts.
//!
//! Scores depend on the machine; sequences do not. A case is identified by its [lineage](Lineage), with which it can be
//! repeated. A search that was stopped can be resumed from the lineages that it has printed.
//!
//! `cargo run --release -p lunatic-tests --example greedy -- SECONDS [SEED [LINEAGE…]]` runs for any length of time.

mod hoards;
mod plan;
mod score;

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

pub use plan::Plan;
pub use score::{BUDGET, Scores, Stand};

/// How many of the best cases are kept for each score.
const KEPT: usize = 6;
/// The largest number of changes since the root; a case with that many is not changed further.
const LINEAGE_MAX: usize = 40;

/// Identifies a case: its root, and the seeds of its changes. Written as `7.31.5`, or `h3.31.5` if the root is a plan
/// written by hand.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lineage {
    root: Root,
    changes: Vec<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Root {
    /// A random plan.
    Seed(u32),
    /// A plan written by hand, by its index in the list.
    Hoard(u32),
}

impl Lineage {
    fn new(root: Root) -> Self {
        let changes = Vec::new();
        Self { root, changes }
    }

    /// The lineages of the plans written by hand.
    pub fn hoards() -> impl Iterator<Item = Self> {
        (0..hoards::HOARDS.len() as u32).map(|number| Self::new(Root::Hoard(number)))
    }

    /// The plan of this case.
    pub fn plan(&self) -> Plan {
        let mut plan = match self.root {
            Root::Seed(seed) => Plan::fresh(seed),
            Root::Hoard(number) => Plan::by_hand(&hoards::HOARDS[number as usize % hoards::HOARDS.len()]),
        };
        self.changes.iter().for_each(|&seed| plan.change(seed));
        plan
    }

    fn child(&self, seed: u32) -> Self {
        let mut child = self.clone();
        child.changes.push(seed);
        child
    }
}

impl fmt::Display for Lineage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.root {
            Root::Seed(seed) => write!(f, "{seed}")?,
            Root::Hoard(number) => write!(f, "h{number}")?,
        }
        self.changes.iter().try_for_each(|seed| write!(f, ".{seed}"))
    }
}

impl FromStr for Lineage {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split('.');
        let root = parts.next().unwrap_or_default();
        let root = match root.strip_prefix('h') {
            Some(number) => Root::Hoard(number.parse()?),
            None => Root::Seed(root.parse()?),
        };
        let changes = parts.map(str::parse).collect::<Result<_, _>>()?;
        Ok(Self { root, changes })
    }
}

/// The result of a case.
pub struct Tried {
    /// The case.
    pub lineage: Lineage,
    /// Its costs.
    pub scores: Scores,
    /// The names of the scores for which it is the best case so far.
    pub best: Vec<&'static str>,
}

/// The search.
pub struct Search {
    random: StdRng,
    stand: Stand,
    /// Cases that are tried first.
    first: VecDeque<Lineage>,
    best: [Vec<(u64, Lineage)>; Scores::COUNT],
    cases: u64,
}

impl Search {
    /// Makes a search that tries `first`, and then cases in an order that the seed determines, as far as scores are
    /// equal.
    pub fn new(seed: u64, first: impl IntoIterator<Item = Lineage>) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            stand: Stand::new(),
            first: first.into_iter().collect(),
            best: Default::default(),
            cases: 0,
        }
    }

    /// The number of cases that were tried.
    pub fn cases(&self) -> u64 {
        self.cases
    }

    /// The stand on which cases are measured.
    pub fn stand(&mut self) -> &mut Stand {
        &mut self.stand
    }

    /// Tries a case: a new one, or a change of one of the best.
    ///
    /// # Panics
    ///
    /// If the host reports a bug, with the lineage.
    pub fn step(&mut self) -> Tried {
        let lineage = self.next();
        let mut scores = self.stand.run(&lineage);
        if !self.best_of(scores).is_empty() {
            // A score that was due to chance will not repeat.
            scores = scores.least(self.stand.run(&lineage));
        }
        let best = self.best_of(scores);
        for (kind, best) in self.best.iter_mut().enumerate() {
            best.push((scores.get(kind), lineage.clone()));
            best.sort_by_key(|&(score, _)| std::cmp::Reverse(score));
            best.truncate(KEPT);
        }
        self.cases += 1;
        Tried { lineage, scores, best }
    }

    fn next(&mut self) -> Lineage {
        if let Some(lineage) = self.first.pop_front() {
            return lineage;
        }
        let seed = self.random.random();
        let best = &self.best[self.random.random_range(0..Scores::COUNT)];
        if best.is_empty() || self.random.random_ratio(1, 3) {
            return Lineage::new(Root::Seed(seed));
        }
        let (_, parent) = &best[self.random.random_range(0..best.len())];
        match parent.changes.len() {
            LINEAGE_MAX.. => Lineage::new(Root::Seed(seed)),
            _ => parent.child(seed),
        }
    }

    /// The names of the scores that are better than all before.
    fn best_of(&self, scores: Scores) -> Vec<&'static str> {
        let is_best = |&kind: &usize| self.best[kind].first().is_none_or(|&(best, _)| scores.get(kind) > best);
        let kinds = (0..Scores::COUNT).filter(is_best);
        kinds.map(|kind| Scores::NAMES[kind]).collect()
    }

    /// The best cases so far for each score, the best first.
    pub fn best(&self) -> [Vec<&Lineage>; Scores::COUNT] {
        self.best
            .each_ref()
            .map(|best| best.iter().map(|(_, lineage)| lineage).collect())
    }
}
