//! `lunatic::buffer`: what a call left behind because its size was not known beforehand, and long messages on their way out.
//!
//! A process has one buffer; each call that fills it replaces what was there.

crate::imports! {
    namespace "lunatic::buffer";

    /// The number of bytes in the buffer.
    fn len() -> usize;

    /// Copies the whole buffer to `to` and empties it. Traps unless `len` is exactly its number of bytes.
    fn take(to: *mut u8, len: usize);

    /// Copies bytes into the buffer: [`codes::OK`](crate::codes::OK), or [`codes::LIMIT`](crate::codes::LIMIT) if they are
    /// more than [`codes::MESSAGE_LEN_MAX`](crate::codes::MESSAGE_LEN_MAX) or the caller has not so much memory left.
    ///
    /// Whatever sends a message of more than [`codes::IN_PLACE_LEN_MAX`](crate::codes::IN_PLACE_LEN_MAX) bytes takes it out of
    /// the buffer, and traps if that does not hold exactly `len` bytes.
    fn put(from: *const u8, len: usize) -> i32;
}
