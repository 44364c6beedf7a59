//! The address of an instance's memory, for host functions that read and write it.
//!
//! wasmtime finds the memory through five objects in different places, which took a tenth of the time of a message.
//! Therefore the address is kept with the process, and dropped when the memory is about to grow.

use std::ptr::with_exposed_provenance_mut;

/// The address and the size of the memory, if known.
#[derive(Debug, Default)]
pub(crate) struct Window {
    base: usize,
    /// In bytes; 0 if unknown.
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

    /// Returns the memory.
    ///
    /// # Safety
    ///
    /// The window is [open](Self::is_open), the memory has been neither grown nor dropped since it was opened, and
    /// nobody else uses the memory during `'a`.
    #[inline]
    pub(crate) unsafe fn bytes<'a>(&self) -> &'a mut [u8] {
        // SAFETY: the caller promises that the memory still exists with this size, and that nobody else uses it.
        unsafe { std::slice::from_raw_parts_mut(with_exposed_provenance_mut(self.base), self.len) }
    }
}
