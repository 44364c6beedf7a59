//! `lunatic::inspect`: inspection of other processes, for processes with the right `inspect`.
//!
//! The caller sees the processes that have the same rights, and those whose rights were narrowed from them.

crate::imports! {
    namespace "lunatic::inspect";

    /// Returns how many processes the caller sees whose registered name, or whose entry function's name, contains the
    /// text. Skips the first `skip` of them and puts at most `limit`, and at most
    /// [`codes::LOOK_ROWS_MAX`](crate::codes::LOOK_ROWS_MAX), into the buffer, in an order of
    /// [`codes::look`](crate::codes::look): for each a [`ProcessFigures`](crate::layout::ProcessFigures), followed by
    /// its texts. Lets other processes run meanwhile. Otherwise returns [`codes::DENIED`](crate::codes::DENIED), or
    /// [`codes::INVALID`](crate::codes::INVALID) for an unknown order, or a `skip` above 65,536.
    fn processes(order: i32, skip: usize, limit: usize, name: *const u8, name_len: usize) -> i32;

    /// Puts the figures of one process into the buffer, as [`processes`] does; after them three `u32`s, the numbers of
    /// links, of its monitors, and of monitors of other processes that are listed; then their handles.
    ///
    /// Returns [`codes::OK`](crate::codes::OK); [`codes::CLOSED`](crate::codes::CLOSED) if the process has exited;
    /// [`codes::DENIED`](crate::codes::DENIED), also if the caller does not see it; or
    /// [`codes::INVALID`](crate::codes::INVALID).
    fn process(id: u64, key: u64) -> i32;
}
