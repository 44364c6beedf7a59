//! The imports for metrics.

use lunatic_sys::metrics;

/// Opens a series, and returns its number in this process. The error is the host's code.
pub(crate) fn open(kind: i32, name: &[u8], bounds: &[f64]) -> Result<i32, i32> {
    // SAFETY: `name` and `bounds` are readable for their lengths.
    let code = unsafe { metrics::open(kind, name.as_ptr(), name.len(), bounds.as_ptr(), bounds.len()) };
    if code >= 0 { Ok(code) } else { Err(code) }
}

/// Adds to a counter. An invalid number has no effect.
#[inline]
pub(crate) fn add(series: i32, by: u64) {
    // SAFETY: the import takes numbers only.
    unsafe { metrics::add(series, by) };
}

/// Adds to this process's value of a gauge. An invalid number has no effect.
#[inline]
pub(crate) fn change(series: i32, by: i64) {
    // SAFETY: the import takes numbers only.
    unsafe { metrics::change(series, by) };
}

/// Sets this process's value of a gauge. An invalid number has no effect.
#[inline]
pub(crate) fn set(series: i32, to: i64) {
    // SAFETY: the import takes numbers only.
    unsafe { metrics::set(series, to) };
}

/// Counts a value of a histogram. An invalid number has no effect.
#[inline]
pub(crate) fn observe(series: i32, value: f64) {
    // SAFETY: the import takes numbers only.
    unsafe { metrics::observe(series, value) };
}
