//! `lunatic::process`: spawn, wait for and end processes.

use crate::layout::{RawHandle, SpawnOptions, Spawned};

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

    /// The number of bytes this process was spawned with.
    fn captured_len() -> usize;

    /// For the host's own loop around spawned entries; a guest that calls it gets -1 and nothing happens.
    fn next() -> i32;

    /// Writes the handle of the calling process to `out`.
    fn this(out: *mut RawHandle);

    /// 1 while the process has not ended, else 0; or [`codes::INVALID`](crate::codes::INVALID).
    fn is_alive(id: u64, key: u64) -> i32;

    /// Ends a process wherever it is. [`codes::OK`](crate::codes::OK), also when it has ended already; or
    /// [`codes::INVALID`](crate::codes::INVALID). A process that kills itself does not return from this call.
    fn kill_handle(id: u64, key: u64) -> i32;

    /// Waits for a process to end: one of [`codes::exit`](crate::codes::exit), with the reason bytes in the buffer; or [`codes::TIMED_OUT`](crate::codes::TIMED_OUT), [`codes::INVALID`](crate::codes::INVALID).
    fn join(id: u64, key: u64, timeout_ns: u64) -> i32;

    /// Blocks the calling process for at least this long.
    fn sleep_ns(ns: u64);

    /// Lets other processes run first.
    fn yield_now();

    /// As `spawn_closure`, with options. The link, the monitor and the name are there before the child runs.
    ///
    /// [`codes::OK`](crate::codes::OK), [`codes::LIMIT`](crate::codes::LIMIT), or
    /// [`codes::NAME_TAKEN`](crate::codes::NAME_TAKEN), and then `out` holds who has the name and nothing was spawned.
    fn spawn(entry: usize, captured: *const u8, captured_len: usize, options: *const SpawnOptions, out: *mut Spawned) -> i32;

    /// Ends the calling process with the reason. Does not return. Traps if these are no reason bytes.
    fn exit(reason: *const u8, len: usize);

    /// Sends an exit signal. KILLED ends the process for good. NORMAL does nothing, but to the caller itself; any other
    /// reason ends the process. If the process traps exits, each but KILLED becomes a message.
    ///
    /// [`codes::OK`](crate::codes::OK), also when it has ended already; or [`codes::INVALID`](crate::codes::INVALID).
    fn exit_signal(id: u64, key: u64, reason: *const u8, len: usize) -> i32;

    /// Links the calling process to another, once: when one ends, the other gets an exit signal with the reason. If it
    /// has ended already, the caller gets one with NO_PROCESS. [`codes::OK`](crate::codes::OK) or
    /// [`codes::INVALID`](crate::codes::INVALID).
    fn link(id: u64, key: u64) -> i32;

    /// Takes a link away. After that no exit signal of it arrives. [`codes::OK`](crate::codes::OK), also if there is
    /// none; or [`codes::INVALID`](crate::codes::INVALID).
    fn unlink(id: u64, key: u64) -> i32;

    /// Asks for one message when the process ends, under the tag (0: the reference); at once if it has ended already.
    /// [`codes::OK`](crate::codes::OK) and the monitor's reference in `out`; or
    /// [`codes::INVALID`](crate::codes::INVALID), [`codes::LIMIT`](crate::codes::LIMIT).
    fn monitor(id: u64, key: u64, tag: u64, out: *mut u64) -> i32;

    /// Takes a monitor away: 1 if it was active, else 0. If `flush` is not 0, its message, if it has come already, is
    /// dropped.
    fn demonitor(reference: u64, flush: i32) -> i32;

    /// Whether exit signals become messages from now on; returns whether they did before.
    fn trap_exit(on: i32) -> i32;

    /// Writes the handle of the process that spawned this one to `out`: [`codes::OK`](crate::codes::OK); or
    /// [`codes::CLOSED`](crate::codes::CLOSED) in the main process.
    fn parent(out: *mut RawHandle) -> i32;
}
