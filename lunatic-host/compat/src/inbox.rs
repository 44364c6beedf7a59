//! Where letters wait: in the order in which they came, and in the same order for each tag.
//!
//! This is not [`lunatic_kernel::relations::mailbox::Mailbox`]: there, half of all tags are references, which have a
//! meaning for the host. Here, all numbers except 0 belong to the guest, and a letter carries resources.
//!
//! Both orders are trees, which never move many entries in one operation, however many there are.

use std::collections::{BTreeMap, BTreeSet};

use smallvec::SmallVec;

use super::message::{HEAD_SIZE, Letter};

/// The tags that a reader waits for; empty for all letters.
type Tags = SmallVec<[i64; 4]>;

#[derive(Default)]
pub(crate) struct Queue {
    letters: BTreeMap<u64, Letter>,
    /// The tags of the letters, except 0, with their numbers.
    tagged: BTreeSet<(i64, u64)>,
    /// The number of the last letter.
    number: u64,
    /// The tags that the owner waits for, if it waits.
    waits: Option<Tags>,
    /// How many letters tell of ends. Nothing else pays for them: a message has a receipt.
    notices: usize,
    /// The steps it takes to drop all letters.
    steps: usize,
}

impl Queue {
    pub(crate) fn len(&self) -> usize {
        self.letters.len()
    }

    /// The bytes for which the owner must pay.
    pub(crate) fn size(&self) -> usize {
        let waits = self.waits.as_ref().filter(|tags| tags.spilled());
        self.notices * HEAD_SIZE + waits.map_or(0, |tags| tags.capacity() * size_of::<i64>())
    }

    /// The approximate number of steps it takes to drop it.
    pub(crate) fn steps(&self) -> usize {
        self.steps
    }

    /// Appends a letter. True if the owner must be woken.
    pub(crate) fn push(&mut self, letter: Letter) -> bool {
        self.number += 1;
        let tag = letter.tag();
        if tag != 0 {
            self.tagged.insert((tag, self.number));
        }
        self.notices += usize::from(letter.is_notice());
        self.steps += letter.steps();
        self.letters.insert(self.number, letter);
        let wakes = |tags: &Tags| tags.is_empty() || (tag != 0 && tags.contains(&tag));
        self.waits.take_if(|tags| wakes(tags)).is_some()
    }

    /// Takes the oldest letter with one of these tags, or the oldest of all if `tags` is empty. A letter without a tag
    /// is never found by tags.
    pub(crate) fn take(&mut self, tags: &[i64]) -> Option<Letter> {
        self.waits = None;
        let number = match tags {
            [] => *self.letters.first_key_value()?.0,
            tags => tags.iter().filter_map(|tag| self.oldest(*tag)).min()?,
        };
        let letter = self.letters.remove(&number)?;
        self.tagged.remove(&(letter.tag(), number));
        self.notices -= usize::from(letter.is_notice());
        self.steps -= letter.steps();
        Some(letter)
    }

    /// The number of the oldest letter with this tag.
    fn oldest(&self, tag: i64) -> Option<u64> {
        let numbers = self.tagged.range((tag, 0)..=(tag, u64::MAX));
        numbers.map(|(_, number)| *number).next()
    }

    /// Like [`take`](Self::take), but if there is no such letter, the owner is woken when one comes.
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
            let tagged = list.iter().filter(|tag| **tag != 0).count();
            prop_assert_eq!((queue.tagged.len(), queue.notices, queue.steps()), (tagged, list.len(), list.len()));
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
