//! Tables of what a process refers to by number: numbers count from 0 and are never used again.

use std::collections::HashMap;
use std::fmt;

/// The most entries of one table: what a process forgets to drop costs the host memory.
const LEN_MAX: usize = 1 << 20;

pub(crate) struct Resources<T> {
    next: u64,
    entries: HashMap<u64, T>,
}

impl<T> Default for Resources<T> {
    fn default() -> Self {
        Self {
            next: 0,
            entries: HashMap::new(),
        }
    }
}

/// A guest named what it does not have, or has too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadResource {
    Unknown(&'static str, u64),
    TooMany(&'static str),
}

impl fmt::Display for BadResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(what, id) => write!(f, "the process has no {what} {id}: it never had, or has dropped it"),
            Self::TooMany(what) => write!(f, "a process has at most {LEN_MAX} {what}s at once: drop some"),
        }
    }
}

impl std::error::Error for BadResource {}

impl<T> Resources<T> {
    /// Puts a value in. `what` names it in the error.
    pub(crate) fn add(&mut self, what: &'static str, value: T) -> Result<u64, BadResource> {
        if self.entries.len() >= LEN_MAX {
            return Err(BadResource::TooMany(what));
        }
        let id = self.next;
        self.next += 1;
        self.entries.insert(id, value);
        Ok(id)
    }

    pub(crate) fn get(&self, what: &'static str, id: u64) -> Result<&T, BadResource> {
        self.entries.get(&id).ok_or(BadResource::Unknown(what, id))
    }

    pub(crate) fn get_mut(&mut self, what: &'static str, id: u64) -> Result<&mut T, BadResource> {
        self.entries.get_mut(&id).ok_or(BadResource::Unknown(what, id))
    }

    pub(crate) fn remove(&mut self, what: &'static str, id: u64) -> Result<T, BadResource> {
        self.entries.remove(&id).ok_or(BadResource::Unknown(what, id))
    }

    pub(crate) fn retain(&mut self, keep: impl Fn(&T) -> bool) {
        self.entries.retain(|_, value| keep(value));
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_count_from_0_and_are_not_used_again() {
        let mut table = Resources::default();
        assert_eq!(table.add("thing", 'a'), Ok(0));
        assert_eq!(table.add("thing", 'b'), Ok(1));
        assert_eq!(table.remove("thing", 1), Ok('b'));
        assert_eq!(table.add("thing", 'c'), Ok(2));
        assert_eq!(table.get("thing", 1), Err(BadResource::Unknown("thing", 1)));
        assert_eq!(table.get("thing", 2), Ok(&'c'));
    }
}
