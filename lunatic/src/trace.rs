//! Traces: which request a process works for, and *spans*, pieces of that work.
//!
//! A request may go through many processes. Its [`Context`] goes along with it, without anybody seeing to that: with each message,
//! call and spawn, and with HTTP requests (`traceparent`, of the W3C recommendation *Trace Context*). So what all of them do is one
//! trace, and stands together wherever spans are shown:
//!
//! ```no_run
//! use lunatic::trace;
//!
//! let mut span = trace::span("pack");
//! span.record("items", 3);
//! // What is sent, called and spawned here belongs to `pack`. It ends with the variable.
//! drop(span);
//! ```
//!
//! Spans of the crate [`tracing`](https://docs.rs/tracing) become spans of these traces, too, with the feature `tracing` of this
//! crate. They are recorded where `lunatic run --otlp` sends them; else, opening one costs a nanosecond, and contexts travel
//! all the same. Of `tracing`, spans of the levels `error` to `info` are, and those of levels that are logged.
//!
//! # Which context is current
//!
//! | when | the context of the process is |
//! |---|---|
//! | it begins | that of the process that spawned it, at that moment |
//! | a message is received, from a mailbox or a channel | that of its sender when it sent; none, if that had none |
//! | an answer to a call comes | what it was before |
//! | a span is open | the span, whatever is received meanwhile |
//! | a span ends | the span around it, or what was received last |
//! | a timer's message comes | that of whoever set the timer; none, if it comes at intervals |
//!
//! Signals change nothing. Who has no context and opens a span begins a trace.
//!
//! # Limits
//!
//! A process has 1,024 spans open at most, each of 64 fields with 8 KiB in all, and pays for them. Names are cut at 255 bytes. A
//! span that is too many is not recorded. The host counts those that it drops because they come faster than they are sent on. A
//! sandbox opens spans, and says which trace it works for, only if it may ([`Right::Trace`](crate::rights::Right::Trace)). Contexts
//! travel through it all the same.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use lunatic_sys::record::Fields;
pub use lunatic_sys::record::Value;
pub use lunatic_sys::trace::Context;
use lunatic_sys::trace::{CLIENT, CONSUMER, ENTER, INTERNAL, PRODUCER, ROOT, SERVER};

use crate::host;

/// What kind of work a span is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Something within the process.
    #[default]
    Internal,
    /// A request that is answered.
    Server,
    /// A request that is made.
    Client,
    /// A message for somebody to work on later.
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

/// The context of the calling process; `None` if it works for no request that is known.
#[must_use]
pub fn current() -> Option<Context> {
    host::trace::current()
}

/// Makes a context the one of the calling process, as if it had received a message with it: for requests that come by other ways
/// than messages. False if the process may not say so.
pub fn set(context: Option<&Context>) -> bool {
    host::trace::set(context)
}

/// Begins a span within the current one. It ends when it is dropped; if the process ends before, it has failed.
#[must_use = "a span ends when it is dropped"]
pub fn span(name: &str) -> Span {
    Builder::new(name).begin()
}

/// What a span is to be.
#[derive(Debug)]
pub struct Builder<'a> {
    name: Cow<'a, str>,
    kind: i32,
    fields: Fields,
}

impl<'a> Builder<'a> {
    /// A span of this name.
    #[must_use]
    pub fn new(name: impl Into<Cow<'a, str>>) -> Self {
        Self {
            name: name.into(),
            kind: INTERNAL,
            fields: Fields::default(),
        }
    }

    /// What kind of work it is.
    #[must_use]
    pub fn kind(self, kind: Kind) -> Self {
        Self {
            kind: self.kind & ROOT | kind.number(),
            ..self
        }
    }

    /// It begins a trace of its own, whatever the process works for.
    #[must_use]
    pub fn root(self) -> Self {
        Self {
            kind: self.kind | ROOT,
            ..self
        }
    }

    /// Something that is known of it from the beginning.
    #[must_use]
    pub fn field<'v>(mut self, name: &str, value: impl Into<Value<'v>>) -> Self {
        self.fields.add(name, &value.into());
        self
    }

    /// Begins it.
    #[must_use = "a span ends when it is dropped"]
    pub fn begin(self) -> Span {
        Span {
            number: host::trace::open(self.kind | ENTER, &self.name, &self.fields),
            here: PhantomData,
        }
    }
}

/// A span that is open. It is the current one, as long as none is begun within it.
pub struct Span {
    number: i32,
    /// Its number is good in this process only.
    here: PhantomData<*const ()>,
}

impl Span {
    /// Whether anybody will see it. What it takes to tell of it can be left out otherwise.
    #[must_use]
    pub fn is_recorded(&self) -> bool {
        self.number != host::trace::NONE
    }

    /// Something that is known of it now.
    pub fn record<'v>(&mut self, name: &str, value: impl Into<Value<'v>>) {
        if self.is_recorded() {
            let mut fields = Fields::default();
            fields.add(name, &value.into());
            host::trace::record(self.number, &fields);
        }
    }

    /// It has failed, for this reason.
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
