//! Searches for greedy guests for as long as is wished:
//! `cargo run --release -p lunatic-tests --example greedy -- SECONDS [SEED [LINEAGE…]]`.
//!
//! Prints each case that is better than all before it: a search can be stopped at any time, and go on from these lineages with
//! another seed. At the end the best of each score are measured again. `-- 0 LINEAGE` does so with one.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use lunatic_tests::greedy::{Lineage, Scores, Search, Stand, Tried};

/// A case is measured so often before it is shown: what all of these runs have cost at least is no chance.
const RUNS: usize = 3;
/// How often the search says how far it is.
const SAYS: Duration = Duration::from_secs(300);

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let Some(seconds) = arguments.first().and_then(|text| text.parse().ok()) else {
        eprintln!("usage: greedy SECONDS [SEED [LINEAGE…]]\n       greedy 0 LINEAGE");
        std::process::exit(2);
    };
    let lineage = |text: &String| {
        text.parse::<Lineage>()
            .unwrap_or_else(|error| panic!("{text} is no lineage: {error}"))
    };
    if seconds == 0 {
        return show(&mut Stand::new(), &lineage(&arguments[1]));
    }
    let seed = arguments.get(1).map_or("1", String::as_str);
    let seed = seed
        .parse()
        .unwrap_or_else(|error| panic!("{seed} is no seed: {error}"));
    let mut search = Search::new(seed, arguments.iter().skip(2).map(lineage).chain(Lineage::hoards()));
    let start = Instant::now();
    let mut said = start;
    while start.elapsed() < Duration::from_secs(seconds) {
        let tried = search.step();
        if !tried.best.is_empty() {
            println!("\n{} s, case {}:", start.elapsed().as_secs(), search.cases());
            tell(&tried);
        }
        if said.elapsed() > SAYS {
            println!("\n{} s, {} cases", start.elapsed().as_secs(), search.cases());
            said = Instant::now();
        }
    }
    println!("\n{} cases from seed {seed}; the best of each score:", search.cases());
    let best = search.best().map(|best| best.into_iter().cloned().collect::<Vec<_>>());
    for (name, best) in Scores::NAMES.iter().zip(&best) {
        println!("\nthe best for {name}:");
        best.iter().take(1).for_each(|lineage| show(search.stand(), lineage));
    }
    let all: BTreeSet<String> = best.iter().flatten().map(Lineage::to_string).collect();
    println!(
        "\nto go on from here: {}",
        all.into_iter().collect::<Vec<_>>().join(" ")
    );
}

fn tell(tried: &Tried) {
    let Tried { lineage, scores, best } = tried;
    println!(
        "the best so far for {}: {lineage}\n{scores}\n{}",
        best.join(", "),
        lineage.plan()
    );
}

fn show(stand: &mut Stand, lineage: &Lineage) {
    let first = stand.run(lineage);
    let scores = (1..RUNS).fold(first, |least, _| least.least(stand.run(lineage)));
    let loops = stand.beside_loops().as_secs_f64() * 1e3;
    println!(
        "{lineage}\n{scores}; beside loops {loops:.1} ms late\n{}",
        lineage.plan()
    );
}
