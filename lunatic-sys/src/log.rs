//! `lunatic::log`: log records.
//!
//! The format of records is described in [`record`](crate::record).

/// A level: log nothing.
pub const OFF: i32 = 0;
/// A level: errors.
pub const ERROR: i32 = 1;
/// A level: unexpected conditions that are not errors.
pub const WARN: i32 = 2;
/// A level: noteworthy events.
pub const INFO: i32 = 3;
/// A level: details for debugging.
pub const DEBUG: i32 = 4;
/// A level: every step.
pub const TRACE: i32 = 5;

/// The longest target, in bytes.
pub const TARGET_LEN_MAX: usize = 255;

crate::imports! {
    namespace "lunatic::log";

    /// Returns the most verbose level that is logged for a target, [`OFF`] to [`TRACE`]. With `len` 0, returns the most
    /// verbose level that is logged for any target. It may change at any time. Traps if the target is longer than
    /// [`TARGET_LEN_MAX`].
    fn level(target: *const u8, len: usize) -> i32;

    /// Logs a record, unless its level is not logged for its target. Never waits. Returns
    /// [`codes::OK`](crate::codes::OK); [`codes::FULL`](crate::codes::FULL) if the record was dropped, because too many
    /// are waiting to be written; or [`codes::LIMIT`](crate::codes::LIMIT) if it is longer than
    /// [`RECORD_LEN_MAX`](crate::record::RECORD_LEN_MAX). Traps if the bytes are not a record.
    fn record(record: *const u8, len: usize) -> i32;
}
