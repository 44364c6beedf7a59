//! `lunatic::buffer`: results of calls whose size is not known beforehand, and long messages on their way to the host.
//!
//! Each process has one buffer. A call that fills it replaces its contents.

crate::imports! {
    namespace "lunatic::buffer";

    /// Returns the number of bytes in the buffer.
    fn len() -> usize;

    /// Copies the whole buffer to `to` and empties it. Traps unless `len` is exactly its number of bytes.
    fn take(to: *mut u8, len: usize);

    /// Copies bytes into the buffer. Returns [`codes::OK`](crate::codes::OK), or [`codes::LIMIT`](crate::codes::LIMIT)
    /// if they are more than [`codes::MESSAGE_LEN_MAX`](crate::codes::MESSAGE_LEN_MAX) or the caller cannot pay for
    /// them.
    ///
    /// A call that sends a message of more than [`codes::IN_PLACE_LEN_MAX`](crate::codes::IN_PLACE_LEN_MAX) bytes takes
    /// it out of the buffer, and traps if the buffer does not hold exactly `len` bytes.
    fn put(from: *const u8, len: usize) -> i32;
}
