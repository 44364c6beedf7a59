//! An arena: address space cut into equal slots, for linear memories or for fiber stacks.
//!
//! The space is reserved in chunks of many slots, when it is needed, so that a million slots cost a few kernel maps.
//! The slot that was given back last is taken first. At most `warm_max` free slots have pages that still hold memory
//! (*warm* slots); the others are empty, or wait to be emptied together (`unreleased`).
//!
//! An [`Access::Open`] arena is readable and writable from the start. In an [`Access::Closed`] arena, each slot opens
//! the part that it uses, which costs two kernel maps per slot.
//!
//! Lock order: an arena's lock is taken last, and is never held while memory is zeroed or opened. A chunk is reserved
//! under the lock, so that two threads do not each reserve one.

mod slot;
mod unreleased;

use std::cmp::Reverse;
use std::fmt;
use std::io;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

pub(crate) use self::slot::Slot;
use self::unreleased::Unreleased;
use crate::os;
pub(crate) use crate::os::Access;

/// The properties of an [`Arena`].
#[derive(Debug, Clone)]
pub(crate) struct ArenaOptions {
    /// The purpose of the slots, in the plural, for error messages: "fiber stacks".
    pub(crate) name: &'static str,
    /// Bytes of one slot. Rounded up to whole pages.
    pub(crate) slot_size: usize,
    /// The most slots that may be taken at a time.
    pub(crate) slots_max: u32,
    /// Whether slots are open from the start.
    pub(crate) access: Access,
    /// The most free slots that may hold memory.
    pub(crate) warm_max: u32,
    /// Bytes of address space to reserve first; later chunks are up to 16 times larger. A chunk is smaller if the
    /// operating system allows only less.
    pub(crate) chunk_size: usize,
}

impl Default for ArenaOptions {
    fn default() -> Self {
        ArenaOptions {
            name: "slots",
            slot_size: 64 << 10,
            slots_max: u32::MAX,
            access: Access::Open,
            warm_max: 0,
            // A million slots of 64 KiB in one chunk, and 2,000 chunks in the 128 TiB that a process can address.
            chunk_size: 64 << 30,
        }
    }
}

/// Why an arena cannot provide a slot.
#[derive(Debug)]
#[non_exhaustive]
pub enum ArenaError {
    /// All slots that the arena may have are taken.
    Full {
        /// The purpose of the slots.
        name: &'static str,
        /// The number of slots.
        slots_max: u32,
    },
    /// The operating system provides no more address space.
    AddressSpace {
        /// The purpose of the slots.
        name: &'static str,
        /// Bytes that were requested.
        wanted: usize,
        /// The error of the operating system.
        source: io::Error,
    },
    /// A page could not be opened, closed or guarded: the process has too many kernel maps, or the operating system
    /// does not commit more memory.
    Protect {
        /// The purpose of the slots.
        name: &'static str,
        /// The error of the operating system.
        source: io::Error,
    },
}

impl fmt::Display for ArenaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ArenaError::Full { name, slots_max } => {
                write!(f, "all {slots_max} {name} are in use: end some processes or allow more")
            }
            ArenaError::AddressSpace { name, wanted, .. } => write!(
                f,
                "no address space for {name} ({wanted} bytes): raise `ulimit -v`, or lower vm.overcommit_memory from 2"
            ),
            ArenaError::Protect { name, .. } => write!(
                f,
                "no kernel map or memory for {name}: raise vm.max_map_count, or lower vm.overcommit_memory from 2"
            ),
        }
    }
}

impl std::error::Error for ArenaError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            ArenaError::Full { .. } => None,
            ArenaError::AddressSpace { source, .. } | ArenaError::Protect { source, .. } => Some(source),
        }
    }
}

/// Identifies a slot within its arena, for the life of the arena. Ids count up from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SlotId(pub(crate) u32);

/// Address space cut into equal slots; see the description of the module.
#[derive(Debug)]
pub(crate) struct Arena {
    options: ArenaOptions,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    chunks: Vec<Chunk>,
    /// Slots that were taken at least once; the next new one has this id.
    used: u32,
    /// Slots taken and not given back.
    taken: u32,
    /// Free slots that hold memory; the one that was given back last is at the end.
    warm: Vec<Free>,
    /// Their number, plus the taken slots that will join them when they are given back.
    warm_promised: u32,
    /// Free slots that hold no memory.
    cold: Vec<Free>,
    /// Free slots that will soon be among these.
    unreleased: Unreleased,
}

#[derive(Debug, Clone)]
struct Chunk {
    base: NonNull<u8>,
    slots: Range<u32>,
}

// SAFETY: a chunk is an address and two numbers; its memory is accessed only through slots.
unsafe impl Send for Chunk {}
// SAFETY: as above.
unsafe impl Sync for Chunk {}

#[derive(Debug)]
struct Free {
    id: u32,
    note: u32,
    warm: bool,
}

impl Arena {
    /// Makes an arena. Nothing is reserved until the first slot is taken.
    ///
    /// # Errors
    ///
    /// [`ArenaError::AddressSpace`] if a slot of this size cannot exist.
    pub(crate) fn new(options: ArenaOptions) -> Result<Arc<Arena>, ArenaError> {
        let (name, wanted) = (options.name, options.slot_size);
        let slot_size = os::whole_pages(wanted.max(1))
            .filter(|size| *size <= isize::MAX as usize)
            .ok_or(ArenaError::AddressSpace {
                name,
                wanted,
                source: io::ErrorKind::InvalidInput.into(),
            })?;
        Ok(Arc::new(Arena {
            options: ArenaOptions { slot_size, ..options },
            state: Mutex::default(),
        }))
    }

    /// Takes a slot: the one that was given back last, if there is one.
    ///
    /// # Errors
    ///
    /// If every slot is taken, or if the operating system provides no more address space.
    pub(crate) fn take(self: &Arc<Self>) -> Result<Slot, ArenaError> {
        let mut state = self.state.lock();
        if state.has_no_free() && !state.unreleased.is_empty() {
            state = self.release(state);
        }
        let state = &mut *state;
        // Warm slots first: their pages need no fault, and are in the cache if they were given back just now.
        let free = if let Some(free) = state.warm.pop() {
            state.warm_promised -= 1;
            free
        } else if let Some(free) = state.cold.pop() {
            free
        } else {
            if state.chunks.last().is_none_or(|chunk| chunk.slots.end == state.used) {
                let chunk = self.reserve(state)?;
                state.chunks.push(chunk);
            }
            state.used += 1;
            Free {
                id: state.used - 1,
                note: 0,
                warm: false,
            }
        };
        let base = base_of(&state.chunks, self.options.slot_size, free.id).expect("a slot lies in a chunk");
        state.taken += 1;
        Ok(Slot {
            arena: self.clone(),
            base,
            id: SlotId(free.id),
            note: free.note,
            was_warm: free.warm,
            keep_warm: false,
            unreleased: 0..0,
        })
    }

    /// The number of slots that are currently taken.
    pub(crate) fn taken(&self) -> u32 {
        self.state.lock().taken
    }

    /// The number of slots that [`take`](Self::take) can still provide, if the operating system has space for them.
    pub(crate) fn left(&self) -> u32 {
        self.options.slots_max - self.state.lock().taken
    }

    /// The number of chunks reserved so far, each one kernel map in an open arena.
    #[cfg(test)]
    pub(crate) fn chunks(&self) -> usize {
        self.state.lock().chunks.len()
    }

    /// The address range of the slot that contains `address`; `None` if no slot that was ever taken does.
    pub(crate) fn slot_at(&self, address: usize) -> Option<Range<usize>> {
        let state = self.state.lock();
        state.chunks.iter().find_map(|chunk| {
            let offset = address.checked_sub(chunk.base.as_ptr() as usize)?;
            let index = offset / self.options.slot_size;
            let id = chunk.slots.start as usize + index;
            if id >= (chunk.slots.end as usize).min(state.used as usize) {
                return None;
            }
            let start = chunk.base.as_ptr() as usize + index * self.options.slot_size;
            Some(start..start + self.options.slot_size)
        })
    }

    /// Returns everything that free slots hold to the operating system: the pages of warm ones, and page tables where
    /// the kernel can free them (Linux 6.14). Useful when many slots were given back and few will be taken soon,
    /// because those are more expensive afterwards.
    ///
    /// Slots may be taken and given back meanwhile. Does nothing in a closed arena, which has few slots.
    pub(crate) fn trim(&self) {
        if self.options.access == Access::Closed {
            return;
        }
        // Outside of the lists, the slots belong to this thread: no lock is held while the operating system works on
        // them.
        let (mut free, chunks) = {
            let mut state = self.release(self.state.lock());
            let warm = std::mem::take(&mut state.warm);
            // Each slot in that list was promised once.
            state.warm_promised -= warm.len() as u32;
            let mut free = std::mem::take(&mut state.cold);
            free.extend(warm);
            (free, state.chunks.clone())
        };
        // The first slots are taken first, so that used slots gather there.
        free.sort_unstable_by_key(|slot| Reverse(slot.id));
        // Adjacent slots are trimmed in one call, because only whole page tables are freed, and a slot uses part of
        // one.
        let base = |slot: &Free| base_of(&chunks, self.options.slot_size, slot.id);
        let adjacent = |next: &Free, slot: &Free| {
            let end = base(slot).map(|base| base.as_ptr().wrapping_add(self.options.slot_size));
            end == base(next).map(|base| base.as_ptr())
        };
        for run in free.chunk_by_mut(adjacent) {
            let Some(first) = run.last().and_then(base) else {
                continue;
            };
            // SAFETY: these slots are adjacent; they are in no list, and only this thread has them.
            let is_empty = unsafe { os::trim(first, run.len() * self.options.slot_size) };
            for slot in run {
                // Guards may be gone even if the memory is not.
                slot.note = 0;
                slot.warm &= !is_empty;
            }
        }
        // Slots that the operating system refused to trim keep their contents, and are still warm. Slots that were given back
        // meanwhile go on top.
        let mut state = self.state.lock();
        let (warm, mut cold): (Vec<Free>, Vec<Free>) = free.into_iter().partition(|slot| slot.warm);
        cold.append(&mut state.cold);
        state.cold = cold;
        state.warm_promised += warm.len() as u32;
        state.warm.extend(warm);
    }

    /// Reserves the next chunk: as large as desired if the operating system allows it, at least one slot.
    fn reserve(&self, state: &State) -> Result<Chunk, ArenaError> {
        let ArenaOptions {
            name,
            slot_size,
            access,
            ..
        } = self.options;
        let mut slots = self.next_chunk_len(state)?;
        // Not every limit is known in advance, and the remaining space may be fragmented: a smaller chunk may succeed
        // where a large one is refused.
        loop {
            let wanted = (slots as usize).saturating_mul(slot_size);
            match os::reserve(wanted, access) {
                Ok(base) => {
                    return Ok(Chunk {
                        base,
                        slots: state.used..state.used + slots,
                    });
                }
                Err(_) if slots > 1 => slots /= 2,
                Err(source) => return Err(ArenaError::AddressSpace { name, wanted, source }),
            }
        }
    }

    /// The desired number of slots of the next chunk, as far as the operating system's limits are known.
    fn next_chunk_len(&self, state: &State) -> Result<u32, ArenaError> {
        let ArenaOptions {
            name,
            slot_size,
            slots_max,
            access,
            chunk_size,
            ..
        } = self.options;
        let slots_left = slots_max - state.used;
        if slots_left == 0 {
            return Err(ArenaError::Full { name, slots_max });
        }
        // Each is twice the one before, up to 16 times the first: an arena that grows large has few kernel maps.
        let mut bytes = chunk_size.saturating_mul(1 << state.chunks.len().min(4));
        let space = os::address_space().map(|space| space.left.saturating_sub(space.reserve()));
        if let Some(left) = [space, os::commit_left(access)].into_iter().flatten().min() {
            // Other arenas need some of what is left.
            bytes = bytes.min(left / 8);
            // Even a single slot must leave room for the rest of the host: its allocator aborts when it gets nothing.
            if slot_size > left / 2 {
                return Err(ArenaError::AddressSpace {
                    name,
                    wanted: slot_size,
                    source: io::ErrorKind::OutOfMemory.into(),
                });
            }
        }
        let slots = u32::try_from(bytes / slot_size).unwrap_or(u32::MAX);
        Ok(slots.clamp(1, slots_left))
    }

    fn give_back(&self, slot: &Slot) {
        let mut state = self.state.lock();
        state.taken -= 1;
        let free = Free {
            id: slot.id.0,
            note: slot.note,
            warm: slot.keep_warm,
        };
        if slot.unreleased.is_empty() {
            state.put(free);
            return;
        }
        state.unreleased.push(free, slot.unreleased.clone());
        if state.unreleased.is_full() {
            drop(self.release(state));
        }
    }

    /// Returns the memory of all waiting slots to the operating system, without the lock meanwhile.
    fn release<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let all = state.unreleased.take();
        let ranges = all.iter().map(|(free, part)| {
            let base = base_of(&state.chunks, self.options.slot_size, free.id).expect("a slot lies in a chunk");
            libc::iovec {
                // SAFETY: the part lies within the slot, as was checked when its owner named it.
                iov_base: unsafe { base.add(part.start) }.as_ptr().cast(),
                iov_len: part.len(),
            }
        });
        let ranges: Vec<_> = ranges.collect();
        drop(state);
        // SAFETY: the last owner of each slot had it alone; it is in no list, and only this thread has it.
        unsafe { os::release_all(&ranges) };
        let mut state = self.state.lock();
        all.into_iter().for_each(|(free, _)| state.put(free));
        state
    }
}

impl State {
    fn has_no_free(&self) -> bool {
        self.warm.is_empty() && self.cold.is_empty()
    }

    fn put(&mut self, free: Free) {
        if free.warm {
            self.warm.push(free)
        } else {
            self.cold.push(free)
        }
    }
}

/// The first byte of the slot `id`; `None` if it is in none of the chunks.
fn base_of(chunks: &[Chunk], slot_size: usize, id: u32) -> Option<NonNull<u8>> {
    let chunk = chunks.get(chunks.partition_point(|chunk| chunk.slots.end <= id))?;
    let index = id.checked_sub(chunk.slots.start)? as usize;
    // SAFETY: `id` is one of this chunk's slots, so the offset stays within its mapping.
    Some(unsafe { chunk.base.add(index * slot_size) })
}

impl Drop for Arena {
    fn drop(&mut self) {
        for chunk in &self.state.get_mut().chunks {
            let len = chunk.slots.len() * self.options.slot_size;
            // SAFETY: the chunk was reserved with this length, and no slot is left: each holds the arena.
            unsafe { os::unmap(chunk.base, len) };
        }
    }
}

#[cfg(test)]
mod tests;
