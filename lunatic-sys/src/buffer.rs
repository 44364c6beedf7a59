//! `lunatic::buffer`: what a call left behind because its size was not known beforehand.
//!
//! A process has one buffer; each call that fills it replaces what was there.

crate::imports! {
    namespace "lunatic::buffer";

    /// The number of bytes in the buffer.
    fn len() -> usize;

    /// Copies the whole buffer to `to` and empties it. Traps unless `len` is exactly its number of bytes.
    fn take(to: *mut u8, len: usize);
}
