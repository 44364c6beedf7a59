//! Free slots whose memory must still be returned to the operating system: many slots together, because each call
//! interrupts all processors that run the program.

use std::ops::Range;

use super::Free;

/// The most slots that wait together,
const SLOTS_MAX: usize = 32;
/// with at most this many bytes, or one slot that has more.
const BYTES_MAX: usize = 4 << 20;

/// Slots, each with the bytes of it that must be released.
#[derive(Debug, Default)]
pub(super) struct Unreleased {
    slots: Vec<(Free, Range<usize>)>,
    bytes: usize,
}

impl Unreleased {
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether nothing more should be added.
    pub(super) fn is_full(&self) -> bool {
        self.slots.len() >= SLOTS_MAX || self.bytes >= BYTES_MAX
    }

    pub(super) fn push(&mut self, slot: Free, part: Range<usize>) {
        self.bytes += part.len();
        self.slots.push((slot, part));
    }

    pub(super) fn take(&mut self) -> Vec<(Free, Range<usize>)> {
        std::mem::take(self).slots
    }
}
