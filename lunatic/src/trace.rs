//! Distributed tracing: contexts that identify the request a process works for, and *spans*, the timed steps of that
//! work.
//!
//! A request may pass through many processes. Its [`Context`] is passed along automatically: with each message, call
//! and spawn, and with HTTP requests (`traceparent` of the W3C recommendation *Trace Context*). So the work of all
//! these processes is one trace, and is shown together:
//!
//! ```no_run
//! use lunatic::trace;
//!
//! let mut span = trace::span("pack");
//! span.record("items", 3);
//! // What is sent, called and spawned here belongs to `pack`, which ends when the variable is dropped.
//! drop(span);
//! ```
//!
//! With the feature `tracing` of this crate, spans of the crate [`tracing`](https://docs.rs/tracing) become spans of
//! these traces too: those of the levels `error` to `info`, and those of levels that are logged.
//!
//! Spans are recorded if `lunatic run --otlp` sends them to a collector. Otherwise opening a span costs a nanosecond,
//! and contexts are passed along all the same.
//!
//! # Which context is current
//!
//! | when | the context of the process becomes |
//! |---|---|
//! | it starts | the context that its parent had when it spawned it |
//! | it receives a message, from a mailbox or a channel | the context of the sender at the time of sending; none if it had none |
//! | it receives the answer to a call | the one before the call |
//! | it opens a span | the span, whatever it receives while the span is open |
//! | it ends a span | the surrounding span, or the context that it received last |
//! | it receives a timer's message | the context of the process that set the timer; none for an interval timer |
//!
//! Signals do not change the context. If a process without a context opens a span, the span begins a trace.
//!
//! # Limits
//!
//! A process can have 1,024 spans open, each with at most 64 fields and 8 KiB in total, and pays for them. Names are
//! cut at 255 bytes. A span beyond the limit is not recorded. If spans come faster than they can be sent on, the host
//! drops some and counts them. A sandbox can open spans and set its context only if it has the right
//! ([`Right::Trace`](crate::rights::Right::Trace)); contexts pass through it all the same.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use lunatic_sys::record::Fields;
pub use lunatic_sys::record::Value;
pub use lunatic_sys::trace::Context;
use lunatic_sys::trace::{CLIENT, CONSUMER, ENTER, INTERNAL, PRODUCER, ROOT, SERVER};

use crate::host;

/// The kind of a span; the names are those of OpenTelemetry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Work within the process.
    #[default]
    Internal,
    /// A request that is handled.
    Server,
    /// A request that is made.
    Client,
    /// A message that another process works on later.
    Producer,
    /// Work on such a message.
    Consumer,
}

impl Kind {
    fn number(self) -> i32 {
        match self {
            Self::Internal => INTERNAL,
            Self::Server => SERVER,
            Self::Client => CLIENT,
            Self::Producer => PRODUCER,
            Self::Consumer => CONSUMER,
        }
    }
}

/// Returns the context of the calling process; `None` if it works for no known request.
#[must_use]
pub fn current() -> Option<Context> {
    host::trace::current()
}

/// Sets the context of the calling process, as if it had received a message with it. Use it for requests that do not
/// arrive as messages. Returns false if the process does not have the right.
pub fn set(context: Option<&Context>) -> bool {
    host::trace::set(context)
}

/// Begins a span within the current one. It ends when it is dropped; if the process exits before, the span counts as
/// failed.
#[must_use = "a span ends when it is dropped"]
pub fn span(name: &str) -> Span {
    Builder::new(name).begin()
}

/// The options of a span.
#[derive(Debug)]
pub struct Builder<'a> {
    name: Cow<'a, str>,
    kind: i32,
    fields: Fields,
}

impl<'a> Builder<'a> {
    /// Makes options for a span of this name.
    #[must_use]
    pub fn new(name: impl Into<Cow<'a, str>>) -> Self {
        Self {
            name: name.into(),
            kind: INTERNAL,
            fields: Fields::default(),
        }
    }

    /// Sets the kind. The default is [`Kind::Internal`].
    #[must_use]
    pub fn kind(self, kind: Kind) -> Self {
        Self {
            kind: self.kind & ROOT | kind.number(),
            ..self
        }
    }

    /// Makes the span the root of a new trace, whatever the process works for.
    #[must_use]
    pub fn root(self) -> Self {
        Self {
            kind: self.kind | ROOT,
            ..self
        }
    }

    /// Adds a field.
    #[must_use]
    pub fn field<'v>(mut self, name: &str, value: impl Into<Value<'v>>) -> Self {
        self.fields.add(name, &value.into());
        self
    }

    /// Begins the span.
    #[must_use = "a span ends when it is dropped"]
    pub fn begin(self) -> Span {
        Span {
            number: host::trace::open(self.kind | ENTER, &self.name, &self.fields),
            here: PhantomData,
        }
    }
}

/// An open span. It is the current one, unless another one is open within it.
pub struct Span {
    number: i32,
    /// The number is valid only in this process.
    here: PhantomData<*const ()>,
}

impl Span {
    /// Returns whether the span is recorded. If not, the work of preparing its fields can be skipped.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        self.number != host::trace::NONE
    }

    /// Adds a field.
    pub fn record<'v>(&mut self, name: &str, value: impl Into<Value<'v>>) {
        if self.is_recorded() {
            let mut fields = Fields::default();
            fields.add(name, &value.into());
            host::trace::record(self.number, &fields);
        }
    }

    /// Marks the span as failed, for this reason.
    pub fn fail(&mut self, why: &str) {
        host::trace::fail(self.number, why);
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        host::trace::close(self.number);
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Span")
            .field("is_recorded", &self.is_recorded())
            .finish_non_exhaustive()
    }
}
