//! `lunatic::mailbox`: the queue that each process has, of messages with tags and of notifications about other
//! processes.

use crate::layout::{Header, Source};

crate::imports! {
    namespace "lunatic::mailbox";

    /// Sends a message to the mailbox of a process, without waiting. Returns [`codes::OK`](crate::codes::OK),
    /// [`codes::INVALID`](crate::codes::INVALID), [`codes::CLOSED`](crate::codes::CLOSED) (the process has exited),
    /// [`codes::FULL`](crate::codes::FULL) or [`codes::LIMIT`](crate::codes::LIMIT).
    ///
    /// A tag with [`codes::REFERENCE_BIT`](crate::codes::REFERENCE_BIT) must be a reference that the receiver has open.
    /// Otherwise the message is dropped, and the result is OK.
    fn send(id: u64, key: u64, tag: u64, message: *const u8, len: usize) -> i32;

    /// Opens a new reference of the calling process: a tag that cannot be guessed. Writes it to `out` and returns
    /// [`codes::OK`](crate::codes::OK), or returns [`codes::LIMIT`](crate::codes::LIMIT).
    fn reference(out: *mut u64) -> i32;

    /// Closes a reference and drops the entries under it. Does nothing if it is not open.
    fn close(reference: u64);

    /// Receives the oldest entry with one of the tags (with any tag if `tags_len` is 0), and returns the length of its
    /// body. If the body has at most `capacity` bytes, and at most
    /// [`codes::IN_PLACE_LEN_MAX`](crate::codes::IN_PLACE_LEN_MAX), it is copied to `to`; a longer one is put into the
    /// buffer. Returns [`codes::TIMED_OUT`](crate::codes::TIMED_OUT) if there is none in time, or
    /// [`codes::EMPTY`](crate::codes::EMPTY) if the timeout is 0.
    ///
    /// Traps if there are more than [`codes::TAGS_LEN_MAX`](crate::codes::TAGS_LEN_MAX) tags.
    fn receive(
        tags: *const u64,
        tags_len: usize,
        header: *mut Header,
        to: *mut u8,
        capacity: usize,
        timeout_ns: u64,
    ) -> i32;

    /// Sends a message and waits for an entry under the reference, which it closes. Returns the same as `receive`.
    ///
    /// In place of the reference it writes a new one, which is open for the next call only; 0 if the old one was not
    /// open. An entry that comes under the new reference before the next call is the answer to that call, and cannot be
    /// received otherwise.
    ///
    /// Returns [`codes::GONE`](crate::codes::GONE), with the reason bytes in the buffer, if the process exits first.
    /// Otherwise returns [`codes::TIMED_OUT`](crate::codes::TIMED_OUT), [`codes::FULL`](crate::codes::FULL),
    /// [`codes::LIMIT`](crate::codes::LIMIT) or [`codes::INVALID`](crate::codes::INVALID) (also if the reference is not
    /// open).
    fn call(
        id: u64,
        key: u64,
        tag: u64,
        message: *const u8,
        len: usize,
        reference: *mut u64,
        to: *mut u8,
        capacity: usize,
        timeout_ns: u64,
    ) -> i32;

    /// Waits until something can be received from one of the sources, and returns the index of the first such source. A
    /// closed channel is ready. A socket is ready if an attempt may succeed or fail without waiting; the next attempt can
    /// still find that it would wait. Returns [`codes::TIMED_OUT`](crate::codes::TIMED_OUT) or
    /// [`codes::INVALID`](crate::codes::INVALID). Traps if there are more than
    /// [`codes::TAGS_LEN_MAX`](crate::codes::TAGS_LEN_MAX) sources or tags.
    fn select(sources: *const Source, len: usize, timeout_ns: u64) -> i32;
}
