//! Runs hostile guests for as long as is wished: `cargo run --release -p lunatic-tests --example fuzz -- SECONDS [SEED]`.
//!
//! A failure names the seed: `-- 0 SEED` runs it alone.

use std::time::{Duration, Instant};

use lunatic_tests::fuzz::Fuzzer;
use lunatic_tests::host::Host;

fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u64>());
    let (Some(Ok(seconds)), seed) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: fuzz SECONDS [SEED]");
        std::process::exit(2);
    };
    let mut seed = match seed {
        Some(Ok(seed)) => seed,
        _ => std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |now| now.as_secs() << 20),
    };
    println!("from seed {seed}, for {seconds} s");
    // A host for so many cases: what they leave behind in it would be seen.
    const CASES: u64 = 2_000;
    let (end, mut fuzzer) = (Instant::now() + Duration::from_secs(seconds), Fuzzer::new());
    loop {
        let host = Host::with(|builder| builder.workers(2).cache(None));
        for _ in 0..CASES {
            fuzzer.run(&host, seed);
            seed += 1;
            if Instant::now() >= end {
                fuzzer.check(&host);
                println!("{:?}, up to seed {seed}", fuzzer.tally());
                return;
            }
        }
        fuzzer.check(&host);
        println!("{:?}", fuzzer.tally());
    }
}
