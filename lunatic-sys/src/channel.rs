//! `lunatic::channel`: queues of messages that belong to the process that made them.

use crate::layout::RawHandle;

crate::imports! {
    namespace "lunatic::channel";

    /// Makes a channel that the calling process owns. `bound` is the largest number of queued messages, 0 for no bound.
    ///
    /// [`codes::OK`](crate::codes::OK) and the handle in `out`; or [`codes::LIMIT`](crate::codes::LIMIT).
    fn new(bound: u64, out: *mut RawHandle) -> i32;

    /// Appends a message without waiting: [`codes::OK`](crate::codes::OK), [`codes::FULL`](crate::codes::FULL),
    /// [`codes::CLOSED`](crate::codes::CLOSED), [`codes::INVALID`](crate::codes::INVALID) or
    /// [`codes::LIMIT`](crate::codes::LIMIT) (the message is too large, or the queues are over their total).
    fn try_send(id: u64, key: u64, message: *const u8, len: usize) -> i32;

    /// Appends a message, waiting while the channel is full. As `try_send`, but
    /// [`codes::TIMED_OUT`](crate::codes::TIMED_OUT) instead of `FULL`.
    fn send(id: u64, key: u64, message: *const u8, len: usize, timeout_ns: u64) -> i32;

    /// Takes the oldest message without waiting and returns its length. If it has at most `capacity` bytes, and at most
    /// [`codes::IN_PLACE_LEN_MAX`](crate::codes::IN_PLACE_LEN_MAX), it has been copied to `to`; a longer one waits in the
    /// buffer. Otherwise [`codes::EMPTY`](crate::codes::EMPTY),
    /// [`codes::CLOSED`](crate::codes::CLOSED) or [`codes::INVALID`](crate::codes::INVALID).
    fn try_receive(id: u64, key: u64, to: *mut u8, capacity: usize) -> i32;

    /// As `try_receive`, but waits, and returns [`codes::TIMED_OUT`](crate::codes::TIMED_OUT) instead of `EMPTY`.
    fn receive(id: u64, key: u64, to: *mut u8, capacity: usize, timeout_ns: u64) -> i32;
}
