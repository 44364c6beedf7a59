//! `lunatic::process`: spawn, wait for and end processes.

use crate::layout::RawHandle;

crate::imports! {
    namespace "lunatic::process";

    /// Spawns a process that calls `entry`, an index of the function table with type `() -> ()`, in a fresh instance of
    /// the calling module. The bytes at `captured` are kept for the child, which fetches them with [`captured`].
    ///
    /// Returns [`codes::OK`](crate::codes::OK) and writes the handle to `out`; or
    /// [`codes::LIMIT`](crate::codes::LIMIT), with the limit that was hit as text in the buffer.
    fn spawn_closure(entry: usize, captured: *const u8, captured_len: usize, out: *mut RawHandle) -> i32;

    /// Copies the bytes this process was spawned with to `to`. Traps unless `len` is exactly their number.
    fn captured(to: *mut u8, len: usize);

    /// For the host's own loop around spawned entries; a guest that calls it gets -1 and nothing happens.
    fn next() -> i32;

    /// Writes the handle of the calling process to `out`.
    fn this(out: *mut RawHandle);

    /// 1 while the process has not ended, else 0; or [`codes::INVALID`](crate::codes::INVALID).
    fn is_alive(id: u64, key: u64) -> i32;

    /// Ends a process wherever it is. [`codes::OK`](crate::codes::OK), also when it has ended already; or
    /// [`codes::INVALID`](crate::codes::INVALID). A process that kills itself does not return from this call.
    fn kill_handle(id: u64, key: u64) -> i32;

    /// Waits for a process to end: one of [`codes::exit`](crate::codes::exit), with its text (if any) in the buffer;
    /// or [`codes::TIMED_OUT`](crate::codes::TIMED_OUT), [`codes::INVALID`](crate::codes::INVALID).
    fn join(id: u64, key: u64, timeout_ns: u64) -> i32;

    /// Blocks the calling process for at least this long.
    fn sleep_ns(ns: u64);

    /// Lets other processes run first.
    fn yield_now();
}
