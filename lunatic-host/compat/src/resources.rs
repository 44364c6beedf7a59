//! Tables of what a process refers to by number. Numbers begin at 0 and are never reused. The process pays for its
//! tables.
//!
//! A table is a tree: a hash map that is full moves all of its entries in one call, which held a worker for 5 to 10 ms at
//! 57,344 entries.

use std::collections::BTreeMap;
use std::fmt;

use lunatic_kernel::budget::{Account, Receipt, Resource as Counted};

/// How many entries one table can have.
const LEN_MAX: usize = 1 << 16;

/// What a table can hold.
pub(crate) trait Held {
    /// The bytes that it holds besides its entry in the table, and that nothing else is charged for.
    fn held(&self) -> usize;
}

impl Held for String {
    fn held(&self) -> usize {
        self.capacity()
    }
}

/// Shared values are charged where they are made.
impl<T> Held for std::sync::Arc<T> {
    fn held(&self) -> usize {
        0
    }
}

pub(crate) struct Resources<T> {
    next: u64,
    entries: BTreeMap<u64, T>,
    /// The bytes that all entries hold.
    held: usize,
    paid: Option<Paid>,
}

/// What the owner has paid.
struct Paid {
    receipt: Receipt,
    bytes: usize,
}

impl<T> Default for Resources<T> {
    fn default() -> Self {
        Self {
            next: 0,
            entries: BTreeMap::new(),
            held: 0,
            paid: None,
        }
    }
}

/// Why a number or a new entry is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadResource {
    Unknown(&'static str, u64),
    TooMany(&'static str),
    NoMemory(&'static str),
}

impl fmt::Display for BadResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(what, id) => write!(f, "the process has no {what} {id}: it never had one, or has dropped it"),
            Self::NoMemory(what) => write!(f, "out of memory: the process cannot pay for one more {what}"),
            Self::TooMany(what) => write!(f, "a process has at most {LEN_MAX} {what}s at a time: drop some"),
        }
    }
}

impl std::error::Error for BadResource {}

/// How many entries a node of a tree has room for. All but the root have at least five.
const NODE_LEN: usize = 11;

/// The most that a table with this many entries costs in memory. A node that is not a leaf has at least six below it.
fn room<T>(entries: usize) -> usize {
    match entries {
        0 => 0,
        entries => (entries + NODE_LEN) * (size_of::<(u64, T)>() * NODE_LEN * 8 / 30 + 8),
    }
}

impl<T: Held> Resources<T> {
    /// Adds a value, charged to `account`, which must be the same in each call. `what` names the value in errors.
    pub(crate) fn add(&mut self, account: Account, what: &'static str, value: T) -> Result<u64, BadResource> {
        if self.entries.len() >= LEN_MAX {
            return Err(BadResource::TooMany(what));
        }
        self.paid.get_or_insert_with(|| Paid {
            receipt: Receipt::new(account, Counted::Extensions),
            bytes: 0,
        });
        let held = self.held + value.held();
        self.pay(what, self.entries.len() + 1, held)?;
        let id = self.next;
        self.next += 1;
        self.entries.insert(id, value);
        Ok(id)
    }

    /// Charges for this many entries that hold this many bytes, or changes nothing.
    fn pay(&mut self, what: &'static str, len: usize, held: usize) -> Result<(), BadResource> {
        let Some(paid) = &mut self.paid else { return Ok(()) };
        let bytes = room::<T>(len) + held;
        if bytes > paid.bytes {
            let more = paid.receipt.grow(bytes - paid.bytes);
            more.map_err(|_| BadResource::NoMemory(what))?;
        } else {
            // A decrease is never refused.
            let _ = paid.receipt.settle(bytes);
        }
        (paid.bytes, self.held) = (bytes, held);
        Ok(())
    }

    pub(crate) fn get(&self, what: &'static str, id: u64) -> Result<&T, BadResource> {
        self.entries.get(&id).ok_or(BadResource::Unknown(what, id))
    }

    /// An entry, for changes that do not affect what it [holds](Held).
    pub(crate) fn get_mut(&mut self, what: &'static str, id: u64) -> Result<&mut T, BadResource> {
        self.entries.get_mut(&id).ok_or(BadResource::Unknown(what, id))
    }

    /// Calls `change` with an entry, after the owner has paid for the `more` bytes that it will hold.
    pub(crate) fn grow<R>(
        &mut self,
        what: &'static str,
        id: u64,
        more: usize,
        change: impl FnOnce(&mut T) -> R,
    ) -> Result<R, BadResource> {
        self.get(what, id)?;
        self.pay(what, self.entries.len(), self.held + more)?;
        let entry = self.get_mut(what, id)?;
        let before = entry.held();
        let changed = change(entry);
        let grown = entry.held() - before;
        // Fewer bytes, if `change` failed.
        self.pay(what, self.entries.len(), self.held - more + grown)?;
        Ok(changed)
    }

    pub(crate) fn remove(&mut self, what: &'static str, id: u64) -> Result<T, BadResource> {
        let value = self.entries.remove(&id).ok_or(BadResource::Unknown(what, id))?;
        self.give_back(self.held - value.held());
        Ok(value)
    }

    pub(crate) fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        self.entries.retain(|_, value| keep(value));
        self.give_back(self.entries.values().map(Held::held).sum());
    }

    /// Gives back what removed entries held, and their places.
    fn give_back(&mut self, held: usize) {
        // A decrease is never refused.
        let _ = self.pay("", self.entries.len(), held);
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use lunatic_kernel::budget::{Budget, Caps, Payer as _, Purse};

    use super::*;

    fn account(bytes: u64) -> Account {
        let caps = Caps {
            memory: Some(bytes),
            ..Caps::default()
        };
        Purse::new(None, &Budget::outermost(caps, Instant::now())).to_account()
    }

    #[test]
    fn numbers_count_from_0_and_are_not_used_again() {
        let account = account(1 << 20);
        let add = |table: &mut Resources<String>, text: &str| table.add(account.clone(), "thing", text.into());
        let mut table = Resources::default();
        assert_eq!(add(&mut table, "a"), Ok(0));
        assert_eq!(add(&mut table, "b"), Ok(1));
        assert_eq!(table.remove("thing", 1).as_deref(), Ok("b"));
        assert_eq!(add(&mut table, "c"), Ok(2));
        assert_eq!(table.get("thing", 1), Err(BadResource::Unknown("thing", 1)));
        assert_eq!(table.get("thing", 2).map(String::as_str), Ok("c"));
    }

    #[test]
    fn what_a_table_holds_is_paid_for_and_given_back() {
        let account = account(100_000);
        let used = || account.purse().used(Counted::Extensions);
        let mut table = Resources::default();
        for number in 0..9 {
            assert_eq!(table.add(account.clone(), "text", "x".repeat(10_000)), Ok(number));
        }
        assert!((90_000..100_000).contains(&used()), "{}", used());
        let refused = table.add(account.clone(), "text", "x".repeat(10_000));
        assert_eq!(refused, Err(BadResource::NoMemory("text")));
        let grown = table.grow("text", 0, 1 << 20, |text| text.push('y'));
        assert_eq!(grown, Err(BadResource::NoMemory("text")));
        table.grow("text", 0, 1000, |text| text.reserve_exact(1000)).unwrap();
        let full = used();
        for number in 0..9 {
            table.remove("text", number).unwrap();
        }
        assert!(used() < full / 100, "{} of {full}", used());
        drop(table);
        assert_eq!(used(), 0);
    }

    #[test]
    fn a_table_without_texts_is_paid_for_too() {
        let account = account(100_000);
        let mut table = Resources::default();
        let number = std::sync::Arc::new(7);
        let all = (0..).take_while(|_| table.add(account.clone(), "number", number.clone()).is_ok());
        let all = all.count();
        assert!((1000..7000).contains(&all), "{all}");
        assert_eq!(table.len(), all);
        table.retain(|_| false);
        assert_eq!(account.purse().used(Counted::Extensions), 0);
    }
}
