//! The address of an instance's memory, for host functions that read and write it.
//!
//! wasmtime finds the memory through five objects, each of which lies somewhere else: that took a tenth of the time of a
//! message. So the address is kept with the process, and forgotten when the memory is about to grow.

use std::ptr::with_exposed_provenance_mut;

/// The address and the size of the memory, if they are known.
#[derive(Debug, Default)]
pub(crate) struct Window {
    base: usize,
    /// In bytes; 0 if they are not known.
    len: usize,
}

impl Window {
    /// The memory that `base` points to, of `len` bytes.
    pub(super) fn new(base: *mut u8, len: usize) -> Self {
        Self {
            base: base.expose_provenance(),
            len,
        }
    }

    /// Whether the address is known.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        self.len != 0
    }

    /// The memory.
    ///
    /// # Safety
    ///
    /// The window is [open](Self::is_open), the memory has been neither grown nor dropped since it was opened, and nobody else
    /// uses the memory during `'a`.
    #[inline]
    pub(crate) unsafe fn bytes<'a>(&self) -> &'a mut [u8] {
        // SAFETY: the caller promises that the memory is still there, of this size, and nobody else's.
        unsafe { std::slice::from_raw_parts_mut(with_exposed_provenance_mut(self.base), self.len) }
    }
}
