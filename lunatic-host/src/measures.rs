//! The figures of a runtime by name, with their meaning: `/metrics` of the admin door shows them, and exporters send
//! them.
//!
//! Names and units follow OpenTelemetry's conventions; for Prometheus they are converted by its rules. Labels have few
//! values, all known in advance. Every figure is read on request.

use std::fmt::{self, Display};
use std::time::Duration;

use crate::exit::KINDS;
use crate::nodes::ClusterInfo;
use crate::{Figures, RunningSystem, Runtime};

/// A figure, or one for each value of a label.
#[derive(Debug, Clone, PartialEq)]
pub struct Measure {
    /// The name, such as `lunatic.processes.spawned`.
    pub name: &'static str,
    /// The unit: `By` (bytes), `s` (seconds), or empty.
    pub unit: &'static str,
    /// Whether it only grows.
    pub only_grows: bool,
    /// The meaning.
    pub help: &'static str,
    /// The label, if it has one.
    pub label: Option<&'static str>,
    /// The values of the label, each with its figure; a single empty value if there is no label.
    pub points: Vec<(String, Number)>,
}

/// A figure.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// A whole number.
    Whole(u64),
    /// A number with a fraction.
    Fraction(f64),
}

impl Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(number) => number.fmt(f),
            Self::Fraction(number) => number.fmt(f),
        }
    }
}

impl From<u64> for Number {
    fn from(number: u64) -> Self {
        Self::Whole(number)
    }
}

impl From<usize> for Number {
    fn from(number: usize) -> Self {
        Self::Whole(number as u64)
    }
}

impl From<f64> for Number {
    fn from(number: f64) -> Self {
        Self::Fraction(number)
    }
}

impl Measure {
    /// Returns the name for Prometheus, such as `lunatic_processes_spawned_total`.
    #[must_use]
    pub fn prometheus_name(&self) -> String {
        let unit = match self.unit {
            "By" => "_bytes",
            "s" => "_seconds",
            _ => "",
        };
        let total = if self.only_grows { "_total" } else { "" };
        format!("{}{unit}{total}", self.name.replace('.', "_"))
    }
}

fn gauge(name: &'static str, unit: &'static str, help: &'static str, value: impl Into<Number>) -> Measure {
    Measure {
        name,
        unit,
        only_grows: false,
        help,
        label: None,
        points: vec![(String::new(), value.into())],
    }
}

fn counter(name: &'static str, unit: &'static str, help: &'static str, value: impl Into<Number>) -> Measure {
    Measure {
        only_grows: true,
        ..gauge(name, unit, help, value)
    }
}

/// The same measure, for each value of a label.
fn by<L: ToString, N: Into<Number>>(
    measure: Measure,
    label: &'static str,
    points: impl IntoIterator<Item = (L, N)>,
) -> Measure {
    Measure {
        label: Some(label),
        points: points
            .into_iter()
            .map(|(value, number)| (value.to_string(), number.into()))
            .collect(),
        ..measure
    }
}

/// Reads all figures of a runtime and of the system that it runs, which began `uptime` ago.
#[must_use]
pub fn read(runtime: &Runtime, system: &RunningSystem, uptime: Duration) -> Vec<Measure> {
    let figures = runtime.figures();
    let mut all = processes(&figures);
    all.extend(memory(&figures));
    all.push(gauge(
        "lunatic.descriptors",
        "",
        "Open descriptors of processes: files, folders, sockets.",
        figures.descriptors,
    ));
    all.push(gauge(
        "lunatic.timers",
        "",
        "Timers that have not sent yet.",
        figures.timers,
    ));
    all.push(counter(
        "lunatic.timers.skipped",
        "",
        "How often intervals did not send because they were late or had used up their share of a core.",
        figures.timers_skipped,
    ));
    all.push(gauge(
        "lunatic.observers",
        "",
        "Clients that receive events, such as `lunatic trace`.",
        figures.observers,
    ));
    let workers = runtime.workers();
    let times = workers.iter().enumerate();
    let times = times.filter_map(|(worker, info)| Some((worker, info.time?.as_secs_f64())));
    let cpu = counter("lunatic.worker.cpu", "s", "CPU time of each worker.", 0.0);
    all.push(by(cpu, "worker", times));
    let steals = counter(
        "lunatic.worker.steals",
        "",
        "How often each worker has taken processes from the queues of another.",
        0_u64,
    );
    let counts = workers.iter().enumerate();
    all.push(by(steals, "worker", counts.map(|(worker, info)| (worker, info.steals))));
    all.extend(runtime.cluster().iter().flat_map(cluster));
    all.push(gauge(
        "lunatic.uptime",
        "s",
        "How long the program has run.",
        uptime.as_secs_f64(),
    ));
    let info = gauge("lunatic.info", "", "The version of Lunatic.", 1_u64);
    all.push(by(info, "version", [(env!("CARGO_PKG_VERSION"), 1_u64)]));
    all.push(counter(
        "lunatic.program.metrics.refused",
        "",
        "How often a new metric was refused because the program has the largest number of metrics.",
        system.metrics_refused(),
    ));
    all.extend(dropped(system));
    all
}

/// What a node knows of the others in its cluster, together: a cluster may have any number of nodes.
fn cluster(cluster: &ClusterInfo) -> Vec<Measure> {
    let members = &cluster.members;
    let connected = members.iter().filter(|member| member.is_up).count();
    let queued = members.iter().map(|member| member.queued).sum::<usize>();
    let totals = &cluster.totals;
    vec![
        by(
            gauge(
                "lunatic.cluster.nodes",
                "",
                "The other nodes of the cluster by state: connected, or tried to reach.",
                0_u64,
            ),
            "state",
            [("connected", connected), ("unreachable", members.len() - connected)],
        ),
        by(
            counter(
                "lunatic.cluster.io",
                "By",
                "Bytes of frames between this node and others.",
                0_u64,
            ),
            "direction",
            [("transmit", totals.sent), ("receive", totals.received)],
        ),
        gauge(
            "lunatic.cluster.queued",
            "By",
            "Bytes that wait to be sent to other nodes.",
            queued,
        ),
        counter(
            "lunatic.cluster.losses",
            "",
            "How often a connected node was lost.",
            totals.losses,
        ),
    ]
}

/// What was recorded for an exporter and has not reached it.
fn dropped(system: &RunningSystem) -> Vec<Measure> {
    let spans = system.tracer().map(|tracer| {
        counter(
            "lunatic.spans.dropped",
            "",
            "Spans of traces that were dropped, because they came faster than they were sent on.",
            tracer.dropped(),
        )
    });
    let records = system.log().and_then(|log| log.copies_dropped()).map(|dropped| {
        counter(
            "lunatic.records.dropped",
            "",
            "Copies of records of the log that were dropped, because they came faster than they were sent on.",
            dropped,
        )
    });
    spans.into_iter().chain(records).collect()
}

fn processes(figures: &Figures) -> Vec<Measure> {
    let (running, waiting) = (figures.processes.saturating_sub(figures.blocked), figures.blocked);
    let queues = &figures.queues;
    vec![
        gauge("lunatic.processes", "", "Processes that are alive.", figures.processes),
        by(
            gauge(
                "lunatic.processes.by_state",
                "",
                "Processes by state: running or ready, waiting, waiting and packed.",
                0_u64,
            ),
            "state",
            [
                ("ready", running),
                ("waiting", waiting.saturating_sub(figures.frozen)),
                ("frozen", figures.frozen),
            ],
        ),
        counter(
            "lunatic.processes.spawned",
            "",
            "Processes that were spawned.",
            figures.spawned,
        ),
        by(
            counter(
                "lunatic.processes.ended",
                "",
                "Processes that have ended, by the kind of reason.",
                0_u64,
            ),
            "reason",
            KINDS.into_iter().zip(figures.ended),
        ),
        by(
            gauge(
                "lunatic.run_queue.processes",
                "",
                "Processes that wait for a worker, by queue.",
                0_u64,
            ),
            "queue",
            [
                ("woken", queues.woken),
                ("fresh", queues.fresh),
                ("burners", queues.burners),
                ("injected", queues.injected),
            ],
        ),
    ]
}

fn memory(figures: &Figures) -> Vec<Measure> {
    vec![
        gauge(
            "lunatic.instances",
            "",
            "Instances of modules, including those that are kept for further processes.",
            figures.instances,
        ),
        by(
            gauge(
                "lunatic.memory",
                "By",
                "Memory by kind: linear memories as charged, queued messages, other memory that is kept for processes.",
                0_u64,
            ),
            "kind",
            [
                ("linear", figures.memory_bytes),
                ("queued", figures.queued_bytes),
                ("kept", figures.kept_bytes.saturating_sub(figures.queued_bytes)),
            ],
        ),
        gauge(
            "lunatic.host.resident",
            "By",
            "Resident memory of the whole program; 0 if the system does not report it.",
            figures.resident_bytes,
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prometheus_has_names_of_its_own() {
        let name = |measure: Measure| measure.prometheus_name();
        assert_eq!(name(gauge("lunatic.processes", "", "", 1_u64)), "lunatic_processes");
        assert_eq!(name(gauge("lunatic.memory", "By", "", 1_u64)), "lunatic_memory_bytes");
        assert_eq!(
            name(counter("lunatic.worker.cpu", "s", "", 1.5)),
            "lunatic_worker_cpu_seconds_total"
        );
    }
}
