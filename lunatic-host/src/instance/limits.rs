//! How much memory one process may have.

use std::sync::Arc;

use wasmtime::ResourceLimiter;

use crate::rights::Rights;
use crate::rights::budget::{Budget, Resource};

/// The limits of the process that runs in a store.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    memory_max: usize,
    /// What the process and others may use together, and the bytes of it that this one has.
    budget: Option<Arc<Budget>>,
    charged: u64,
    /// What the growth was charged that may still fail.
    growth: u64,
    /// A growth of the memory was refused: if the process traps next, this is why.
    pub(crate) out_of_memory: bool,
    /// The memory has grown, and may have moved.
    pub(crate) grown: bool,
}

impl Limits {
    pub(crate) fn begin(&mut self, rights: &Rights) {
        *self = Self {
            memory_max: rights.max_memory,
            budget: rights.budget.clone(),
            ..Self::default()
        };
    }

    /// Takes so many bytes from the budget of the process, if it has one; what it says if they are not there.
    pub(crate) fn charge(&mut self, bytes: usize) -> Result<(), String> {
        let Some(budget) = &self.budget else { return Ok(()) };
        let bytes = bytes as u64;
        budget.charge(Resource::Memory, bytes).map_err(|exhausted| {
            self.out_of_memory = true;
            exhausted.to_string()
        })?;
        (self.charged, self.growth) = (self.charged + bytes, bytes);
        Ok(())
    }

    /// Gives back what was charged for something other than the memory itself.
    pub(crate) fn give_back(&mut self, bytes: usize) {
        if let Some(budget) = &self.budget {
            budget.give_back(Resource::Memory, bytes as u64);
            self.charged -= bytes as u64;
        }
    }

    /// The process has ended.
    pub(crate) fn release(&mut self) {
        if let Some(budget) = self.budget.take() {
            budget.give_back(Resource::Memory, std::mem::take(&mut self.charged));
        }
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let fits = desired <= self.memory_max && self.charge(desired - current).is_ok();
        self.out_of_memory |= !fits;
        self.grown |= fits;
        Ok(fits)
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.out_of_memory = true;
        let growth = std::mem::take(&mut self.growth);
        if let Some(budget) = &self.budget {
            budget.give_back(Resource::Memory, growth);
            self.charged -= growth;
        }
        Ok(())
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_LEN_MAX)
    }
}

/// The largest function table, in elements: eight bytes each.
const TABLE_LEN_MAX: usize = 1 << 20;
