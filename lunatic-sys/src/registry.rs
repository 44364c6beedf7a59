//! `lunatic::registry`: names of processes, and groups of processes, in the scope of the calling process.
//!
//! A name has at most [`codes::NAME_LEN_MAX`](crate::codes::NAME_LEN_MAX) bytes. An empty name or a longer one traps.

use crate::layout::RawHandle;

crate::imports! {
    namespace "lunatic::registry";

    /// Registers a process under a name until it exits. Returns [`codes::OK`](crate::codes::OK),
    /// [`codes::NAME_TAKEN`](crate::codes::NAME_TAKEN), [`codes::CLOSED`](crate::codes::CLOSED) (the process has
    /// exited), [`codes::INVALID`](crate::codes::INVALID), [`codes::DENIED`](crate::codes::DENIED) or
    /// [`codes::LIMIT`](crate::codes::LIMIT).
    fn register(name: *const u8, len: usize, id: u64, key: u64) -> i32;

    /// Frees a name. Returns [`codes::OK`](crate::codes::OK), [`codes::CLOSED`](crate::codes::CLOSED) if no process has
    /// it, or [`codes::DENIED`](crate::codes::DENIED) if another process has it and the caller has no right to names.
    fn unregister(name: *const u8, len: usize) -> i32;

    /// Writes the handle of the process that has the name to `out`, and returns [`codes::OK`](crate::codes::OK); or
    /// returns [`codes::CLOSED`](crate::codes::CLOSED) if no process has it.
    fn lookup(name: *const u8, len: usize, out: *mut RawHandle) -> i32;

    /// Adds a process to a group until it exits, once. Returns [`codes::OK`](crate::codes::OK),
    /// [`codes::CLOSED`](crate::codes::CLOSED) (the process has exited), [`codes::INVALID`](crate::codes::INVALID),
    /// [`codes::DENIED`](crate::codes::DENIED) or [`codes::LIMIT`](crate::codes::LIMIT).
    fn join_group(name: *const u8, len: usize, id: u64, key: u64) -> i32;

    /// Removes a process from a group. Returns [`codes::OK`](crate::codes::OK), [`codes::CLOSED`](crate::codes::CLOSED)
    /// if it is not a member, [`codes::INVALID`](crate::codes::INVALID), or [`codes::DENIED`](crate::codes::DENIED) if
    /// it is another process than the caller, which has no right to names.
    fn leave_group(name: *const u8, len: usize, id: u64, key: u64) -> i32;

    /// Returns the number of members of a group, and puts their handles into the buffer, in the order in which they
    /// joined.
    fn members(name: *const u8, len: usize) -> i32;

    /// Sends a message to each member of a group, and returns how many got it; or returns
    /// [`codes::LIMIT`](crate::codes::LIMIT).
    fn broadcast(name: *const u8, len: usize, tag: u64, message: *const u8, message_len: usize) -> i32;
}
