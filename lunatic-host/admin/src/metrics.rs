//! `GET /metrics`: the figures of the runtime in the text format of Prometheus, 0.0.4.
//!
//! Names follow OpenTelemetry: what is counted, then its unit; what only grows ends with `_total`. Labels have few values, all of
//! them known beforehand, so the answer stays below some kilobytes. The figures are of the whole runtime, not of one system.
//!
//! Behind them stands what the program counts itself, a bounded number of series whose names the host has checked.

use std::fmt::{self, Display, Write as _};

use lunatic_host::exit::KINDS;
use lunatic_host::metrics::{FamilyView, Kind, ValueView};

use crate::door::Program;

/// The type of the text.
pub(crate) const TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All figures, each with what it means.
pub(crate) fn text(program: &Program) -> String {
    let figures = program.runtime.figures();
    let workers = program.runtime.workers();
    let mut page = Page(String::new());
    page.processes(&figures);
    page.memory(&figures);
    page.one(
        GAUGE,
        "lunatic_descriptors",
        "Descriptors that processes hold: files, folders, sockets.",
        figures.descriptors,
    );
    page.one(
        GAUGE,
        "lunatic_timers",
        "Timers that have still to send.",
        figures.timers,
    );
    page.one(
        COUNTER,
        "lunatic_timers_skipped_total",
        "How often intervals did not send, as they were late or had used up their share of a core.",
        figures.timers_skipped,
    );
    page.one(
        GAUGE,
        "lunatic_observers",
        "How many are told of events, such as `lunatic trace`.",
        figures.observers,
    );
    let times = workers.iter().enumerate();
    let times = times.filter_map(|(worker, info)| Some((worker, info.time?)));
    page.many(
        COUNTER,
        "lunatic_worker_cpu_seconds_total",
        "How long each worker has been on a core.",
        "worker",
        times.map(|(worker, time)| (worker, time.as_secs_f64())),
    );
    page.one(
        GAUGE,
        "lunatic_uptime_seconds",
        "How long the program has run.",
        program.start.elapsed().as_secs_f64(),
    );
    page.many(
        GAUGE,
        "lunatic_info",
        "The version of Lunatic.",
        "version",
        [(env!("CARGO_PKG_VERSION"), 1)],
    );
    page.one(
        COUNTER,
        "lunatic_program_metrics_refused_total",
        "How often the program could not count something new, as it has as many metrics as it may.",
        program.system.metrics_refused(),
    );
    program.system.metrics().iter().for_each(|family| page.family(family));
    page.0
}

/// Labels as they stand behind a name, with that of a bucket if it is one. A value may be any text.
struct Labels<'a>(&'a [(String, String)], Option<f64>);

impl Display for Labels<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(labels, bound) = self;
        let mut before = '{';
        for (label, value) in *labels {
            write!(f, "{before}{label}=\"")?;
            for c in value.chars() {
                match c {
                    '\\' | '"' => write!(f, "\\{c}")?,
                    '\n' => f.write_str("\\n")?,
                    c => f.write_char(c)?,
                }
            }
            f.write_char('"')?;
            before = ',';
        }
        if let Some(bound) = bound {
            write!(f, "{before}le=\"{}\"", Number(*bound))?;
            before = ',';
        }
        f.write_str(if before == ',' { "}" } else { "" })
    }
}

/// A number as the format has it.
struct Number(f64);

impl Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            number if number == f64::INFINITY => f.write_str("+Inf"),
            number if number == f64::NEG_INFINITY => f.write_str("-Inf"),
            number => write!(f, "{number}"),
        }
    }
}

const GAUGE: &str = "gauge";
const COUNTER: &str = "counter";

struct Page(String);

impl Page {
    fn processes(&mut self, figures: &lunatic_host::Figures) {
        let (running, waiting) = (figures.processes.saturating_sub(figures.blocked), figures.blocked);
        self.one(GAUGE, "lunatic_processes", "Processes that live.", figures.processes);
        self.many(
            GAUGE,
            "lunatic_processes_by_state",
            "Processes by what they do: run or can, wait, wait packed.",
            "state",
            [
                ("ready", running),
                ("waiting", waiting.saturating_sub(figures.frozen)),
                ("frozen", figures.frozen),
            ],
        );
        self.one(
            COUNTER,
            "lunatic_processes_spawned_total",
            "Processes that were spawned.",
            figures.spawned,
        );
        self.many(
            COUNTER,
            "lunatic_processes_ended_total",
            "Processes that have ended, by the kind of reason.",
            "reason",
            KINDS.into_iter().zip(figures.ended),
        );
        let queues = &figures.queues;
        self.many(
            GAUGE,
            "lunatic_run_queue_processes",
            "Processes that wait for a worker, by queue.",
            "queue",
            [
                ("woken", queues.woken),
                ("fresh", queues.fresh),
                ("burners", queues.burners),
                ("injected", queues.injected),
            ],
        );
    }

    fn memory(&mut self, figures: &lunatic_host::Figures) {
        self.one(
            GAUGE,
            "lunatic_instances",
            "Instances of modules, some of them kept for processes to come.",
            figures.instances,
        );
        self.many(
            GAUGE,
            "lunatic_memory_bytes",
            "Memory by kind: linear memories as charged, queued messages, what else is kept for processes.",
            "kind",
            [
                ("linear", figures.memory_bytes),
                ("queued", figures.queued_bytes),
                ("kept", figures.kept_bytes.saturating_sub(figures.queued_bytes)),
            ],
        );
        self.one(
            GAUGE,
            "lunatic_host_resident_bytes",
            "The machine's memory that the whole program holds; 0 where the system does not tell.",
            figures.resident_bytes,
        );
    }

    fn one(&mut self, kind: &str, name: &str, help: &str, value: impl Display) {
        self.head(kind, name, help);
        self.line(format_args!("{name} {value}"));
    }

    /// A figure for each value of a label. Values are fixed texts that need no escapes.
    fn many<L: Display, V: Display>(
        &mut self,
        kind: &str,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (L, V)>,
    ) {
        self.head(kind, name, help);
        for (of, value) in values {
            self.line(format_args!(r#"{name}{{{label}="{of}"}} {value}"#));
        }
    }

    /// What the program counts under one name.
    fn family(&mut self, family: &FamilyView) {
        let name = &family.name;
        let (kind, name) = match family.kind {
            Kind::Counter => (COUNTER, format!("{name}_total")),
            Kind::Gauge => (GAUGE, name.clone()),
            Kind::Histogram => ("histogram", name.clone()),
        };
        self.head(kind, &name, "Of the program.");
        for series in &family.series {
            let labels = &series.labels;
            match &series.value {
                ValueView::Counter(count) => self.line(format_args!("{name}{} {count}", Labels(labels, None))),
                ValueView::Gauge(sum) => self.line(format_args!("{name}{} {sum}", Labels(labels, None))),
                ValueView::Histogram { buckets, sum } => {
                    let bounds = family.bounds.iter().copied().chain([f64::INFINITY]);
                    let mut count = 0;
                    for (bound, bucket) in bounds.zip(buckets) {
                        count += bucket;
                        self.line(format_args!("{name}_bucket{} {count}", Labels(labels, Some(bound))));
                    }
                    let labels = Labels(labels, None);
                    self.line(format_args!("{name}_sum{labels} {}", Number(*sum)));
                    self.line(format_args!("{name}_count{labels} {count}"));
                }
                _ => {}
            }
        }
    }

    fn head(&mut self, kind: &str, name: &str, help: &str) {
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        writeln!(self.0, "{line}").expect("a text takes all");
    }
}
