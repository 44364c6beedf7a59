//! A slot of an arena, while somebody holds it.

use std::io;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;

use super::{Arena, ArenaError, SlotId};
use crate::os::{self, Guard};

/// A slot of an [`Arena`]. Dropping it gives it back as it is, so its owner releases it before, names what is to be
/// [released at the end](Self::release_at_end), or is allowed to [keep it warm](Self::keep_warm).
#[derive(Debug)]
pub(crate) struct Slot {
    pub(super) arena: Arc<Arena>,
    pub(super) base: NonNull<u8>,
    pub(super) id: SlotId,
    pub(super) note: u32,
    pub(super) was_warm: bool,
    pub(super) keep_warm: bool,
    /// Bytes that are to be released once nobody holds it.
    pub(super) unreleased: Range<usize>,
}

// SAFETY: a slot is the only owner of its part of the mapping, which is not tied to a thread.
unsafe impl Send for Slot {}
// SAFETY: through a shared slot nothing can be read or written; it only tells its address.
unsafe impl Sync for Slot {}

impl Slot {
    /// The id, unique among the slots of the arena.
    #[cfg(test)]
    pub(crate) fn id(&self) -> SlotId {
        self.id
    }

    /// The first byte. Valid for reading and writing where the slot is open and not guarded, as long as the slot lives.
    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Bytes of the slot, whole pages.
    pub(crate) fn len(&self) -> usize {
        self.arena.options.slot_size
    }

    /// What the last user of this slot noted for the next one, 0 in a new slot.
    pub(crate) fn note(&self) -> u32 {
        self.note
    }

    /// Notes something about the slot (what is open, what is guarded) for whoever takes it next. Trimming the arena
    /// forgets the notes of free slots, and their guards.
    pub(crate) fn set_note(&mut self, note: u32) {
        self.note = note;
    }

    /// Whether the slot was kept warm when it was free: then its pages hold what the last user left there, else zeros.
    pub(crate) fn was_warm(&self) -> bool {
        self.was_warm
    }

    /// Asks to give the slot back with memory in it. False when the arena keeps enough of such slots already: then the
    /// caller releases all of it before it drops the slot.
    pub(crate) fn keep_warm(&mut self) -> bool {
        if !self.keep_warm {
            let mut state = self.arena.state.lock();
            self.keep_warm = state.warm_promised < self.arena.options.warm_max;
            state.warm_promised += u32::from(self.keep_warm);
        }
        self.keep_warm
    }

    /// Makes `range` (bytes from the slot's start, whole pages) zero and gives its memory back to the system.
    ///
    /// The range must be open and not guarded.
    pub(crate) fn release(&mut self, range: Range<usize>) {
        let (at, len) = self.part(range);
        // SAFETY: the range lies within the slot, which is this value's alone.
        unsafe { os::release(at, len) }
    }

    /// As [`release`](Self::release), but soon after the slot has been dropped, together with others. Until then `range` is not
    /// closed or guarded either.
    pub(crate) fn release_at_end(&mut self, range: Range<usize>) {
        self.part(range.clone());
        self.unreleased = range;
    }

    /// Makes `range`, which is open and about to be written, ready for that.
    pub(crate) fn populate(&mut self, range: Range<usize>) {
        let (at, len) = self.part(range);
        // SAFETY: the range lies within the slot, which is this value's alone.
        unsafe { os::populate(at, len) }
    }

    /// Makes `range` readable and writable.
    ///
    /// # Errors
    ///
    /// [`ArenaError::Protect`].
    pub(crate) fn open(&mut self, range: Range<usize>) -> Result<(), ArenaError> {
        let (at, len) = self.part(range);
        // SAFETY: the range lies within the slot, which is this value's alone.
        unsafe { os::open(at, len) }.map_err(|source| self.protect_error(source))
    }

    /// Makes `range` fault when it is touched. Its bytes stay.
    ///
    /// # Errors
    ///
    /// [`ArenaError::Protect`].
    pub(crate) fn close(&mut self, range: Range<usize>) -> Result<(), ArenaError> {
        let (at, len) = self.part(range);
        // SAFETY: as above. Whoever was told of this range by `base` agreed that it can be closed.
        unsafe { os::close(at, len) }.map_err(|source| self.protect_error(source))
    }

    /// Makes `range` fault when it is touched, whoever takes the slot, until the arena is trimmed while it is free.
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
        // SAFETY: the start lies within the slot, as was just checked.
        (unsafe { self.base.add(range.start) }, range.len())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.arena.give_back(self);
    }
}
