//! Metrics: numbers that a program counts for its operators.
//!
//! The host adds up what all processes of the program count under each name. It publishes the sums for Prometheus at
//! `/metrics` of the admin interface (`lunatic run --admin`):
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
//! # What the kinds of metrics show
//!
//! | | shows | when a process exits |
//! |---|---|---|
//! | [`Counter`] | the sum of all additions since the program started | its additions stay |
//! | [`Gauge`] | the sum of the values of all living processes | its value is removed |
//! | [`Histogram`] | how many values fell into each bucket, and their sum | its values stay |
//!
//! So a gauge of open connections is correct again after a crash, without any code for that.
//!
//! # Names and labels
//!
//! A name has 1 to 64 letters, digits and `_`, and does not start with a digit. It must not begin with `lunatic_` nor
//! end with `_sum`, `_count` or `_bucket`. Only the name of a counter may end with `_total`; the host appends it
//! otherwise.
//!
//! Labels are for a small number of values that are known beforehand, such as HTTP methods, not for users or ids. A
//! program has at most 1,024 series, one for each combination of label values, and a sandbox has a part of them. If a
//! series cannot be opened because of that limit, or because the process does not have the right
//! ([`Right::Metrics`](crate::rights::Right::Metrics)), it counts nothing, and `/metrics` shows how often that
//! happened.
//!
//! # Cost
//!
//! Each addition is a call of the host and takes some 15 nanoseconds. Finding a name that was used before takes 3 more.
//! Finding a name with labels takes half a microsecond: keep the [`Counter`] if it is used often. It is valid only in
//! its own process, so a closure cannot capture it.

use std::marker::PhantomData;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

use lunatic_sys::codes;
use lunatic_sys::metrics::{COUNTER, GAUGE, HISTOGRAM};

use crate::host;

/// Marks a value that must not be sent to another process, where its number means another series.
type Here = PhantomData<*const ()>;

/// A number that only grows.
#[derive(Clone, Copy, Debug)]
pub struct Counter(i32, Here);

/// A number that goes up and down. Each process has its own value; the host shows the sum.
#[derive(Clone, Copy, Debug)]
pub struct Gauge(i32, Here);

/// Counts values by size.
#[derive(Clone, Copy, Debug)]
pub struct Histogram(i32, Here);

impl Counter {
    /// Adds to the counter.
    #[inline]
    pub fn add(&self, by: u64) {
        host::metrics::add(self.0, by);
    }
}

impl Gauge {
    /// Adds to the value of this process, which is 0 at first.
    #[inline]
    pub fn add(&self, by: i64) {
        host::metrics::change(self.0, by);
    }

    /// Sets the value of this process.
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

/// Returns the counter of this name.
///
/// # Panics
///
/// If the name belongs to a metric of another kind. If the name breaks the [rules](self#names-and-labels), the process
/// traps.
#[must_use]
#[track_caller]
pub fn counter(name: &'static str) -> Counter {
    Counter(known(COUNTER, name, &[]), PhantomData)
}

/// Returns the counter of this name with these labels and values.
///
/// # Panics
///
/// As for [`counter`].
#[must_use]
#[track_caller]
pub fn counter_with(name: &str, labels: &[(&str, &str)]) -> Counter {
    Counter(open(COUNTER, name, labels, &[]), PhantomData)
}

/// Returns the gauge of this name.
///
/// # Panics
///
/// As for [`counter`].
#[must_use]
#[track_caller]
pub fn gauge(name: &'static str) -> Gauge {
    Gauge(known(GAUGE, name, &[]), PhantomData)
}

/// Returns the gauge of this name with these labels and values.
///
/// # Panics
///
/// As for [`counter`].
#[must_use]
#[track_caller]
pub fn gauge_with(name: &str, labels: &[(&str, &str)]) -> Gauge {
    Gauge(open(GAUGE, name, labels, &[]), PhantomData)
}

/// Returns the histogram of this name. `bounds` are the upper bounds of its buckets: at most 32, in ascending order.
/// One more bucket counts all larger values. The bounds of the first use of a name apply.
///
/// # Panics
///
/// As for [`counter`]. If the bounds are invalid, the process traps.
#[must_use]
#[track_caller]
pub fn histogram(name: &'static str, bounds: &[f64]) -> Histogram {
    Histogram(known(HISTOGRAM, name, bounds), PhantomData)
}

/// Returns the histogram of this name with these labels and values.
///
/// # Panics
///
/// As for [`histogram`].
#[must_use]
#[track_caller]
pub fn histogram_with(name: &str, labels: &[(&str, &str)], bounds: &[f64]) -> Histogram {
    Histogram(open(HISTOGRAM, name, labels, bounds), PhantomData)
}

/// The number of names that are cached.
const KNOWN_MAX: usize = 64;

/// A cached name without labels: its address, its length and kind, and its number.
struct Known {
    address: AtomicUsize,
    len_and_kind: AtomicUsize,
    number: AtomicI32,
}

/// A cache with one name per entry. Each process has its own.
static KNOWN: [Known; KNOWN_MAX] = [const {
    Known {
        address: AtomicUsize::new(0),
        len_and_kind: AtomicUsize::new(0),
        number: AtomicI32::new(0),
    }
}; KNOWN_MAX];

/// The number of a series without labels. Names are constants, so they are recognised by their address.
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
