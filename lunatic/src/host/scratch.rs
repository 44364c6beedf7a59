//! Memory for a message that is being encoded: on the stack while it is short, on the heap when it is not.

use std::error::Error;
use std::fmt;
use std::io;
use std::mem::MaybeUninit;

use lunatic_sys::codes::MESSAGE_LEN_MAX;
use lunatic_sys::layout::RawHandle;

/// How many bytes a message can have without using the heap.
///
/// Nearly all messages are a few words. A process that sends only such messages never allocates, which saves it the
/// set-up of its allocator (a page of memory and about a microsecond).
const INLINE_LEN: usize = 256;

/// The destination of a [`Codec`](crate::codec::Codec). It grows as needed, and does not use the heap up to 256 bytes.
pub struct Scratch {
    inline: [MaybeUninit<u8>; INLINE_LEN],
    /// The number of bytes written to `inline`; they are initialised. Meaningless once `heap` is in use.
    inline_len: usize,
    /// The whole message, once it does not fit into `inline`. Empty before.
    heap: Vec<u8>,
    /// The sockets in the message, which are handed over when it is sent.
    pub(crate) sockets: Vec<RawHandle>,
}

impl Scratch {
    /// Makes an empty message.
    #[inline]
    #[must_use]
    pub fn new() -> Self {
        Self {
            inline: [const { MaybeUninit::uninit() }; INLINE_LEN],
            inline_len: 0,
            heap: Vec::new(),
            sockets: Vec::new(),
        }
    }

    /// Appends `bytes`.
    ///
    /// # Errors
    ///
    /// [`TooLarge`] if the message would exceed 256 MiB. Nothing is appended then.
    #[inline]
    pub fn extend(&mut self, bytes: &[u8]) -> Result<(), TooLarge> {
        let room = self.inline.get_mut(self.inline_len..self.inline_len + bytes.len());
        match room {
            Some(room) if self.heap.is_empty() => {
                room.write_copy_of_slice(bytes);
                self.inline_len += bytes.len();
                Ok(())
            }
            _ => self.extend_heap(bytes),
        }
    }

    #[cold]
    fn extend_heap(&mut self, bytes: &[u8]) -> Result<(), TooLarge> {
        let len = self.as_slice().len() + bytes.len();
        if len > MESSAGE_LEN_MAX {
            return Err(TooLarge);
        }
        if len > self.heap.capacity() {
            // Twice as much as needed, as in `Vec`, but never more than a message can have.
            let mut heap = Vec::with_capacity((2 * len).min(MESSAGE_LEN_MAX));
            heap.extend_from_slice(self.as_slice());
            self.heap = heap;
        }
        self.heap.extend_from_slice(bytes);
        Ok(())
    }

    #[inline]
    fn inline(&self) -> &[u8] {
        // SAFETY: only `extend` raises `inline_len`, by the number of bytes that it has just written.
        unsafe { self.inline[..self.inline_len].assume_init_ref() }
    }

    /// Returns the bytes written so far.
    #[inline]
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        if self.heap.is_empty() {
            self.inline()
        } else {
            &self.heap
        }
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Scratch").field(&self.as_slice()).finish()
    }
}

/// Fails only if [`extend`](Scratch::extend) does.
impl io::Write for Scratch {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.extend(bytes) {
            Ok(()) => Ok(()),
            Err(error) => Err(io::Error::new(io::ErrorKind::FileTooLarge, error)),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The message would exceed 256 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLarge;

impl fmt::Display for TooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it has more than {} MiB", MESSAGE_LEN_MAX >> 20)
    }
}

impl Error for TooLarge {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes the numbers 0, 1, 2, … in parts of these lengths, and reads them back.
    fn check(parts: &[usize]) {
        let expected: Vec<u8> = (0..parts.iter().sum()).map(|at| at as u8).collect();
        let mut scratch = Scratch::new();
        let mut rest = &expected[..];
        for &part in parts {
            let (now, later) = rest.split_at(part);
            scratch.extend(now).unwrap();
            rest = later;
        }
        assert_eq!(scratch.as_slice(), expected, "{parts:?}");
    }

    #[test]
    fn keeps_what_is_written() {
        check(&[]);
        check(&[0]);
        check(&[1, 2, 3]);
        check(&[INLINE_LEN]);
        check(&[INLINE_LEN, 0, 1]);
        check(&[INLINE_LEN + 1]);
        check(&[INLINE_LEN - 1, 2, 3, 0, 5]);
        check(&[10, 3 * INLINE_LEN, 1, INLINE_LEN]);
        check(&[1; 2 * INLINE_LEN]);
    }

    #[test]
    fn ends_at_the_largest_message() {
        let mut scratch = Scratch::new();
        let half = vec![1; MESSAGE_LEN_MAX / 2];
        scratch.extend(&half).unwrap();
        scratch.extend(&half[1..]).unwrap();
        assert_eq!(scratch.extend(&[2, 2]), Err(TooLarge));
        scratch.extend(&[2]).unwrap();
        assert_eq!(scratch.extend(&[2]), Err(TooLarge));
        assert_eq!(scratch.as_slice().len(), MESSAGE_LEN_MAX);
        assert_eq!(scratch.heap.capacity(), MESSAGE_LEN_MAX);
        assert_eq!(scratch.as_slice().last(), Some(&2));
    }
}
