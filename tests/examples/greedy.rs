//! Searches for greedy guests for as long as is wished:
//! `cargo run --release -p lunatic-tests --example greedy -- SECONDS [SEED]`.
//!
//! Prints the best case of each score and what it does. `-- 0 LINEAGE` measures one again.

use std::time::{Duration, Instant};

use lunatic_tests::greedy::{Lineage, Search, Stand};

/// A case is measured so often before it is shown: what all of these runs have cost at least is no chance.
const RUNS: usize = 3;

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let Some(seconds) = arguments.first().and_then(|text| text.parse().ok()) else {
        eprintln!("usage: greedy SECONDS [SEED]\n       greedy 0 LINEAGE");
        std::process::exit(2);
    };
    let seed = arguments.get(1).map_or("1", String::as_str);
    if seconds == 0 {
        match seed.parse() {
            Ok(lineage) => return show(&Stand::new(), &lineage),
            Err(error) => panic!("{seed} is no lineage: {error}"),
        }
    }
    let mut search = Search::new(
        seed.parse()
            .unwrap_or_else(|error| panic!("{seed} is no seed: {error}")),
    );
    let end = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < end {
        search.step();
    }
    println!("{} cases from seed {seed}", search.cases());
    for lineage in search.best() {
        show(search.stand(), lineage);
    }
}

fn show(stand: &Stand, lineage: &Lineage) {
    let first = stand.run(lineage);
    let scores = (1..RUNS).fold(first, |least, _| least.least(stand.run(lineage)));
    println!("\n{lineage}\n{scores:?}\n{}", lineage.plan());
}
