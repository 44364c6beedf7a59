//! Selects the first of many values in an order, without keeping the others.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// Goes through values one after another, and keeps those that come first in the order of their keys.
///
/// # Examples
///
/// ```
/// use lunatic_kernel::first::First;
///
/// let mut first = First::new(1, 2);
/// for number in [5, 3, 9, 1] {
///     first.add(number, || number * 10);
/// }
/// assert_eq!(first.finish(), (vec![30, 50], 4));
/// ```
pub struct First<K, T> {
    skip: usize,
    most: usize,
    seen: usize,
    /// The last one is on top.
    kept: BinaryHeap<Kept<K, T>>,
}

struct Kept<K, T> {
    key: K,
    value: T,
}

impl<K: Ord, T> First<K, T> {
    /// Keeps `limit` values after the first `skip`.
    pub fn new(skip: usize, limit: usize) -> Self {
        Self {
            skip,
            most: skip.saturating_add(limit),
            seen: 0,
            kept: BinaryHeap::new(),
        }
    }

    /// Considers a value, which is made if it is kept for now. Of equal keys, earlier ones are kept.
    pub fn add(&mut self, key: K, make: impl FnOnce() -> T) {
        self.seen += 1;
        if self.kept.len() < self.most {
            self.kept.push(Kept { key, value: make() });
        } else if let Some(mut last) = self.kept.peek_mut()
            && key < last.key
        {
            *last = Kept { key, value: make() };
        }
    }

    /// Returns the kept values in their order, and the number of values that were considered.
    pub fn finish(self) -> (Vec<T>, usize) {
        let kept = self.kept.into_sorted_vec().into_iter().skip(self.skip);
        (kept.map(|kept| kept.value).collect(), self.seen)
    }
}

impl<K: Ord, T> Ord for Kept<K, T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key)
    }
}

impl<K: Ord, T> PartialOrd for Kept<K, T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K: Ord, T> PartialEq for Kept<K, T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<K: Ord, T> Eq for Kept<K, T> {}
