//! The trace context of a process, and its open spans.
//!
//! A process has a *given* context: that of its spawn, then that of each message that it receives. A span that is open
//! and entered takes precedence, so a message that is received within a span changes nothing until the span ends. The
//! context that takes precedence is the *current* one, and is passed on with everything that the process sends and
//! spawns.
//!
//! Most processes have neither; for them, all this costs is a check.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use lunatic_kernel::budget::{Account, Receipt, Resource};
use lunatic_kernel::shares::Group;
use lunatic_kernel::trace::Trace;
use lunatic_sys::record::Value;
use lunatic_sys::trace::{Context, FIELDS_LEN_MAX, FIELDS_MAX, NAME_LEN_MAX, OPEN_MAX, SAMPLED};

use super::{Kind, Span, Tracer};

/// The context of a process. What is not set is empty, and costs nothing.
#[derive(Default)]
pub(crate) struct Current {
    /// The context that is passed on with everything that the process sends.
    trace: Trace,
    /// Made with the first span.
    spans: Option<Box<Spans>>,
}

/// The open spans of a process. Spans that are open when it ends have failed.
struct Spans {
    /// The given context, which is current when no span is entered.
    given: Trace,
    /// By number.
    open: BTreeMap<i32, Open>,
    /// The number of the span that was opened last.
    last: i32,
    /// The numbers of the spans that were entered and not left, the last one last.
    entered: Vec<i32>,
    /// What they take up, and what is paid for it.
    size: usize,
    paid: Receipt,
    tracer: Tracer,
    process: (String, String),
    group: Arc<Group>,
}

struct Open {
    context: Arc<Context>,
    /// The data to be recorded; `None` if its trace is not recorded.
    span: Option<Box<Span>>,
    /// The bytes of its fields and texts.
    fields_len: usize,
    /// What it takes up in all.
    size: usize,
    began: Instant,
}

/// What an open span takes up without its texts and fields, in bytes.
const OPEN_SIZE: usize = 1 << 10;
/// What a field takes up in addition to its bytes: the name, the value, and their places in memory.
const FIELD_SIZE: usize = 96;

/// The field that renames its span once the name is known, as in the crate `tracing-opentelemetry`.
const NAME: &str = "otel.name";

/// The fate of a span that ends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Closed {
    /// It will be taken, or nobody wants it.
    Done,
    /// It was dropped because too many are waiting.
    Dropped,
    /// There is no such span.
    None,
}

impl Current {
    /// The context that is passed on with what the process sends.
    #[inline]
    pub(crate) fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Gives a context to the process, which begins or has received a message.
    #[inline]
    pub(crate) fn give(&mut self, trace: Trace) {
        if self.trace.is_some() || trace.is_some() {
            self.replace(trace);
        }
    }

    #[cold]
    fn replace(&mut self, trace: Trace) {
        match &mut self.spans {
            Some(spans) if !spans.entered.is_empty() => spans.given = trace,
            Some(spans) => {
                spans.given.clone_from(&trace);
                self.trace = trace;
            }
            None => self.trace = trace,
        }
    }

    /// Ends the open spans with the process.
    #[inline]
    pub(crate) fn clear(&mut self) {
        if self.trace.is_some() || self.spans.is_some() {
            *self = Self::default();
        }
    }

    /// Opens a span and returns its number; 0 if it is not recorded. `owner` is called for the first one.
    pub(crate) fn open(&mut self, asked: Asked<'_>, owner: impl FnOnce() -> Owner, random: impl FnMut() -> u64) -> i32 {
        let around = self.trace.as_deref().filter(|_| !asked.is_root);
        // A trace that began elsewhere and is not recorded there is not recorded here either, and is passed on
        // unchanged.
        if around.is_some_and(|context| !context.is_sampled()) {
            return 0;
        }
        let spans = self
            .spans
            .get_or_insert_with(|| Box::new(Spans::new(self.trace.clone(), owner())));
        let Some(number) = spans.open(around, &asked, random) else {
            spans.tracer.count_lost(1);
            return 0;
        };
        if asked.enters {
            self.enter(number);
        }
        number
    }

    /// Makes an open span the current one; false if there is no such span, or if too many are entered.
    pub(crate) fn enter(&mut self, number: i32) -> bool {
        let Some(spans) = &mut self.spans else { return false };
        let can_enter = spans.open.contains_key(&number) && spans.entered.len() < OPEN_MAX;
        if can_enter {
            spans.entered.push(number);
            self.trace = spans.current();
        }
        can_enter
    }

    /// Leaves a span; false if it is not entered.
    pub(crate) fn leave(&mut self, number: i32) -> bool {
        let Some(spans) = &mut self.spans else { return false };
        let Some(at) = spans.entered.iter().rposition(|entered| *entered == number) else {
            return false;
        };
        spans.entered.remove(at);
        self.trace = spans.current();
        true
    }

    /// Adds fields to an open span, or the reason of its failure; `None` if there is no such span, false if it is full.
    pub(crate) fn add(
        &mut self,
        number: i32,
        fields: Vec<(&str, Value<'_>)>,
        len: usize,
        failure: Option<&str>,
    ) -> Option<bool> {
        let spans = self.spans.as_mut()?;
        let open = spans.open.get_mut(&number)?;
        let Some(span) = &mut open.span else { return Some(true) };
        let (count, failure) = (fields.len(), failure.map(|text| cut(text, NAME_LEN_MAX)));
        let len = len + failure.as_ref().map_or(0, String::len);
        let size = len + count * FIELD_SIZE;
        let has_room = open.fields_len + len <= FIELDS_LEN_MAX && span.fields.len() + count <= FIELDS_MAX;
        if !has_room || spans.paid.grow(size).is_err() {
            span.fields_dropped = span
                .fields_dropped
                .saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
            return Some(false);
        }
        open.fields_len += len;
        open.size += size;
        spans.size += size;
        span.failure = failure.or(span.failure.take());
        for (name, value) in fields {
            // A repeated field replaces the former one.
            let value = owned(value);
            if let (NAME, Value::Text(text)) = (name, &value) {
                span.name = cut(text, NAME_LEN_MAX);
                continue;
            }
            match span.fields.iter_mut().find(|(known, _)| known == name) {
                Some((_, known)) => *known = value,
                None => span.fields.push((name.to_owned(), value)),
            }
        }
        Some(true)
    }

    /// Ends a span. Its process has this name, if any.
    pub(crate) fn close(&mut self, number: i32, name: impl FnOnce() -> Option<String>) -> Closed {
        let Some(spans) = &mut self.spans else {
            return Closed::None;
        };
        let Some(mut open) = spans.take(number) else {
            return Closed::None;
        };
        spans.entered.retain(|entered| *entered != number);
        self.trace = spans.current();
        // The process may have been registered under a name meanwhile, which says more.
        if let (Some(span), Some(name)) = (&mut open.span, name()) {
            span.process.1 = name;
        }
        match open.end(&spans.tracer, &spans.group) {
            true => Closed::Done,
            false => Closed::Dropped,
        }
    }
}

/// The owner of spans.
pub(crate) struct Owner {
    /// Records them.
    pub(crate) tracer: Tracer,
    /// Pays for open spans.
    pub(crate) account: Account,
    /// The process: its id, and its name after its entry.
    pub(crate) process: (String, String),
    pub(crate) group: Arc<Group>,
}

/// A request for a span.
pub(crate) struct Asked<'a> {
    pub(crate) kind: Kind,
    pub(crate) name: &'a str,
    pub(crate) fields: Vec<(&'a str, Value<'a>)>,
    /// The bytes of the fields.
    pub(crate) fields_len: usize,
    /// Whether it begins a trace of its own.
    pub(crate) is_root: bool,
    /// Whether it is entered immediately.
    pub(crate) enters: bool,
}

/// A text, cut to at most this many bytes.
fn cut(text: &str, len_max: usize) -> String {
    text[..text.floor_char_boundary(len_max)].to_owned()
}

fn owned(value: Value<'_>) -> Value<'static> {
    match value {
        Value::Text(text) => Value::Text(text.into_owned().into()),
        Value::Signed(number) => Value::Signed(number),
        Value::Unsigned(number) => Value::Unsigned(number),
        Value::Float(number) => Value::Float(number),
        Value::Bool(truth) => Value::Bool(truth),
        _ => Value::Text("".into()),
    }
}

impl Spans {
    fn new(given: Trace, owner: Owner) -> Self {
        let Owner {
            tracer,
            account,
            process,
            group,
        } = owner;
        Self {
            given,
            open: BTreeMap::new(),
            last: 0,
            entered: Vec::new(),
            size: 0,
            paid: Receipt::new(account, Resource::Extensions),
            tracer,
            process,
            group,
        }
    }

    /// The context of the span that was entered last, or the given one.
    fn current(&self) -> Trace {
        let inner = self.entered.last().and_then(|number| self.open.get(number));
        inner.map_or_else(|| self.given.clone(), |open| Some(open.context.clone()))
    }

    fn take(&mut self, number: i32) -> Option<Open> {
        let open = self.open.remove(&number)?;
        self.size -= open.size;
        // A decrease is never refused.
        let _ = self.paid.settle(self.size);
        Some(open)
    }

    /// The number of a new span; `None` if the limit is reached.
    fn open(&mut self, around: Option<&Context>, asked: &Asked<'_>, mut random: impl FnMut() -> u64) -> Option<i32> {
        let name = cut(asked.name, NAME_LEN_MAX);
        let fields_len = asked.fields_len + name.len();
        if self.open.len() >= OPEN_MAX || asked.fields_len > FIELDS_LEN_MAX || asked.fields.len() > FIELDS_MAX {
            return None;
        }
        let size = OPEN_SIZE + fields_len + asked.fields.len() * FIELD_SIZE;
        self.paid.grow(size).ok()?;
        self.size += size;
        let mut id = || random().max(1).to_be_bytes();
        let context = Context {
            span: id(),
            ..around.cloned().unwrap_or_else(|| self.new_trace(&mut id))
        };
        let began = Instant::now();
        let span = context.is_sampled().then(|| {
            let now = SystemTime::now();
            Box::new(Span {
                context: context.clone(),
                parent: around.map(|around| around.span),
                name,
                kind: asked.kind,
                start: now,
                end: now,
                fields: asked
                    .fields
                    .iter()
                    .map(|(name, value)| ((*name).to_owned(), owned(value.clone())))
                    .collect(),
                fields_dropped: 0,
                failure: None,
                process: self.process.clone(),
            })
        });
        let open = Open {
            context: Arc::new(context),
            span,
            fields_len,
            size,
            began,
        };
        // A number is reused only after all others, so that an old number does not refer to another span.
        let after = |number: i32| number.checked_add(1).unwrap_or(1);
        self.last = after(self.last);
        while self.open.contains_key(&self.last) {
            self.last = after(self.last);
        }
        self.open.insert(self.last, open);
        Some(self.last)
    }

    /// The context of a new trace.
    fn new_trace(&self, id: &mut impl FnMut() -> [u8; 8]) -> Context {
        let mut trace = [0; 16];
        trace[..8].copy_from_slice(&id());
        trace[8..].copy_from_slice(&id());
        Context {
            trace,
            span: [1; 8],
            // The whole id is random.
            flags: 2 | if self.tracer.samples(trace) { SAMPLED } else { 0 },
            state: "".into(),
        }
    }
}

impl Open {
    /// Ends the span now; false if it is dropped.
    fn end(self, tracer: &Tracer, group: &Arc<Group>) -> bool {
        let Some(mut span) = self.span else { return true };
        // Not by the system's clock, which may be adjusted.
        span.end = span.start + self.began.elapsed();
        tracer.put(*span, group)
    }
}

impl Drop for Spans {
    fn drop(&mut self) {
        for mut open in std::mem::take(&mut self.open).into_values() {
            if let Some(span) = &mut open.span {
                span.failure
                    .get_or_insert_with(|| "the process ended before the span did".into());
            }
            open.end(&self.tracer, &self.group);
        }
    }
}
