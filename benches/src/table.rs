//! The table: one row a work, ours first, the others with the ratio of ours to theirs.

use std::fmt;

use crate::child::Measured;

pub(crate) const HEAD: &str = "| work | Lunatic | beside it | ratio |\n|---|---|---|---|";

/// The middle one of some values, or the mean of the two in the middle; 0 of none.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        len => (values[(len - 1) / 2] + values[len / 2]) / 2.0,
    }
}

/// What one system took for a work.
#[derive(Clone)]
pub(crate) struct Cell {
    pub(crate) system: &'static str,
    /// Nanoseconds.
    pub(crate) value: f64,
    pub(crate) peak_kb: u64,
}

impl Cell {
    /// The medians of all rounds.
    pub(crate) fn of(system: &'static str, rounds: &[Measured]) -> Self {
        Self {
            system,
            value: median(rounds.iter().map(|one| one.value)),
            peak_kb: median(rounds.iter().map(|one| one.peak_kb as f64)) as u64,
        }
    }
}

pub(crate) struct Row {
    pub(crate) work: String,
    pub(crate) n: u64,
    /// The first is ours.
    pub(crate) cells: Vec<Cell>,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [ours, others @ ..] = self.cells.as_slice() else {
            return Ok(());
        };
        write!(f, "| `{}` {} | {} |", self.work, self.n, show(ours))?;
        let join = |texts: Vec<String>| {
            if texts.is_empty() {
                "–".to_owned()
            } else {
                texts.join("; ")
            }
        };
        let beside = others.iter().map(|other| format!("{} {}", other.system, show(other)));
        let ratios = others
            .iter()
            .map(|other| format!("{:.2} × {}", ours.value / other.value, other.system));
        write!(f, " {} | {} |", join(beside.collect()), join(ratios.collect()))
    }
}

pub(crate) fn show(cell: &Cell) -> String {
    format!("{}, {} MB", time(cell.value), cell.peak_kb.div_ceil(1024))
}

fn time(ns: f64) -> String {
    match ns {
        ns if ns < 10_000.0 => format!("{ns:.0} ns"),
        ns if ns < 1e6 => format!("{:.1} µs", ns / 1e3),
        ns => format!("{:.2} ms", ns / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median([]), 0.0);
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn a_row_compares_ours_with_each_other() {
        let cell = |system, value, peak_kb| Cell { system, value, peak_kb };
        let mut row = Row {
            work: "ring".into(),
            n: 7,
            cells: vec![
                cell("Lunatic", 500.0, 2048),
                cell("Erlang", 1000.0, 1),
                cell("Go", 2e6, 1025),
            ],
        };
        assert_eq!(
            row.to_string(),
            "| `ring` 7 | 500 ns, 2 MB | Erlang 1000 ns, 1 MB; Go 2.00 ms, 2 MB | 0.50 × Erlang; 0.00 × Go |"
        );
        row.cells.truncate(1);
        assert_eq!(row.to_string(), "| `ring` 7 | 500 ns, 2 MB | – | – |");
    }
}
