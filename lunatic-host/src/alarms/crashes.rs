//! Which processes have crashing children, and how often.

use std::collections::HashMap;

use lunatic_kernel::address::Id;
use parking_lot::Mutex;

/// The most parents that are counted separately; crashes of others' children are not counted.
const PARENTS_MAX: usize = 1000;

/// Crashes by parent, since the last call of `take`.
#[derive(Default)]
pub(crate) struct Crashes(Mutex<HashMap<Id, u32>>);

impl Crashes {
    /// Counts a crash of a child of this process.
    pub(crate) fn count(&self, parent: Id) {
        let mut crashes = self.0.lock();
        if crashes.len() < PARENTS_MAX || crashes.contains_key(&parent) {
            *crashes.entry(parent).or_default() += 1;
        }
    }

    /// Takes the counts since the last call.
    pub(super) fn take(&self) -> HashMap<Id, u32> {
        std::mem::take(&mut self.0.lock())
    }
}
