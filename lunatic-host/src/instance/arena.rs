//! An arena: address space cut into equal slots, for linear memories or for fiber stacks.
//!
//! The space is reserved in chunks of many slots, when it is needed, so that a million slots cost a few kernel maps. A
//! slot that was given back is the first to be taken again. An arena keeps no more than `warm_max` free slots whose
//! pages still hold memory of the machine (*warm* slots); the rest are empty.
//!
//! An [`Access::Open`] arena is readable and writable from the start. In an [`Access::Closed`] one each slot opens the
//! part that it uses, which costs two kernel maps a slot.
//!
//! Lock order: an arena's lock is taken last and is never held while memory is zeroed or opened. Reserving a chunk
//! happens under it, so that two threads do not reserve two.

use std::fmt;
use std::io;
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;

use parking_lot::Mutex;

pub use super::kernel::Access;
use super::kernel::{self, Guard};

/// What an [`Arena`] is made of.
#[derive(Debug, Clone)]
pub struct ArenaOptions {
    /// What the slots are for, in the plural, for error messages: "fiber stacks".
    pub name: &'static str,
    /// Bytes of one slot. Rounded up to whole pages.
    pub slot_size: usize,
    /// The number of slots that may be taken at the same time.
    pub slots_max: u32,
    /// Whether slots can be used at once or must be opened.
    pub access: Access,
    /// The number of free slots that may hold memory of the machine.
    pub warm_max: u32,
    /// Bytes of address space to reserve first; later chunks are up to 16 times larger. The chunk is smaller where the
    /// system allows less.
    pub chunk_size: usize,
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

/// Why an arena has no slot to give.
#[derive(Debug)]
#[non_exhaustive]
pub enum ArenaError {
    /// All slots that the arena may have are taken.
    Full {
        /// What the slots are for.
        name: &'static str,
        /// How many there are.
        slots_max: u32,
    },
    /// The system gives no more address space.
    AddressSpace {
        /// What the slots are for.
        name: &'static str,
        /// Bytes that were asked for.
        wanted: usize,
        /// What the system said.
        source: io::Error,
    },
    /// A page could not be opened, closed or guarded: the process has too many kernel maps, or the system does not
    /// promise more memory.
    Protect {
        /// What the slots are for.
        name: &'static str,
        /// What the system said.
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

/// Names a slot within its arena; stays the same while the arena lives. Ids count up from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotId(pub u32);

/// Address space cut into equal slots; see the module's description.
#[derive(Debug)]
pub struct Arena {
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
    /// Free slots that hold memory, the last given back last.
    warm: Vec<Free>,
    /// Those, and the taken slots that will join them when they are given back.
    warm_promised: u32,
    /// Free slots that hold none.
    cold: Vec<Free>,
}

#[derive(Debug)]
struct Chunk {
    base: NonNull<u8>,
    slots: Range<u32>,
}

// SAFETY: a chunk is an address and two numbers; the memory behind it is reached through slots only.
unsafe impl Send for Chunk {}
// SAFETY: as above.
unsafe impl Sync for Chunk {}

#[derive(Debug)]
struct Free {
    id: u32,
    note: u32,
}

impl Arena {
    /// Makes an arena. It reserves nothing until the first slot is taken.
    ///
    /// # Errors
    ///
    /// [`ArenaError::AddressSpace`] when a slot of this size cannot exist.
    pub fn new(options: ArenaOptions) -> Result<Arc<Arena>, ArenaError> {
        let (name, wanted) = (options.name, options.slot_size);
        let slot_size = kernel::whole_pages(wanted.max(1))
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

    /// Takes a slot, the one given back last if there is one.
    ///
    /// # Errors
    ///
    /// Every slot is taken, or the system gives no more address space.
    pub fn take(self: &Arc<Self>) -> Result<Slot, ArenaError> {
        let mut state = self.state.lock();
        let state = &mut *state;
        let (free, was_warm) = if let Some(free) = state.warm.pop() {
            state.warm_promised -= 1;
            (free, true)
        } else if let Some(free) = state.cold.pop() {
            (free, false)
        } else {
            if state.chunks.last().is_none_or(|chunk| chunk.slots.end == state.used) {
                let chunk = self.reserve(state)?;
                state.chunks.push(chunk);
            }
            state.used += 1;
            (
                Free {
                    id: state.used - 1,
                    note: 0,
                },
                false,
            )
        };
        let base = self.base_of(state, free.id).expect("every slot in use lies in a chunk");
        state.taken += 1;
        Ok(Slot {
            arena: self.clone(),
            base,
            id: SlotId(free.id),
            note: free.note,
            was_warm,
            keep_warm: false,
        })
    }

    /// Bytes of each slot.
    pub fn slot_size(&self) -> usize {
        self.options.slot_size
    }

    /// The number of slots that are taken now.
    pub fn taken(&self) -> u32 {
        self.state.lock().taken
    }

    /// The number of slots that [`take`](Self::take) can still give, if the system has space for them.
    pub fn left(&self) -> u32 {
        self.options.slots_max - self.state.lock().taken
    }

    /// The number of chunks reserved so far, each one kernel map in an open arena.
    pub fn chunks(&self) -> usize {
        self.state.lock().chunks.len()
    }

    /// The slot that `address` lies in, as addresses; `None` when it lies in no slot that was ever taken.
    pub fn slot_at(&self, address: usize) -> Option<Range<usize>> {
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

    fn base_of(&self, state: &State, id: u32) -> Option<NonNull<u8>> {
        let chunk = state
            .chunks
            .get(state.chunks.partition_point(|chunk| chunk.slots.end <= id))?;
        let index = (id - chunk.slots.start) as usize;
        // SAFETY: `id` is one of this chunk's slots, so the offset stays within its mapping.
        Some(unsafe { chunk.base.add(index * self.options.slot_size) })
    }

    /// Reserves the next chunk: as large as wished where the system allows it, at least one slot.
    fn reserve(&self, state: &State) -> Result<Chunk, ArenaError> {
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
        let mut bytes = chunk_size.saturating_mul(1 << state.chunks.len().min(4));
        let limits = [kernel::address_space_left(), kernel::commit_left(access)];
        if let Some(left) = limits.into_iter().flatten().min() {
            // The rest of the process needs some of what is left: its allocator aborts when it gets none.
            bytes = bytes.min(left / 8);
            if slot_size > left / 2 {
                let source = io::ErrorKind::OutOfMemory.into();
                return Err(ArenaError::AddressSpace {
                    name,
                    wanted: slot_size,
                    source,
                });
            }
        }
        let mut slots = u32::try_from(bytes / slot_size)
            .unwrap_or(u32::MAX)
            .clamp(1, slots_left);
        loop {
            let wanted = (slots as usize).saturating_mul(slot_size);
            match kernel::reserve(wanted, access) {
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

    fn give_back(&self, slot: &Slot) {
        let mut state = self.state.lock();
        state.taken -= 1;
        let free = Free {
            id: slot.id.0,
            note: slot.note,
        };
        if slot.keep_warm {
            state.warm.push(free)
        } else {
            state.cold.push(free)
        }
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        for chunk in &self.state.get_mut().chunks {
            let len = chunk.slots.len() * self.options.slot_size;
            // SAFETY: the chunk was reserved with this length, and no slot is left: each holds the arena.
            unsafe { kernel::unmap(chunk.base, len) };
        }
    }
}

/// A slot of an [`Arena`]. Dropping it gives it back as it is, so its owner releases it before, or is allowed to
/// [keep it warm](Self::keep_warm).
#[derive(Debug)]
pub struct Slot {
    arena: Arc<Arena>,
    base: NonNull<u8>,
    id: SlotId,
    note: u32,
    was_warm: bool,
    keep_warm: bool,
}

// SAFETY: a slot is the only owner of its part of the mapping, which is not tied to a thread.
unsafe impl Send for Slot {}
// SAFETY: through a shared slot nothing can be read or written; it only tells its address.
unsafe impl Sync for Slot {}

impl Slot {
    /// The id, unique among the slots of the arena.
    pub fn id(&self) -> SlotId {
        self.id
    }

    /// The first byte. Valid for reading and writing where the slot is open and not guarded, as long as the slot lives.
    pub fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// Bytes of the slot, whole pages.
    #[expect(clippy::len_without_is_empty, reason = "a slot is never empty")]
    pub fn len(&self) -> usize {
        self.arena.options.slot_size
    }

    /// What the last user of this slot noted for the next one, 0 in a new slot.
    pub fn note(&self) -> u32 {
        self.note
    }

    /// Notes something about the slot (what is open, what is guarded) for whoever takes it next.
    pub fn set_note(&mut self, note: u32) {
        self.note = note;
    }

    /// Whether the slot was kept warm when it was free: then its pages hold what the last user left there, else zeros.
    pub fn was_warm(&self) -> bool {
        self.was_warm
    }

    /// Asks to give the slot back with memory in it. False when the arena keeps enough of such slots already: then the
    /// caller releases all of it before it drops the slot.
    pub fn keep_warm(&mut self) -> bool {
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
    pub(super) fn release(&mut self, range: Range<usize>) {
        let (at, len) = self.part(range);
        // SAFETY: the range lies within the slot, which is this value's alone.
        unsafe { kernel::release(at, len) }
    }

    /// Makes `range` readable and writable.
    ///
    /// # Errors
    ///
    /// [`ArenaError::Protect`].
    pub(super) fn open(&mut self, range: Range<usize>) -> Result<(), ArenaError> {
        let (at, len) = self.part(range);
        // SAFETY: the range lies within the slot, which is this value's alone.
        unsafe { kernel::open(at, len) }.map_err(|source| self.protect_error(source))
    }

    /// Makes `range` fault when it is touched. Its bytes stay.
    ///
    /// # Errors
    ///
    /// [`ArenaError::Protect`].
    pub(super) fn close(&mut self, range: Range<usize>) -> Result<(), ArenaError> {
        let (at, len) = self.part(range);
        // SAFETY: as above. Whoever was told of this range by `base` agreed that it can be closed.
        unsafe { kernel::close(at, len) }.map_err(|source| self.protect_error(source))
    }

    /// Makes `range` fault when it is touched, as long as the arena lives, whoever takes the slot.
    ///
    /// # Errors
    ///
    /// [`ArenaError::Protect`].
    pub(super) fn guard(&mut self, range: Range<usize>, guard: Guard) -> Result<(), ArenaError> {
        let (at, len) = self.part(range);
        // SAFETY: as above.
        unsafe { kernel::guard(at, len, guard) }.map_err(|source| self.protect_error(source))
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
            (range.start | range.end).is_multiple_of(kernel::page_size()),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::tests::{kernel_maps, resident_bytes, run_alone};

    const PAGE: usize = 4096;

    fn arena(options: ArenaOptions) -> Arc<Arena> {
        Arena::new(options).unwrap()
    }

    /// Writes one byte to the slot, and reads it again.
    fn touch(slot: &Slot, at: usize) {
        assert!(at < slot.len());
        // SAFETY: `at` lies within an open slot that the caller holds.
        unsafe {
            slot.base().add(at).write(7);
            assert_eq!(slot.base().add(at).read(), 7);
        }
    }

    #[test]
    fn the_slot_given_back_last_is_taken_first() {
        let arena = arena(ArenaOptions {
            slots_max: 3,
            ..ArenaOptions::default()
        });
        let [a, b, c] = [(); 3].map(|()| arena.take().unwrap());
        assert_eq!([a.id(), b.id(), c.id()], [SlotId(0), SlotId(1), SlotId(2)]);
        assert!(matches!(arena.take(), Err(ArenaError::Full { slots_max: 3, .. })));
        assert_eq!((arena.taken(), arena.left()), (3, 0));
        let bases = (a.base(), b.base());
        drop(a);
        drop(b);
        let (b, a) = (arena.take().unwrap(), arena.take().unwrap());
        assert_eq!((a.base(), b.base()), bases);
        assert_eq!((a.id(), b.id()), (SlotId(0), SlotId(1)));
    }

    #[test]
    fn slots_do_not_overlap_across_chunks() {
        // Chunks of 2, 4, 8, 16, 32, 32, ... slots.
        let arena = arena(ArenaOptions {
            slot_size: 3 * PAGE,
            chunk_size: 6 * PAGE,
            ..ArenaOptions::default()
        });
        let mut slots: Vec<Slot> = (0..100).map(|_| arena.take().unwrap()).collect();
        assert_eq!(arena.chunks(), 7);
        for slot in &slots {
            let start = slot.base().as_ptr() as usize;
            touch(slot, 0);
            touch(slot, slot.len() - 1);
            for address in [start, start + slot.len() - 1] {
                assert_eq!(arena.slot_at(address), Some(start..start + slot.len()));
            }
        }
        assert_eq!(arena.slot_at(&raw const arena as usize), None);
        slots.sort_by_key(|slot| slot.base());
        assert!(
            slots
                .windows(2)
                .all(|pair| pair[0].base().as_ptr().wrapping_add(3 * PAGE) <= pair[1].base().as_ptr())
        );
    }

    #[test]
    fn an_address_of_a_slot_never_taken_is_in_no_slot() {
        let arena = arena(ArenaOptions::default());
        let slot = arena.take().unwrap();
        assert_eq!(arena.slot_at(slot.base().as_ptr() as usize + slot.len()), None);
    }

    #[test]
    fn a_warm_slot_keeps_its_bytes_and_goes_first() {
        let arena = arena(ArenaOptions {
            warm_max: 1,
            ..ArenaOptions::default()
        });
        let [mut a, mut b, c] = [(); 3].map(|()| arena.take().unwrap());
        for slot in [&a, &b] {
            touch(slot, 0);
        }
        a.set_note(5);
        assert!(a.keep_warm());
        assert!(!b.keep_warm(), "one warm slot is enough");
        b.release(0..b.len());
        let ids = (a.id(), c.id(), b.id());
        drop(a);
        drop(b);
        drop(c);
        let a = arena.take().unwrap();
        assert_eq!((a.id(), a.note(), a.was_warm()), (ids.0, 5, true));
        // SAFETY: the slot is open and held.
        assert_eq!(unsafe { a.base().read() }, 7);
        let [c, mut b] = [(); 2].map(|()| arena.take().unwrap());
        assert_eq!((c.id(), b.id(), b.was_warm()), (ids.1, ids.2, false));
        // SAFETY: as above.
        assert_eq!(unsafe { b.base().read() }, 0);
        assert!(b.keep_warm(), "the warm slot was taken, so there is room again");
    }

    #[test]
    fn ten_thousand_slots_use_few_maps_and_give_their_memory_back() {
        run_alone("instance::arena::tests::alone_ten_thousand_slots");
    }

    #[test]
    #[ignore = "runs in a process of its own: counts maps and memory"]
    fn alone_ten_thousand_slots() {
        let arena = arena(ArenaOptions {
            slot_size: 128 << 10,
            ..ArenaOptions::default()
        });
        let (maps, resident) = (kernel_maps(), resident_bytes());
        let mut slots: Vec<Slot> = (0..10_000).map(|_| arena.take().unwrap()).collect();
        for slot in &slots {
            touch(slot, 0);
            touch(slot, slot.len() / 2);
        }
        assert!(
            kernel_maps() < maps + 10,
            "{} maps before, {} with 10,000 slots",
            maps,
            kernel_maps()
        );
        let full = resident_bytes();
        assert!(full > resident + 10_000 * 2 * PAGE);
        for slot in &mut slots {
            slot.release(0..slot.len());
        }
        drop(slots);
        assert!(
            resident_bytes() < resident + (4 << 20),
            "{resident} before, {full} full, {} after",
            resident_bytes()
        );
    }

    #[test]
    fn a_limit_on_address_space_is_an_error_and_not_an_abort() {
        run_alone("instance::arena::tests::alone_little_address_space");
    }

    #[test]
    #[ignore = "runs in a process of its own: limits its address space"]
    fn alone_little_address_space() {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        let used = statm.split(' ').next().unwrap().parse::<u64>().unwrap() * PAGE as u64;
        let limit = libc::rlimit {
            rlim_cur: used + (512 << 20),
            rlim_max: libc::RLIM_INFINITY,
        };
        // SAFETY: `limit` is valid for reading for the time of the call.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
        let small = arena(ArenaOptions {
            name: "small",
            slot_size: 1 << 20,
            ..ArenaOptions::default()
        });
        let mut slots = vec![];
        let error = loop {
            match small.take() {
                Ok(slot) => slots.push(slot),
                Err(error) => break error,
            }
        };
        assert!(
            matches!(error, ArenaError::AddressSpace { name: "small", .. }),
            "{error}"
        );
        assert!(
            (100..512).contains(&slots.len()),
            "{} slots of 1 MiB in 512 MiB",
            slots.len()
        );
        touch(&slots[slots.len() - 1], 0);
        let large = arena(ArenaOptions {
            name: "large",
            slot_size: 4 << 30,
            ..ArenaOptions::default()
        });
        assert_eq!(
            large.take().unwrap_err().to_string(),
            "no address space for large (4294967296 bytes): raise `ulimit -v`, or lower vm.overcommit_memory from 2"
        );
        // What is left is enough for the rest of the program.
        assert_eq!(vec![1u8; 256 << 10].len(), 256 << 10);
    }

    #[test]
    fn a_slot_of_impossible_size_is_an_error() {
        let options = ArenaOptions {
            slot_size: usize::MAX - 5,
            ..ArenaOptions::default()
        };
        assert!(matches!(Arena::new(options), Err(ArenaError::AddressSpace { .. })));
    }
}
