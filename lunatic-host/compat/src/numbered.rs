//! Numbers of things that are shared, which last as long as the things.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

/// A list that is not longer than this is not searched for things that are gone.
const FORGETS_FROM: usize = 64;

/// Things and their numbers, which begin at 1 and are not used again. A number does not keep its thing.
pub(crate) struct Numbered<T> {
    things: HashMap<u64, Weak<T>>,
    /// By address: no other thing can have it while its number is known.
    numbers: HashMap<usize, u64>,
    last: u64,
    /// With how many things it is searched for those that are gone.
    forgets_at: usize,
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self {
            things: HashMap::new(),
            numbers: HashMap::new(),
            last: 0,
            forgets_at: FORGETS_FROM,
        }
    }
}

impl<T> Numbered<T> {
    /// The number of a thing, which is a new one at the first time.
    pub(crate) fn number_of(&mut self, thing: &Arc<T>) -> u64 {
        let address = Arc::as_ptr(thing).addr();
        if let Some(number) = self.numbers.get(&address) {
            return *number;
        }
        if self.things.len() >= self.forgets_at {
            self.forget();
        }
        self.last += 1;
        self.things.insert(self.last, Arc::downgrade(thing));
        self.numbers.insert(address, self.last);
        self.last
    }

    /// The thing with a number, unless it is gone.
    pub(crate) fn get(&self, number: u64) -> Option<Arc<T>> {
        self.things.get(&number)?.upgrade()
    }

    /// Removes things that are gone, and gives their room back.
    fn forget(&mut self) {
        self.things.retain(|_, thing| thing.strong_count() > 0);
        let things = &self.things;
        self.numbers.retain(|_, number| things.contains_key(number));
        self.forgets_at = FORGETS_FROM.max(2 * self.things.len());
        self.things.shrink_to(self.forgets_at);
        self.numbers.shrink_to(self.forgets_at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_that_is_gone_is_forgotten_and_its_number_not_used_again() {
        let mut numbered = Numbered::default();
        let (kept, gone) = (Arc::new("kept"), Arc::new("gone"));
        assert_eq!([&kept, &gone, &kept].map(|thing| numbered.number_of(thing)), [1, 2, 1]);
        drop(gone);
        assert_eq!((numbered.get(1), numbered.get(2)), (Some(kept.clone()), None));
        for number in 3..10_000 {
            assert_eq!(numbered.number_of(&Arc::new("another")), number);
            assert!(numbered.things.len() <= FORGETS_FROM && numbered.numbers.len() <= FORGETS_FROM);
        }
        assert_eq!((numbered.number_of(&kept), numbered.get(0)), (1, None));
    }
}
