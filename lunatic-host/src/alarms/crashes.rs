//! Whose children crash, and how often.

use std::collections::HashMap;

use lunatic_kernel::address::Id;
use parking_lot::Mutex;

/// So many parents are told apart; crashes of children of others are not counted.
const PARENTS_MAX: usize = 1000;

/// Crashes by parent, since somebody asked.
#[derive(Default)]
pub(crate) struct Crashes(Mutex<HashMap<Id, u32>>);

impl Crashes {
    /// A child of this process has crashed.
    pub(crate) fn count(&self, parent: Id) {
        let mut crashes = self.0.lock();
        if crashes.len() < PARENTS_MAX || crashes.contains_key(&parent) {
            *crashes.entry(parent).or_default() += 1;
        }
    }

    /// What has come since the last call.
    pub(super) fn take(&self) -> HashMap<Id, u32> {
        std::mem::take(&mut self.0.lock())
    }
}
