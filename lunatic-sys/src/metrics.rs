//! `lunatic::metrics`: numbers that a program counts for its operators.
//!
//! The host keeps the numbers of a whole system by name. A *series* is a name with values of labels, such as `orders`
//! or `orders{country="de"}`. The number of a series is valid in the process that opened it.

/// A kind of series: an integer that only grows.
pub const COUNTER: i32 = 0;
/// A kind of series: a number that goes up and down, the sum of the values of all living processes.
pub const GAUGE: i32 = 1;
/// A kind of series: counts of values by size.
pub const HISTOGRAM: i32 = 2;

/// The longest name of a series or a label, in bytes.
pub const NAME_LEN_MAX: usize = 64;
/// The longest value of a label, in bytes.
pub const VALUE_LEN_MAX: usize = 128;
/// The largest number of labels of a series.
pub const LABELS_MAX: usize = 4;
/// The largest number of bounds of a histogram.
pub const BOUNDS_MAX: usize = 32;
/// The largest number of series of a system. Each combination of label values is a series.
pub const SERIES_MAX: usize = 1024;

crate::imports! {
    namespace "lunatic::metrics";

    /// Opens a series, and makes it if it does not exist. Returns its number, the same each time. The name is `NAME`,
    /// followed for each label by a zero byte and `LABEL=VALUE`. `bounds` are the upper bounds of a histogram's
    /// buckets; they apply when the series is made.
    ///
    /// Returns [`codes::LIMIT`](crate::codes::LIMIT) if the system has too many series;
    /// [`codes::DENIED`](crate::codes::DENIED); or [`codes::NAME_TAKEN`](crate::codes::NAME_TAKEN) if the name belongs
    /// to a series of another kind. Traps if the name or the bounds are invalid.
    fn open(kind: i32, name: *const u8, len: usize, bounds: *const f64, bounds_len: usize) -> i32;

    /// Adds to a counter. Returns [`codes::OK`](crate::codes::OK), or [`codes::INVALID`](crate::codes::INVALID) if
    /// there is no such counter.
    fn add(series: i32, by: u64) -> i32;

    /// Adds to the calling process's value of a gauge, which is 0 at first and again after the process has exited.
    /// Returns [`codes::OK`](crate::codes::OK), or [`codes::INVALID`](crate::codes::INVALID) if there is no such gauge.
    fn change(series: i32, by: i64) -> i32;

    /// Sets the calling process's value of a gauge. Returns the same codes as [`change`].
    fn set(series: i32, to: i64) -> i32;

    /// Counts a value in a histogram. Returns [`codes::OK`](crate::codes::OK), or
    /// [`codes::INVALID`](crate::codes::INVALID) if there is no such histogram.
    fn observe(series: i32, value: f64) -> i32;
}
