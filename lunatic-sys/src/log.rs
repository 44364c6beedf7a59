//! `lunatic::log`: records of what a process does, for the people who run the program.
//!
//! The bytes of records are in [`record`](crate::record).

/// A level: nothing is logged.
pub const OFF: i32 = 0;
/// A level: something has failed.
pub const ERROR: i32 = 1;
/// A level: something is not as it should be.
pub const WARN: i32 = 2;
/// A level: something worth knowing has happened.
pub const INFO: i32 = 3;
/// A level: for somebody who looks for a mistake.
pub const DEBUG: i32 = 4;
/// A level: each step.
pub const TRACE: i32 = 5;

/// The longest target, in bytes.
pub const TARGET_LEN_MAX: usize = 255;

crate::imports! {
    namespace "lunatic::log";

    /// The most verbose level that is logged of a target: [`OFF`] to [`TRACE`]. Of no target (`len` is 0), the most verbose
    /// level that is logged of any. It may change at any time. A target longer than [`TARGET_LEN_MAX`] traps.
    fn level(target: *const u8, len: usize) -> i32;

    /// Logs a record, unless its level is not logged of its target. Never waits.
    /// [`codes::OK`](crate::codes::OK); [`codes::FULL`](crate::codes::FULL) if it was dropped, because as much is waiting to be
    /// written as may; [`codes::LIMIT`](crate::codes::LIMIT) if it is longer than [`RECORD_LEN_MAX`](crate::record::RECORD_LEN_MAX). Bytes that are no record
    /// trap.
    fn record(record: *const u8, len: usize) -> i32;
}
