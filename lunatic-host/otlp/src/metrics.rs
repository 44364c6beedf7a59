//! Encodes figures of the runtime, and metrics that the program counts.

use std::time::SystemTime;

use lunatic_host::measures::{Measure, Number};
use lunatic_host::metrics::{FamilyView, Kind, SeriesView, ValueView};
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics,
    ScopeMetrics, Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;

use crate::spans::{nanoseconds, scope, text};

/// The time range of figures: the start of counting, and the time of reading.
#[derive(Clone, Copy)]
pub(crate) struct Times {
    start: u64,
    now: u64,
}

impl Times {
    pub(crate) fn since(start: SystemTime) -> Self {
        Self {
            start: nanoseconds(start),
            now: nanoseconds(SystemTime::now()),
        }
    }
}

/// The request with these figures, and the program's metrics.
pub(crate) fn request(resource: &Resource, measures: &[Measure], families: &[FamilyView], times: Times) -> Vec<u8> {
    let part = |name: &str, metrics: Vec<Metric>| ScopeMetrics {
        scope: Some(scope(name)),
        metrics,
        ..ScopeMetrics::default()
    };
    let host = measures.iter().map(|measure| of_host(measure, times)).collect();
    let program = families.iter().map(|family| of_program(family, times)).collect();
    let all = ResourceMetrics {
        resource: Some(resource.clone()),
        scope_metrics: vec![part("lunatic", host), part("lunatic.program", program)],
        ..ResourceMetrics::default()
    };
    ExportMetricsServiceRequest {
        resource_metrics: vec![all],
    }
    .encode_to_vec()
}

fn whole(number: u64) -> Value {
    Value::AsInt(i64::try_from(number).unwrap_or(i64::MAX))
}

fn point(attributes: Vec<KeyValue>, value: Value, times: Times) -> NumberDataPoint {
    NumberDataPoint {
        attributes,
        start_time_unix_nano: times.start,
        time_unix_nano: times.now,
        value: Some(value),
        ..NumberDataPoint::default()
    }
}

fn data(points: Vec<NumberDataPoint>, only_grows: bool) -> Data {
    match only_grows {
        true => Data::Sum(Sum {
            data_points: points,
            aggregation_temporality: AggregationTemporality::Cumulative.into(),
            is_monotonic: true,
        }),
        false => Data::Gauge(Gauge { data_points: points }),
    }
}

fn of_host(measure: &Measure, times: Times) -> Metric {
    let points = measure.points.iter().map(|(value, number)| {
        let attributes = measure.label.map(|label| text(label, value));
        let number = match number {
            Number::Whole(number) => whole(*number),
            Number::Fraction(number) => Value::AsDouble(*number),
        };
        point(attributes.into_iter().collect(), number, times)
    });
    Metric {
        name: measure.name.into(),
        description: measure.help.into(),
        unit: measure.unit.into(),
        data: Some(data(points.collect(), measure.only_grows)),
        ..Metric::default()
    }
}

fn of_program(family: &FamilyView, times: Times) -> Metric {
    let labels = |series: &SeriesView| series.labels.iter().map(|(label, value)| text(label, value)).collect();
    let series = family.series.iter();
    let data = match family.kind {
        Kind::Histogram => {
            let points = series.filter_map(|series| histogram(family, &series.value, labels(series), times));
            Data::Histogram(Histogram {
                data_points: points.collect(),
                aggregation_temporality: AggregationTemporality::Cumulative.into(),
            })
        }
        kind => {
            let points = series.filter_map(|series| {
                let value = match series.value {
                    ValueView::Counter(count) => whole(count),
                    ValueView::Gauge(sum) => Value::AsInt(sum),
                    _ => return None,
                };
                Some(point(labels(series), value, times))
            });
            data(points.collect(), kind == Kind::Counter)
        }
    };
    Metric {
        name: family.name.clone(),
        data: Some(data),
        ..Metric::default()
    }
}

fn histogram(
    family: &FamilyView,
    value: &ValueView,
    attributes: Vec<KeyValue>,
    times: Times,
) -> Option<HistogramDataPoint> {
    let ValueView::Histogram { buckets, sum } = value else {
        return None;
    };
    Some(HistogramDataPoint {
        attributes,
        start_time_unix_nano: times.start,
        time_unix_nano: times.now,
        count: buckets.iter().sum(),
        sum: Some(*sum),
        bucket_counts: buckets.clone(),
        explicit_bounds: family.bounds.to_vec(),
        ..HistogramDataPoint::default()
    })
}
