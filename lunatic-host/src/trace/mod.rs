//! Spans: pieces of work of processes, each in a trace that may extend over many processes and programs.
//!
//! The context of a process (the trace and the span that it works for) is kept with the process, and is passed on with
//! what it sends, calls and spawns, even if nothing is recorded. Spans are recorded only for a system that has a
//! [`Tracer`].
//!
//! | module | purpose |
//! |---|---|
//! | `current` | the trace context of a process, and its open spans |
//!
//! A span that has ended waits in the tracer until it is taken, for example by an exporter. The number and the bytes of
//! waiting spans are limited; beyond that, spans are dropped and counted. Nobody waits for them. Groups share the room
//! as they share descriptors: a flood from one sandbox leaves room for the others.

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

/// The most spans that wait to be taken.
pub const WAITING_MAX: usize = 4096;
/// The most bytes of all waiting spans.
pub const WAITING_BYTES_MAX: usize = 8 << 20;

/// A span that has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Span {
    /// The ids of its trace and of itself.
    pub context: Context,
    /// The id of the parent span; `None` if it begins its trace.
    pub parent: Option<[u8; 8]>,
    /// The name.
    pub name: String,
    /// The kind of work.
    pub kind: Kind,
    /// When it began.
    pub start: SystemTime,
    /// When it ended; never before it began.
    pub end: SystemTime,
    /// Further data, by name.
    pub fields: Vec<(String, Value<'static>)>,
    /// How many fields were left out because there were too many.
    pub fields_dropped: u32,
    /// Why it failed, if it did.
    pub failure: Option<String>,
    /// The id of its process, and the name of the process at the end.
    pub process: (String, String),
}

/// The kind of work of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Internal work of the process.
    Internal,
    /// Handling a request that is answered.
    Server,
    /// Sending a request and waiting for the answer.
    Client,
    /// Sending a message for later processing.
    Producer,
    /// Processing such a message.
    Consumer,
}

impl Kind {
    /// The kind with the number that guests use, if there is one.
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
    /// Approximate bytes that it takes up.
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

/// Records spans until they are taken. A clone is another handle of the same tracer.
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
    /// Of 2⁶⁴ traces that begin here, this many are recorded.
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
    /// Returns a tracer that records this fraction (0 to 1) of the traces that begin here. Traces that began elsewhere
    /// are recorded if they are recorded there.
    #[must_use]
    pub fn new(ratio: f64) -> Self {
        let shared = Shared {
            // Saturates: a ratio of 1 records all but one in 2⁶⁴.
            sampled: (ratio.clamp(0.0, 1.0) * 2_f64.powi(64)) as u64,
            waiting: Mutex::default(),
            places: Stock::new(WAITING_MAX as u64),
            dropped: AtomicU64::new(0),
        };
        Self(Arc::new(shared))
    }

    /// Takes the oldest spans, at most `max`.
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

    /// Counts spans that were taken and then lost.
    pub fn count_lost(&self, spans: u64) {
        self.0.dropped.fetch_add(spans, Ordering::Relaxed);
    }

    /// Returns how many spans have been dropped or lost, because too many were waiting or nobody took them.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    /// Whether a trace that begins with this random id is recorded.
    fn samples(&self, trace: [u8; 16]) -> bool {
        let number = u128::from_be_bytes(trace) as u64;
        self.0.sampled == u64::MAX || number < self.0.sampled
    }

    /// Adds a span of a group; false if it is dropped.
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
