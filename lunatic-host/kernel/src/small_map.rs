//! A map from numbers that is a list while it has few entries.
//!
//! Most processes have a handful of links, monitors, watchers and tags at a time, and make and drop one with every call. A
//! search through a few pairs in a row costs less than one hash; beyond that, a [`LargeMap`] takes over until it is empty.

use std::hash::Hash;

use crate::large_map::LargeMap;

/// With more entries than this, it is a hash map.
pub(crate) const FEW_MAX: usize = 8;

/// A set of numbers.
pub(crate) type SmallSet<K> = SmallMap<K, ()>;

pub(crate) struct SmallMap<K, V> {
    few: Vec<(K, V)>,
    /// Everything, if it is there: then it is not empty. Most never have one, and are small without.
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

    pub(crate) fn get(&self, key: K) -> Option<&V> {
        match &self.many {
            None => self.place(key).map(|place| &self.few[place].1),
            Some(many) => many.get(key),
        }
    }

    pub(crate) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        match &mut self.many {
            None => self
                .few
                .iter_mut()
                .find(|(other, _)| *other == key)
                .map(|(_, value)| value),
            Some(many) => many.get_mut(key),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.few.len() + self.many.as_ref().map_or(0, |many| many.len())
    }

    /// The bytes that it takes up elsewhere.
    pub(crate) fn size(&self) -> usize {
        let many = self.many.as_ref();
        self.few.capacity() * size_of::<(K, V)>() + many.map_or(0, |many| size_of::<LargeMap<K, V>>() + many.size())
    }

    /// The bytes by which it grows when another entry comes.
    pub(crate) fn growth(&self) -> usize {
        match &self.many {
            Some(many) => many.growth(),
            None if self.few.len() < self.few.capacity() => 0,
            None if self.few.len() < FEW_MAX => self.few.capacity().max(FEW_MAX / 2) * size_of::<(K, V)>(),
            None => size_of::<LargeMap<K, V>>() + LargeMap::<K, V>::size_of(FEW_MAX + 1),
        }
    }

    pub(crate) fn contains_key(&self, key: K) -> bool {
        self.get(key).is_some()
    }

    /// The value of `key`, which is `value` from now on if it had none.
    pub(crate) fn get_or_insert(&mut self, key: K, value: V) -> &mut V {
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

    pub(crate) fn remove(&mut self, key: K) -> Option<V> {
        let Some(many) = &mut self.many else {
            return self.place(key).map(|place| self.few.swap_remove(place).1);
        };
        let value = many.remove(key);
        if many.is_empty() {
            self.many = None;
        }
        value
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (K, &V)> {
        let few = self.few.iter().map(|(key, value)| (*key, value));
        let many = self.many.iter().flat_map(|many| many.iter());
        few.chain(many)
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = K> {
        self.iter().map(|(key, _)| key)
    }
}

impl<K: Copy + Eq + Hash> SmallSet<K> {
    /// False if it was there.
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
    fn a_map_with_few_left_gives_most_of_its_memory_back() {
        let mut map = SmallMap::default();
        (0..10_000_u64).for_each(|key| *map.get_or_insert(key, 0) += 1);
        let before = map.size();
        (1..10_000).for_each(|key| assert_eq!(map.remove(key), Some(1)));
        assert!(map.size() < before / 100, "{} of {before}", map.size());
        assert_eq!(map.get(0), Some(&1));
    }
}
