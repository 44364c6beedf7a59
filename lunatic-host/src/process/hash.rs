//! A hasher for maps whose keys are single numbers: ids, references, tags.
//!
//! The standard one costs more than all else that a message does. Tags are chosen by guests, so the hash has a key: one
//! multiplication to 128 bits, folded, with a secret of the runtime's process on either side. Nobody sees a hash, so the
//! secret cannot be learned from one; what a guest could learn from the time that its own mailbox takes harms itself.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::LazyLock;

pub(crate) type NumberMap<K, V> = HashMap<K, V, BuildHasherDefault<NumberHasher>>;
pub(crate) type NumberSet<K> = HashSet<K, BuildHasherDefault<NumberHasher>>;

static SECRET: LazyLock<[u64; 2]> = LazyLock::new(|| [rand::random::<u64>(), rand::random::<u64>() | 1]);

#[derive(Clone, Copy, Default)]
pub(crate) struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        let [left, right] = *SECRET;
        let product = u128::from(self.0 ^ number ^ left) * u128::from(right);
        self.0 = product as u64 ^ (product >> 64) as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::hash::BuildHasher;

    use super::*;

    /// Maps use the low bits for the place and the top seven to tell entries of a group apart: both must differ.
    #[test]
    fn numbers_in_a_row_and_numbers_far_apart_are_spread() {
        for step in [1_u64, 1 << 16, 1 << 32, 1 << 56] {
            let hash = |number: u64| BuildHasherDefault::<NumberHasher>::default().hash_one(number.wrapping_mul(step));
            let hashes: Vec<u64> = (0..128).map(hash).collect();
            let places: HashSet<u64> = hashes.iter().map(|hash| hash & 0xffff).collect();
            let tops: HashSet<u64> = hashes.iter().map(|hash| hash >> 57).collect();
            assert!(
                places.len() > 96 && tops.len() > 32,
                "{step}: {} {}",
                places.len(),
                tops.len()
            );
        }
    }
}
