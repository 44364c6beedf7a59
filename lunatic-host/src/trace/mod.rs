//! Spans: pieces of work that processes say they do, each in a trace that may go through many processes and programs.
//!
//! The context of a process (which trace it works for, and in which span) is kept with the process, and travels with what it
//! sends, calls and spawns whether anybody records or not. Spans are recorded only for a system that has a [`Tracer`].
//!
//! | module | what it is about |
//! |---|---|
//! | `current` | the context of a process, and the spans that it has open |
//!
//! A span that has ended waits in the tracer until somebody takes it, such as an exporter. So many may wait, and so many bytes;
//! beyond that they are dropped and counted. Nobody waits for them. Groups share the places as they share descriptors: a flood of
//! one sandbox leaves places to the others.

mod current;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use lunatic_kernel::shares::Group;
use lunatic_kernel::stock::{Portion, Stock};
pub use lunatic_sys::record::Value;
pub use lunatic_sys::trace::Context;
use lunatic_sys::trace::{CLIENT, CONSUMER, INTERNAL, PRODUCER, SERVER};
use parking_lot::Mutex;

pub(crate) use self::current::{Asked, Closed, Current, Owner};

/// So many spans wait to be taken, at most.
pub const WAITING_MAX: usize = 4096;
/// So many bytes they have together, at most.
pub const WAITING_BYTES_MAX: usize = 8 << 20;

/// A span that has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// Its trace and its id.
    pub context: Context,
    /// The id of the span around it; of one that begins its trace there is none.
    pub parent: Option<[u8; 8]>,
    /// What it is called.
    pub name: String,
    /// What kind of work it is.
    pub kind: Kind,
    /// When it began.
    pub start: SystemTime,
    /// When it ended, not before it began.
    pub end: SystemTime,
    /// What else is known, by name.
    pub fields: Vec<(String, Value<'static>)>,
    /// How many fields were left out, because they were too many.
    pub fields_dropped: u32,
    /// Why it failed, if it did.
    pub failure: Option<String>,
    /// The process that it happened in: its id, and what it was called at the end.
    pub process: (String, String),
}

/// What kind of work a span is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Something within the process.
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
    /// That of a number which guests use, if there is one.
    pub(crate) fn from_number(number: i32) -> Option<Self> {
        Some(match number {
            INTERNAL => Self::Internal,
            SERVER => Self::Server,
            CLIENT => Self::Client,
            PRODUCER => Self::Producer,
            CONSUMER => Self::Consumer,
            _ => return None,
        })
    }
}

impl Span {
    /// About how many bytes it takes up.
    fn size(&self) -> usize {
        let value = |value: &Value<'_>| match value {
            Value::Text(text) => text.len(),
            _ => 0,
        };
        let fields: usize = self
            .fields
            .iter()
            .map(|(name, said)| size_of::<(String, Value<'_>)>() + name.len() + value(said))
            .sum();
        let texts = self.name.len() + self.process.0.len() + self.process.1.len() + self.context.state.len();
        size_of::<Self>() + fields + texts + self.failure.as_ref().map_or(0, String::len)
    }
}

/// Records spans, until somebody takes them. A clone is another handle of the same.
///
/// # Examples
///
/// ```
/// use lunatic_host::SystemConfig;
/// use lunatic_host::trace::Tracer;
///
/// let tracer = Tracer::new(1.0);
/// let config = SystemConfig { tracer: Some(tracer.clone()), ..SystemConfig::default() };
/// // While it runs, again and again:
/// for span in tracer.take(512) {
///     println!("{} took {:?}", span.name, span.end.duration_since(span.start));
/// }
/// # drop(config);
/// ```
#[derive(Clone)]
pub struct Tracer(Arc<Shared>);

struct Shared {
    /// Of 2⁶⁴ traces that begin here, so many are recorded.
    sampled: u64,
    waiting: Mutex<Waiting>,
    places: Arc<Stock>,
    dropped: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    spans: VecDeque<(Span, Portion)>,
    bytes: usize,
}

impl Tracer {
    /// One that records this part of the traces that begin here, 0 to 1. Traces that began elsewhere are recorded if they are
    /// there.
    #[must_use]
    pub fn new(ratio: f64) -> Self {
        let shared = Shared {
            // Saturates: 1 is all but one in 2⁶⁴.
            sampled: (ratio.clamp(0.0, 1.0) * 2_f64.powi(64)) as u64,
            waiting: Mutex::default(),
            places: Stock::new(WAITING_MAX as u64),
            dropped: AtomicU64::new(0),
        };
        Self(Arc::new(shared))
    }

    /// Takes the oldest spans, at most so many.
    #[must_use]
    pub fn take(&self, max: usize) -> Vec<Span> {
        let mut waiting = self.0.waiting.lock();
        let count = waiting.spans.len().min(max);
        let taken: Vec<_> = waiting.spans.drain(..count).collect();
        waiting.bytes -= taken.iter().map(|(span, _)| span.size()).sum::<usize>();
        drop(waiting);
        // Their places are free again.
        taken.into_iter().map(|(span, _)| span).collect()
    }

    /// So many spans that were taken have been lost.
    pub fn count_lost(&self, spans: u64) {
        self.0.dropped.fetch_add(spans, Ordering::Relaxed);
    }

    /// How many spans have been dropped or lost, because too many were waiting or nobody took them.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    /// Whether a trace that begins with this random id is recorded.
    fn samples(&self, trace: [u8; 16]) -> bool {
        let number = u128::from_be_bytes(trace) as u64;
        self.0.sampled == u64::MAX || number < self.0.sampled
    }

    /// Adds a span of one of a group; false if it is dropped.
    fn put(&self, span: Span, group: &Arc<Group>) -> bool {
        let size = span.size();
        let place = Portion::take(&self.0.places, group, 1);
        let mut waiting = self.0.waiting.lock();
        match place {
            Some(place) if waiting.bytes + size <= WAITING_BYTES_MAX => {
                waiting.bytes += size;
                waiting.spans.push_back((span, place));
                true
            }
            _ => {
                drop(waiting);
                self.count_lost(1);
                false
            }
        }
    }
}
