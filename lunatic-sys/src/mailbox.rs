//! `lunatic::mailbox`: the queue that each process has, of messages with tags and of what is told of other processes.

use crate::layout::{Header, Source};

crate::imports! {
    namespace "lunatic::mailbox";

    /// Appends a message to the mailbox of a process, without waiting: [`codes::OK`](crate::codes::OK),
    /// [`codes::INVALID`](crate::codes::INVALID), [`codes::CLOSED`](crate::codes::CLOSED) (it has ended),
    /// [`codes::FULL`](crate::codes::FULL) or [`codes::LIMIT`](crate::codes::LIMIT).
    ///
    /// A tag with [`codes::REFERENCE_BIT`](crate::codes::REFERENCE_BIT) must be a reference that the receiver has open;
    /// else the message is dropped, and the answer is OK.
    fn send(id: u64, key: u64, tag: u64, message: *const u8, len: usize) -> i32;

    /// Opens a new reference of the calling process: a tag that cannot be guessed. [`codes::OK`](crate::codes::OK) or
    /// [`codes::LIMIT`](crate::codes::LIMIT).
    fn reference(out: *mut u64) -> i32;

    /// Closes a reference and drops what is queued under it. Nothing happens if it is not open.
    fn close(reference: u64);

    /// Takes the oldest entry whose tag is among the tags (any, if there are none), and returns the length of its body.
    /// If that has at most `capacity` bytes, and at most [`codes::IN_PLACE_LEN_MAX`](crate::codes::IN_PLACE_LEN_MAX), it has
    /// been copied to `to`; a longer one waits in the buffer. Otherwise
    /// [`codes::TIMED_OUT`](crate::codes::TIMED_OUT); or [`codes::EMPTY`](crate::codes::EMPTY) if the timeout is 0.
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

    /// Sends a message and waits for what comes under the reference, which it closes; returns as `receive`. Writes a fresh
    /// reference in its place, open for the next call and for nothing else (what comes under it before is that call's
    /// answer, and is not received otherwise); 0 if the old one was not open. Ends with
    /// [`codes::GONE`](crate::codes::GONE) and the reason bytes in the buffer when the process ends first. Otherwise
    /// [`codes::TIMED_OUT`](crate::codes::TIMED_OUT), [`codes::FULL`](crate::codes::FULL),
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

    /// The index of the first source from which something can be received, waiting for one; or
    /// [`codes::TIMED_OUT`](crate::codes::TIMED_OUT), [`codes::INVALID`](crate::codes::INVALID). A closed channel is
    /// ready. Traps if there are more than [`codes::TAGS_LEN_MAX`](crate::codes::TAGS_LEN_MAX) sources or tags.
    fn select(sources: *const Source, len: usize, timeout_ns: u64) -> i32;
}
