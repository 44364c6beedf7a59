//! Numbers that a program counts, for the people who run it.
//!
//! The host adds up what all processes of the program count, by name, and shows it for Prometheus at `/metrics` of the admin door
//! (`lunatic run --admin`):
//!
//! ```no_run
//! use lunatic::metrics;
//!
//! metrics::counter("orders").add(1);
//! metrics::gauge("open_orders").add(1);
//! metrics::histogram("order_seconds", &[0.01, 0.1, 1.0]).observe(0.3);
//! // # TYPE orders_total counter
//! // orders_total 1
//! ```
//!
//! # What they show
//!
//! | | shows | when a process ends |
//! |---|---|---|
//! | [`Counter`] | the sum of all that was added, since the program has begun | what it added stays |
//! | [`Gauge`] | the sum of what each living process says | what it said goes |
//! | [`Histogram`] | how many values were in each bucket, and their sum | what it observed stays |
//!
//! So a gauge of open connections is right again after a crash, without anybody seeing to it.
//!
//! # Names and labels
//!
//! A name has 1 to 64 letters, digits and `_`, no digit first; it does not begin with `lunatic_`, and does not end with `_total`
//! (but for counters, where that may be left out), `_sum`, `_count` or `_bucket`. Labels are for few values that are known
//! beforehand, such as methods of HTTP, not for users or ids: a program has 1,024 series in all, one for each combination of values,
//! and a sandbox a part of them. What cannot be opened for that, or because the process may not
//! ([`Right::Metrics`](crate::rights::Right::Metrics)), counts nothing, and `/metrics` says how often that was.
//!
//! # Cost
//!
//! Each addition is a call of the host, some 15 nanoseconds; a name that was used before is found in 3 more. One with labels takes half a
//! microsecond to find: keep the [`Counter`] where it is used often. It is good in its process only, so a closure cannot capture it.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use lunatic_sys::codes;
use lunatic_sys::metrics::{COUNTER, GAUGE, HISTOGRAM};

use crate::host;

/// Not to be sent to another process, where its number means another series.
type Here = PhantomData<*const ()>;

/// A number that only grows.
#[derive(Clone, Copy, Debug)]
pub struct Counter(i32, Here);

/// A number that goes up and down: what the calling process says of it, added to what others say.
#[derive(Clone, Copy, Debug)]
pub struct Gauge(i32, Here);

/// Sorts values by size.
#[derive(Clone, Copy, Debug)]
pub struct Histogram(i32, Here);

impl Counter {
    /// Adds to it.
    #[inline]
    pub fn add(&self, by: u64) {
        host::metrics::add(self.0, by);
    }
}

impl Gauge {
    /// Adds to what this process says, which is 0 at first.
    #[inline]
    pub fn add(&self, by: i64) {
        host::metrics::change(self.0, by);
    }

    /// Sets what this process says.
    #[inline]
    pub fn set(&self, to: i64) {
        host::metrics::set(self.0, to);
    }
}

impl Histogram {
    /// Counts a value.
    #[inline]
    pub fn observe(&self, value: f64) {
        host::metrics::observe(self.0, value);
    }
}

/// The counter of this name.
///
/// # Panics
///
/// If the name breaks the [rules](self#names-and-labels) (then it traps), or is that of another kind.
#[must_use]
#[track_caller]
pub fn counter(name: &'static str) -> Counter {
    Counter(known(COUNTER, name, &[]), PhantomData)
}

/// The counter of this name, for these labels and their values.
///
/// # Panics
///
/// As [`counter`].
#[must_use]
#[track_caller]
pub fn counter_with(name: &str, labels: &[(&str, &str)]) -> Counter {
    Counter(open(COUNTER, name, labels, &[]), PhantomData)
}

/// The gauge of this name.
///
/// # Panics
///
/// As [`counter`].
#[must_use]
#[track_caller]
pub fn gauge(name: &'static str) -> Gauge {
    Gauge(known(GAUGE, name, &[]), PhantomData)
}

/// The gauge of this name, for these labels and their values.
///
/// # Panics
///
/// As [`counter`].
#[must_use]
#[track_caller]
pub fn gauge_with(name: &str, labels: &[(&str, &str)]) -> Gauge {
    Gauge(open(GAUGE, name, labels, &[]), PhantomData)
}

/// The histogram of this name. `bounds` are the largest values of its buckets, at most 32, each larger than the one before; there
/// is one more bucket for all that is larger. The bounds count with which the name is first used.
///
/// # Panics
///
/// As [`counter`]; it traps, too, if these are no bounds.
#[must_use]
#[track_caller]
pub fn histogram(name: &'static str, bounds: &[f64]) -> Histogram {
    Histogram(known(HISTOGRAM, name, bounds), PhantomData)
}

/// The histogram of this name, for these labels and their values.
///
/// # Panics
///
/// As [`histogram`].
#[must_use]
#[track_caller]
pub fn histogram_with(name: &str, labels: &[(&str, &str)], bounds: &[f64]) -> Histogram {
    Histogram(open(HISTOGRAM, name, labels, bounds), PhantomData)
}

/// So many names are remembered.
const KNOWN_MAX: usize = 64;

/// A name without labels that was used: where it lies, its length with its kind, and its number.
struct Known {
    address: AtomicUsize,
    len_and_kind: AtomicUsize,
    number: AtomicI32,
}

/// One name in each place. Each process has these statics of its own.
static KNOWN: [Known; KNOWN_MAX] = [const {
    Known {
        address: AtomicUsize::new(0),
        len_and_kind: AtomicUsize::new(0),
        number: AtomicI32::new(0),
    }
}; KNOWN_MAX];

/// The number of a series without labels. Names are constants, so they are known again by where they lie.
#[track_caller]
fn known(kind: i32, name: &'static str, bounds: &[f64]) -> i32 {
    let (address, len_and_kind) = (name.as_ptr().addr(), name.len() * 4 + kind as usize);
    let known = &KNOWN[(address ^ (address >> 6)) % KNOWN_MAX];
    let is_known =
        known.address.load(Ordering::Relaxed) == address && known.len_and_kind.load(Ordering::Relaxed) == len_and_kind;
    if is_known {
        return known.number.load(Ordering::Relaxed);
    }
    let series = open(kind, name, &[], bounds);
    known.address.store(address, Ordering::Relaxed);
    known.len_and_kind.store(len_and_kind, Ordering::Relaxed);
    known.number.store(series, Ordering::Relaxed);
    series
}

/// A number that no series has.
const NONE: i32 = -1;

#[cold]
#[track_caller]
fn open(kind: i32, name: &str, labels: &[(&str, &str)], bounds: &[f64]) -> i32 {
    let mut text = name.as_bytes().to_vec();
    for (label, value) in labels {
        text.push(0);
        text.extend_from_slice(label.as_bytes());
        text.push(b'=');
        text.extend_from_slice(value.as_bytes());
    }
    match host::metrics::open(kind, &text, bounds) {
        Ok(number) => number,
        Err(codes::NAME_TAKEN) => panic!("the metric `{name}` is of another kind"),
        Err(_) => NONE,
    }
}
