//! `lunatic::metrics`: what a program counts, for the people who run it.
//!
//! Numbers are kept by name, for a whole system. A *series* is a name with values of labels, such as `orders` or
//! `orders{country="de"}`; its number is good in the process that opened it.

/// A series that only grows, in whole steps.
pub const COUNTER: i32 = 0;
/// A series that goes up and down: the sum of what each living process says.
pub const GAUGE: i32 = 1;
/// A series that sorts values by size.
pub const HISTOGRAM: i32 = 2;

/// The longest name of a series or a label, in bytes.
pub const NAME_LEN_MAX: usize = 64;
/// The longest value of a label, in bytes.
pub const VALUE_LEN_MAX: usize = 128;
/// The most labels of a series.
pub const LABELS_MAX: usize = 4;
/// The most bounds of a histogram.
pub const BOUNDS_MAX: usize = 32;
/// The most series of a system, with those of all values of labels.
pub const SERIES_MAX: usize = 1024;

crate::imports! {
    namespace "lunatic::metrics";

    /// Opens a series, and makes it if there is none: its number, the same each time. The name is `NAME`, and for each label a
    /// zero byte and `LABEL=VALUE`; `bounds` are the upper bounds of a histogram's buckets, which count if it is made.
    /// [`codes::LIMIT`](crate::codes::LIMIT) if the system has as many series as it may;
    /// [`codes::DENIED`](crate::codes::DENIED); [`codes::NAME_TAKEN`](crate::codes::NAME_TAKEN) if the name is of another kind.
    /// What is no name, or no list of bounds, traps.
    fn open(kind: i32, name: *const u8, len: usize, bounds: *const f64, bounds_len: usize) -> i32;

    /// Adds to a counter. [`codes::OK`](crate::codes::OK), or [`codes::INVALID`](crate::codes::INVALID) if it is none.
    fn add(series: i32, by: u64) -> i32;

    /// Adds to what the calling process says of a gauge, which is 0 at first and when it has ended.
    /// [`codes::OK`](crate::codes::OK), or [`codes::INVALID`](crate::codes::INVALID) if it is none.
    fn change(series: i32, by: i64) -> i32;

    /// Sets what the calling process says of a gauge. As [`change`].
    fn set(series: i32, to: i64) -> i32;

    /// Counts a value in a histogram. [`codes::OK`](crate::codes::OK), or [`codes::INVALID`](crate::codes::INVALID) if it is none.
    fn observe(series: i32, value: f64) -> i32;
}
