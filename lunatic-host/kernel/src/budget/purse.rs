//! Purses: the budgets that pay for what the host keeps for a process.

use std::sync::Arc;

use super::{Budget, Exhausted, Resource};

/// Pays for what the host keeps for a process: its budget with all around it, if it has one, and the host.
#[derive(Debug, Clone, Copy)]
pub struct Purse<'a> {
    budget: Option<&'a Arc<Budget>>,
    host: &'a Arc<Budget>,
}

impl<'a> Purse<'a> {
    /// Returns the purse of a process with this budget.
    pub fn new(budget: Option<&'a Arc<Budget>>, host: &'a Arc<Budget>) -> Self {
        Self { budget, host }
    }

    /// Takes this many bytes, or none.
    ///
    /// # Errors
    ///
    /// [`Exhausted`] says which budget does not have enough left.
    pub fn charge(self, resource: Resource, bytes: usize) -> Result<(), Exhausted> {
        let bytes = bytes as u64;
        if let Some(budget) = self.budget {
            budget.charge(resource, bytes)?;
        }
        self.host.charge(resource, bytes).inspect_err(|_| {
            if let Some(budget) = self.budget {
                budget.give_back(resource, bytes);
            }
        })
    }

    /// Takes this many bytes for something that cannot be refused.
    ///
    /// # Errors
    ///
    /// [`Exhausted`] says which budget did not have enough left, and now owes it: the process must end.
    pub fn owe(self, resource: Resource, bytes: usize) -> Result<(), Exhausted> {
        let budget = self.budget.map_or(Ok(()), |budget| budget.owe(resource, bytes as u64));
        let host = self.host.owe(resource, bytes as u64);
        budget.and(host)
    }

    /// Gives back what was charged or is owed.
    pub fn give_back(self, resource: Resource, bytes: usize) {
        if let Some(budget) = self.budget {
            budget.give_back(resource, bytes as u64);
        }
        self.host.give_back(resource, bytes as u64);
    }

    /// Changes the charge from `before` to `now` bytes. An increase is owed.
    ///
    /// # Errors
    ///
    /// As for [`owe`](Self::owe).
    pub fn settle(self, resource: Resource, before: usize, now: usize) -> Result<(), Exhausted> {
        if now > before {
            return self.owe(resource, now - before);
        }
        if now < before {
            self.give_back(resource, before - now);
        }
        Ok(())
    }

    /// Checks whether this many bytes could be taken, before they are needed.
    ///
    /// # Errors
    ///
    /// [`Exhausted`] says which budget does not have enough left.
    pub fn check(self, resource: Resource, bytes: usize) -> Result<(), Exhausted> {
        if bytes == 0 {
            return Ok(());
        }
        self.charge(resource, bytes)?;
        self.give_back(resource, bytes);
        Ok(())
    }

    /// Returns the bytes that are charged to the budget; without a budget, those that all processes have taken from the
    /// host.
    pub fn used(self, resource: Resource) -> u64 {
        self.budget.unwrap_or(self.host).used(resource)
    }

    /// Returns the purse in a form that can be kept.
    pub fn to_account(self) -> Account {
        Account {
            budget: self.budget.cloned(),
            host: self.host.clone(),
        }
    }
}

/// Has a purse.
pub trait Payer {
    /// Returns the purse.
    fn purse(&self) -> Purse<'_>;
}

/// A [`Purse`] that outlives a borrow of the process.
#[derive(Debug, Clone)]
pub struct Account {
    budget: Option<Arc<Budget>>,
    host: Arc<Budget>,
}

impl Payer for Account {
    fn purse(&self) -> Purse<'_> {
        Purse::new(self.budget.as_ref(), &self.host)
    }
}

/// Bytes that are taken from a purse for as long as this value lives.
#[derive(Debug)]
pub struct Receipt {
    account: Account,
    resource: Resource,
    bytes: usize,
}

impl Receipt {
    /// Returns a receipt for nothing yet.
    pub fn new(account: Account, resource: Resource) -> Self {
        Self {
            account,
            resource,
            bytes: 0,
        }
    }

    /// Takes this many further bytes.
    ///
    /// # Errors
    ///
    /// [`Exhausted`] says which budget does not have enough left. Then nothing is taken.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Exhausted> {
        self.account.purse().charge(self.resource, bytes)?;
        self.bytes += bytes;
        Ok(())
    }

    /// Gives back this many bytes, or all if there are fewer.
    pub fn shrink(&mut self, bytes: usize) {
        // A decrease is never refused.
        let _ = self.settle(self.bytes.saturating_sub(bytes));
    }

    /// Changes the charge to this many bytes. An increase is owed.
    ///
    /// # Errors
    ///
    /// As for [`Purse::owe`].
    pub fn settle(&mut self, bytes: usize) -> Result<(), Exhausted> {
        let before = std::mem::replace(&mut self.bytes, bytes);
        self.account.purse().settle(self.resource, before, bytes)
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        self.account.purse().give_back(self.resource, self.bytes);
    }
}
