//! Free slots whose memory is still to be given back to the system: that of many at once, as each time interrupts all processors
//! that run the program.

use std::ops::Range;

use super::Free;

/// So many slots wait for each other,
const SLOTS_MAX: usize = 32;
/// with so many bytes at most, or one that has more.
const BYTES_MAX: usize = 4 << 20;

/// Slots, each with the bytes of it that are to be released.
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

    /// Whether nothing more should wait.
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
