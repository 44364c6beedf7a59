//! A hasher for maps whose keys are single numbers (ids, references, tags), and numbers that stand for names.
//!
//! The standard hasher costs more than the rest of a message. Guests choose tags, so the hash has a key: two
//! multiplications to 128 bits, folded, each after combining with a secret of the host. Hashes are not visible, so the
//! secret cannot be learned from one. Each map also has a secret of its own: a guest that times its own mailbox to find
//! tags that collide finds none that collide in the mailbox of another process.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hasher};
use std::sync::LazyLock;

use siphasher::sip128::{Hasher128, SipHasher13};

/// A map whose keys are numbers.
pub type NumberMap<K, V> = HashMap<K, V, NumberState>;
/// A set of numbers.
pub type NumberSet<K> = HashSet<K, NumberState>;

static SECRET: LazyLock<[u64; 2]> = LazyLock::new(secret);
static NAMES_SECRET: LazyLock<[u64; 2]> = LazyLock::new(secret);

fn secret() -> [u64; 2] {
    [crate::environment::entropy(), crate::environment::entropy()]
}

/// Two odd numbers whose multiples are far apart.
const FACTORS: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0xd1b5_4a32_d192_ed03];

/// The number of a name: 128 bits of a keyed hash. Neither the number nor the key is visible, so nobody can find two
/// names with the same number.
pub(crate) fn of_name(name: &[u8]) -> u128 {
    let mut hasher = SipHasher13::new_with_keys(NAMES_SECRET[0], NAMES_SECRET[1]);
    hasher.write(name);
    hasher.finish128().as_u128()
}

fn mix(secret: [u64; 2], number: u64) -> u64 {
    let fold = |number: u64, round: usize| {
        let product = u128::from(number ^ secret[round]) * u128::from(FACTORS[round]);
        product as u64 ^ (product >> 64) as u64
    };
    fold(fold(number, 0), 1)
}

/// Makes the hashers of one map. It is the secret of the map, a random number.
#[derive(Debug, Clone, Copy)]
pub struct NumberState(u64);

impl Default for NumberState {
    fn default() -> Self {
        Self(crate::environment::entropy())
    }
}

impl BuildHasher for NumberState {
    type Hasher = NumberHasher;

    fn build_hasher(&self) -> NumberHasher {
        NumberHasher(self.0)
    }
}

/// Hashes one number. It begins with the secret of its map.
#[derive(Debug, Clone, Copy)]
pub struct NumberHasher(u64);

impl Hasher for NumberHasher {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(size_of::<u64>()) {
            let mut word = [0; size_of::<u64>()];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = mix(*SECRET, self.0 ^ number);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Maps use the low bits for the place and the top seven to tell entries of a group apart: both must differ.
    #[test]
    fn numbers_in_a_row_and_numbers_far_apart_are_spread() {
        for _ in 0..1000 {
            let secret = [crate::environment::entropy(), crate::environment::entropy()];
            for step in [1_u64, 1 << 16, 1 << 32, 1 << 56] {
                let hashes: Vec<u64> = (0..128)
                    .map(|number: u64| mix(secret, number.wrapping_mul(step)))
                    .collect();
                let places: HashSet<u64> = hashes.iter().map(|hash| hash & 0xffff).collect();
                let tops: HashSet<u64> = hashes.iter().map(|hash| hash >> 57).collect();
                // Of 128 random numbers, 81 of 128 tops are expected.
                let spread = (places.len(), tops.len());
                assert!(spread.0 > 115 && spread.1 > 40, "{secret:x?} {step}: {spread:?}");
            }
        }
    }

    /// Numbers that share their lowest ten bits in one map: as many share them in another as numbers chosen by chance.
    #[test]
    fn numbers_that_collide_in_one_map_are_spread_in_another() {
        let [one, other] = [NumberState::default(), NumberState::default()];
        let low = |state: NumberState, number: u64| state.hash_one(number) & 0x3ff;
        let collide: Vec<u64> = (0..1 << 20).filter(|number| low(one, *number) == 0).collect();
        assert!(collide.len() > 500, "{}", collide.len());
        let places: HashSet<u64> = collide.iter().map(|number| low(other, *number)).collect();
        assert!(places.len() > 200, "{} of {}", places.len(), collide.len());
    }
}
