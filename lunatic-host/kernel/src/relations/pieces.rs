//! A list that grows without moving much: the first thousand values are in one piece, which doubles, and all others in
//! pieces of a thousand.
//!
//! A list of millions that doubled as a whole would copy a hundred megabytes in the middle of a call.

use std::ops::{Index, IndexMut};

/// The number of values of a piece.
const PIECE_LEN: usize = 1024;
/// The initial capacity.
const FIRST_LEN: usize = 4;

pub(super) struct Pieces<T> {
    first: Vec<T>,
    /// Each has room for [`PIECE_LEN`], and all but the last are full.
    more: Vec<Vec<T>>,
}

impl<T> Default for Pieces<T> {
    fn default() -> Self {
        Self {
            first: Vec::new(),
            more: Vec::new(),
        }
    }
}

impl<T> Pieces<T> {
    pub(super) fn len(&self) -> usize {
        match self.more.split_last() {
            None => self.first.len(),
            Some((last, full)) => (1 + full.len()) * PIECE_LEN + last.len(),
        }
    }

    /// The number of values for which there is room.
    pub(super) fn capacity(&self) -> usize {
        self.first.capacity() + self.more.len() * PIECE_LEN
    }

    /// For how many more values room is needed when the next one is added.
    pub(super) fn growth(&self) -> usize {
        match self.first.capacity() {
            _ if self.len() < self.capacity() => 0,
            room if room < PIECE_LEN => room.max(FIRST_LEN),
            _ => PIECE_LEN,
        }
    }

    /// Makes room for as many values as [`growth`](Self::growth) returns.
    pub(super) fn grow(&mut self) {
        let growth = self.growth();
        if self.first.capacity() < PIECE_LEN {
            self.first.reserve_exact(growth);
        } else if growth > 0 {
            self.more.push(Vec::with_capacity(growth));
        }
    }

    /// Appends a value, for which there is room.
    pub(super) fn push(&mut self, value: T) {
        debug_assert!(self.len() < self.capacity());
        self.more.last_mut().unwrap_or(&mut self.first).push(value);
    }

    pub(super) fn get(&self, place: u32) -> Option<&T> {
        let place = place as usize;
        match place.checked_sub(PIECE_LEN) {
            None => self.first.get(place),
            Some(beyond) => self.more.get(beyond / PIECE_LEN)?.get(beyond % PIECE_LEN),
        }
    }
}

impl<T> Index<u32> for Pieces<T> {
    type Output = T;

    fn index(&self, place: u32) -> &T {
        let place = place as usize;
        match place.checked_sub(PIECE_LEN) {
            None => &self.first[place],
            Some(beyond) => &self.more[beyond / PIECE_LEN][beyond % PIECE_LEN],
        }
    }
}

impl<T> IndexMut<u32> for Pieces<T> {
    fn index_mut(&mut self, place: u32) -> &mut T {
        let place = place as usize;
        match place.checked_sub(PIECE_LEN) {
            None => &mut self.first[place],
            Some(beyond) => &mut self.more[beyond / PIECE_LEN][beyond % PIECE_LEN],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_where_they_are_and_room_is_what_was_said() {
        let mut pieces = Pieces::default();
        for number in 0..5000 {
            let (growth, before) = (pieces.growth(), pieces.capacity());
            assert!(growth <= PIECE_LEN && (growth > 0) == (pieces.len() == before));
            pieces.grow();
            assert_eq!(pieces.capacity(), before + growth);
            pieces.push(number);
            assert_eq!(pieces.len(), number as usize + 1);
        }
        pieces[1024] += 10_000;
        for number in 0..5000 {
            let expected = if number == 1024 { 11_024 } else { number };
            assert_eq!((pieces[number], pieces.get(number)), (expected, Some(&expected)));
        }
        assert_eq!((pieces.get(5000), pieces.get(u32::MAX)), (None, None));
    }
}
