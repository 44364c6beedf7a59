//! A hash map that never moves many of its entries in one operation.
//!
//! A full hash map moves all of its entries into one that is twice as large, in a single insert. With some millions of
//! entries, this takes 100 ms, under the lock of whoever uses the map, and cannot be interrupted. So a map that has
//! become large is divided into [`PARTS`] by the hashes of its keys. Each part is a separate map, which grows and
//! shrinks by itself, and holds about a thousandth of the entries. A call moves the entries of at most one part, or
//! [`DIVIDED_AT`] when the map is divided.

use std::hash::{BuildHasher, Hash};

use crate::hash::{NumberMap, NumberState};
use crate::room;

/// The number of parts of a divided map.
const PARTS: usize = 1024;

/// A map that exceeds this many entries is divided instead of doubled: all its places are used then, and the parts
/// begin with as many places as the double would have had.
const DIVIDED_AT: usize = 14 << 10;

/// A divided map becomes a single map again when it has fewer entries.
const JOINED_BELOW: usize = 2 * PARTS;

struct Part<K, V> {
    map: NumberMap<K, V>,
    /// How many entries there is room for. The map itself reports less while removed entries keep their places.
    capacity: usize,
}

/// A map whose keys are numbers.
pub(crate) struct LargeMap<K, V> {
    /// One, or [`PARTS`].
    parts: Box<[Part<K, V>]>,
    len: usize,
    /// The size of all parts in bytes.
    size: usize,
    /// The largest capacity of a part since the map was divided.
    largest: usize,
}

impl<K, V> Default for LargeMap<K, V> {
    fn default() -> Self {
        Self {
            parts: Box::new([Part::default()]),
            len: 0,
            size: 0,
            largest: 0,
        }
    }
}

impl<K: Copy + Eq + Hash, V> LargeMap<K, V> {
    /// What makes the hashers, which is the same for all parts.
    fn state(&self) -> NumberState {
        *self.parts[0].map.hasher()
    }

    /// The index of a key's part.
    fn place(&self, key: K) -> usize {
        if self.parts.len() == 1 {
            return 0;
        }
        // The part's own map uses the lowest bits and the highest seven.
        let hash = self.state().hash_one(key);
        (hash >> 40) as usize % PARTS
    }

    pub(crate) fn get(&self, key: K) -> Option<&V> {
        self.parts[self.place(key)].map.get(&key)
    }

    pub(crate) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        let place = self.place(key);
        self.parts[place].map.get_mut(&key)
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The bytes that it has allocated.
    pub(crate) fn size(&self) -> usize {
        self.size + self.parts.len() * size_of::<Part<K, V>>()
    }

    /// The bytes allocated by an undivided map with this many entries.
    pub(crate) fn size_of(len: usize) -> usize {
        let places = (len + len.div_ceil(7)).next_power_of_two();
        size_of::<Part<K, V>>() + room::size::<(K, V)>(places / 8 * 7)
    }

    /// The most bytes by which it grows with another entry, whatever part that belongs to.
    pub(crate) fn growth(&self) -> usize {
        match &*self.parts {
            // A few parts get more than twice their share, and double immediately.
            [one] if self.len >= DIVIDED_AT => one.growth() + one.growth() / 16 + PARTS * size_of::<Part<K, V>>(),
            [one] if one.is_full() => one.growth(),
            [_] => 0,
            _ => room::growth::<(K, V)>(self.largest),
        }
    }

    /// The value of `key`; `make` makes it if there is none.
    pub(crate) fn get_or_insert_with(&mut self, key: K, make: impl FnOnce() -> V) -> &mut V {
        if self.parts.len() == 1 && self.len >= DIVIDED_AT && !self.parts[0].map.contains_key(&key) {
            self.rebuild(PARTS, 2 * DIVIDED_AT / PARTS);
        }
        let place = self.place(key);
        let part = &mut self.parts[place];
        self.size += part.make_room(key);
        self.largest = self.largest.max(part.capacity);
        part.map.entry(key).or_insert_with(|| {
            self.len += 1;
            make()
        })
    }

    pub(crate) fn remove(&mut self, key: K) -> Option<V> {
        let place = self.place(key);
        let part = &mut self.parts[place];
        let value = part.map.remove(&key)?;
        self.len -= 1;
        self.size -= part.give_room_back();
        if self.parts.len() > 1 && self.len < JOINED_BELOW {
            self.rebuild(1, JOINED_BELOW);
        }
        Some(value)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (K, &V)> {
        let entries = self.parts.iter().flat_map(|part| &part.map);
        entries.map(|(key, value)| (*key, value))
    }

    pub(crate) fn into_entries(self) -> impl Iterator<Item = (K, V)> {
        self.parts.into_iter().flat_map(|part| part.map)
    }

    /// Moves all entries into this many new parts, each with room for `capacity`.
    fn rebuild(&mut self, parts: usize, capacity: usize) {
        let state = self.state();
        let parts = (0..parts).map(|_| Part::with_capacity(capacity, state)).collect();
        let before = std::mem::replace(&mut self.parts, parts);
        for (key, value) in before.into_iter().flat_map(|part| part.map) {
            let place = self.place(key);
            let part = &mut self.parts[place];
            part.make_room(key);
            part.map.insert(key, value);
        }
        self.size = self.parts.iter().map(Part::size).sum();
        self.largest = self.parts.iter().map(|part| part.capacity).max().unwrap_or_default();
    }
}

impl<K, V> Default for Part<K, V> {
    fn default() -> Self {
        Self {
            map: NumberMap::default(),
            capacity: 0,
        }
    }
}

impl<K: Copy + Eq + Hash, V> Part<K, V> {
    fn with_capacity(capacity: usize, state: NumberState) -> Self {
        let map = NumberMap::with_capacity_and_hasher(capacity, state);
        Self {
            capacity: map.capacity(),
            map,
        }
    }

    /// The size of its places in bytes.
    fn size(&self) -> usize {
        room::size::<(K, V)>(self.capacity)
    }

    /// The bytes by which it grows with another entry when it is full.
    fn growth(&self) -> usize {
        room::growth::<(K, V)>(self.capacity)
    }

    fn is_full(&self) -> bool {
        self.map.len() == self.map.capacity()
    }

    /// Grows if this entry is new and there is no room for it; returns by how many bytes.
    fn make_room(&mut self, key: K) -> usize {
        let before = self.size();
        if self.is_full() && !self.map.contains_key(&key) {
            self.map.reserve(1);
            self.capacity = self.capacity.max(self.map.capacity());
        }
        self.size() - before
    }

    /// Shrinks if few of its places are used; returns by how many bytes.
    fn give_room_back(&mut self) -> usize {
        let before = self.size();
        if room::is_roomy(self.map.len(), self.capacity) {
            self.map.shrink_to(2 * self.map.len());
            self.capacity = self.map.capacity();
        }
        before - self.size()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// The bytes of all places, counted.
    fn counted<V>(map: &LargeMap<u64, V>) -> usize {
        map.parts.iter().map(Part::size).sum()
    }

    /// The number of entries in parts that another capacity came to have, by one call; all, if there are more or fewer parts.
    fn moved(map: &mut LargeMap<u64, u64>, key: u64, change: impl FnOnce(&mut LargeMap<u64, u64>)) -> usize {
        let state = |map: &LargeMap<u64, u64>| (map.parts.len(), map.parts[map.place(key)].capacity);
        let before = state(map);
        change(map);
        match state(map) {
            after if after == before => 0,
            (parts, _) if parts == before.0 => map.parts[map.place(key)].map.len(),
            _ => map.len(),
        }
    }

    proptest! {
        /// Many keys come and go in turns, so that it is divided and joined again and again.
        #[test]
        fn it_does_what_a_map_does(
            rounds in proptest::collection::vec((0..30_000_u64, 0..30_000_u64, any::<bool>()), 1..8),
        ) {
            let (mut map, mut model) = (LargeMap::default(), BTreeMap::new());
            for (number, (first, count, comes)) in rounds.into_iter().enumerate() {
                for key in first..first + count {
                    if comes {
                        let growth = map.growth();
                        let before = map.size();
                        let known = model.entry(key).or_insert(number);
                        prop_assert_eq!(map.get_or_insert_with(key, || number), known);
                        prop_assert!(map.size() <= before + growth, "{} {} {}", map.size(), before, growth);
                    } else {
                        prop_assert_eq!(map.remove(key), model.remove(&key));
                    }
                }
                prop_assert_eq!((map.len(), map.is_empty()), (model.len(), model.is_empty()));
                prop_assert_eq!(map.size, counted(&map));
                let mut all: Vec<_> = map.iter().map(|(key, value)| (key, *value)).collect();
                all.sort_unstable();
                prop_assert!(all.iter().copied().eq(model.iter().map(|(key, value)| (*key, *value))));
                for key in (0..60_000).step_by(97) {
                    prop_assert_eq!(map.get(key), model.get(&key));
                    prop_assert_eq!(map.get_mut(key), model.get_mut(&key));
                }
            }
        }
    }

    /// It is divided once, and joined once; all else happens in one part.
    #[test]
    fn no_call_moves_more_than_14_336_of_a_million_entries() {
        const COUNT: u64 = 1_000_000;
        let mut map = LargeMap::default();
        let mut most = (0, 0);
        for key in 0..COUNT {
            let count = moved(&mut map, key, |map| _ = map.get_or_insert_with(key, || key));
            most.0 = most.0.max(count);
        }
        assert_eq!(map.len() as u64, COUNT);
        for key in 0..COUNT {
            let count = moved(&mut map, key, |map| assert_eq!(map.remove(key), Some(key)));
            most.1 = most.1.max(count);
        }
        assert!(map.is_empty());
        // And the one that comes.
        assert_eq!(most.0, DIVIDED_AT + 1);
        assert!(most.1 < JOINED_BELOW, "{most:?}");
    }

    #[test]
    fn one_that_was_emptied_takes_up_little() {
        let mut map = LargeMap::default();
        (0..200_000_u64).for_each(|key| *map.get_or_insert_with(key, || 0) += 1);
        let full = map.size();
        (1..200_000).for_each(|key| assert_eq!(map.remove(key), Some(1)));
        assert!(map.size() < full / 1000, "{} of {full}", map.size());
        assert_eq!(map.get(0), Some(&1));
    }
}
