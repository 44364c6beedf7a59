//! Runs the works of `examples/bench` on Lunatic and, in turns with it, on the peers of `benches/peers`; prints a table.
//!
//! `cargo run --release -p lunatic-benches -- --help`. Nothing is installed: a peer that is missing is said to be missing.

mod chart;
mod child;
mod components;
mod growth;
mod marks;
mod oracle;
mod programs;
mod reserve;
mod table;
mod web;
mod workers;

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::Parser;

use crate::child::{Measured, measure};
use crate::programs::{Profile, Program, Programs, SERVED, WATCHED};
use crate::table::{Cell, Row};

/// Runs Lunatic's benchmark works in turns with the same works on other systems, and prints a table of medians
#[derive(Parser)]
struct Args {
    /// Rounds, of which the medians are taken; in each round every system runs once
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Works with their sizes, separated by commas, such as `spawn:100000,fib:35`; `http:SECONDS` and `serve:SECONDS` (a
    /// component that answers requests) are measured by `wrk` with 128 connections; `churn:SECONDS` and `gone:N`, which are
    /// not among those of every run, watch the host's memory, once
    #[arg(long, value_delimiter = ',')]
    works: Option<Vec<String>>,
    /// Another checkout of Lunatic, such as the one before a change: its host and guests are built too, and run in turns
    #[arg(long, value_name = "FOLDER")]
    before: Option<PathBuf>,
    /// Compares two workers with one, in place of Lunatic with other systems
    #[arg(long, conflicts_with = "before")]
    workers_compare: bool,
    /// Draws how the costs of spawned processes, messages and waiting processes grow with their number, on all systems, into
    /// this SVG file
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "docs/growth.svg",
        conflicts_with_all = ["works", "before", "workers_compare"])]
    growth: Option<PathBuf>,
    /// The numbers of processes and messages in the picture
    #[arg(long, value_name = "N", value_delimiter = ',', requires = "growth",
        default_values_t = [10_000, 100_000, 1_000_000, 3_000_000])]
    sizes: Vec<u64>,
    /// Compares the events that processes get of a node that is lost and comes back with those on nodes of Erlang
    #[arg(long, conflicts_with_all = ["works", "before", "workers_compare", "growth"])]
    node_events: bool,
    /// Builds with the profile `dev`: to try out whether all works run, not to measure
    #[arg(long)]
    dev: bool,
}

fn default_works() -> Vec<String> {
    [
        "spawn:100000",
        "spawn:1000000",
        "pingpong:300000",
        "ring:300000",
        "fanin:1000000",
        "send:1000000",
        "idle:100000",
        "fair:50",
        "fib:35",
        "memory:1000000",
        "spawn-workers:1000000",
        "spawn-parallel:1000000",
        "call:500000",
        "kill:1000000",
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
        "start:1",
        "http:10",
        "serve:10",
        "tcp-echo:300000",
        "tcp-churn:50000",
        "tcp-connections:10000",
        "tcp-broadcast:10000",
        "node-call:50000",
        "node-send:300000",
        "node-pairs:300000",
        "node-spawn:5000",
        "node-frozen:2000",
        "node-join:32",
    ]
    .map(String::from)
    .into()
}

fn main() -> Result<()> {
    let args = Args::parse();
    if args.rounds == 0 {
        bail!("--rounds 0 would measure nothing: give at least 1");
    }
    let texts = args.works.unwrap_or_else(|| match args.workers_compare {
        true => workers::default_works(),
        false => default_works(),
    });
    let works: Vec<(&str, u64)> = texts.iter().map(|work| parse_work(work)).collect::<Result<_>>()?;
    let profile = if args.dev { Profile::Dev } else { Profile::Release };
    let programs = Programs::build(profile, args.before.as_deref())?;
    if args.node_events {
        oracle::run(&programs)?;
    } else if let Some(file) = &args.growth {
        growth::run(&programs, &args.sizes, args.rounds, file)?;
    } else if args.workers_compare {
        workers::run(&programs, &works, args.rounds)?;
    } else {
        run_works(&programs, works, args.rounds)?;
    }
    for peer in &programs.peers {
        println!("\n{peer}");
    }
    Ok(())
}

/// Prints a table of all works, and those that are served or watched after it.
fn run_works(programs: &Programs, works: Vec<(&str, u64)>, rounds: usize) -> Result<()> {
    let (watched, measured): (Vec<_>, Vec<_>) = works.into_iter().partition(|(work, _)| WATCHED.contains(work));
    let (served, measured): (Vec<_>, Vec<_>) = measured.into_iter().partition(|(work, _)| SERVED.contains(work));
    if !measured.is_empty() {
        println!("{}", table::HEAD);
    }
    for (work, n) in measured {
        let row = run_work(programs, work, n, rounds)?;
        println!("{row}");
    }
    for (work, seconds) in served {
        let systems: Vec<&Program> = programs.of_work(work).collect();
        print!("\n{}", web::run(work, &systems, seconds, rounds)?);
    }
    for (work, n) in watched {
        for program in programs.of_work(work) {
            print!("{}", marks::watch(program, work, n)?);
        }
    }
    Ok(())
}

fn parse_work(text: &str) -> Result<(&str, u64)> {
    match text.split_once(':').map(|(work, n)| (work, n.parse())) {
        Some((work, Ok(n))) if n > 0 => Ok((work, n)),
        _ => bail!("`{text}` is no work: write it as NAME:N, such as `spawn:100000`"),
    }
}

/// All systems that know the work, one after the other, round by round.
fn run_work(programs: &Programs, work: &str, n: u64, rounds: usize) -> Result<Row> {
    let systems: Vec<&Program> = programs.of_work(work).collect();
    let Some(first) = systems.first() else {
        bail!("no program does the work `{work}`: {}", default_works().join(", "));
    };
    let mut measured: Vec<Vec<Measured>> = systems.iter().map(|_| Vec::new()).collect();
    // A first run compiles the program, so that no measured round does.
    measure(first, work, n)?;
    for round in 1..=rounds {
        for (program, all) in systems.iter().zip(&mut measured) {
            eprintln!("{work} {n}: round {round} of {rounds}, {}", program.system);
            all.push(measure(program, work, n)?);
        }
    }
    let results = systems.iter().zip(&measured);
    Ok(Row {
        work: work.to_owned(),
        n,
        cells: results.map(|(program, all)| Cell::of(program.system, all)).collect(),
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn works_are_a_name_and_a_size() {
        assert_eq!(parse_work("spawn:100").unwrap(), ("spawn", 100));
        for wrong in ["spawn", "spawn:", "spawn:0", "spawn:-1", "spawn:many"] {
            let error = parse_work(wrong).unwrap_err().to_string();
            assert!(error.contains(wrong) && error.contains("NAME:N"), "{error}");
        }
        let defaults = [default_works(), workers::default_works()].concat();
        assert!(defaults.iter().all(|work| parse_work(work).is_ok()));
    }

    #[test]
    fn flags_that_do_different_things_exclude_each_other() {
        Args::command().debug_assert();
        let parse = |flags: &str| Args::try_parse_from(["benches"].into_iter().chain(flags.split_whitespace()));
        assert_eq!(
            parse("--growth").unwrap().growth.unwrap(),
            PathBuf::from("docs/growth.svg")
        );
        assert_eq!(parse("--growth a.svg --sizes 1,2").unwrap().sizes, [1, 2]);
        assert!(parse("--node-events --dev").unwrap().node_events);
        for wrong in [
            "--growth --workers-compare",
            "--node-events --works fib:1",
            "--growth --works fib:1",
            "--sizes 5",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
