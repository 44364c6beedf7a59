//! Limits the memory of one process.

use std::sync::Arc;

use lunatic_kernel::budget::{Budget, Resource};

use crate::engine::WASM_STACK_SIZE;

/// The largest memory in bytes of an instance that is kept without asking how much of it is in use.
pub(super) const KEPT_MEMORY_MAX: usize = 4 << 20;

/// The limits of the process that runs in a store.
#[derive(Debug, Default)]
pub(crate) struct Limits {
    memory_max: usize,
    /// The budget that the process shares with others, and the bytes of it that this process has.
    budget: Option<Arc<Budget>>,
    charged: u64,
    /// What the process was charged for its body.
    body: u64,
    /// What was charged for a growth that may still fail.
    growth: u64,
    /// The total size of the memory and of the engine's heap for exceptions, in bytes.
    total: usize,
    /// By how much one of them is about to grow.
    total_growth: usize,
    /// The elements of all tables of the instance, and by how many one is about to grow.
    table_len: usize,
    table_growth: usize,
    /// Whether the process has been seated in an instance.
    is_admitted: bool,
    /// Whether a growth of the memory was refused: if the process traps next, this is the reason.
    pub(crate) out_of_memory: bool,
    /// Whether the memory has grown, and may have moved.
    pub(crate) grown: bool,
}

impl Limits {
    /// Begins a process that may have a memory of this many bytes, charged to its budget.
    pub(crate) fn begin(&mut self, memory_max: usize, budget: Option<Arc<Budget>>) {
        *self = Self {
            memory_max,
            budget,
            // The instance may have belonged to another process: it has the tables that it began with.
            table_len: self.table_len,
            ..Self::default()
        };
    }

    /// An instance is made before its process is known: [`admit`](Self::admit) enforces the limits later.
    pub(crate) fn begin_ahead(&mut self) {
        *self = Self {
            memory_max: usize::MAX,
            ..Self::default()
        };
    }

    /// Admits the process to an instance with a memory of this many bytes, and `instance` further bytes. The error says
    /// why not.
    pub(crate) fn admit(&mut self, memory: usize, instance: usize) -> Result<(), String> {
        if memory > self.memory_max {
            self.out_of_memory = true;
            let max = self.memory_max;
            return Err(format!(
                "the module's memory has {memory} bytes from the start, but the process can have at most {max}"
            ));
        }
        self.is_admitted = true;
        self.total = memory;
        self.charge(memory + self.table_len * TABLE_ELEMENT_SIZE)?;
        self.charge_body(BODY_SIZE + instance)
    }

    fn charge_body(&mut self, bytes: usize) -> Result<(), String> {
        let Some(budget) = &self.budget else { return Ok(()) };
        budget.charge(Resource::Bodies, bytes as u64).map_err(|exhausted| {
            self.out_of_memory = true;
            exhausted.to_string()
        })?;
        self.body = bytes as u64;
        Ok(())
    }

    /// Charges this many bytes to the budget of the process, if it has one. The error says what is lacking.
    fn charge(&mut self, bytes: usize) -> Result<(), String> {
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
    fn give_back(&mut self, bytes: usize) {
        if let Some(budget) = &self.budget {
            budget.give_back(Resource::Memory, bytes as u64);
            self.charged -= bytes as u64;
        }
    }

    /// Takes back what was charged for an instance that could not be made, before another attempt to make it: the limiter is
    /// asked before a memory or a table is made, and nothing reports a memory that could not be made.
    pub(super) fn forget_instance(&mut self) {
        if let Some(budget) = &self.budget {
            budget.give_back(Resource::Memory, std::mem::take(&mut self.charged));
        }
        (self.growth, self.total, self.total_growth) = (0, 0, 0);
        (self.table_len, self.table_growth) = (0, 0);
    }

    /// The memory, or the engine's heap for exceptions, is about to grow: returns their total size after that. `None`
    /// if it must not.
    pub(super) fn grow(&mut self, current: usize, desired: usize) -> Option<usize> {
        let growth = desired - current;
        let total = self.total.saturating_add(growth);
        let fits = total <= self.memory_max && self.charge(growth).is_ok();
        self.out_of_memory |= !fits;
        self.grown |= fits;
        if !fits {
            return None;
        }
        (self.total, self.total_growth) = (total, growth);
        Some(total)
    }

    /// The machine refused what [`grow`](Self::grow) allowed. Returns the total size, which is unchanged.
    pub(super) fn grow_failed(&mut self) -> usize {
        self.out_of_memory = true;
        let growth = std::mem::take(&mut self.growth);
        if let Some(budget) = &self.budget {
            budget.give_back(Resource::Memory, growth);
            self.charged -= growth;
        }
        self.total -= std::mem::take(&mut self.total_growth);
        self.total
    }

    /// A table is about to grow, perhaps from nothing; false if it must not.
    pub(super) fn grow_table(&mut self, current: usize, desired: usize) -> bool {
        let growth = desired.saturating_sub(current);
        if self.table_len.saturating_add(growth) > TABLE_LEN_MAX {
            return false;
        }
        // The initial tables of an instance are charged when a process is seated in it.
        if self.is_admitted && self.charge(growth * TABLE_ELEMENT_SIZE).is_err() {
            return false;
        }
        (self.table_len, self.table_growth) = (self.table_len + growth, growth);
        true
    }

    /// The machine refused what [`grow_table`](Self::grow_table) allowed.
    pub(super) fn grow_table_failed(&mut self) {
        let growth = std::mem::take(&mut self.table_growth);
        self.table_len -= growth;
        self.give_back((growth * TABLE_ELEMENT_SIZE).min(self.charged as usize));
    }

    /// The process has ended, or leaves the instance.
    pub(super) fn take_payment(&mut self) -> Payment {
        Payment {
            budget: self.budget.take(),
            memory: std::mem::take(&mut self.charged),
            body: std::mem::take(&mut self.body),
        }
    }
}

/// What a process that has left its instance has paid for it; paid back when this is dropped.
pub(super) struct Payment {
    budget: Option<Arc<Budget>>,
    memory: u64,
    body: u64,
}

impl Payment {
    /// Whether giving the memory back to the operating system takes so long that others could fill the same room meanwhile.
    pub(super) fn is_large(&self) -> bool {
        self.memory > KEPT_MEMORY_MAX as u64
    }
}

impl Drop for Payment {
    fn drop(&mut self) {
        if let Some(budget) = &self.budget {
            budget.give_back(Resource::Memory, self.memory);
            budget.give_back(Resource::Bodies, self.body);
        }
    }
}

/// The charge for the body of a process, in bytes: for as much stack as its code may use, and for what the host keeps
/// and uses in addition.
///
/// The kernel knows how much of its stack a process has touched, but would have to be asked each time the process
/// stops.
pub(crate) const BODY_SIZE: usize = WASM_STACK_SIZE + (32 << 10);

/// The most elements of all tables of an instance together.
const TABLE_LEN_MAX: usize = 1 << 20;

/// The size of an element in bytes.
const TABLE_ELEMENT_SIZE: usize = 8;

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use lunatic_kernel::budget::Caps;

    use super::*;

    #[test]
    fn tables_grow_together_and_are_paid_for() {
        let caps = Caps {
            memory: Some((BODY_SIZE + 100 * TABLE_ELEMENT_SIZE) as u64),
            ..Caps::default()
        };
        let budget = Budget::outermost(caps, Instant::now());
        let mut limits = Limits::default();
        limits.begin_ahead();
        assert!(limits.grow_table(0, 40));
        limits.begin(usize::MAX, Some(budget.clone()));
        assert_eq!(limits.admit(0, 0), Ok(()));
        assert!(limits.grow_table(40, 100));
        assert!(!limits.grow_table(100, 101), "the budget has no more");
        assert_eq!(budget.used(Resource::Memory), 100 * TABLE_ELEMENT_SIZE as u64);
        limits.grow_table_failed();
        assert_eq!(budget.used(Resource::Memory), 40 * TABLE_ELEMENT_SIZE as u64);
        let paid = limits.take_payment();
        assert!(!paid.is_large() && budget.usage().memory > 0);
        drop(paid);
        assert_eq!(budget.usage().memory, 0);
        let mut limits = Limits::default();
        assert!(limits.grow_table(0, TABLE_LEN_MAX) && !limits.grow_table(0, 1));
    }

    #[test]
    fn an_instance_that_could_not_be_made_costs_nothing() {
        const MEMORY: usize = 600 << 10;
        let budget = Budget::outermost(Caps::default(), Instant::now());
        let mut limits = Limits::default();
        limits.begin(1 << 20, Some(budget.clone()));
        assert_eq!(limits.admit(0, 100), Ok(()));
        for _ in 0..3 {
            assert_eq!(limits.grow(0, MEMORY), Some(MEMORY), "it fits each time");
            assert!(limits.grow_table(0, TABLE_LEN_MAX));
            limits.forget_instance();
            assert_eq!(budget.used(Resource::Memory), 0);
        }
        assert_eq!(limits.grow(0, MEMORY), Some(MEMORY));
        assert_eq!(budget.used(Resource::Memory), MEMORY as u64);
        assert_eq!(budget.used(Resource::Bodies), (BODY_SIZE + 100) as u64);
        drop(limits.take_payment());
        assert_eq!(budget.usage().memory, 0);
    }

    #[test]
    fn an_instance_that_was_made_ahead_is_measured_when_a_process_begins_in_it() {
        let mut limits = Limits::default();
        limits.begin_ahead();
        assert!(limits.grow(0, 1 << 30).is_some());
        let mut limits = Limits {
            memory_max: 65_536,
            ..Limits::default()
        };
        assert_eq!(limits.admit(65_536, 0), Ok(()));
        assert!(!limits.out_of_memory);
        assert!(limits.admit(65_537, 0).is_err());
        assert!(limits.out_of_memory, "the exit reason is that");
    }
}
