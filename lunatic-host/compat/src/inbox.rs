//! Where letters wait: in the order in which they came, and at once in the order of each tag.
//!
//! It is not [`lunatic_kernel::relations::mailbox::Mailbox`]: there, half of all tags are references, which mean something to the
//! host; here, all numbers but 0 are the guest's, and a letter carries resources.

use std::collections::{BTreeMap, HashMap, VecDeque};

use smallvec::SmallVec;

use super::message::Letter;

/// The tags that a reader waits for; none are all.
type Tags = SmallVec<[i64; 4]>;

#[derive(Default)]
pub(crate) struct Queue {
    letters: BTreeMap<u64, Letter>,
    /// The numbers of the letters of each tag but 0.
    tagged: HashMap<i64, VecDeque<u64>>,
    /// That of the last letter.
    number: u64,
    /// What the owner waits for, if it waits.
    waits: Option<Tags>,
}

impl Queue {
    pub(crate) fn len(&self) -> usize {
        self.letters.len()
    }

    /// Appends a letter; true if the owner must be woken.
    pub(crate) fn push(&mut self, letter: Letter) -> bool {
        self.number += 1;
        let tag = letter.tag();
        if tag != 0 {
            self.tagged.entry(tag).or_default().push_back(self.number);
        }
        self.letters.insert(self.number, letter);
        let wakes = |tags: &Tags| tags.is_empty() || (tag != 0 && tags.contains(&tag));
        self.waits.take_if(|tags| wakes(tags)).is_some()
    }

    /// Takes the oldest letter with one of these tags, or the oldest of all if there are none. What has no tag is never
    /// found by tags.
    pub(crate) fn take(&mut self, tags: &[i64]) -> Option<Letter> {
        self.waits = None;
        let number = match tags {
            [] => *self.letters.first_key_value()?.0,
            tags => {
                let firsts = tags.iter().filter_map(|tag| self.tagged.get(tag)?.front());
                *firsts.min()?
            }
        };
        let letter = self.letters.remove(&number)?;
        let tag = letter.tag();
        // Of all letters of its tag it was the oldest, too.
        if let Some(numbers) = self.tagged.get_mut(&tag) {
            numbers.pop_front();
            if numbers.is_empty() {
                self.tagged.remove(&tag);
            }
        }
        Some(letter)
    }

    /// [`take`](Self::take); if there is nothing, the owner is to be woken when there is.
    pub(crate) fn take_or_wait(&mut self, tags: &[i64]) -> Option<Letter> {
        let letter = self.take(tags);
        if letter.is_none() {
            self.waits = Some(tags.into());
        }
        letter
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// A list that is searched from its beginning each time does the same.
        #[test]
        fn it_does_what_a_plain_list_does(steps in prop::collection::vec((-2..4_i64, prop::collection::vec(-2..4_i64, 0..3), any::<bool>()), 0..200)) {
            let (mut queue, mut list) = (Queue::default(), Vec::new());
            for (tag, tags, pushes) in steps {
                if pushes {
                    queue.push(Letter::LinkDied(tag));
                    list.push(tag);
                    continue;
                }
                let place = list.iter().position(|tag| tags.is_empty() || (*tag != 0 && tags.contains(tag)));
                let expected = place.map(|place| list.remove(place));
                prop_assert_eq!(queue.take(&tags).map(|letter| letter.tag()), expected);
            }
            prop_assert_eq!(queue.letters.len(), list.len());
            prop_assert!(queue.tagged.values().all(|numbers| !numbers.is_empty()));
        }
    }

    #[test]
    fn a_waiting_owner_is_woken_once_and_only_for_its_tags() {
        let mut queue = Queue::default();
        assert!(queue.take_or_wait(&[2, 0]).is_none());
        assert!(!queue.push(Letter::LinkDied(1)));
        assert!(!queue.push(Letter::LinkDied(0)));
        assert!(queue.push(Letter::LinkDied(2)));
        assert!(!queue.push(Letter::LinkDied(2)));
        assert!(queue.take_or_wait(&[9]).is_none());
        assert!(queue.take(&[]).is_some());
        assert!(!queue.push(Letter::LinkDied(9)));
    }
}
