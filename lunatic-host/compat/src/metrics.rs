//! Metrics: numbers with names, to which all processes of a program contribute.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use parking_lot::Mutex;

/// How many names there can be, and how long each can be; changes to others are ignored, as the interface has no error
/// for them.
const NAMES_MAX: usize = 4096;
const NAME_LEN_MAX: usize = 256;

/// A change to a metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Change {
    /// Adds to a counter.
    Count(u64),
    /// Sets a gauge.
    Set(f64),
    /// Adds to a gauge.
    Add(f64),
    /// Records one value of a histogram.
    Record(f64),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Metric {
    Counter(u64),
    Gauge(f64),
    Histogram { count: u64, sum: f64, min: f64, max: f64 },
}

/// The numbers that the processes of one system have counted, by name. Each system has its own.
#[derive(Default)]
pub struct Metrics(Mutex<BTreeMap<Box<str>, Metric>>);

impl Metrics {
    /// Changes a metric; the first change creates it. If a metric of another kind has this name, nothing happens.
    pub(crate) fn change(&self, name: &str, change: Change) {
        let mut metrics = self.0.lock();
        if let Some(metric) = metrics.get_mut(name) {
            metric.change(change);
        } else if metrics.len() < NAMES_MAX && name.len() <= NAME_LEN_MAX {
            metrics.insert(name.into(), Metric::first(change));
        }
    }

    /// One line for each metric, in the order of their names; a histogram has several.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for (name, metric) in &*self.0.lock() {
            let name = name.escape_debug();
            let _ = match metric {
                Metric::Counter(count) => writeln!(text, "{name} {count}"),
                Metric::Gauge(value) => writeln!(text, "{name} {value}"),
                Metric::Histogram { count, sum, min, max } => writeln!(
                    text,
                    "{name}_count {count}\n{name}_sum {sum}\n{name}_min {min}\n{name}_max {max}"
                ),
            };
        }
        text
    }
}

impl Metric {
    fn first(change: Change) -> Self {
        match change {
            Change::Count(by) => Self::Counter(by),
            Change::Set(value) | Change::Add(value) => Self::Gauge(value),
            Change::Record(value) => Self::Histogram {
                count: 1,
                sum: value,
                min: value,
                max: value,
            },
        }
    }

    fn change(&mut self, change: Change) {
        match (self, change) {
            (Self::Counter(count), Change::Count(by)) => *count = count.wrapping_add(by),
            (Self::Gauge(value), Change::Set(to)) => *value = to,
            (Self::Gauge(value), Change::Add(by)) => *value += by,
            (Self::Histogram { count, sum, min, max }, Change::Record(value)) => {
                (*count, *sum) = (*count + 1, *sum + value);
                (*min, *max) = (min.min(value), max.max(value));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_counts_in_its_way() {
        let metrics = Metrics::default();
        let changes = [
            ("requests", Change::Count(2)),
            ("requests", Change::Count(1)),
            ("requests", Change::Set(100.0)),
            ("load", Change::Set(1.5)),
            ("load", Change::Add(-0.5)),
            ("time", Change::Record(1.0)),
            ("time", Change::Record(3.0)),
        ];
        changes.iter().for_each(|(name, change)| metrics.change(name, *change));
        let expected = "load 1\nrequests 3\ntime_count 2\ntime_sum 4\ntime_min 1\ntime_max 3\n";
        assert_eq!(metrics.text(), expected);
    }
}
