//! Memories of the fast layout: 4 GiB of address space each, of which the pages in bounds are open.
//!
//! Compiled code needs no bounds checks: every address that a guest can compute is inside its reservation or the guard
//! after it. The note of a slot is the number of its open pages; they stay open when the slot is free, so that the next
//! memory of the same size opens nothing.

use std::sync::Arc;

use wasmtime::{Config, LinearMemory, MemoryCreator, MemoryType};

use super::{Charge, MemoryBudget, MemoryError, populate_expected};
use crate::arena::{Access, Arena, ArenaError, ArenaOptions, Slot};
use crate::os::{page_size, whole_pages};

/// The address space into which a memory can grow, in bytes: everything that 32 bits can address.
const RESERVATION: usize = 4 << 30;

/// The guard after it, which faults, so that code need not check small constant offsets either (wasmtime's own
/// default).
const GUARD: usize = 32 << 20;

/// The address space to reserve first, in bytes: room for 63 memories.
const CHUNK: usize = 256 << 30;

/// Makes memories of the fast layout.
#[derive(Debug)]
pub struct FastMemories {
    arena: Arc<Arena>,
    budget: Arc<MemoryBudget>,
}

impl FastMemories {
    /// The default number of memories: with two kernel maps each, they use 3 % of the default `vm.max_map_count`.
    pub const SLOTS_MAX: u32 = 1024;

    /// Returns a creator of at most `slots_max` memories at a time.
    ///
    /// # Errors
    ///
    /// [`ArenaError::AddressSpace`] on a machine that cannot address 4 GiB.
    pub fn new(slots_max: u32, budget: Arc<MemoryBudget>) -> Result<Arc<FastMemories>, ArenaError> {
        let arena = Arena::new(ArenaOptions {
            name: "memories of the fast layout",
            slot_size: RESERVATION + GUARD,
            slots_max,
            access: Access::Closed,
            warm_max: 0,
            chunk_size: CHUNK,
        })?;
        Ok(Arc::new(FastMemories { arena, budget }))
    }

    /// Makes `config` compile code for this layout and use this creator.
    pub fn configure(self: &Arc<Self>, config: &mut Config) {
        Self::compile_for(config);
        config.with_host_memory(self.clone());
    }

    /// Makes `config` compile code for this layout, without making instances here.
    pub fn compile_for(config: &mut Config) {
        config
            .memory_reservation(RESERVATION as u64)
            .memory_guard_size(GUARD as u64)
            .memory_may_move(false)
            .memory_init_cow(false);
    }

    /// Returns the number of memories that can still be made.
    pub fn left(&self) -> u32 {
        self.arena.left()
    }

    /// The number of memories.
    #[cfg(test)]
    pub(crate) fn taken(&self) -> u32 {
        self.arena.taken()
    }

    pub(super) fn make(&self, minimum: usize, reservation: usize, guard: usize) -> Result<FastMemory, MemoryError> {
        if reservation > RESERVATION || guard > GUARD {
            return Err(MemoryError::Layout { reservation, guard });
        }
        let open = open_bytes(minimum)?;
        let charge = Charge::new(&self.budget, minimum).ok_or(MemoryError::Budget {
            wanted: minimum,
            limit: self.budget.limit(),
        })?;
        // If the kernel refuses, the slot is given back with a note of what is open, and the charge is given back, too.
        let mut slot = self.arena.take()?;
        set_open(&mut slot, open)?;
        populate_expected(&mut slot, open);
        Ok(FastMemory {
            slot,
            size: minimum,
            initial: open,
            charge,
        })
    }
}

// SAFETY: a memory is zero-filled (slots are released before they are given back), its pages in bounds are open, all
// others of its reservation and guard are closed, and it never moves.
unsafe impl MemoryCreator for FastMemories {
    fn new_memory(
        &self,
        _: MemoryType,
        minimum: usize,
        _: Option<usize>,
        reservation: Option<usize>,
        guard: usize,
    ) -> Result<Box<dyn LinearMemory>, String> {
        match self.make(minimum, reservation.unwrap_or(0), guard) {
            Ok(memory) => Ok(Box::new(memory)),
            Err(error) => Err(super::refuse(error)),
        }
    }
}

/// A memory of the fast layout.
pub(super) struct FastMemory {
    slot: Slot,
    /// The bytes that the guest can use.
    size: usize,
    /// The bytes that were open at the start, and stay open for the slot's next user.
    initial: usize,
    charge: Charge,
}

// SAFETY: `as_ptr` is valid for `byte_size` bytes as long as the slot lives, and never changes.
unsafe impl LinearMemory for FastMemory {
    fn byte_size(&self) -> usize {
        self.size
    }

    fn byte_capacity(&self) -> usize {
        RESERVATION
    }

    fn grow_to(&mut self, size: usize) -> wasmtime::Result<()> {
        let open = open_bytes(size)?;
        let growth = size.saturating_sub(self.size);
        if !self.charge.try_add(growth) {
            return Err(MemoryError::Budget {
                wanted: growth,
                limit: self.charge.limit(),
            }
            .into());
        }
        if let Err(error) = set_open(&mut self.slot, open) {
            self.charge.sub(growth);
            return Err(MemoryError::from(error).into());
        }
        self.size = size;
        Ok(())
    }

    fn as_ptr(&self) -> *mut u8 {
        self.slot.base().as_ptr()
    }
}

impl Drop for FastMemory {
    fn drop(&mut self) {
        let touched = opened(&self.slot);
        self.slot.release(0..touched);
        // This fails only if the kernel is out of maps. The slot's note then still says what is open, and its next user
        // tries again.
        let _ = set_open(&mut self.slot, self.initial);
    }
}

/// The bytes of the whole pages that hold a memory of `size` bytes.
fn open_bytes(size: usize) -> Result<usize, MemoryError> {
    whole_pages(size)
        .filter(|bytes| *bytes <= RESERVATION)
        .ok_or(MemoryError::TooLarge {
            wanted: size,
            size_max: RESERVATION,
        })
}

/// The bytes of the slot that are open.
fn opened(slot: &Slot) -> usize {
    slot.note() as usize * page_size()
}

/// Opens or closes pages so that exactly the first `bytes` of the slot are open.
fn set_open(slot: &mut Slot, bytes: usize) -> Result<(), ArenaError> {
    let now = opened(slot);
    if bytes > now {
        slot.open(now..bytes)?;
    } else if bytes < now {
        slot.close(bytes..now)?;
    }
    // At most 4 GiB of pages, so the number fits.
    slot.set_note((bytes / page_size()) as u32);
    Ok(())
}
