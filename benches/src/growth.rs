//! How costs grow with the number of processes and messages: works at several sizes on all systems, as one picture. A cost
//! that grows linearly is a level line of time, and a line of memory that rises as the number does.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result, bail};

use crate::chart::{Chart, Line, Panel};
use crate::child::{Measured, measure, measure_with};
use crate::programs::{Program, Programs};
use crate::reserve::Reserve;
use crate::table::{self, Cell, Row};

/// The works, and the unit of their sizes.
const WORKS: [(&str, &str); 3] = [
    ("spawn", "processes that come and go"),
    ("send", "messages"),
    ("idle", "waiting processes"),
];

/// The costs of one system at several sizes.
struct Series<'a> {
    program: &'a Program,
    cells: Vec<(u64, Cell)>,
    /// Why it has no larger sizes.
    ended: Option<String>,
}

/// Measures all works at all sizes, prints a table and draws the picture.
pub(crate) fn run(programs: &Programs, sizes: &[u64], rounds: usize, file: &Path) -> Result<()> {
    let mut sizes = sizes.to_vec();
    sizes.sort_unstable();
    if let Some(ours) = programs.of_work("spawn").next() {
        // A first run compiles the program, so that no measured round does.
        measure(ours, "spawn", 1)?;
    }
    println!("{}", table::HEAD);
    let mut all = Vec::new();
    for (work, title) in WORKS {
        let mut series: Vec<Series<'_>> = programs
            .of_work(work)
            .map(|program| Series {
                program,
                cells: Vec::new(),
                ended: None,
            })
            .collect();
        for &n in &sizes {
            measure_size(&mut series, work, n, rounds);
            println!("{}", row(&series, work, n));
        }
        all.push((title, series));
    }
    let svg = chart(&all).to_string();
    fs::write(file, svg).with_context(|| format!("could not write {}", file.display()))?;
    println!("\n{} is drawn.", file.display());
    let ended = all
        .iter()
        .flat_map(|(_, series)| series.iter().filter_map(|one| one.ended.as_ref()));
    let ended: Vec<&str> = ended.map(String::as_str).collect();
    if !ended.is_empty() {
        bail!("not everything could be measured: {}", ended.join("; "));
    }
    Ok(())
}

/// Adds the medians of a size to all series that have not ended.
fn measure_size(series: &mut [Series<'_>], work: &str, n: u64, rounds: usize) {
    let mut measured: Vec<Vec<Measured>> = series.iter().map(|_| Vec::new()).collect();
    for round in 1..=rounds {
        for (one, all) in series
            .iter_mut()
            .zip(&mut measured)
            .filter(|(one, _)| one.ended.is_none())
        {
            let system = one.program.system;
            eprintln!("{work} {n}: round {round} of {rounds}, {system}");
            match measure_in_reserve(one.program, work, n) {
                Ok(measured) => all.push(measured),
                Err(error) => one.ended = Some(format!("{system}, {work} {n}: {error:#}")),
            }
        }
    }
    for (one, all) in series.iter_mut().zip(&measured).filter(|(one, _)| one.ended.is_none()) {
        one.cells.push((n, Cell::of(one.program.system, all)));
    }
}

fn measure_in_reserve(program: &Program, work: &str, n: u64) -> Result<Measured> {
    let ended = Arc::new(AtomicBool::new(false));
    let measured = measure_with(program, work, n, |pid| Reserve::watch(pid, ended.clone()));
    if ended.load(Ordering::Relaxed) {
        bail!("it would have used up the machine's memory");
    }
    measured
}

/// The table row for one size: the figures of each system, and a dash where there is none.
fn row(series: &[Series<'_>], work: &str, n: u64) -> String {
    let at_size = series
        .iter()
        .filter_map(|one| one.cells.iter().find(|(size, _)| *size == n));
    let cells: Vec<Cell> = at_size.map(|(_, cell)| cell.clone()).collect();
    let is_ours = |cell: &Cell| series.first().is_some_and(|one| one.program.system == cell.system);
    match cells.first() {
        Some(first) if is_ours(first) => Row {
            work: work.to_owned(),
            n,
            cells,
        }
        .to_string(),
        _ => {
            let beside: Vec<String> = cells
                .iter()
                .map(|cell| format!("{} {}", cell.system, table::show(cell)))
                .collect();
            format!("| `{work}` {n} | – | {} | – |", beside.join("; "))
        }
    }
}

fn chart(works: &[(&str, Vec<Series<'_>>)]) -> Chart {
    let panels = |value: fn(&Cell) -> f64| {
        let panel = |(title, series): &(&str, Vec<Series<'_>>)| Panel {
            title: (*title).to_owned(),
            lines: series.iter().map(|one| line(one, value)).collect(),
        };
        works.iter().map(panel).collect()
    };
    Chart {
        rows: vec![
            ("nanoseconds each".to_owned(), panels(|cell| cell.value)),
            (
                "peak memory of all, MB".to_owned(),
                panels(|cell| cell.peak_kb as f64 / 1024.0),
            ),
        ],
    }
}

fn line(series: &Series<'_>, value: fn(&Cell) -> f64) -> Line {
    Line {
        name: series.program.system,
        points: series.cells.iter().map(|(n, cell)| (*n as f64, value(cell))).collect(),
    }
}
