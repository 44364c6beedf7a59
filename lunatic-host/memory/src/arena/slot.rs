//! A slot of an arena while it is taken.

use std::io;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;

use super::{Arena, ArenaError, SlotId};
use crate::os::{self, Guard};

/// A slot of an [`Arena`]. Dropping it gives it back as it is. Before that, its owner must release it, name what is to
/// be [released at the end](Self::release_at_end), or have permission to [keep it warm](Self::keep_warm).
#[derive(Debug)]
pub(crate) struct Slot {
    pub(super) arena: Arc<Arena>,
    pub(super) base: NonNull<u8>,
    pub(super) id: SlotId,
    pub(super) note: u32,
    pub(super) was_warm: bool,
    pub(super) keep_warm: bool,
    /// Bytes that must be released once nobody holds the slot.
    pub(super) unreleased: Range<usize>,
}

// SAFETY: a slot is the only owner of its part of the mapping, which is not tied to a thread.
unsafe impl Send for Slot {}
// SAFETY: through a shared slot, nothing can be read or written; it only returns its address.
unsafe impl Sync for Slot {}

impl Slot {
    /// The id, unique among the slots of the arena.
    #[cfg(test)]
    pub(crate) fn id(&self) -> SlotId {
        self.id
    }

    /// The first byte. Valid for reads and writes where the slot is open and not guarded, as long as the slot lives.
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// The size of the slot in bytes, in whole pages.
    pub(crate) fn len(&self) -> usize {
        self.arena.options.slot_size
    }

    /// The note that the last user of this slot left for the next one; 0 in a new slot.
    pub(crate) fn note(&self) -> u32 {
        self.note
    }

    /// Leaves a note about the slot (what is open, what is guarded) for its next user. Trimming the arena erases the
    /// notes of free slots, and their guards.
    pub(crate) fn set_note(&mut self, note: u32) {
        self.note = note;
    }

    /// Whether the slot was warm when it was free: then its pages hold what the last user left there, otherwise zeros.
    pub(crate) fn was_warm(&self) -> bool {
        self.was_warm
    }

    /// Requests permission to give the slot back with memory in it. False if the arena already keeps enough such slots:
    /// then the caller must release all of it before dropping the slot.
    pub(crate) fn keep_warm(&mut self) -> bool {
        if !self.keep_warm {
            let mut state = self.arena.state.lock();
            self.keep_warm = state.warm_promised < self.arena.options.warm_max;
            state.warm_promised += u32::from(self.keep_warm);
        }
        self.keep_warm
    }

    /// Zeroes `range` (bytes from the slot's start, whole pages) and returns its memory to the operating system.
    ///
    /// The range must be open and not guarded.
    pub(crate) fn release(&mut self, range: Range<usize>) {
        let (at, len) = self.part(range);
        // SAFETY: the range is inside the slot, which this value owns exclusively.
        unsafe { os::release(at, len) }
    }

    /// Like [`release`](Self::release), but shortly after the slot has been dropped, together with others. Until then,
    /// `range` must not be closed or guarded either.
    pub(crate) fn release_at_end(&mut self, range: Range<usize>) {
        self.part(range.clone());
        self.unreleased = range;
    }

    /// Prepares `range`, which is open, for being written.
    pub(crate) fn populate(&mut self, range: Range<usize>) {
        let (at, len) = self.part(range);
        // SAFETY: the range is inside the slot, which this value owns exclusively.
        unsafe { os::populate(at, len) }
    }

    /// Makes `range` readable and writable.
    ///
    /// # Errors
    ///
    /// [`ArenaError::Protect`].
    pub(crate) fn open(&mut self, range: Range<usize>) -> Result<(), ArenaError> {
        let (at, len) = self.part(range);
        // SAFETY: the range is inside the slot, which this value owns exclusively.
        unsafe { os::open(at, len) }.map_err(|source| self.protect_error(source))
    }

    /// Makes accesses to `range` fault. Its bytes are kept.
    ///
    /// # Errors
    ///
    /// [`ArenaError::Protect`].
    pub(crate) fn close(&mut self, range: Range<usize>) -> Result<(), ArenaError> {
        let (at, len) = self.part(range);
        // SAFETY: as above. Whoever got this range from `base` has agreed that it can be closed.
        unsafe { os::close(at, len) }.map_err(|source| self.protect_error(source))
    }

    /// Makes accesses to `range` fault, even for later users of the slot, until the arena is trimmed while the slot is
    /// free.
    ///
    /// # Errors
    ///
    /// [`ArenaError::Protect`].
    pub(crate) fn guard(&mut self, range: Range<usize>, guard: Guard) -> Result<(), ArenaError> {
        let (at, len) = self.part(range);
        // SAFETY: as above.
        unsafe { os::guard(at, len, guard) }.map_err(|source| self.protect_error(source))
    }

    fn protect_error(&self, source: io::Error) -> ArenaError {
        ArenaError::Protect {
            name: self.arena.options.name,
            source,
        }
    }

    fn part(&self, range: Range<usize>) -> (NonNull<u8>, usize) {
        assert!(
            range.start <= range.end && range.end <= self.len(),
            "{range:?} lies outside a slot"
        );
        debug_assert!(
            (range.start | range.end).is_multiple_of(os::page_size()),
            "{range:?} is not whole pages"
        );
        // SAFETY: the start is inside the slot, as was just checked.
        (unsafe { self.base.add(range.start) }, range.len())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.arena.give_back(self);
    }
}
