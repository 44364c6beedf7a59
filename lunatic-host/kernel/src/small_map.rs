//! A map from numbers that is a list while it has few entries.
//!
//! Most processes have a handful of links, monitors, watchers and tags at a time, and add and remove one with every
//! call. Searching a few adjacent pairs costs less than one hash; beyond that, a hash map takes over that never moves many
//! entries in one operation, until few are left.

use std::hash::Hash;

use crate::large_map::LargeMap;

/// With more entries than this, it is a hash map.
pub(crate) const FEW_MAX: usize = 8;

/// A set of numbers.
pub(crate) type SmallSet<K> = SmallMap<K, ()>;

/// A map from numbers, with few entries or many.
pub struct SmallMap<K, V> {
    few: Vec<(K, V)>,
    /// Holds everything if it exists, and is then not empty. Most maps never need it, and stay small.
    many: Option<Box<LargeMap<K, V>>>,
}

impl<K, V> Default for SmallMap<K, V> {
    fn default() -> Self {
        Self {
            few: Vec::new(),
            many: None,
        }
    }
}

impl<K: Copy + Eq + Hash, V> SmallMap<K, V> {
    fn place(&self, key: K) -> Option<usize> {
        self.few.iter().position(|(other, _)| *other == key)
    }

    /// Returns the value of `key`.
    pub fn get(&self, key: K) -> Option<&V> {
        match &self.many {
            None => self.place(key).map(|place| &self.few[place].1),
            Some(many) => many.get(key),
        }
    }

    /// Returns the value of `key`, to change it.
    pub fn get_mut(&mut self, key: K) -> Option<&mut V> {
        match &mut self.many {
            None => self
                .few
                .iter_mut()
                .find(|(other, _)| *other == key)
                .map(|(_, value)| value),
            Some(many) => many.get_mut(key),
        }
    }

    /// Returns the number of entries.
    #[expect(clippy::len_without_is_empty, reason = "nobody asks")]
    pub fn len(&self) -> usize {
        self.few.len() + self.many.as_ref().map_or(0, |many| many.len())
    }

    /// Returns the bytes that it has allocated.
    pub fn size(&self) -> usize {
        let many = self.many.as_ref();
        self.few.capacity() * size_of::<(K, V)>() + many.map_or(0, |many| size_of::<LargeMap<K, V>>() + many.size())
    }

    /// Returns the bytes by which it grows with another entry.
    pub fn growth(&self) -> usize {
        match &self.many {
            Some(many) => many.growth(),
            None if self.few.len() < self.few.capacity() => 0,
            None if self.few.len() < FEW_MAX => self.few.capacity().max(FEW_MAX / 2) * size_of::<(K, V)>(),
            None => size_of::<LargeMap<K, V>>() + LargeMap::<K, V>::size_of(FEW_MAX + 1),
        }
    }

    /// Returns whether `key` has a value.
    pub fn contains_key(&self, key: K) -> bool {
        self.get(key).is_some()
    }

    /// Returns the value of `key`, which becomes `value` if it had none.
    pub fn get_or_insert(&mut self, key: K, value: V) -> &mut V {
        let place = self.place(key);
        if self.many.is_some() || (place.is_none() && self.few.len() == FEW_MAX) {
            let many = self.many.get_or_insert_default();
            for (key, value) in self.few.drain(..) {
                many.get_or_insert_with(key, || value);
            }
            return many.get_or_insert_with(key, || value);
        }
        let place = place.unwrap_or_else(|| {
            self.few.push((key, value));
            self.few.len() - 1
        });
        &mut self.few[place].1
    }

    /// Removes `key`, and returns its value.
    pub fn remove(&mut self, key: K) -> Option<V> {
        let Some(many) = &mut self.many else {
            return self.place(key).map(|place| self.few.swap_remove(place).1);
        };
        let value = many.remove(key);
        if many.len() <= FEW_MAX / 2 {
            let left = self.many.take().into_iter().flat_map(|many| many.into_entries());
            self.few.extend(left);
        }
        value
    }

    /// Returns all entries, in any order.
    pub fn iter(&self) -> impl Iterator<Item = (K, &V)> {
        let few = self.few.iter().map(|(key, value)| (*key, value));
        let many = self.many.iter().flat_map(|many| many.iter());
        few.chain(many)
    }

    /// Returns all keys, in any order.
    pub fn keys(&self) -> impl Iterator<Item = K> {
        self.iter().map(|(key, _)| key)
    }
}

impl<K: Copy + Eq + Hash> SmallSet<K> {
    /// False if it was already there.
    pub(crate) fn insert(&mut self, key: K) -> bool {
        let before = self.len();
        self.get_or_insert(key, ());
        self.len() > before
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_does_what_a_map_does(steps in proptest::collection::vec((0..3_u8, 0..24_u64), 0..200)) {
            let mut map = SmallMap::default();
            let mut model = BTreeMap::new();
            for (number, (step, key)) in steps.into_iter().enumerate() {
                let at_most = map.size() + map.growth();
                match step {
                    0 => prop_assert_eq!(map.get_or_insert(key, number), model.entry(key).or_insert(number)),
                    1 => prop_assert_eq!(map.remove(key), model.remove(&key)),
                    _ => {
                        prop_assert_eq!(map.get_mut(key), model.get_mut(&key));
                        prop_assert_eq!(map.contains_key(key), model.contains_key(&key));
                    }
                }
                prop_assert_eq!(map.len(), model.len());
                prop_assert!(map.size() <= at_most, "{} {}", map.size(), at_most);
                let all: BTreeMap<_, _> = map.iter().map(|(key, value)| (key, *value)).collect();
                prop_assert_eq!(&all, &model);
            }
        }
    }

    #[test]
    fn an_emptied_map_gives_its_memory_back() {
        let mut map = SmallMap::default();
        (0..10_000_u64).for_each(|key| *map.get_or_insert(key, 0) += 1);
        (0..10_000).for_each(|key| assert_eq!(map.remove(key), Some(1)));
        assert!(map.many.is_none() && map.few.capacity() <= FEW_MAX);
    }

    #[test]
    fn a_map_with_few_left_is_a_list_again() {
        let mut map = SmallMap::default();
        (0..10_000_u64).for_each(|key| *map.get_or_insert(key, 0) += 1);
        (3..10_000).for_each(|key| assert_eq!(map.remove(key), Some(1)));
        assert!(map.many.is_none() && map.few.capacity() <= FEW_MAX);
        let mut left: Vec<_> = map.keys().collect();
        left.sort_unstable();
        assert_eq!((left, map.get(0)), (vec![0, 1, 2], Some(&1)));
    }
}
