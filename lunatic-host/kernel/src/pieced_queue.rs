//! A queue that grows without moving much: up to a thousand values are in one ring, which doubles, and all others in
//! pieces of a thousand.
//!
//! A queue of millions that doubled as a whole would copy a hundred megabytes in the middle of a call, under the lock of
//! its channel, and would need three times its size meanwhile.

use std::collections::VecDeque;

use crate::room;

/// The number of values of a piece.
const PIECE_LEN: usize = 1024;
/// The initial capacity.
const FIRST_LEN: usize = 4;

/// The values of a queue, the oldest first.
pub(crate) struct PiecedQueue<T> {
    /// The oldest values; it is empty only if the whole queue is. Its capacity doubles up to [`PIECE_LEN`].
    first: VecDeque<T>,
    /// The next ones. Each piece has room for [`PIECE_LEN`], and all but the last are full.
    more: VecDeque<VecDeque<T>>,
}

impl<T> Default for PiecedQueue<T> {
    fn default() -> Self {
        Self {
            first: VecDeque::new(),
            more: VecDeque::new(),
        }
    }
}

impl<T> PiecedQueue<T> {
    /// The bytes of a piece, with its place in the list of pieces, which may be half empty.
    const PIECE_SIZE: usize = PIECE_LEN * size_of::<T>() + 2 * size_of::<VecDeque<T>>();

    /// The bytes that it allocates for the first value.
    pub(crate) const INITIAL_SIZE: usize = FIRST_LEN * size_of::<T>();

    pub(crate) fn len(&self) -> usize {
        match self.more.back() {
            None => self.first.len(),
            Some(last) => self.first.len() + (self.more.len() - 1) * PIECE_LEN + last.len(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    /// The bytes that it has allocated.
    pub(crate) fn size(&self) -> usize {
        self.first.capacity() * size_of::<T>() + self.more.len() * Self::PIECE_SIZE
    }

    /// The bytes by which it must [`grow`](Self::grow) before another value is added.
    pub(crate) fn growth(&self) -> usize {
        match self.more.back() {
            None if self.first.len() < self.first.capacity() => 0,
            None if self.first.capacity() < PIECE_LEN => self.first.capacity().max(FIRST_LEN) * size_of::<T>(),
            Some(last) if last.len() < PIECE_LEN => 0,
            _ => Self::PIECE_SIZE,
        }
    }

    /// Makes room for another value: as many bytes as [`growth`](Self::growth) returns, which is not zero.
    #[cold]
    pub(crate) fn grow(&mut self) {
        let room = self.first.capacity();
        if self.more.is_empty() && room < PIECE_LEN {
            self.first.reserve_exact(room.max(FIRST_LEN));
        } else {
            self.more.push_back(VecDeque::with_capacity(PIECE_LEN));
        }
    }

    /// Appends a value, for which there is room.
    pub(crate) fn push(&mut self, value: T) {
        debug_assert_eq!(self.growth(), 0, "the caller makes room");
        self.more.back_mut().unwrap_or(&mut self.first).push_back(value);
    }

    /// The oldest value.
    pub(crate) fn front(&self) -> Option<&T> {
        self.first.front()
    }

    /// Removes the oldest value; returns it, and the number of bytes that have been freed.
    pub(crate) fn pop(&mut self) -> Option<(T, usize)> {
        let value = self.first.pop_front()?;
        let freed = match self.first.is_empty() && !self.more.is_empty() {
            true => self.advance(),
            false => 0,
        };
        Some((value, freed))
    }

    /// Drops the first piece, which is empty; returns the number of bytes that have been freed.
    #[cold]
    fn advance(&mut self) -> usize {
        let before = self.size();
        if let Some(next) = self.more.pop_front() {
            self.first = next;
        }
        if self.more.is_empty() || room::is_roomy(self.more.len(), self.more.capacity()) {
            self.more.shrink_to(2 * self.more.len());
        }
        before - self.size()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn add(queue: &mut PiecedQueue<u32>, value: u32) {
        let (growth, before) = (queue.growth(), queue.size());
        if growth > 0 {
            queue.grow();
        }
        assert_eq!(queue.size(), before + growth);
        queue.push(value);
    }

    proptest! {
        /// Many values come and go in turns, so that pieces are added and dropped again and again.
        #[test]
        fn it_does_what_a_queue_does(rounds in prop::collection::vec((0..4000_u32, any::<bool>()), 1..20)) {
            let (mut queue, mut model) = (PiecedQueue::default(), VecDeque::new());
            for (count, comes) in rounds {
                for number in 0..count {
                    if comes {
                        add(&mut queue, number);
                        model.push_back(number);
                    } else {
                        let before = queue.size();
                        let popped = queue.pop();
                        let freed = popped.map_or(0, |(_, freed)| freed);
                        prop_assert_eq!(popped.map(|(value, _)| value), model.pop_front());
                        prop_assert_eq!(queue.size(), before - freed);
                    }
                    prop_assert_eq!((queue.len(), queue.is_empty()), (model.len(), model.is_empty()));
                    prop_assert_eq!(queue.front(), model.front());
                }
            }
        }
    }

    #[test]
    fn no_value_moves_once_there_are_a_thousand() {
        let mut queue = PiecedQueue::default();
        for number in 0..100_000 {
            let place = (number > PIECE_LEN as u32).then(|| &raw const queue.first[0]);
            assert!(queue.growth() <= PiecedQueue::<u32>::PIECE_SIZE);
            add(&mut queue, number);
            assert!(place.is_none_or(|place| place == &raw const queue.first[0]));
        }
        for number in 0..100_000 {
            assert_eq!(queue.pop().map(|(value, _)| value), Some(number));
        }
        let room = (queue.first.capacity(), queue.more.capacity());
        assert_eq!(room, (PIECE_LEN, 0), "an empty queue keeps room for a thousand");
    }
}
