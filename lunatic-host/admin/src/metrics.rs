//! `GET /metrics`: the figures of the runtime in the text format of Prometheus, 0.0.4.
//!
//! [`lunatic_host::measures`] lists the figures. Labels have few values, all known in advance, so the answer is limited
//! to some kilobytes. The figures concern the whole runtime, not a single system.
//!
//! They are followed by the metrics of the program itself: a limited number of series, whose names the host has
//! checked.

use std::fmt::{self, Display, Write as _};

use lunatic_host::measures::{self, Measure};
use lunatic_host::metrics::{FamilyView, Kind, ValueView};

use crate::door::Program;

/// The content type of the text.
pub(crate) const TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All figures, each with its meaning.
pub(crate) fn text(program: &Program) -> String {
    let mut page = Page(String::new());
    let measures = measures::read(&program.runtime, &program.system, program.start.elapsed());
    measures.iter().for_each(|measure| page.measure(measure));
    program.system.metrics().iter().for_each(|family| page.family(family));
    page.0
}

/// The labels after a name, with the bound if it is a bucket. Values can be any text.
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

/// A number in the syntax of the format.
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
    /// A figure of the runtime. Its label values are fixed texts that need no escapes.
    fn measure(&mut self, measure: &Measure) {
        let name = measure.prometheus_name();
        self.head(if measure.only_grows { COUNTER } else { GAUGE }, &name, measure.help);
        for (value, number) in &measure.points {
            match measure.label {
                None => self.line(format_args!("{name} {number}")),
                Some(label) => self.line(format_args!(r#"{name}{{{label}="{value}"}} {number}"#)),
            }
        }
    }

    /// The metrics of the program with one name.
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
