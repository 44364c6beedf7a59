//! A fixed amount of something that cannot be reclaimed, such as descriptors of the operating system, and its holders.
//!
//! [`shares`](crate::shares) decides how much each group may hold. Nobody waits here: a request above the share is
//! refused. Where waiting makes sense, there are [`permits`](crate::permits).

use std::sync::Arc;

use crate::shares::{Group, Shares};
use crate::sync::Mutex;

/// Why something cannot be opened, as a text for users.
pub const EXHAUSTED: &str = "the host has no descriptor left for the process, as it and those that share descriptors with it have \
                             many files and sockets open: close some, or raise the system's limit (`ulimit -n`)";

/// A number of units, of which groups hold portions.
#[derive(Debug)]
pub struct Stock {
    max: u64,
    shares: Mutex<Shares>,
}

impl Stock {
    /// Returns `max` free units, of which a group may hold three times what it leaves free.
    pub fn new(max: u64) -> Arc<Self> {
        Arc::new(Self {
            max,
            shares: Mutex::new(Shares::of_multiple(max, 3)),
        })
    }

    /// Returns the number of units.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// Returns what all groups hold together.
    pub fn held(&self) -> u64 {
        self.shares.lock().total()
    }
}

/// The units that a member of a group holds; given back on drop.
#[derive(Debug)]
pub struct Portion {
    stock: Arc<Stock>,
    group: Arc<Group>,
    amount: u64,
}

impl Portion {
    /// Returns an empty portion for a member of the group.
    pub fn none(stock: &Arc<Stock>, group: &Arc<Group>) -> Self {
        Self {
            stock: stock.clone(),
            group: group.clone(),
            amount: 0,
        }
    }

    /// Takes this many units; `None` if the group may not have them.
    pub fn take(stock: &Arc<Stock>, group: &Arc<Group>, amount: u64) -> Option<Self> {
        let mut portion = Self::none(stock, group);
        portion.grow(amount).then_some(portion)
    }

    /// Takes this many further units; returns false, and takes nothing, if the group may not have them.
    #[must_use]
    pub fn grow(&mut self, amount: u64) -> bool {
        let grows = self.stock.shares.lock().take(&self.group, amount);
        if grows {
            self.amount += amount;
        }
        grows
    }

    /// Gives this many units back.
    ///
    /// # Panics
    ///
    /// If the portion is smaller.
    pub fn shrink(&mut self, amount: u64) {
        self.amount = self
            .amount
            .checked_sub(amount)
            .expect("only what was taken is given back");
        self.stock.shares.lock().give_back(&self.group, amount);
    }
}

impl Drop for Portion {
    fn drop(&mut self) {
        self.stock.shares.lock().give_back(&self.group, self.amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_leaves_a_quarter_and_all_comes_back() {
        let stock = Stock::new(16);
        let (greedy, modest) = (Group::new(), Group::new());
        let mut all: Vec<_> = (0..100).filter_map(|_| Portion::take(&stock, &greedy, 1)).collect();
        assert_eq!((all.len(), stock.held()), (12, 12));
        let mut other = Portion::none(&stock, &modest);
        assert!(!other.grow(4) && other.grow(3) && !other.grow(1));
        assert!(!all[0].grow(1), "what others hold is not free");
        other.shrink(2);
        assert_eq!(stock.held(), 13);
        drop((all, other));
        assert_eq!(stock.held(), 0);
    }
}
