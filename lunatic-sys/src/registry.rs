//! `lunatic::registry`: names of processes, and groups of them, in the scope of the calling process.
//!
//! A name has at most [`codes::NAME_LEN_MAX`](crate::codes::NAME_LEN_MAX) bytes; a longer or an empty one traps.

use crate::layout::RawHandle;

crate::imports! {
    namespace "lunatic::registry";

    /// Gives a process a name until it ends: [`codes::OK`](crate::codes::OK),
    /// [`codes::NAME_TAKEN`](crate::codes::NAME_TAKEN), [`codes::CLOSED`](crate::codes::CLOSED) (it has ended),
    /// [`codes::INVALID`](crate::codes::INVALID) or [`codes::LIMIT`](crate::codes::LIMIT).
    fn register(name: *const u8, len: usize, id: u64, key: u64) -> i32;

    /// Takes a name away: [`codes::OK`](crate::codes::OK) or [`codes::CLOSED`](crate::codes::CLOSED) (no one has it).
    fn unregister(name: *const u8, len: usize) -> i32;

    /// Who has the name: [`codes::OK`](crate::codes::OK) and the handle in `out`; or
    /// [`codes::CLOSED`](crate::codes::CLOSED).
    fn lookup(name: *const u8, len: usize, out: *mut RawHandle) -> i32;

    /// Adds a process to a group until it ends, once: [`codes::OK`](crate::codes::OK),
    /// [`codes::CLOSED`](crate::codes::CLOSED) (it has ended), [`codes::INVALID`](crate::codes::INVALID) or
    /// [`codes::LIMIT`](crate::codes::LIMIT).
    fn join_group(name: *const u8, len: usize, id: u64, key: u64) -> i32;

    /// Takes a process out of a group: [`codes::OK`](crate::codes::OK), [`codes::CLOSED`](crate::codes::CLOSED) (it is
    /// not in it) or [`codes::INVALID`](crate::codes::INVALID).
    fn leave_group(name: *const u8, len: usize, id: u64, key: u64) -> i32;

    /// The number of members of a group; their handles are in the buffer, in the order in which they joined.
    fn members(name: *const u8, len: usize) -> i32;

    /// Sends a message to each member of a group: to how many. Or [`codes::LIMIT`](crate::codes::LIMIT).
    fn broadcast(name: *const u8, len: usize, tag: u64, message: *const u8, message_len: usize) -> i32;
}
