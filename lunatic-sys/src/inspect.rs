//! `lunatic::inspect`: a look at other processes, for those with the right `inspect`.
//!
//! The caller sees the processes that have its rights, and those whose rights were narrowed from these.

crate::imports! {
    namespace "lunatic::inspect";

    /// *Waits* its turns. How many processes the caller sees whose name, or name of the function that they began with, has the
    /// text in it. Of those, at most `limit` behind the first `skip`, at most
    /// [`codes::LOOK_ROWS_MAX`](crate::codes::LOOK_ROWS_MAX), are in the buffer, in an order of
    /// [`codes::look`](crate::codes::look): for each a [`ProcessFigures`](crate::layout::ProcessFigures) with its texts behind
    /// it. [`codes::DENIED`](crate::codes::DENIED), or [`codes::INVALID`](crate::codes::INVALID) for another order.
    fn processes(order: i32, skip: usize, limit: usize, name: *const u8, name_len: usize) -> i32;

    /// Leaves in the buffer the figures of one process, as [`processes`] does, and behind them the numbers, as `u32`s, of links,
    /// monitors, and monitors of others that are listed, then their handles.
    /// [`codes::OK`](crate::codes::OK); [`codes::CLOSED`](crate::codes::CLOSED) if it has ended;
    /// [`codes::DENIED`](crate::codes::DENIED), also if the caller does not see it; [`codes::INVALID`](crate::codes::INVALID).
    fn process(id: u64, key: u64) -> i32;
}
