//! Two workers against one: how much of each work the second core takes over, and what that means for more cores.
//!
//! The model is Amdahl's law. If `s` is the share of the time that more workers do not shorten, `n` workers take
//! `s + (1 - s) / n` of the time of one. The two measured times give `s`. What only many cores would show, such as caches
//! and locks that more and more of them contend for, is not part of this model, so its speeds are upper bounds.

use std::fmt;

use anyhow::Result;

use crate::child::measure;
use crate::programs::Programs;
use crate::table::{Cell, show};

const HEAD: &str = "| work | 1 worker | 2 workers | throughput | not shared out | model of 16 cores | of 64 |\n\
                    |---|---|---|---|---|---|---|";

/// All works of several processes that need no load from another program.
pub(crate) fn default_works() -> Vec<String> {
    [
        "spawn:1000000",
        "spawn-parallel:1000000",
        "pingpong:300000",
        "ring:300000",
        "fanin:1000000",
        "send:1000000",
        "idle:100000",
        "call:500000",
        "timers:1000000",
        "supervise:100000",
        "skynet:1000000",
        "fork-join:1000000",
        "big:500000",
        "bank:500000",
        "philosophers:500000",
        "sieve:20000",
        "selective:100000",
        "broadcast:10000",
    ]
    .map(String::from)
    .into()
}

/// Runs each work with one and with two workers in turns, and prints a row for each.
pub(crate) fn run(programs: &Programs, works: &[(&str, u64)], rounds: usize) -> Result<()> {
    let both = [("1 worker", "1"), ("2 workers", "2")].map(|(system, workers)| programs.with_workers(system, workers));
    println!("{HEAD}");
    for (work, n) in works {
        // A first run compiles the program, so that no measured round does.
        measure(&both[0], work, *n)?;
        let mut measured = [Vec::new(), Vec::new()];
        for round in 1..=rounds {
            for (program, all) in both.iter().zip(&mut measured) {
                eprintln!("{work} {n}: round {round} of {rounds}, {}", program.system);
                all.push(measure(program, work, *n)?);
            }
        }
        let cell = |at: usize| Cell::of(both[at].system, &measured[at]);
        let compared = Compared {
            work: (*work).to_owned(),
            n: *n,
            one: cell(0),
            two: cell(1),
        };
        println!("{compared}");
    }
    Ok(())
}

struct Compared {
    work: String,
    n: u64,
    one: Cell,
    two: Cell,
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { work, n, one, two } = self;
        let share = not_shared(one.value, two.value);
        write!(
            f,
            "| `{work}` {n} | {} | {} | {:.2} × | {:.0} % | {:.1} × | {:.1} × |",
            show(one),
            show(two),
            one.value / two.value,
            share * 100.0,
            speed(share, 16.0),
            speed(share, 64.0),
        )
    }
}

/// The share of the time of one worker that a second does not shorten.
fn not_shared(one: f64, two: f64) -> f64 {
    (2.0 * two / one - 1.0).clamp(0.0, 1.0)
}

/// The throughput of so many cores, as a multiple of one's.
fn speed(share: f64, cores: f64) -> f64 {
    1.0 / (share + (1.0 - share) / cores)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_follows_from_two_times() {
        assert_eq!(not_shared(100.0, 50.0), 0.0);
        assert_eq!(not_shared(100.0, 75.0), 0.5);
        // A second worker that makes things slower, and one that saves more than half.
        assert_eq!(not_shared(100.0, 150.0), 1.0);
        assert_eq!(not_shared(100.0, 40.0), 0.0);
        assert_eq!((speed(0.0, 16.0), speed(1.0, 64.0)), (16.0, 1.0));
    }

    #[test]
    fn a_row_shows_both_times_and_the_model() {
        let cell = |system, value| Cell {
            system,
            value,
            peak_kb: 1024,
        };
        let compared = Compared {
            work: "skynet".into(),
            n: 7,
            one: cell("1 worker", 1000.0),
            two: cell("2 workers", 600.0),
        };
        assert_eq!(
            compared.to_string(),
            "| `skynet` 7 | 1000 ns, 1 MB | 600 ns, 1 MB | 1.67 × | 20 % | 4.0 × | 4.7 × |"
        );
    }
}
