//! A short search for guests that the host keeps too much for: `tests/src/greedy.rs`. Whatever is tried, the bounds hold.
//!
//! A test program of its own: what is resident is measured for the whole program, and no other test may run beside it.

use lunatic_tests::greedy::{BUDGET, Lineage, Scores, Search};

/// Cases that the search begins with, beside those that once broke a bound.
const CASES: u64 = 12;
/// Searches, by their seeds.
const SEEDS: [u64; 2] = [1, 2];
/// What one call may add before its process ends for it, for each of a case's processes on two workers.
const ONE_STEP: u64 = 2 * (256 << 10);
/// What the whole program may grow by beside the budget: allocator, stacks, compiled code, what was never used before.
const RESIDENT_SLACK: u64 = 96 << 20;
/// How long a bystander may be late, and what was kept may stay, in microseconds: far more than on an idle machine.
const LATE: u64 = 5_000_000;

fn check(lineage: &Lineage, scores: &Scores) {
    let budget = BUDGET as u64;
    let shown = || format!("{lineage}: {scores:?}\n{}", lineage.plan());
    assert!(scores.kept <= budget + ONE_STEP, "too much is kept: {}", shown());
    assert!(
        scores.resident <= budget + RESIDENT_SLACK,
        "too much is resident: {}",
        shown()
    );
    assert!(scores.delay <= LATE, "a bystander is late: {}", shown());
    assert!(scores.return_ <= LATE, "not all is given back: {}", shown());
}

#[test]
fn no_greedy_guest_exceeds_its_budget() {
    for seed in SEEDS {
        let mut search = Search::new(seed);
        for _ in 0..CASES {
            let (lineage, scores) = search.step();
            check(&lineage, &scores);
        }
    }
}

#[test]
fn a_case_is_its_lineage() {
    let lineage: Lineage = "7.31.5".parse().unwrap();
    assert_eq!(lineage.to_string(), "7.31.5");
    assert_eq!(lineage.plan().module(), lineage.plan().module());
    let other: Lineage = "7.31.6".parse().unwrap();
    assert_ne!(lineage.plan().module(), other.plan().module());
}
