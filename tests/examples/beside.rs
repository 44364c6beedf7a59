//! Measures what is promised to those who run beside an attacker, for each attacker of the corpus:
//! `cargo run --release -p lunatic-tests --example beside [-- NAME…]`, those whose names contain one of these.
//!
//! Prints a table, and what is not kept. Beside the attackers stand a control without any and one with plain endless loops: on a
//! machine that is busy otherwise these are late, too. Nobody else should run meanwhile.

use std::process::ExitCode;
use std::time::Duration;

use lunatic_host::CompileHelper;
use lunatic_tests::attackers::{self, Attacker};
use lunatic_tests::beside::{BUDGET, Cost, Range, WORKERS};

/// How long each attacker runs: some 350 sleeps of the bystander.
const TIME: Duration = Duration::from_secs(2);
/// Processes that loop.
const LOOPS: u32 = 8;

fn main() -> ExitCode {
    // In a helper that compiles, this does not return.
    let helper = CompileHelper::this_program();
    let names: Vec<_> = std::env::args().skip(1).collect();
    let is_asked_for =
        |attacker: &Attacker| names.is_empty() || names.iter().any(|name| attacker.what.contains(name.as_str()));
    let range = Range::new(TIME, |builder| builder.compile_helper(helper));
    println!(
        "{WORKERS} workers, {WORKERS} attackers at once with {} MiB each; late in ms, grown in MB, gone in ms",
        BUDGET >> 20
    );
    println!("| attacker | p50 | p99 | worst | grown | descriptors | main gone | all gone | given back | not kept |");
    println!("|---|---|---|---|---|---|---|---|---|---|");
    show("(nobody)", &range.alone());
    let loops = attackers::loops(LOOPS);
    show(&loops.what, &range.measure(&loops));
    let mut broken = 0;
    for attacker in attackers::all().iter().filter(|attacker| is_asked_for(attacker)) {
        let cost = range.measure(attacker);
        show(&attacker.what, &cost);
        broken += usize::from(!cost.broken().is_empty());
    }
    show(&loops.what, &range.measure(&loops));
    println!("{broken} attackers broke what is promised");
    ExitCode::from(u8::from(broken > 0))
}

fn show(what: &str, cost: &Cost) {
    let ms = |time: Duration| format!("{:.1}", time.as_secs_f64() * 1000.0);
    println!(
        "| {what} | {} | {} | {} | {:.1} | {} | {} | {} | {} | {} |",
        ms(cost.p50),
        ms(cost.p99),
        ms(cost.worst),
        cost.grown as f64 / 1e6,
        cost.descriptors,
        ms(cost.main_gone),
        ms(cost.all_gone),
        ms(cost.given_back),
        cost.broken().join(", ")
    );
}
