//! Memories of the dense layout: adjacent slots of a few sizes, with explicit bounds checks in the code.
//!
//! There is an arena for each size class (powers of two from 64 KiB to 4 GiB). A memory gets the class that leaves room
//! for at least one more wasm page, if its type allows it to grow. Growing within the slot costs nothing. Beyond that,
//! the pages that hold data are copied to a slot of a larger class; since classes double in size, the copying stays
//! proportional to the growth.

use std::sync::Arc;

use wasmtime::{Config, LinearMemory, MemoryCreator, MemoryType};

use super::{Charge, MemoryBudget, MemoryError, populate_expected};
use crate::arena::{Access, Arena, ArenaError, ArenaOptions, Slot};
use crate::os::whole_pages;
use crate::residency::Pages;

/// Bytes of the smallest class: one wasm page.
const SMALLEST: usize = 64 << 10;

/// Bytes of the largest class: everything that 32 bits can address.
const LARGEST: usize = 4 << 30;

const CLASSES: usize = (LARGEST / SMALLEST).ilog2() as usize + 1;

/// Makes memories of the dense layout.
#[derive(Debug)]
pub struct DenseMemories {
    classes: Arc<Classes>,
    budget: Arc<MemoryBudget>,
}

/// The arenas, the one of `SMALLEST << n` bytes at `n`.
#[derive(Debug)]
struct Classes([Arc<Arena>; CLASSES]);

impl DenseMemories {
    /// Returns a creator of any number of memories.
    ///
    /// # Errors
    ///
    /// [`ArenaError::AddressSpace`] on a machine that cannot address 4 GiB.
    pub fn new(budget: Arc<MemoryBudget>) -> Result<Arc<DenseMemories>, ArenaError> {
        let mut arenas = Vec::with_capacity(CLASSES);
        for class in 0..CLASSES {
            arenas.push(Arena::new(ArenaOptions {
                name: "memories of the dense layout",
                slot_size: SMALLEST << class,
                slots_max: u32::MAX,
                access: Access::Open,
                warm_max: 0,
                ..ArenaOptions::default()
            })?);
        }
        let classes = arenas.try_into().expect("as many were made as there are classes");
        Ok(Arc::new(DenseMemories {
            classes: Arc::new(Classes(classes)),
            budget,
        }))
    }

    /// Makes `config` compile code for this layout and use this creator.
    pub fn configure(self: &Arc<Self>, config: &mut Config) {
        Self::compile_for(config);
        config.with_host_memory(self.clone());
    }

    /// Makes `config` compile code for this layout, without making instances here.
    pub fn compile_for(config: &mut Config) {
        config
            .memory_reservation(0)
            .memory_guard_size(0)
            .memory_reservation_for_growth(0)
            .memory_may_move(true)
            .guard_before_linear_memory(false)
            .memory_init_cow(false);
    }

    /// The number of memories.
    #[cfg(test)]
    pub(crate) fn taken(&self) -> u32 {
        self.classes.0.iter().map(|arena| arena.taken()).sum()
    }

    /// Returns the page tables of free slots to the operating system. Useful when many memories have ended and few will
    /// be made soon, because those are more expensive afterwards. Memories may be made and dropped meanwhile.
    pub fn trim(&self) {
        self.classes.0.iter().for_each(|arena| arena.trim());
    }

    pub(super) fn make(
        &self,
        minimum: usize,
        maximum: Option<usize>,
        reservation: usize,
        guard: usize,
    ) -> Result<DenseMemory, MemoryError> {
        if reservation > 0 || guard > 0 {
            return Err(MemoryError::Layout { reservation, guard });
        }
        let charge = Charge::new(&self.budget, minimum).ok_or(MemoryError::Budget {
            wanted: minimum,
            limit: self.budget.limit(),
        })?;
        let maximum = maximum.unwrap_or(LARGEST);
        let mut slot = self.classes.take(minimum, maximum)?;
        populate_expected(&mut slot, minimum);
        Ok(DenseMemory {
            slot,
            size: minimum,
            maximum,
            classes: self.classes.clone(),
            charge,
        })
    }
}

impl Classes {
    /// Takes a slot of the smallest class that holds `size` bytes and has room to grow, if `maximum` allows growth.
    fn take(&self, size: usize, maximum: usize) -> Result<Slot, MemoryError> {
        if size > LARGEST {
            return Err(MemoryError::TooLarge {
                wanted: size,
                size_max: LARGEST,
            });
        }
        let room = maximum.min(size + SMALLEST).clamp(size, LARGEST);
        let class = room.div_ceil(SMALLEST).max(1).next_power_of_two().ilog2();
        Ok(self.0[class as usize].take()?)
    }
}

// SAFETY: a memory is zero-filled (slots are released before they are given back) and completely open. Code compiled
// for it checks bounds, because there is neither a reservation nor a guard.
unsafe impl MemoryCreator for DenseMemories {
    fn new_memory(
        &self,
        _: MemoryType,
        minimum: usize,
        maximum: Option<usize>,
        reservation: Option<usize>,
        guard: usize,
    ) -> Result<Box<dyn LinearMemory>, String> {
        match self.make(minimum, maximum, reservation.unwrap_or(0), guard) {
            Ok(memory) => Ok(Box::new(memory)),
            Err(error) => Err(super::refuse(error)),
        }
    }
}

/// A memory of the dense layout.
pub(super) struct DenseMemory {
    slot: Slot,
    /// The bytes that the guest can use, all of which it may have touched.
    size: usize,
    /// The limit of the memory's type, in bytes.
    maximum: usize,
    classes: Arc<Classes>,
    charge: Charge,
}

impl DenseMemory {
    /// Moves to a slot that holds `size` bytes. If this fails, nothing has changed.
    fn move_to(&mut self, size: usize) -> Result<(), MemoryError> {
        let slot = self.classes.take(size, self.maximum)?;
        let touched = self.touched();
        // SAFETY: only this memory uses the old slot, which is open and has at least `touched` bytes of whole pages.
        let old = unsafe { Pages::from_raw(self.slot.base(), touched) };
        // The new slot is all zeros, like the pages that hold no data: only the others are copied.
        for part in old.resident().bytes() {
            // SAFETY: `part` is inside both slots (the new one is no smaller), which do not overlap, and which only
            // this memory uses.
            unsafe {
                self.slot
                    .base()
                    .add(part.start)
                    .copy_to_nonoverlapping(slot.base().add(part.start), part.len())
            };
        }
        self.slot.release_at_end(0..touched);
        self.slot = slot;
        Ok(())
    }

    /// The bytes of the pages that the guest may have touched.
    fn touched(&self) -> usize {
        whole_pages(self.size).map_or(self.slot.len(), |bytes| bytes.min(self.slot.len()))
    }
}

// SAFETY: `as_ptr` is valid for `byte_size` bytes as long as the slot lives, and changes only in `grow_to` beyond
// `byte_capacity`.
unsafe impl LinearMemory for DenseMemory {
    fn byte_size(&self) -> usize {
        self.size
    }

    fn byte_capacity(&self) -> usize {
        self.slot.len()
    }

    fn grow_to(&mut self, size: usize) -> wasmtime::Result<()> {
        // The budget comes first, because it is easier to undo than a move to another slot.
        let growth = size.saturating_sub(self.size);
        if !self.charge.try_add(growth) {
            return Err(MemoryError::Budget {
                wanted: growth,
                limit: self.charge.limit(),
            }
            .into());
        }
        if size > self.slot.len()
            && let Err(error) = self.move_to(size)
        {
            self.charge.sub(growth);
            return Err(error.into());
        }
        self.size = size;
        Ok(())
    }

    fn as_ptr(&self) -> *mut u8 {
        self.slot.base().as_ptr()
    }
}

impl Drop for DenseMemory {
    fn drop(&mut self) {
        let touched = self.touched();
        self.slot.release_at_end(0..touched);
    }
}
