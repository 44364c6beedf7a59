//! Encodes spans.

use std::time::SystemTime;

use lunatic_host::trace::{Kind, Span, Value};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Said;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{self as proto, ResourceSpans, ScopeSpans, Status};
use prost::Message as _;

/// The request with these spans.
pub(crate) fn request(resource: &Resource, spans: Vec<Span>) -> Vec<u8> {
    let scope = ScopeSpans {
        scope: Some(scope("lunatic")),
        spans: spans.into_iter().map(span).collect(),
        ..ScopeSpans::default()
    };
    let all = ResourceSpans {
        resource: Some(resource.clone()),
        scope_spans: vec![scope],
        ..ResourceSpans::default()
    };
    ExportTraceServiceRequest {
        resource_spans: vec![all],
    }
    .encode_to_vec()
}

/// The maker of something: the host, or a part of the program.
pub(crate) fn scope(name: &str) -> InstrumentationScope {
    InstrumentationScope {
        name: name.to_owned(),
        ..InstrumentationScope::default()
    }
}

pub(crate) fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

pub(crate) fn text(key: &str, value: &str) -> KeyValue {
    pair(key, Said::StringValue(value.to_owned()))
}

pub(crate) fn pair(key: &str, value: Said) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

/// A field from a guest.
pub(crate) fn field(key: &str, value: &Value<'_>) -> KeyValue {
    let said = match value {
        Value::Text(text) => Said::StringValue(text.clone().into_owned()),
        Value::Signed(number) => Said::IntValue(*number),
        // A number that exceeds the range of the protocol is sent as text.
        Value::Unsigned(number) => match i64::try_from(*number) {
            Ok(number) => Said::IntValue(number),
            Err(_) => Said::StringValue(number.to_string()),
        },
        Value::Float(number) => Said::DoubleValue(*number),
        Value::Bool(truth) => Said::BoolValue(*truth),
        _ => Said::StringValue(String::new()),
    };
    pair(key, said)
}

/// The process that made something: its id and its name.
pub(crate) fn process(id: &str, name: &str) -> impl Iterator<Item = KeyValue> {
    let name = (!name.is_empty()).then(|| text("lunatic.process.name", name));
    [text("lunatic.process.id", id)].into_iter().chain(name)
}

fn span(span: Span) -> proto::Span {
    let kind = match span.kind {
        Kind::Server => SpanKind::Server,
        Kind::Client => SpanKind::Client,
        Kind::Producer => SpanKind::Producer,
        Kind::Consumer => SpanKind::Consumer,
        _ => SpanKind::Internal,
    };
    let fields = span.fields.iter().map(|(name, value)| field(name, value));
    proto::Span {
        trace_id: span.context.trace.to_vec(),
        span_id: span.context.span.to_vec(),
        trace_state: span.context.state.to_string(),
        parent_span_id: span.parent.map(Vec::from).unwrap_or_default(),
        flags: span.context.flags.into(),
        name: span.name,
        kind: kind.into(),
        start_time_unix_nano: nanoseconds(span.start),
        end_time_unix_nano: nanoseconds(span.end),
        attributes: fields.chain(process(&span.process.0, &span.process.1)).collect(),
        dropped_attributes_count: span.fields_dropped,
        status: span.failure.map(|why| Status {
            message: why,
            code: StatusCode::Error.into(),
        }),
        ..proto::Span::default()
    }
}
