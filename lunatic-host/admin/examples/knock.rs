//! Knocks at the door of a program for as long as is wished, as hostile clients do:
//! `cargo run --release -p lunatic-admin --example knock -- SOCKET SECONDS [SEED]`. A failure names the seed.

#[path = "../tests/knocks/mod.rs"]
mod knocks;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let number = |index: usize| arguments.get(index).map(|text| text.parse::<u64>());
    let (Some(socket), Some(Ok(seconds))) = (arguments.first().map(PathBuf::from), number(1)) else {
        eprintln!("usage: knock SOCKET SECONDS [SEED]");
        return ExitCode::from(2);
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let mut seed = match number(2) {
        Some(Ok(seed)) => seed,
        _ => now.map_or(0, |now| now.as_secs() << 20),
    };
    let (first, end) = (seed, Instant::now() + Duration::from_secs(seconds));
    while Instant::now() < end {
        knocks::run(&socket, seed);
        seed += 1;
    }
    println!("{} cases, from seed {first}", seed - first);
    ExitCode::SUCCESS
}
