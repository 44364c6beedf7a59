//! A short search for guests that the host keeps too much for: `tests/src/greedy.rs`. Whatever is tried, the bounds hold.
//!
//! A test program of its own: what is resident is measured for the whole program, and no other test may run beside it.

use std::time::Duration;

use lunatic_tests::greedy::{BUDGET, Lineage, Scores, Search, Stand, Tried};

/// Cases that each search by chance tries; what was written by hand is tried before.
const CASES: usize = 12;
/// Searches, by their seeds.
const SEEDS: [u64; 2] = [1, 2];
/// What one call may add before its process ends for it, for each of a case's processes on two workers.
const ONE_STEP: u64 = 2 * (256 << 10);
/// What the whole program may grow by beside the budget: a tenth of it and 64 MB for the allocator, stacks, compiled code, and what
/// was never used before.
const RESIDENT_SLACK: u64 = BUDGET as u64 / 10 + (64 << 20);
/// A bystander may be so many times as late as beside plain loops, or by this time. What was kept may stay so long.
const LATE: u32 = 10;
const LATE_AT_LEAST: Duration = Duration::from_millis(100);
const RETURN: u64 = 5_000_000;
/// What is beyond a bound is measured again so often: a machine that is busy makes late, but not every time.
const AGAIN: usize = 5;

/// The names of the bounds that a case breaks.
fn broken(scores: &Scores, stand: &Stand) -> Vec<&'static str> {
    let late = (stand.beside_loops() * LATE).max(LATE_AT_LEAST);
    let broken = [
        ("too much is kept", scores.kept > BUDGET as u64 + ONE_STEP),
        ("too much is resident", scores.resident > BUDGET as u64 + RESIDENT_SLACK),
        ("a bystander is late", scores.delay > late.as_micros() as u64),
        ("not all is given back", scores.return_ > RETURN),
    ];
    let names = broken.iter().filter(|(_, is_broken)| *is_broken);
    names.map(|(name, _)| *name).collect()
}

fn check(search: &mut Search, tried: Tried) {
    let Tried {
        lineage, mut scores, ..
    } = tried;
    for _ in 0..AGAIN {
        if broken(&scores, search.stand()).is_empty() {
            return;
        }
        scores = scores.least(search.stand().run(&lineage));
    }
    let broken = broken(&scores, search.stand());
    let loops = search.stand().beside_loops();
    assert!(
        broken.is_empty(),
        "{}: {lineage}: {scores}, beside loops {loops:?}\n{}",
        broken.join(", "),
        lineage.plan()
    );
}

fn check_all(seed: u64, first: Vec<Lineage>, cases: usize) {
    let mut search = Search::new(seed, first);
    for _ in 0..cases {
        let tried = search.step();
        check(&mut search, tried);
    }
}

#[test]
fn no_greedy_guest_exceeds_its_budget() {
    let hoards: Vec<_> = Lineage::hoards().collect();
    let count = hoards.len();
    check_all(0, hoards, count);
    for seed in SEEDS {
        check_all(seed, Vec::new(), CASES);
    }
}

#[test]
fn a_case_is_its_lineage() {
    let lineage: Lineage = "7.31.5".parse().unwrap();
    assert_eq!(lineage.to_string(), "7.31.5");
    assert_eq!(lineage.plan().module(), lineage.plan().module());
    let other: Lineage = "7.31.6".parse().unwrap();
    assert_ne!(lineage.plan().module(), other.plan().module());
    let hoard: Lineage = "h3.31".parse().unwrap();
    assert_eq!(hoard.to_string(), "h3.31");
    assert_ne!(hoard.plan().module(), "h3".parse::<Lineage>().unwrap().plan().module());
}
