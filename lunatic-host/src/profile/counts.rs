//! How often each stack was seen, within bounds.

use std::collections::HashMap;

/// The most distinct stacks, and the most frames of all of them.
const STACKS_MAX: usize = 64 << 10;
const FRAMES_TOGETHER_MAX: usize = 4 << 20;

/// The number of samples per stack, by the number of its process and the numbers of its places, the innermost first.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) stacks: HashMap<(u32, Box<[u32]>), u64>,
    /// The total number of frames.
    frames: usize,
}

impl Counts {
    /// False if there is no room for another stack.
    pub(super) fn add(&mut self, of: u32, stack: Box<[u32]>, samples: u64) -> bool {
        let key = (of, stack);
        if let Some(count) = self.stacks.get_mut(&key) {
            *count += samples;
            return true;
        }
        if self.stacks.len() >= STACKS_MAX || self.frames + key.1.len() > FRAMES_TOGETHER_MAX {
            return false;
        }
        self.frames += key.1.len();
        self.stacks.insert(key, samples);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_stacks_are_told_from_each_other() {
        let mut counts = Counts::default();
        for number in 0..STACKS_MAX as u32 {
            assert!(counts.add(0, [number].into(), 1));
        }
        assert!(!counts.add(0, [u32::MAX].into(), 1));
        assert!(!counts.add(1, [7].into(), 1), "that of another process is another");
        assert!(counts.add(0, [7].into(), 2), "one that is known is counted");
        let seven: (u32, Box<[u32]>) = (0, [7].into());
        assert_eq!(counts.stacks[&seven], 3);
        let mut counts = Counts::default();
        let long = |first| vec![first; FRAMES_TOGETHER_MAX / 2].into_boxed_slice();
        assert!(counts.add(0, long(1), 1) && counts.add(0, long(2), 1) && !counts.add(0, [1].into(), 1));
    }
}
