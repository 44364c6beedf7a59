//! `lunatic::channel`: queues of messages that belong to the process that made them.

use crate::layout::RawHandle;

crate::imports! {
    namespace "lunatic::channel";

    /// Makes a channel that the calling process owns. `bound` is the largest number of queued messages; 0 means no
    /// bound.
    ///
    /// Writes the handle to `out` and returns [`codes::OK`](crate::codes::OK); or returns
    /// [`codes::LIMIT`](crate::codes::LIMIT).
    fn new(bound: u64, out: *mut RawHandle) -> i32;

    /// Sends a message without waiting. Returns [`codes::OK`](crate::codes::OK), [`codes::FULL`](crate::codes::FULL),
    /// [`codes::CLOSED`](crate::codes::CLOSED), [`codes::INVALID`](crate::codes::INVALID), or
    /// [`codes::LIMIT`](crate::codes::LIMIT) if the message is too large or all queues together have reached their
    /// limit. For a channel of another node it returns [`codes::ELSEWHERE`](crate::codes::ELSEWHERE).
    fn try_send(id: u64, key: u64, message: *const u8, len: usize) -> i32;

    /// Sends a message; waits while the channel is full. Returns the same as `try_send`, but
    /// [`codes::TIMED_OUT`](crate::codes::TIMED_OUT) instead of `FULL`. If the channel is on another node, it also waits
    /// for the answer of that node, whatever the timeout.
    fn send(id: u64, key: u64, message: *const u8, len: usize, timeout_ns: u64) -> i32;

    /// Receives the oldest message without waiting, and returns its length. If it has at most `capacity` bytes, and at
    /// most [`codes::IN_PLACE_LEN_MAX`](crate::codes::IN_PLACE_LEN_MAX), it is copied to `to`; a longer message is put
    /// into the buffer. Returns [`codes::EMPTY`](crate::codes::EMPTY) if there is no message, or
    /// [`codes::CLOSED`](crate::codes::CLOSED) or [`codes::INVALID`](crate::codes::INVALID). For a channel of another node
    /// it returns [`codes::ELSEWHERE`](crate::codes::ELSEWHERE).
    fn try_receive(id: u64, key: u64, to: *mut u8, capacity: usize) -> i32;

    /// Receives the oldest message; waits while there is none. Returns the same as `try_receive`, but
    /// [`codes::TIMED_OUT`](crate::codes::TIMED_OUT) instead of `EMPTY`. If the channel is on another node, it also waits
    /// for the answer of that node, whatever the timeout, and can return [`codes::LIMIT`](crate::codes::LIMIT): there is no
    /// memory for the wait, or too many processes of this node wait there.
    fn receive(id: u64, key: u64, to: *mut u8, capacity: usize, timeout_ns: u64) -> i32;
}
