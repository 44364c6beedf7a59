//! `lunatic::process`: spawning, joining and killing processes; exit signals, links and monitors.

use crate::layout::{RawHandle, SpawnOptions, Spawned};

crate::imports! {
    namespace "lunatic::process";

    /// Spawns a process that calls `entry`, an index of the function table with type `() -> ()`, in a fresh instance of
    /// the calling module. The host keeps the bytes at `captured` for the child, which fetches them with [`captured`].
    ///
    /// Writes the handle to `out` and returns [`codes::OK`](crate::codes::OK); or returns
    /// [`codes::LIMIT`](crate::codes::LIMIT), with the limit as text in the buffer, or
    /// [`codes::DENIED`](crate::codes::DENIED).
    fn spawn_closure(entry: usize, captured: *const u8, captured_len: usize, out: *mut RawHandle) -> i32;

    /// Copies the bytes that this process was spawned with to `to`. Traps unless `len` is exactly their number.
    fn captured(to: *mut u8, len: usize);

    /// Returns the number of bytes that this process was spawned with.
    fn captured_len() -> usize;

    /// For the loop that the host adds around spawned entries. A guest that calls it gets -1, and nothing happens.
    fn next() -> i32;

    /// Writes the handle of the calling process to `out`.
    fn this(out: *mut RawHandle);

    /// Returns 1 if the process has not exited, else 0; or [`codes::INVALID`](crate::codes::INVALID). For a process of
    /// another node, returns 1 if that node is connected; [`node::is_alive`](crate::node::is_alive) asks it.
    fn is_alive(id: u64, key: u64) -> i32;

    /// Kills a process wherever its execution is. Returns [`codes::OK`](crate::codes::OK), also if it has exited
    /// already; or [`codes::INVALID`](crate::codes::INVALID). A process that kills itself does not return from this
    /// call.
    fn kill_handle(id: u64, key: u64) -> i32;

    /// Waits until a process has exited. Returns one of [`codes::exit`](crate::codes::exit), with the reason bytes in
    /// the buffer; or [`codes::TIMED_OUT`](crate::codes::TIMED_OUT) or [`codes::INVALID`](crate::codes::INVALID).
    fn join(id: u64, key: u64, timeout_ns: u64) -> i32;

    /// Blocks the calling process for at least this long.
    fn sleep_ns(ns: u64);

    /// Lets other processes run first.
    fn yield_now();

    /// Spawns a process as `spawn_closure` does, with options. The link, the monitor and the name take effect before
    /// the child runs.
    ///
    /// Returns [`codes::OK`](crate::codes::OK), [`codes::LIMIT`](crate::codes::LIMIT),
    /// [`codes::DENIED`](crate::codes::DENIED) or [`codes::BAD_CONFIG`](crate::codes::BAD_CONFIG). Returns
    /// [`codes::NAME_TAKEN`](crate::codes::NAME_TAKEN) if another process has the name: then `out` holds that process,
    /// and nothing was spawned.
    fn spawn(entry: usize, captured: *const u8, captured_len: usize, options: *const SpawnOptions, out: *mut Spawned) -> i32;

    /// Exits the calling process with a reason. Does not return. Traps if the bytes are not reason bytes.
    fn exit(reason: *const u8, len: usize);

    /// Sends an exit signal. KILLED always terminates the process. NORMAL has no effect, unless the caller sends it to
    /// itself. Any other reason makes the process exit with it. If the process traps exits, every signal except KILLED
    /// becomes mail instead.
    ///
    /// Returns [`codes::OK`](crate::codes::OK), also if the process has exited already; or
    /// [`codes::INVALID`](crate::codes::INVALID).
    fn exit_signal(id: u64, key: u64, reason: *const u8, len: usize) -> i32;

    /// Links the calling process and another one, once: when one exits, the other gets an exit signal with the reason.
    /// If the process has exited already, the caller gets a signal with NO_PROCESS. Returns
    /// [`codes::OK`](crate::codes::OK) or [`codes::INVALID`](crate::codes::INVALID).
    fn link(id: u64, key: u64) -> i32;

    /// Removes a link. After that no exit signal of the link arrives. Returns [`codes::OK`](crate::codes::OK), also if
    /// there is no link; or [`codes::INVALID`](crate::codes::INVALID).
    fn unlink(id: u64, key: u64) -> i32;

    /// Monitors a process: the caller gets one message under the tag (with tag 0: under the reference) when the process
    /// exits, or immediately if it has exited already. Writes the reference of the monitor to `out` and returns
    /// [`codes::OK`](crate::codes::OK); or returns [`codes::INVALID`](crate::codes::INVALID) or
    /// [`codes::LIMIT`](crate::codes::LIMIT).
    fn monitor(id: u64, key: u64, tag: u64, out: *mut u64) -> i32;

    /// Removes a monitor. Returns 1 if it was active, else 0. If `flush` is not 0 and its message has arrived already,
    /// the message is dropped.
    fn demonitor(reference: u64, flush: i32) -> i32;

    /// Sets whether exit signals become mail. Returns the previous setting.
    fn trap_exit(on: i32) -> i32;

    /// Writes the handle of the process that spawned this one to `out`, and returns [`codes::OK`](crate::codes::OK); or
    /// returns [`codes::CLOSED`](crate::codes::CLOSED) in the main process.
    fn parent(out: *mut RawHandle) -> i32;
}
