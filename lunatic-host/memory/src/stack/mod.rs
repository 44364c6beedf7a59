//! Stacks of fibers: the native stacks for guests' code and the host functions that it calls.
//!
//! A stack is a slot of an open arena, with a guard page at its bottom. The guard is installed when the slot is first
//! used, and is permanent. When a stack ends, all but its top [`KEPT`] bytes are returned to the operating system; a
//! limited number of free stacks keep their top, because the next user touches it anyway.
//!
//! No guest can read what another guest left on a stack: the stack holds only what compiled code and the host put
//! there, and neither reads what it did not write. To clear stacks anyway, set wasmtime's `async_stack_zeroing`.

use std::ops::Range;
use std::sync::Arc;

use wasmtime::{Config, StackCreator, StackMemory};

use crate::arena::{Access, Arena, ArenaError, ArenaOptions, Slot};
use crate::os::{Guard, page_size, whole_pages};

/// The bytes at the top of a free stack that stay in memory: enough for a process that does little.
const KEPT: usize = 16 << 10;

/// The note of a slot that has its guard.
const GUARDED: u32 = 1;

/// Makes stacks for fibers.
#[derive(Debug)]
pub struct Stacks {
    arena: Arc<Arena>,
    size: usize,
    guard: Guard,
}

impl Stacks {
    /// The default number of free stacks that keep their top in memory: 16 MiB in all.
    pub const WARM_MAX: u32 = 1024;

    /// Returns a creator of stacks of `size` bytes (rounded up to whole pages), which keeps at most `warm_max` free
    /// ones warm.
    ///
    /// # Errors
    ///
    /// [`ArenaError::AddressSpace`] if no stack can be that large.
    pub fn new(size: usize, warm_max: u32) -> Result<Arc<Stacks>, ArenaError> {
        Stacks::with_guard(size, warm_max, Guard::best())
    }

    fn with_guard(size: usize, warm_max: u32, guard: Guard) -> Result<Arc<Stacks>, ArenaError> {
        let name = "fiber stacks";
        let too_large = || ArenaError::AddressSpace {
            name,
            wanted: size,
            source: std::io::ErrorKind::InvalidInput.into(),
        };
        let size = whole_pages(size.max(1)).ok_or_else(too_large)?;
        let slot_size = size.checked_add(page_size()).ok_or_else(too_large)?;
        let arena = Arena::new(ArenaOptions {
            name,
            slot_size,
            slots_max: u32::MAX,
            access: Access::Open,
            warm_max,
            ..ArenaOptions::default()
        })?;
        Ok(Arc::new(Stacks { arena, size, guard }))
    }

    /// Makes `config` run fibers on these stacks. `config.max_wasm_stack` must leave room for host functions.
    pub fn configure(self: &Arc<Self>, config: &mut Config) {
        config.async_stack_size(self.size).with_host_stack(self.clone());
    }

    /// Returns the address range of the stack that contains `address` (such as that of a local variable), without its
    /// guard.
    pub fn stack_at(&self, address: usize) -> Option<Range<usize>> {
        let slot = self.arena.slot_at(address)?;
        Some(slot.start + page_size()..slot.end)
    }

    /// Returns the number of stacks in use.
    pub fn taken(&self) -> u32 {
        self.arena.taken()
    }

    /// Returns what free stacks keep, and their page tables, to the operating system. Useful when many stacks were
    /// given back and few will be needed soon, because those are more expensive afterwards. Stacks may be taken and
    /// given back meanwhile.
    pub fn trim(&self) {
        self.arena.trim();
    }

    fn make(&self, size: usize, zeroed: bool) -> Result<Stack, ArenaError> {
        if size > self.size {
            let source = std::io::ErrorKind::InvalidInput.into();
            return Err(ArenaError::AddressSpace {
                name: "a larger fiber stack",
                wanted: size,
                source,
            });
        }
        let mut slot = self.arena.take()?;
        // The note is valid since the arena was last trimmed.
        if slot.note() & GUARDED == 0 {
            slot.guard(0..page_size(), self.guard)?;
            slot.set_note(GUARDED);
        }
        // Below the kept part, a warm stack is zero, like a cold one.
        if zeroed && slot.was_warm() {
            let kept = kept(&slot);
            slot.release(kept);
        }
        Ok(Stack { slot })
    }
}

// SAFETY: a stack consists of whole pages, is guarded below, and is zero if that is requested.
unsafe impl StackCreator for Stacks {
    fn new_stack(&self, size: usize, zeroed: bool) -> wasmtime::Result<Box<dyn StackMemory>> {
        Ok(Box::new(self.make(size, zeroed)?))
    }
}

/// A stack in use.
struct Stack {
    slot: Slot,
}

impl Stack {
    fn bottom(&self) -> usize {
        self.slot.base().as_ptr() as usize
    }
}

// SAFETY: the ranges are those of the slot, which lives as long as this value.
unsafe impl StackMemory for Stack {
    fn top(&self) -> *mut u8 {
        self.slot.base().as_ptr().wrapping_add(self.slot.len())
    }

    fn range(&self) -> Range<usize> {
        self.bottom() + page_size()..self.bottom() + self.slot.len()
    }

    fn guard_range(&self) -> Range<*mut u8> {
        let bottom = self.slot.base().as_ptr();
        bottom..bottom.wrapping_add(page_size())
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let end = if self.slot.keep_warm() {
            kept(&self.slot).start
        } else {
            self.slot.len()
        };
        self.slot.release_at_end(page_size()..end);
    }
}

/// The part of a free stack that stays in memory.
fn kept(slot: &Slot) -> Range<usize> {
    slot.len().saturating_sub(KEPT).max(page_size())..slot.len()
}

#[cfg(test)]
mod tests;
