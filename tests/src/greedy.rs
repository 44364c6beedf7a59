//! Greedy guests, searched for: sequences of host calls that make the host hold as much as possible for as long as
//! possible, or make others late.
//!
//! A case runs alone in a system with a small [budget](BUDGET), beside a bystander that sleeps 5 ms again and again, and is
//! given [four scores](Scores). The search keeps what scored best, changes a line of it, and tries again. What it finds is
//! what a budget does not count, or what nothing interrupts.
//!
//! Scores depend on the machine, sequences do not: a case is its *lineage*, the seed of a [`Plan`] and those of the changes
//! since, and can be repeated by it.
//!
//! `cargo run --release -p lunatic-tests --example greedy -- SECONDS [SEED]` goes on for as long as you like.

mod plan;
mod score;

use std::fmt;
use std::str::FromStr;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

pub use plan::Plan;
pub use score::{BUDGET, Scores, Stand};

/// So many of the best are kept for each score.
const KEPT: usize = 6;
/// Changes since the seed: beyond them a case is not changed further.
const LINEAGE_MAX: usize = 40;

/// A case: the seed that it began with, and those of its changes. Written `7.31.5`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lineage(Vec<u32>);

impl Lineage {
    /// What this case does.
    pub fn plan(&self) -> Plan {
        let mut seeds = self.0.iter();
        let mut plan = Plan::fresh(*seeds.next().unwrap_or(&0));
        seeds.for_each(|&seed| plan.change(seed));
        plan
    }

    fn child(&self, seed: u32) -> Self {
        Self(self.0.iter().copied().chain([seed]).collect())
    }
}

impl fmt::Display for Lineage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seeds: Vec<_> = self.0.iter().map(u32::to_string).collect();
        f.write_str(&seeds.join("."))
    }
}

impl FromStr for Lineage {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.split('.').map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

/// The search.
pub struct Search {
    random: StdRng,
    stand: Stand,
    best: [Vec<(u64, Lineage)>; Scores::COUNT],
    cases: u64,
}

impl Search {
    /// One that tries cases in an order that the seed decides, as far as the scores are the same.
    pub fn new(seed: u64) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            stand: Stand::new(),
            best: Default::default(),
            cases: 0,
        }
    }

    /// How many cases were tried.
    pub fn cases(&self) -> u64 {
        self.cases
    }

    /// What cases are measured on.
    pub fn stand(&self) -> &Stand {
        &self.stand
    }

    /// Tries a case: a new one, or a change of one of the best. What it was, and what it cost.
    ///
    /// # Panics
    ///
    /// If the host says that it has a bug, with the lineage.
    pub fn step(&mut self) -> (Lineage, Scores) {
        let lineage = self.next();
        let mut scores = self.stand.run(&lineage);
        if (0..Scores::COUNT).any(|kind| self.is_best(kind, scores.get(kind))) {
            // What was chance is not so twice.
            scores = scores.least(self.stand.run(&lineage));
        }
        for (kind, best) in self.best.iter_mut().enumerate() {
            best.push((scores.get(kind), lineage.clone()));
            best.sort_by_key(|&(score, _)| std::cmp::Reverse(score));
            best.truncate(KEPT);
        }
        self.cases += 1;
        (lineage, scores)
    }

    fn next(&mut self) -> Lineage {
        let seed = self.random.random();
        let best = &self.best[self.random.random_range(0..Scores::COUNT)];
        if best.is_empty() || self.random.random_ratio(1, 3) {
            return Lineage(vec![seed]);
        }
        let (_, parent) = &best[self.random.random_range(0..best.len())];
        match parent.0.len() {
            LINEAGE_MAX.. => Lineage(vec![seed]),
            _ => parent.child(seed),
        }
    }

    fn is_best(&self, kind: usize, score: u64) -> bool {
        self.best[kind].first().is_none_or(|&(best, _)| score > best)
    }

    /// The best case of each score so far.
    pub fn best(&self) -> Vec<&Lineage> {
        self.best.iter().filter_map(|best| Some(&best.first()?.1)).collect()
    }
}
