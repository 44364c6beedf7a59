//! A fixed amount of something that cannot be taken back, such as descriptors of the system, and who holds how much of it.
//!
//! How much each group may hold is decided by [`shares`](crate::shares). Nobody waits here: who may not have more is told so.
//! Where waiting makes sense, there are [`permits`](crate::permits).

use std::sync::Arc;

use crate::shares::{Group, Shares};
use crate::sync::Mutex;

/// Why somebody may not open something, for whom it is to be said.
pub const EXHAUSTED: &str = "the host has no descriptor left for the process, as it and those that share descriptors with it have \
                             many files and sockets open: close some, or raise the system's limit (`ulimit -n`)";

/// So many units, of which groups hold portions.
#[derive(Debug)]
pub struct Stock {
    max: u64,
    shares: Mutex<Shares>,
}

impl Stock {
    /// So many units, of which nobody holds any, and of which a group may hold three times what it leaves free.
    pub fn new(max: u64) -> Arc<Self> {
        Arc::new(Self {
            max,
            shares: Mutex::new(Shares::of_multiple(max, 3)),
        })
    }

    /// How many there are.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// What all hold together.
    pub fn held(&self) -> u64 {
        self.shares.lock().total()
    }
}

/// What somebody of a group holds; dropping it gives it back.
#[derive(Debug)]
pub struct Portion {
    stock: Arc<Stock>,
    group: Arc<Group>,
    amount: u64,
}

impl Portion {
    /// Nothing yet, for one of the group.
    pub fn none(stock: &Arc<Stock>, group: &Arc<Group>) -> Self {
        Self {
            stock: stock.clone(),
            group: group.clone(),
            amount: 0,
        }
    }

    /// So many units; `None` if the group may not have so many more.
    pub fn take(stock: &Arc<Stock>, group: &Arc<Group>, amount: u64) -> Option<Self> {
        let mut portion = Self::none(stock, group);
        portion.grow(amount).then_some(portion)
    }

    /// Takes so many units more; false, and nothing is taken, if the group may not have them.
    #[must_use]
    pub fn grow(&mut self, amount: u64) -> bool {
        let grows = self.stock.shares.lock().take(&self.group, amount);
        if grows {
            self.amount += amount;
        }
        grows
    }

    /// Gives so many units back.
    ///
    /// # Panics
    ///
    /// If it has not so many.
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
