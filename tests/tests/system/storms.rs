//! Very many crashes at once. The program is in `guests/crashing.rs`.

use std::time::{Duration, Instant};

use lunatic_tests::bystander::Bystander;
use lunatic_tests::guests::{self, Profile};
use lunatic_tests::host::{Host, Program};

/// So many processes crash.
const CRASHES: usize = 20_000;

/// What is told of a storm.
struct Told {
    /// How many reports there are.
    reports: usize,
    /// The crashes that are counted, and in how many lines.
    counted: usize,
    lines: usize,
}

impl Told {
    /// Reads what was written; each report must be whole.
    fn of(said: &str) -> Self {
        let counts = said.lines().filter(|line| line.contains(" not shown"));
        let counts: Vec<usize> = counts
            .map(|line| number(line).expect("a number stands first"))
            .collect();
        let reports = said.lines().filter(|line| line.starts_with("process #")).count();
        let abort = said
            .lines()
            .filter(|line| line.ends_with("trapped: the program called abort"))
            .count();
        let parents = said.lines().filter(|line| line.starts_with("    spawned by #")).count();
        assert_eq!((abort, parents), (reports, reports), "a report is torn");
        Self {
            reports,
            counted: counts.iter().sum(),
            lines: counts.len(),
        }
    }
}

/// The number that a line begins with, with commas in it.
fn number(line: &str) -> Option<usize> {
    line.split(' ').next()?.replace(',', "").parse().ok()
}

/// Reports hold neither those who crash, nor those who wait for them, nor others: a storm with reports is like one without.
#[test]
fn a_storm_of_crashes_is_told_at_a_rate_and_holds_nobody() {
    let host = Host::with(|builder| builder.workers(2));
    let bystander = Bystander::start(&host);
    let program = host.program(&guests::bytes("crashing", Profile::Debug));
    let program = program.args(["a_storm", &CRASHES.to_string()]);
    let storm = |program: &Program<'_>| {
        bystander.lateness();
        let ended = program.clone().run().normal();
        let late = bystander.lateness().into_iter().max().unwrap();
        let time = Duration::from_millis(ended.stdout.trim().parse().unwrap());
        (time, late, ended.stderr)
    };
    let quiet = program.clone().quiet();
    storm(&quiet);
    let (quiet_time, quiet_late, nothing) = storm(&quiet);
    assert_eq!(nothing, "");
    let start = Instant::now();
    let (time, late, said) = storm(&program);
    let seconds = start.elapsed().as_secs() as usize + 1;
    assert!(
        time < 3 * quiet_time + Duration::from_millis(200),
        "{time:?}, and {quiet_time:?} without reports"
    );
    assert!(
        late < 4 * quiet_late + Duration::from_millis(150),
        "{late:?}, and {quiet_late:?} without reports"
    );
    let told = Told::of(&said);
    assert_eq!(told.reports + told.counted, CRASHES, "{} lines count", told.lines);
    let most = 256 + 10 * seconds;
    assert!(
        (256..=most).contains(&told.reports),
        "{} reports in {seconds} s",
        told.reports
    );
    assert!(
        (1..=seconds + 1).contains(&told.lines),
        "{} lines in {seconds} s",
        told.lines
    );
}
