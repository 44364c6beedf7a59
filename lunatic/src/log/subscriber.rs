//! The subscriber of the crate `tracing`.

use std::fmt::{Debug, Write as _};
use std::sync::{Mutex, PoisonError};

use lunatic_sys::log::{DEBUG, ERROR, INFO, TRACE, WARN};
use lunatic_sys::record::{Fields, Value, encode};
use lunatic_sys::trace::{INTERNAL, ROOT};
use tracing_core::field::{Field, Visit};
use tracing_core::span::{Attributes, Current, Id, Record};
use tracing_core::subscriber::Interest;
use tracing_core::{Dispatch, Event, Level, Metadata, Subscriber, dispatcher};

use super::spans::Spans;
use super::{is_written, is_written_of};
use crate::host::{self, trace};

struct Processes;

/// The spans of this process. The lock is not held during calls into the program's own code, such as its `Debug`.
static SPANS: Mutex<Spans> = Mutex::new(Spans::new());

fn spans<R>(act: impl FnOnce(&mut Spans) -> R) -> R {
    act(&mut SPANS.lock().unwrap_or_else(PoisonError::into_inner))
}

pub(super) fn install() {
    // A process has one subscriber: installing another one returns an error.
    let _ = dispatcher::set_global_default(Dispatch::new(Processes));
}

fn number(level: &Level) -> i32 {
    match *level {
        Level::ERROR => ERROR,
        Level::WARN => WARN,
        Level::INFO => INFO,
        Level::DEBUG => DEBUG,
        Level::TRACE => TRACE,
    }
}

/// The fields of a record; `tracing` passes the message as one of them.
#[derive(Default)]
struct Said {
    message: String,
    fields: Fields,
}

impl Said {
    fn add(&mut self, field: &Field, value: &Value<'_>) {
        match (field.name(), value) {
            ("message", Value::Text(text)) => self.message.push_str(text),
            (name, value) => self.fields.add(name, value),
        }
    }
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut text = String::new();
        // A `Debug` implementation that fails leaves a cut text.
        let _ = write!(text, "{value:?}");
        self.add(field, &Value::Text(text.into()));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, &Value::Text(value.into()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, &Value::Signed(value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, &Value::Unsigned(value));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, &Value::Float(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, &Value::Bool(value));
    }
}

/// Spans up to this level become spans of traces, whichever records are written.
const SPAN_LEVEL: i32 = INFO;

/// Opens a trace span for a span of `tracing`, within the trace span `around`, if that is one.
fn open(attributes: &Attributes<'_>, fields: &Fields, around: i32) -> i32 {
    let kind = if attributes.is_root() { ROOT } else { 0 } | INTERNAL;
    trace::enter(around);
    let number = trace::open(kind, attributes.metadata().name(), fields);
    trace::leave(around);
    number
}

impl Subscriber for Processes {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        // The level may change.
        Interest::sometimes()
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let level = number(metadata.level());
        is_written(level) || (metadata.is_span() && level <= SPAN_LEVEL && trace::is_recorded())
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let mut said = Said::default();
        attributes.record(&mut said);
        spans(|spans| {
            let parent = match attributes.parent() {
                Some(parent) => Some(parent.clone()),
                None if attributes.is_root() => None,
                None => spans.current(),
            };
            let around = attributes.parent().map_or(trace::NONE, |parent| spans.traced(parent));
            let traced = open(attributes, &said.fields, around);
            let id = spans.add(attributes.metadata(), said.fields, parent);
            spans.set_traced(&id, traced);
            id
        })
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        let mut said = Said::default();
        values.record(&mut said);
        spans(|spans| {
            trace::record(spans.traced(span), &said.fields);
            spans.record(span, &said.fields);
        });
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let metadata = event.metadata();
        let (level, target) = (number(metadata.level()), metadata.target());
        if !is_written_of(level, target) {
            return;
        }
        let mut said = Said::default();
        event.record(&mut said);
        let record = spans(|spans| {
            let inner = match event.parent() {
                Some(parent) => Some(parent.clone()),
                None if event.is_root() => None,
                None => spans.current(),
            };
            encode(level, target, &said.message, &said.fields, spans.around(inner))
        });
        host::log::record(&record);
    }

    fn enter(&self, span: &Id) {
        spans(|spans| {
            trace::enter(spans.traced(span));
            spans.enter(span);
        });
    }

    fn exit(&self, span: &Id) {
        spans(|spans| {
            trace::leave(spans.traced(span));
            spans.exit(span);
        });
    }

    fn clone_span(&self, span: &Id) -> Id {
        spans(|spans| spans.hold(span));
        span.clone()
    }

    fn try_close(&self, span: Id) -> bool {
        spans(|spans| spans.release(&span))
    }

    fn current_span(&self) -> Current {
        spans(|spans| {
            spans
                .current()
                .and_then(|span| spans.metadata(&span).map(|metadata| Current::new(span, metadata)))
        })
        .unwrap_or_else(Current::none)
    }
}
