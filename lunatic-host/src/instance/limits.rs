//! How much memory one process may have.

use wasmtime::ResourceLimiter;

/// The limits of the process that runs in a store.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    memory_max: usize,
    /// A growth of the memory was refused: if the process traps next, this is why.
    pub(crate) out_of_memory: bool,
    /// The memory has grown, and may have moved.
    pub(crate) grown: bool,
}

impl Limits {
    pub(crate) fn begin(&mut self, memory_max: usize) {
        *self = Self {
            memory_max,
            out_of_memory: false,
            grown: false,
        };
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let fits = desired <= self.memory_max;
        self.out_of_memory |= !fits;
        self.grown |= fits;
        Ok(fits)
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.out_of_memory = true;
        Ok(())
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_LEN_MAX)
    }
}

/// The largest function table, in elements: eight bytes each.
const TABLE_LEN_MAX: usize = 1 << 20;
